package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"llmhist/config"
	"llmhist/platform/blob"
	"llmhist/platform/check"
	"llmhist/platform/history"
	"llmhist/platform/uid"
)

// installation is one that has served, is stopped, and can be damaged.
type installation struct {
	config   config.Config
	ada, bob int64
	mine     []string // images of ada, oldest first
	bobs     string   // an image of bob
	nobodys  string   // an image made anonymously
	spoken   string   // speech of ada
	session  string   // chat of ada, two exchanges
}

// serveAWhile boots the product, uses all of it and stops it.
func serveAWhile(t *testing.T, adjust ...func(*config.Config)) installation {
	t.Helper()
	s := boot(t, adjust...)
	ada, adaID := s.newUser("ada")
	bob, bobID := s.newUser("bob")
	at := installation{config: s.app.config, ada: adaID, bob: bobID}
	image := func(token, prompt string) string {
		return s.do("POST", "/image/generate", token, object{"prompt": prompt, "size": "64x64", "style": "pixel"}).want(201)["id"].(string)
	}
	for i := range 3 {
		at.mine = append(at.mine, image(ada, fmt.Sprint("a lighthouse ", i)))
	}
	at.bobs, at.nobodys = image(bob, "a harbour"), image("", "a gull")
	at.spoken = s.do("POST", "/speech/generate", ada, object{"text": "Hello.", "language": "en", "format": "wav"}).want(201)["id"].(string)
	chat := s.do("POST", "/chat", ada, object{"message": "hello"}).want(200)
	at.session = chat["session_id"].(string)
	s.do("POST", "/chat", ada, object{"message": "How do I make an API key?", "session_id": at.session}).want(200)
	s.do("POST", "/chat", bob, object{"message": "hello"}).want(200)
	s.stop()
	return at
}

// copied returns the installation with a copy of its data directory.
func (at installation) copied(t *testing.T) installation {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(at.config.Data.Dir)); err != nil {
		t.Fatal(err)
	}
	at.config.Data.Dir = dir
	return at
}

