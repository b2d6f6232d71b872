package chat

import (
	"cmp"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
)

// Bounds of the documentation that is read and of what is quoted from it.
const (
	maxGuideFiles   = 300
	maxGuideFile    = 1 << 20
	maxQuotes       = 3
	maxQuoteBytes   = 1800 // of one section, but for a block that is longer by itself
	maxAnswerQuotes = 3600 // of all
)

// BM25 with its usual constants, and how many times a word of the heading
// counts.
const (
	bm25K1        = 1.2
	bm25B         = 0.75
	headingWeight = 4
	trailWeight   = 2
	relatedWeight = 0.5
	vagueWeight   = 0.4
	// headingBonus is added for a word of the section's own heading, in units of
	// the word's rarity.
	headingBonus = 1.0
)

// minCoverage is the least share of a question's meaning, weighed by rarity,
// that a section has to touch: below it the guide has no answer.
const minCoverage = 0.4

// nearBest is how close to the best a further section must score.
const nearBest = 0.6

// guideSection is the text between two headings of a file.
type guideSection struct {
	file   string
	trail  []string // the headings above it and its own, outermost first
	body   string
	counts map[string]float64
	named  map[string]bool // the words of its own heading
	length float64
}

// title returns the section's place for a reader.
func (s *guideSection) title() string {
	trail := s.trail
	if len(trail) > 2 {
		trail = trail[len(trail)-2:]
	}
	if len(trail) == 0 {
		return s.file
	}
	return strings.Join(trail, " › ")
}

// source names the file and the heading.
func (s *guideSection) source() string {
	if len(s.trail) == 0 {
		return s.file
	}
	return s.file + ", section “" + s.trail[len(s.trail)-1] + "”"
}

// guideIndex finds sections by their words.
type guideIndex struct {
	sections []*guideSection
	holding  map[string]int // word → how many sections hold it
	average  float64        // length of a section
}

// newGuideIndex reads every Markdown file of docs. Files that cannot be read
// are passed over: a guide without one document is better than none.
func newGuideIndex(docs fs.FS) *guideIndex {
	index := &guideIndex{holding: map[string]int{}}
	if docs == nil {
		return index
	}
	files := 0
	_ = fs.WalkDir(docs, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.EqualFold(path.Ext(name), ".md") {
			return nil
		}
		if path.Base(path.Dir(name)) == "adr" { // why it was built so answers nobody's how
			return nil
		}
		if files++; files > maxGuideFiles {
			return fs.SkipAll
		}
		if data, err := fs.ReadFile(docs, name); err == nil && len(data) <= maxGuideFile {
			index.sections = append(index.sections, splitMarkdown(name, strings.ToValidUTF8(string(data), ""))...)
		}
		return nil
	})
	var total float64
	for _, section := range index.sections {
		section.count()
		total += section.length
		for word := range section.counts {
			index.holding[word]++
		}
	}
	index.average = total / float64(max(len(index.sections), 1))
	return index
}

// count weighs the words of a section.
func (s *guideSection) count() {
	s.counts = map[string]float64{}
	add := func(text string, weight float64) {
		for _, word := range contentWords(text) {
			s.counts[word] += weight
			s.length++
		}
	}
	add(s.body, 1)
	s.named = map[string]bool{}
	for i, heading := range s.trail {
		if i < len(s.trail)-1 {
			add(heading, trailWeight)
			continue
		}
		add(heading, headingWeight)
		for _, word := range contentWords(heading) {
			s.named[word] = true
		}
	}
}

// splitMarkdown cuts a file at its headings, outside of code. Sections without
// text of their own are left out.
func splitMarkdown(file, text string) []*guideSection {
	var sections []*guideSection
	var trail []string
	var body []string
	flush := func() {
		if kept := strings.TrimSpace(strings.Join(body, "\n")); kept != "" {
			sections = append(sections, &guideSection{file: file, trail: slices.Clone(trail), body: kept})
		}
		body = body[:0]
	}
	fence := ""
	for _, line := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		wasCode := fence != ""
		fence = fenceAfter(fence, line)
		level, heading := headingOf(line)
		switch {
		case wasCode || fence != "":
			body = append(body, line)
		case level > 0:
			flush()
			trail = append(trail[:min(level-1, len(trail))], heading)
		case !decoration(line):
			body = append(body, line)
		}
	}
	flush()
	return sections
}

