package image

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

// neighbour is a second server on the same database and bucket, which believes
// of the first what living says.
func (f *fixture) neighbour(bucket blob.Bucket, living func() map[string]bool) *fixture {
	f.t.Helper()
	second := *f
	var err error
	second.module, err = New(Config{}, Deps{
		DB: f.db, Bucket: bucket, Logger: testkit.Logger(), Now: f.clock.Now, Instance: "second",
		Living: func(context.Context) (map[string]bool, error) { return living(), nil },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(second.module.Close)
	return &second
}

func dead() map[string]bool   { return nil }
func living() map[string]bool { return map[string]bool{"first": true, "second": true} }

// slow is a provider that answers when it is released.
type slow struct {
	called, released chan struct{}
	release          func()
}

func (f *fixture) slowUpstream(answer http.HandlerFunc) (slow, Config) {
	s := slow{called: make(chan struct{}), released: make(chan struct{})}
	s.release = sync.OnceFunc(func() { close(s.released) })
	call := sync.OnceFunc(func() { close(s.called) }) // a failure is asked for again
	u := serveUpstream(f.t, func(w http.ResponseWriter, r *http.Request) {
		call()
		<-s.released
		answer(w, r)
	})
	f.t.Cleanup(s.release)
	return s, u.as(typePollinations)
}

// firstServer starts the server "first" with an image on its way.
func firstServer(t *testing.T, db *database.DB, answer http.HandlerFunc) (f *fixture, s slow, id string, done chan testkit.Answer) {
	t.Helper()
	f = &fixture{t: t}
	s, config := f.slowUpstream(answer)
	f = startOn(t, config, db, &brittle{Bucket: testkit.Bucket(t, "images")})
	f.module.service.instance = "first"
	done = make(chan testkit.Answer, 1)
	go func() { done <- f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x"}`) }()
	<-s.called
	list, err := f.module.service.repository.ListProcessing(t.Context(), "", 10)
	if err != nil || len(list) != 1 || f.row(list[0]).Instance != "first" {
		t.Fatalf("%v, %v", list, err)
	}
	return f, s, list[0], done
}

func TestALivingServersImagesAreLeftAloneUntilTheyAreOverdue(t *testing.T) {
	f, s, id, done := firstServer(t, testkit.SQLite(t), answerBytes("image/png", pngBytes(t)))
	second := f.neighbour(f.bucket, living)
	second.mustReconcile(0)
	f.clock.Advance(overdue + time.Second)
	second.mustReconcile(1)
	second.mustBeFailed(id, "interrupted")
	s.release()
	<-done
}

func TestAnImageWronglyTakenForInterruptedTakesItsTrueOutcome(t *testing.T) {
	for name, outcome := range map[string]struct {
		answer http.HandlerFunc
		status int
		row    Status
		code   string
	}{
		"made":   {answerBytes("image/png", pngBytes(t)), 201, StatusCompleted, ""},
		"failed": {answerJSON(500, ""), 503, StatusFailed, "provider_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
				f, s, id, done := firstServer(t, db, outcome.answer)
				f.neighbour(f.bucket, dead).mustReconcile(1)
				f.mustBeFailed(id, "interrupted")
				s.release()
				answer := <-done
				row := f.row(id)
				if answer.Status != outcome.status || row.Status != outcome.row || f.record(id).Status != outcome.row {
					t.Errorf("answered %d %s; row %+v, record %s", answer.Status, answer.Body, row, f.record(id).Status)
				}
				if row.Failure.Code != outcome.code || outcome.code != "" && f.record(id).Error.Code != outcome.code {
					t.Errorf("row %+v, record %+v", row.Failure, f.record(id).Error)
				}
				if has := strings.Contains(strings.Join(f.objects(""), " "), mediaName); has != (outcome.row == StatusCompleted) {
					t.Errorf("objects %v", f.objects(""))
				}
				if lines := f.lines("users/1/"); len(lines) != 1 {
					t.Errorf("lines %v", lines)
				}
			})
		})
	}
}

// halting is a bucket that stops at a deletion until it is released, which then
// fails with err.
type halting struct {
	blob.Bucket
	reached, released chan struct{}
	err               error
}

func (h halting) Delete(ctx context.Context, key string) error {
	close(h.reached)
	<-h.released
	if h.err != nil {
		return h.err
	}
	return h.Bucket.Delete(ctx, key)
}

