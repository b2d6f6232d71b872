package image

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/testkit"
)

func (f *fixture) erasures() int {
	f.t.Helper()
	list, err := f.module.service.repository.ListErasures(f.t.Context(), Everyone(), "", 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	return len(list)
}

// mustHold checks that exactly these images are left, in rows and objects.
func (f *fixture) mustHold(ids ...string) {
	f.t.Helper()
	for _, key := range f.objects("requests/") {
		if !slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(key, id) }) {
			f.t.Errorf("%s is left", key)
		}
	}
	for _, id := range ids {
		f.read(history.RecordKey(id))
	}
	for _, line := range f.lines("users/") {
		if !slices.Contains(ids, line) {
			f.t.Errorf("%s is listed", line)
		}
	}
	if f.rows() != int64(len(ids)) || f.erasures() != 0 {
		f.t.Errorf("%d rows for %d images, %d erasures", f.rows(), len(ids), f.erasures())
	}
}

func TestDeletingLeavesNothing(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		f := startOn(t, Config{}, db, &brittle{Bucket: testkit.Bucket(t, "images")})
		kept, gone := f.generate(testkit.User(1), nil), f.generate(testkit.User(1), nil)
		if answer := f.do("DELETE", "/image/"+gone, testkit.User(1), nil); answer.Status != 204 || len(answer.Body) != 0 {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		f.mustHold(kept)
		if answer := f.do("DELETE", "/image/"+gone, testkit.User(1), nil); answer.Status != 404 {
			t.Errorf("again: %d", answer.Status)
		}
	})
}

func TestDeletingIsFinishedAfterAFault(t *testing.T) {
	for _, at := range []string{"unlist", "delete requests", "original.png", "input.json"} {
		for finish, do := range map[string]func(f *fixture, id string){
			"by the next delete": func(f *fixture, id string) {
				if answer := f.do("DELETE", "/image/"+id, testkit.User(2), nil); answer.Status != 404 {
					f.t.Errorf("another user: %d %s", answer.Status, answer.Body)
				}
				if answer := f.do("DELETE", "/image/"+id, testkit.User(1), nil); answer.Status != 204 {
					f.t.Errorf("its owner: %d %s", answer.Status, answer.Body)
				}
			},
			"by the next start": func(f *fixture, _ string) { f.mustReconcile(0) },
		} {
			t.Run(at+" "+finish, func(t *testing.T) {
				f := start(t, Config{})
				kept, gone := f.generate(testkit.User(1), nil), f.generate(testkit.User(1), nil)
				f.bucket.breakAt(at)
				if answer := f.do("DELETE", "/image/"+gone, testkit.User(1), nil); answer.Code() != "storage_unavailable" {
					t.Fatalf("%d %s", answer.Status, answer.Body)
				}
				if answer := f.do("GET", "/image/"+gone, testkit.User(1), nil); answer.Status != 404 || f.rows() != 1 {
					t.Errorf("half visible: %d, %d rows", answer.Status, f.rows())
				}
				f.bucket.breakAt("")
				do(f, gone)
				f.mustHold(kept)
			})
		}
	}
}

