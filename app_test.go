package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"llmhist/config"
	"llmhist/platform/ratelimit"
)

// TestMain fails when a goroutine outlives the App it belongs to.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			if compiledDir != "" {
				_ = os.RemoveAll(compiledDir)
			}
			os.Exit(code)
		}))
}

func TestTheMainJourney(t *testing.T) {
	s := boot(t)
	token, userID := s.newUser("ada")

	image := s.do("POST", "/image/generate", token, object{"prompt": "cyberpunk cat with neon lights", "size": "256x192"}).want(201)
	picture := s.do("GET", image["download_url"].(string), "", nil)
	if picture.want(200); picture.header.Get("Content-Type") != "image/png" || !bytes.HasPrefix(picture.body, []byte("\x89PNG")) {
		t.Errorf("the picture is %s", picture.header.Get("Content-Type"))
	}
	metadata := image["metadata"].(object)
	if metadata["model"] != "local/canvas" || metadata["provider"] != "local" || metadata["width"] != 256.0 || metadata["file_size_bytes"] != float64(len(picture.body)) {
		t.Errorf("metadata %v", metadata)
	}

	first := s.do("POST", "/chat", token, object{"message": "How do I make an API key?"}).want(200)
	second := s.do("POST", "/chat", token, object{"message": "Thanks.", "session_id": first["session_id"]}).want(200)
	if second["session_id"] != first["session_id"] || first["model"] != "local/guide" || first["content"] == "" {
		t.Errorf("chat answered %v then %v", first, second)
	}
	session := s.do("GET", "/chat/sessions/"+first["session_id"].(string), token, nil).want(200)
	if messages := list(session["messages"]); len(messages) != 4 || messages[0]["role"] != "user" || messages[3]["content"] != second["content"] {
		t.Errorf("history %v", messages)
	}

	usage := s.do("GET", "/analytics/user/me", token, nil).want(200)
	if usage["total_requests"] != 3.0 || usage["successful_requests"] != 3.0 || usage["user_id"] != float64(userID) {
		t.Errorf("usage %v", usage)
	}
	if total := s.do("GET", "/analytics/system", s.admin(), nil).want(200)["total_requests"]; total != 3.0 {
		t.Errorf("the system counted %v", total)
	}
	if pictures := s.do("GET", "/admin/images", s.admin(), nil).want(200); pictures["total"] != 1.0 {
		t.Errorf("the admin sees %v", pictures)
	}
}

func TestTheServiceSpeaks(t *testing.T) {
	s := boot(t)
	token, _ := s.newUser("ada")
	spoken := s.do("POST", "/speech/generate", token, object{"text": "Hello from your own server.", "language": "en"})
	if spoken.status == 503 && spoken.code() == "voice_unavailable" && !requireAll() {
		t.Skip("SKIPPED: the voices are not built in; run make build first")
	}
	made := spoken.want(201)
	sound := s.do("GET", made["audio_url"].(string), "", nil)
	if sound.want(200); !bytes.HasPrefix(sound.body, []byte("RIFF")) || made["duration_seconds"].(float64) < 1 {
		t.Errorf("%.8q for %v seconds", sound.body, made["duration_seconds"])
	}
	if usage := s.do("GET", "/analytics/service/speech", token, nil).want(200); usage["total_requests"] != 1.0 {
		t.Errorf("usage %v", usage)
	}
}

func TestAStreamedAnswer(t *testing.T) {
	s := boot(t)
	token, _ := s.newUser("ada")
	answer := s.do("POST", "/chat", token, object{"message": "How do I make an image?", "stream": true})
	if answer.want(200); !strings.HasPrefix(answer.header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("content type %s", answer.header.Get("Content-Type"))
	}
	var names []string
	var streamed, stored string
	for block := range strings.SplitSeq(strings.TrimSpace(string(answer.body)), "\n\n") {
		name, data, _ := strings.Cut(block, "\n")
		name = strings.TrimPrefix(name, "event: ")
		var payload object
		if err := json.Unmarshal([]byte(strings.TrimPrefix(data, "data: ")), &payload); err != nil {
			t.Fatalf("%q: %v", block, err)
		}
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
		switch name {
		case "delta":
			streamed += payload["content"].(string)
		case "done":
			stored = payload["content"].(string)
		}
	}
	if fmt.Sprint(names) != "[start delta done]" || streamed == "" || streamed != stored {
		t.Errorf("events %v, streamed %d bytes, stored %d", names, len(streamed), len(stored))
	}
}

