package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"llmhist/config"
	"llmhist/platform/logging"
	"llmhist/platform/ratelimit"
	"llmhist/platform/testkit"
)

// pair boots two servers that share everything, with the given Redis.
func pair(t *testing.T, redis string) (here, there *server) {
	t.Helper()
	engines := largerEngines(t)
	shared := func(c *config.Config) {
		engines(c)
		c.Redis.URL = logging.Secret(redis)
		c.Rate.AdminAll = ratelimit.Rule{Requests: 100_000, Window: time.Hour}
		c.Metrics.Token = "metrics"
	}
	return boot(t, shared), boot(t, shared)
}

// refusedWithin asks until the answer has this status and returns how long that
// took.
func (s *server) refusedWithin(limit time.Duration, status int, method, path, token string, body any) time.Duration {
	s.t.Helper()
	began := time.Now()
	for {
		r := s.do(method, path, token, body)
		took := time.Since(began)
		if r.status == status {
			return took
		}
		if took > limit {
			s.t.Fatalf("after %s %s %s still answers %d, want %d", took, method, path, r.status, status)
		}
		time.Sleep(2 * time.Millisecond) // between two looks
	}
}

func TestWhatOneServerRevokesTheOtherRefusesAtOnce(t *testing.T) {
	redis := testkit.StartRedis(t)
	here, there := pair(t, redis.URL)
	joined(t, here, there)
	admin := here.admin()
	var times []time.Duration
	number := 0
	for name, test := range revocations {
		number++
		t.Run(name, func(t *testing.T) {
			u := newSubject(there, fmt.Sprintf("user%d", number))
			change := test(here, admin, u)
			there.do(u.method, u.path, u.token, u.body).want(200) // remembered from now on
			change()
			times = append(times, there.refusedWithin(2*time.Second, u.refusal, u.method, u.path, u.token, u.body))
			t.Logf("refused after %s", times[len(times)-1])
		})
	}
	slices.Sort(times)
	if median := times[len(times)/2]; median > 200*time.Millisecond {
		t.Errorf("refused after %s", times)
	}
}

// subject is an account and the request that stops working.
type subject struct {
	name, email, password string
	id                    int64
	token, refresh        string

	method, path string
	body         any
	refusal      int
}

func newSubject(s *server, name string) *subject {
	u := &subject{name: name, email: name + "@example.com", password: "password of " + name, method: "GET", path: "/users/me", refusal: 401}
	_, u.id = s.newUser(name)
	u.token, u.refresh = s.signIn(u.email, u.password)
	return u
}

func (u *subject) account() string { return fmt.Sprintf("/admin/users/%d", u.id) }

// revocations prepare a subject and return what is then done at the server
// here.
var revocations = map[string]func(here *server, admin string, u *subject) func(){
	"signing out": func(here *server, _ string, u *subject) func() {
		return func() { here.do("POST", "/auth/logout", u.token, nil).want(204) }
	},
	"signing out by the refresh token": func(here *server, _ string, u *subject) func() {
		return func() { here.do("POST", "/auth/logout", "", object{"refreshToken": u.refresh}).want(204) }
	},
	"ending one session from another": func(here *server, _ string, u *subject) func() {
		sessions := list(here.do("GET", "/auth/sessions", u.token, nil).want(200)["sessions"])
		other, _ := here.signIn(u.email, u.password)
		return func() {
			for _, session := range sessions {
				if session["current"] == true {
					here.do("DELETE", "/auth/sessions/"+session["id"].(string), other, nil).want(204)
				}
			}
		}
	},
	"ending all sessions": func(here *server, _ string, u *subject) func() {
		other, _ := here.signIn(u.email, u.password)
		return func() { here.do("DELETE", "/auth/sessions", other, nil).want(204) }
	},
	"a refresh token that is used twice": func(here *server, _ string, u *subject) func() {
		here.do("POST", "/auth/refresh", "", object{"refreshToken": u.refresh}).want(200)
		return func() { here.do("POST", "/auth/refresh", "", object{"refreshToken": u.refresh}).want(401) }
	},
	"a new password": func(here *server, _ string, u *subject) func() {
		other, _ := here.signIn(u.email, u.password)
		return func() {
			here.do("POST", "/users/me/password", other, object{"current_password": u.password, "new_password": "another password"}).want(204)
		}
	},
	"deleting an API key": func(here *server, _ string, u *subject) func() {
		made := here.do("POST", "/users/me/api-keys", u.token, object{"name": "robot"}).want(201)
		session := u.token
		u.token = made["key"].(string)
		return func() { here.do("DELETE", "/users/me/api-keys/"+made["id"].(string), session, nil).want(204) }
	},
	"disabling the account": func(here *server, admin string, u *subject) func() {
		return func() { here.do("PATCH", u.account(), admin, object{"disabled": true}).want(200) }
	},
	"disabling the account of a key": func(here *server, admin string, u *subject) func() {
		u.token = here.do("POST", "/users/me/api-keys", u.token, object{"name": "robot"}).want(201)["key"].(string)
		return func() { here.do("PATCH", u.account(), admin, object{"disabled": true}).want(200) }
	},
	"erasing the account": func(here *server, admin string, u *subject) func() {
		return func() { here.do("DELETE", u.account(), admin, nil).want(204) }
	},
	"erasing the own account": func(here *server, _ string, u *subject) func() {
		other, _ := here.signIn(u.email, u.password)
		return func() { here.do("DELETE", "/users/me", other, nil).want(204) }
	},
	"taking the role of an administrator": func(here *server, admin string, u *subject) func() {
		here.do("PATCH", u.account(), admin, object{"role": "admin"}).want(200)
		u.path, u.refusal = "/admin/users", 403
		return func() { here.do("PATCH", u.account(), admin, object{"role": "user"}).want(200) }
	},
	"a quota": func(here *server, admin string, u *subject) func() {
		u.method, u.path, u.body, u.refusal = "POST", "/chat", object{"message": "What is the data directory?"}, 429
		return func() { here.do("PATCH", u.account(), admin, object{"quotas": object{"chat_per_day": 0}}).want(200) }
	},
}

