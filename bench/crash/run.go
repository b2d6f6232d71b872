package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// How long a graceful stop and the recovery from an engine's end may take.
const (
	stopTime = 40 * time.Second
	// recoveryTime is how long the server may refuse requests after an engine
	// is back.
	recoveryTime = 3 * time.Second
	// readyTime is how long an engine that was killed may need by itself.
	readyTime = 20 * time.Second
)

// SlowestAnswer is the longest any request may take while an engine is away and
// sixteen writers keep the machine busy. The bounds of the calls themselves are
// tested where nothing else runs.
const SlowestAnswer = 10 * time.Second

// Options says what is run.
type Options struct {
	Binary    string
	Dir       string  // an empty directory: data and configuration go below it
	Larger    *Larger // nil = the embedded default
	FullEvery int     // cycles after which everything is verified, not only the newest; 0 = at the end
	Log       func(format string, args ...any)
}

// Run is one server, its writers and everything it acknowledged. Cycles follow
// one another; Finish looks at all of it. Nothing here is for concurrent use.
type Run struct {
	options  Options
	upstream *upstream
	field    *field
	env      []string
	process  *Process
	writers  []writer
	chatters []*account
	cycles   int
	moments  map[string]int
	starts   []time.Duration
	verified int
	checked  bool // "llmhist check" exists and was run

	mu         sync.Mutex
	violations []string
	slowest    time.Duration
	slowestAt  string
}

const adminEmail, adminPassword = "admin@example.com", "the admin's password"

// Open writes the configuration, starts the server and makes the writers and
// their accounts. Close it.
func Open(options Options) (*Run, error) {
	if options.Log == nil {
		options.Log = func(string, ...any) {}
	}
	provider, err := startUpstream()
	if err != nil {
		return nil, err
	}
	r := &Run{options: options, upstream: provider, moments: map[string]int{}}
	r.field = &field{book: newBook(), ledger: newLedger(), violate: r.violate, remote: options.Larger != nil}
	r.env, err = r.configuration()
	if err == nil {
		err = r.start()
	}
	if err == nil {
		err = r.populate()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// configuration returns the environment of the server.
func (r *Run) configuration() ([]string, error) {
	file := filepath.Join(r.options.Dir, "llmhist.yaml")
	text := fmt.Sprintf("speech:\n  providers: [voice]\n  upstreams:\n    - {name: voice, base_url: %q, default_model: voice-1, voices: [alloy]}\n", r.upstream.url)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	env := []string{
		"LLMHIST_CONFIG=" + file, "DATA_DIR=" + r.DataDir(), "PORT=0", "LOG_LEVEL=warn", "LOG_FORMAT=json",
		"ADMIN_EMAIL=" + adminEmail, "ADMIN_PASSWORD=" + adminPassword, "JWT_EXPIRES_IN=24h",
		"OPENAI_BASE_URL=" + r.upstream.url, "OPENAI_API_KEY=sk-none", "OPENAI_DEFAULT_MODEL=demo-1",
	}
	limit := "off"
	if r.options.Larger != nil {
		limit = "1000000/min" // counted, in Redis
		env = append(env, r.options.Larger.Env...)
	}
	for _, name := range []string{
		"AUTH_LOGIN", "AUTH_REGISTER", "IMAGE_GENERATE", "IMAGE_GENERATE_ANONYMOUS",
		"SPEECH_GENERATE", "SPEECH_GENERATE_ANONYMOUS", "CHAT_MESSAGE", "ADMIN_ALL",
	} {
		env = append(env, "RATE_LIMITS_"+name+"="+limit)
	}
	return env, nil
}

// DataDir returns the server's data directory.
func (r *Run) DataDir() string { return filepath.Join(r.options.Dir, "data") }

// bucket returns the directory that a bucket is kept in.
func (r *Run) bucket(name string) string {
	root := filepath.Join(r.DataDir(), "objects")
	if r.options.Larger != nil {
		root = r.options.Larger.Buckets
	}
	return filepath.Join(root, name)
}

func (r *Run) violate(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.violations) < 50 {
		r.violations = append(r.violations, fmt.Sprintf("cycle %d: ", r.cycles)+fmt.Sprintf(format, args...))
	}
}

// Violations returns what did not hold, at most the first fifty.
func (r *Run) Violations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.violations...)
}

