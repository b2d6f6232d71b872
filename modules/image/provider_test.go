package image

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/outbound"
	"llmhist/platform/testkit"
)

func answerJSON(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func answerBytes(kind string, data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("X-Model-Used", "vendor/flux-9")
		_, _ = w.Write(data)
	}
}

func encoded(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func TestWhateverAProviderSendsAPNGIsStored(t *testing.T) {
	png, jpeg := pngBytes(t), jpegBytes(t)
	var linked *upstream
	for name, c := range map[string]struct {
		kind   string
		answer http.HandlerFunc
		source string
	}{
		"base64 PNG":    {typeOpenAI, answerJSON(200, `{"data":[{"b64_json":"`+encoded(png)+`","revised_prompt":"better"}]}`), "image/png"},
		"base64 JPEG":   {typeOpenAI, answerJSON(200, `{"data":[{"b64_json":"`+encoded(jpeg)+`"}]}`), "image/jpeg"},
		"a data URL":    {typeOpenAI, answerJSON(200, `{"data":[{"url":"data:image/png;base64,`+encoded(png)+`"}]}`), "image/png"},
		"a data base64": {typeOpenAI, answerJSON(200, `{"data":[{"b64_json":"data:image/png;base64,`+encoded(png)+`"}]}`), "image/png"},
		"an own link": {typeOpenAI, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/files/1.jpg" {
				if r.Header.Get("Authorization") != "" {
					t.Error("the key went along to the link")
				}
				answerBytes("text/plain", jpeg)(w, r)
				return
			}
			answerJSON(200, `{"data":[{"url":"`+linked.URL+`/files/1.jpg"}]}`)(w, r)
		}, "image/jpeg"},
		"a raw JPEG": {typePollinations, answerBytes("image/jpeg", jpeg), "image/jpeg"},
		"a raw PNG":  {typePollinations, answerBytes("application/octet-stream", png), "image/png"},
	} {
		t.Run(name, func(t *testing.T) {
			u := serveUpstream(t, c.answer)
			linked = u
			f := start(t, u.as(c.kind))
			record := f.record(f.generate(testkit.User(1), nil))
			if record.SourceContentType != c.source || record.Width != 96 || record.Height != 48 || record.ContentType != pngType ||
				record.Provider != "fake" || record.Model != "m-1" {
				t.Errorf("%+v", record)
			}
			if stored := f.read(record.S3Key); !strings.HasPrefix(string(stored), "\x89PNG\r\n") || int64(len(stored)) != record.FileSizeBytes {
				t.Error("not a PNG")
			}
			if hasSeed := record.Seed != nil; hasSeed != (c.kind == typePollinations) {
				t.Errorf("seed %v", record.Seed)
			}
			if c.kind == typePollinations && record.ProviderModel != "vendor/flux-9" {
				t.Errorf("the model used is %q", record.ProviderModel)
			}
		})
	}
}

func TestAProvidersFaultsNameItAndLeakNothing(t *testing.T) {
	echo := `{"error":{"code":"x","message":"bad key ` + testKey + ` for a red fox"}}`
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		status int
		code   string
	}{
		"a refused key is the operator's":   {answerJSON(401, echo), 502, "provider_credentials_refused"},
		"no credit is the operator's":       {answerJSON(402, `{"error":{"code":"PAYMENT_REQUIRED"}}`), 502, "provider_out_of_credit"},
		"a forbidden model":                 {answerJSON(403, echo), 502, "provider_forbidden"},
		"an unknown model":                  {answerJSON(404, echo), 502, "provider_model_not_found"},
		"a retired service":                 {answerJSON(410, echo), 502, "provider_retired"},
		"input it refuses is the user's":    {answerJSON(400, echo), 422, "provider_refused_input"},
		"a policy is the user's":            {answerJSON(422, `{"error":{"code":"content_policy_violation"}}`), 422, "provider_refused_input"},
		"overload, flat":                    {answerJSON(429, `{"error":"Rate limit exceeded","retryAfterSeconds":3}`), 503, "provider_rate_limited"},
		"a used-up quota":                   {answerJSON(429, `{"error":{"code":"insufficient_quota"}}`), 502, "provider_out_of_credit"},
		"a fault of its own":                {answerJSON(500, "<html>oops "+testKey), 503, "provider_unavailable"},
		"a page instead of an answer":       {answerBytes("text/html", []byte("<!doctype html><p>a red fox "+testKey)), 502, ""},
		"an SVG":                            {answerBytes("image/png", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)), 502, ""},
		"half a picture":                    {answerBytes("image/png", pngBytes(t)[:200]), 502, ""},
		"no bytes at all":                   {answerBytes("image/png", nil), 502, ""},
		"garbage":                           {answerBytes("application/json", []byte{0xff, 0x00, 0x17}), 502, ""},
		"a connection cut in the middle":    {cutOff, 502, "provider_cut_off"},
		"more bytes than accepted":          {answerBytes("image/png", make([]byte, 3<<20)), 502, "provider_answer_too_large"},
		"a redirect to another host":        {redirectTo("http://192.0.2.1/x"), 502, "provider_redirected"},
		"a redirect without an end":         {redirectTo("/again"), 502, "provider_redirected"},
		"a wait that lasts longer than due": {silent, 504, "provider_timeout"},
	} {
		for _, kind := range []string{typeOpenAI, typePollinations, typeA1111} {
			if kind == typeA1111 && c.code == "provider_model_not_found" {
				c.code = "provider_api_off"
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				u := serveUpstream(t, c.answer)
				config := u.as(kind)
				config.Upstreams[0].Limits = outbound.Limits{MaxBytes: 2 << 20}
				if c.code == "provider_timeout" {
					config.Upstreams[0].Limits.FirstByte = 50 * time.Millisecond
				}
				f := start(t, config)
				answer := f.do("POST", "/image/generate", testkit.User(1), map[string]any{"prompt": "a red fox"})
				if answer.Status != c.status || c.code != "" && answer.Code() != c.code {
					t.Fatalf("%d %s", answer.Status, answer.Body)
				}
				id, _ := answer.JSON(t)["id"].(string)
				text := string(answer.Body) + string(f.read("requests/2026/11/23/"+id+"/record.json")) + f.row(id).Failure.Detail
				if strings.Contains(text, testKey) || strings.Contains(answerDetail(t, answer), "red fox") || !strings.Contains(text, `fake`) {
					t.Errorf("leaks or is nameless: %s", text)
				}
				f.mustBeFailed(id, answer.Code())
			})
		}
	}
}

