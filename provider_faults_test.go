package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"llmhist/config"
	"llmhist/modules/chat"
	"llmhist/modules/image"
	"llmhist/modules/speech"
	"llmhist/platform/outbound"
)

// providerKey is what this server shows its providers, and nobody else may see.
const providerKey = "sk-key-of-this-server"

// providerFault is a way in which a provider fails, for everything that can be
// asked of it.
type providerFault struct {
	serve http.HandlerFunc // nil = nobody listens
	// whole is the status of an answer that is not streamed. stream is that of a
	// streamed one, or of what its error event says, with a minus; 200 = it is
	// complete.
	whole, stream int
}

const goodStream = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi \U0001F98A\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"

// asked reports whether a request wants a stream.
func wantsStream(r *http.Request) bool {
	body, _ := io.ReadAll(r.Body)
	return bytes.Contains(body, []byte(`"stream":true`))
}

// says answers with one status and body.
func says(status int, contentType, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// begins answers with the beginning of what is asked for and then does the rest.
func begins(rest func(w http.ResponseWriter, r *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		contentType, start := "application/json", `{"choices":[{"message":{"content":"`
		switch {
		case wantsStream(r):
			contentType, start = "text/event-stream", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n"
		case strings.HasSuffix(r.URL.Path, "/speech"):
			contentType, start = "audio/wav", "RIFF"
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, start)
		_ = http.NewResponseController(w).Flush()
		rest(w, r)
	}
}

// endless repeats data until the caller leaves.
func endless(data string, pause time.Duration) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, data); err != nil {
				return
			}
			if pause > 0 {
				_ = http.NewResponseController(w).Flush()
				time.Sleep(pause)
			}
		}
	}
}

func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// reset breaks the connection without a word.
func reset(w http.ResponseWriter, r *http.Request) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}

func bomb() string {
	var small bytes.Buffer
	zip := gzip.NewWriter(&small)
	block := bytes.Repeat([]byte(" "), 1<<20)
	for range 200 {
		_, _ = zip.Write(block)
	}
	_ = zip.Close()
	return small.String()
}

// threeTimes fails three times and then answers.
func threeTimes() http.HandlerFunc {
	var mu sync.Mutex
	calls := map[string]int{}
	return func(w http.ResponseWriter, r *http.Request) {
		streamed := wantsStream(r)
		mu.Lock()
		of := fmt.Sprint(r.URL.Path, streamed)
		calls[of]++
		n := calls[of]
		mu.Unlock()
		if n <= 3 {
			says(500, "application/json", `{"error":{"message":"oops `+providerKey+`"}}`)(w, r)
			return
		}
		says(200, "text/event-stream", goodStream)(w, r)
	}
}

func providerFaults() map[string]providerFault {
	echo := `{"error":{"message":"no: Bearer ` + providerKey + `","type":"x","code":null}}`
	line := strings.Repeat("x", 1<<20)
	return map[string]providerFault{
		"refused":   {nil, 503, 503},
		"silent":    {hang, 504, 504},
		"stuck":     {begins(hang), 504, -504},
		"drip":      {begins(endless(" ", 20*time.Millisecond)), 504, -504},
		"garbage":   {says(200, "application/json", "\x00\xff{{"), 502, 502},
		"html":      {says(200, "text/html", "<html>"+providerKey+"</html>"), 502, 502},
		"truncated": {says(200, "application/json", `{"choices":[{"message":{"content":"H`), 502, 502},
		"long-line": {begins(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "data: ")
			endless(line, 0)(w, r)
		}), 502, -502},
		"bomb":         {says(200, "application/json", bomb(), "Content-Encoding", "gzip"), 502, 502},
		"endless":      {begins(endless("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\""+strings.Repeat("y", 1000)+"\"}}]}\n\n", 0)), 502, 200},
		"wrong-type":   {says(200, "application/pdf", "%PDF"), 502, 502},
		"redirect":     {says(302, "text/plain", "", "Location", "http://127.0.0.1:1/elsewhere"), 502, 502},
		"wrong-key":    {says(401, "application/json", echo), 502, 502},
		"no-credit":    {says(402, "application/json", echo), 502, 502},
		"forbidden":    {says(403, "application/json", echo), 502, 502},
		"unknown":      {says(404, "application/json", echo), 502, 502},
		"retired":      {says(410, "application/json", echo), 502, 502},
		"too-large":    {says(413, "application/json", echo), 413, 413},
		"busy":         {says(429, "application/json", echo, "Retry-After", "30"), 503, 503},
		"busy-silent":  {says(429, "application/json", echo), 503, 503},
		"broken":       {threeTimes(), 503, 503},
		"no-end":       {says(200, "text/event-stream", goodStream), 200, 200},
		"two-ends":     {says(200, "text/event-stream", goodStream+"data: [DONE]\n\ndata: [DONE]\n\n"), 200, 200},
		"error-event":  {says(200, "text/event-stream", goodStream[:strings.Index(goodStream, "\n\n")+2]+"data: "+echo+"\n\n"), 503, -503},
		"reset":        {reset, 503, 503},
		"reset-midway": {begins(reset), 502, -502},
	}
}

