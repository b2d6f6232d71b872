package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llmhist/config"
)

// doctorsConfig is what nothing is wrong with: a data directory of its own and
// any port.
func doctorsConfig(t *testing.T, adjust ...func(*config.Config)) config.Config {
	t.Helper()
	cfg, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Data.Dir, cfg.Port = filepath.Join(t.TempDir(), "data"), 0
	for _, change := range adjust {
		change(&cfg)
	}
	return cfg
}

// only returns the findings of an area that are not ok.
func (d diagnosis) only(area string) []finding {
	list := []finding{}
	for _, f := range d.Findings {
		if f.Area == area && f.Status != statusOK {
			list = append(list, f)
		}
	}
	return list
}

func TestTheDoctorFindsNothingWrongWithAFreshStart(t *testing.T) {
	cfg := doctorsConfig(t)
	d := (&examination{cfg: cfg, now: time.Now()}).run(t.Context())
	areas := map[string]int{}
	for _, f := range d.Findings {
		areas[f.Area]++
		if f.Status != statusOK || f.Detail == "" || f.Action != "" {
			t.Errorf("%+v", f)
		}
	}
	if d.Worst != statusOK {
		t.Errorf("worst is %s", d.Worst)
	}
	for _, area := range []string{areaConfig, areaProvider, areaDatabase, areaDocuments, areaObjects, areaLimits, areaKey, areaClock, areaDisk, areaPort} {
		if areas[area] == 0 {
			t.Errorf("nothing is said of %s", area)
		}
	}
	for _, name := range []string{"llmhist.db", "jwt_private.pem", "objects"} {
		if _, err := os.Stat(filepath.Join(cfg.Data.Dir, name)); err == nil {
			t.Errorf("the doctor made %s", name)
		}
	}
}

func TestTheExitCodeIsTheWorstOfTheFindings(t *testing.T) {
	ok, skip := fine("disk", "a", "b"), skipped("clock", "a", "b")
	warn, fail := warned("disk", "a", "b", "c"), failed("disk", "a", "b", "c")
	for _, test := range []struct {
		findings []finding
		worst    status
		code     int
	}{
		{[]finding{}, statusOK, 0}, {[]finding{ok}, statusOK, 0}, {[]finding{skip, ok}, statusOK, 0},
		{[]finding{ok, warn, skip}, statusWarning, 2}, {[]finding{warn, fail, warn}, statusError, 1}, {[]finding{fail, ok}, statusError, 1},
	} {
		d := newDiagnosis(test.findings)
		var coded exitCode
		if err := d.exit(); err != nil && !errors.As(err, &coded) {
			t.Errorf("%v is no exit code", err)
		}
		if d.Worst != test.worst || int(coded) != test.code {
			t.Errorf("%v: worst %s, code %d", test.findings, d.Worst, coded)
		}
	}
}

// TestTheDoctorCommand runs the command as it is typed.
func TestTheDoctorCommand(t *testing.T) {
	t.Setenv("PORT", "0")
	dir := "--data-dir=" + filepath.Join(t.TempDir(), "data")
	out, err := execute(t, "", "doctor", "--json", dir)
	var answer struct {
		Findings []map[string]string
		Worst    string
	}
	if err != nil || json.Unmarshal([]byte(out), &answer) != nil || answer.Worst != "ok" || len(answer.Findings) < 10 {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, f := range answer.Findings {
		for _, member := range []string{"area", "name", "status", "detail", "action"} {
			if _, there := f[member]; !there || len(f) != 5 {
				t.Errorf("%v has no %s, or more than it", f, member)
			}
		}
	}

	var coded exitCode
	t.Setenv("OPENAI_API_KEY", "sk-hidden")
	out, err = execute(t, "", "doctor", dir)
	if !errors.As(err, &coded) || coded != 2 || !strings.Contains(out, "→ OPENAI_API_KEY is set") || strings.Contains(out, "hidden") {
		t.Errorf("a warning: %v\n%s", err, out)
	}
	t.Setenv("OPENAI_DEFAULT_MODEL", "gpt-4")
	out, err = execute(t, "", "doctor", dir)
	if !errors.As(err, &coded) || coded != 1 || !strings.Contains(out, "2026-10-23") || strings.Contains(out, "hidden") {
		t.Errorf("an error: %v\n%s", err, out)
	}
	columns := map[int]bool{}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "→") {
			columns[strings.Index(line, "→")] = true
		}
	}
	if len(columns) != 1 {
		t.Errorf("not aligned:\n%s", out)
	}
	t.Setenv("DATABASE_URL", "mysql://u:hidden@h/x")
	out, err = execute(t, "", "doctor", "--json", dir)
	if !errors.As(err, &coded) || coded != 1 || json.Unmarshal([]byte(out), &answer) != nil || answer.Worst != "error" || answer.Findings[0]["area"] != "config" || strings.Contains(out, "hidden") {
		t.Errorf("settings that are refused: %v\n%s", err, out)
	}
}