func answerDetail(t *testing.T, answer testkit.Answer) string {
	detail, _ := answer.JSON(t)["detail"].(string)
	return detail
}

func (f *fixture) row(id string) Image {
	f.t.Helper()
	image, err := f.module.service.repository.Find(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return image
}

// mustBeFailed checks that record, row and index agree on a failure.
func (f *fixture) mustBeFailed(id, code string) {
	f.t.Helper()
	record, row := f.record(id), f.row(id)
	if record.Status != StatusFailed || record.Error == nil || record.Error.Code != code || record.S3Key != "" {
		f.t.Errorf("record %+v", record)
	}
	if row.Status != StatusFailed || row.Failure.Code != code || row.Key != "" || row.FinishedAt.IsZero() {
		f.t.Errorf("row %+v", row)
	}
	if len(f.objects("requests/")) != 2 || len(f.lines("users/1/")) != 1 {
		f.t.Errorf("objects %v, lines %v", f.objects(""), f.lines("users/1/"))
	}
}

func cutOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "5000")
	_, _ = w.Write([]byte("\x89PNG\r\n\x1a\n"))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func redirectTo(target string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) }
}

func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	u := serveUpstream(t, silent)
	u.Server.Close()
	f := start(t, u.as(typeOpenAI))
	answer := f.do("POST", "/image/generate", testkit.User(1), map[string]any{"prompt": "a red fox"})
	if answer.Status != 503 || answer.Code() != "provider_unavailable" || !strings.Contains(string(answer.Body), "fake") {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}

func TestTheRequestIsThePortableOne(t *testing.T) {
	answer := answerJSON(200, `{"data":[{"b64_json":"`+encoded(pngBytes(t))+`"}],"usage":{"input_tokens":3,"output_tokens":40}}`)
	u := serveUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		if _, has := body["response_format"]; has {
			answerJSON(400, `{"error":{"message":"Unknown parameter: 'response_format'.","param":"response_format","code":"unknown_parameter"}}`)(w, r)
			return
		}
		answer(w, r)
	})
	f := start(t, u.as(typeOpenAI))
	record := f.record(f.generate(testkit.User(1), map[string]any{"style": "oil", "negative_prompt": "fog", "seed": 3, "model": "fake/m-2"}))
	const prompt = "a red fox\n\nStyle: oil\n\nAvoid: fog"
	r, body := u.sent()
	want := `{"model":"m-2","prompt":"a red fox\n\nStyle: oil\n\nAvoid: fog","n":1,"size":"64x64"}`
	if body != want || r.URL.Path != "/v1/images/generations" || r.Header.Get("Authorization") != "Bearer "+testKey ||
		r.Header.Get("X-Request-Id") != record.RequestID || record.SentPrompt != prompt || record.Seed != nil {
		t.Errorf("%s %s %v, record %+v", r.URL, body, r.Header, record)
	}
	if u.calls.Load() != 2 {
		t.Fatalf("%d calls, want one with response_format and one without", u.calls.Load())
	}
	if f.generate(testkit.User(1), map[string]any{"model": "m-2"}); u.calls.Load() != 3 {
		t.Error("the refusal was not remembered")
	}
}

