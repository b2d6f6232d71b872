package image

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

// crash does the first steps of a request by hand, as a process that was killed
// after them left them. record nil = the provider did not answer yet.
func (f *fixture) crash(image Image, steps int, record *Record) {
	f.t.Helper()
	s, ctx := f.module.service, f.t.Context()
	todo := []func() error{
		func() error { return s.repository.Create(ctx, image) },
		func() error { return s.ledger.WriteInput(ctx, image.ID, inputOf(image, "")) },
		func() error {
			_, err := f.bucket.Put(ctx, image.key(), bytes.NewReader(pngBytes(f.t)), blob.PutOptions{})
			return err
		},
		func() error { return s.ledger.WriteRecord(ctx, image.ID, record) },
		func() error { return s.ledger.AppendIndex(ctx, image.UserID, image.ID) },
	}
	for i, step := range todo[:steps] {
		if i == 2 && record != nil && record.Status != StatusCompleted {
			continue // a failure has no picture
		}
		if err := step(); err != nil {
			f.t.Fatal(err)
		}
	}
}

func TestReconcileFinishesWhatACrashLeft(t *testing.T) {
	for name, c := range map[string]struct {
		steps  int
		record Status
		want   Status
		code   string
	}{
		"after the row":                      {1, StatusCompleted, StatusFailed, "interrupted"},
		"after the input":                    {2, StatusCompleted, StatusFailed, "interrupted"},
		"after the picture":                  {3, StatusCompleted, StatusFailed, "interrupted"},
		"after the record":                   {4, StatusCompleted, StatusCompleted, ""},
		"after the index line":               {5, StatusCompleted, StatusCompleted, ""},
		"after the record of a failure":      {4, StatusFailed, StatusFailed, "provider_timeout"},
		"after the index line of a failure":  {5, StatusFailed, StatusFailed, "provider_timeout"},
		"after the record of a cancellation": {4, StatusCancelled, StatusCancelled, "cancelled"},
	} {
		for _, userID := range []*int64{owner(1), nil} {
			t.Run(name, func(t *testing.T) {
				f := start(t, Config{})
				image := blank(userID, f.clock.Now())
				image.Prompt, image.Size, image.Provider, image.Model, image.Bucket = "a red fox", "96x48", "local", localModel, "images"
				done := image
				done.Status, done.FinishedAt, done.Failure = c.record, f.clock.Now().Add(time.Second), Failure{Code: c.code, Detail: "d"}
				if c.record == StatusCompleted {
					done.Key, done.Media, done.Failure = image.key(), Media{Width: 96, Height: 48, Bytes: 9, SHA256: "s"}, Failure{}
				}
				record := recordOf(done, making{})
				f.crash(image, c.steps, &record)
				f.mustReconcile(1)
				f.mustReconcile(0)
				row := f.row(image.ID)
				if row.Status != c.want || row.Failure.Code != c.code || f.record(image.ID).Status != c.want {
					t.Errorf("row %+v", row)
				}
				picture := c.want == StatusCompleted
				if has := strings.Contains(strings.Join(f.objects(""), " "), mediaName); has != picture {
					t.Errorf("objects %v", f.objects(""))
				}
				lines := f.lines("users/1/image/history/")
				if userID != nil && cmp.Diff([]string{image.ID}, lines) != "" || userID == nil && len(lines) > 0 {
					t.Errorf("lines %v", lines)
				}
				if _, err := f.bucket.Stat(t.Context(), history.InputKey(image.ID)); err != nil {
					t.Errorf("input: %v", err)
				}
				if answer := f.do("GET", "/image/"+image.ID+"/download", testkit.Admin(9), nil); (answer.Status == 302) != picture {
					t.Errorf("download is %d", answer.Status)
				}
			})
		}
	}
}

func (f *fixture) mustReconcile(want int) {
	f.t.Helper()
	if n, err := f.module.Reconcile(f.t.Context()); n != want || err != nil {
		f.t.Errorf("reconciled %d, want %d, %v", n, want, err)
	}
}

func TestReconcileReplacesADamagedRecord(t *testing.T) {
	f := start(t, Config{})
	image := blank(owner(1), f.clock.Now())
	f.crash(image, 3, nil)
	if _, err := f.bucket.Put(t.Context(), history.RecordKey(image.ID), strings.NewReader("{"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	f.mustReconcile(1)
	f.mustBeFailed(image.ID, "interrupted")
}

func TestReconcileBelievesNoRecordThatCannotBeTrue(t *testing.T) {
	for name, lie := range map[string]func(f *fixture, record *Record){
		"the picture is gone": func(f *fixture, record *Record) {
			if err := f.bucket.Delete(f.t.Context(), record.S3Key); err != nil {
				f.t.Fatal(err)
			}
		},
		"another image's":   func(_ *fixture, record *Record) { record.ID = blank(nil, time.Now()).ID },
		"not of an outcome": func(_ *fixture, record *Record) { record.Status = StatusProcessing },
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, Config{})
			image := blank(owner(1), f.clock.Now())
			done := image
			done.Status, done.Key, done.FinishedAt = StatusCompleted, image.key(), f.clock.Now()
			record := recordOf(done, making{})
			f.crash(image, 3, nil)
			lie(f, &record)
			if err := f.module.service.ledger.WriteRecord(t.Context(), image.ID, record); err != nil {
				t.Fatal(err)
			}
			f.mustReconcile(1)
			f.mustBeFailed(image.ID, "interrupted")
		})
	}
}

