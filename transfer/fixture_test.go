package transfer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llmhist/migrations"
	"llmhist/modules/analytics"
	"llmhist/modules/chat"
	"llmhist/platform/archive"
	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/history"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
	"llmhist/transfer"
)

type row = map[string]any

// embedded returns empty embedded engines.
func embedded(t testing.TB) transfer.Engines {
	t.Helper()
	return embeddedIn(t, t.TempDir(), "i")
}

func embeddedIn(t testing.TB, dir, name string) transfer.Engines {
	t.Helper()
	db, err := database.OpenSQLite(t.Context(), filepath.Join(dir, "llmhist.db"), testkit.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context(), migrations.Files); err != nil {
		t.Fatal(err)
	}
	images, err := blob.FillDirectory(filepath.Join(dir, "objects"), name)
	if err != nil {
		t.Fatal(err)
	}
	speech, err := blob.FillDirectory(filepath.Join(dir, "objects"), name+"-speech")
	if err != nil {
		t.Fatal(err)
	}
	return transfer.Engines{DB: db, Images: images, Speech: speech}
}

// larger returns empty larger engines.
func larger(t testing.TB) transfer.Engines {
	t.Helper()
	documents := testkit.Mongo(t)
	if err := chat.EnsureIndexes(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	if err := analytics.EnsureIndexes(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	return transfer.Engines{DB: testkit.Postgres(t), Documents: documents, Images: testkit.S3(t), Speech: testkit.S3(t)}
}

func schema(t testing.TB, db *database.DB) int64 {
	t.Helper()
	list, err := db.Migrations(t.Context(), migrations.Files)
	if err != nil {
		t.Fatal(err)
	}
	last, err := transfer.SchemaOf(list)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// awkward is text that engines and encodings like to spoil.
const awkward = "𝕏 émoji 🦜 'single' \"double\" `back` \\ % _ <b>&amp;</b> \u2028 line\nbreak\ttab $1 ?"

var day = time.Date(2026, 11, 3, 23, 59, 59, 123e6, time.UTC)

// at returns the n-th moment of the fixture; some days lie between the first and
// the last.
func at(n int) time.Time { return day.Add(time.Duration(n) * 3 * time.Hour) }

// fixture is a set of awkward things: every state that a row can have, owners of
// every kind, and the objects that belong to them.
type fixture struct {
	rows    map[string][]row
	objects map[string][]byte // "image/requests/…"
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{rows: map[string][]row{}, objects: map[string][]byte{}}
	f.accounts()
	f.images(t)
	f.speech(t)
	f.chats()
	f.figures()
	return f
}

func (f *fixture) add(stream string, r row) { f.rows[stream] = append(f.rows[stream], r) }

func (f *fixture) accounts() {
	for id := range int64(12) {
		user := row{
			"id": id + 1, "email": fmt.Sprintf("user%d@example.com", id), "password_hash": "$argon2id$v=19$" + awkward, "role": "user",
			"name": awkward, "chat_per_day": nil, "image_per_day": nil, "speech_per_day": nil, "disabled_at": nil, "deleting_at": nil,
			"created_at": at(0), "updated_at": at(1),
		}
		switch id {
		case 0:
			user["role"] = "admin"
		case 1:
			user["disabled_at"], user["chat_per_day"], user["image_per_day"], user["speech_per_day"] = at(2), 0, 7, int64(1)<<40
		case 2:
			user["deleting_at"], user["name"] = at(3), ""
		}
		f.add("auth.users", user)
		f.add("auth.sessions", row{
			"id": uid.New(at(int(id))), "user_id": id + 1, "token_hash": fmt.Sprintf("token%d", id), "family_hash": fmt.Sprintf("family%d", id),
			"expires_at": at(400), "created_at": at(4), "last_used_at": at(5), "revoked": id%2 == 0, "user_agent": awkward, "ip": "2001:db8::1",
		})
		key := row{
			"id": uid.New(at(int(id))), "user_id": id + 1, "name": awkward, "prefix": "llmh_", "hash": fmt.Sprintf("key%d", id),
			"created_at": at(6), "last_used_at": nil, "expires_at": nil,
		}
		if id%2 == 0 {
			key["last_used_at"], key["expires_at"] = at(7), at(8)
		}
		f.add("auth.api_keys", key)
		for _, service := range []string{"chat", "image", "speech"} {
			f.add("auth.quota_usage", row{"user_id": id + 1, "day": "2026-11-03", "service": service, "used": id + 1})
		}
	}
	f.add("auth.sequence", row{"last_user_id": 31}) // users above 12 were deleted
	f.add("auth.erased_users", row{"user_id": 30, "erased_at": at(9)})
	f.add("auth.erased_users", row{"user_id": 31, "erased_at": at(8)})
}

// owners are of every kind: nobody, and ids whose order as text is another than
// as numbers.
var owners = []any{nil, 1, 2, 10, 12, 11}

var states = []string{"completed", "failed", "cancelled", "processing", "completed"}

func (f *fixture) images(t testing.TB) {
	for n := range 60 {
		id, status, owner := uid.New(at(n)), states[n%len(states)], owners[n%len(owners)]
		r := row{
			"id": id, "user_id": owner, "request_id": "r", "prompt": awkward, "negative_prompt": awkward, "size": "64x64", "style": "",
			"seed": nil, "status": status, "error_code": "", "error_detail": "", "provider": "local", "model": "local/canvas", "s3_key": "",
			"s3_bucket": nil, "width": 0, "height": 0, "file_size_bytes": 0, "sha256": "", "source_content_type": "",
			"processing_time_ms": n, "created_at": at(n), "finished_at": at(n).Add(time.Second),
		}
		if n%7 == 0 {
			r["s3_bucket"] = "of-another-name"
		}
		switch status {
		case "completed":
			r["style"] = "pixel"
			media := bytes.Repeat([]byte{byte(n), 0x89, 'P'}, 100_000*(n%3)+n)
			content := archive.BytesContent(media)
			r["seed"], r["s3_key"], r["width"], r["height"] = int64(1)<<53+int64(n), history.MediaKey(id, "image/original.png"), 64, 64
			r["file_size_bytes"], r["sha256"], r["source_content_type"] = len(media), content.SHA256, "image/webp"
			f.objects["image/"+history.MediaKey(id, "image/original.png")] = media
		case "processing":
			r["finished_at"] = nil
		default:
			r["error_code"], r["error_detail"] = "provider_failed", awkward
		}
		f.add("image.images", r)
		f.request(t, "image", id, owner, status)
	}
	f.add("image.erasures", row{"id": uid.New(at(100)), "user_id": 2, "processing": true})
	f.add("image.erasures", row{"id": uid.New(at(101)), "user_id": nil, "processing": false})
}

// request adds the documents of a request and its line in the daily index.
func (f *fixture) request(t testing.TB, service, id string, owner any, status string) {
	f.objects[service+"/"+history.InputKey(id)] = []byte(awkward + id)
	if status == "processing" {
		return
	}
	f.objects[service+"/"+history.RecordKey(id)] = []byte("{}" + id)
	if owner == nil {
		return
	}
	line, err := history.IndexLine(id)
	if err != nil {
		t.Fatal(err)
	}
	when, _ := uid.Time(id)
	key := service + "/" + history.IndexKeyOf(service, int64(owner.(int)), when)
	f.objects[key] = append(append(f.objects[key], line...), '\n')
}

func (f *fixture) speech(t testing.TB) {
	for n := range 30 {
		id, status, owner := uid.New(at(n)), states[n%len(states)], owners[n%len(owners)]
		r := row{
			"id": id, "user_id": owner, "request_id": "r", "text": awkward, "language": "en", "voice": "", "provider": "local",
			"model": "local/flite", "speed": 1.0, "format": "mp3", "status": status, "error": nil, "duration_ms": 0, "file_size_bytes": 0,
			"s3_bucket": nil, "latency_ms": n, "status_code": 200, "cost_usd": 0.0, "created_at": at(n), "updated_at": at(n + 1),
		}
		switch status {
		case "completed":
			media := bytes.Repeat([]byte{byte(n)}, 1000+n)
			r["voice"], r["speed"], r["duration_ms"], r["file_size_bytes"], r["cost_usd"] = "slt", 1.25, 3520+n, len(media), 0.000015
			f.objects["speech/"+history.MediaKey(id, "audio/output.mp3")] = media
		case "failed", "cancelled":
			r["error"] = row{"code": "provider_failed", "detail": awkward}
		}
		f.add("speech.conversions", r)
		f.request(t, "speech", id, owner, status)
	}
	f.add("speech.erasures", row{"id": uid.New(at(102)), "user_id": 10, "processing": false})
}

func (f *fixture) chats() {
	for n := range 9 {
		id, exchanges := uid.New(at(n)), n%4 // some are empty
		session := row{
			"id": id, "user_id": n%3 + 1, "title": awkward, "system": awkward, "model": [2]string{"", "local/guide"}[n%2], "last_model": "local/guide", "last_position": 2*exchanges + 4,
			"message_count": 2 * exchanges, "input_tokens": 0, "output_tokens": 0, "estimated": exchanges == 3, "created_at": at(n), "updated_at": at(n + 1),
		}
		for k := range exchanges {
			question := row{
				"id": uid.New(at(n)), "session_id": id, "user_id": n%3 + 1, "position": 4*k + 1, "role": "user", "content": awkward, "status": "completed",
				"provider": "", "model": "", "finish_reason": "", "error_code": "", "error_detail": "", "input_tokens": 0, "output_tokens": 0,
				"estimated": false, "extra": `{"seed":1}`, "created_at": at(n), "finished_at": at(n),
			}
			answer := row{}
			for key, value := range question {
				answer[key] = value
			}
			answer["id"], answer["position"], answer["role"] = uid.New(at(n)), 4*k+2, "assistant"
			switch k {
			case 0:
				answer["status"], answer["finished_at"], answer["content"] = "processing", nil, ""
			case 1:
				answer["status"], answer["error_code"], answer["error_detail"] = "failed", "interrupted", awkward
			case 2:
				answer["input_tokens"], answer["output_tokens"], answer["estimated"] = 10, 20, true
				answer["extra"], answer["thread"] = `{"tool_calls":[]}`, strings.Repeat("ab", 32)
				answer["finish_reason"], answer["provider"], answer["model"] = "stop", "local", "local/guide"
				session["input_tokens"], session["output_tokens"] = 10, 20
			}
			f.add("chat.messages", question)
			f.add("chat.messages", answer)
		}
		f.add("chat.sessions", session)
	}
}

func (f *fixture) figures() {
	hour := at(0).Truncate(time.Hour).Unix()
	for h := range 3 {
		for _, user := range []int{-1, 0, 1, 2, 10} { // an erased account's, and anonymous ones
			for _, model := range []string{"", "Zeta", "alpha", "émoji 🦜"} {
				f.add("analytics.hours", row{
					"hour": hour + int64(h)*3600, "user_id": user, "service": "chat", "provider": "p", "model": model, "requests": 5, "failed": 2,
					"input_tokens": 1, "output_tokens": int64(1) << 41, "input_bytes": 3, "output_bytes": 4, "cost_nano_usd": 5, "latency_sum_ms": 6,
					"latency_count": 3, "ttft_sum_ms": 0, "ttft_count": 0, "first_ms": hour * 1000, "last_ms": hour*1000 + 7,
					"latencies": [][2]int{{0, 1}, {9, 1}, {40, 1}},
				})
			}
		}
	}
	for n := range 20 {
		event := row{
			"id": uid.New(at(n)), "ts": at(n), "user_id": nil, "service": "image", "action": "generate", "request_id": "r", "provider": "p", "model": awkward,
			"status": "ok", "latency_ms": n, "ttft_ms": nil, "input_tokens": 1, "output_tokens": 2, "input_bytes": 3, "output_bytes": 4,
			"cost_nano_usd": 5, "http_status": 201, "code": "", "object_id": "", "estimated": false,
		}
		switch n % 3 {
		case 1:
			event["user_id"], event["ttft_ms"], event["object_id"], event["estimated"] = 1, 0, uid.New(at(n)), true
		case 2:
			event["user_id"], event["status"], event["code"], event["request_id"] = -1, "failed", "provider_failed", ""
		}
		f.add("analytics.events", event)
	}
}

// write makes a backup of the fixture.
func (f *fixture) write(t testing.TB, path string, schema int64) *archive.Reader {
	t.Helper()
	reader, err := archive.Open(t.Context(), f.store(t, path, schema))
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

func (f *fixture) store(t testing.TB, path string, schema int64) string {
	t.Helper()
	writer, err := archive.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sortedKeys(f.objects) {
		bucket, key, _ := cut(name)
		if err := writer.AddObject(archive.Object{Bucket: bucket, Key: key}, archive.BytesContent(f.objects[name])); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{
		"auth.users", "auth.sequence", "auth.sessions", "auth.api_keys", "auth.quota_usage", "auth.erased_users", "image.images", "image.erasures",
		"speech.conversions", "speech.erasures", "chat.sessions", "chat.messages", "analytics.hours", "analytics.events",
	}
	for _, name := range names {
		for _, r := range f.rows[name] {
			if err := writer.Stage().Write(name, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	written, _, err := writer.Finish(archive.Manifest{Product: "llmhist", Version: "test", Schema: schema}, names)
	if err != nil {
		t.Fatal(err)
	}
	return written
}

// contents returns the rows of every stream as canonical JSON, and the objects.
func contents(t testing.TB, reader *archive.Reader) (rows map[string][]string, objects map[string]string) {
	t.Helper()
	rows, objects = map[string][]string{}, map[string]string{}
	names := []string{}
	for _, stream := range reader.Manifest.Streams {
		names = append(names, stream.Name)
	}
	err := reader.Rows(t.Context(), names, func(stream string, lines *archive.Lines) error {
		for {
			var r row
			more, err := lines.Next(&r)
			if err != nil || !more {
				return err
			}
			text, err := json.Marshal(r)
			if err != nil {
				return err
			}
			rows[stream] = append(rows[stream], string(text))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	eachObject(t, reader, func(name string, data []byte) { objects[name] = string(data) })
	return rows, objects
}

func restore(t testing.TB, reader *archive.Reader, to transfer.Engines) error {
	t.Helper()
	return restoreWith(t.Context(), t, reader, to)
}

func restoreWith(ctx context.Context, t testing.TB, reader *archive.Reader, to transfer.Engines) error {
	t.Helper()
	return transfer.Restore(ctx, transfer.RestoreParams{
		From: reader, To: to, Schema: schema(t, to.DB), Command: "llmhist restore X", Scratch: t.TempDir(), Progress: &transfer.Progress{}, Key: func(string, []byte) error { return nil },
	})
}

func backup(t testing.TB, from transfer.Engines, name string) (transfer.Result, *archive.Reader) {
	t.Helper()
	result, err := transfer.Backup(t.Context(), transfer.BackupParams{
		From: from, Path: filepath.Join(t.TempDir(), name), Version: "test", Schema: schema(t, from.DB), Progress: &transfer.Progress{},
	})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := archive.Open(t.Context(), result.Path)
	if err != nil {
		t.Fatal(err)
	}
	return result, reader
}

func copyTo(t testing.TB, from, to transfer.Engines) error {
	t.Helper()
	_, err := transfer.Copy(t.Context(), transfer.CopyParams{
		From: from, To: to, Command: "llmhist copy --to X", Scratch: t.TempDir(), Progress: &transfer.Progress{},
	})
	return err
}
