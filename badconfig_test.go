//go:build !race

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"llmhist/platform/testkit"
)

// hiddenWord is in every secret of these tests.
const hiddenWord = "hidden"

// refusal is a configuration that cannot work and the setting its one line must
// name.
type refusal struct {
	env []string
	key string
}

// TestAConfigurationThatCannotWorkIsRefusedInOneLine covers what an engine can
// have against its settings. FerretDB, the server of these tests for MONGO_URI,
// checks no passwords and makes databases by itself: guardedMongo does the first.
func TestAConfigurationThatCannotWorkIsRefusedInOneLine(t *testing.T) {
	t.Run("anywhere", func(t *testing.T) { refuseAll(t, refusedAnywhere(t)) })
	t.Run("by real servers", func(t *testing.T) { refuseAll(t, refusedByServers(t)) })
}

func refuseAll(t *testing.T, cases map[string]refusal) {
	t.Helper()
	binary := buildBinary(t)
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most wait for somebody who does not answer
			var out bytes.Buffer
			command := exec.Command(binary, "serve")
			command.Env = append(os.Environ(), append([]string{"DATA_DIR=" + t.TempDir(), "PORT=0"}, test.env...)...)
			command.Stdout, command.Stderr = &out, &out
			began := time.Now()
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(20*time.Second, func() { _ = command.Process.Kill() })
			err := command.Wait()
			late.Stop()
			text := strings.TrimSpace(out.String())
			if err == nil || !strings.Contains(text, test.key) || strings.Contains(text, "\n") || strings.Contains(text, hiddenWord) {
				t.Errorf("exit %v, want one line with %s, got:\n%s", err, test.key, text)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s to say so", took)
			}
		})
	}
}

// s3At sets everything that an object store at endpoint needs.
func s3At(endpoint, bucket string) []string {
	return []string{"S3_ENDPOINT=" + endpoint, "S3_ACCESS_KEY=someone", "S3_SECRET_KEY=" + hiddenWord, "S3_BUCKET=" + bucket}
}

