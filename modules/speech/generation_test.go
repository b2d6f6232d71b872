package speech

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/identity"
	"llmhist/platform/testkit"
	"llmhist/platform/usage"
)

func ask(text string) Request { return Request{Text: text, Speed: 1} }

func as(t *testing.T, user int64) context.Context {
	return identity.With(t.Context(), identity.Identity{UserID: user, Role: identity.RoleUser})
}

// mustHaveFailed checks that the only conversion ended with status and code,
// in its row, record and index, and without sound.
func (b *bench) mustHaveFailed(t *testing.T, status Status, code string) Conversion {
	t.Helper()
	rows := b.rows(t)
	if len(rows) != 1 || rows[0].Status != status || rows[0].Failure == nil || rows[0].Failure.Code != code {
		t.Fatalf("rows %+v, want one %s with %s", rows, status, code)
	}
	var record recordDocument
	if err := b.service.ledger.ReadRecord(t.Context(), rows[0].ID, &record); err != nil {
		t.Fatal(err)
	}
	if record.Status != string(status) || record.Error == nil || record.Error.Code != code || record.S3Key != nil {
		t.Errorf("record %+v", record)
	}
	if _, err := b.bucket.Stat(t.Context(), history.InputKey(rows[0].ID)); err != nil {
		t.Errorf("input: %v", err)
	}
	for _, key := range b.objects(t) {
		if strings.Contains(key, "/audio/") {
			t.Errorf("sound is left: %s", key)
		}
	}
	if rows[0].UserID != nil {
		index, err := blob.ReadAll(t.Context(), b.bucket, b.service.ledger.IndexKey(*rows[0].UserID, rows[0].CreatedAt), 1<<20)
		if err != nil || bytes.Count(index, []byte(rows[0].ID+`","record"`)) != 1 {
			t.Errorf("index %q %v", index, err)
		}
	}
	return rows[0]
}

func TestFailuresAreRecordedAndToldWithTheID(t *testing.T) {
	tests := map[string]struct {
		err    error
		kind   fault.Kind
		status Status
		code   string
	}{
		"outage":          {outage("fake"), fault.Unavailable, StatusFailed, "provider_unavailable"},
		"refused input":   {fault.New(fault.Invalid, "provider_refused_input", "no"), fault.Invalid, StatusFailed, "provider_refused_input"},
		"unknown error":   {errors.New("boom"), fault.Internal, StatusFailed, "internal"},
		"client gone":     {context.Canceled, fault.Cancelled, StatusCancelled, "cancelled"},
		"out of time":     {context.DeadlineExceeded, fault.Timeout, StatusFailed, "timeout"},
		"provider's time": {fault.New(fault.Timeout, "provider_timeout", "slow"), fault.Timeout, StatusFailed, "provider_timeout"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, newFake(t, "fake").failing(test.err))
			_, err := b.service.Generate(as(t, 7), ask("x"))
			row := b.mustHaveFailed(t, test.status, test.code)
			var failed *fault.Error
			if !errors.As(err, &failed) || failed.Kind != test.kind || failed.Extra["id"] != row.ID {
				t.Errorf("told %v", err)
			}
			if strings.Contains(row.Failure.Detail, "boom") {
				t.Errorf("the cause reached the record: %s", row.Failure.Detail)
			}
		})
	}
}

func TestWhatAProviderMakesIsMeasuredOrRefused(t *testing.T) {
	for name, sound := range map[string][]byte{"nothing": nil, "html": []byte("<html>"), "header only": wavSound(t, 0), "mp3 for wav": mp3Frames(9)} {
		t.Run(name, func(t *testing.T) {
			provider := newFake(t, "fake")
			provider.serve = func(context.Context, utterance) (recording, error) { return recording{sound: sound, status: 200}, nil }
			b := newBench(t, provider)
			if _, err := b.service.Generate(t.Context(), ask("x")); fault.CodeOf(err) != "provider_wrong_media" {
				t.Errorf("told %v", err)
			}
			b.mustHaveFailed(t, StatusFailed, "provider_wrong_media")
		})
	}
}

