package outbound

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/fault"
)

// countingServer is a server and how many connections it was opened.
func countingServer(t *testing.T, answer http.HandlerFunc) (server *httptest.Server, opened *atomic.Int64) {
	t.Helper()
	opened = new(atomic.Int64)
	server = httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	t.Cleanup(server.Close)
	return server, opened
}

func clientOf(t *testing.T, limits Limits) *Client {
	t.Helper()
	client := newClient("acme", limits, quick)
	t.Cleanup(client.Close)
	return client
}

func ask(t *testing.T, client *Client, address, question string) (string, error) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, address, strings.NewReader(question))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(t.Context(), request)
	if err != nil {
		return "", err
	}
	answer, err := client.ReadAll(response)
	return string(answer), err
}

func echo(w http.ResponseWriter, r *http.Request) {
	question, _ := io.ReadAll(r.Body)
	_, _ = w.Write(question)
}

func TestOneConnectionServesManyAnswers(t *testing.T) {
	long := strings.Repeat("piece ", 10_000)
	for name, answer := range map[string]http.HandlerFunc{
		"of known length": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
			echo(w, r)
		},
		"in chunks": func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			for buffer := make([]byte, 1000); ; {
				n, err := r.Body.Read(buffer)
				_, _ = w.Write(buffer[:n])
				_ = http.NewResponseController(w).Flush()
				if err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, opened := countingServer(t, answer)
			server.Start()
			client := clientOf(t, Limits{})
			for _, question := range []string{"one", "", "three", long, "five", "six"} {
				if got, err := ask(t, client, server.URL, question); err != nil || got != question {
					t.Fatalf("%.20q of %d bytes: %v", got, len(got), err)
				}
			}
			if opened.Load() != 1 {
				t.Errorf("%d connections", opened.Load())
			}
		})
	}
}

func TestAConnectionOfAnUnfinishedAnswerServesNobodyElse(t *testing.T) {
	server, opened := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first part of what only the first shall read ")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/left" {
			<-r.Context().Done()
		}
	})
	server.Start()
	client := clientOf(t, Limits{})
	request, _ := http.NewRequest(http.MethodPost, server.URL+"/left", strings.NewReader(""))
	response, err := client.Do(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close() // or the server's handler never ends
	if _, err := ask(t, client, server.URL, ""); err != nil {
		t.Fatal(err)
	}
	if opened.Load() != 2 {
		t.Errorf("%d connections", opened.Load())
	}
	if n, err := response.Body.Read(make([]byte, 9)); n != 0 || err == nil {
		t.Errorf("read %d bytes of a closed answer: %v", n, err)
	}
}

// rawServer answers each request on its connections as the test says, which is
// given the number of the connection and of the request on it.
func rawServer(t *testing.T, answer func(conn net.Conn, connection, request int) (goOn bool)) (address string) {
	t.Helper()
	return rawServerOver(t, func(conn net.Conn) net.Conn { return conn }, answer)
}

func rawServerOver(t *testing.T, over func(net.Conn) net.Conn, answer func(conn net.Conn, connection, request int) (goOn bool)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-ended })
	go func() {
		defer close(ended)
		for connection := 1; ; connection++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			conn = over(conn)
			reader := bufio.NewReader(conn)
			for number := 1; ; number++ {
				request, err := http.ReadRequest(reader)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, request.Body)
				if !answer(conn, connection, number) {
					break
				}
			}
			_ = conn.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

const okay = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nokay"