// refusedAnywhere needs no servers: nobody there, nobody who answers, and
// somebody else.
func refusedAnywhere(t *testing.T) map[string]refusal {
	t.Helper()
	cases := map[string]refusal{
		"an address of another kind, DATABASE_URL": {[]string{"DATABASE_URL=mysql://me:" + hiddenWord + "@127.0.0.1/x"}, "DATABASE_URL"},
		"an address of another kind, MONGO_URI":    {[]string{"MONGO_URI=postgres://me:" + hiddenWord + "@127.0.0.1/x"}, "MONGO_URI"},
		"an address of another kind, S3_ENDPOINT":  {s3At("ftp://127.0.0.1", "images"), "S3_ENDPOINT"},
		"an address of another kind, REDIS_URL":    {[]string{"REDIS_URL=http://:" + hiddenWord + "@127.0.0.1"}, "REDIS_URL"},
		"no address at all, DATABASE_URL":          {[]string{"DATABASE_URL=postgres://me:" + hiddenWord + "@127.0.0.1:notaport/x"}, "DATABASE_URL"},
		"no address at all, MONGO_URI":             {[]string{"MONGO_URI=mongodb://me:" + hiddenWord + "%zz@"}, "MONGO_URI"},
		"no address at all, S3_ENDPOINT":           {s3At("http://", "images"), "S3_ENDPOINT"},
		"no address at all, REDIS_URL":             {[]string{"REDIS_URL=:" + hiddenWord + ":"}, "REDIS_URL"},
		"S3 without its keys":                      {[]string{"S3_ENDPOINT=http://127.0.0.1:1"}, "S3_ACCESS_KEY"},
		"a bucket that may not be made":            {s3At(withoutBuckets(t), "images"), "S3_BUCKET"},
		"a wrong password, MONGO_URI":              {[]string{"MONGO_URI=mongodb://me:" + hiddenWord + "@" + guardedMongo(t) + "/"}, "MONGO_URI"},
		"one of several hosts, MONGO_URI":          {[]string{"MONGO_URI=mongodb://me:" + hiddenWord + "@" + guardedMongo(t) + ",127.0.0.1:1/"}, "MONGO_URI"},
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	for name, host := range map[string]string{
		"a host that refuses":      "127.0.0.1:1",
		"a host that never speaks": silent.Addr().String(),
		"a web server":             web.Listener.Addr().String(),
	} {
		port := host[strings.LastIndexByte(host, ':')+1:]
		cases[name+", DATABASE_URL"] = refusal{[]string{"DATABASE_URL=postgres://me:" + hiddenWord + "@" + host + "/x"}, "DATABASE_URL"}
		cases[name+", DATABASE_HOST"] = refusal{[]string{"DATABASE_HOST=127.0.0.1", "DATABASE_PORT=" + port, "DATABASE_USERNAME=me",
			"DATABASE_PASSWORD=" + hiddenWord, "DATABASE_NAME=x"}, "DATABASE_HOST"}
		cases[name+", MONGO_URI"] = refusal{[]string{"MONGO_URI=mongodb://me:" + hiddenWord + "@" + host + "/"}, "MONGO_URI"}
		cases[name+", S3_ENDPOINT"] = refusal{s3At("http://"+host, "images"), "S3_ENDPOINT"}
		cases[name+", REDIS_URL"] = refusal{[]string{"REDIS_URL=redis://:" + hiddenWord + "@" + host}, "REDIS_URL"}
	}
	return cases
}

// withoutBuckets is an object store that has no bucket and lets nobody make
// one. The S3 server of these tests lets its one user make any.
func withoutBuckets(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, code := http.StatusNotFound, "NoSuchBucket"
		if r.Method == http.MethodPut {
			status, code = http.StatusForbidden, "AccessDenied"
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>no</Message></Error>`, code)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// refusedByServers are refusals of the servers themselves.
func refusedByServers(t *testing.T) map[string]refusal {
	t.Helper()
	store := testkit.S3Options(t)
	mongo, _ := testkit.MongoAddress(t)
	open := testkit.PostgresURL(t)
	guarded, limits := guardedPostgres(t), guardedRedis(t)
	plainRedis := redisURL(t)
	wrongKey := s3At(store.Endpoint, store.Bucket)
	wrongKey[1] = "S3_ACCESS_KEY=" + store.AccessKey
	encrypted := s3At(strings.Replace(store.Endpoint, "http://", "https://", 1), store.Bucket)
	without := func(address, name string) string {
		target, _ := url.Parse(address) // of a server that answered
		target.Path = "/" + name
		return target.String()
	}
	return map[string]refusal{
		"a wrong password, DATABASE_URL": {[]string{"DATABASE_URL=postgres://postgres:" + hiddenWord + "@" + guarded + "/postgres"}, "DATABASE_URL"},
		"a wrong password, DATABASE_HOST": {[]string{"DATABASE_HOST=127.0.0.1", "DATABASE_PORT=" + guarded[strings.LastIndexByte(guarded, ':')+1:],
			"DATABASE_USERNAME=postgres", "DATABASE_PASSWORD=" + hiddenWord, "DATABASE_NAME=postgres"}, "DATABASE_HOST"},
		"a wrong password, REDIS_URL":         {[]string{"REDIS_URL=redis://:" + hiddenWord + "@" + limits}, "REDIS_URL"},
		"no password, REDIS_URL":              {[]string{"REDIS_URL=redis://" + limits}, "REDIS_URL"},
		"a wrong secret, S3_SECRET_KEY":       {wrongKey, "S3_SECRET_KEY"},
		"an unknown key, S3_ACCESS_KEY":       {s3At(store.Endpoint, store.Bucket), "S3_ACCESS_KEY"},
		"a database that is not there":        {[]string{"DATABASE_URL=" + without(open, "nowhere")}, "DATABASE_URL"},
		"a number of database that is not":    {[]string{"REDIS_URL=" + without(plainRedis, "9999")}, "REDIS_URL"},
		"encryption nobody offers, DATABASE":  {[]string{"DATABASE_URL=" + strings.Replace(open, "sslmode=disable", "sslmode=require", 1)}, "DATABASE_URL"},
		"encryption nobody offers, MONGO_URI": {[]string{"MONGO_URI=" + mongo + "?tls=true"}, "MONGO_URI"},
		"encryption nobody offers, S3":        {encrypted, "S3_ENDPOINT"},
		"encryption nobody offers, REDIS_URL": {[]string{"REDIS_URL=" + strings.Replace(plainRedis, "redis://", "rediss://", 1)}, "REDIS_URL"},
		"Redis in the place of PostgreSQL":    {[]string{"DATABASE_URL=postgres://me:" + hiddenWord + "@" + limits + "/x"}, "DATABASE_URL"},
		"Redis in the place of MongoDB":       {[]string{"MONGO_URI=mongodb://" + limits + "/"}, "MONGO_URI"},
		"PostgreSQL in the place of Redis":    {[]string{"REDIS_URL=redis://:" + hiddenWord + "@" + guarded}, "REDIS_URL"},
	}
}

// guardedPostgres starts a PostgreSQL that wants a password and returns its
// host and port.
func guardedPostgres(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		t.Fatal("PostgreSQL's initdb is not at /usr/lib/postgresql: install the server, whose tests were asked for")
	}
	bin := filepath.Dir(found[len(found)-1])
	dir, err := os.MkdirTemp("", "guarded-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("right"), 0o644); err != nil {
		t.Fatal(err)
	}
	as := []string{}
	if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
		as = []string{"runuser", "-u", "postgres", "--"}
		if out, err := exec.Command("chown", "-R", "postgres", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	port := freePort(t)
	run := func(arguments ...string) {
		arguments = append(as[:len(as):len(as)], arguments...)
		command := exec.Command(arguments[0], arguments[1:]...)
		command.Dir = dir
		if err := command.Run(); err != nil { // its server would keep a pipe open
			t.Errorf("%s: %v", arguments, err)
		}
	}
	data := filepath.Join(dir, "data")
	run(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", filepath.Join(dir, "password"), "-N", "--locale=C.UTF-8")
	t.Cleanup(func() { run(filepath.Join(bin, "pg_ctl"), "-D", data, "-m", "immediate", "stop") })
	run(filepath.Join(bin, "pg_ctl"), "-D", data, "-w", "-l", filepath.Join(dir, "log"), "-o",
		fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s -c fsync=off", port, dir), "start")
	return "127.0.0.1:" + strconv.Itoa(port)
}

// guardedRedis starts a Redis that wants a password and returns its host and
// port.
func guardedRedis(t *testing.T) string {
	t.Helper()
	port := strconv.Itoa(freePort(t))
	command := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--requirepass", "right")
	command.Dir = t.TempDir()
	if err := command.Start(); err != nil {
		t.Fatalf("redis-server is needed beside TEST_REDIS_URL: %v", err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	address := "127.0.0.1:" + port
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
			return address
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}
