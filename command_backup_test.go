//go:build !race

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"llmhist/config"
	"llmhist/platform/archive"
	"llmhist/platform/history"
	"llmhist/platform/uid"
)

// commandFor is what the functions of commands need of one.
func commandFor(t *testing.T) (*cobra.Command, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	return cmd, &out
}

func backUp(t *testing.T, cfg config.Config, path string) {
	t.Helper()
	cmd, out := commandFor(t)
	if err := runBackup(cmd, cfg, path, false); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func restoreInto(t *testing.T, cfg config.Config, path string, verify bool) {
	t.Helper()
	cmd, out := commandFor(t)
	job := &restoreJob{cmd: cmd, cfg: cfg, command: "llmhist restore " + path, meter: startMeter(out)}
	if err := job.run(path, verify, false); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestABackupBesideWritersIsOneConsistentWhole backs up again and again while
// eight clients make and delete things, and looks at what each backup restores.
func TestABackupBesideWritersIsOneConsistentWhole(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { backUpBesideWriters(t, func(*config.Config) {}) })
	t.Run("larger", func(t *testing.T) { backUpBesideWriters(t, largerEngines(t)) })
}

func backUpBesideWriters(t *testing.T, engines func(*config.Config)) {
	s := boot(t, engines)
	var made, deleted atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	for writer := range 8 {
		token, _ := s.newUser(fmt.Sprintf("writer%d", writer))
		group.Go(func() { writeAndDelete(ctx, s, token, &made, &deleted) })
	}
	for i, form := range []string{"one.tar", "two", "three.tar.gz"} {
		waitFor(t, func() bool { return made.Load()-deleted.Load() >= int64(16*(i+1)) })
		path := filepath.Join(t.TempDir(), form)
		backUp(t, s.app.config, path)
		if i == 2 {
			stop()
			group.Wait()
			restoreInto(t, s.app.config, path, true)
		}
		cfg := s.app.config
		cfg = embeddedIn(cfg, filepath.Join(t.TempDir(), "restored"))
		restoreInto(t, cfg, path, false)
		checkRestored(t, cfg)
	}
	if deleted.Load() == 0 {
		t.Error("nothing was deleted meanwhile")
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to that")
		}
	}
}

// writeAndDelete is one client until ctx ends.
func writeAndDelete(ctx context.Context, s *server, token string, made, deleted *atomic.Int64) {
	var mine []string
	for ctx.Err() == nil {
		switch rand.IntN(4) {
		case 0:
			answer := s.do("POST", "/chat", token, object{"message": "hello"})
			if answer.status == 200 && rand.IntN(2) == 0 {
				var body object
				_ = json.Unmarshal(answer.body, &body)
				s.do("POST", "/chat", token, object{"message": "again", "session_id": body["session_id"]})
			}
		case 1:
			if len(mine) == 0 {
				continue
			}
			at := rand.IntN(len(mine))
			if s.do("DELETE", "/image/"+mine[at], token, nil).status == 204 {
				deleted.Add(1)
			}
			mine = append(mine[:at], mine[at+1:]...)
		default:
			answer := s.do("POST", "/image/generate", token, object{"prompt": "sea", "size": "64x64", "style": "pixel"})
			var body object
			if answer.status == 201 && json.Unmarshal(answer.body, &body) == nil {
				mine = append(mine, body["id"].(string))
				made.Add(1)
			}
		}
	}
}

// checkRestored serves the restored data and asks for everything in it.
func checkRestored(t *testing.T, cfg config.Config) {
	t.Helper()
	s := bootIn(t, cfg.Data.Dir, func(c *config.Config) {
		c.S3.Bucket, c.S3.SpeechBucket = cfg.S3.Bucket, cfg.S3.SpeechBucket
	})
	defer s.stop()
	admin := s.admin()
	images := 0
	for page := 1; ; page++ {
		part := list(s.do("GET", fmt.Sprintf("/admin/images?per_page=100&page=%d", page), admin, nil).want(200)["images"])
		for _, image := range part {
			id := image["id"].(string)
			images++
			if image["status"] == "processing" {
				t.Errorf("%s is still processing", id)
			}
			if image["status"] == "completed" {
				checkRestoredImage(t, s, cfg, admin, id)
			}
		}
		if len(part) < 100 {
			break
		}
	}
	if images < 10 {
		t.Errorf("only %d images were restored", images)
	}
	for writer := range 8 {
		token, _ := s.signIn(fmt.Sprintf("writer%d@example.com", writer), fmt.Sprintf("password of writer%d", writer))
		for _, session := range list(s.do("GET", "/chat/sessions?per_page=100", token, nil).want(200)["sessions"]) {
			whole := s.do("GET", "/chat/sessions/"+session["id"].(string), token, nil).want(200)
			checkCounters(t, session, list(whole["messages"]))
		}
	}
}

