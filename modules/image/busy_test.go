package image

import (
	"net/http"
	"testing"
	"time"

	"llmhist/platform/outbound"
	"llmhist/platform/testkit"
)

func TestAProviderAskedByAsManyAsMayIsPassedOver(t *testing.T) {
	picture := answerBytes("image/png", pngBytes(t))
	begun, finish := make(chan struct{}), make(chan struct{})
	u := serveUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-finish
		picture(w, r)
	})
	config := u.as(typePollinations)
	config.Upstreams[0].Limits.Policy = outbound.Policy{Concurrency: 1, QueueWait: 10 * time.Millisecond}
	config.Providers = []string{"fake", "local"}
	f := start(t, config)
	ask := func(body string) testkit.Answer { return f.do("POST", "/image/generate", testkit.User(1), body) }
	first := make(chan testkit.Answer)
	go func() { first <- ask(`{"prompt":"x"}`) }()
	<-begun
	if named := ask(`{"prompt":"x","model":"m-1"}`); named.Status != 503 || named.Code() != "provider_busy" || named.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %v %s", named.Status, named.Header, named.Body)
	}
	if other := ask(`{"prompt":"x","size":"64x64"}`); other.Status != 201 || other.JSON(t)["metadata"].(map[string]any)["provider"] != "local" {
		t.Errorf("%d %s", other.Status, other.Body)
	}
	if got := f.module.Upstreams(); len(got) != 1 || got[0].Provider != "fake" || got[0].InFlight != 1 || got[0].Calls[outbound.Busy] != 2 {
		t.Errorf("%+v", got)
	}
	close(finish)
	if made := <-first; made.Status != 201 {
		t.Errorf("%d %s", made.Status, made.Body)
	}
	if got := f.module.Upstreams(); got[0].InFlight != 0 {
		t.Errorf("%+v", got)
	}
}