func TestWhatNobodyAskedForIsNobodysAnswer(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for name, pause := range map[string]time.Duration{"at once": 0, "a moment later": 5 * time.Millisecond} {
		answer := func(conn net.Conn, connection, _ int) bool {
			_, _ = io.WriteString(conn, okay)
			if connection == 1 {
				time.Sleep(pause)
				_, _ = io.WriteString(conn, evil)
			}
			return true
		}
		check := func(t *testing.T, client *Client, address string) {
			for range 3 {
				if got, err := ask(t, client, address, "question"); err != nil || got != "okay" {
					t.Errorf("%q, %v", got, err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		t.Run(name, func(t *testing.T) {
			address := rawServer(t, answer)
			check(t, clientOf(t, Limits{}), address)
		})
		t.Run(name+" over TLS", func(t *testing.T) {
			certified := httptest.NewTLSServer(nil)
			defer certified.Close()
			// Records that come together lie in the TLS connection, where the system sees
			// nothing of them.
			address := rawServerOver(t, func(conn net.Conn) net.Conn { return tls.Server(&corked{Conn: conn}, certified.TLS) }, answer)
			client := clientOf(t, Limits{})
			client.wire.tls = trusting(certified)
			check(t, client, strings.Replace(address, "http:", "https:", 1))
		})
	}
}

// corked sends what is written within a moment together.
type corked struct {
	net.Conn
	mu      sync.Mutex
	waiting []byte
	timer   *time.Timer
}

func (c *corked) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, p...)
	if c.timer == nil {
		c.timer = time.AfterFunc(time.Millisecond, c.flush)
	}
	return len(p), nil
}

func (c *corked) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Conn.Write(c.waiting)
	c.waiting, c.timer = nil, nil
}

func (c *corked) Close() error {
	c.flush()
	return c.Conn.Close()
}

// trusting returns the settings of a client that knows the server's certificate.
func trusting(server *httptest.Server) *tls.Config {
	known := x509.NewCertPool()
	known.AddCert(server.Certificate())
	return &tls.Config{NextProtos: []string{"http/1.1"}, RootCAs: known}
}

func TestAConnectionThatWasClosedWhileItRestedIsReplaced(t *testing.T) {
	for name, last := range map[string]struct {
		request int  // on a connection, after which it is closed
		answers bool // that too
	}{"before the request": {1, true}, "as the request comes": {2, false}} {
		t.Run(name, func(t *testing.T) {
			address := rawServer(t, func(conn net.Conn, _, request int) bool {
				if request < last.request || last.answers {
					_, _ = io.WriteString(conn, okay)
				}
				return request < last.request
			})
			client := clientOf(t, Limits{Policy: Policy{Retries: -1}})
			for range 3 {
				if got, err := ask(t, client, address, "question"); err != nil || got != "okay" {
					t.Fatalf("%q, %v", got, err)
				}
			}
		})
	}
	t.Run("and a new one fails too", func(t *testing.T) {
		address := rawServer(t, func(conn net.Conn, connection, _ int) bool {
			if connection == 1 {
				_, _ = io.WriteString(conn, okay)
			}
			return false
		})
		client := clientOf(t, Limits{Policy: Policy{Retries: -1}})
		if _, err := ask(t, client, address, "question"); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(t, client, address, "question"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("but not asked twice once it may have been at work", func(t *testing.T) {
		var asked atomic.Int64
		address := rawServer(t, func(conn net.Conn, _, request int) bool {
			asked.Add(1)
			if request == 2 {
				time.Sleep(2 * crossing)
				return false
			}
			_, _ = io.WriteString(conn, okay)
			return true
		})
		client := clientOf(t, Limits{Policy: Policy{Retries: -1}})
		if _, err := ask(t, client, address, "question"); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(t, client, address, "question"); !fault.Is(err, fault.Unavailable) || asked.Load() != 2 {
			t.Errorf("asked %d times, %v", asked.Load(), err)
		}
	})
	t.Run("but not asked twice once something of an answer came", func(t *testing.T) {
		var asked atomic.Int64
		address := rawServer(t, func(conn net.Conn, _, request int) bool {
			asked.Add(1)
			if request == 2 {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 O")
				return false
			}
			_, _ = io.WriteString(conn, okay)
			return true
		})
		client := clientOf(t, Limits{Policy: Policy{Retries: -1}})
		if _, err := ask(t, client, address, "question"); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(t, client, address, "question"); err == nil || asked.Load() != 2 {
			t.Errorf("asked %d times, %v", asked.Load(), err)
		}
	})
}

func TestTheProviderHearsAtOnceThatTheCallerIsGone(t *testing.T) {
	for _, when := range []string{"before the answer", "within the answer"} {
		t.Run(when, func(t *testing.T) {
			gone, asked := make(chan struct{}), make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if when == "within the answer" {
					_, _ = io.WriteString(w, "begin")
					_ = http.NewResponseController(w).Flush()
				}
				close(asked)
				<-r.Context().Done()
				close(gone)
			}))
			defer server.Close()
			client := clientOf(t, Limits{})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				request, _ := http.NewRequest(http.MethodPost, server.URL, strings.NewReader("question"))
				response, err := client.Do(ctx, request)
				if err == nil {
					_, err = client.ReadAll(response)
				}
				ended <- err
			}()
			<-asked
			cancel()
			select {
			case <-gone:
			case <-time.After(5 * time.Second):
				t.Error("the provider still works")
			}
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHTTPSIsSpokenWithTheHostThatWasMeant(t *testing.T) {
	server, opened := countingServer(t, echo)
	server.StartTLS()
	for name, test := range map[string]struct {
		config *tls.Config
		fails  bool
	}{"known": {trusting(server), false}, "unknown": {&tls.Config{RootCAs: x509.NewCertPool()}, true}} {
		t.Run(name, func(t *testing.T) {
			client := clientOf(t, Limits{Policy: Policy{Retries: -1}})
			client.wire.tls = test.config
			before := opened.Load()
			for range 2 {
				got, err := ask(t, client, server.URL, "question")
				if (err != nil) != test.fails || !test.fails && got != "question" {
					t.Fatalf("%q, %v", got, err)
				}
			}
			if !test.fails && opened.Load()-before != 1 {
				t.Errorf("%d connections", opened.Load()-before)
			}
		})
	}
}

func TestHeadsAreReadWithinBounds(t *testing.T) {
	for name, test := range map[string]struct {
		head  string
		fails bool
	}{
		"one interim answer":     {"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", false},
		"some interim answers":   {strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInterim), false},
		"many interim answers":   {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxInterim+1), true},
		"a header of a megabyte": {"HTTP/1.1 103 Early Hints\r\nX-Long: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			address := rawServer(t, func(conn net.Conn, _, _ int) bool {
				_, _ = io.WriteString(conn, test.head+okay)
				return true
			})
			got, err := ask(t, clientOf(t, Limits{Policy: Policy{Retries: -1}}), address, "question")
			if (err != nil) != test.fails || !test.fails && got != "okay" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestAnAnswerThatWasPackedUnaskedIsUnpacked(t *testing.T) {
	server, opened := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Encoding", "gzip")
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		_, _ = io.WriteString(zip, strings.Repeat("a", 100_000))
		_ = zip.Close()
		_, _ = w.Write(packed.Bytes())
	})
	server.Start()
	client := clientOf(t, Limits{MaxBytes: 100_000})
	for range 2 {
		if got, err := ask(t, client, server.URL, ""); err != nil || len(got) != 100_000 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if opened.Load() != 1 {
		t.Errorf("%d connections", opened.Load())
	}
	if _, err := ask(t, clientOf(t, Limits{MaxBytes: 99_999}), server.URL, ""); fault.CodeOf(err) != "provider_answer_too_large" {
		t.Errorf("beyond the limit: %v", err)
	}
}

func TestARedirectWithinTheHostIsFollowed(t *testing.T) {
	server, _ := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/new" {
			http.Redirect(w, r, "/new", http.StatusPermanentRedirect)
			return
		}
		echo(w, r)
	})
	server.Start()
	if got, err := ask(t, clientOf(t, Limits{}), server.URL+"/old", "question"); err != nil || got != "question" {
		t.Errorf("%q, %v", got, err)
	}
	var asked atomic.Int64
	endless, _ := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, r.URL.Path+"/again", http.StatusTemporaryRedirect)
	})
	endless.Start()
	_, err := ask(t, clientOf(t, Limits{}), endless.URL+"/old", "question")
	if fault.CodeOf(err) != "provider_redirected" || asked.Load() != 1+maxRedirects {
		t.Errorf("without an end: asked %d times, %v", asked.Load(), err)
	}
}