func (r *Run) tookSo(what string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if took > r.slowest {
		r.slowest, r.slowestAt = took, what
	}
}

// start starts the server.
func (r *Run) start() error {
	process, err := Start(r.options.Binary, r.env)
	if err != nil {
		return err
	}
	r.process = process
	r.starts = append(r.starts, process.Started)
	r.connect(process.URL)
	r.field.dying.Store(false)
	r.field.settle.Store(true)
	return nil
}

func (r *Run) connect(url string) {
	if old := r.field.client.Load(); old != nil {
		old.close()
	}
	c := newClient(url)
	c.slowest = r.tookSo
	r.field.client.Store(c)
}

func (r *Run) client() *client { return r.field.client.Load() }

// populate makes sixteen writers over all modules.
func (r *Run) populate() error {
	f := r.field
	got := r.client().call(http.MethodPost, "/auth/login", "", object{"email": adminEmail, "password": adminPassword})
	if f.admin = got.text("accessToken"); f.admin == "" {
		return errors.New("sign in as admin: " + got.String())
	}
	var accounts [3]*account
	for i := range accounts {
		a, s, ok := f.newAccount()
		if !ok {
			return errors.New("the first accounts could not be made")
		}
		f.book.change(s.fact, func(c *client) error { _, err := c.find("/users/me", a.access); return err })
		accounts[i] = a
	}
	r.chatters = accounts[:]
	add := func(name string, step func() bool) { r.writers = append(r.writers, writer{name, step}) }
	for i := range 4 { // two accounts share each daily index
		add("images", (&mediaWriter{field: f, kind: pictures, owner: accounts[i%2]}).step)
	}
	for i := range 3 {
		add("speech", (&mediaWriter{field: f, kind: sounds, owner: accounts[i%2]}).step)
	}
	for i := range 2 {
		add("chat", (&chatWriter{field: f, owner: accounts[1+i]}).step)
	}
	for i := range 3 {
		add("streams", (&chatWriter{field: f, owner: accounts[i], stream: true, leaves: i > 0}).step)
	}
	for range 3 {
		add("accounts", (&accountWriter{field: f}).step)
	}
	add("quotas", (&quotaWriter{field: f}).step)
	return nil
}

// load sets the writers to work. The function it returns waits until each of
// them has ended its request; set going to false first, or end the server.
func (r *Run) load() (wait func()) {
	r.field.going.Store(true)
	var group sync.WaitGroup
	for _, w := range r.writers {
		group.Go(func() { w.run(r.field) })
	}
	return group.Wait
}

// KillCycle lets the writers work, kills the server at a random moment, now and
// then while it stops or starts, starts it and looks at what it acknowledged.
func (r *Run) KillCycle() error {
	r.cycles++
	wait := r.load()
	r.untilAMoment()
	r.end()
	r.field.going.Store(false)
	wait()
	if chance(8) {
		if err := r.killWhileStarting(); err != nil {
			return err
		}
	}
	if err := r.start(); err != nil {
		return err
	}
	r.look()
	return nil
}

// untilAMoment waits 20 to 400 ms, now and then up to 2 s: from the beginning of
// the load once in four times, else from when some writers have been answered,
// however slow the machine is.
func (r *Run) untilAMoment() {
	if !chance(4) {
		enough := r.field.book.acknowledged() + rand.IntN(3*len(r.writers))
		for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if r.field.book.acknowledged() >= enough {
				break
			}
		}
	}
	longest := 380 * time.Millisecond
	if chance(10) {
		longest = 2 * time.Second // so that what takes long, like the deletion of an account, is acknowledged too
	}
	time.Sleep(20*time.Millisecond + rand.N(longest)) // the moment is the point
}