// TestProtected walks every kind of owned thing as its owner, another user, an
// admin and nobody.
func TestProtected(t *testing.T) {
	s := boot(t)
	owner, ownerID := s.newUser("owner")
	other, _ := s.newUser("other")
	admin := s.admin()
	image := s.do("POST", "/image/generate", owner, object{"prompt": "mine alone", "size": "64x64"}).want(201)["id"].(string)
	open := s.do("POST", "/image/generate", "", object{"prompt": "anyone's", "size": "64x64"}).want(201)["id"].(string)
	session := s.do("POST", "/chat", owner, object{"message": "hello"}).want(200)["session_id"].(string)
	unknown := s.do("GET", "/image/0199aaaa-0000-7000-8000-000000000000", other, nil)

	for _, test := range []struct {
		method, path                string
		owner, other, admin, nobody int
	}{
		{"GET", "/image/" + image, 200, 404, 200, 404},
		{"GET", "/image/" + image + "/download", 302, 404, 302, 404},
		{"GET", "/image/" + open, 200, 200, 200, 200},
		{"DELETE", "/image/" + open, 403, 403, 204, 401},
		{"GET", "/image", 200, 200, 200, 401},
		{"GET", "/speech", 200, 200, 200, 401},
		{"GET", "/admin/images", 200, 200, 200, 401},
		{"GET", "/admin/speech", 200, 200, 200, 401},
		{"GET", "/chat/sessions/" + session, 200, 404, 404, 401},
		{"GET", "/chat/models", 200, 200, 200, 401},
		{"GET", "/users/me", 200, 200, 200, 401},
		{"GET", "/admin/users", 403, 403, 200, 401},
		{"GET", "/admin/doctor", 403, 403, 200, 401},
		{"GET", fmt.Sprintf("/admin/users/%d", ownerID), 403, 403, 200, 401},
		{"GET", fmt.Sprintf("/analytics/users/%d", ownerID), 200, 404, 200, 401},
		{"GET", "/analytics/system", 403, 403, 200, 401},
		{"GET", "/auth/sessions", 200, 200, 200, 401},
		{"GET", "/users/me/api-keys", 200, 200, 200, 401},
		{"GET", "/healthz", 200, 200, 200, 200},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			// Whoever may change something comes last.
			for _, caller := range []struct {
				name, token string
				want        int
			}{{"nobody", "", test.nobody}, {"other", other, test.other}, {"owner", owner, test.owner}, {"admin", admin, test.admin}} {
				got := s.do(test.method, test.path, caller.token, nil)
				if got.status != caller.want {
					t.Errorf("as %s: %d, want %d: %.200s", caller.name, got.status, caller.want, got.body)
				}
				if got.status == 404 && detail(got) != detail(unknown) && strings.HasPrefix(test.path, "/image/") {
					t.Errorf("as %s: a hidden image says %q, an unknown one %q", caller.name, detail(got), detail(unknown))
				}
			}
		})
	}
	signIn := list(s.do("GET", "/auth/sessions", owner, nil).want(200)["sessions"])[0]["id"].(string)
	s.do("DELETE", "/auth/sessions/"+signIn, other, nil).want(404)
	s.do("DELETE", "/auth/sessions/"+signIn, admin, nil).want(404)
	s.do("GET", "/users/me", owner, nil).want(200)
	s.do("DELETE", "/chat/sessions/"+session, other, nil).want(404)
	s.do("DELETE", "/chat/sessions/"+session, admin, nil).want(404)
	s.do("DELETE", "/chat/sessions/"+session, owner, nil).want(204)
	for caller, want := range map[string]float64{owner: 1, other: 0} {
		if total := s.do("GET", "/admin/images?user_id="+fmt.Sprint(ownerID), caller, nil).want(200)["total"]; total != want {
			t.Errorf("a user sees %v of the owner's images, want %v", total, want)
		}
	}
}

