//go:build !race

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llmhist/platform/outbox"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

// TestEventsOfAStoppedServerDoNotBringAnErasedAccountBack starts a server whose
// outbox has an event from before one of the two accounts was erased.
func TestEventsOfAStoppedServerDoNotBringAnErasedAccountBack(t *testing.T) {
	dir := t.TempDir()
	first := bootIn(t, dir)
	token, gone := first.newUser("gone")
	_, stays := first.newUser("stays")
	first.do("DELETE", "/users/me", token, object{"password": "password of gone"}).want(204)
	first.stop()
	leaveEvents(t, dir, gone, stays)
	second := bootIn(t, dir)
	admin := second.admin()
	for user, want := range map[int64]float64{-1: 1, gone: 0, stays: 1} {
		from := time.Now().Add(-48 * time.Hour).UTC().Format(time.RFC3339)
		got := second.do("GET", fmt.Sprintf("/analytics/costs?from=%s&user_id=%d", from, user), admin, nil).want(200)
		if requests := got["by_service"].(object)["chat"].(object)["requests"]; requests != want {
			t.Errorf("user %d has %v requests, want %v", user, requests, want)
		}
	}
}

// TestEventsThatWaitAreNotLeftBehind copies and backs up an installation whose
// server was killed.
func TestEventsThatWaitAreNotLeftBehind(t *testing.T) {
	dir := t.TempDir()
	s := bootIn(t, dir)
	_, ada := s.newUser("ada")
	s.stop()
	leaveEvents(t, dir, ada)
	target := s.app.config
	target.Data.Dir = t.TempDir()
	cmd, out := commandFor(t)
	if err := runCopy(cmd, s.app.config, target, "llmhist copy --to x"); err == nil || !strings.Contains(err.Error(), "1 usage events of the source wait") {
		t.Errorf("copy: %v\n%s", err, out)
	}
	warned := func() bool {
		cmd, out := commandFor(t)
		if err := runBackup(cmd, s.app.config, filepath.Join(t.TempDir(), "b"), false); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.Contains(out.String(), "1 usage events wait in ")
	}
	if warned() {
		t.Error("a backup warns of an event of this moment, which a server may be storing")
	}
	files, err := filepath.Glob(filepath.Join(eventOutbox(s.app.config), "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	old := fmt.Sprintf("%020d%s", time.Now().Add(-time.Hour).UnixMicro(), filepath.Ext(files[0]))
	if err := os.Rename(files[0], filepath.Join(filepath.Dir(files[0]), old)); err != nil {
		t.Fatal(err)
	}
	if !warned() {
		t.Error("a backup does not warn of an event that has waited for an hour")
	}
	bootIn(t, dir).stop()
	cmd, out = commandFor(t)
	if err := runCopy(cmd, s.app.config, target, "llmhist copy --to x"); err != nil || warned() {
		t.Errorf("after a start: %v\n%s", err, out)
	}
}

// leaveEvents puts an event of yesterday of each user into the outbox of the
// server that is stopped.
func leaveEvents(t *testing.T, dir string, users ...int64) {
	t.Helper()
	away := func(context.Context, outbox.Batch) error { return errors.New("the storage is away") }
	box, err := outbox.Open(outbox.Config{Dir: filepath.Join(dir, "outbox", "analytics"), MaxBytes: 1 << 20, BatchSize: 100, Wait: time.Millisecond}, away, testkit.Logger())
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range users {
		at := time.Now().Add(-24 * time.Hour)
		event := object{"id": uid.New(at), "at": at.UnixMilli(), "user": user, "service": "chat", "action": "message", "status": "ok", "http_status": 200}
		record, err := json.Marshal(event)
		if err == nil {
			err = box.Add(record)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := box.Close(t.Context()); err != nil {
		t.Log(err) // it says that they wait
	}
}