func TestARedirectedRequestIsMadeOnce(t *testing.T) {
	for status, want := range map[int]string{http.StatusSeeOther: "GET ", http.StatusFound: "GET ", http.StatusTemporaryRedirect: "POST question"} {
		var made atomic.Int64
		server, _ := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.URL.Path == "/" {
				made.Add(1)
				http.Redirect(w, r, "/job", status)
				return
			}
			_, _ = io.WriteString(w, r.Method+" "+string(body))
		})
		server.Start()
		if got, err := ask(t, clientOf(t, Limits{}), server.URL+"/", "question"); err != nil || got != want || made.Load() != 1 {
			t.Errorf("%d: %q, made %d times, %v", status, got, made.Load(), err)
		}
	}
}

func TestAnAnswerThatFallsSilentIsNeverTakenForWhole(t *testing.T) {
	server, _ := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "the first half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	server.Start()
	client := clientOf(t, Limits{Idle: time.Hour})
	request, _ := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(""))
	response, err := client.Do(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.ReadFull(response.Body, make([]byte, 14)); err != nil {
		t.Fatal(err)
	}
	response.Body.(*placedBody).ReadCloser.(*guardedBody).silence() // as the timer does, between two reads
	for range 2 {
		if _, err := response.Body.Read(make([]byte, 9)); fault.CodeOf(err) != "provider_timeout" {
			t.Errorf("got %v", err)
		}
	}
}

func TestALongRequestIsSentWhileItsAnswerComes(t *testing.T) {
	long := strings.Repeat("long ", 5<<20)
	t.Run("an echo", func(t *testing.T) {
		server, _ := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.Copy(w, r.Body)
		})
		server.Start()
		if got, err := ask(t, clientOf(t, Limits{Total: 20 * time.Second}), server.URL, long); err != nil || got != long {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("a refusal of one that reads no further", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended, done := make(chan struct{}), make(chan struct{})
		defer func() { close(done); _ = listener.Close(); <-ended }()
		go func() {
			defer close(ended)
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = conn.Read(make([]byte, 1000))
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
			<-done
		}()
		client := clientOf(t, Limits{Total: 20 * time.Second, Policy: Policy{Retries: -1}})
		if _, err := ask(t, client, "http://"+listener.Addr().String(), long); fault.CodeOf(err) != "provider_input_too_large" {
			t.Errorf("got %v", err)
		}
	})
}

