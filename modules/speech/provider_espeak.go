package speech

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"llmhist/platform/audio"
)

const (
	espeakModel   = "local/espeak-ng"
	espeakMissing = "espeak-ng is not installed on the server: install the package espeak-ng (for example " +
		"`apt-get install espeak-ng`) and start the server again."
	espeakSilent = "espeak-ng is installed on the server but does not list its voices: run `espeak-ng --voices` there to see why."

	// The program's words per minute: its natural speed and its range.
	espeakNatural = 175
	espeakSlowest = 80
	espeakFastest = 450

	espeakListLimit = 1 << 20
	// espeakSoundLimit is 20 minutes at 22.05 kHz, 16 bits.
	espeakSoundLimit = 50 << 20
	espeakListTime   = 5 * time.Second
	// espeakRetry is how long a failure to list voices is believed.
	espeakRetry = time.Minute
)

// espeak runs the program espeak-ng (or its predecessor espeak). It must not be
// linked with (GPL-3); calling it is fine.
type espeak struct {
	path     string // "" = not installed
	programs *programs
	now      func() time.Time

	mu      sync.Mutex
	voices  []espeakVoice
	retryAt time.Time
}

func newEspeak(path string, runner *programs, now func() time.Time) *espeak {
	return &espeak{path: path, programs: runner, now: now}
}

// list returns the program's voices. They are asked for once; a failure is
// remembered for a minute.
func (e *espeak) list(ctx context.Context) []espeakVoice {
	if e.path == "" {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.voices != nil || e.now().Before(e.retryAt) {
		return e.voices
	}
	// The list is for everyone, so it outlives the request that asked first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), espeakListTime)
	defer cancel()
	table, _, err := e.programs.run(ctx, espeakListLimit, strings.NewReader(""), e.path, "--voices")
	if err == nil {
		e.voices = parseEspeakVoices(string(table))
	}
	if len(e.voices) == 0 {
		e.retryAt = e.now().Add(espeakRetry)
	}
	return e.voices
}

func (l *local) espeakModel(ctx context.Context) model {
	m := model{
		id: espeakModel, aliases: []string{"espeak-ng", "espeak"}, provider: l, formats: []audio.Format{audio.WAV},
		longest: MaxCharacters, slowest: float64(espeakSlowest) / espeakNatural, fastest: float64(espeakFastest) / espeakNatural,
		note: "The program espeak-ng, on this server. Many languages, robotic.",
	}
	list := l.espeak.list(ctx)
	m.match = func(language string) (string, string, bool) { return espeakLanguage(list, language) }
	for _, v := range list {
		m.voices = append(m.voices, voice{id: v.id, name: v.name, language: canonicalTag(v.id), gender: v.gender})
		m.languages = append(m.languages, v.id)
	}
	switch {
	case l.espeak.path == "":
		m.missing = espeakMissing
	case len(list) == 0:
		m.missing = espeakSilent
	}
	return m
}

func (l *local) speakEspeak(ctx context.Context, u utterance) ([]byte, error) {
	wordsPerMinute := strconv.Itoa(int(u.speed*espeakNatural + 0.5))
	// Two brackets would begin phonemes instead of text.
	input := strings.NewReader(strings.ReplaceAll(u.text, "[", "[ "))
	sound, complaint, err := l.espeak.programs.run(ctx, espeakSoundLimit, input, l.espeak.path,
		"-b", "1", "-v", u.voice, "-s", wordsPerMinute, "--stdout", "--stdin")
	if err != nil {
		return nil, espeakFailure(err, complaint)
	}
	if len(sound) == 0 {
		return nil, errors.New("espeak-ng wrote nothing")
	}
	return audio.RepairWAV(sound) // its header on a pipe has made-up sizes
}

// espeakFailure keeps of the program's words only what it is known to say.
func espeakFailure(err error, complaint string) error {
	if strings.Contains(complaint, "voice does not exist") {
		return errors.New("espeak-ng does not have the voice that it listed")
	}
	return err
}

// espeakVoice is a line of the table of voices.
type espeakVoice struct {
	id     string // column 2: the language, which is also the name for -v
	name   string
	gender string
	others []espeakOther
}

// espeakOther is another language that a voice serves, the better the lower
// the priority.
type espeakOther struct {
	language string
	priority int
}

var (
	espeakID    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*$`) })
	espeakGroup = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\(([A-Za-z0-9-]+) (\d{1,4})\)`) })
)

// parseEspeakVoices reads the table that --voices prints. What does not look
// like a voice is left out: the id becomes an argument of the program.
func parseEspeakVoices(table string) []espeakVoice {
	var list []espeakVoice
	seen := map[string]bool{}
	for line := range strings.Lines(table) {
		columns := strings.Fields(line)
		if len(columns) < 5 || !espeakID().MatchString(columns[1]) || seen[columns[1]] {
			continue
		}
		if _, err := strconv.Atoi(columns[0]); err != nil {
			continue // the headings
		}
		v := espeakVoice{id: columns[1], name: strings.ReplaceAll(columns[3], "_", " ")}
		switch {
		case strings.HasSuffix(columns[2], "M"):
			v.gender = "male"
		case strings.HasSuffix(columns[2], "F"):
			v.gender = "female"
		}
		for _, group := range espeakGroup().FindAllStringSubmatch(line, -1) {
			priority, _ := strconv.Atoi(group[2]) // four digits at most
			v.others = append(v.others, espeakOther{language: strings.ToLower(group[1]), priority: priority})
		}
		seen[v.id] = true
		list = append(list, v)
	}
	return list
}

// espeakLanguage finds the voice for a tag: the one of that very name, the one
// that serves it best, or the same for the tag without its last part.
func espeakLanguage(list []espeakVoice, language string) (spoken, standard string, ok bool) {
	spoken = canonicalTag(language)
	wanted := strings.ToLower(language)
	_, rest, _ := strings.Cut(wanted, "-")
	wanted = strings.TrimSuffix(primary(wanted)+"-"+rest, "-")
	for wanted != "" {
		if id := bestEspeakVoice(list, wanted); id != "" {
			return spoken, id, true
		}
		wanted = wanted[:max(strings.LastIndexByte(wanted, '-'), 0)]
	}
	return "", "", false
}

func bestEspeakVoice(list []espeakVoice, language string) string {
	best, priority := "", 0
	for _, v := range list {
		if strings.EqualFold(v.id, language) {
			return v.id
		}
		for _, other := range v.others {
			if other.language == language && (best == "" || other.priority < priority) {
				best, priority = v.id, other.priority
			}
		}
	}
	return best
}
