//go:build !race

package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"llmhist/config"
	"llmhist/platform/logging"
	"llmhist/platform/testkit"
	"llmhist/transfer"
)

// cluster is several real processes on one set of the larger engines.
type cluster struct {
	t       *testing.T
	binary  string
	env     []string
	servers []*process
}

// newCluster starts n servers, each with a data directory of its own.
func newCluster(t *testing.T, n int, env ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, env: append(clusterEnv(t), env...)}
	c.binary = buildBinary(t)
	for range n {
		c.grow()
	}
	return c
}

// clusterEnv is the environment that servers of one set of engines share.
func clusterEnv(t *testing.T) []string {
	t.Helper()
	var cfg config.Config
	largerEngines(t)(&cfg)
	return []string{
		"DATABASE_URL=" + cfg.Database.URL.Reveal(), "MONGO_URI=" + cfg.Mongo.URI.Reveal(), "MONGO_DB_NAME=" + cfg.Mongo.DBName,
		"S3_ENDPOINT=" + cfg.S3.Endpoint, "S3_ACCESS_KEY=" + cfg.S3.AccessKey.Reveal(), "S3_SECRET_KEY=" + cfg.S3.SecretKey.Reveal(),
		"S3_BUCKET=" + cfg.S3.Bucket, "S3_SPEECH_BUCKET=" + cfg.S3.SpeechBucket, "REDIS_URL=" + cfg.Redis.URL.Reveal(),
		"JWT_PRIVATE_KEY_PATH=" + sharedKey(t),
	}
}

// grow starts one server more.
func (c *cluster) grow() *process {
	c.t.Helper()
	p := start(c.t, c.binary, c.t.TempDir(), c.env...)
	c.servers = append(c.servers, p)
	return p
}

