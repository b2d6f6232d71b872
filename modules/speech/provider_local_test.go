package speech

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/flite"
	"llmhist/platform/testkit"
)

// fakeFlite stands for the voices built in.
type fakeFlite struct {
	absent error
	fails  error
	asked  flite.Params
	sound  []byte
}

func (f *fakeFlite) Available() error            { return f.absent }
func (f *fakeFlite) Close(context.Context) error { return nil }
func (f *fakeFlite) Voices() []flite.Voice       { return flite.New(flite.Options{}).Voices() }
func (f *fakeFlite) Synthesize(_ context.Context, p flite.Params) ([]byte, error) {
	f.asked = p
	return f.sound, f.fails
}

const espeakTable = `Pty Language       Age/Gender VoiceName          File                 Other Languages
 5  af              --/M      Afrikaans          gmw/af
 5  cmn             --/M      Chinese_(Mandarin,_latin_as_English) sit/cmn              (zh-cmn 5)(zh 5)
 2  en-gb           --/M      English_(Great_Britain) gmw/en               (en 2)
 2  en-us           --/F      English_(America)  gmw/en-US            (en 3)
 5  es              --/M      Spanish_(Spain)    roa/es
 5  es-419          --/M      Spanish_(Latin_America) roa/es-419           (es-mx 6)(es 6)
 5  he              --/M      Hebrew             sem/he
 5  nb              --/M      Norwegian_Bokmål  gmq/nb               (no 5)
 5  yue             --/M      Chinese_(Cantonese) sit/yue              (zh-yue 5)(zh 8)
 5  yue             --/M      Chinese_(Cantonese,_latin_as_Jyutping) sit/yue-Latn-jyutping (zh-yue 5)(zh 8)
 5  --bad           --/M      Not_a_voice        x/y
 x  zz              --/M      Not_a_line         x/y
`

func TestParseEspeakVoices(t *testing.T) {
	got := parseEspeakVoices(espeakTable)
	var ids []string
	for _, v := range got {
		ids = append(ids, v.id)
	}
	if diff := cmp.Diff("af cmn en-gb en-us es es-419 he nb yue", strings.Join(ids, " ")); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if got[1].name != "Chinese (Mandarin, latin as English)" || got[3].gender != "female" || len(got[1].others) != 2 || got[1].others[1].priority != 5 {
		t.Errorf("%+v", got)
	}
}

func FuzzParseEspeakVoices(f *testing.F) {
	f.Add(espeakTable)
	f.Add(" 5  a  M  n  f (a 1)(b 22)")
	f.Fuzz(func(t *testing.T, table string) {
		for _, v := range parseEspeakVoices(table) {
			if strings.HasPrefix(v.id, "-") || strings.ContainsAny(v.id, " /\n\x00") {
				t.Fatalf("id %q", v.id)
			}
		}
	})
}

func TestEspeakLanguage(t *testing.T) {
	list := parseEspeakVoices(espeakTable)
	for tag, want := range map[string]string{
		"es": "es", "ES": "es", "es-MX": "es-419", "es-AR": "es", "en": "en-gb", "en-US": "en-us", "en-NZ": "en-gb", "zh": "cmn", "zh-CN": "cmn",
		"zh-yue": "yue", "yue": "yue", "iw": "he", "no": "nb", "nb-NO": "nb", "af-ZA-x": "af", "fr": "", "tlh": "",
	} {
		_, got, ok := espeakLanguage(list, tag)
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", tag, got, ok, want)
		}
	}
}

// fakeEspeak lists the table above and otherwise does what the script says. It
// notes its arguments and input.
func fakeEspeak(t *testing.T, script string) (dir string) {
	table := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(table, []byte(espeakTable), 0o600); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	installScript(t, "espeak-ng", fmt.Sprintf(`if [ "$1" = --voices ]; then echo listed >>'%s/lists'; exec cat '%s'; fi
printf '%%s\n' "$@" >'%s/args'
%s`, dir, table, dir, strings.ReplaceAll(script, "DIR", dir)))
	return dir
}

func newTestLocal(t *testing.T, engine fliteEngine) *local {
	clock := testkit.NewClock()
	return newLocal(engine, newEspeak(findProgram("espeak-ng", "espeak"), newPrograms(), clock.Now))
}