// checked compares the stores as the command does.
func (at installation) checked(t *testing.T, options check.Options) checkResult {
	t.Helper()
	stores, err := openCheckedStores(t.Context(), at.config, options.Repair)
	if err != nil {
		t.Fatal(err)
	}
	defer stores.close(t.Context())
	report := check.NewReport(options)
	if err := stores.compare(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	return resultOf(report, 0)
}

// codes returns how often each code was found.
func codes(result checkResult) map[string]int64 {
	list := map[string]int64{}
	for code, count := range result.Counts {
		list[code] = count.Found
	}
	return list
}

// harm is the hand that damages an installation.
type harm struct {
	installation
	t *testing.T
	*checkedStores
}

func (h harm) sql(statement string, args ...any) {
	h.t.Helper()
	err := h.db.Write(h.t.Context(), func(tx *gorm.DB) error { return tx.Exec(statement, args...).Error })
	if err != nil {
		h.t.Fatal(err)
	}
}

// loose executes a statement with foreign keys off.
func (h harm) loose(statement string, args ...any) {
	h.t.Helper()
	conn, err := h.db.Handle().Conn(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, one := range []string{"PRAGMA foreign_keys = 0", statement, "PRAGMA foreign_keys = 1"} {
		with := args
		if one != statement {
			with = nil
		}
		if _, err := conn.ExecContext(h.t.Context(), one, with...); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h harm) put(bucket blob.Bucket, key, content string) {
	h.t.Helper()
	if _, err := bucket.Put(h.t.Context(), key, strings.NewReader(content), blob.PutOptions{}); err != nil {
		h.t.Fatal(err)
	}
}

func (h harm) get(bucket blob.Bucket, key string) string {
	h.t.Helper()
	data, err := blob.ReadAll(h.t.Context(), bucket, key, 64<<20)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

func (h harm) remove(bucket blob.Bucket, key string) {
	h.t.Helper()
	if err := bucket.Delete(h.t.Context(), key); err != nil {
		h.t.Fatal(err)
	}
}

// index returns the key of ada's daily index of images.
func (h harm) index() string {
	at, _ := uid.Time(h.mine[0])
	return history.New(h.images, "image").IndexKey(h.ada, at)
}

func (h harm) appendLine(id, record string) {
	h.t.Helper()
	at, _ := uid.Time(id)
	line, err := json.Marshal(history.Line{ID: id, Record: record, CreatedAt: at})
	if err == nil {
		err = h.images.AppendLine(h.t.Context(), h.index(), line)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// damage is one way in which an installation can be wrong.
type damage struct {
	name string
	do   func(h harm)
	want map[string]int64 // codes that are found
	left int64            // of them after a repair
}

// damages can happen on every engine, and leave every request in place once
// they are repaired.
var damages = []damage{
	{"a row of an image is lost", func(h harm) { h.sql("DELETE FROM images WHERE id = ?", h.mine[0]) },
		map[string]int64{"row_missing": 1}, 0},
	{"a row of an anonymous image is lost", func(h harm) { h.sql("DELETE FROM images WHERE id = ?", h.nobodys) },
		map[string]int64{"row_missing": 1}, 0},
	{"a row of speech is lost", func(h harm) { h.sql("DELETE FROM tts_conversions WHERE id = ?", h.spoken) },
		map[string]int64{"row_missing": 1}, 0},
	{"a row is not what its record says", func(h harm) {
		h.sql("UPDATE images SET prompt = 'another', status = 'failed', width = 1 WHERE id = ?", h.mine[1])
	}, map[string]int64{"row_differs": 1}, 0},
	{"a row of speech is not what its record says", func(h harm) {
		h.sql("UPDATE tts_conversions SET text = 'another', duration_seconds = 9 WHERE id = ?", h.spoken)
	}, map[string]int64{"row_differs": 1}, 0},
	{"a row cannot be read", func(h harm) { h.sql("UPDATE images SET metadata = '{' WHERE id = ?", h.mine[1]) },
		map[string]int64{"row_damaged": 1}, 0},
	{"a request was never finished", func(h harm) { h.sql("UPDATE images SET status = 'processing' WHERE id = ?", h.mine[2]) },
		map[string]int64{"request_unfinished": 1}, 0},
	{"a record is lost", func(h harm) { h.remove(h.images, history.RecordKey(h.mine[0])) },
		map[string]int64{"record_missing": 1}, 0},
	{"a record of speech is lost", func(h harm) { h.remove(h.speech, history.RecordKey(h.spoken)) },
		map[string]int64{"record_missing": 1}, 0},
	{"a record cannot be read", func(h harm) { h.put(h.images, history.RecordKey(h.mine[0]), `{"id":`) },
		map[string]int64{"record_damaged": 1}, 0},
	{"a record is another's", func(h harm) {
		h.put(h.images, history.RecordKey(h.mine[0]), h.get(h.images, history.RecordKey(h.bobs)))
	}, map[string]int64{"record_damaged": 1}, 0},
	{"parameters are lost", func(h harm) {
		h.remove(h.images, history.InputKey(h.mine[0]))
		h.remove(h.speech, history.InputKey(h.spoken))
	}, map[string]int64{"input_missing": 2}, 0},
	{"objects belong to nothing", func(h harm) {
		id := uid.New(time.Now())
		h.put(h.images, history.InputKey(id), "{}")
		h.put(h.images, history.MediaKey(id, "image/original.png"), "x")
	}, map[string]int64{"object_orphaned": 1}, 0},
	{"a sound of another format is beside the right one", func(h harm) { h.put(h.speech, history.MediaKey(h.spoken, "audio/output.mp3"), "x") },
		map[string]int64{"media_unexpected": 1}, 0},
	{"a daily index is lost", func(h harm) { h.remove(h.images, h.index()) },
		map[string]int64{"index_line_missing": 3}, 0},
	{"a line is doubled", func(h harm) { h.appendLine(h.mine[0], history.RecordKey(h.mine[0])) },
		map[string]int64{"index_line_doubled": 1}, 0},
	{"a line is another user's", func(h harm) { h.appendLine(h.bobs, history.RecordKey(h.bobs)) },
		map[string]int64{"index_line_foreign": 1}, 0},
	{"a line is of no request", func(h harm) { id := uid.New(time.Now()); h.appendLine(id, history.RecordKey(id)) },
		map[string]int64{"index_line_unknown": 1}, 0},
	{"lines cannot be read", func(h harm) {
		for _, line := range []string{"not a line", `{"id":7}`, strings.Repeat("x", 10_000)} {
			if err := h.images.AppendLine(h.t.Context(), h.index(), []byte(line)); err != nil {
				h.t.Fatal(err)
			}
		}
	}, map[string]int64{"index_line_damaged": 1}, 0},
	{"a line names another record", func(h harm) {
		text := h.get(h.images, h.index())
		h.put(h.images, h.index(), strings.Replace(text, history.RecordKey(h.mine[0]), history.RecordKey(h.mine[1]), 1))
	}, map[string]int64{"index_line_wrong": 1}, 0},
	{"an erasure hangs", func(h harm) {
		id := uid.New(time.Now())
		h.put(h.images, history.InputKey(id), "{}")
		h.sql("INSERT INTO image_erasures (id, user_id, processing) VALUES (?, ?, ?)", id, h.ada, false)
	}, map[string]int64{"erasure_unfinished": 1}, 0},
	{"erasures of requests that were being made hang", func(h harm) {
		picture, sound := uid.New(time.Now()), uid.New(time.Now())
		h.put(h.images, history.InputKey(picture), "{}")
		h.put(h.speech, history.InputKey(sound), "{}")
		h.sql("INSERT INTO image_erasures (id, user_id, processing, instance) VALUES (?, ?, ?, 'a dead server')", picture, h.ada, true)
		h.sql("INSERT INTO tts_erasures (id, user_id, processing, instance) VALUES (?, ?, ?, 'a dead server')", sound, h.ada, true)
	}, map[string]int64{"erasure_unfinished": 2}, 0},
	{"counts of images are wrong", func(h harm) { h.sql("UPDATE image_counts SET images = images + 1 WHERE scope = ?", h.ada) },
		map[string]int64{"counts_differ": 1}, 0},
	{"counts of images in finer steps are wrong", func(h harm) { h.sql("DELETE FROM image_counts_fine WHERE scope = ?", h.ada) },
		map[string]int64{"counts_differ": 1}, 0},
	{"requests of an account that does not exist are counted", func(h harm) {
		h.sql("INSERT INTO quota_usage (user_id, day, service, used) VALUES (9999, '2026-11-25', 'image', 1)")
	}, map[string]int64{"quota_without_account": 1}, 0},
	{"every row is lost", func(h harm) {
		h.sql("DELETE FROM images")
		h.sql("DELETE FROM tts_conversions")
	}, map[string]int64{"row_missing": 6}, 0},
	{"every row and every index is lost", func(h harm) {
		h.sql("DELETE FROM images")
		h.remove(h.images, h.index())
	}, map[string]int64{"row_missing": 5, "index_line_missing": 3}, 0},
}

// embeddedDamages need the embedded engines, cannot be repaired or take requests
// away.
var embeddedDamages = []damage{
	{"a picture is lost", func(h harm) { h.remove(h.images, history.MediaKey(h.mine[0], "image/original.png")) },
		map[string]int64{"media_missing": 1}, 1},
	{"a picture has other content", func(h harm) {
		key := history.MediaKey(h.mine[0], "image/original.png")
		h.put(h.images, key, strings.ToUpper(h.get(h.images, key)))
	}, map[string]int64{"media_differs": 1}, 1},
	{"a sound has other content", func(h harm) {
		key := history.MediaKey(h.spoken, "audio/output.wav")
		h.put(h.speech, key, strings.ReplaceAll(h.get(h.speech, key), "\x01", "\x02"))
	}, map[string]int64{"media_differs": 1}, 1},
	{"a picture is cut short", func(h harm) {
		key := history.MediaKey(h.mine[0], "image/original.png")
		h.put(h.images, key, h.get(h.images, key)[:40])
	}, map[string]int64{"media_differs": 1}, 1},
	{"row and record name different owners", func(h harm) { h.sql("UPDATE images SET user_id = ? WHERE id = ?", h.bob, h.mine[0]) },
		map[string]int64{"owner_differs": 1, "counts_differ": 1}, 1},
	{"a record cannot be read and its row is lost", func(h harm) {
		h.sql("DELETE FROM images WHERE id = ?", h.mine[0])
		h.put(h.images, history.RecordKey(h.mine[0]), "{")
	}, map[string]int64{"record_damaged": 1}, 1},
	{"an account was erased behind llmhist's back", func(h harm) { h.sql("DELETE FROM users WHERE id = ?", h.bob) },
		map[string]int64{"row_without_account": 1, "index_without_account": 1, "sessions_without_account": 1}, 0},
	{"an account and its rows were erased behind llmhist's back", func(h harm) {
		h.sql("DELETE FROM users WHERE id = ?", h.bob)
		h.sql("DELETE FROM images WHERE user_id = ?", h.bob)
		h.sql("DELETE FROM chat_sessions WHERE user_id = ?", h.bob)
	}, map[string]int64{"record_without_account": 1, "index_without_account": 1}, 0},
	{"the accounts are those of another database", func(h harm) {
		h.sql("DELETE FROM users")
		h.sql("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'users'")
	}, map[string]int64{"account_unknown": 10}, 10},
	{"an id was given to a new account", func(h harm) {
		h.sql("UPDATE users SET created_at = ? WHERE id = ?", time.Now().Add(48*time.Hour).UTC(), h.bob)
	}, map[string]int64{"account_unknown": 3}, 3},
	{"keys are not of the layout", func(h harm) {
		h.put(h.images, history.Prefix(h.mine[0])+"/notes.txt", "x")
		h.put(h.images, "users/1/speech/history/2026/11/25.jsonl", "x")
		h.put(h.images, "somewhere/else.txt", "x")
		h.put(h.images, "requests/2020/01/01/"+h.mine[0]+"/input.json", "{}")
	}, map[string]int64{"key_unknown": 4}, 4},
	{"a write was interrupted", func(h harm) {
		file := filepath.Join(h.config().Data.Dir, "objects", h.images.Name(), ".tmp", "put-1")
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}, map[string]int64{"temporary_left": 1}, 0},
	{"an id of a row is none", func(h harm) { h.sql("UPDATE images SET id = 'abc' WHERE id = ?", h.mine[0]) },
		map[string]int64{"row_invalid": 1, "row_missing": 1, "counts_differ": 1}, 1},
	{"a session is counted wrongly", func(h harm) {
		h.sql("UPDATE chat_sessions SET message_count = 7, output_tokens = 1, last_position = 1 WHERE id = ?", h.session)
	}, map[string]int64{"session_differs": 1}, 0},
	{"an answer was never finished", func(h harm) {
		h.sql("UPDATE chat_messages SET status = 'processing' WHERE session_id = ? AND position = 4", h.session)
	}, map[string]int64{"answer_unfinished": 1}, 0},
	{"a message is lost", func(h harm) { h.sql("DELETE FROM chat_messages WHERE session_id = ? AND position = 2", h.session) },
		map[string]int64{"message_missing": 1, "session_differs": 1}, 1},
	{"a session is lost without its messages", func(h harm) { h.loose("DELETE FROM chat_sessions WHERE id = ?", h.session) },
		map[string]int64{"message_without_session": 4, "database_damaged": 1}, 5},
	{"a device is signed in to no account", func(h harm) { h.loose("UPDATE sessions SET user_id = 9999 WHERE user_id = ?", h.bob) },
		map[string]int64{"session_without_account": 1, "database_damaged": 1}, 1},
	{"the erasure of an account hangs", func(h harm) { h.sql("UPDATE users SET deleting_at = ? WHERE id = ?", time.Now().UTC(), h.bob) },
		map[string]int64{"deletion_unfinished": 1}, 1},
}

func (h harm) config() config.Config { return h.installation.config }

// inflict damages an installation that is not serving.
func (at installation) inflict(t *testing.T, do func(h harm)) {
	t.Helper()
	stores, err := openCheckedStores(t.Context(), at.config, true)
	if err != nil {
		t.Fatal(err)
	}
	defer stores.close(context.Background())
	do(harm{installation: at, t: t, checkedStores: stores})
}

func TestEveryDamageIsFoundAndRepairedWhereItCanBe(t *testing.T) {
	t.Parallel() // it waits for erasures to end
	whole := serveAWhile(t)
	if found := whole.checked(t, check.Options{}); !found.Clean {
		t.Fatalf("a whole installation: %v", found.Findings)
	}
	for _, one := range append(damages, embeddedDamages...) {
		t.Run(one.name, func(t *testing.T) { one.try(t, whole.copied(t)) })
	}
}

func TestTheMainDamagesAreRepairedOnTheLargerEngines(t *testing.T) {
	t.Parallel() // it waits for erasures to end
	whole := serveAWhile(t, largerEngines(t))
	if found := whole.checked(t, check.Options{}); !found.Clean {
		t.Fatalf("a whole installation: %v", found.Findings)
	}
	for _, one := range damages {
		t.Run(one.name, func(t *testing.T) { one.try(t, whole) })
	}
}

// try does the damage, looks, repairs, and looks again.
func (d damage) try(t *testing.T, at installation) {
	at.inflict(t, d.do)
	found := at.checked(t, check.Options{})
	if diff := cmp.Diff(d.want, codes(found)); diff != "" {
		t.Fatalf("found (-want +got):\n%s\n%v", diff, found.Findings)
	}
	if young := at.checked(t, check.Options{Grace: time.Hour}); len(codes(young)) > len(d.want) {
		t.Errorf("within the grace: %v", young.Findings)
	}
	for _, finding := range found.Findings {
		if text := fmt.Sprint(finding); strings.Contains(text, "lighthouse") || strings.Contains(text, "Hello") {
			t.Errorf("it shows what users wrote: %s", text)
		}
	}
	repaired := at.checked(t, check.Options{Repair: true})
	if repaired.Left != d.left {
		t.Errorf("%d differences are left after the repair, want %d: %v", repaired.Left, d.left, repaired.Findings)
	}
	again := at.checked(t, check.Options{})
	if d.left == 0 && !again.Clean {
		t.Errorf("after the repair: %v", again.Findings)
	}
	if again.Found > d.left {
		t.Errorf("%d differences after the repair, want at most %d: %v", again.Found, d.left, again.Findings)
	}
}

func TestWhatWasLostIsListedAsBefore(t *testing.T) {
	whole := serveAWhile(t)
	before := listings(t, whole)
	damaged := whole.copied(t)
	damaged.inflict(t, func(h harm) {
		h.sql("DELETE FROM images")
		h.sql("DELETE FROM image_counts")
		h.sql("DELETE FROM tts_conversions")
	})
	if found := damaged.checked(t, check.Options{Repair: true}); found.Left != 0 || found.Repaired < 6 {
		t.Fatalf("%+v", found)
	}
	if diff := cmp.Diff(before, listings(t, damaged)); diff != "" {
		t.Error(diff)
	}
}

// TestRecordsOfABucketOfAnotherNameAreRight: a copy or a restoration leaves
// them as they were written.
func TestRecordsOfABucketOfAnotherNameAreRight(t *testing.T) {
	at := serveAWhile(t)
	at.inflict(t, func(h harm) {
		for key, bucket := range map[string]blob.Bucket{history.RecordKey(h.mine[0]): h.images, history.RecordKey(h.spoken): h.speech} {
			record := h.get(bucket, key)
			elsewhere := strings.Replace(record, `"s3_bucket": "`+bucket.Name()+`"`, `"s3_bucket": "elsewhere"`, 1)
			if elsewhere == record {
				t.Fatal("it does not name its bucket")
			}
			h.put(bucket, key, elsewhere)
		}
	})
	if found := at.checked(t, check.Options{}); !found.Clean {
		t.Errorf("a whole installation: %v", found.Findings)
	}
	at.inflict(t, func(h harm) {
		h.sql("DELETE FROM images")
		h.sql("DELETE FROM tts_conversions")
	})
	if found := at.checked(t, check.Options{Repair: true}); found.Left != 0 {
		t.Errorf("%+v", found)
	}
	at.inflict(t, func(h harm) {
		var strangers int64
		err := h.db.Read(t.Context()).Raw(`SELECT (SELECT COUNT(*) FROM images WHERE s3_bucket <> ?) + (SELECT COUNT(*) FROM tts_conversions WHERE s3_bucket <> ?)`,
			h.images.Name(), h.speech.Name()).Scan(&strangers).Error
		if err != nil || strangers != 0 {
			t.Errorf("%d rows name another bucket, %v", strangers, err)
		}
	})
}

// listings returns what ada and the administrator are shown, without links.
func listings(t *testing.T, at installation) map[string]any {
	t.Helper()
	s := bootIn(t, at.config.Data.Dir)
	defer s.stop()
	token, _ := s.signIn("ada@example.com", "password of ada")
	shown := map[string]any{}
	for _, path := range []string{"/image?per_page=100", "/speech", "/image/" + at.mine[0], "/speech/" + at.spoken} {
		answer := s.do("GET", path, token, nil).want(200)
		forgetLinks(answer)
		shown[path] = answer
	}
	all := s.do("GET", "/admin/images?per_page=100", s.admin(), nil).want(200)
	forgetLinks(all)
	shown["admin"] = all
	return shown
}

func forgetLinks(value any) {
	switch value := value.(type) {
	case object:
		maps.DeleteFunc(value, func(name string, _ any) bool { return name == "download_url" || name == "audio_url" })
		for _, member := range value {
			forgetLinks(member)
		}
	case []any:
		for _, member := range value {
			forgetLinks(member)
		}
	}
}

func TestAnUnknownAccountIsNeverTouched(t *testing.T) {
	at := serveAWhile(t)
	at.inflict(t, func(h harm) {
		h.sql("DELETE FROM users")
		h.sql("DELETE FROM images")
		h.sql("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'users'")
	})
	before := at.files(t)
	at.checked(t, check.Options{Repair: true})
	if diff := cmp.Diff(before, at.files(t)); diff != "" {
		t.Errorf("objects of a lost database were changed: %s", diff)
	}
}

// files returns the objects of an embedded installation and their content.
func (at installation) files(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := filepath.Join(at.config.Data.Dir, "objects")
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestACheckWithoutRepairChangesNothing(t *testing.T) {
	t.Parallel() // it waits for erasures to end
	at := serveAWhile(t)
	at.inflict(t, func(h harm) {
		for _, one := range damages[:len(damages)-2] {
			one.do(h)
		}
	})
	before := at.files(t)
	if found := at.checked(t, check.Options{}); found.Clean {
		t.Error("nothing was found")
	}
	if diff := cmp.Diff(before, at.files(t)); diff != "" {
		t.Error(diff)
	}
}

func TestTheCommandSaysWhatItFoundAndWhatToDo(t *testing.T) {
	at := serveAWhile(t)
	dir := "--data-dir=" + at.config.Data.Dir
	run := func(args ...string) (string, error) {
		return execute(t, "", append([]string{"check", "--grace=0s", dir}, args...)...)
	}
	if out, err := run(); err != nil || !strings.Contains(out, "No difference was found.") {
		t.Fatalf("%v\n%s", err, out)
	}
	at.inflict(t, func(h harm) { h.sql("DELETE FROM images WHERE id = ?", h.mine[0]) })
	out, err := run()
	if err != exitCode(1) || !strings.Contains(out, "row_missing") || !strings.Contains(out, at.mine[0]) || !strings.Contains(out, "llmhist check --repair") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = run("--json", "--repair")
	var result checkResult
	if err != nil || json.NewDecoder(bytes.NewBufferString(out)).Decode(&result) != nil || !result.Clean || result.Counts["row_missing"] != (check.Count{Found: 1, Repaired: 1}) || result.Findings[0].Done == "" {
		t.Errorf("%v\n%s", err, out)
	}
	for name, args := range map[string][]string{
		"DATA_DIR":     {"check", "--data-dir=" + t.TempDir()},
		"--grace":      {"check", dir, "--grace=-1s"},
		"DATABASE_URL": {"check", dir},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "DATABASE_URL" {
				t.Setenv(name, "postgres://u:hidden@127.0.0.1:1/x")
			}
			out, err := execute(t, "", args...)
			if err != exitCode(2) || !strings.Contains(out, name) || strings.Count(out, "\n") != 1 || strings.Contains(out, "hidden") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestRepairIsRefusedBesideARunningServer(t *testing.T) {
	s := boot(t)
	dir := "--data-dir=" + s.app.config.Data.Dir
	if out, err := execute(t, "", "check", "--repair", dir); err != exitCode(2) || !strings.Contains(out, "in use by another llmhist") {
		t.Errorf("%v %s", err, out)
	}
	if out, err := execute(t, "", "check", dir); err != nil {
		t.Errorf("%v %s", err, out)
	}
}
