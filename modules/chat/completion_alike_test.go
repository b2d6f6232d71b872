package chat

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"llmhist/platform/rawjson"
)

const likeChunk = `{"id":"c","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}],"usage":null}`

func TestOnlyChunksThatDifferInTheirTextAreAlike(t *testing.T) {
	first := fmt.Sprintf(likeChunk, "Hel")
	for name, c := range map[string]struct {
		first, next, text string
		known             bool
	}{
		"another text":                  {first, fmt.Sprintf(likeChunk, "lo"), "lo", true},
		"a longer one, in UTF-8":        {first, fmt.Sprintf(likeChunk, "漢字 🦊"), "漢字 🦊", true},
		"no text":                       {first, fmt.Sprintf(likeChunk, ""), "", true},
		"a role that is repeated":       {strings.Replace(first, `"content"`, `"role":"assistant","content"`, 1), strings.Replace(first, `"content"`, `"role":"assistant","content"`, 1), "Hel", true},
		"an escape":                     {first, fmt.Sprintf(likeChunk, `a\nb`), "", false},
		"the end of the string":         {first, fmt.Sprintf(likeChunk, `a","x":"b`), "", false},
		"a control character":           {first, fmt.Sprintf(likeChunk, "a\tb"), "", false},
		"another choice":                {first, strings.Replace(first, `"index":0`, `"index":1`, 1), "", false},
		"a reason":                      {first, strings.Replace(first, `:null}]`, `:"stop"}]`, 1), "", false},
		"tokens":                        {first, strings.Replace(first, `"usage":null`, `"usage":{}`, 1), "", false},
		"less than what is around":      {first, `{"id":"c","choices":[{"index":0,"delta":{"content":"}`, "", false},
		"learned from a reason":         {strings.Replace(first, `:null}]`, `:"stop"}]`, 1), strings.Replace(first, `:null}]`, `:"stop"}]`, 1), "", false},
		"learned from thoughts":         {strings.Replace(first, `"content"`, `"reasoning":"x","content"`, 1), strings.Replace(first, `"content"`, `"reasoning":"x","content"`, 1), "", false},
		"learned from a refusal":        {strings.Replace(first, `"content"`, `"refusal":"x","content"`, 1), strings.Replace(first, `"content"`, `"refusal":"x","content"`, 1), "", false},
		"learned from two texts":        {strings.Replace(first, `"content"`, `"content":"x","content"`, 1), strings.Replace(first, `"content"`, `"content":"x","content"`, 1), "", false},
		"learned from no text":          {fmt.Sprintf(likeChunk, ""), fmt.Sprintf(likeChunk, "lo"), "", false},
		"learned from a word twice":     {fmt.Sprintf(likeChunk, "index"), fmt.Sprintf(likeChunk, "delta"), "", false},
		"learned from an escape":        {fmt.Sprintf(likeChunk, `\n`), fmt.Sprintf(likeChunk, "lo"), "", false},
		"learned from another one":      {strings.Replace(first, `"index":0`, `"index":1`, 1), strings.Replace(first, `"index":0`, `"index":1`, 1), "", false},
		"learned from two choices":      {strings.Replace(first, `"choices":[`, `"choices":[{},`, 1), strings.Replace(first, `"choices":[`, `"choices":[{},`, 1), "", false},
		"learned from a text and null":  {strings.Replace(first, `"content":"Hel"`, `"content":"Hel","content":null`, 1), strings.Replace(first, `"content":"Hel"`, `"content":"Hel","content":null`, 1), "", false},
		"learned from two deltas":       {strings.Replace(first, `"finish_reason"`, `"delta":{},"finish_reason"`, 1), strings.Replace(first, `"finish_reason"`, `"delta":{},"finish_reason"`, 1), "", false},
		"learned from no list":          {strings.NewReplacer(`:[`, `:{"x":`, `],`, `},`).Replace(first), strings.NewReplacer(`:[`, `:{"x":`, `],`, `},`).Replace(first), "", false},
		"learned from a word elsewhere": {strings.Replace(fmt.Sprintf(likeChunk, `\u0061a`), `"c"`, `"aa"`, 1), strings.Replace(fmt.Sprintf(likeChunk, `\u0061a`), `"c"`, `"zz"`, 1), "", false},
		"learned from a long one":       {fmt.Sprintf(likeChunk, strings.Repeat("x", maxAlikeChunk)), first, "", false},
		"learned from several lines":    {strings.Replace(first, `,`, ",\n", 1), strings.Replace(first, `,`, ",\n", 1), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			var a alike
			a.learn([]byte(c.first), gjson.Get(c.first, "choices"))
			if text, known := a.text([]byte(c.next)); known != c.known || string(text) != c.text {
				t.Errorf("%q, %v", text, known)
			}
		})
	}
}