// streamedWAV writes a second of silence as the program does on a pipe.
func streamedWAV(t *testing.T) string {
	t.Helper()
	sound := wavSound(t, time.Second)
	copy(sound[4:], "\x24\xf0\xff\x7f")
	copy(sound[40:], "\x00\xf0\xff\x7f")
	path := filepath.Join(t.TempDir(), "sound.wav")
	if err := os.WriteFile(path, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEspeakIsCalledWithoutAShell(t *testing.T) {
	sound := streamedWAV(t)
	t.Setenv("SPEECH_TEST_KEY", "secret")
	dir := fakeEspeak(t, "cat >DIR/input; env >DIR/env; cat '"+sound+"'")
	provider := newTestLocal(t, &fakeFlite{absent: flite.ErrUnavailable})
	text := "$(touch /tmp/x) `id`; -w out.wav [[[h@'loU]] \"¿Qué?\""
	made, err := provider.speak(t.Context(), planned(t, provider, Request{Text: text, Language: "es-MX", Speed: 2}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wavSound(t, time.Second), made.sound); diff != "" {
		t.Error("the header is not repaired")
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if diff := cmp.Diff("-b\n1\n-v\nes-419\n-s\n350\n--stdout\n--stdin\n", read("args")); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(strings.Replace(text, "[[[", "[ [ [ ", 1), read("input")); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
	if strings.Contains(read("env"), "secret") {
		t.Error("the program sees this process's environment")
	}
}

func TestEspeakFailures(t *testing.T) {
	for name, script := range map[string]string{
		"says nothing":        "exit 0",
		"only a header":       "printf 'RIFF\\044\\360\\377\\177WAVE'",
		"no wav":              "echo sorry",
		"a voice that left":   "echo 'Error: The specified espeak-ng voice does not exist.' >&2; exit 1",
		"quotes the text":     "cat >&2; exit 3",
		"killed":              "kill -9 $$",
		"sound and a failure": "cat '" + streamedWAV(t) + "'; exit 1",
	} {
		t.Run(name, func(t *testing.T) {
			fakeEspeak(t, script)
			provider := newTestLocal(t, &fakeFlite{absent: flite.ErrUnavailable})
			_, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "secret words", Language: "es"}))
			if fault.CodeOf(err) != "provider_unavailable" || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestEspeakListsItsVoicesOnce(t *testing.T) {
	dir := fakeEspeak(t, "exit 0")
	provider := newTestLocal(t, &fakeFlite{})
	for range 3 {
		if m := provider.models(t.Context())[1]; m.missing != "" || len(m.voices) != 9 {
			t.Fatalf("%+v", m)
		}
	}
	if lists, err := os.ReadFile(filepath.Join(dir, "lists")); err != nil || string(lists) != "listed\n" {
		t.Errorf("listed %q %v", lists, err)
	}
}

func TestEspeakThatDoesNotListIsAskedAgainLater(t *testing.T) {
	dir := t.TempDir()
	installScript(t, "espeak-ng", "echo listed >>'"+dir+"/lists'; exit 1")
	clock := testkit.NewClock()
	provider := newLocal(&fakeFlite{}, newEspeak(findProgram("espeak-ng"), newPrograms(), clock.Now))
	for i, wait := range []time.Duration{0, time.Second, espeakRetry} {
		clock.Advance(wait)
		if m := provider.models(t.Context())[1]; !strings.Contains(m.missing, "does not list") {
			t.Fatalf("look %d: %+v", i, m)
		}
	}
	if lists, _ := os.ReadFile(filepath.Join(dir, "lists")); strings.Count(string(lists), "listed") != 2 {
		t.Errorf("listed %q", lists)
	}
}

func TestLocalChoosesWhoSpeaks(t *testing.T) {
	built, absent := &fakeFlite{}, &fakeFlite{absent: flite.ErrUnavailable}
	tests := map[string]struct {
		engine    *fakeFlite
		installed bool
		request   Request
		model     string // "" = nobody
		voice     string
		kind      fault.Kind
		says      string
	}{
		"English":                      {built, true, Request{}, "local/flite", "slt", 0, ""},
		"British English":              {built, true, Request{Language: "en-gb"}, "local/flite", "awb", 0, ""},
		"Spanish":                      {built, true, Request{Language: "es"}, "local/espeak-ng", "es", 0, ""},
		"a voice of flite":             {built, true, Request{Voice: "rms"}, "local/flite", "rms", 0, ""},
		"a voice of espeak":            {built, true, Request{Voice: "he"}, "local/espeak-ng", "he", 0, ""},
		"Chinese with its voice":       {built, true, Request{Voice: "yue", Language: "zh-HK"}, "local/espeak-ng", "yue", 0, ""},
		"English text of Chinese":      {built, true, Request{Text: "你好"}, "local/espeak-ng", "en-gb", 0, ""},
		"English by name":              {built, true, Request{Model: "espeak-ng"}, "local/espeak-ng", "en-gb", 0, ""},
		"flite by its short name":      {built, true, Request{Model: "flite"}, "local/flite", "slt", 0, ""},
		"faster than espeak":           {built, true, Request{Language: "es", Speed: 4}, "", "", fault.Invalid, "0.46 to 2.57"},
		"flite in Spanish":             {built, true, Request{Model: "flite", Language: "es"}, "", "", fault.Invalid, "en, en-US, en-GB"},
		"nobody speaks it":             {built, true, Request{Language: "tlh"}, "", "", fault.Invalid, "unsupported_language"},
		"Spanish without espeak":       {built, false, Request{Language: "es"}, "", "", fault.Invalid, "install the package espeak-ng"},
		"espeak by name, missing":      {built, false, Request{Model: "espeak-ng"}, "", "", fault.Unavailable, "install the package espeak-ng"},
		"English without flite":        {absent, true, Request{}, "local/espeak-ng", "en-gb", 0, ""},
		"flite by name, not built in":  {absent, true, Request{Model: "local/flite"}, "", "", fault.Unavailable, "fetch.mjs"},
		"nothing there at all":         {absent, false, Request{}, "", "", fault.Unavailable, "fetch.mjs"},
		"nothing there for Spanish":    {absent, false, Request{Language: "es"}, "", "", fault.Unavailable, "espeak-ng"},
		"Chinese for English, by name": {built, true, Request{Model: "flite", Text: "你好"}, "", "", fault.Invalid, "English"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", t.TempDir())
			if test.installed {
				fakeEspeak(t, "exit 0")
			}
			p := newTestLocal(t, test.engine)
			c := &catalog{order: []provider{p}, all: []provider{p}, convertible: noConversion}
			if test.request.Text == "" {
				test.request.Text = "x"
			}
			if test.request.Speed == 0 {
				test.request.Speed = 1
			}
			ways, err := c.plan(t.Context(), test.request)
			if test.model == "" {
				var refused *fault.Error
				if !errors.As(err, &refused) || refused.Kind != test.kind || !strings.Contains(fmt.Sprint(refused.Detail, refused.Fields), test.says) {
					t.Errorf("%v, want %q", err, test.says)
				}
				return
			}
			if err != nil || ways[0].model != test.model || ways[0].voice != test.voice {
				t.Errorf("%+v %v", ways, err)
			}
		})
	}
}

func TestFliteFailures(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		code string
		kind fault.Kind
	}{
		"nothing to say": {flite.ErrNothingToSay, "nothing_to_say", fault.Invalid},
		"too long":       {flite.ErrAudioTooLong, "speech_too_long", fault.TooLarge},
		"broken":         {errors.New("wasm trap"), "provider_unavailable", fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &fakeFlite{fails: test.err}
			p := newTestLocal(t, engine)
			_, err := p.speak(t.Context(), planned(t, p, Request{Text: "x", Voice: "kal", Speed: 0.25, Model: "flite"}))
			if fault.CodeOf(err) != test.code || !fault.Is(err, test.kind) {
				t.Errorf("%v", err)
			}
			if diff := cmp.Diff(flite.Params{Text: "x", Voice: "kal", Speed: 0.25}, engine.asked); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRealEspeak(t *testing.T) {
	mustHave(t, "espeak-ng")
	p := newTestLocal(t, &fakeFlite{absent: flite.ErrUnavailable})
	if m := p.models(t.Context())[1]; m.missing != "" || len(m.voices) < 50 {
		t.Fatalf("%d voices, %s", len(m.voices), m.missing)
	}
	lengths := map[float64]time.Duration{}
	for _, speed := range []float64{1, 2} {
		made, err := p.speak(t.Context(), planned(t, p, Request{Text: "Hola, ¿qué tal? Esto es una prueba.", Language: "es", Speed: speed}))
		if err != nil {
			t.Fatal(err)
		}
		info, err := audio.Inspect(made.sound, audio.WAV)
		if err != nil || info.Streamed || info.SampleRate != 22050 {
			t.Fatalf("%+v %v", info, err)
		}
		lengths[speed] = info.Duration
	}
	if lengths[1] < time.Second || lengths[1] > 10*time.Second || lengths[2] > lengths[1]*3/4 {
		t.Errorf("durations %v", lengths)
	}
}

func TestRealFliteThroughTheWholeModule(t *testing.T) {
	if err := flite.New(flite.Options{}).Available(); err != nil {
		if os.Getenv("LLMHIST_TEST_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED: " + err.Error())
	}
	b := newBench(t)
	module, err := New(Config{}, b.deps(b.bucket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := module.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	server := testkit.Serve(t, module.Mount)
	answer := server.Do("POST", "/speech/generate", testkit.Nobody, map[string]any{"text": "Good morning. This is a test."})
	got := answer.JSON(t)
	seconds, _ := got["duration_seconds"].(float64)
	if answer.Status != 201 || got["model"] != "local/flite" || got["voice"] != "slt" || seconds < 1 || seconds > 6 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
}
