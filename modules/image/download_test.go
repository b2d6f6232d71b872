package image

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

func TestLinksIntoThePrivateNetworkAreNotFollowed(t *testing.T) {
	var connected atomic.Int32 // before TLS could refuse the certificate
	count := func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connected.Add(1)
		}
	}
	inside, plain := httptest.NewUnstartedServer(http.NotFoundHandler()), httptest.NewUnstartedServer(http.NotFoundHandler())
	inside.Config.ConnState, plain.Config.ConnState = count, count
	inside.StartTLS()
	defer inside.Close()
	plain.Start()
	defer plain.Close()
	port := inside.URL[strings.LastIndex(inside.URL, ":"):]
	const refused, failed = "provider_link_refused", "provider_link_failed"
	for link, code := range map[string]string{
		inside.URL + "/x": refused, "https://localhost" + port + "/": refused, "https://[::ffff:127.0.0.1]" + port + "/": refused,
		"https://[::1]" + port + "/": refused, "https://0.0.0.0" + port + "/": refused, "https://169.254.169.254/latest": refused,
		plain.URL + "/x": refused, "ftp://example.com/x": refused, "file:///etc/passwd": refused, "https://user:pass@example.com/": refused,
		"//example.com/x": refused, "/x": refused, "https://": refused, "http://[bad": refused, "https://unknown.invalid/": failed,
	} {
		u := serveUpstream(t, answerJSON(200, fmt.Sprintf(`{"data":[{"url":%q}]}`, link)))
		f := start(t, u.as(typeOpenAI))
		answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x"}`)
		if answer.Status != 502 || answer.Code() != code {
			t.Errorf("%s: %d %s", link, answer.Status, answer.Body)
		}
	}
	if n := connected.Load(); n > 0 {
		t.Errorf("servers of the private network were called %d times", n)
	}
}

func TestABadLinkToTheProvidersOwnHostIsTheProvidersFault(t *testing.T) {
	for _, status := range []int{400, 401, 404, 410, 413, 429, 500} {
		u := serveUpstream(t, nil)
		u.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/picture" {
				w.WriteHeader(status)
				return
			}
			answerJSON(200, fmt.Sprintf(`{"data":[{"url":%q}]}`, u.URL+"/picture"))(w, r)
		})
		f := start(t, u.as(typeOpenAI))
		answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x"}`)
		if answer.Status != 502 || answer.Code() != "provider_link_failed" {
			t.Errorf("%d: %d %s", status, answer.Status, answer.Body)
		}
	}
}

func TestPublicLinksAreFollowedWithinLimits(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   string
	}{
		"a picture":          {answerBytes("image/png", []byte("bytes")), ""},
		"one that is gone":   {answerJSON(404, ""), "provider_link_failed"},
		"one that redirects": {redirectTo("https://127.0.0.1/"), "provider_link_failed"},
		"one too large":      {answerBytes("image/png", make([]byte, 200)), "provider_answer_too_large"},
		"one that is cut":    {cutOff, "provider_link_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			public := httptest.NewTLSServer(c.answer)
			defer public.Close()
			d := newDownloader(newCaller(Upstream{Name: "fake", BaseURL: "https://example.com"}), "https://example.com", 100)
			defer d.close()
			d.public.Transport = public.Client().Transport // stands for the public internet
			data, err := d.fetch(t.Context(), public.URL+"/x")
			if fault.CodeOf(err) != c.code || c.code == "" && string(data) != "bytes" {
				t.Errorf("%q, %v", data, err)
			}
		})
	}
}

func TestIsPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "93.184.216.34": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "0.0.0.0": false,
		"100.64.0.1": false, "198.18.0.1": false, "192.0.0.8": false, "203.0.113.9": false, "224.0.0.1": false, "255.255.255.255": false, "250.1.1.1": false,
		"::1": false, "::": false, "fe80::1": false, "fc00::1": false, "ff02::1": false, "::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001::1": false, "2001:db8::1": false, "::7f00:1": false, "fec0::1": false,
	} {
		if got := isPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