func checkRestoredImage(t *testing.T, s *server, cfg config.Config, admin, id string) {
	t.Helper()
	root := filepath.Join(cfg.Data.Dir, "objects", cfg.S3.Bucket)
	var record struct{ SHA256 string }
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(history.RecordKey(id))))
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil {
		t.Errorf("%s has no record: %v", id, err)
		return
	}
	image := s.do("GET", "/image/"+id, admin, nil).want(200)
	picture := s.do("GET", image["download_url"].(string), "", nil)
	sum := sha256.Sum256(picture.body)
	if hex.EncodeToString(sum[:]) != record.SHA256 {
		t.Errorf("%s has another picture than its record says (%d)", id, picture.status)
	}
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(history.InputKey(id)))); err != nil {
		t.Error(err)
	}
	at, _ := uid.Time(id)
	index, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(history.IndexKeyOf("image", int64(image["user_id"].(float64)), at))))
	if err != nil || bytes.Count(index, []byte(`"id":"`+id+`"`)) != 1 {
		t.Errorf("%s is not once in its daily index (%v)", id, err)
	}
}

func checkCounters(t *testing.T, session object, messages []object) {
	t.Helper()
	if len(messages) < 100 && session["message_count"] != float64(len(messages)) {
		t.Errorf("session %v says %v messages and has %d", session["id"], session["message_count"], len(messages))
	}
	var output float64
	for _, message := range messages {
		if used, ok := message["tokens"].(object); ok {
			output += used["output"].(float64)
		}
	}
	if total := session["tokens"].(object); total["output"] != output {
		t.Errorf("session %v says %v tokens and its messages have %v", session["id"], total["output"], output)
	}
}

