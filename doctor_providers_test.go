package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"llmhist/config"
	"llmhist/modules/chat"
	"llmhist/modules/image"
	"llmhist/modules/speech"
	"llmhist/platform/fault"
	"llmhist/platform/probe"
)

// atTheEndOfNovember is the day the tests of dates take place.
var atTheEndOfNovember = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestRetiredAddressesAndDeadModelsAreFound(t *testing.T) {
	for name, test := range map[string]struct {
		set    func(*config.Config)
		area   string
		status status
		detail string // a part of it
		action string
	}{
		"the first address of GitHub Models": {func(c *config.Config) {
			c.Chat.Upstreams = []chat.Upstream{{Name: "old", BaseURL: "https://models.inference.ai.azure.com", DefaultModel: "m"}}
		}, areaProvider, statusError, "models.inference.ai.azure.com", "chat.upstreams[old].base_url"},
		"GitHub Models": {func(c *config.Config) { c.GitHub.Token, c.Chat.Providers = "hidden", []string{"github"} },
			areaProvider, statusError, "2026-07-30", "OPENAI_BASE_URL"},
		"GitHub Models as OpenAI": {func(c *config.Config) {
			c.OpenAI.BaseURL, c.OpenAI.APIKey, c.OpenAI.DefaultModel = "https://models.github.ai/inference", "hidden", "m"
		}, areaProvider, statusError, "models.github.ai", "OPENAI_BASE_URL"},
		"a token for GitHub that is not used": {func(c *config.Config) { c.GitHub.Token = "hidden" },
			areaProvider, statusWarning, "not used", "GITHUB_TOKEN"},
		"the old Pollinations": {func(c *config.Config) {
			c.Pollinations.APIURL, c.Pollinations.APIKey = "https://image.pollinations.ai", "hidden"
		}, areaProvider, statusError, "image.pollinations.ai", "POLLINATIONS_API_URL"},
		"the old Pollinations that is not used": {func(c *config.Config) { c.Pollinations.APIURL = "https://image.pollinations.ai" },
			areaConfig, statusWarning, "image.pollinations.ai", "gen.pollinations.ai"},
		"the old Pollinations for text": {func(c *config.Config) {
			c.Chat.Upstreams = []chat.Upstream{{Name: "text", BaseURL: "https://text.pollinations.ai/openai", DefaultModel: "openai"}}
		}, areaProvider, statusError, "text.pollinations.ai", "chat.upstreams[text].base_url"},
		"the old Pollinations for sign-in": {func(c *config.Config) {
			c.Speech.Upstreams = []speech.Upstream{{Name: "p", BaseURL: "https://auth.pollinations.ai/v1", DefaultModel: "m"}}
		}, areaProvider, statusError, "auth.pollinations.ai", "speech.upstreams[p].base_url"},
		"Pollinations without a key": {func(c *config.Config) { c.Image.Providers = []string{"pollinations"} },
			areaProvider, statusError, "no key", "POLLINATIONS_API_KEY"},
		"OpenAI without a key": {func(c *config.Config) { c.OpenAI.DefaultModel = "gpt-6-luna" },
			areaProvider, statusError, "no key", "OPENAI_API_KEY"},
		"a chat model that is gone": {withModel("gpt-3.5-turbo"), areaProvider, statusError, "gpt-3.5-turbo down on 2026-10-23", "OPENAI_DEFAULT_MODEL"},
		"a chat model that ends":    {withModel("gpt-4o-mini"), areaProvider, statusWarning, "gpt-4o-mini down on 2027-01-14", "OPENAI_DEFAULT_MODEL"},
		"a snapshot that is gone":   {withModel("gpt-4-0613"), areaProvider, statusError, "2026-10-23", "OPENAI_DEFAULT_MODEL"},
		"a further model that is gone": {func(c *config.Config) {
			c.OpenAI.APIKey, c.OpenAI.DefaultModel, c.OpenAI.Models = "hidden", "gpt-6-luna", []string{"o1"}
		}, areaProvider, statusError, "o1 down on 2026-10-23", "OPENAI_MODELS"},
		"a picture model that is gone": {withPictures("dall-e-3"), areaProvider, statusError, "dall-e-3 down on 2026-05-12",
			"gpt-image-2"},
		"a picture model that ends tomorrow": {withPictures("gpt-image-1-mini"), areaProvider, statusWarning, "2026-12-01", "image.upstreams[o].default_model"},
		"a voice that ends": {func(c *config.Config) {
			c.Speech.Upstreams = []speech.Upstream{{Name: "o", BaseURL: "https://api.openai.com/v1", APIKey: "hidden", DefaultModel: "tts-1"}}
		}, areaProvider, statusWarning, "tts-1 down on 2027-01-06", "speech.upstreams[o].default_model"},
		"a dead name at a reseller": {func(c *config.Config) {
			c.OpenAI.BaseURL, c.OpenAI.DefaultModel = "https://llm.example.com/v1", "openai/o1"
		}, areaProvider, statusWarning, "llm.example.com", "--online"},
	} {
		t.Run(name, func(t *testing.T) {
			d := (&examination{cfg: doctorsConfig(t, test.set), now: atTheEndOfNovember}).run(t.Context())
			found := d.only(test.area)
			if len(found) != 1 || found[0].Status != test.status || !strings.Contains(found[0].Detail, test.detail) || !strings.Contains(found[0].Action, test.action) {
				t.Errorf("%+v", found)
			}
			if d.Worst != test.status || strings.Contains(d.table(), "hidden") {
				t.Errorf("worst %s\n%s", d.Worst, d.table())
			}
		})
	}
}