func TestARequestThatEndsWhileItIsTakenOverWaitsAndWins(t *testing.T) {
	f, s, id, done := firstServer(t, testkit.SQLite(t), answerBytes("image/png", pngBytes(t)))
	halted := halting{f.bucket, make(chan struct{}), make(chan struct{}), nil}
	second := f.neighbour(halted, dead)
	settled := make(chan struct{})
	go func() { second.mustReconcile(1); close(settled) }()
	<-halted.reached
	s.release()
	waitUntil(t, "the first server has written its record", func() bool {
		list, err := f.bucket.Bucket.List(t.Context(), "users/1/", "", 10)
		return err == nil && len(list) > 0
	})
	select {
	case answer := <-done:
		t.Errorf("answered %d while another server was settling it", answer.Status)
	default:
	}
	close(halted.released)
	<-settled
	answer := <-done
	row := f.row(id)
	if answer.Status != 201 || row.Status != StatusCompleted || f.record(id).Status != StatusCompleted || len(f.read(row.Key)) == 0 {
		t.Errorf("%d %s; row %+v, record %s", answer.Status, answer.Body, row, f.record(id).Status)
	}
	if lines := f.lines("users/1/"); len(lines) != 1 {
		t.Errorf("lines %v", lines)
	}
}

func TestARequestWhoseImageIsGivenBackPutsItsOutcomeInPlace(t *testing.T) {
	f, s, id, done := firstServer(t, testkit.SQLite(t), answerBytes("image/png", pngBytes(t)))
	halted := halting{f.bucket, make(chan struct{}), make(chan struct{}), errBroken}
	second := f.neighbour(halted, dead)
	settled := make(chan error)
	go func() { _, err := second.module.Reconcile(t.Context()); settled <- err }()
	<-halted.reached
	s.release()
	waitUntil(t, "the first server has written its record", func() bool {
		list, err := f.bucket.Bucket.List(t.Context(), "users/1/", "", 10)
		return err == nil && len(list) > 0
	})
	close(halted.released)
	if err := <-settled; err == nil {
		t.Error("it was settled")
	}
	var answer testkit.Answer
	waitUntil(t, "the request is answered", func() bool {
		select {
		case answer = <-done:
			return true
		default:
			return false
		}
	})
	row := f.row(id)
	if answer.Status != 201 || row.Status != StatusCompleted || f.record(id).Status != StatusCompleted || len(f.read(row.Key)) == 0 {
		t.Errorf("%d %s; row %+v, record %s", answer.Status, answer.Body, row, f.record(id).Status)
	}
	if lines := f.lines("users/1/"); len(lines) != 1 {
		t.Errorf("lines %v", lines)
	}
}

func waitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in 20 s: " + what)
		}
	}
}

func TestManyServersSettleAnImageOnce(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		f := startOn(t, Config{}, db, &brittle{Bucket: testkit.Bucket(t, "images")})
		const images = 30
		for i := range images {
			image := blank(owner(1), f.clock.Now().Add(time.Duration(i)*time.Millisecond))
			image.Instance = "gone"
			f.crash(image, 3, nil)
		}
		var mu sync.Mutex
		var group sync.WaitGroup
		total := 0
		for _, name := range []string{"a", "b", "c", "d"} {
			server := f.neighbour(f.bucket, func() map[string]bool { return map[string]bool{"a": true, "b": true, "c": true, "d": true} })
			server.module.service.instance = name
			group.Go(func() {
				count, err := server.module.Reconcile(t.Context())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				total += count
				mu.Unlock()
			})
		}
		group.Wait()
		if lines := f.lines("users/1/"); total != images || len(lines) != images {
			t.Errorf("%d settled, %d lines", total, len(lines))
		}
	})
}

func TestAnImageDeletedAtAnotherServerIsGoneWhateverBecomesOfItsRequest(t *testing.T) {
	t.Run("it ends", func(t *testing.T) {
		f, s, id, done := firstServer(t, testkit.SQLite(t), answerBytes("image/png", pngBytes(t)))
		second := f.neighbour(f.bucket, living)
		if err := second.module.EraseUser(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if second.mustReconcile(0); f.erasures() != 1 {
			t.Errorf("a crash of the first server now would leave what image %s writes next", id)
		}
		s.release()
		if answer := <-done; answer.Code() != "image_deleted" {
			t.Errorf("%d %s", answer.Status, answer.Body)
		}
		f.mustHold()
	})
	t.Run("its server dies", func(t *testing.T) {
		f := start(t, Config{})
		second := f.neighbour(f.bucket, living)
		image := blank(owner(1), f.clock.Now())
		image.Instance = "first"
		f.crash(image, 3, nil)
		if err := second.module.EraseUser(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if _, err := f.bucket.Put(t.Context(), image.key(), strings.NewReader("late"), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		second.module.service.living = func(context.Context) (map[string]bool, error) { return dead(), nil }
		second.mustReconcile(0)
		f.mustHold()
	})
}