func TestFallback(t *testing.T) {
	tests := map[string]struct {
		first   error
		request Request
		model   string // who spoke; "" = nobody
	}{
		"outage":           {outage("first"), ask("x"), "second/one"},
		"timeout":          {fault.New(fault.Timeout, "provider_timeout", ""), ask("x"), "second/one"},
		"garbage":          {wrongMedia("first", nil), ask("x"), "second/one"},
		"no sound in it":   {nil, ask("x"), "second/one"},
		"user's fault":     {fault.New(fault.Invalid, "provider_refused_input", ""), ask("x"), ""},
		"too large":        {fault.New(fault.TooLarge, "provider_input_too_large", ""), ask("x"), ""},
		"our own fault":    {errors.New("bug"), ask("x"), ""},
		"a model is named": {outage("first"), Request{Text: "x", Speed: 1, Model: "first/one"}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			first, second := newFake(t, "first").failing(test.first), newFake(t, "second")
			if test.first == nil {
				first.serve = func(context.Context, utterance) (recording, error) {
					return recording{sound: []byte("noise"), status: 200}, nil
				}
			}
			b := newBench(t, first, second)
			ctx, consumed := usage.Begin(as(t, 1))
			c, err := b.service.Generate(ctx, test.request)
			if test.model == "" {
				if err == nil || second.calls.Load() != 0 {
					t.Errorf("%v; the second was called %d times", err, second.calls.Load())
				}
				return
			}
			if err != nil || c.Model != test.model || c.Provider != "second" {
				t.Fatalf("%+v %v", c, err)
			}
			if got := b.rows(t)[0]; got.Model != test.model || got.Provider != "second" || got.Status != StatusCompleted {
				t.Errorf("row %+v", got)
			}
			got := consumed.Figures()
			if got.Provider != "second" || got.Model != test.model || got.ObjectID != c.ID || got.InputBytes != 1 || got.OutputBytes != c.Size {
				t.Errorf("usage %+v", got)
			}
		})
	}
}

func TestUsageIsKnownOfWhatFailed(t *testing.T) {
	b := newBench(t, newFake(t, "fake").failing(outage("fake")))
	ctx, consumed := usage.Begin(t.Context())
	if _, err := b.service.Generate(ctx, ask("héllo")); err == nil {
		t.Fatal("no failure")
	}
	got := consumed.Figures()
	if got.Provider != "fake" || got.Model != "fake/one" || got.InputBytes != 6 || got.OutputBytes != 0 || got.ObjectID != b.rows(t)[0].ID {
		t.Errorf("usage %+v", got)
	}
}

func TestClientThatLeavesIsRecordedAsCancelled(t *testing.T) {
	provider := newFake(t, "fake")
	ctx, leave := context.WithCancel(as(t, 1))
	provider.serve = func(ctx context.Context, _ utterance) (recording, error) {
		leave()
		<-ctx.Done()
		return recording{}, errors.Join(ctx.Err(), outage("fake")) // however it puts it
	}
	second := newFake(t, "second")
	b := newBench(t, provider, second)
	if _, err := b.service.Generate(ctx, ask("x")); !fault.Is(err, fault.Cancelled) {
		t.Errorf("told %v", err)
	}
	b.mustHaveFailed(t, StatusCancelled, "cancelled")
	if second.calls.Load() != 0 {
		t.Error("the next provider was called for nobody")
	}
}

// departed is a repository whose client goes away when the row is there.
type departed struct {
	Repository
	leave context.CancelFunc
}

func (d departed) Create(ctx context.Context, c Conversion) error {
	defer d.leave()
	return d.Repository.Create(ctx, c)
}