// end ends the server: at once, or a little after it began to stop.
func (r *Run) end() {
	r.field.dying.Store(true)
	if chance(6) {
		r.moments["while it stopped"]++
		r.process.Signal(syscall.SIGTERM)
		time.Sleep(rand.N(60 * time.Millisecond))
	} else {
		r.moments["under load"]++
	}
	r.process.Kill()
}

// killWhileStarting starts the server and kills it before it is ready, or just
// then.
func (r *Run) killWhileStarting() error {
	r.moments["while it started"]++
	process, _, err := Launch(r.options.Binary, r.env)
	if err != nil {
		return err
	}
	time.Sleep(rand.N(300 * time.Millisecond))
	process.Kill()
	return nil
}

// newestFacts is how many of the facts of one cycle are verified after it.
const newestFacts = 200

// look verifies the newest facts and what usage was counted, or everything.
func (r *Run) look() {
	if every := r.options.FullEvery; every > 0 && r.cycles%every == 0 {
		r.lookAtAll()
		r.check()
		return
	}
	if !r.field.remote { // where events may take long to be counted, only with everything
		r.lookAtUsage()
	}
	list := r.field.book.newest(newestFacts)
	r.verified += len(list)
	hold(r.client(), list, r.violate)
}

// lookAtAll verifies everything that was acknowledged, that nothing is half visible,
// and that usage is counted. The server was started after the last fault, and nobody writes.
func (r *Run) lookAtAll() {
	r.lookAtUsage()
	look := func(at func() error) {
		if err := patiently(at); err != nil {
			r.violate("%v", err)
		}
	}
	look(func() error { return r.field.nothingHalf(r.client(), pictures, r.bucket("llmhist-image-dev")) })
	look(func() error { return r.field.nothingHalf(r.client(), sounds, r.bucket("llmhist-speech-dev")) })
	for _, a := range r.chatters {
		look(func() error { return r.field.chatsEnded(r.client(), a) })
	}
	_ = r.field.book.newest(0)
	list := r.field.book.all()
	r.verified += len(list)
	hold(r.client(), list, r.violate)
	r.options.Log("cycle %d: all of %d facts looked at, %d violations", r.cycles, len(list), len(r.Violations()))
}

// Finish verifies everything, and has the data checked beside the server, which was
// started after the last fault, and without it.
func (r *Run) Finish() error {
	r.lookAtAll()
	r.check()
	if err := r.process.Stop(stopTime); err != nil {
		r.violate("%v", err)
	}
	if err := r.checkOnce(); err != nil {
		r.violate("%v", err)
	}
	return nil
}

// settledTime is how long a running server may need to settle what the end of a
// document store broke off: that waits a minute first, for other servers may be at
// work on it, and for the job of each minute.
const settledTime = 150 * time.Second

// check has the command of that name look at everything, young or not, beside the
// server. One start settled what the faults before it broke off, or will soon.
func (r *Run) check() {
	deadline := time.Now()
	if r.options.Larger != nil {
		deadline = deadline.Add(settledTime)
	}
	for {
		err := r.checkOnce()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.violate("%v", err)
			return
		}
		time.Sleep(2 * time.Second)
		r.field.nudge(r.client())
	}
}

// checkOnce returns what "llmhist check" finds. An erasure that a kill broke off may be
// under way: the server goes on with it within minutes.
func (r *Run) checkOnce() error {
	beingErased := func(one finding) bool {
		id, err := strconv.ParseInt(one.ID, 10, 64)
		return one.Code == "deletion_unfinished" && err == nil && r.field.closing.has(id)
	}
	ran, err := checkData(r.options.Binary, r.env, beingErased)
	r.checked = ran
	return err
}

// Close ends what still runs.
func (r *Run) Close() {
	if r.process != nil && !r.process.Ended() {
		r.process.Kill()
	}
	if c := r.client(); c != nil {
		c.close()
	}
	_ = r.upstream.close()
}