// fenceAfter returns the mark that ends the code block which is open after
// line, or "" when none is.
func fenceAfter(open, line string) string {
	line = strings.TrimSpace(line)
	if open != "" {
		if strings.HasPrefix(line, open) && strings.Trim(line, open[:1]) == "" {
			return ""
		}
		return open
	}
	for _, mark := range []string{"```", "~~~"} {
		if strings.HasPrefix(line, mark) {
			return mark
		}
	}
	return ""
}

// headingOf returns the level and text of a heading, or 0.
func headingOf(line string) (int, string) {
	level := len(line) - len(strings.TrimLeft(line, "#"))
	if level == 0 || level > 6 || len(line) == level || line[level] != ' ' {
		return 0, ""
	}
	return level, strings.Trim(strings.ReplaceAll(line[level:], "`", ""), " #*")
}

// decoration reports whether a line shows something only on a web page.
func decoration(line string) bool {
	line = strings.TrimSpace(line)
	return strings.HasPrefix(line, "<") || strings.HasPrefix(line, "![") || strings.HasPrefix(line, "[![")
}

// hit is a section that answers a question, and what is shown of it.
type hit struct {
	section *guideSection
	excerpt string
	score   float64
}

// search returns the sections that answer the question, best first, at most
// maxQuotes; none when nothing fits well enough.
func (x *guideIndex) search(question string) []hit {
	asked := contentWords(question)
	slices.Sort(asked)
	asked = slices.Compact(asked)
	weights := x.weights(asked)
	var hits []hit
	for _, section := range x.sections {
		if x.coverage(section, asked) < minCoverage {
			continue
		}
		var score float64
		for _, w := range weights {
			score += w.weight * x.rarity(w.word) * x.strength(section, w.word)
		}
		hits = append(hits, hit{section: section, score: score})
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(b.score, a.score) })
	kept, size := hits[:0], 0
	for _, h := range hits {
		h.excerpt = excerpt(h.section.body, asked)
		if len(kept) == maxQuotes || len(kept) > 0 && (h.score < nearBest*kept[0].score || size+len(h.excerpt) > maxAnswerQuotes) {
			break
		}
		size += len(h.excerpt)
		kept = append(kept, h)
	}
	return kept
}

type weightedWord struct {
	word   string
	weight float64
}

// weights returns what is looked for: the words asked for, and those related to
// them at a lower weight. The order is fixed, so that sums are too.
func (x *guideIndex) weights(asked []string) []weightedWord {
	list := make([]weightedWord, 0, len(asked))
	for _, word := range asked {
		list = append(list, weightedWord{word, ownWeight(word)})
	}
	for _, word := range asked {
		for _, related := range relatedStems[word] {
			known := slices.ContainsFunc(list, func(w weightedWord) bool { return w.word == related })
			if !known {
				list = append(list, weightedWord{related, relatedWeight * ownWeight(word)})
			}
		}
	}
	return list
}

// ownWeight returns how much a word of the question counts.
func ownWeight(word string) float64 {
	if vagueStems[word] {
		return vagueWeight
	}
	return 1
}

// rarity is the inverse document frequency of a word.
func (x *guideIndex) rarity(word string) float64 {
	all, holding := float64(len(x.sections)), float64(x.holding[word])
	return math.Log(1 + (all-holding+0.5)/(holding+0.5))
}

// strength returns how much a section is about a word: its count, saturated and
// set in relation to the section's length, and a bonus for the heading.
func (x *guideIndex) strength(s *guideSection, word string) float64 {
	count := s.counts[word]
	strength := count * (bm25K1 + 1) / (count + bm25K1*(1-bm25B+bm25B*s.length/x.average))
	if s.named[word] {
		strength += headingBonus
	}
	return strength
}

// coverage returns which share of the question the section touches. A related
// word touches half of what the word itself does.
func (x *guideIndex) coverage(s *guideSection, asked []string) float64 {
	var touched, all float64
	for _, word := range asked {
		rarity := x.rarity(word) * ownWeight(word)
		all += rarity
		related := slices.ContainsFunc(relatedStems[word], func(other string) bool { return s.counts[other] > 0 })
		switch {
		case s.counts[word] > 0:
			touched += rarity
		case related:
			touched += relatedWeight * rarity
		}
	}
	if all == 0 {
		return 0
	}
	return touched / all
}
