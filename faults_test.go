package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/config"
	"llmhist/platform/logging"
	"llmhist/platform/ratelimit"
	"llmhist/platform/testkit"
)

const (
	toHear = 3 * time.Second // until a request hears that what it needs is away
	toHeal = 3 * time.Second // until everything works after the mend
)

// proxied is the product on the four larger engines, each behind a proxy.
type proxied struct {
	*server
	proxies map[string]*testkit.Proxy // by what the engine is for
	names   atomic.Int64
	image   string // one that is there
	session string // a chat that is there
}

var everyFault = []testkit.Fault{testkit.Refuse, testkit.Hang, testkit.HalfOpen, testkit.Reset, testkit.Garbage, testkit.Drip}

func bootProxied(t *testing.T) *proxied {
	t.Helper()
	engines := largerEngines(t)
	p := &proxied{proxies: map[string]*testkit.Proxy{}}
	p.server = boot(t, engines, func(c *config.Config) {
		through := func(name, address string) string {
			proxy, through := testkit.ProxyBefore(t, address)
			p.proxies[name] = proxy
			return through
		}
		c.Database.URL = logging.Secret(through("database", c.Database.URL.Reveal()))
		c.Mongo.URI = logging.Secret(testkit.MongoURI(t, through("documents", c.Mongo.URI.Reveal()), p.proxies["documents"].Address()))
		c.S3.Endpoint = through("objects", c.S3.Endpoint)
		c.Redis.URL = logging.Secret(through("limits", c.Redis.URL.Reveal()))
		c.Rate.ImageGenerate = ratelimit.Rule{Requests: 100_000, Window: time.Minute}
		c.Rate.ChatMessage = ratelimit.Rule{Requests: 100_000, Window: time.Minute}
	})
	token, _ := p.newUser("ada")
	p.image = p.do("POST", "/image/generate", token, object{"prompt": "a lighthouse", "size": "64x64"}).want(201)["id"].(string)
	p.session = p.do("POST", "/chat", token, object{"message": "How do I make an API key?"}).want(200)["session_id"].(string)
	p.do("POST", "/speech/generate", token, object{"text": "Hi."}).want(201) // the voices are compiled now
	return p
}

// freshToken returns the token of a session that nobody has checked yet, so
// that the next request has to ask the database about it.
func (p *proxied) freshToken() string {
	p.t.Helper()
	token, _ := p.signIn("ada@example.com", "password of ada")
	return token
}

// request is one request of a journey, and what it needs besides the process.
type request struct {
	method, path string
	body         any
	anonymous    bool
	want         int
	needs        []string
}

// requests names every kind of request that behaves in its own way during an
// outage. The table in docs/operations.md says the same in words.
func (p *proxied) requests() map[string]request {
	database, documents, objects := "database", "documents", "objects"
	email := fmt.Sprintf("new%d@example.com", p.names.Add(1))
	return map[string]request{
		"registration":    {"POST", "/auth/register", object{"email": email, "password": "a long password"}, true, 201, []string{database}},
		"sign-in":         {"POST", "/auth/login", object{"email": "ada@example.com", "password": "password of ada"}, true, 200, []string{database}},
		"profile":         {"GET", "/users/me", nil, false, 200, []string{database}},
		"image":           {"POST", "/image/generate", object{"prompt": "sea", "size": "64x64"}, false, 201, []string{database, objects}},
		"anonymous image": {"POST", "/image/generate", object{"prompt": "sea", "size": "64x64"}, true, 201, []string{database, objects}},
		"image list":      {"GET", "/image", nil, false, 200, []string{database}},
		"one image":       {"GET", "/image/" + p.image, nil, false, 200, []string{database}},
		"image link":      {"GET", "/image/" + p.image + "/download?redirect=false", nil, false, 200, []string{database}},
		"speech":          {"POST", "/speech/generate", object{"text": "Hi."}, false, 201, []string{database, objects}},
		"chat":            {"POST", "/chat", object{"message": "How do I make an API key?"}, false, 200, []string{database, documents}},
		"chat list":       {"GET", "/chat/sessions", nil, false, 200, []string{database, documents}},
		"one chat":        {"GET", "/chat/sessions/" + p.session, nil, false, 200, []string{database, documents}},
		"usage":           {"GET", "/analytics/user/me", nil, false, 200, []string{database, documents}},
		"process":         {"GET", "/healthz", nil, false, 200, nil},
		"reference":       {"GET", "/docs", nil, false, 200, nil},
		"description":     {"GET", "/openapi.json", nil, true, 200, nil},
		"image models":    {"GET", "/image/models", nil, false, 200, nil},
		"voices":          {"GET", "/speech/voices", nil, false, 200, nil},
		"keys":            {"GET", "/.well-known/jwks.json", nil, true, 200, nil},
	}
}

