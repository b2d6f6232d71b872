package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"llmhist/platform/fault"
)

func body(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}
}

func TestOnlyAFailureThatMayPassIsRepeated(t *testing.T) {
	garbage := func(w http.ResponseWriter, _ *http.Request) {
		connection, _, _ := http.NewResponseController(w).Hijack()
		_, _ = io.WriteString(connection, "no HTTP\r\n\r\n")
		_ = connection.Close()
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		asked  int64
		code   string
	}{
		"408":                       {status(408), 3, "provider_failed"},
		"429":                       {status(429), 3, "provider_rate_limited"},
		"500":                       {status(500), 3, "provider_unavailable"},
		"502":                       {status(502), 3, "provider_unavailable"},
		"503":                       {status(503), 3, "provider_unavailable"},
		"504":                       {status(504), 3, "provider_unavailable"},
		"a dropped connection":      {drop, 3, "provider_unavailable"},
		"501":                       {status(501), 1, "provider_unavailable"},
		"400":                       {status(400), 1, "provider_refused_input"},
		"401":                       {status(401), 1, "provider_credentials_refused"},
		"402":                       {status(402), 1, "provider_out_of_credit"},
		"403":                       {status(403), 1, "provider_forbidden"},
		"404":                       {status(404), 1, "provider_model_not_found"},
		"410":                       {status(410), 1, "provider_retired"},
		"429 for want of credit":    {body(429, `{"error":{"code":"insufficient_quota"}}`), 1, "provider_out_of_credit"},
		"500 for want of credit":    {body(500, `{"error":{"code":"INSUFFICIENT_BALANCE"}}`), 1, "provider_out_of_credit"},
		"429 for longer than waits": {status(429, "Retry-After", "11"), 1, "provider_rate_limited"},
		"a redirect away":           {status(307, "Location", "http://other.invalid/"), 1, "provider_redirected"},
		"what is no HTTP":           {garbage, 1, "provider_unavailable"},
		"no first byte":             {hang, 1, "provider_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := Limits{}
			if name == "no first byte" {
				limits.FirstByte = 20 * time.Millisecond
			}
			f := newFake(t, limits, quick)
			f.answers(test.answer)
			failure := faultOf(t, f.call(t.Context()))
			if failure.Code != test.code || f.asked.Load() != test.asked {
				t.Errorf("asked %d times for %s, want %d and %s", f.asked.Load(), failure.Code, test.asked, test.code)
			}
			attempts, said := failure.Extra["attempts"]
			if said != (test.asked > 1) || said && attempts != int(test.asked) {
				t.Errorf("says %v attempts after %d", attempts, test.asked)
			}
			if got := f.client.Status(); got.Retries != test.asked-1 || got.InFlight != 0 {
				t.Errorf("counted %+v", got)
			}
		})
	}
}

func TestACallIsSavedByItsRetry(t *testing.T) {
	f := newFake(t, Limits{}, quick)
	var bodies []string
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		if bodies = append(bodies, string(sent)); len(bodies) < 3 {
			w.WriteHeader(503)
		}
	})
	if err := f.call(t.Context()); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(bodies) != "[question question question]" {
		t.Errorf("was sent %q", bodies)
	}
	if got := f.client.Status(); got.Calls[Answered] != 1 || got.Calls[Failed] != 0 || got.Retries != 2 {
		t.Errorf("counted %+v", got)
	}
}

func TestHowOftenIsSet(t *testing.T) {
	for retries, want := range map[int]int64{-1: 1, 0: 3, 1: 2, 4: 5} {
		t.Run(fmt.Sprint(retries), func(t *testing.T) {
			f := newFake(t, Limits{Policy: Policy{Retries: retries}}, quick)
			f.answers(status(500))
			if err := f.call(t.Context()); err == nil || f.asked.Load() != want {
				t.Errorf("asked %d times, want %d: %v", f.asked.Load(), want, err)
			}
		})
	}
}