// each calls the servers n times at once, in turn, and counts the statuses.
func (c *cluster) each(n int, call func(p *process) (int, error)) map[int]int {
	c.t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	statuses := map[int]int{}
	for i := range n {
		group.Go(func() {
			status, err := call(c.servers[i%len(c.servers)])
			if err != nil {
				c.t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
		})
	}
	group.Wait()
	return statuses
}

func (c *cluster) database() *sql.DB {
	c.t.Helper()
	address, _ := strings.CutPrefix(c.env[0], "DATABASE_URL=")
	db, err := sql.Open("pgx", address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestThreeServersAreOne(t *testing.T) {
	t.Parallel() // it waits, most of the time
	c := newCluster(t, 3, "RATE_LIMITS_IMAGE_GENERATE=10/day")
	one := c.servers[0]
	token := userToken(one, true)

	statuses := c.each(45, func(p *process) (int, error) {
		status, _, err := p.send("POST", "/image/generate", token, object{"prompt": "x", "size": "64x64"})
		return status, err
	})
	if statuses[201] != 10 || statuses[429] != 35 {
		t.Errorf("of 45 requests under a limit of 10: %v", statuses)
	}

	credentials := object{"email": "ada@example.com", "password": "password of ada"}
	session := one.json("POST", "/auth/login", "", credentials, 200)
	statuses = c.each(12, func(p *process) (int, error) {
		status, _, err := p.send("POST", "/auth/refresh", "", object{"refreshToken": session["refreshToken"]})
		return status, err
	})
	if statuses[200] != 1 || statuses[401] != 11 {
		t.Errorf("of 12 refreshes with one token: %v", statuses)
	}

	t.Run("what is revoked at one is refused at all within 5 s", func(t *testing.T) { c.mustRevokeEverywhere(t, token) })
	t.Run("periodic work is done once", c.mustWorkOnce)
	for _, p := range c.servers {
		if err := p.kill(syscall.SIGTERM); err != nil {
			t.Errorf("a graceful stop ends with %v\n%s", err, p.output)
		}
	}
	var left int
	if err := c.database().QueryRow("SELECT COUNT(*) FROM instances").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d servers that have stopped are still listed, %v", left, err)
	}
}

func (c *cluster) mustRevokeEverywhere(t *testing.T, token string) {
	one := c.servers[0]
	key := one.json("POST", "/users/me/api-keys", token, object{"name": "k"}, 201)
	works := func(credential string, want int) func() bool {
		return func() bool {
			for _, p := range c.servers {
				if status, _, err := p.send("GET", "/users/me", credential, nil); err != nil || status != want {
					return false
				}
			}
			return true
		}
	}
	secret := key["key"].(string)
	if !works(secret, 200)() || !works(token, 200)() {
		t.Fatal("the credentials do not work everywhere")
	}
	for what, revoke := range map[string]func(){
		secret: func() { _, _, _ = one.send("DELETE", "/users/me/api-keys/"+key["id"].(string), token, nil) },
		token:  func() { _, _, _ = c.servers[1].send("POST", "/auth/logout", token, nil) },
	} {
		if what == token {
			continue // last: it revokes the key with it
		}
		revoke()
		within(t, 5*time.Second, "the key is refused everywhere", works(what, 401))
	}
	if status, data, err := c.servers[1].send("POST", "/auth/logout", token, nil); err != nil || status != 204 {
		t.Fatalf("%d %v %s", status, err, data)
	}
	within(t, 5*time.Second, "the session is refused everywhere", works(token, 401))
}

// mustWorkOnce reads from the queue's table how often each job was done.
func (c *cluster) mustWorkOnce(t *testing.T) {
	db := c.database()
	count := func(query string) (n int) {
		t.Helper()
		if err := db.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	within(t, 3*time.Minute, "the reconciling of two minutes", func() bool {
		return count("SELECT COUNT(*) FROM river_job WHERE args->>'name' = 'reconcile' AND state = 'completed'") >= 2
	})
	if n := count("SELECT COUNT(*) - COUNT(DISTINCT (args, scheduled_at)) FROM river_job"); n != 0 {
		t.Errorf("%d runs too many", n)
	}
	if n := count("SELECT COUNT(*) FROM river_job WHERE state NOT IN ('completed', 'running', 'available') OR attempt > 1"); n != 0 {
		t.Errorf("%d runs failed", n)
	}
}

// stalled is a provider of images and chat that answers nothing until it is
// released, and then garbage.
func stalled(t *testing.T) (url string, calls *atomic.Int32, release func()) {
	t.Helper()
	released := make(chan struct{})
	calls = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		calls.Add(1)
		select {
		case <-released:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(func() { release(); server.Close() })
	return server.URL, calls, release
}

// underWay is an image and a chat that a server works on.
type underWay struct {
	image, session string
	done           sync.WaitGroup
}

// beginRequests sends both to p and waits until the provider has them.
func beginRequests(t *testing.T, p *process, token string, calls *atomic.Int32) *underWay {
	t.Helper()
	u := &underWay{}
	before := calls.Load()
	seen := map[string]bool{}
	for _, image := range list(p.json("GET", "/image?per_page=100", token, nil, 200)["images"]) {
		seen[image["id"].(string)] = true
	}
	for _, session := range list(p.json("GET", "/chat/sessions?per_page=100", token, nil, 200)["sessions"]) {
		seen[session["id"].(string)] = true
	}
	u.done.Go(func() { _, _, _ = p.send("POST", "/image/generate", token, object{"prompt": "x"}) })
	u.done.Go(func() { _, _, _ = p.send("POST", "/chat", token, object{"message": "x"}) })
	within(t, 20*time.Second, "the provider has both", func() bool { return calls.Load() >= before+2 })
	for _, image := range list(p.json("GET", "/image?per_page=100", token, nil, 200)["images"]) {
		if id := image["id"].(string); !seen[id] {
			u.image = id
		}
	}
	for _, session := range list(p.json("GET", "/chat/sessions?per_page=100", token, nil, 200)["sessions"]) {
		if id := session["id"].(string); !seen[id] {
			u.session = id
		}
	}
	return u
}

// state is that of both requests, as p tells it.
func (u *underWay) state(p *process, token string) string {
	p.t.Helper()
	image := p.json("GET", "/image/"+u.image, token, nil, 200)
	messages := list(p.json("GET", "/chat/sessions/"+u.session, token, nil, 200)["messages"])
	answer := messages[len(messages)-1]
	text := fmt.Sprintf("image %v, chat %v", image["status"], answer["status"])
	for _, one := range []object{image, answer} {
		if failure, ok := one["error"].(object); ok {
			text += fmt.Sprintf(" %v", failure["code"])
		}
	}
	return text
}

func TestServersLeaveEachOthersRequestsAloneAndSettleThoseOfTheDead(t *testing.T) {
	t.Parallel() // it waits, most of the time
	provider, calls, release := stalled(t)
	c := newCluster(t, 2, "OPENAI_BASE_URL="+provider+"/v1", "OPENAI_API_KEY=sk-x", "OPENAI_DEFAULT_MODEL=demo-1",
		"POLLINATIONS_API_URL="+provider, "POLLINATIONS_API_KEY=sk-y")
	one, two := c.servers[0], c.servers[1]
	token := userToken(one, true)
	doomed, safe := beginRequests(t, one, token, calls), beginRequests(t, two, token, calls)
	const open = "image processing, chat processing"

	three := c.grow() // its start settles what nobody works on
	for _, u := range []*underWay{doomed, safe} {
		if state := u.state(three, token); state != open {
			t.Fatalf("after the start of another server: %s", state)
		}
	}
	_ = one.kill(syscall.SIGKILL)
	doomed.done.Wait()
	const settled = "image failed, chat failed interrupted interrupted"
	within(t, 3*time.Minute, "the requests of the killed server are settled", func() bool { return doomed.state(two, token) == settled })
	if state := safe.state(three, token); state != open {
		t.Errorf("the requests of a living server are: %s", state)
	}
	release()
	safe.done.Wait()
	if state := safe.state(three, token); strings.Contains(state, "interrupted") || strings.Contains(state, "processing") {
		t.Errorf("the requests of a living server ended as: %s", state)
	}
}

func TestAServerRestartedInPlaceSettlesItsRequestsBeforeTheFirst(t *testing.T) {
	provider, calls, _ := stalled(t)
	c := newCluster(t, 1, "OPENAI_BASE_URL="+provider+"/v1", "OPENAI_API_KEY=sk-x", "OPENAI_DEFAULT_MODEL=demo-1",
		"POLLINATIONS_API_URL="+provider, "POLLINATIONS_API_KEY=sk-y")
	dir := t.TempDir()
	p := start(t, c.binary, dir, c.env...)
	token := userToken(p, true)
	left := beginRequests(t, p, token, calls)
	_ = p.kill(syscall.SIGKILL)
	left.done.Wait()
	p = start(t, c.binary, dir, c.env...)
	if state := left.state(p, token); state != "image failed, chat failed interrupted interrupted" {
		t.Errorf("at the first request after the start: %s", state)
	}
}

func TestAServerThatCannotJoinSaysWhich(t *testing.T) {
	c := newCluster(t, 1)
	for name, change := range map[string]string{
		"another signing key": "JWT_PRIVATE_KEY_PATH=", "objects of its own": "S3_ENDPOINT=", "documents of its own": "MONGO_URI=",
	} {
		t.Run(name, func(t *testing.T) {
			command := exec.Command(c.binary, "serve")
			command.Env = append(command.Environ(), c.env...)
			command.Env = append(command.Env, "PORT=0", "DATA_DIR="+t.TempDir(), change)
			if strings.HasPrefix(change, "S3_") {
				command.Env = append(command.Env, "S3_ACCESS_KEY=", "S3_SECRET_KEY=")
			}
			out, err := command.CombinedOutput()
			setting, _, _ := strings.Cut(change, "=")
			if text := strings.TrimSpace(string(out)); err == nil || !strings.Contains(text, setting) || strings.Contains(text, "\n") {
				t.Errorf("exit %v, said:\n%s", err, text)
			}
		})
	}
}

// TestAServerThatStartsBesideARestoreSeesIt stores the marker of one at the moment
// in which the server joins, after it looked for the first time.
func TestAServerThatStartsBesideARestoreSeesIt(t *testing.T) {
	url := testkit.PostgresURL(t)
	first := boot(t, func(c *config.Config) { c.Database = config.Database{URL: logging.Secret(url)} }) // makes the tables
	cfg := first.app.config
	first.stop()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_, err = db.Exec(`CREATE FUNCTION begin_restore() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO installation (key, value) VALUES ('unfinished_transfer', '{"set":"s","command":"llmhist restore X"}'); RETURN NEW; END $$;
		CREATE TRIGGER beginning AFTER INSERT ON instances FOR EACH ROW EXECUTE FUNCTION begin_restore()`)
	if err != nil {
		t.Fatal(err)
	}
	app, err := Open(t.Context(), cfg, testkit.Logger())
	if err == nil {
		err = app.Close(t.Context())
		t.Fatalf("a server started beside a restore (%v)", err)
	}
	if !errors.Is(err, transfer.ErrUnfinished) {
		t.Error(err)
	}
	var servers int
	if err := db.QueryRow("SELECT COUNT(*) FROM instances").Scan(&servers); err != nil || servers != 0 {
		t.Errorf("%d servers are left, %v", servers, err)
	}
}

func TestWhatNeedsTheStoresForItselfIsRefusedBesideAServerOfAnotherMachine(t *testing.T) {
	c := newCluster(t, 1)
	env := append(c.env, "DATA_DIR="+t.TempDir())
	target := filepath.Join(t.TempDir(), "target.yaml")
	if err := os.WriteFile(target, []byte("data:\n  dir: "+t.TempDir()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "--repair"}, {"copy", "--to", target}} {
		out, err := runBinary(t, env, args...)
		if err == nil || !strings.Contains(out, "a running server works with this database (host ") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if out, err := runBinary(t, env, "check", "--grace", "1h"); err != nil {
		t.Errorf("check without --repair: %v\n%s", err, out)
	}
}