func TestARefusedPromptIsNotSentTwice(t *testing.T) {
	u := serveUpstream(t, answerJSON(400, `{"error":{"code":"moderation_blocked","param":"prompt"}}`))
	f := start(t, u.as(typeOpenAI))
	if answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x"}`); answer.Status != 422 || u.calls.Load() != 1 {
		t.Errorf("%d after %d calls", answer.Status, u.calls.Load())
	}
}

func TestTheNextProviderTakesOverOnlyWhereItMay(t *testing.T) {
	for name, c := range map[string]struct {
		answer   http.HandlerFunc
		body     string
		status   int
		provider string
		asked    int64
	}{
		"an outage":                      {answerJSON(500, ""), `{"prompt":"x","size":"64x64"}`, 201, "local", 3},
		"a refused key":                  {answerJSON(401, ""), `{"prompt":"x","size":"64x64"}`, 201, "local", 1},
		"garbage":                        {answerBytes("image/png", []byte("x")), `{"prompt":"x","size":"64x64"}`, 201, "local", 1},
		"the user's fault":               {answerJSON(400, ""), `{"prompt":"x"}`, 422, "fake", 1},
		"too much input":                 {answerJSON(413, ""), `{"prompt":"x"}`, 413, "fake", 1},
		"a model that was named":         {answerJSON(500, ""), `{"prompt":"x","model":"m-1"}`, 503, "fake", 3},
		"a style the next does not know": {answerJSON(500, ""), `{"prompt":"x","style":"oil"}`, 503, "fake", 3},
	} {
		t.Run(name, func(t *testing.T) {
			u := serveUpstream(t, c.answer)
			config := u.as(typeOpenAI)
			config.Providers = []string{"fake", "local"}
			f := start(t, config)
			answer := f.do("POST", "/image/generate", testkit.User(1), c.body)
			id, _ := answer.JSON(t)["id"].(string)
			record := f.record(id)
			if answer.Status != c.status || record.Provider != c.provider || f.row(id).Provider != c.provider || int64(u.calls.Load()) != c.asked {
				t.Errorf("%d %s after %d calls, record %+v", answer.Status, answer.Body, u.calls.Load(), record)
			}
			if failed := len(record.Attempts); failed != map[string]int{"local": 1, "fake": 0}[c.provider] {
				t.Errorf("attempts %v", record.Attempts)
			}
		})
	}
}

// expiring is a context whose deadline passes when over is closed.
type expiring struct {
	context.Context
	over chan struct{}
}

func (e expiring) Done() <-chan struct{} { return e.over }

func (e expiring) Err() error {
	select {
	case <-e.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestTheRoutesDeadlineIsAFailure(t *testing.T) {
	over := make(chan struct{})
	u := serveUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(over)
		<-r.Context().Done()
	})
	f := start(t, u.as(typeOpenAI))
	_, err := f.module.service.Generate(expiring{identity.With(t.Context(), identity.Identity{UserID: 1}), over}, Params{Prompt: "x"})
	var known *fault.Error
	if !errors.As(err, &known) || known.Code != "timeout" {
		t.Fatalf("got %v", err)
	}
	id, _ := known.Extra["id"].(string)
	f.mustBeFailed(id, "timeout")
}

func TestWaitingForACoreEndsWithTheCaller(t *testing.T) {
	cores := make(gate, 1)
	if err := cores.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := (&local{cores: cores}).generate(ctx, Task{Size: Size{64, 64}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("rendered beside another: %v", err)
	}
	if _, err := convert(ctx, cores, "p", pngBytes(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("converted beside another: %v", err)
	}
	cores.leave()
	if _, err := (&local{cores: cores}).generate(t.Context(), Task{Size: Size{64, 64}}); err != nil {
		t.Error(err)
	}
}

func TestEveryCallGivesItsPlaceBack(t *testing.T) {
	picture := answerBytes("image/png", pngBytes(t))
	document := answerJSON(200, fmt.Sprintf(`{"data":[{"b64_json":%q}]}`, base64.StdEncoding.EncodeToString(pngBytes(t))))
	for status, answers := range map[int]map[bool]http.HandlerFunc{
		201: {true: document, false: picture},
		503: {true: answerJSON(500, "{}"), false: answerJSON(500, "{}")},
	} {
		for prompt, kind := range map[string]string{"x": typePollinations, strings.Repeat("x", maxPathPrompt+1): typePollinations, "y": typeOpenAI} {
			u := serveUpstream(t, func(w http.ResponseWriter, r *http.Request) { answers[r.Method == http.MethodPost](w, r) })
			f := start(t, u.as(kind))
			if made := f.do("POST", "/image/generate", testkit.User(1), map[string]any{"prompt": prompt}); made.Status != status {
				t.Errorf("%d %s", made.Status, made.Body)
			}
			var api *imagesAPI
			switch p := f.module.service.router.providers[0].(type) {
			case *openAI:
				api = p.api
			case *pollinations:
				api = p.api
			}
			if taken := int(api.caller.client.Status().InFlight) + len(api.cores); taken != 0 {
				t.Errorf("%d by %s: %d places are still taken", status, kind, taken)
			}
		}
	}
}
