package main

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"llmhist/config"
	"llmhist/platform/logging"
	"llmhist/platform/ratelimit"
	"llmhist/platform/testkit"
)

// largerEngines points the product at PostgreSQL, a server that speaks
// MongoDB's protocol, S3 and Redis, all empty.
func largerEngines(t *testing.T) func(*config.Config) {
	t.Helper()
	limits := redisURL(t)
	postgres := testkit.PostgresURL(t)
	mongo, name := testkit.MongoAddress(t)
	images, speech := testkit.S3Options(t), testkit.S3Options(t)
	return func(c *config.Config) {
		c.Database = config.Database{URL: logging.Secret(postgres)}
		c.Mongo = config.Mongo{URI: logging.Secret(mongo), DBName: name}
		c.S3.Endpoint, c.S3.AccessKey, c.S3.SecretKey = images.Endpoint, logging.Secret(images.AccessKey), images.SecretKey
		c.S3.Bucket, c.S3.SpeechBucket = images.Bucket+"-i", speech.Bucket+"-s"
		c.Redis = config.Redis{URL: logging.Secret(limits)}
	}
}

// redisURL returns the address of an empty database of the tests' Redis.
func redisURL(t *testing.T) string {
	t.Helper()
	address := os.Getenv("TEST_REDIS_URL")
	if address == "" {
		if requireAll() {
			t.Fatal("TEST_REDIS_URL is not set, and LLMHIST_TEST_ALL requires Redis")
		}
		t.Skip("SKIPPED: no Redis; set TEST_REDIS_URL or use make test-all")
	}
	return emptied(t, address)
}

// redisTests counts the tests that asked for a Redis.
var redisTests atomic.Int32

// emptied returns the address of an empty database of a Redis. Tests take them
// in turn: accounts have the same numbers in each test, and their limits would
// meet. Database 0 is left to the packages that are tested at the same time.
func emptied(t *testing.T, address string) string {
	t.Helper()
	options, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	options.DB = 1 + int(redisTests.Add(1)-1)%15
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	if err := client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	own, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	own.Path = fmt.Sprint("/", options.DB)
	return own.String()
}

func TestTheLargerEnginesKeepEverythingAcrossAStart(t *testing.T) {
	engines := largerEngines(t)
	first := boot(t, engines)
	token, _ := first.newUser("ada")
	image := first.do("POST", "/image/generate", token, object{"prompt": "a lighthouse", "size": "64x64"}).want(201)
	answer := first.do("POST", "/chat", token, object{"message": "How do I make an API key?"}).want(200)
	first.do("POST", "/chat", token, object{"message": "hello"}).want(200)
	if ready := first.do("GET", "/readyz", "", nil).want(200); len(list(ready["checks"])) != 4 {
		t.Errorf("ready asks %v", ready["checks"])
	}
	first.stop()

	second := boot(t, engines)
	token, _ = second.signIn("ada@example.com", "password of ada")
	again := second.do("GET", "/image/"+image["id"].(string), token, nil).want(200)
	picture := second.do("GET", again["download_url"].(string), "", nil)
	if picture.want(200); !bytes.HasPrefix(picture.body, []byte("\x89PNG")) || strings.HasPrefix(again["download_url"].(string), second.url) {
		t.Errorf("the picture comes from %v", again["download_url"])
	}
	session := second.do("GET", "/chat/sessions/"+answer["session_id"].(string), token, nil).want(200)
	if messages := list(session["messages"]); len(messages) != 2 || messages[1]["content"] != answer["content"] {
		t.Errorf("history %v", messages)
	}
	if usage := second.do("GET", "/analytics/user/me", token, nil).want(200); usage["successful_requests"] != 3.0 {
		t.Errorf("usage %v", usage)
	}
	second.do("DELETE", "/users/me", token, nil).want(204)
	second.do("GET", again["download_url"].(string), "", nil)
	admin := second.admin()
	second.do("GET", "/image/"+image["id"].(string), admin, nil).want(404)
	if total := second.do("GET", "/analytics/system", admin, nil).want(200)["total_requests"]; total != 3.0 {
		t.Errorf("the accounts of the installation lost requests: %v", total)
	}
}