// TestGivingUpMayBeInterrupted: the record already says completed when the
// index fails; the picture is removed, and then nothing more can be written.
func TestGivingUpMayBeInterrupted(t *testing.T) {
	f := start(t, Config{})
	id := blank(nil, f.clock.Now()).ID
	f.module.service.newID = func(time.Time) string { return id }
	f.bucket.onAppend = func() { f.bucket.breakAt("record.json") }
	if answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x","size":"64x64"}`); answer.Status != 503 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	f.bucket.onAppend = nil
	f.bucket.breakAt("")
	f.mustReconcile(1)
	f.mustBeFailed(id, "interrupted")
}

func TestReconcileReachesEveryImageAndStopsAtAFault(t *testing.T) {
	f := start(t, Config{})
	for i := range reconcileBatch + 5 {
		f.crash(blank(owner(1), f.clock.Now().Add(time.Duration(i)*time.Minute)), 1, nil)
	}
	f.bucket.breakAt("record.json")
	if n, err := f.module.Reconcile(t.Context()); n != 0 || fault.CodeOf(err) != "storage_unavailable" {
		t.Fatalf("%d, %v", n, err)
	}
	f.bucket.breakAt("")
	f.mustReconcile(reconcileBatch + 5)
	if lines := f.lines("users/1/"); len(lines) != reconcileBatch+5 {
		t.Errorf("%d lines", len(lines))
	}
}

func TestReconcileLeavesWorkInProgressAlone(t *testing.T) {
	called, release := make(chan struct{}), make(chan struct{})
	u := serveUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		close(called)
		<-release
		answerBytes("image/png", pngBytes(t))(w, r)
	})
	f := start(t, u.as(typePollinations))
	made := make(chan testkit.Answer)
	go func() { made <- f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x"}`) }()
	<-called
	f.mustReconcile(0)
	close(release)
	if answer := <-made; answer.Status != 201 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}

func TestStorageThatFailsHalfWay(t *testing.T) {
	for name, c := range map[string]struct {
		at     string
		row    Status // before Reconcile
		after  Status
		code   string
		asked  int32
		status int
	}{
		"before the provider": {"put requests/2026/11/23/*/input.json", StatusProcessing, StatusFailed, "interrupted", 0, 503},
		"at the picture":      {"original.png", StatusProcessing, StatusFailed, "interrupted", 1, 503},
		"at putting it only":  {"put requests/2026/11/23/*/image/original.png", StatusFailed, StatusFailed, "storage_unavailable", 1, 503},
		"at the record":       {"record.json", StatusProcessing, StatusFailed, "interrupted", 1, 503},
		"at the index":        {"append", StatusProcessing, StatusFailed, "storage_unavailable", 1, 503},
	} {
		t.Run(name, func(t *testing.T) {
			u := serveUpstream(t, answerBytes("image/png", pngBytes(t)))
			f := start(t, u.as(typePollinations))
			image := blank(nil, f.clock.Now()).ID
			f.module.service.newID = func(time.Time) string { return image }
			f.bucket.breakAt(strings.Replace(c.at, "*", image, 1))
			answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x"}`)
			if answer.Status != c.status || answer.JSON(t)["id"] != image || u.calls.Load() != c.asked {
				t.Errorf("%d %s, asked %d times", answer.Status, answer.Body, u.calls.Load())
			}
			if row := f.row(image); row.Status != c.row {
				t.Errorf("row is %s", row.Status)
			}
			f.bucket.breakAt("")
			if _, err := f.module.Reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			if row := f.row(image); row.Status != c.after || row.Failure.Code != c.code || f.record(image).Status != c.after {
				t.Errorf("%+v", row)
			}
			if lines := f.lines("users/1/"); len(lines) != 1 || strings.Contains(strings.Join(f.objects(""), " "), mediaName) {
				t.Errorf("lines %v, objects %v", lines, f.objects(""))
			}
		})
	}
}

func TestAStoreThatIsBackForTheRecordGetsTheInputToo(t *testing.T) {
	f := start(t, Config{})
	f.bucket.breakOnceAt("input.json")
	answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"a red barn","size":"64x64"}`)
	id, _ := answer.JSON(t)["id"].(string)
	if answer.Status != 503 || f.row(id).Status != StatusFailed || f.record(id).Status != StatusFailed {
		t.Fatalf("%d %s, row %+v", answer.Status, answer.Body, f.row(id))
	}
	if input := string(f.read(history.InputKey(id))); !strings.Contains(input, "a red barn") {
		t.Errorf("input %q", input)
	}
}

// forgetful is a repository that cannot finish.
type forgetful struct{ repository }

func (forgetful) Finish(context.Context, Image) error { return errBroken }

func TestAPictureIsNotLostWhenOnlyTheRowFails(t *testing.T) {
	f := start(t, Config{})
	s := f.module.service
	kept := s.repository
	s.repository = forgetful{kept}
	answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x","size":"64x64"}`)
	id, _ := answer.JSON(t)["id"].(string)
	if answer.Status != 503 || f.row(id).Status != StatusProcessing {
		t.Fatalf("%d, %+v", answer.Status, f.row(id))
	}
	s.repository = kept
	f.mustReconcile(1)
	if row := f.row(id); row.Status != StatusCompleted || len(f.lines("users/1/")) != 1 {
		t.Errorf("%+v", row)
	}
	if list, _, err := kept.List(t.Context(), OwnedBy(1), "", web.Page{Number: 1, Size: 5}); len(list) != 1 || err != nil {
		t.Errorf("%d listed, %v", len(list), err)
	}
}
