package probe

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"llmhist/platform/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve returns an endpoint whose list is answered by handler.
func serve(t *testing.T, handler http.HandlerFunc) Endpoint {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return Endpoint{
		BaseURL: server.URL + "/v1", ListURL: server.URL + "/v1/models", HasKey: true,
		Authorize: func(header http.Header) { header.Set("Authorization", "Bearer hidden") },
	}
}

func TestModelsAreReadInEveryUsualShape(t *testing.T) {
	ends := time.Date(2027, 1, 6, 0, 0, 0, 0, time.UTC)
	for body, want := range map[string]Models{
		`{"object":"list","data":[{"id":"a","shutdown_date":"2027-01-06"},{"id":"b","shutdown_date":null}]}`: {{ID: "a", Ends: ends}, {ID: "b"}},
		`{"object":"list","data":[]}`:                {},
		`{"models":[{"name":"m:latest"}]}`:           {{ID: "m:latest"}},
		`{"voices":[{"name":"en-US-Neural2-C"}]}`:    {{ID: "en-US-Neural2-C"}},
		`["flux","turbo"]`:                           {{ID: "flux"}, {ID: "turbo"}},
		`[{"name":"o/flux","aliases":["flux"]}]`:     {{ID: "o/flux", Aliases: []string{"flux"}}},
		`[{"id":"openai/gpt-4o","shutdown_date":5}]`: {{ID: "openai/gpt-4o"}},
		`[{"title":"sd15.safetensors [6ce0161689]","model_name":"sd15","hash":"6ce0161689"}]`: {{ID: "sd15", Aliases: []string{"sd15.safetensors [6ce0161689]", "sd15.safetensors"}}},
		`[{"title":"new.safetensors","model_name":"new","hash":null}]`:                        {{ID: "new", Aliases: []string{"new.safetensors", "new.safetensors"}}},
		`{"error":"no"}`: nil,
		`"text"`:         nil,
		``:               nil,
	} {
		endpoint := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Path != "/v1/models" || r.Header.Get("Authorization") != "Bearer hidden" {
				t.Errorf("asked with %s %s", r.Method, r.URL.Path)
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		})
		models, err := List(t.Context(), "one", endpoint)
		if want == nil {
			if fault.CodeOf(err) != "provider_bad_answer" {
				t.Errorf("%s: %v %v", body, models, err)
			}
			continue
		}
		if diff := cmp.Diff(want, models); diff != "" || err != nil {
			t.Errorf("%s: %v %s", body, err, diff)
		}
	}
}

func TestAListCanBeAnObjectWithAMemberOfEachName(t *testing.T) {
	for body, want := range map[string]string{`{"en_US-lessac-medium":{"audio":{"sample_rate":22050}}}`: "en_US-lessac-medium", `{}`: "", `{"detail":"no"}`: "error", `[]`: "error"} {
		endpoint := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		})
		endpoint.Members = true
		models, err := List(t.Context(), "one", endpoint)
		switch {
		case want == "error":
			if fault.CodeOf(err) != "provider_bad_answer" {
				t.Errorf("%s: %v %v", body, models, err)
			}
		case err != nil, want == "" && len(models) != 0, want != "" && (len(models) != 1 || models[0].ID != want):
			t.Errorf("%s: %v %v", body, models, err)
		}
	}
}

func TestFindTakesAliasesAndTheLatestTag(t *testing.T) {
	models := Models{{ID: "owner/flux", Aliases: []string{"flux"}}, {ID: "llama3:latest"}, {ID: "demo:1b"}}
	for id, want := range map[string]bool{"flux": true, "owner/flux": true, "llama3": true, "llama3:latest": true, "llama3:8b": false, "demo": false, "": false} {
		if _, found := models.Find(id); found != want {
			t.Errorf("%q: %v", id, found)
		}
	}
}

func TestWhatIsNoListIsNamedWithoutTheProvidersWords(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		code   string
	}{
		"a web page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<html>hidden</html>")
		}, "provider_bad_answer"},
		"a refused key": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"message":"bad key hidden"}}`)
		}, "provider_credentials_refused"},
		"nothing there": {http.NotFound, "provider_model_not_found"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:1/hidden", http.StatusFound)
		}, "provider_redirected"},
		"no end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 10 << 10 {
				if _, err := fmt.Fprint(w, strings.Repeat(" ", 1<<10)); err != nil {
					return
				}
			}
		}, "provider_answer_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := List(t.Context(), "one", serve(t, test.answer))
			if fault.CodeOf(err) != test.code || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%v, want %s", err, test.code)
			}
		})
	}
}

func TestAProviderThatHangsIsLeftInTime(t *testing.T) {
	defer func(usual time.Duration) { answerTime = usual }(answerTime)
	answerTime = 50 * time.Millisecond
	for name, before := range map[string]string{"at once": "", "in its answer": `{"data":[`} {
		endpoint := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if before != "" {
				fmt.Fprint(w, before)
				_ = http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		})
		if _, err := List(t.Context(), "one", endpoint); fault.CodeOf(err) != "provider_timeout" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAProviderThatHangsIsLeftWithTheCaller(t *testing.T) {
	endpoint := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := List(ctx, "one", endpoint); err == nil {
		t.Error("it answered")
	}
}

func TestAnEndpointThatIsPrintedShowsNoKey(t *testing.T) {
	secret := "hidden"
	endpoint := Endpoint{Authorize: func(header http.Header) { header.Set("Authorization", secret) }}
	if text := fmt.Sprintf("%+v %#v", endpoint, endpoint); strings.Contains(text, secret) {
		t.Error(text)
	}
}