func (p *proxied) send(r request, token string) (reply, time.Duration) {
	if r.anonymous {
		token = ""
	}
	start := time.Now()
	answer := p.do(r.method, r.path, token, r.body)
	return answer, time.Since(start)
}

var codeOfConcern = map[string]string{
	"database": "database_unavailable", "documents": "documents_unavailable", "objects": "storage_unavailable",
}

// during sends every request once, all at the same time, while concern is away.
func (p *proxied) during(t *testing.T, concern, token string, trouble testkit.Fault) {
	t.Helper()
	var group sync.WaitGroup
	lateness := watchMachine(t)
	for name, r := range p.requests() {
		group.Go(func() {
			answer, took := p.send(r, token)
			status, code, limit := r.want, "", 2*toHear // what works may have real work to do
			if slices.Contains(r.needs, concern) {
				status, code, limit = http.StatusServiceUnavailable, codeOfConcern[concern], toHear
				if trouble == testkit.Drip { // it may still answer the first of two questions, late
					limit = 2 * toHear
				}
			}
			if answer.status != status || answer.code() != code {
				t.Errorf("%s: %d %s, want %d %s: %.200s", name, answer.status, answer.code(), status, code, answer.body)
			}
			if took > limit+lateness() {
				t.Errorf("%s took %s, of which the machine was late %s", name, took, lateness())
			}
		})
	}
	group.Go(func() { p.readinessNames(t, concern, trouble) })
	group.Wait()
}

// watchMachine returns how much later than asked for this process has been
// woken since: what a machine that is busy with other things adds to every wait.
func watchMachine(t *testing.T) (lateness func() time.Duration) {
	t.Helper()
	const nap = 10 * time.Millisecond
	var late atomic.Int64
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			before := time.Now()
			time.Sleep(nap) // what is measured
			late.Add(int64(time.Since(before) - nap))
		}
	}()
	t.Cleanup(func() { end(); <-done })
	return func() time.Duration { return time.Duration(late.Load()) }
}

// readinessNames holds /readyz against what is away. Without Redis the server
// is ready. What merely drips may still answer the short question in time.
func (p *proxied) readinessNames(t *testing.T, concern string, trouble testkit.Fault) {
	t.Helper()
	failed := map[string]bool{}
	lateness, start := watchMachine(t), time.Now()
	ready := p.do("GET", "/readyz", "", nil)
	if took := time.Since(start); took > toHear+lateness() {
		t.Errorf("/readyz took %s, of which the machine was late %s", took, lateness())
	}
	for _, check := range list(ready.want(ready.status)["checks"]) {
		if check["status"] != "ok" {
			failed[check["name"].(string)] = true
		}
	}
	want := map[string][]string{"database": {"database"}, "documents": {"documents"}, "objects": {"images", "speech"}}[concern]
	if trouble == testkit.Drip && len(failed) < len(want) {
		return
	}
	if got := slices.Sorted(maps.Keys(failed)); !slices.Equal(got, want) || (ready.status == 200) != (len(want) == 0) {
		t.Errorf("/readyz is %d and names %v, want %v", ready.status, got, want)
	}
}

// heals wants every request to work within toHeal, counted from now.
func (p *proxied) heals(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(toHeal)
	token := ""
	for token == "" {
		answer := p.do("POST", "/auth/login", "", object{"email": "ada@example.com", "password": "password of ada"})
		if answer.status == 200 {
			token = answer.want(200)["accessToken"].(string)
		} else if time.Now().After(deadline) {
			t.Fatalf("nobody can sign in after the mend: %s", answer.body)
		}
	}
	pending := p.requests()
	for {
		for name, r := range pending {
			answer, _ := p.send(r, token)
			if answer.status == r.want {
				delete(pending, name)
			} else if time.Now().After(deadline) {
				t.Fatalf("%s does not work after the mend: %d %.300s", name, answer.status, answer.body)
			}
		}
		if len(pending) == 0 {
			break
		}
	}
	for p.do("GET", "/readyz", "", nil).status != 200 {
		if time.Now().After(deadline) {
			t.Fatal("it is not ready after the mend")
		}
	}
}