func TestSpaceClockAndPortAreJudged(t *testing.T) {
	for free, want := range map[uint64]status{0: statusError, fullDisk - 1: statusError, fullDisk: statusWarning, lowDisk - 1: statusWarning, lowDisk: statusOK} {
		if f := judgeSpace(free); f.Status != want {
			t.Errorf("%d bytes: %+v", free, f)
		}
	}
	for ahead, want := range map[time.Duration]status{
		0: statusOK, 5 * time.Second: statusOK, -5 * time.Second: statusOK, 6 * time.Second: statusWarning, -6 * time.Second: statusWarning,
		time.Minute: statusWarning, 61 * time.Second: statusError, -time.Hour: statusError,
	} {
		if f := judgeSkew("database", ahead); f.Status != want {
			t.Errorf("%s ahead: %+v", ahead, f)
		}
	}
	if f := judgeOwnClock(time.Unix(0, 0)); f.Status != statusError {
		t.Errorf("1970: %+v", f)
	}
	inUse := errors.New("address already in use")
	for _, test := range []struct {
		held    bool
		running string
		want    status
	}{{false, "", statusError}, {true, "", statusError}, {false, "1.0", statusError}, {true, "1.0", statusOK}} {
		if f := judgeListen("127.0.0.1:1", inUse, test.held, test.running); f.Status != test.want {
			t.Errorf("%+v: %+v", test, f)
		}
	}
}

func TestThePortOfAServerIsToldFromThatOfAnother(t *testing.T) {
	s := boot(t)
	port := s.app.listener.Addr().(*net.TCPAddr).Port
	beside := examination{cfg: doctorsConfig(t, func(c *config.Config) { c.Data.Dir, c.Port = s.app.config.Data.Dir, port })}
	if f := beside.checkPort(t.Context())[0]; f.Status != statusOK || !strings.Contains(f.Detail, "llmhist "+version) {
		t.Errorf("beside the server: %+v", f)
	}
	elsewhere := examination{cfg: doctorsConfig(t, func(c *config.Config) { c.Port = port })}
	if f := elsewhere.checkPort(t.Context())[0]; f.Status != statusError || !strings.Contains(f.Action, "PORT") {
		t.Errorf("from another data directory: %+v", f)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	stranger := examination{cfg: doctorsConfig(t, func(c *config.Config) { c.Port = other.Listener.Addr().(*net.TCPAddr).Port })}
	if f := stranger.checkPort(t.Context())[0]; f.Status != statusError || !strings.Contains(f.Detail, "in use") {
		t.Errorf("another program: %+v", f)
	}
}

func TestTheSigningKeyIsJudged(t *testing.T) {
	cfg := doctorsConfig(t)
	cfg.JWT.PrivateKeyPath = sharedKey(t)
	e := examination{cfg: cfg}
	if f := e.checkKey(t.Context())[0]; f.Status != statusOK || !strings.Contains(f.Detail, "RSA-3072, mode 0600") {
		t.Errorf("%+v", f)
	}
	if err := os.Chmod(cfg.JWT.PrivateKeyPath, 0o644); err != nil { //nolint:gosec // what the test is about
		t.Fatal(err)
	}
	if f := e.checkKey(t.Context())[0]; f.Status != statusWarning || !strings.Contains(f.Action, "chmod 600") {
		t.Errorf("%+v", f)
	}
	if err := os.WriteFile(cfg.JWT.PrivateKeyPath, []byte("hidden"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := e.checkKey(t.Context())[0]; f.Status != statusError || !strings.Contains(f.Action, "JWT_PRIVATE_KEY_PATH") || strings.Contains(f.Detail, "hidden") {
		t.Errorf("%+v", f)
	}
}

// TestOnlyAdminsGetTheReportOfAServer looks at the route; TestProtected walks it
// as everyone else.
func TestOnlyAdminsGetTheReportOfAServer(t *testing.T) {
	asked := 0
	provider := newLister(t, func(w http.ResponseWriter, _ *http.Request) { asked++; list1(w, "demo-1") })
	s := bootIn(t, filepath.Join(t.TempDir(), "data"), withRemote(provider.URL+"/v1"))
	user, _ := s.newUser("ada")
	s.do("GET", "/admin/doctor", "", nil).want(401)
	if r := s.do("GET", "/admin/doctor", user, nil); r.status != 403 {
		t.Errorf("%d %s", r.status, r.body)
	}
	admin := s.admin()
	answer := s.do("GET", "/admin/doctor", admin, nil)
	if members := answer.want(200); members["worst"] != "ok" || asked != 0 {
		t.Errorf("asked %d times: %s", asked, answer.body)
	}
	if !strings.Contains(string(answer.body), "this server listens on") {
		t.Errorf("%s", answer.body)
	}
	online := s.do("GET", "/admin/doctor?online=true", admin, nil)
	if online.want(200)["worst"] != "ok" || asked != 1 || !strings.Contains(string(online.body), "took the key") || strings.Contains(string(online.body), "sk-remote") {
		t.Errorf("asked %d times: %s", asked, online.body)
	}
	s.do("GET", "/admin/doctor?online=perhaps", admin, nil).want(422)
}

func TestOneReportIsMadeAtATime(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	provider := newLister(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-end
		list1(w, "demo-1")
	})
	s := boot(t, withRemote(provider.URL+"/v1"))
	admin := s.admin()
	first := make(chan reply)
	go func() { first <- s.do("GET", "/admin/doctor?online=true", admin, nil) }()
	<-begun
	if second := s.do("GET", "/admin/doctor", admin, nil); second.status != 409 || second.code() != "doctor_running" {
		t.Errorf("%d %s", second.status, second.body)
	}
	close(end)
	if r := <-first; r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.do("GET", "/admin/doctor", admin, nil).want(200)
}

// newLister is a provider that only lists its models.
func newLister(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("the doctor sent a %s to %s", r.Method, r.URL.Path)
		}
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

func list1(w http.ResponseWriter, id string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"object":"list","data":[{"id":%q,"object":"model"}]}`, id)
}