func TestAnImageDeletedWhileItIsMadeIsGone(t *testing.T) {
	for name, erase := range map[string]func(f *fixture, id string) error{
		"by its owner": func(f *fixture, id string) error {
			if status := f.do("DELETE", "/image/"+id, testkit.User(1), nil).Status; status != 204 {
				f.t.Errorf("status %d", status)
			}
			return nil
		},
		"with the account": func(f *fixture, _ string) error { return f.module.EraseUser(f.t.Context(), 1) },
	} {
		for outcome, answer := range map[string]http.HandlerFunc{"made": answerBytes("image/png", pngBytes(t)), "failed": answerJSON(500, "")} {
			t.Run(name+" "+outcome, func(t *testing.T) {
				called, release := make(chan struct{}), make(chan struct{})
				var once sync.Once // a failure is tried again
				u := serveUpstream(t, func(w http.ResponseWriter, r *http.Request) {
					once.Do(func() { close(called) })
					<-release
					answer(w, r)
				})
				f := start(t, u.as(typePollinations))
				answers := make(chan testkit.Answer)
				go func() { answers <- f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x"}`) }()
				<-called
				list, err := f.module.service.repository.ListProcessing(t.Context(), "", 10)
				if err != nil || len(list) != 1 {
					t.Fatal(list, err)
				}
				if err := erase(f, list[0]); err != nil {
					t.Fatal(err)
				}
				if f.erasures() != 1 {
					t.Error("a crash now would leave what is written next")
				}
				close(release)
				if got := <-answers; got.Status != 409 || got.Code() != "image_deleted" {
					t.Errorf("%d %s", got.Status, got.Body)
				}
				f.mustHold()
			})
		}
	}
}

func TestErasingAUserLeavesOthers(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		f := startOn(t, Config{}, db, &brittle{Bucket: testkit.Bucket(t, "images")})
		kept := []string{f.generate(testkit.User(2), nil), f.generate(testkit.Nobody, nil), f.generate(testkit.User(11), nil)}
		for range 3 {
			f.generate(testkit.User(1), nil)
			f.clock.Advance(24 * time.Hour)
		}
		f.crash(blank(owner(1), f.clock.Now()), 3, nil) // interrupted
		orphan := blank(owner(1), f.clock.Now())        // only its objects and line are left
		for _, err := range []error{
			f.module.service.ledger.WriteInput(t.Context(), orphan.ID, inputOf(orphan, "")),
			f.module.service.ledger.AppendIndex(t.Context(), owner(1), orphan.ID),
			second(f.bucket.Put(t.Context(), orphan.key(), strings.NewReader("x"), blob.PutOptions{})),
			f.module.service.ledger.AppendIndex(t.Context(), owner(1), kept[0]), // by mistake
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range []string{"delete requests", "original.png", "delete users"} {
			f.bucket.breakAt(at)
			if err := f.module.EraseUser(t.Context(), 1); fault.CodeOf(err) != "storage_unavailable" {
				t.Fatalf("at %s: %v", at, err)
			}
		}
		f.bucket.breakAt("")
		for range 2 {
			if err := f.module.EraseUser(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		f.mustHold(kept...)
		if left := f.objects("users/1/"); len(left) != 0 {
			t.Errorf("left %v", left)
		}
	})
}

// TestARowThatCannotBeReadKeepsNoOtherWaiting: neither its account's erasure nor
// what else a crash interrupted.
func TestARowThatCannotBeReadKeepsNoOtherWaiting(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		f := startOn(t, Config{}, db, &brittle{Bucket: testkit.Bucket(t, "images")})
		var ids []string
		for i := range 3 {
			image := blank(owner(1), f.clock.Now().Add(time.Duration(i)*time.Second))
			f.crash(image, 5, &Record{})
			ids = append(ids, image.ID)
		}
		err := f.db.Write(t.Context(), func(tx *gorm.DB) error {
			return tx.Exec("UPDATE images SET metadata = '{' WHERE id = ?", ids[0]).Error
		})
		if err != nil {
			t.Fatal(err)
		}
		f.mustReconcile(2)
		if err := f.module.EraseUser(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		f.mustHold(ids...)
		if err := f.module.EraseUser(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		f.mustHold()
	})
}

func TestErasingManyGoesInBatches(t *testing.T) {
	f := start(t, Config{})
	for i := range eraseBatch + 7 {
		image := blank(owner(1), f.clock.Now().Add(time.Duration(i)*time.Second))
		image.Status = StatusFailed
		f.crash(image, 2, nil)
	}
	if err := f.module.EraseUser(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	f.mustHold()
	for _, id := range []int64{0, -1} {
		if err := f.module.EraseUser(t.Context(), id); !fault.Is(err, fault.Internal) {
			t.Errorf("user %d: %v", id, err)
		}
	}
}
