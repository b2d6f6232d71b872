package speech

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/testkit"
)

// problems returns "field code" of everything an answer complains about.
func problems(t *testing.T, answer testkit.Answer) []string {
	t.Helper()
	var body struct {
		Errors []struct{ Field, Code, Message string }
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	var list []string
	for _, e := range body.Errors {
		if e.Message == "" {
			t.Errorf("%s says nothing", e.Field)
		}
		list = append(list, e.Field+" "+e.Code)
	}
	slices.Sort(list)
	return list
}

func TestWhatIsRefusedLeavesNoTrace(t *testing.T) {
	provider := newFake(t, "fake")
	b := newBench(t, provider)
	server := testkit.Serve(t, b.Mount)
	long := strings.Repeat("é", MaxCharacters+1)
	tests := map[string]struct {
		body   any
		status int
		wrong  []string
	}{
		"no body":                  {"", 400, nil},
		"malformed":                {`{"text":`, 400, nil},
		"an array":                 {`[1]`, 400, nil},
		"not UTF-8":                {"{\"text\":\"\xff\"}", 400, nil},
		"huge body":                {`{"text":"` + strings.Repeat("x", generateBody) + `"}`, 413, nil},
		"unknown field":            {`{"text":"x","pitch":2}`, 422, []string{"pitch unknown_field"}},
		"wrong types":              {`{"text":1,"speed":"2"}`, 422, []string{"speed wrong_type", "text wrong_type"}},
		"no text":                  {`{}`, 422, []string{"text required"}},
		"empty text":               {`{"text":""}`, 422, []string{"text required"}},
		"text of space":            {`{"text":" \n\t "}`, 422, []string{"text required"}},
		"text too long":            {map[string]any{"text": long}, 422, []string{"text too_long"}},
		"text of punctuation":      {`{"text":"... !"}`, 422, []string{"text nothing_to_say"}},
		"text with NUL":            {`{"text":"a\u0000b"}`, 422, []string{"text invalid_character"}},
		"text with escape":         {`{"text":"a\u001bb"}`, 422, []string{"text invalid_character"}},
		"language of wrong shape":  {`{"text":"x","language":"english!"}`, 422, []string{"language invalid_language"}},
		"language not spoken":      {`{"text":"x","language":"fr"}`, 422, []string{"language unsupported_language"}},
		"unknown voice":            {`{"text":"x","voice":"zed"}`, 422, []string{"voice unknown_voice"}},
		"voice of wrong language":  {`{"text":"x","voice":"bea","language":"en"}`, 422, []string{"voice voice_language_mismatch"}},
		"voice too long":           {map[string]any{"text": "x", "voice": long}, 422, []string{"voice unknown_voice"}},
		"unknown model":            {`{"text":"x","model":"fake/two"}`, 422, []string{"model unknown_model"}},
		"gtts not enabled":         {`{"text":"x","model":"gtts"}`, 422, []string{"model model_not_enabled"}},
		"gtts-slow not enabled":    {`{"text":"x","model":"gtts-slow"}`, 422, []string{"model model_not_enabled"}},
		"speed zero":               {`{"text":"x","speed":0}`, 422, []string{"speed out_of_range"}},
		"speed too high":           {`{"text":"x","speed":4.01}`, 422, []string{"speed out_of_range"}},
		"speed not of this model":  {`{"text":"x","speed":3}`, 422, []string{"speed unsupported_speed"}},
		"format not known":         {`{"text":"x","format":"ogg"}`, 422, []string{"format unsupported_format"}},
		"format not of this model": {`{"text":"x","format":"mp3"}`, 422, []string{"format unsupported_format"}},
		"everything at once": {`{"text":"","language":"?","voice":"zed","speed":9,"format":"flac","model":"nope"}`, 422,
			[]string{"format unsupported_format", "language invalid_language", "model unknown_model", "speed out_of_range", "text required"}},
		"everything of one model": {`{"text":"","language":"fr","voice":"zed","speed":3,"format":"mp3","model":"fake"}`, 422,
			[]string{"format unsupported_format", "language unsupported_language", "speed unsupported_speed", "text required", "voice unknown_voice"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := server.Do("POST", "/speech/generate", testkit.User(1), test.body)
			if answer.Status != test.status {
				t.Fatalf("status %d, want %d: %s", answer.Status, test.status, answer.Body)
			}
			if diff := cmp.Diff(test.wrong, problems(t, answer)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, answer.Body)
			}
			if answer.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("content type %s", answer.Header.Get("Content-Type"))
			}
		})
	}
	b.mustBeEmpty(t)
	if n := provider.calls.Load(); n != 0 {
		t.Errorf("the provider was called %d times", n)
	}
}

func TestWrongContentTypeIsRefused(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	server := testkit.Serve(t, b.Mount)
	response, err := http.Post(server.URL+"/speech/generate", "text/plain", strings.NewReader(`{"text":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if response.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("status %d", response.StatusCode)
	}
	b.mustBeEmpty(t)
}

func TestWhatIsAccepted(t *testing.T) {
	longest := strings.Repeat("é", MaxCharacters)
	tests := map[string]struct {
		body  map[string]any
		model string
		want  map[string]any
	}{
		"the longest text":         {map[string]any{"text": longest}, "fake/one", map[string]any{"text": longest}},
		"newlines and tabs":        {map[string]any{"text": "\r\na\r\n\tb\rc\n"}, "fake/one", map[string]any{"text": "a\n\tb\nc"}},
		"nulls for what is absent": {map[string]any{"text": "x", "voice": nil, "speed": nil, "model": nil}, "fake/one", map[string]any{"voice": "ann"}},
		"an alias":                 {map[string]any{"text": "x", "model": "fake"}, "fake/one", nil},
		"language from the voice":  {map[string]any{"text": "x", "voice": "bea"}, "fake/one", map[string]any{"language": "es", "voice": "bea"}},
		"a region":                 {map[string]any{"text": "x", "language": "en-AU"}, "fake/one", map[string]any{"voice": "ann"}},
		"the slowest":              {map[string]any{"text": "x", "speed": 0.5}, "fake/one", map[string]any{"speed": 0.5}},
		"its own format":           {map[string]any{"text": "x", "format": "wav"}, "fake/one", map[string]any{"format": "wav"}},
	}
	b := newBench(t, newFake(t, "fake"))
	server := testkit.Serve(t, b.Mount)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := server.Do("POST", "/speech/generate", testkit.Nobody, test.body)
			if answer.Status != http.StatusCreated {
				t.Fatalf("status %d: %s", answer.Status, answer.Body)
			}
			got := answer.JSON(t)
			for field, want := range test.want {
				if got[field] != want {
					t.Errorf("%s = %v, want %v", field, got[field], want)
				}
			}
		})
	}
}

func FuzzRequestIsMadeWhole(f *testing.F) {
	f.Add("Hello", "en", "slt", "mp3", 1.0)
	f.Add(" \r\n\x00", "zh-hant-tw", "\x1b", "ogg", -1.0)
	f.Fuzz(func(t *testing.T, text, language, voice, format string, speed float64) {
		got, _ := Request{Text: text, Language: language, Voice: voice, Format: "wav", Speed: speed}.checked()
		n := utf8.RuneCountInString(got.Text)
		if n < 1 || n > MaxCharacters || strings.ContainsFunc(got.Text, forbidden) || !utf8.ValidString(got.Text) ||
			got.Speed < MinSpeed || got.Speed > MaxSpeed {
			t.Fatalf("%+v", got)
		}
	})
}