// serveFaults starts one server whose paths begin with the name of a fault, and
// returns a configuration with a provider of each modality for each of them.
func serveFaults(t *testing.T, faults map[string]providerFault) func(*config.Config) {
	t.Helper()
	mux := http.NewServeMux()
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	var change []func(*config.Config)
	up := httptest.NewServer(mux)
	t.Cleanup(up.Close)
	for name, fault := range faults {
		base := nobody.URL
		if fault.serve != nil {
			base = up.URL + "/" + name
			mux.HandleFunc("/"+name+"/", fault.serve)
		}
		limits := outbound.Limits{FirstByte: 2 * time.Second, Idle: 2 * time.Second, Total: 15 * time.Second, MaxBytes: 2 << 20}
		if name == "drip" { // nothing else ends it
			limits.Total = 4 * time.Second
		}
		limits.MaxRetryAfter = 100 * time.Millisecond
		change = append(change, func(c *config.Config) {
			c.Chat.Upstreams = append(c.Chat.Upstreams, chat.Upstream{Name: name, BaseURL: base, APIKey: providerKey, DefaultModel: name + "-chat",
				Timeouts: outbound.Timeouts{FirstByte: limits.FirstByte, Idle: limits.Idle, Total: limits.Total}, Limits: limits.Policy})
			c.Image.Upstreams = append(c.Image.Upstreams, image.Upstream{Name: name, BaseURL: base, APIKey: providerKey, DefaultModel: name + "-image", Limits: limits})
			c.Speech.Upstreams = append(c.Speech.Upstreams, speech.Upstream{Name: name, BaseURL: base, APIKey: providerKey, DefaultModel: name + "-speech", Limits: limits})
		})
	}
	return func(c *config.Config) {
		for _, one := range change {
			one(c)
		}
		c.Chat.MaxAnswerBytes = 64 << 10
	}
}

// TestAProviderMayFailInAnyWay asks providers that fail in every way for
// everything, and looks at what the client gets, what is kept, and what is left
// behind.
func TestAProviderMayFailInAnyWay(t *testing.T) {
	faults := providerFaults()
	s := boot(t, serveFaults(t, faults))
	token, _ := s.newUser("ada")
	before := len(atWork())
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	heap := memory.HeapSys

	var answers sync.Map
	ask := func(name, what string) string {
		path, body := "/v1/chat/completions", fmt.Sprintf(`{"model":"%s-chat","messages":[{"role":"user","content":"hi"}],"stream":%t}`, name, what == "stream")
		switch what {
		case "image":
			path, body = "/image/generate", fmt.Sprintf(`{"prompt":"fog","model":"%s-image"}`, name)
		case "speech":
			path, body = "/speech/generate", fmt.Sprintf(`{"text":"hi","model":"%[1]s/%[1]s-speech"}`, name)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+token)
		began := time.Now()
		response, err := s.http.Do(request)
		if err != nil {
			return err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		data, err := io.ReadAll(response.Body)
		if err != nil {
			return err.Error()
		}
		if took := time.Since(began); took > 20*time.Second { // 15 s for the whole call, of which none needs more than 4 but for the work
			return fmt.Sprint("it took ", took)
		}
		if strings.Contains(string(data)+fmt.Sprint(response.Header), providerKey) {
			return "it shows the key"
		}
		answers.Store(name+" "+what, string(data))
		return fmt.Sprint(statusIn(response.StatusCode, data))
	}
	var all sync.WaitGroup
	places := make(chan struct{}, 8)
	asked := map[string]int{}
	for name, fault := range faults {
		for _, what := range []string{"chat", "stream", "image", "speech"} {
			asked[what]++
			all.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				want := fault.whole
				switch {
				case what == "stream":
					want = fault.stream
				case what != "chat" && want == 200, what != "chat" && name == "error-event": // an event stream is neither picture nor sound
					want = 502
				}
				if got := ask(name, what); got != fmt.Sprint(want) {
					answer, _ := answers.Load(name + " " + what)
					t.Errorf("%s, %s: %s, want %d: %.300s", name, what, got, want, answer)
				}
			})
		}
	}
	all.Wait()
	if got := ask("broken", "stream"); got != "200" {
		t.Errorf("a provider that is well again: %s", got)
	}
	asked["stream"]++

	s.holdsOneRecordOfEach(token, asked["chat"]+asked["stream"], asked["image"], asked["speech"])
	if strings.Contains(s.log.String(), providerKey) {
		t.Error("the key is in the log")
	}
	for deadline := time.Now().Add(20 * time.Second); len(atWork()) > before; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before:\n%s", len(atWork()), before, strings.Join(atWork(), "\n\n"))
		}
	}
	runtime.ReadMemStats(&memory)
	if grown := int64(memory.HeapSys) - int64(heap); grown > 400<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

