package speech

import (
	"io"
	"net/http"
	"testing"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

func TestTheOperatorsHeadersAreSentWithEveryRequest(t *testing.T) {
	provider := newTestOpenAI(t, func(u *Upstream) {
		u.APIKey, u.Headers = "", outbound.Headers{"x-team": "red", "authorization": "Custom " + testKey}
	}, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Team") != "red" || r.Header.Get("Authorization") != "Custom "+testKey {
			t.Error(r.Header)
		}
		_, _ = w.Write(mp3Frames(4))
	})
	if _, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "x"})); err != nil {
		t.Error(err)
	}
	asked := http.Header{}
	endpoint := provider.endpoint()
	endpoint.Authorize(asked)
	if asked.Get("X-Team") != "red" || !endpoint.HasKey {
		t.Errorf("the doctor asks with %v", asked)
	}
}

func TestTimeoutsComeBeforeThoseOfLimits(t *testing.T) {
	provider := newTestOpenAI(t, func(u *Upstream) { u.Timeouts = outbound.Timeouts{FirstByte: 50 * time.Millisecond} },
		func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the caller left
			<-r.Context().Done()
		})
	if _, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "x"})); fault.CodeOf(err) != "provider_timeout" {
		t.Error(err)
	}
}