// TestWithoutRedisARevocationTakesFiveSecondsAndHeals stops Redis under two
// servers, and starts it again.
func TestWithoutRedisARevocationTakesFiveSecondsAndHeals(t *testing.T) {
	redis := testkit.StartRedis(t)
	here, there := pair(t, redis.URL)
	joined(t, here, there)
	admin := here.admin()
	revoke := func(name string, limit time.Duration) time.Duration {
		t.Helper()
		u := newSubject(there, name)
		there.do("GET", "/users/me", u.token, nil).want(200)
		here.do("POST", "/auth/logout", u.token, nil).want(204)
		return there.refusedWithin(limit, 401, "GET", "/users/me", u.token, nil)
	}
	t.Logf("with Redis: %s", revoke("with", 2*time.Second))
	if a, b := remaining(here, admin), remaining(there, admin); b != a-1 {
		t.Errorf("%d and %d remain: the limit is not counted together", a, b)
	}

	redis.Stop()
	first := remaining(here, admin)
	if again := remaining(here, admin); again != first-1 {
		t.Errorf("%d and %d remain: the limit is not counted in the process", first, again)
	}
	t.Logf("without Redis: %s", revoke("without", 5500*time.Millisecond))
	for _, s := range []*server{here, there} {
		if warned := strings.Count(s.log.String(), "limits are counted per process"); s == here && warned != 1 {
			t.Errorf("%d warnings", warned)
		}
	}
	if !strings.Contains(here.metrics(), "llmhist_notices_connected 0") || strings.Contains(here.metrics(), "llmhist_limits_counted_locally_total 0\n") {
		t.Errorf("the metrics do not say so:\n%s", here.metrics())
	}

	redis.Start()
	joined(t, here, there)
	t.Logf("with Redis again: %s", revoke("again", 2*time.Second))
	together := func() bool { return remaining(there, admin) == remaining(here, admin)+1 }
	for deadline := time.Now().Add(5 * time.Second); !together(); {
		if time.Now().After(deadline) {
			t.Fatal("limits are not counted together again")
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

// remaining returns how many requests the RateLimit header says are left.
func remaining(s *server, admin string) int {
	s.t.Helper()
	r := s.do("GET", "/admin/users", admin, nil)
	r.want(200)
	var left, reset int
	if _, err := fmt.Sscanf(r.header.Get("RateLimit"), `"admin_all";r=%d;t=%d`, &left, &reset); err != nil {
		s.t.Fatalf("RateLimit: %q", r.header.Get("RateLimit"))
	}
	return left
}

func (s *server) metrics() string {
	s.t.Helper()
	r := s.do("GET", "/metrics", "metrics", nil)
	r.want(200)
	return string(r.body)
}

// joined waits until the servers hear each other.
func joined(t *testing.T, servers ...*server) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		all := true
		for _, s := range servers {
			all = all && s.app.redis.changes.Joined()
		}
		if all {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the servers do not join")
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

func TestAPasswordThatTheOperatorResetsEndsSessionsAtOnce(t *testing.T) {
	redis := testkit.StartRedis(t)
	here, _ := pair(t, redis.URL)
	joined(t, here)
	u := newSubject(here, "ada")
	here.do("GET", "/users/me", u.token, nil).want(200)
	binary := buildBinary(t)
	// Under the environment of an operator: the database, Redis and a data directory.
	env := []string{"DATA_DIR=" + t.TempDir(), "DATABASE_URL=" + here.app.config.Database.URL.Reveal(), "REDIS_URL=" + redis.URL,
		"JWT_PRIVATE_KEY_PATH=" + here.app.config.JWT.PrivateKeyPath}
	reset := exec.CommandContext(t.Context(), binary, "admin", "password", "--email", u.email)
	reset.Env, reset.Stdin = append(reset.Environ(), env...), strings.NewReader("a new password\n")
	if out, err := reset.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	t.Logf("refused after %s", here.refusedWithin(2*time.Second, 401, "GET", "/users/me", u.token, nil))
}
