package image

import (
	"net/http"
	"strings"
	"testing"

	"llmhist/platform/testkit"
)

func TestA1111IsSentWhatItsAPINames(t *testing.T) {
	for name, answer := range map[string]string{
		"bare base64": `{"images":["` + encoded(pngBytes(t)) + `"],"parameters":{},"info":"{\"seed\":3}"}`,
		"a data URL":  `{"images":["data:image/png;base64,` + encoded(pngBytes(t)) + `"],"info":""}`,
	} {
		t.Run(name, func(t *testing.T) {
			u := serveUpstream(t, answerJSON(200, answer))
			config := u.as(typeA1111)
			config.Upstreams[0].Steps = 4
			f := start(t, config)
			record := f.record(f.generate(testkit.User(1), map[string]any{"style": "oil", "negative_prompt": "fog", "seed": 3, "model": "m-2"}))
			const want = `{"prompt":"a red fox\n\nStyle: oil","negative_prompt":"fog","width":64,"height":64,"steps":4,"seed":3,"batch_size":1,"n_iter":1,` +
				`"send_images":true,"save_images":false,"override_settings":{"sd_model_checkpoint":"m-2"},"override_settings_restore_afterwards":true}`
			r, body := u.sent()
			user, password, _ := r.BasicAuth()
			if body != want || r.URL.Path != "/sdapi/v1/txt2img" || user != "user" || password != testKey {
				t.Errorf("%s %s %v", r.URL, body, r.Header)
			}
			if record.Provider != "fake" || record.Model != "m-2" || *record.Seed != 3 || record.SentPrompt != "a red fox\n\nStyle: oil" || record.Width != 96 {
				t.Errorf("%+v", record)
			}
			if taken := f.module.Upstreams()[0].InFlight; taken != 0 {
				t.Errorf("%d places are still taken", taken)
			}
		})
	}
}

func TestA1111MakesSidesOfMultiplesOfEight(t *testing.T) {
	u := serveUpstream(t, answerJSON(200, `{}`))
	f := start(t, u.as(typeA1111))
	answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x","size":"100x64"}`)
	if answer.Status != http.StatusUnprocessableEntity || u.calls.Load() != 0 || !strings.Contains(string(answer.Body), "multiple of 8") {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}

func TestAnAnswerOfA1111WithoutAPictureIsNamed(t *testing.T) {
	for body, code := range map[string]string{
		`{"images":[]}`:       "provider_no_picture",
		`{"images":["%%%"]}`:  "provider_bad_answer",
		`{"images":["AAAA"]}`: "provider_bad_picture",
		`[]`:                  "provider_bad_answer",
	} {
		t.Run(body, func(t *testing.T) {
			f := start(t, serveUpstream(t, answerJSON(200, body)).as(typeA1111))
			if answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x"}`); answer.Code() != code || !strings.Contains(string(answer.Body), "fake") {
				t.Errorf("%s", answer.Body)
			}
		})
	}
}

func TestA1111NeedsNothingButAModel(t *testing.T) {
	list, err := Config{Upstreams: []Upstream{{Name: "webui", Type: typeA1111, DefaultModel: "sdxl"}}}.Describe()
	if err != nil || !strings.Contains(list[0].Note, "127.0.0.1:7860") || list[0].Endpoint.HasKey {
		t.Errorf("%+v %v", list, err)
	}
}