func TestTwoServersShareOneLimit(t *testing.T) {
	engines := largerEngines(t)
	limited := func(c *config.Config) {
		c.Rate.ImageGenerate = ratelimit.Rule{Requests: 4, Window: time.Hour}
	}
	one := boot(t, engines, limited)
	token, _ := one.newUser("ada")
	two := boot(t, engines, limited, func(c *config.Config) { c.JWT.PrivateKeyPath = one.app.config.JWT.PrivateKeyPath })
	statuses := map[int]int{}
	for i := range 8 {
		server := []*server{one, two}[i%2]
		statuses[server.do("POST", "/image/generate", token, object{"prompt": "x", "size": "64x64"}).status]++
	}
	if statuses[201] != 4 || statuses[429] != 4 {
		t.Errorf("answers by status: %v", statuses)
	}
}

func TestTheDoctorOpensEveryEngine(t *testing.T) {
	cfg, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Data.Dir = t.TempDir()
	largerEngines(t)(&cfg)
	command := &examination{cfg: cfg, now: time.Now()}
	db, err := openDatabase(t.Context(), cfg, testkit.Logger(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := boot(t, func(c *config.Config) {
		keys, admin := c.JWT, c.Admin
		*c = cfg
		c.JWT, c.Admin, c.Port = keys, admin, 0
	})
	for name, e := range map[string]*examination{"command": command, "server": {cfg: cfg, now: time.Now(), server: s.app}} {
		found := map[string]finding{}
		for _, f := range together(t.Context(), e.checkDatabase, e.checkDocuments, e.checkObjects, e.checkLimits, e.checkClock) {
			found[f.Area+" "+f.Name] = f
			if f.Status != statusOK {
				t.Errorf("%s: %+v", name, f)
			}
		}
		for _, want := range []string{
			"database postgres", "documents mongodb", "objects " + cfg.S3.Bucket, "objects " + cfg.S3.SpeechBucket, "limits redis",
			"clock this machine", "clock database", "clock object store",
		} {
			if found[want].Status == "" {
				t.Errorf("%s: nothing is said of %s", name, want)
			}
		}
	}
}

func TestTheDoctorNamesTheEngineThatDoesNotAnswer(t *testing.T) {
	cfg, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Data.Dir = t.TempDir()
	cfg.Database.URL = "postgres://u:hidden@127.0.0.1:1/x"
	cfg.Mongo.URI = "mongodb://u:hidden@127.0.0.1:1/"
	cfg.S3.Endpoint, cfg.S3.AccessKey, cfg.S3.SecretKey = "http://127.0.0.1:1", "key", "hidden"
	cfg.Redis.URL = "redis://:hidden@127.0.0.1:1"
	keys := map[string]string{areaDatabase: "DATABASE_URL", areaDocuments: "MONGO_URI", areaObjects: "S3_ENDPOINT", areaLimits: "REDIS_URL"}
	e := examination{cfg: cfg, now: time.Now()}
	found := together(t.Context(), e.checkDatabase, e.checkDocuments, e.checkObjects, e.checkLimits, e.checkClock)
	if len(found) != 7 {
		t.Errorf("five engines and two clocks make %d lines: %v", len(found), found)
	}
	for _, f := range found {
		switch key := keys[f.Area]; {
		case strings.Contains(f.Detail+f.Action, "hidden"):
			t.Errorf("a secret in %+v", f)
		case key != "" && (f.Status != statusError || !strings.Contains(f.Detail, key) || !strings.Contains(f.Action, key)):
			t.Errorf("%+v does not name %s", f, key)
		case f.Name == "object store" && f.Status != statusSkipped:
			t.Errorf("the clock of a store that is away: %+v", f)
		}
	}
}