func TestABodyThatCannotBeSentAgainIsNot(t *testing.T) {
	f := newFake(t, Limits{}, quick)
	f.answers(status(503))
	request := f.request()
	request.GetBody = nil
	if _, err := f.client.Do(t.Context(), request); err == nil || f.asked.Load() != 1 {
		t.Errorf("asked %d times: %v", f.asked.Load(), err)
	}
}

func TestAClosedPortIsTriedAgain(t *testing.T) {
	server := httptest.NewServer(nil)
	address := server.URL
	server.Close()
	client := newClient("acme", Limits{}, quick)
	defer client.Close()
	request, _ := http.NewRequest(http.MethodGet, address, nil)
	_, err := client.Do(t.Context(), request)
	if failure := faultOf(t, err); failure.Code != "provider_unavailable" || failure.Extra["attempts"] != 3 {
		t.Errorf("%v after %v attempts", failure.Code, failure.Extra["attempts"])
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	const told = 30 * time.Millisecond
	f := newFake(t, Limits{Policy: Policy{MaxRetryAfter: 100 * time.Millisecond}}, quick)
	for range 8 { // the delays differ
		f.answers(inTurn(status(429, "Retry-After", fmt.Sprint(told.Seconds())), status(200)))
		start := time.Now()
		if err := f.call(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < told {
			t.Errorf("asked again after %s, want at least %s", waited, told)
		}
	}
	f.answers(status(503, "Retry-After", "0.2"))
	f.asked.Store(0)
	if failure := faultOf(t, f.call(t.Context())); failure.RetryAfter != 200*time.Millisecond || f.asked.Load() != 1 {
		t.Errorf("beyond the cap: asked %d times, told to come back in %s", f.asked.Load(), failure.RetryAfter)
	}
}

func TestHowLongADelayCanBe(t *testing.T) {
	for attempt, want := range map[int]time.Duration{1: 300, 2: 600, 3: 1200, 6: 4800, 60: 4800} {
		if got := usualTempo.longestDelay(attempt, 0); got != want*time.Millisecond {
			t.Errorf("after attempt %d at most %s, want %d ms", attempt, got, want)
		}
	}
	if got := usualTempo.longestDelay(1, 10*time.Second); got != 15*time.Second {
		t.Errorf("with Retry-After at most %s", got)
	}
}

func TestNobodyWaitsLongerThanTheTimeLeft(t *testing.T) {
	for name, call := range map[string]func(f *fake) error{
		"the caller's": func(f *fake) error {
			ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
			defer cancel()
			return f.call(ctx)
		},
		"the call's": func(f *fake) error { return f.call(f.t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, Limits{Total: 2 * time.Second}, quick)
			f.answers(status(429, "Retry-After", "9"))
			start := time.Now()
			failure := faultOf(t, call(f))
			if failure.Code != "provider_rate_limited" || failure.RetryAfter != 9*time.Second || f.asked.Load() != 1 {
				t.Errorf("asked %d times: %v, again in %s", f.asked.Load(), failure.Code, failure.RetryAfter)
			}
			if took := time.Since(start); took > 900*time.Millisecond {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestACallerWhoLeavesBetweenAttemptsIsNotKept(t *testing.T) {
	f := newFake(t, Limits{}, tempo{backoff: time.Minute, rest: time.Minute})
	f.answers(status(503))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	done := make(chan error)
	go func() { done <- f.call(ctx) }()
	eventually(t, "the first attempt", func() bool { return f.asked.Load() == 1 })
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := f.client.Status(); got.Calls[Left] != 1 || got.InFlight != 0 || f.asked.Load() != 1 {
		t.Errorf("asked %d times, counted %+v", f.asked.Load(), got)
	}
}

func TestAnAnswerThatBeganIsNotAskedForAgain(t *testing.T) {
	f := newFake(t, Limits{}, quick)
	f.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, strings.Repeat("x", 50))
	})
	if err := f.call(t.Context()); fault.CodeOf(err) != "provider_cut_off" || f.asked.Load() != 1 {
		t.Errorf("asked %d times: %v", f.asked.Load(), err)
	}
}