// bulkSet writes a backup with one user and many images.
func bulkSet(t *testing.T, path, name string, images int) {
	t.Helper()
	writer, err := archive.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	stage, at := writer.Stage(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	write := func(stream string, row object) {
		if err := stage.Write(stream, row); err != nil {
			t.Fatal(err)
		}
	}
	write("auth.users", object{"id": 1, "email": name + "@example.com", "password_hash": "x", "role": "admin", "name": name, "created_at": at, "updated_at": at})
	write("auth.sequence", object{"last_user_id": 1})
	var index []byte
	for i := range images {
		id := uid.New(at.Add(time.Duration(i) * time.Millisecond))
		media := archive.BytesContent(bytes.Repeat([]byte(id), 50))
		for _, one := range []struct {
			key     string
			content *archive.Content
		}{
			{history.MediaKey(id, "image/original.png"), media}, {history.InputKey(id), archive.BytesContent([]byte("{}"))}, {history.RecordKey(id), archive.BytesContent([]byte("{}"))},
		} {
			if err := writer.AddObject(archive.Object{Bucket: "image", Key: one.key}, one.content); err != nil {
				t.Fatal(err)
			}
		}
		write("image.images", object{"id": id, "user_id": 1, "prompt": name, "size": "64x64", "status": "completed", "s3_key": history.MediaKey(id, "image/original.png"),
			"sha256": media.SHA256, "file_size_bytes": media.Size, "width": 64, "height": 64, "created_at": at, "finished_at": at})
		line, err := history.IndexLine(id)
		if err != nil {
			t.Fatal(err)
		}
		index = append(append(index, line...), '\n')
	}
	if err := writer.AddObject(archive.Object{Bucket: "image", Key: history.IndexKeyOf("image", 1, at)}, archive.BytesContent(index)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := writer.Finish(archive.Manifest{Product: "llmhist", Version: "test", Schema: 1}, []string{"auth.users", "auth.sequence", "image.images"}); err != nil {
		t.Fatal(err)
	}
}

// runBinary runs the real binary to its end.
func runBinary(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	command := exec.Command(buildBinary(t), args...)
	command.Env = append(os.Environ(), env...)
	out, err := command.CombinedOutput()
	return string(out), err
}

// killDuring runs the real binary and kills it at a random moment. It reports
// whether it was still running then.
func killDuring(t *testing.T, within time.Duration, env []string, args ...string) bool {
	t.Helper()
	command := exec.Command(buildBinary(t), args...)
	command.Env = append(os.Environ(), env...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	select {
	case <-done:
		return false
	case <-time.After(time.Duration(rand.Int64N(int64(within)))): // the random moment is the test
	}
	_ = command.Process.Signal(syscall.SIGKILL)
	<-done
	return true
}

// identity of what an installation holds, "" when there is none that can serve.
func holds(t *testing.T, dir string) (string, archive.Manifest) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.tar")
	if out, err := runBinary(t, []string{"DATA_DIR=" + dir}, "backup", path); err != nil {
		return strings.TrimSpace(out), archive.Manifest{}
	}
	reader, err := archive.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return "", reader.Manifest
}

// kills is how often each command is killed.
func kills() int {
	if requireAll() {
		return 6
	}
	return 3
}

func TestAKilledRestoreIsCompletedByTheNext(t *testing.T) {
	set, dir := filepath.Join(t.TempDir(), "set.tar.gz"), filepath.Join(t.TempDir(), "data")
	bulkSet(t, set, "new", 100)
	env, began := []string{"DATA_DIR=" + dir}, time.Now()
	if out, err := runBinary(t, []string{"DATA_DIR=" + filepath.Join(t.TempDir(), "reference")}, "restore", set); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	within, killed := time.Since(began)*2/3, 0                    // so that the first moment is one of the restore
	for ; killed == 0 && within > time.Millisecond; within /= 2 { // the machine may be faster by now
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for range kills() {
			if !killDuring(t, within, env, "restore", set) {
				break
			}
			killed++
			if said, m := holds(t, dir); m.Objects.Count != 0 && m.Objects.Count != 301 {
				t.Fatalf("a killed restore shows %d objects (%s)", m.Objects.Count, said)
			}
		}
	}
	if killed == 0 {
		t.Error("it was never killed before its end")
	}
	if out, err := runBinary(t, env, "restore", set); err != nil && !strings.Contains(out, "not empty") { // or the last was not killed
		t.Fatalf("%v\n%s", err, out)
	}
	checkBulk(t, dir, 100)
}

func embeddedConfig(t *testing.T, dir string) config.Config {
	t.Helper()
	cfg, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Data.Dir = dir
	return cfg
}

func checkBulk(t *testing.T, dir string, images int64) {
	t.Helper()
	said, m := holds(t, dir)
	if m.Stream("image.images").Rows != images || m.Objects.Count != 3*images+1 || m.Missing.Count != 0 {
		t.Errorf("%d images, %d objects, %d missing: %s", m.Stream("image.images").Rows, m.Objects.Count, m.Missing.Count, said)
	}
	for _, left := range []string{".transfer", ".restoring"} {
		if _, err := os.Stat(filepath.Join(dir, left)); err == nil {
			t.Errorf("%s is left", left)
		}
	}
}

// TestAKilledReplacementLeavesTheOldOrTheNew holds the data directory to be, at
// every moment, all of what it was or all of the backup.
func TestAKilledReplacementLeavesTheOldOrTheNew(t *testing.T) {
	home := t.TempDir()
	oldSet, newSet, dir := filepath.Join(home, "old.tar"), filepath.Join(home, "new.tar"), filepath.Join(home, "data")
	bulkSet(t, oldSet, "old", 10)
	bulkSet(t, newSet, "new", 120)
	restoreInto(t, embeddedConfig(t, dir), oldSet, false)
	env := []string{"DATA_DIR=" + dir}
	began := time.Now()
	if out, err := runBinary(t, []string{"DATA_DIR=" + filepath.Join(home, "reference")}, "restore", newSet); err != nil {
		t.Fatal(out)
	}
	within := time.Since(began) + 200*time.Millisecond
	for range kills() {
		killDuring(t, within, env, "restore", "--replace", newSet)
		said, m := holds(t, dir)
		if images := m.Stream("image.images").Rows; images != 10 && images != 120 {
			t.Fatalf("the data directory holds %d images: %s", images, said)
		}
	}
	out, err := runBinary(t, env, "restore", "--replace", newSet)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkBulk(t, dir, 120)
	old := 0
	aside, _ := filepath.Glob(dir + ".replaced-*")
	for _, one := range aside {
		if _, m := holds(t, one); m.Stream("image.images").Rows == 10 {
			old++
		}
	}
	if old != 1 {
		t.Errorf("the old data is %d times in %v", old, aside)
	}
}

func TestAKilledCopyIsCompletedByTheNext(t *testing.T) {
	home := t.TempDir()
	set, from, to := filepath.Join(home, "set.tar"), filepath.Join(home, "from"), filepath.Join(home, "to")
	bulkSet(t, set, "x", 120)
	restoreInto(t, embeddedConfig(t, from), set, false)
	file := filepath.Join(home, "to.yaml")
	if err := os.WriteFile(file, []byte("data:\n  dir: "+to+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATA_DIR=" + from}
	within, killed := copyTime(t, from)*2/3, 0                    // so that the first moment is one of the copy
	for ; killed == 0 && within > time.Millisecond; within /= 2 { // the machine may be faster by now
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		for range kills() {
			if !killDuring(t, within, env, "copy", "--to", file) {
				break
			}
			killed++
		}
	}
	if out, err := runBinary(t, env, "copy", "--to", file); err != nil && !strings.Contains(out, "not empty") {
		t.Fatalf("%v\n%s", err, out)
	}
	if killed == 0 {
		t.Error("it was never killed before its end")
	}
	checkBulk(t, to, 120)
	checkBulk(t, from, 120)
}

// copyTime returns how long a whole copy takes here and now.
func copyTime(t *testing.T, from string) time.Duration {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "reference.yaml")
	if err := os.WriteFile(file, []byte("data:\n  dir: "+filepath.Join(dir, "reference")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if out, err := runBinary(t, []string{"DATA_DIR=" + from}, "copy", "--to", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return time.Since(began)
}

func TestAKilledOrInterruptedBackupLeavesNothingThatLooksWhole(t *testing.T) {
	home := t.TempDir()
	set, dir := filepath.Join(home, "set.tar"), filepath.Join(home, "data")
	bulkSet(t, set, "x", 200)
	restoreInto(t, embeddedConfig(t, dir), set, false)
	for i := range kills() {
		path := filepath.Join(home, fmt.Sprintf("b%d%s", i, []string{"", ".tar", ".tar.gz"}[i%3]))
		if !killDuring(t, time.Second, []string{"DATA_DIR=" + dir}, "backup", path) {
			continue
		}
		if _, err := archive.Open(t.Context(), path); err == nil {
			continue // its last moment
		}
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is there and is not whole", path)
		}
		if out, err := runBinary(t, []string{"DATA_DIR=" + dir}, "backup", path); err != nil {
			t.Errorf("after a kill: %v\n%s", err, out)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd, out := commandFor(t)
	cmd.SetContext(ctx)
	cancel()
	if err := runBackup(cmd, embeddedConfig(t, dir), filepath.Join(home, "interrupted"), false); err == nil {
		t.Errorf("an interrupted backup succeeded:\n%s", out)
	}
	if left, _ := filepath.Glob(filepath.Join(home, "interrupted*")); len(left) != 0 {
		t.Errorf("an interrupted backup left %v", left)
	}
}

// TestAFullDiskEndsInOneClearLine limits the size of files, which systems refuse
// as they refuse a full disk.
func TestAFullDiskEndsInOneClearLine(t *testing.T) {
	home := t.TempDir()
	set, dir := filepath.Join(home, "set.tar"), filepath.Join(home, "data")
	bulkSet(t, set, "x", 60)
	restoreInto(t, embeddedConfig(t, dir), set, false)
	limited := func(env []string, args string) (string, error) {
		command := exec.Command("sh", "-c", "ulimit -f 64; exec "+buildBinary(t)+" "+args) // 32 or 64 KiB
		command.Env = append(os.Environ(), env...)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	out, err := limited([]string{"DATA_DIR=" + dir}, "backup "+filepath.Join(home, "full.tar"))
	if err == nil || strings.Count(strings.TrimSpace(out), "\n") != 0 {
		t.Errorf("%v: %s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(home, "full*")); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
	into := filepath.Join(home, "into")
	if out, err := limited([]string{"DATA_DIR=" + into}, "restore "+set); err == nil {
		t.Errorf("a restore onto a full disk succeeded: %s", out)
	}
	if out, err := runBinary(t, []string{"DATA_DIR=" + into}, "restore", set); err != nil {
		t.Errorf("it cannot be completed when there is space: %s", out)
	}
	checkBulk(t, into, 60)
}

func TestServingWaitsForAnUnfinishedRestore(t *testing.T) {
	home := t.TempDir()
	set, dir := filepath.Join(home, "set.tar"), filepath.Join(home, "data")
	bulkSet(t, set, "x", 300)
	env := []string{"DATA_DIR=" + dir, "PORT=0"}
	command := exec.Command(buildBinary(t), "restore", set)
	command.Env = append(os.Environ(), env...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { // it has begun to put objects into their place
		found, _ := filepath.Glob(filepath.Join(dir, "objects", "*", "requests"))
		return len(found) > 0
	})
	if out, err := runBinary(t, env, "serve"); err == nil || !strings.Contains(out, "in use by another llmhist") {
		t.Errorf("a server started beside a restore: %s", out)
	}
	_ = command.Process.Kill()
	_ = command.Wait()
	out, err := runBinary(t, env, "serve")
	if err == nil || !strings.Contains(out, "has not finished") || !strings.Contains(out, "llmhist restore "+set) {
		t.Errorf("a server started on half a restore: %v %s", err, out)
	}
	if out, err := runBinary(t, env, "restore", set); err != nil {
		t.Error(out)
	}
	checkBulk(t, dir, 300)
}

func TestARestoreDoesNotTouchWhatIsServed(t *testing.T) {
	s := boot(t)
	set := filepath.Join(t.TempDir(), "set.tar")
	bulkSet(t, set, "x", 1)
	for _, replace := range []bool{false, true} {
		cmd, out := commandFor(t)
		job := &restoreJob{cmd: cmd, cfg: s.app.config, meter: startMeter(out)}
		if err := job.run(set, false, replace); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("replace %v: %v", replace, err)
		}
	}
}

func TestAReplacementIsMadeWhereMigrationsAreManual(t *testing.T) {
	cfg := embeddedConfig(t, filepath.Join(t.TempDir(), "data"))
	cfg.Database.Migrate = config.MigrateManual
	set := filepath.Join(t.TempDir(), "set.tar")
	bulkSet(t, set, "x", 1)
	cmd, out := commandFor(t)
	job := &restoreJob{cmd: cmd, cfg: cfg, meter: startMeter(out)}
	if err := job.run(set, false, true); err != nil {
		t.Fatal(err)
	}
	checkBulk(t, cfg.Data.Dir, 1)
}

func TestKeysAreInABackupOnlyWhenAskedFor(t *testing.T) {
	s := boot(t, func(c *config.Config) { c.JWT.PrivateKeyPath = "" })
	s.stop()
	for _, include := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "b")
		cmd, _ := commandFor(t)
		if err := runBackup(cmd, s.app.config, path, include); err != nil {
			t.Fatal(err)
		}
		found, _ := filepath.Glob(filepath.Join(path, "keys", "*"))
		if (len(found) == 2) != include {
			t.Errorf("include %v: %v", include, found)
		}
		cfg := embeddedIn(s.app.config, filepath.Join(t.TempDir(), "d"))
		restoreInto(t, cfg, path, false)
		for _, name := range backupKeys {
			was, _ := os.ReadFile(filepath.Join(s.app.config.Data.Dir, name))
			is, err := os.ReadFile(filepath.Join(cfg.Data.Dir, name))
			if (err == nil && bytes.Equal(was, is)) != include {
				t.Errorf("include %v: %s is there %v", include, name, err == nil)
			}
		}
	}
}

func TestACopyToTheLargerEnginesIsServedFromThem(t *testing.T) {
	first := boot(t)
	token, _ := first.newUser("ada")
	image := first.do("POST", "/image/generate", token, object{"prompt": "a lighthouse", "size": "64x64"}).want(201)
	answer := first.do("POST", "/chat", token, object{"message": "hello"}).want(200)
	first.stop()
	target := first.app.config
	largerEngines(t)(&target)
	target.Data.Dir = t.TempDir()
	cmd, out := commandFor(t)
	if err := runCopy(cmd, first.app.config, target, "llmhist copy --to x"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	second := boot(t, func(c *config.Config) { dir := c.Data.Dir; *c = target; c.Data.Dir = dir })
	token, _ = second.signIn("ada@example.com", "password of ada")
	again := second.do("GET", "/image/"+image["id"].(string), token, nil).want(200)
	if picture := second.do("GET", again["download_url"].(string), "", nil); !bytes.HasPrefix(picture.body, []byte("\x89PNG")) {
		t.Errorf("the picture does not come: %d", picture.status)
	}
	second.do("GET", "/chat/sessions/"+answer["session_id"].(string), token, nil).want(200)
	if usage := second.do("GET", "/analytics/user/me", token, nil).want(200); usage["total_requests"] != 2.0 {
		t.Errorf("usage %v", usage["total_requests"])
	}
	second.newUser("grace") // the ids of users go on where they were
}
