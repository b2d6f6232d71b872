package speech

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/blob"
	"llmhist/platform/history"
	"llmhist/platform/testkit"
)

func TestGenerateAnswersAsTheContractSays(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	server := testkit.Serve(t, b.Mount)
	answer := server.Do("POST", "/speech/generate", testkit.User(1), map[string]any{"text": "  Hola  ", "language": "es"})
	if answer.Status != http.StatusCreated {
		t.Fatalf("status %d: %s", answer.Status, answer.Body)
	}
	got := answer.JSON(t)
	id, _ := got["id"].(string)
	prefix := history.Prefix(id)
	if link, _ := got["audio_url"].(string); !strings.HasPrefix(link, "http://test.invalid/files/speech-test/"+prefix+"/audio/output.wav?") {
		t.Errorf("audio_url %q", link)
	}
	delete(got, "audio_url")
	want := map[string]any{
		"id": id, "text": "Hola", "language": "es", "voice": "bea", "model": "fake/one", "speed": 1.0, "format": "wav",
		"status": "completed", "created_at": "2026-11-23T10:00:00Z", "user_id": 1.0,
		"duration_seconds": 1.5, "file_size_bytes": 48044.0, "s3_key": prefix + "/audio/output.wav",
		"metadata": map[string]any{
			"request_id": answer.Header.Get("X-Request-Id"), "provider": "fake", "latency_ms": 0.0, "status_code": 200.0,
			"cost_usd": 0.0, "record_key": prefix + "/record.json", "input_key": prefix + "/input.json",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if at := answer.Header.Get("Location"); at != "/speech/"+id {
		t.Errorf("Location %q", at)
	}
	wantKeys := []string{prefix + "/audio/output.wav", prefix + "/input.json", prefix + "/record.json", "users/1/speech/history/2026/11/23.jsonl"}
	if diff := cmp.Diff(wantKeys, b.objects(t)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	again := server.Do("GET", "/speech/"+id, testkit.User(1), nil)
	read := again.JSON(t)
	delete(read, "audio_url")
	if diff := cmp.Diff(want, read); again.Status != http.StatusOK || diff != "" || again.Header.Get("Location") != "" {
		t.Errorf("read later: %d (-want +got):\n%s", again.Status, diff)
	}
}

func TestTheDocumentsSayWhatTheRowSays(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	server := testkit.Serve(t, b.Mount)
	id := generate(t, server, testkit.User(1), "Good morning.")
	read := func(key string) map[string]any {
		data, err := blob.ReadAll(t.Context(), b.bucket, key, 1<<20)
		document := map[string]any{}
		if err := errors.Join(err, json.Unmarshal(data, &document)); err != nil {
			t.Fatal(err)
		}
		return document
	}
	answer := server.Do("GET", "/speech/"+id, testkit.User(1), nil).JSON(t)
	want := maps.Clone(answer)
	delete(want, "audio_url") // signed links expire
	want["s3_bucket"] = "speech-test"
	record := read(history.RecordKey(id))
	want["updated_at"] = record["updated_at"]
	sound, err := blob.ReadAll(t.Context(), b.bucket, record["s3_key"].(string), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want["sha256"] = fmt.Sprintf("%x", sha256.Sum256(sound))
	if diff := cmp.Diff(want, record); diff != "" {
		t.Errorf("record.json (-want +got):\n%s", diff)
	}
	input := map[string]any{"request_id": answer["metadata"].(map[string]any)["request_id"]}
	for _, name := range []string{"id", "user_id", "text", "language", "voice", "model", "speed", "format", "created_at"} {
		input[name] = answer[name]
	}
	if diff := cmp.Diff(input, read(history.InputKey(id))); diff != "" {
		t.Errorf("input.json (-want +got):\n%s", diff)
	}
}

// generate makes one conversion and returns its id.
func generate(t *testing.T, server *testkit.Server, as testkit.Caller, text string) string {
	t.Helper()
	answer := server.Do("POST", "/speech/generate", as, map[string]any{"text": text})
	if answer.Status != http.StatusCreated {
		t.Fatalf("status %d: %s", answer.Status, answer.Body)
	}
	id, _ := answer.JSON(t)["id"].(string)
	return id
}

func TestVisibility(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	server := testkit.Serve(t, b.Mount)
	own := generate(t, server, testkit.User(1), "mine")
	anonymous := generate(t, server, testkit.Nobody, "nobody's")
	unknown := "01935600-0000-7000-8000-000000000000"
	one, two, admin, nobody := testkit.User(1), testkit.User(2), testkit.Admin(9), testkit.Nobody
	tests := []struct {
		method, path string
		as           testkit.Caller
		status       int
		code         string
	}{
		{"GET", "/speech/" + own, one, 200, ""},
		{"GET", "/speech/" + own, admin, 200, ""},
		{"GET", "/speech/" + own, two, 404, "not_found"},
		{"GET", "/speech/" + own, nobody, 404, "not_found"},
		{"GET", "/speech/" + own, "expired", 401, "authentication_required"},
		{"GET", "/speech/" + anonymous, nobody, 200, ""},
		{"GET", "/speech/" + anonymous, two, 200, ""},
		{"GET", "/speech/" + unknown, one, 404, "not_found"},
		{"GET", "/speech/" + strings.ToUpper(own), one, 404, "not_found"},
		{"GET", "/speech/nonsense", admin, 404, "not_found"},
		{"GET", "/speech/" + own + "/download", one, 302, ""},
		{"GET", "/speech/" + own + "/download", two, 404, "not_found"},
		{"GET", "/speech/" + own + "/download", nobody, 404, "not_found"},
		{"GET", "/speech/" + own + "/download?redirect=perhaps", one, 422, "validation_failed"},
		{"GET", "/speech/" + anonymous + "/download", nobody, 302, ""},
		{"GET", "/speech/" + unknown + "/download", nobody, 404, "not_found"},
		{"GET", "/speech", nobody, 401, "authentication_required"},
		{"GET", "/speech?page=0", one, 422, "validation_failed"},
		{"GET", "/speech?per_page=101", one, 422, "validation_failed"},
		{"GET", "/speech/voices", nobody, 200, ""},
		{"GET", "/admin/speech", nobody, 401, "authentication_required"},
		{"GET", "/admin/speech?user_id=0", admin, 422, "validation_failed"},
		{"GET", "/admin/speech?q=" + strings.Repeat("x", 201), admin, 422, "validation_failed"},
		{"POST", "/speech/generate", "expired", 401, "authentication_required"},
		{"DELETE", "/speech/" + own, nobody, 401, "authentication_required"},
		{"DELETE", "/speech/" + own, two, 404, "not_found"},
		{"DELETE", "/speech/" + anonymous, one, 403, "admin_only"},
		{"DELETE", "/speech/" + unknown, one, 404, "not_found"},
		{"DELETE", "/speech/" + own, one, 204, ""},
		{"DELETE", "/speech/" + own, one, 404, "not_found"},
		{"GET", "/speech/" + own, one, 404, "not_found"},
		{"DELETE", "/speech/" + anonymous, admin, 204, ""},
	}
	for _, test := range tests {
		var body any
		if test.method == "POST" {
			body = map[string]any{"text": "x"}
		}
		answer := server.Do(test.method, test.path, test.as, body)
		if answer.Status != test.status || answer.Code() != test.code {
			t.Errorf("%s %s as %q: %d %s, want %d %s", test.method, test.path, test.as, answer.Status, answer.Code(), test.status, test.code)
		}
	}
	for _, key := range b.objects(t) {
		if !strings.HasPrefix(key, "users/") {
			t.Errorf("%s is left after the erasure", key)
		}
	}
	unseen := server.Do("GET", "/speech/"+unknown, two, nil).JSON(t)["detail"]
	other := newBench(t, newFake(t, "fake"))
	server = testkit.Serve(t, other.Mount)
	if got := server.Do("GET", "/speech/"+generate(t, server, one, "x"), two, nil).JSON(t)["detail"]; got != unseen {
		t.Errorf("an invisible conversion says %q, an unknown one %q", got, unseen)
	}
}

func TestDownload(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	server := testkit.Serve(t, b.Mount)
	id := generate(t, server, testkit.User(1), "x")

	t.Run("leads to a signed link", func(t *testing.T) {
		answer := server.Do("GET", "/speech/"+id+"/download", testkit.User(1), nil)
		link, err := url.Parse(answer.Header.Get("Location"))
		if err != nil || link.Query().Get("signature") == "" || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", answer.Status, answer.Header)
		}
	})
	t.Run("names it without redirect", func(t *testing.T) {
		answer := server.Do("GET", "/speech/"+id+"/download?redirect=false", testkit.User(1), nil)
		got := answer.JSON(t)
		if link, _ := got["download_url"].(string); answer.Status != 200 || !strings.Contains(link, "signature=") || got["expires_in"] != 300.0 {
			t.Errorf("%d %v", answer.Status, got)
		}
	})
	for name, c := range map[string]Conversion{
		"still processing": newConversion(b.clock.Now(), nil),
		"failed": func() Conversion {
			c := newConversion(b.clock.Now(), nil)
			c.Status, c.Failure = StatusFailed, &Failure{Code: "provider_timeout", Detail: "Too slow."}
			return c
		}(),
	} {
		t.Run("is not ready when "+name, func(t *testing.T) {
			mustCreate(t, b.service.repository, c)
			answer := server.Do("GET", "/speech/"+c.ID+"/download", testkit.Nobody, nil)
			if answer.Status != 409 || answer.Code() != "not_ready" || answer.JSON(t)["speech_status"] != string(c.Status) {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
			read := server.Do("GET", "/speech/"+c.ID, testkit.Nobody, nil).JSON(t)
			if read["audio_url"] != nil || read["duration_seconds"] != nil || read["s3_key"] != nil {
				t.Errorf("claims a sound: %v", read)
			}
			if reason, _ := read["error"].(map[string]any); c.Failure != nil && reason["code"] != "provider_timeout" {
				t.Errorf("error %v", read["error"])
			}
		})
	}
}

func TestLists(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	server := testkit.Serve(t, b.Mount)
	var own []string
	for i := range 12 {
		b.clock.Advance(time.Second)
		own = append([]string{generate(t, server, testkit.User(1), "number "+string(rune('a'+i)))}, own...)
	}
	other := generate(t, server, testkit.User(2), "100% other")
	anonymous := generate(t, server, testkit.Nobody, "nobody")
	all := 14
	tests := map[string]struct {
		path  string
		as    testkit.Caller
		total int
		first string
		count int
	}{
		"own, first page":        {"/speech", testkit.User(1), 12, own[0], 10},
		"own, second page":       {"/speech?page=2", testkit.User(1), 12, own[10], 2},
		"own, page of five":      {"/speech?page=2&per_page=5", testkit.User(1), 12, own[5], 5},
		"own, beyond the end":    {"/speech?page=99", testkit.User(1), 12, "", 0},
		"none":                   {"/speech", testkit.User(3), 0, "", 0},
		"own of an admin":        {"/speech", testkit.Admin(9), 0, "", 0},
		"everyone's":             {"/admin/speech?per_page=100", testkit.Admin(9), all, "", all},
		"one user's":             {"/admin/speech?user_id=2", testkit.Admin(9), 1, other, 1},
		"a search":               {"/admin/speech?q=100%25", testkit.Admin(9), 1, other, 1},
		"a search for nobody's":  {"/admin/speech?q=NOBODY", testkit.Admin(9), 1, anonymous, 1},
		"a user asking for all":  {"/admin/speech", testkit.User(1), 12, own[0], 10},
		"a user asking for hers": {"/admin/speech?user_id=1", testkit.User(1), 12, own[0], 10},
		"a user asking for his":  {"/admin/speech?user_id=2", testkit.User(1), 0, "", 0},
		"a user searching":       {"/admin/speech?q=other", testkit.User(1), 0, "", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := server.Do("GET", test.path, test.as, nil)
			var got struct {
				Speech               []map[string]any
				Total, Page, PerPage int
			}
			if err := json.Unmarshal(answer.Body, &got); err != nil || got.Speech == nil {
				t.Fatalf("%v: %s", err, answer.Body)
			}
			if got.Total != test.total || len(got.Speech) != test.count {
				t.Fatalf("%d of %d, want %d of %d", len(got.Speech), got.Total, test.count, test.total)
			}
			if test.first != "" && got.Speech[0]["id"] != test.first {
				t.Errorf("first %v, want %s", got.Speech[0]["id"], test.first)
			}
		})
	}
	t.Run("an entry for admins", func(t *testing.T) {
		var got struct{ Speech []map[string]any }
		if err := json.Unmarshal(server.Do("GET", "/admin/speech?user_id=2", testkit.Admin(9), nil).Body, &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"id": other, "text": "100% other", "user_id": 2.0, "created_at": "2026-11-23T10:00:12Z",
			"language": "en", "model": "fake/one", "status": "completed"}
		if diff := cmp.Diff(want, got.Speech[0]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestVoicesSaysWhatIsMissing(t *testing.T) {
	gone := newFake(t, "gone")
	gone.list[0].missing = "Install it."
	b := newBench(t, newFake(t, "fake"), gone)
	server := testkit.Serve(t, b.Mount)
	var got voicesAnswer
	if err := json.Unmarshal(server.Do("GET", "/speech/voices", testkit.Nobody, nil).Body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Voices) != 4 || !got.Voices[0].Available || got.Voices[3].Available {
		t.Errorf("voices %+v", got.Voices)
	}
	female, english := "female", "en-US"
	want := voiceAnswer{ID: "ann", Name: "Ann", Language: &english, Gender: &female, Model: "fake/one", Provider: "fake", Available: true}
	if diff := cmp.Diff(want, got.Voices[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(got.Models) != 2 || got.Models[1].Available || got.Models[1].Note != "Install it." {
		t.Errorf("models %+v", got.Models)
	}
}

func TestEveryRouteIsDescribedAndGuarded(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	server := testkit.Serve(t, b.Mount)
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		if answer := server.Do(method, "/speech/generate", testkit.Admin(9), nil); answer.Status == http.StatusCreated {
			t.Errorf("%s generates", method)
		}
	}
	if answer := server.Do("PUT", "/speech", testkit.User(1), nil); answer.Status != 405 || answer.Header.Get("Allow") == "" {
		t.Errorf("wrong method: %d %v", answer.Status, answer.Header)
	}
}