func detail(r reply) string {
	var problem struct{ Code, Detail string }
	_ = json.Unmarshal(r.body, &problem)
	return problem.Code + " " + problem.Detail
}

func TestErasingAnAccountLeavesNothingOfIt(t *testing.T) {
	s := boot(t)
	token, id := s.newUser("ada")
	image := s.do("POST", "/image/generate", token, object{"prompt": "soon gone", "size": "64x64"}).want(201)
	s.do("POST", "/chat", token, object{"message": "hello"}).want(200)
	s.do("DELETE", "/users/me", token, nil).want(204)

	if got := s.do("GET", "/users/me", token, nil); got.status != 401 {
		t.Errorf("its token still works: %d", got.status)
	}
	if got := s.do("POST", "/auth/login", "", object{"email": "ada@example.com", "password": "password of ada"}); got.status != 401 {
		t.Errorf("it can still sign in: %d", got.status)
	}
	admin := s.admin()
	s.do("GET", "/image/"+image["id"].(string), admin, nil).want(404)
	s.do("GET", image["download_url"].(string), "", nil).want(404)
	s.do("GET", fmt.Sprintf("/admin/users/%d", id), admin, nil).want(404)
	if total := s.do("GET", "/analytics/system", admin, nil).want(200)["total_requests"]; total != 2.0 {
		t.Errorf("the accounts of the installation lost its requests: %v", total)
	}
}

