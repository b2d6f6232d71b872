package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
	"llmhist/platform/web"
)

// GORM's cache of prepared statements has one goroutine for each database that
// lives as long as the process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// deadline is how long a test waits for what must happen.
const deadline = 10 * time.Second

// eventually waits until ready, by looking again and again.
func eventually(t testing.TB, what string, ready func() bool) {
	t.Helper()
	giveUp := time.After(deadline)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !ready() {
		select {
		case <-giveUp:
			t.Fatalf("never happened: %s", what)
		case <-look.C:
		}
	}
}

// within receives from c, or fails when nothing comes.
func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(deadline):
		t.Fatalf("never happened: %s", what)
		panic("not reached")
	}
}

// scripted is a provider that answers as a test says.
type scripted struct {
	name   string
	models []string
	answer func(ctx context.Context, request Request, emit func(string) error) (Result, error)

	mu       sync.Mutex
	requests []Request
}

func (p *scripted) Name() string     { return p.name }
func (p *scripted) Models() []string { return p.models }

func (p *scripted) Answer(ctx context.Context, request Request, emit func(string) error) (Result, error) {
	p.mu.Lock()
	p.requests = append(p.requests, request)
	p.mu.Unlock()
	return p.answer(ctx, request, emit)
}

func (p *scripted) asked() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.requests...)
}

// echoing answers every question with "re: " and the question.
func echoing(name string, models ...string) *scripted {
	return &scripted{name: name, models: models, answer: func(_ context.Context, request Request, emit func(string) error) (Result, error) {
		last := request.Messages[len(request.Messages)-1].Content
		for _, part := range []string{"re: ", last} {
			if err := emit(part); err != nil {
				return Result{}, err
			}
		}
		return Result{FinishReason: "stop", InputTokens: 7, OutputTokens: 3, Counted: true}, nil
	}}
}

// failing answers the parts and then fails.
func failing(name string, err error, parts ...string) *scripted {
	return &scripted{name: name, models: []string{name + "-1"}, answer: func(_ context.Context, _ Request, emit func(string) error) (Result, error) {
		for _, part := range parts {
			if err := emit(part); err != nil {
				return Result{}, err
			}
		}
		return Result{}, err
	}}
}

var errOverload = fault.New(fault.Unavailable, "provider_unavailable", "The provider is down.")

// fixture is a module on an empty SQLite database with a server before it.
type fixture struct {
	*testkit.Server
	module *Module
	clock  *testkit.Clock
}

func serve(t testing.TB, config Config, providers ...Provider) *fixture {
	t.Helper()
	clock := testkit.NewClock()
	deps := Deps{DB: testkit.SQLite(t), Docs: testDocs, Logger: testkit.Logger(), Now: clock.Now, NewID: uid.New}
	module, err := New(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	if len(providers) > 0 {
		for _, p := range providers {
			config.Providers = append(config.Providers, p.Name())
		}
		module = assemble(config, deps, providers)
	}
	t.Cleanup(module.Close)
	return &fixture{Server: testkit.Serve(t, module.Mount), module: module, clock: clock}
}

// member returns the value at a path of members, as text, "" when there is none.
func member(members map[string]any, path string) string {
	var value any = members
	for _, name := range strings.Split(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		value = object[name]
	}
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

// say sends a message and returns the answer's members.
func (f *fixture) say(t testing.TB, as testkit.Caller, body map[string]any) map[string]any {
	t.Helper()
	answer := f.Do("POST", "/chat", as, body)
	if answer.Status != 200 {
		t.Fatalf("status %d: %s", answer.Status, answer.Body)
	}
	return answer.JSON(t)
}

// stored returns the messages of a session in order, as the repository has them.
func (f *fixture) stored(t testing.TB, userID int64, sessionID string) []message {
	t.Helper()
	list, err := f.module.service.listMessages(context.Background(), session{ID: sessionID, UserID: userID}, web.Page{Number: 1, Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// onlySession returns the one session that the user has. It may be stored in a
// moment only, when its answer is under way.
func (f *fixture) onlySession(t testing.TB, userID int64) session {
	t.Helper()
	list, total, err := []session{}, int64(0), error(nil)
	for until := time.Now().Add(5 * time.Second); total == 0 && err == nil && time.Now().Before(until); time.Sleep(time.Millisecond) {
		list, total, err = f.module.service.repository.ListSessions(context.Background(), userID, web.Page{Number: 1, Size: 10})
	}
	if err != nil || total != 1 {
		t.Fatalf("%d sessions, %v", total, err)
	}
	return list[0]
}

func mongoStore(t testing.TB, db *database.Mongo) repository {
	t.Helper()
	must(t, EnsureIndexes(t.Context(), db))
	return Deps{Documents: db}.repository()
}

func eachRepository(t *testing.T, test func(t *testing.T, r repository)) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) { test(t, gormRepository{db}) })
	t.Run("mongo", func(t *testing.T) { test(t, mongoStore(t, testkit.Mongo(t))) })
}

func wantFault(t testing.TB, err error, kind fault.Kind, code string) *fault.Error {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind || f.Code != code {
		t.Fatalf("want kind %d %q, got %v", kind, code, err)
	}
	return f
}

var testDocs = fstest.MapFS{
	"README.md": {Data: []byte("# llmhist\n\n![badge](x.svg)\n\nA self-hosted platform for chat, images and speech.\n\n## Quick start\n\nRun the server:\n\n```sh\n# this is no heading\nmake run\n```\n\nThen open the address it prints.\n")},
	"docs/configuration.md": {Data: []byte("# Configuration\n\n## Chat providers\n\nSet `OPENAI_BASE_URL`, `OPENAI_API_KEY` and `OPENAI_DEFAULT_MODEL` to add a chat provider.\n\n" +
		"```sh\nexport OPENAI_BASE_URL=http://127.0.0.1:11434/v1\n```\n\n## Rate limits\n\n`RATE_LIMITS_CHAT_MESSAGE=30/min` limits messages of a user.\n\n## Database\n\nSet `DATABASE_URL` to use PostgreSQL; without it SQLite keeps everything in the data directory.\n")},
	"docs/notes.txt": {Data: []byte("Not Markdown: capital France Paris.\n")},
}

// place takes a place for an answer that is asked for without a handler.
func (f *fixture) place(t testing.TB) *place {
	t.Helper()
	at, err := f.module.service.room.enter(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(at.leave)
	return at
}