func TestADependencyInTroubleIsNamedAndEverythingElseWorks(t *testing.T) {
	p := bootProxied(t)
	for _, concern := range []string{"database", "documents", "objects", "limits"} {
		for _, trouble := range everyFault {
			t.Run(concern+" "+trouble.String(), func(t *testing.T) {
				token := p.freshToken()
				p.proxies[concern].Set(trouble)
				p.during(t, concern, token, trouble)
				p.proxies[concern].Set(testkit.Pass)
				p.heals(t)
			})
		}
	}
	for _, line := range strings.Split(p.log.String(), "\n") {
		if strings.Contains(line, `"level":"ERROR"`) && strings.Contains(line, `"status":500`) {
			t.Errorf("an outage became an internal error: %s", line)
		}
	}
}

func TestAnOutageUnderLoadPilesNothingUp(t *testing.T) {
	p := bootProxied(t)
	length := 6 * time.Second
	if requireAll() {
		length = 30 * time.Second
	}
	token := p.freshToken()
	p.heals(t)
	before := measure()
	lines := noisyLines(p.log)
	for _, concern := range []string{"database", "documents", "objects", "limits"} {
		p.proxies[concern].Set(testkit.Hang)
	}
	ctx, end := context.WithTimeout(t.Context(), length)
	defer end()
	var group sync.WaitGroup
	var sent, most, slowest atomic.Int64
	lateness := watchMachine(t)
	for range 24 {
		group.Go(func() {
			for ctx.Err() == nil {
				for _, r := range p.requests() {
					before := lateness()
					if _, took := p.send(r, token); took > toHear+lateness()-before {
						t.Errorf("%s %s took %s, of which the machine was late %s", r.method, r.path, took, lateness()-before)
					} else {
						slowest.Store(max(slowest.Load(), int64(took)))
					}
					sent.Add(1)
					most.Store(max(most.Load(), int64(runtime.NumGoroutine())))
					if ctx.Err() != nil {
						return
					}
				}
			}
		})
	}
	group.Wait()
	during := measure()
	if grown := most.Load() - int64(before.goroutines); grown > 600 {
		t.Errorf("there were %d more goroutines than before", grown)
	}
	if grown := int64(during.heap) - int64(before.heap); grown > 64<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	// Of each kind 60 a minute: six codes of failed requests, checks, events.
	if noisy := noisyLines(p.log) - lines; noisy > 900 {
		t.Errorf("%d warnings and errors in %s", noisy, length)
	}
	t.Logf("%d requests in %s, the slowest %s, goroutines %d → at most %d, heap %d → %d KiB, %d warnings and errors",
		sent.Load(), length, time.Duration(slowest.Load()), before.goroutines, most.Load(), before.heap>>10, during.heap>>10, noisyLines(p.log)-lines)
	for _, proxy := range p.proxies {
		proxy.Set(testkit.Pass)
	}
	p.heals(t)
}

type measured struct {
	goroutines int
	heap       uint64
}

func measure() measured {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return measured{runtime.NumGoroutine(), memory.HeapAlloc}
}

func noisyLines(log *safeBuffer) int {
	text := log.String()
	return strings.Count(text, `"level":"WARN"`) + strings.Count(text, `"level":"ERROR"`)
}

func TestWhoWaitsForAConnectionHearsInTimeAndOthersGoOn(t *testing.T) {
	for name, engines := range map[string]func(*testing.T) func(*config.Config){
		"sqlite":   func(*testing.T) func(*config.Config) { return func(*config.Config) {} },
		"postgres": largerEngines,
	} {
		t.Run(name, func(t *testing.T) {
			s := boot(t, engines(t))
			limit := map[string]time.Duration{"sqlite": 2 * toHear, "postgres": toHear}[name]
			lateness := watchMachine(t)
			pool := s.app.db.Handle()
			var release []func() error
			for range pool.Stats().MaxOpenConnections {
				connection, err := pool.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				release = append(release, connection.Close)
			}
			var group sync.WaitGroup
			for i := range 10 {
				group.Go(func() {
					start := time.Now()
					answer := s.do("POST", "/auth/register", "", object{"email": fmt.Sprintf("%d@example.com", i), "password": "a long password"})
					if took := time.Since(start); answer.status != 503 || answer.code() != "database_unavailable" || took > limit+lateness() {
						t.Errorf("after %s: %d %s", took, answer.status, answer.body)
					}
				})
			}
			group.Go(func() { s.do("GET", "/image/models", "", nil).want(200) })
			group.Wait()
			for _, free := range release {
				_ = free()
			}
			within(t, toHear, "an account can be made again", func() bool {
				return s.do("POST", "/auth/register", "", object{"email": "after@example.com", "password": "a long password"}).status != 503
			})
			s.signIn("after@example.com", "a long password")
		})
	}
}
