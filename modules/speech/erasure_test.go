package speech

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

// stuck is a bucket that cannot delete.
type stuck struct{ blob.Bucket }

func (stuck) Delete(context.Context, string) error {
	return fault.New(fault.Unavailable, "storage_unavailable", "down")
}

// mustHoldNothing fails when an object or an unfinished erasure is left.
func (b *bench) mustHoldNothing(t *testing.T) {
	t.Helper()
	left, err := b.service.repository.ListErasures(t.Context(), Filter{Everyone: true}, "", 10)
	if keys := b.objects(t); len(keys) > 0 || len(left) > 0 || err != nil {
		t.Errorf("left %v, %v, %v", keys, left, err)
	}
}

func TestWhatCannotBeErasedAtOnceIsGoneForEveryoneAndErasedLater(t *testing.T) {
	for name, again := range map[string]func(b *bench, id string) error{
		"by the next deletion": func(b *bench, id string) error { return b.service.Delete(as(t, 1), id) },
		"by the next start":    func(b *bench, _ string) error { _, err := b.Reconcile(t.Context()); return err },
		"with the account":     func(b *bench, _ string) error { return b.EraseUser(t.Context(), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, newFake(t, "fake"))
			c, err := b.service.Generate(as(t, 1), ask("x"))
			if err != nil {
				t.Fatal(err)
			}
			sound := b.Module
			b.Module = newModule(b.service.catalog, b.service.transcoder, b.deps(stuck{b.bucket}))
			if err := b.service.Delete(as(t, 1), c.ID); fault.CodeOf(err) != "storage_unavailable" {
				t.Fatalf("told %v", err)
			}
			b.Module = sound
			if _, err := b.service.Find(as(t, 1), c.ID); !fault.Is(err, fault.NotFound) || len(b.rows(t)) > 0 {
				t.Errorf("still visible: %v", err)
			}
			if err := b.service.Delete(as(t, 2), c.ID); !fault.Is(err, fault.NotFound) || len(b.objects(t)) == 0 {
				t.Errorf("a stranger is told %v", err)
			}
			if err := again(b, c.ID); err != nil {
				t.Fatal(err)
			}
			b.mustHoldNothing(t)
		})
	}
}

// TestACrashAfterADeletionLeavesNothing: the request at work when its
// conversion was deleted dies before it can clean up.
func TestACrashAfterADeletionLeavesNothing(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	c := newConversion(b.clock.Now(), owner(1))
	mustCreate(t, b.service.repository, c)
	b.service.inFlight.Store(c.ID, true)
	if err := b.service.Delete(as(t, 1), c.ID); err != nil {
		t.Fatal(err)
	}
	c.Status = StatusCompleted
	if err := b.service.store(t.Context(), c, wavSound(t, time.Second)); err != nil {
		t.Fatal(err)
	}
	if keys := strings.Join(b.objects(t), " "); !strings.Contains(keys, "audio/") {
		t.Fatalf("nothing was written after the deletion: %s", keys)
	}
	b.Module = newModule(b.service.catalog, b.service.transcoder, b.deps(b.bucket)) // the next process
	if n, err := b.Reconcile(t.Context()); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	b.mustHoldNothing(t)
}

// TestARowThatCannotBeReadKeepsNoOtherWaiting: neither its account's erasure nor
// what else a crash interrupted.
func TestARowThatCannotBeReadKeepsNoOtherWaiting(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	var list []Conversion
	for i := range 3 {
		list = append(list, newConversion(b.clock.Now().Add(time.Duration(i)*time.Second), owner(1)))
	}
	mustCreate(t, b.service.repository, list...)
	err := b.db.Write(t.Context(), func(tx *gorm.DB) error {
		return tx.Exec("UPDATE tts_conversions SET metadata = '{' WHERE id = ?", list[0].ID).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	b.mustReconcile(t, 2)
	if err := b.EraseUser(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if c, err := b.service.repository.Find(t.Context(), list[1].ID); err != nil || c.Status != StatusFailed {
		t.Errorf("%+v, %v", c, err)
	}
	if err := b.EraseUser(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if rows := b.rows(t); len(rows) > 0 {
		t.Errorf("%d rows are left", len(rows))
	}
	b.mustHoldNothing(t)
}

func TestErasingBeginsWithMoreThanOneBatch(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	for range eraseBatch + 5 {
		mustCreate(t, b.service.repository, newConversion(b.clock.Now(), owner(1)))
	}
	if err := b.EraseUser(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if rows := b.rows(t); len(rows) > 0 {
		t.Errorf("%d rows are left", len(rows))
	}
	b.mustHoldNothing(t)
}

// TestErasingAUserErasesWhatOnlyAnIndexKnows: an older database was restored,
// which has no row of the conversion.
func TestErasingAUserErasesWhatOnlyAnIndexKnows(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	kept, err := b.service.Generate(as(t, 2), ask("x"))
	if err != nil {
		t.Fatal(err)
	}
	want := b.objects(t)
	lost := newConversion(b.clock.Now(), owner(1))
	lost.Status = StatusCompleted
	for _, err := range []error{
		b.service.ledger.WriteInput(t.Context(), lost.ID, inputOf(lost)),
		b.service.store(t.Context(), lost, wavSound(t, time.Second)),
		b.service.ledger.AppendIndex(t.Context(), owner(1), kept.ID), // by mistake
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := b.EraseUser(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if left := b.objects(t); !slices.Equal(left, want) || len(b.rows(t)) != 1 {
		t.Errorf("left %v, want %v; %d rows", left, want, len(b.rows(t)))
	}
}

func TestDeletionIsForTheOwnerAndAdmins(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	server := testkit.Serve(t, b.Mount)
	make := func(as testkit.Caller) string {
		id, _ := server.Do("POST", "/speech/generate", as, map[string]any{"text": "x"}).JSON(t)["id"].(string)
		return id
	}
	mine, anonymous := make(testkit.User(1)), make(testkit.Nobody)
	for _, step := range []struct {
		id   string
		as   testkit.Caller
		want int
	}{
		{mine, testkit.Nobody, 401}, {mine, testkit.User(2), 404}, {"nonsense", testkit.User(1), 404}, {mine, testkit.User(1), 204}, {mine, testkit.User(1), 404},
		{anonymous, testkit.User(1), 403}, {anonymous, testkit.Admin(9), 204}, {anonymous, testkit.Admin(9), 404},
	} {
		if answer := server.Do("DELETE", "/speech/"+step.id, step.as, nil); answer.Status != step.want {
			t.Errorf("%s by %+v is %d, want %d", step.id, step.as, answer.Status, step.want)
		}
	}
	if keys := b.objects(t); slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, "requests/") }) {
		t.Errorf("left %v", keys)
	}
}