func TestClientThatLeavesAtOnceLeavesItsParameters(t *testing.T) {
	provider := newFake(t, "fake")
	provider.serve = func(ctx context.Context, _ utterance) (recording, error) { return recording{}, ctx.Err() }
	b := newBench(t, provider)
	ctx, leave := context.WithCancel(as(t, 1))
	b.service.repository = departed{b.service.repository, leave}
	if _, err := b.service.Generate(ctx, ask("good morning")); !fault.Is(err, fault.Cancelled) {
		t.Fatalf("got %v", err)
	}
	c := b.mustHaveFailed(t, StatusCancelled, "cancelled")
	input, err := blob.ReadAll(t.Context(), b.bucket, history.InputKey(c.ID), 1<<20)
	if err != nil || !bytes.Contains(input, []byte("good morning")) {
		t.Errorf("input %s, %v", input, err)
	}
}

func TestClientThatLeavesAfterTheSoundIsThereLosesNothing(t *testing.T) {
	provider := newFake(t, "fake")
	ctx, leave := context.WithCancel(as(t, 1))
	speak := provider.serve
	provider.serve = func(ctx context.Context, u utterance) (recording, error) {
		defer leave()
		return speak(ctx, u)
	}
	b := newBench(t, provider)
	if _, err := b.service.Generate(ctx, ask("x")); err != nil {
		t.Fatal(err)
	}
	if got := b.rows(t); len(got) != 1 || got[0].Status != StatusCompleted {
		t.Errorf("rows %+v", got)
	}
}

// brittle is a bucket whose Put of some keys fails.
type brittle struct {
	blob.Bucket
	breaks func(key string) bool
}

func (b brittle) Put(ctx context.Context, key string, body io.Reader, options blob.PutOptions) (blob.Object, error) {
	if b.breaks(key) {
		return blob.Object{}, fault.New(fault.OutOfSpace, "storage_full", "full")
	}
	return b.Bucket.Put(ctx, key, body, options)
}

func TestAStoreThatFailsLeavesNothingHalfVisible(t *testing.T) {
	for _, part := range []string{"input.json", "audio/output.wav", "record.json"} {
		t.Run(part, func(t *testing.T) {
			b := newBench(t, newFake(t, "fake"))
			var broken atomic.Bool
			broken.Store(true)
			bucket := brittle{b.bucket, func(key string) bool { // once: the second record tells of the failure
				return strings.HasSuffix(key, part) && broken.CompareAndSwap(true, false)
			}}
			b.Module = newModule(b.service.catalog, b.service.transcoder, b.deps(bucket))
			if _, err := b.service.Generate(as(t, 1), ask("x")); !fault.Is(err, fault.OutOfSpace) {
				t.Errorf("told %v", err)
			}
			b.mustHaveFailed(t, StatusFailed, "storage_full")
		})
	}
	t.Run("record.json, for good", func(t *testing.T) {
		b := newBench(t, newFake(t, "fake"))
		sound := b.Module
		bucket := brittle{b.bucket, func(key string) bool { return strings.HasSuffix(key, "record.json") }}
		b.Module = newModule(b.service.catalog, b.service.transcoder, b.deps(bucket))
		if _, err := b.service.Generate(as(t, 1), ask("x")); !fault.Is(err, fault.OutOfSpace) {
			t.Errorf("told %v", err)
		}
		b.Module = sound
		if n, err := b.Reconcile(t.Context()); n != 1 || err != nil {
			t.Fatalf("%d %v", n, err)
		}
		b.mustHaveFailed(t, StatusFailed, "interrupted")
	})
}