func TestRequestsGoThroughTheProxyThatIsSet(t *testing.T) {
	var seen atomic.Pointer[string]
	proxy, _ := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked := r.RequestURI
		seen.Store(&asked)
		w.Header().Set("Content-Encoding", "gzip")
		if r.URL.Path == "/stalls" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		zip := gzip.NewWriter(w)
		_, _ = io.Copy(zip, r.Body)
		_ = zip.Close()
	})
	proxy.Start()
	to, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	through := func(limits Limits) *Client {
		client := clientOf(t, limits)
		direct := client.wire
		direct.proxy = http.ProxyURL(to)
		direct.proxied.Proxy = direct.proxy
		return client
	}
	if got, err := ask(t, through(Limits{}), "http://models.example/v1", "question"); err != nil || got != "question" || *seen.Load() != "http://models.example/v1" {
		t.Errorf("%q, %v", got, err)
	}
	began := time.Now()
	_, err = ask(t, through(Limits{Idle: 50 * time.Millisecond, Total: 20 * time.Second}), "http://models.example/stalls", "question")
	if fault.CodeOf(err) != "provider_timeout" || time.Since(began) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

func TestTheCredentialOfAnAddressIsSent(t *testing.T) {
	server, _ := countingServer(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) })
	server.Start()
	address := strings.Replace(server.URL, "http://", "http://me:secret@", 1)
	if got, err := ask(t, clientOf(t, Limits{}), address, "question"); err != nil || got != "Basic bWU6c2VjcmV0" {
		t.Errorf("%q, %v", got, err)
	}
	request, _ := http.NewRequest(http.MethodPost, address, strings.NewReader("question"))
	request.Header.Set("Authorization", "Bearer key")
	client := clientOf(t, Limits{})
	response, err := client.Do(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.ReadAll(response); err != nil || string(got) != "Bearer key" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAHeaderThatIsNoneIsNotSent(t *testing.T) {
	server, opened := countingServer(t, echo)
	server.Start()
	request, _ := http.NewRequest(http.MethodPost, server.URL, strings.NewReader("question"))
	request.Header.Set("Authorization", "Bearer key-with-an-end\n")
	_, err := clientOf(t, Limits{Policy: Policy{Retries: -1}}).Do(t.Context(), request)
	if err == nil || strings.Contains(err.Error(), "key-with") || opened.Load() != 0 {
		t.Errorf("%d connections, %v", opened.Load(), err)
	}
}

func TestARefusalIsHeardThatComesBeforeTheQuestionIsSent(t *testing.T) {
	server, _ := countingServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	server.Start()
	for range 10 {
		_, err := ask(t, clientOf(t, Limits{Policy: Policy{Retries: -1}}), server.URL, strings.Repeat("long ", 20_000))
		if fault.CodeOf(err) != "provider_input_too_large" {
			t.Fatalf("got %v", err)
		}
	}
}

func TestConnectionsThatRestAreBounded(t *testing.T) {
	to := &url.URL{Scheme: "http", Host: "acme.example"}
	var idle idleConnections
	open := func() *connection {
		mine, theirs := net.Pipe()
		t.Cleanup(func() { _ = theirs.Close(); _ = mine.Close() })
		return newConnection(mine, mine, to)
	}
	ended := func(c *connection) bool {
		_ = c.raw.SetReadDeadline(time.Now())
		_, err := c.raw.Read(make([]byte, 1))
		return errors.Is(err, io.ErrClosedPipe)
	}
	first := open()
	idle.keep(first)
	for range maxIdle {
		idle.keep(open())
	}
	if len(idle.list) != maxIdle || !ended(first) {
		t.Errorf("%d rest", len(idle.list))
	}
	if got := idle.take(&url.URL{Scheme: "https", Host: "acme.example"}); got != nil {
		t.Error("one of another scheme was given")
	}
	if got := idle.take(&url.URL{Scheme: "http", Host: "acme.example:81"}); got != nil {
		t.Error("one of another port was given")
	}
	last := idle.list[maxIdle-1]
	if got := idle.take(to); got != last {
		t.Error("not the last one was given")
	}
	for _, c := range idle.list[:10] {
		c.restedAt = time.Now().Add(-idleTime)
	}
	old := idle.list[0]
	idle.endOld()
	if len(idle.list) != maxIdle-1-10 || !ended(old) || idle.sweep == nil {
		t.Errorf("%d rest after the old ones ended", len(idle.list))
	}
	late := open()
	idle.close()
	idle.keep(late)
	if len(idle.list) != 0 || !ended(late) || idle.sweep != nil {
		t.Errorf("%d rest after the end", len(idle.list))
	}
}