// atWork returns the stacks of the goroutines that serve a request or call a
// provider, here or in the provider.
func atWork() []string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var list []string
	for _, stack := range strings.Split(string(stacks), "\n\n") {
		for _, sign := range []string{"ServeHTTP", "llmhist/modules/", "llmhist/platform/outbound", "failsafe"} {
			if strings.Contains(stack, sign) {
				list = append(list, stack)
				break
			}
		}
	}
	return list
}

// statusIn returns the status of an answer. That of a stream with an error event
// is what the error would have been as an answer, with a minus; one without an
// end is 0.
func statusIn(status int, data []byte) int {
	if !bytes.HasPrefix(data, []byte("data: ")) {
		return status
	}
	frames := bytes.Split(bytes.TrimSuffix(data, []byte("\n\n")), []byte("\n\n"))
	last := bytes.TrimPrefix(frames[len(frames)-1], []byte("data: "))
	if string(last) == "[DONE]" {
		return status
	}
	var event struct{ Error struct{ Code string } }
	if json.Unmarshal(last, &event) != nil {
		return 0
	}
	switch event.Error.Code {
	case "provider_timeout":
		return -504
	case "provider_unavailable":
		return -503
	case "provider_cut_off", "provider_answer_too_large", "provider_bad_answer":
		return -502
	default:
		return 0
	}
}

// holdsOneRecordOfEach fails the test unless the user has so many records, each
// with an outcome, and so many requests are counted.
func (s *server) holdsOneRecordOfEach(token string, chats, images, sounds int) {
	s.t.Helper()
	for path, want := range map[string]int{"/chat/sessions": chats, "/image": images, "/speech": sounds} {
		if total := s.do("GET", path, token, nil).want(200)["total"]; total != float64(want) {
			s.t.Errorf("%s has %v records of %d requests", path, total, want)
		}
	}
	for page := 1; page <= 1+chats/100; page++ {
		for _, session := range list(s.do("GET", fmt.Sprint("/chat/sessions?per_page=100&page=", page), token, nil).want(200)["sessions"]) {
			answer := list(s.do("GET", "/chat/sessions/"+session["id"].(string), token, nil).want(200)["messages"])[1]
			if status := answer["status"]; status != "completed" && (status != "failed" || answer["error"] == nil) {
				s.t.Errorf("%v is %v: %v", session["title"], status, answer)
			}
		}
	}
	for path, noun := range map[string]string{"/image": "images", "/speech": "speech"} {
		for _, record := range list(s.do("GET", path+"?per_page=100", token, nil).want(200)[noun]) {
			if record["status"] != "failed" {
				s.t.Errorf("%s is %v", path, record["status"])
			}
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		counted := s.do("GET", "/analytics/user/me", token, nil).want(200)["total_requests"]
		if counted == float64(chats+images+sounds) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%v requests are counted of %d", counted, chats+images+sounds)
		}
	}
}