func TestBadRequestsStoreNothing(t *testing.T) {
	s := boot(t)
	token, _ := s.newUser("ada")
	long := strings.Repeat("x", 10_000)
	for name, test := range map[string]struct {
		path   string
		body   any
		status int
	}{
		"malformed image":         {"/image/generate", `{"prompt":`, 400},
		"too large an image":      {"/image/generate", `{"prompt":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
		"wrong type":              {"/image/generate", object{"prompt": 1}, 422},
		"unknown field":           {"/image/generate", object{"prompt": "x", "sise": "1x1"}, 422},
		"absurd size":             {"/image/generate", object{"prompt": "x", "size": "99999x1"}, 422},
		"unknown image model":     {"/image/generate", object{"prompt": "x", "model": "nope"}, 422},
		"empty prompt":            {"/image/generate", object{"prompt": " "}, 422},
		"10,000 character prompt": {"/image/generate", object{"prompt": long}, 422},
		"unknown language":        {"/speech/generate", object{"text": "x", "language": "xx"}, 422},
		"unknown speech model":    {"/speech/generate", object{"text": "x", "model": "nope"}, 422},
		"empty text":              {"/speech/generate", object{"text": ""}, 422},
		"10,000 character text":   {"/speech/generate", object{"text": long}, 422},
		"empty message":           {"/chat", object{"message": ""}, 422},
		"unknown chat model":      {"/chat", object{"message": "x", "model": "nope"}, 422},
		"absurd temperature":      {"/chat", object{"message": "x", "temperature": 99}, 422},
	} {
		t.Run(name, func(t *testing.T) {
			if got := s.do("POST", test.path, token, test.body); got.status != test.status {
				t.Errorf("%d, want %d: %.300s", got.status, test.status, got.body)
			} else if got.code() == "" || got.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("not a problem: %s %.300s", got.header.Get("Content-Type"), got.body)
			}
		})
	}
	for path, noun := range map[string]string{"/image": "images", "/speech": "speech", "/chat/sessions": "sessions"} {
		if got := s.do("GET", path, token, nil).want(200); got["total"] != 0.0 || len(got[noun].([]any)) != 0 {
			t.Errorf("%s: something was stored: %v", path, got)
		}
	}
	if usage := s.do("GET", "/analytics/user/me", token, nil).want(200); usage["failed_requests"] != 15.0 || usage["successful_requests"] != 0.0 {
		t.Errorf("refused requests are accounted for: %v", usage)
	}
}

func TestLimitsHoldAndSayWhenToComeBack(t *testing.T) {
	s := boot(t, func(c *config.Config) {
		c.Rate.ImageGenerateAnonymous = ratelimit.Rule{Requests: 2, Window: time.Minute}
		c.Rate.ImageGenerate = ratelimit.Rule{Requests: 3, Window: time.Minute}
	})
	ask := func(token string) reply {
		return s.do("POST", "/image/generate", token, object{"prompt": "x", "size": "64x64"})
	}
	ask("").want(201)
	ask("").want(201)
	refused := ask("")
	if refused.want(429); refused.code() != "rate_limited" || refused.header.Get("Retry-After") == "" || refused.header.Get("RateLimit") == "" || refused.header.Get("RateLimit-Policy") == "" {
		t.Errorf("%v %s", refused.header, refused.body)
	}
	token, _ := s.newUser("ada")
	for range 3 {
		ask(token).want(201)
	}
	ask(token).want(429)
}

func TestNoSecretAndNoPromptReachTheLog(t *testing.T) {
	s := boot(t)
	const prompt = "a prompt that nobody else should read"
	token, _ := s.newUser("ada")
	_, refresh := s.signIn("ada@example.com", "password of ada")
	key := s.do("POST", "/users/me/api-keys", token, object{"name": "test"}).want(201)["key"].(string)
	s.do("POST", "/chat", key, object{"message": prompt}).want(200)
	s.do("POST", "/image/generate", key, object{"prompt": prompt, "size": "64x64"}).want(201)
	s.do("GET", "/admin/images?q="+strings.ReplaceAll(prompt, " ", "+"), token, nil).want(200)
	s.do("POST", "/auth/refresh", "", object{"refreshToken": refresh}).want(200)
	s.do("POST", "/auth/login", "", object{"email": "ada@example.com", "password": "wrong password!"}).want(401)
	s.stop()
	log := s.log.String()
	for what, secret := range map[string]string{
		"access token": token, "refresh token": refresh, "API key": key, "password": "password of ada",
		"wrong password": "wrong password!", "admin password": adminPassword, "prompt": prompt, "encoded prompt": "nobody+else", "e-mail": "ada@example.com",
	} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds the %s", what)
		}
	}
	if !strings.Contains(log, `"route":"/image/generate"`) {
		t.Error("the log does not say what was asked")
	}
}

func TestEveryRouteIsDescribed(t *testing.T) {
	s := boot(t)
	for _, route := range s.app.router.Routes() {
		if route.Hidden {
			continue
		}
		if route.Summary == "" || route.Tag == "" {
			t.Errorf("%s %s has no summary or section", route.Method, route.Path)
		}
		if (route.Service == "") != (route.Action == "") || route.Service != "" && route.Limit == "" {
			t.Errorf("%s %s is generating but not limited", route.Method, route.Path)
		}
	}
	document := s.do("GET", "/openapi.json", "", nil).want(200)
	if document["openapi"] != "3.1.0" || len(document["paths"].(object)) < 30 {
		t.Errorf("openapi %v with %d paths", document["openapi"], len(document["paths"].(object)))
	}
	page := s.do("GET", "/docs", "", nil)
	if page.want(200); !strings.Contains(string(page.body), "/image/generate") || strings.Contains(string(page.body), "<script") {
		t.Error("/docs does not describe the routes, or needs scripts")
	}
	if ready := s.do("GET", "/readyz", "", nil).want(200); ready["status"] != "ready" || list(ready["checks"])[0]["name"] != "database" {
		t.Errorf("ready says %v", ready)
	}
	s.do("GET", "/metrics", "", nil).want(404)
}

func TestMetricsNeedTheirToken(t *testing.T) {
	s := boot(t, func(c *config.Config) { c.Metrics.Token = "let me see" })
	s.do("GET", "/metrics", "", nil).want(401)
	s.do("GET", "/metrics", "wrong", nil).want(401)
	page := s.do("GET", "/metrics", "let me see", nil)
	if page.want(200); !strings.Contains(string(page.body), "llmhist_http_request_duration_seconds") {
		t.Errorf("%.300s", page.body)
	}
}