func TestAStreamInWhichAllChunksDifferIsNotLookedAtForEver(t *testing.T) {
	var a alike
	for i := range 2 * maxAlike {
		text := fmt.Sprint("x", i)
		next := strings.Replace(fmt.Sprintf(likeChunk, text), `"c"`, `"`+text+`"`, 1)
		a.learn([]byte(next), gjson.Get(next, "choices"))
	}
	late := fmt.Sprintf(likeChunk, "late")
	a.learn([]byte(late), gjson.Get(late, "choices"))
	if _, known := a.text([]byte(late)); known || a.tried != maxAlike {
		t.Errorf("looked at %d times", a.tried)
	}
}

// FuzzAlike holds what is known again against what reading it as JSON says.
func FuzzAlike(f *testing.F) {
	f.Add(fmt.Sprintf(likeChunk, "Hel"), fmt.Sprintf(likeChunk, "lo"))
	f.Add(fmt.Sprintf(likeChunk, "Hel"), fmt.Sprintf(likeChunk, `a","x":"b`))
	f.Add(`{"choices":[{"delta":{"content":"a"}}]}`, `{"choices":[{"delta":{"content":"\"}}]}`)
	f.Add(`{"choices":{"x":{"delta":{"content":"a"}}}}`, `{"choices":{"x":{"delta":{"content":"b"}}}}`)
	f.Add(`{"choices":[{"delta":{"content":"a","content":null}}]}`, `{"choices":[{"delta":{"content":"b","content":null}}]}`)
	f.Add(`{"x":{"content":"b"},"choices":[{"delta":{"role":"b","content":"a"}}]}`, `{"x":{"content":"b"},"choices":[{"delta":{"role":"b","content":"漢"}}]}`)
	f.Fuzz(func(t *testing.T, first, next string) {
		if !rawjson.Valid([]byte(first)) {
			return
		}
		var a alike
		a.learn([]byte(first), gjson.Get(first, "choices"))
		text, known := a.text([]byte(next))
		if !known {
			return
		}
		if !rawjson.Valid([]byte(next)) {
			t.Fatalf("%q is like %q, and no JSON", next, first)
		}
		var read strings.Builder
		eachObject(gjson.Get(next, "choices"), func(choice gjson.Result) bool {
			var said spoken
			piece, err := said.add(said.choice(0), choice.Get("delta"))
			if err != nil || said.size != 0 || choice.Get("index").Int() != 0 || choice.Get("finish_reason").Str != "" {
				t.Fatalf("%q says more than a text", next)
			}
			read.WriteString(piece)
			return true
		})
		if read.String() != string(text) {
			t.Fatalf("%q in %q, and not %q", &read, next, text)
		}
	})
}

func TestAStreamOfAllKindsOfChunksIsRelayedAndKeptWhole(t *testing.T) {
	const other = `{"id":"c","choices":[{"index":1,"delta":{"content":"%s"},"finish_reason":null}],"usage":null}`
	var sent, want strings.Builder
	add := func(shape, text string, kept bool) {
		sent.WriteString("data: " + fmt.Sprintf(shape, text) + "\n\n")
		var said string
		if err := json.Unmarshal([]byte(`"`+text+`"`), &said); err != nil {
			t.Fatal(err)
		}
		if kept {
			want.WriteString(said)
		}
	}
	for range 3 {
		for _, text := range []string{"Hel", "lo ", "", "index", `a\nb`, "漢字", `\"`, `\u00fc`, "c", "🦊"} {
			add(likeChunk, text, true)
			add(other, text, false)
			add(strings.Replace(likeChunk, `"content"`, `"role":"assistant","content"`, 1), text, true)
		}
		add(likeChunk, "one", true)
		add(likeChunk, "two", true)
	}
	sent.WriteString(stopChunk + doneEvent)
	f, _ := behind(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", sseType)
		_, _ = io.WriteString(w, sent.String())
	})
	got := f.Do("POST", completions, alice, `{"model":"demo-1","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
	if diff := cmp.Diff(sent.String(), string(got.Body)); diff != "" {
		t.Error(diff)
	}
	if kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1].Content; kept != want.String() {
		t.Error(cmp.Diff(want.String(), kept))
	}
}

// A chunk that begins and ends like those before is still no JSON.
func TestAChunkThatBreaksOutOfItsTextIsNotRelayed(t *testing.T) {
	f, _ := behind(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", sseType)
		for _, text := range []string{"Hel", "lo", `x" "y`} {
			_, _ = io.WriteString(w, "data: "+fmt.Sprintf(likeChunk, text)+"\n\n")
		}
	})
	got := f.Do("POST", completions, alice, `{"model":"demo-1","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
	if body := string(got.Body); strings.Contains(body, `x" "y`) || !strings.Contains(body, `"error"`) || !strings.Contains(body, `"lo"`) {
		t.Error(body)
	}
}