func TestDeletedWhileItIsMade(t *testing.T) {
	for name, fails := range map[string]bool{"and then made": false, "and then failing": true} {
		t.Run(name, func(t *testing.T) {
			provider := newFake(t, "fake")
			b := newBench(t, provider)
			speak := provider.serve
			provider.serve = func(ctx context.Context, u utterance) (recording, error) {
				if err := b.EraseUser(ctx, 1); err != nil {
					t.Error(err)
				}
				if fails {
					return recording{}, outage("fake")
				}
				return speak(ctx, u)
			}
			if _, err := b.service.Generate(as(t, 1), ask("x")); fault.CodeOf(err) != "speech_deleted" {
				t.Errorf("told %v", err)
			}
			for _, key := range b.objects(t) {
				if !strings.HasPrefix(key, "users/1/") {
					t.Errorf("%s is left", key)
				}
			}
			if index, _ := blob.ReadAll(t.Context(), b.bucket, b.service.ledger.IndexKey(1, b.clock.Now()), 1<<20); len(index) > 0 {
				t.Errorf("index %q", index)
			}
		})
	}
}

// late is a repository before whose erasure something happens.
type late struct {
	Repository
	before func()
}

func (l late) BeginErasure(ctx context.Context, id string) (Erasure, error) {
	l.before()
	return l.Repository.BeginErasure(ctx, id)
}

func TestDeletedWhileItIsFinished(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	c := newConversion(b.clock.Now(), owner(1))
	mustCreate(t, b.service.repository, c)
	b.service.repository = late{b.service.repository, func() { // the request finishes between the two steps
		if _, err := b.service.complete(t.Context(), c, wavSound(t, time.Second)); err != nil {
			t.Error(err)
		}
	}}
	if err := b.service.Delete(as(t, 1), c.ID); err != nil {
		t.Fatal(err)
	}
	for _, key := range b.objects(t) {
		if strings.HasPrefix(key, "requests/") {
			t.Errorf("%s is left", key)
		}
	}
}

func TestEraseUserTakesEverythingOfThatUserAlone(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	for range 3 {
		for _, user := range []int64{1, 2} {
			if _, err := b.service.Generate(as(t, user), ask("x")); err != nil {
				t.Fatal(err)
			}
		}
		b.clock.Advance(24 * time.Hour)
	}
	if _, err := b.service.Generate(t.Context(), ask("anonymous")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it may be repeated
		if err := b.EraseUser(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	kept := map[string]bool{}
	for _, c := range b.rows(t) {
		if c.UserID != nil && *c.UserID == 1 {
			t.Errorf("row %s is left", c.ID)
		}
		kept[c.ID] = true
	}
	if len(kept) != 4 {
		t.Errorf("%d rows are left, want 4", len(kept))
	}
	for _, key := range b.objects(t) {
		parts := strings.Split(key, "/")
		if parts[0] == "users" && parts[1] == "1" || parts[0] == "requests" && !kept[parts[4]] {
			t.Errorf("%s is left", key)
		}
	}
	if err := b.EraseUser(t.Context(), 0); err == nil {
		t.Error("erasing nobody must not mean everybody")
	}
}

func TestFiftyAtOnceLoseNothing(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	server := testkit.Serve(t, b.Mount)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]bool{}
	for range 50 {
		wg.Go(func() {
			answer := server.Do("POST", "/speech/generate", testkit.User(1), map[string]any{"text": "at once"})
			id, _ := answer.JSON(t)["id"].(string)
			mu.Lock()
			defer mu.Unlock()
			if answer.Status != http.StatusCreated || ids[id] {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
			ids[id] = true
		})
	}
	wg.Wait()
	rows := b.rows(t)
	index, err := blob.ReadAll(t.Context(), b.bucket, b.service.ledger.IndexKey(1, b.clock.Now()), 1<<20)
	if err != nil || len(rows) != 50 || len(ids) != 50 || bytes.Count(index, []byte("\n")) != 50 {
		t.Fatalf("%d rows, %d answers, %d lines, %v", len(rows), len(ids), bytes.Count(index, []byte("\n")), err)
	}
	for _, c := range rows {
		if c.Status != StatusCompleted || !bytes.Contains(index, []byte(history.RecordKey(c.ID))) {
			t.Errorf("%s is %s", c.ID, c.Status)
		}
		if _, err := b.bucket.Stat(t.Context(), c.MediaKey()); err != nil {
			t.Error(err)
		}
	}
}