func withModel(model string) func(*config.Config) {
	return func(c *config.Config) { c.OpenAI.APIKey, c.OpenAI.DefaultModel = "hidden", model }
}

func withPictures(model string) func(*config.Config) {
	return func(c *config.Config) {
		c.Image.Upstreams = []image.Upstream{{Name: "o", BaseURL: "https://api.openai.com/v1", APIKey: "hidden", DefaultModel: model}}
	}
}

func TestNamesOfOnesOwnAreNoDeadModels(t *testing.T) {
	for _, base := range []string{"http://127.0.0.1:1/v1", "http://ollama:11434/v1", "https://r.openai.azure.com/openai/v1"} {
		cfg := doctorsConfig(t, func(c *config.Config) { c.OpenAI.BaseURL, c.OpenAI.DefaultModel = base, "gpt-4" })
		if d := (&examination{cfg: cfg, now: atTheEndOfNovember}).run(t.Context()); d.Worst != statusOK {
			t.Errorf("%s:\n%s", base, d.table())
		}
	}
}

func TestProvidersThatAreAskedSayWhatIsWrong(t *testing.T) {
	refuse := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":{"message":"not with %s"}}`, r.Header.Get("Authorization"))
		}
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		status status
		detail string
		action string
	}{
		"a listed model":    {func(w http.ResponseWriter, _ *http.Request) { list1(w, "demo-1") }, statusOK, "took the key", ""},
		"an unlisted model": {func(w http.ResponseWriter, r *http.Request) { list1(w, r.Header.Get("Authorization")) }, statusWarning, "does not list the model demo-1", "OPENAI_DEFAULT_MODEL"},
		"a model that ends": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"data":[{"id":"demo-1","shutdown_date":"2027-01-06"}]}`)
		}, statusWarning, "2027-01-06", "OPENAI_DEFAULT_MODEL"},
		"a refused key":     {refuse(401), statusError, "refused the key", "OPENAI_API_KEY"},
		"a weak key":        {refuse(403), statusError, "does not allow", "OPENAI_API_KEY"},
		"no credit":         {refuse(402), statusError, "no credit", "Top it up"},
		"no list":           {refuse(404), statusWarning, "/v1/models", "OPENAI_BASE_URL"},
		"retired":           {refuse(410), statusError, "retired", "OPENAI_BASE_URL"},
		"too many requests": {refuse(429), statusWarning, "limiting", "later"},
		"a fault of theirs": {refuse(500), statusError, "fault", "OPENAI_BASE_URL"},
		"a strange answer":  {refuse(418), statusError, "not understood", "OPENAI_BASE_URL"},
		"a web page": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, "<html>%s</html>", r.Header.Get("Authorization"))
		}, statusError, "not with a list of models", "OPENAI_BASE_URL"},
		"a redirection": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.9:1/", http.StatusFound)
		}, statusError, "redirects", "OPENAI_BASE_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			provider := newLister(t, test.answer)
			cfg := doctorsConfig(t, withRemote(provider.URL+"/v1"))
			d := (&examination{cfg: cfg, now: atTheEndOfNovember, online: true}).run(t.Context())
			found := asked(d)
			if len(found) != 1 || found[0].Status != test.status || !strings.Contains(found[0].Detail, test.detail) || !strings.Contains(found[0].Action, test.action) {
				t.Errorf("%+v", found)
			}
			if strings.Contains(d.table(), "sk-remote") || strings.Contains(d.table(), "Bearer") {
				t.Errorf("a key in\n%s", d.table())
			}
		})
	}
}

func TestAProviderThatIsAwayOrSlowNamesItsAddress(t *testing.T) {
	gone := newLister(t, http.NotFound)
	gone.Close()
	cfg := doctorsConfig(t, withRemote(gone.URL+"/v1"))
	d := (&examination{cfg: cfg, now: atTheEndOfNovember, online: true}).run(t.Context())
	if found := asked(d); len(found) != 1 || found[0].Status != statusError || !strings.Contains(found[0].Detail, "cannot be reached") || !strings.Contains(found[0].Action, "OPENAI_BASE_URL") {
		t.Errorf("away: %+v", found)
	}
	slow := providerLine{module: "chat", name: "openai", endpoint: &probe.Endpoint{
		BaseURL: "http://h/v1", ListURL: "http://h/v1/models", Settings: probe.Settings{Address: "OPENAI_BASE_URL"},
	}}
	f := slow.judgeSilence(fault.New(fault.Timeout, "provider_timeout", "Slow."))
	if f.Status != statusError || !strings.Contains(f.Detail, "10 seconds") || !strings.Contains(f.Action, "OPENAI_BASE_URL") {
		t.Errorf("slow: %+v", f)
	}
}

// asked returns what a provider said itself: the findings after what is known
// of it without asking.
func asked(d diagnosis) []finding {
	list, first := []finding{}, true
	for _, f := range d.Findings {
		if f.Area != areaProvider || f.Name != "chat/openai" {
			continue
		}
		if !first {
			list = append(list, f)
		}
		first = false
	}
	return list
}

func TestAProviderThatHangsDoesNotKeepTheDoctor(t *testing.T) {
	provider := newLister(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cfg := doctorsConfig(t, withRemote(provider.URL+"/v1"))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	d := (&examination{cfg: cfg, now: atTheEndOfNovember, online: true}).run(ctx)
	if found := asked(d); len(found) != 1 || found[0].Status != statusSkipped || !strings.Contains(found[0].Detail, "time was over") {
		t.Errorf("%+v", found)
	}
}

func TestWhatCannotBeAskedIsSkippedAndLeavesNothingBehind(t *testing.T) {
	left := goleak.IgnoreCurrent()
	cfg := doctorsConfig(t, func(c *config.Config) {
		c.Speech.Providers = []string{"gtts"}
		c.GitHub.Token, c.Chat.Providers = "hidden", []string{"github"}
	})
	d := (&examination{cfg: cfg, now: atTheEndOfNovember, online: true}).run(t.Context())
	why := map[string]string{"speech/gtts": "without generating", "chat/github": "no key is sent there"}
	for _, f := range d.Findings {
		if f.Status == statusSkipped {
			if part := why[f.Name]; part == "" || !strings.Contains(f.Detail, part) {
				t.Errorf("%+v", f)
			}
			delete(why, f.Name)
		}
	}
	if len(why) > 0 {
		t.Errorf("not skipped: %v\n%s", why, d.table())
	}
	goleak.VerifyNone(t, left)
}

func TestPicturesAndVoicesAreAskedAtTheirOwnLists(t *testing.T) {
	paths := make(chan string, 8)
	provider := newLister(t, func(w http.ResponseWriter, r *http.Request) {
		paths <- r.URL.Path + " " + r.Header.Get("Authorization")
		list1(w, "m")
	})
	cfg := doctorsConfig(t, func(c *config.Config) {
		c.Pollinations.APIURL, c.Pollinations.APIKey, c.Pollinations.DefaultModel = provider.URL+"/p", "k1", "m"
		c.Image.Upstreams = []image.Upstream{{Name: "i", BaseURL: provider.URL + "/i/v1", APIKey: "k2", DefaultModel: "m"}}
		c.Speech.Upstreams = []speech.Upstream{{Name: "s", BaseURL: provider.URL + "/s/v1/", APIKey: "k3", DefaultModel: "m"}}
		c.Chat.Upstreams = []chat.Upstream{{Name: "g", Type: "github", BaseURL: provider.URL + "/inference", APIKey: "k4", DefaultModel: "m"}}
	})
	d := (&examination{cfg: cfg, now: atTheEndOfNovember, online: true}).run(t.Context())
	if d.Worst != statusOK {
		t.Errorf("%s", d.table())
	}
	got := map[string]bool{}
	for range len(paths) {
		got[<-paths] = true
	}
	for _, want := range []string{"/p/image/models Bearer k1", "/i/v1/models Bearer k2", "/s/v1/models Bearer k3", "/catalog/models Bearer k4"} {
		if !got[want] {
			t.Errorf("not asked: %s of %v", want, got)
		}
	}
}

// Servers of pictures and voices that run beside this one are asked for what they have.
func TestServersOfPicturesAndVoicesSayWhatTheyHave(t *testing.T) {
	answers := map[string]string{
		"/sdapi/v1/sd-models": `[{"title":"sd15.safetensors [6ce0161689]","model_name":"sd15"}]`,
		"/voices":             `{"en_US-lessac-medium":{"audio":{"sample_rate":22050}}}`,
	}
	server := newLister(t, func(w http.ResponseWriter, r *http.Request) {
		if answers[r.URL.Path] == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(answers[r.URL.Path]))
	})
	ask := func(model, voice, base string) map[string]finding {
		cfg := doctorsConfig(t, func(c *config.Config) {
			c.Image.Upstreams = []image.Upstream{{Name: "i", Type: "a1111", BaseURL: base, DefaultModel: model}}
			c.Speech.Upstreams = []speech.Upstream{{Name: "s", Type: "piper", BaseURL: base, Voices: []string{"en_US-lessac-medium", voice}}}
		})
		found := map[string]finding{}
		for _, f := range (&examination{cfg: cfg, now: atTheEndOfNovember, online: true}).run(t.Context()).Findings {
			found[f.Name] = f // what was answered comes last
		}
		return found
	}
	for name, test := range map[string]struct {
		found        map[string]finding
		status       status
		image, voice string // parts of what is said
	}{
		"there":   {ask("sd15", "en_US-lessac-medium", server.URL), statusOK, "all configured models", "all configured voices"},
		"by hash": {ask("sd15.safetensors [6ce0161689]", "en_US-lessac-medium", server.URL), statusOK, "all configured models", "all configured voices"},
		"missing": {ask("sdxl", "de_DE-thorsten-low", server.URL), statusWarning, "does not list the model sdxl", "does not list the voice de_DE-thorsten-low"},
		"API off": {ask("sd15", "en_US-lessac-medium", server.URL+"/elsewhere"), statusWarning, "--api", "server of 2025"},
	} {
		for provider, part := range map[string]string{"image/i": test.image, "speech/s": test.voice} {
			if f := test.found[provider]; f.Status != test.status || !strings.Contains(f.Detail+" "+f.Action, part) {
				t.Errorf("%s, %s: %+v", name, provider, f)
			}
		}
	}
}
