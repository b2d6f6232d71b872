package image

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/migrations"
	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
	"llmhist/platform/web"
)

// eachRepository runs the conformance suite on every engine.
func eachRepository(t *testing.T, test func(t *testing.T, r repository)) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) { test(t, &sqlRepository{db: db}) })
}

var at = time.Date(2026, 11, 23, 10, 0, 0, 123_000_000, time.UTC)

func owner(id int64) *int64 { return &id }

// blank is the least an image can be.
func blank(userID *int64, at time.Time) Image {
	return Image{ID: uid.New(at), UserID: userID, Status: StatusProcessing, CreatedAt: at}
}

func mustCreate(t testing.TB, r repository, images ...Image) {
	t.Helper()
	for _, image := range images {
		if err := r.Create(t.Context(), image); err != nil {
			t.Fatal(err)
		}
	}
}

func idsOf(images []Image) []string {
	ids := []string{}
	for _, image := range images {
		ids = append(ids, image.ID)
	}
	return ids
}

func TestRepositoryRoundTrips(t *testing.T) {
	zone := time.FixedZone("east", 5*3600)
	seed := int64(0)
	for name, image := range map[string]Image{
		"zero values": blank(nil, at),
		"everything": {
			ID: uid.New(at), UserID: owner(9), RequestID: "req-1", Prompt: "猫 𝕏 'x' \"y\" % _ \\ \n\t", NegativePrompt: "fog",
			Size: "64x2048", Style: "neon", Seed: &seed, Status: StatusCompleted, Provider: "p", Model: "a/b",
			Key: "requests/x.png", Bucket: "b", Took: 1234 * time.Millisecond, CreatedAt: at, FinishedAt: at.Add(time.Second),
			Media: Media{Width: 64, Height: 2048, Bytes: 1 << 40, SHA256: "ab", SourceContentType: "image/webp"},
		},
		"a failure": {
			ID: uid.New(at), UserID: owner(1), Status: StatusFailed, CreatedAt: at, FinishedAt: at,
			Failure: Failure{Code: "c", Detail: "d"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachRepository(t, func(t *testing.T, r repository) {
				stored := image
				stored.CreatedAt = image.CreatedAt.In(zone)
				mustCreate(t, r, stored)
				found, err := r.Find(t.Context(), image.ID)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(image, found); diff != "" {
					t.Error(diff)
				}
				if found.CreatedAt.Location() != time.UTC {
					t.Errorf("created_at is in %v", found.CreatedAt.Location())
				}
			})
		})
	}
}

func TestRepositoryRefusesWhatIsNotThereOrThereTwice(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		image := blank(owner(1), at)
		mustCreate(t, r, image)
		missing := blank(owner(1), at)
		upper := []byte(image.ID)
		for i, c := range upper {
			if c >= 'a' && c <= 'f' {
				upper[i] = c - 'a' + 'A'
			}
		}
		for name, c := range map[string]struct {
			err  error
			kind fault.Kind
		}{
			"the same id twice is a conflict": {r.Create(t.Context(), image), fault.Conflict},
			"finding nothing":                 {second(r.Find(t.Context(), missing.ID)), fault.NotFound},
			"ids are case-sensitive":          {second(r.Find(t.Context(), string(upper))), fault.NotFound},
			"finishing nothing":               {r.Finish(t.Context(), missing), fault.NotFound},
			"erasing nothing":                 {second(r.BeginErasure(t.Context(), missing.ID)), fault.NotFound},
			"finding no erasure":              {second(r.FindErasure(t.Context(), image.ID)), fault.NotFound},
		} {
			if !fault.Is(c.err, c.kind) {
				t.Errorf("%s: %v", name, c.err)
			}
		}
		if err := r.FinishErasure(t.Context(), missing.ID); err != nil {
			t.Error(err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestRepositoryFinishesOnce(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		image := blank(owner(1), at)
		image.Prompt = "kept"
		mustCreate(t, r, image)
		var won, lost atomic.Int32
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				done := image
				done.Prompt = "not to be changed"
				done.Status, done.Took, done.FinishedAt = StatusCompleted, time.Duration(i)*time.Millisecond, at.Add(time.Second)
				err := r.Finish(t.Context(), done)
				switch {
				case err == nil:
					won.Add(1)
				case fault.CodeOf(err) == "image_finished":
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		found, err := r.Find(t.Context(), image.ID)
		if won.Load() != 1 || lost.Load() != 49 || err != nil || found.Status != StatusCompleted || found.Prompt != "kept" {
			t.Errorf("%d won, %d lost, %+v, %v", won.Load(), lost.Load(), found, err)
		}
	})
}

func TestRepositoryLetsOneOfManyClaimAnImage(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		image := blank(nil, at)
		image.Instance = "one"
		mustCreate(t, r, image)
		var won atomic.Int32
		var winner atomic.Value
		var group sync.WaitGroup
		for i := range 20 {
			by := "server " + string(rune('a'+i))
			group.Go(func() {
				switch err := r.Claim(t.Context(), image, by); {
				case err == nil:
					won.Add(1)
					winner.Store(by)
				case fault.CodeOf(err) != "image_claimed":
					t.Error(err)
				}
			})
		}
		group.Wait()
		found, err := r.Find(t.Context(), image.ID)
		if err != nil || won.Load() != 1 || found.Instance != winner.Load() || found.Status != StatusProcessing {
			t.Fatalf("%d won; %+v, %v", won.Load(), found, err)
		}
		failed := image
		failed.Status, failed.Failure = StatusFailed, Failure{Code: codeInterrupted, Detail: "d"}
		if err := r.Finish(t.Context(), failed); fault.CodeOf(err) != "image_finished" {
			t.Errorf("the first owner still finishes it: %v", err)
		}
		failed.Instance = found.Instance
		if err := r.Finish(t.Context(), failed); err != nil {
			t.Fatal(err)
		}
		if err := r.Claim(t.Context(), found, "one"); fault.CodeOf(err) != "image_claimed" {
			t.Errorf("what is finished is claimed as processing: %v", err)
		}
		if err := r.Claim(t.Context(), failed, "one"); err != nil {
			t.Fatal(err)
		}
		found, err = r.Find(t.Context(), image.ID)
		if err != nil || found.Instance != "one" || found.Status != StatusProcessing || found.Failure != (Failure{}) {
			t.Errorf("%+v, %v", found, err)
		}
		erasure, err := r.BeginErasure(t.Context(), image.ID)
		if err != nil || erasure.Instance != "one" || !erasure.Processing {
			t.Errorf("%+v, %v", erasure, err)
		}
		if err := r.Claim(t.Context(), found, "two"); !fault.Is(err, fault.NotFound) {
			t.Errorf("what is gone is claimed: %v", err)
		}
	})
}

func TestRepositoryListsEachImageOnceNewestFirst(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		want := map[Scope][]string{}
		for i := range 60 { // pairs share a millisecond; steps cross buckets of the counts
			created := at.Add(time.Duration(i/2) * 26 * time.Hour)
			image := blank(owner(1+int64(i%2)), created)
			if i%10 == 9 {
				image.UserID = nil
			}
			mustCreate(t, r, image)
			want[Everyone()] = append(want[Everyone()], image.ID)
			if image.UserID != nil {
				scope := OwnedBy(*image.UserID)
				want[scope] = append(want[scope], image.ID)
			}
		}
		for scope, ids := range want {
			slices.Sort(ids)
			slices.Reverse(ids)
			for _, size := range []int{1, 7, 100} {
				got := []string{}
				for number := 1; ; number++ {
					list, total, err := r.List(t.Context(), scope, "", web.Page{Number: number, Size: size})
					if err != nil || total != int64(len(ids)) || list == nil {
						t.Fatalf("page %d: %d of %d, %v", number, total, len(ids), err)
					}
					if len(list) == 0 {
						break
					}
					got = append(got, idsOf(list)...)
				}
				if diff := cmp.Diff(ids, got); diff != "" {
					t.Errorf("scope %v, pages of %d: %s", scope, size, diff)
				}
			}
		}
		for _, scope := range []Scope{{}, OwnedBy(0), OwnedBy(-1), OwnedBy(3)} {
			list, total, err := r.List(t.Context(), scope, "", web.Page{Number: 1, Size: 10})
			if list == nil || len(list) != 0 || err != nil || scope.number > 0 && total != 0 {
				t.Errorf("scope %v: %d of %d, %v", scope, len(list), total, err)
			}
		}
	})
}

func TestRepositorySearchesPromptsLiterally(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		prompts := []string{"Red FOX at dawn", "100% wool", "under_score", "back\\slash", "ÉTÉ 猫", "it's \"quoted\"", "1000 wool"}
		for i, prompt := range prompts {
			image := blank(owner(int64(1+i%2)), at.Add(time.Duration(i)*time.Second))
			image.Prompt = prompt
			mustCreate(t, r, image)
		}
		for query, want := range map[string][]string{
			"fox": {"Red FOX at dawn"}, "RED f": {"Red FOX at dawn"}, "0%": {"100% wool"}, "r_s": {"under_score"}, `k\s`: {`back\slash`},
			"ÉtÉ": {"ÉTÉ 猫"}, "été": {}, "猫": {"ÉTÉ 猫"}, `'s "q`: {`it's "quoted"`}, "WOOL": {"1000 wool", "100% wool"}, "nothing": {},
		} {
			list, total, err := r.List(t.Context(), Everyone(), query, web.Page{Number: 1, Size: 10})
			got := []string{}
			for _, image := range list {
				got = append(got, image.Prompt)
			}
			if diff := cmp.Diff(want, got); diff != "" || err != nil || total != int64(len(want)) {
				t.Errorf("%q: total %d, %v, %s", query, total, err, diff)
			}
		}
		list, total, err := r.List(t.Context(), OwnedBy(2), "wool", web.Page{Number: 1, Size: 10})
		if len(list) != 1 || total != 1 || err != nil || list[0].Prompt != "100% wool" {
			t.Errorf("another user's prompts are searched: %d, %v", total, err)
		}
		if list, total, err = r.List(t.Context(), Everyone(), "wool", web.Page{Number: 2, Size: 1}); len(list) != 1 || total != 2 || err != nil || list[0].Prompt != "100% wool" {
			t.Errorf("second page: %v of %d, %v", list, total, err)
		}
	})
}

func TestRepositoryErasesInTwoSteps(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		mine, other, done := blank(owner(1), at), blank(nil, at), blank(owner(1), at)
		done.Status = StatusCompleted
		mustCreate(t, r, mine, other, done)
		for range 2 { // the second finds the erasure
			erasure, err := r.BeginErasure(t.Context(), mine.ID)
			if diff := cmp.Diff(Erasure{ID: mine.ID, UserID: owner(1), Processing: true}, erasure); diff != "" || err != nil {
				t.Fatal(diff, err)
			}
		}
		if erasure, err := r.BeginErasure(t.Context(), done.ID); erasure.Processing || err != nil {
			t.Errorf("%+v, %v", erasure, err)
		}
		if err := second(r.Find(t.Context(), mine.ID)); !fault.Is(err, fault.NotFound) {
			t.Errorf("the row is still there: %v", err)
		}
		if found, err := r.FindErasure(t.Context(), mine.ID); err != nil || *found.UserID != 1 {
			t.Errorf("%+v, %v", found, err)
		}
		if err := second(r.BeginErasure(t.Context(), other.ID)); err != nil {
			t.Fatal(err)
		}
		_, total, err := r.List(t.Context(), Everyone(), "", web.Page{Number: 1, Size: 10})
		if total != 0 || err != nil {
			t.Errorf("%d are counted, %v", total, err)
		}
		for scope, want := range map[Scope]int{Everyone(): 3, OwnedBy(1): 2, OwnedBy(2): 0, {}: 0} {
			if list, err := r.ListErasures(t.Context(), scope, "", 10); len(list) != want || err != nil {
				t.Errorf("scope %v: %d, %v", scope, len(list), err)
			}
		}
		first, _ := r.ListErasures(t.Context(), Everyone(), "", 1)
		rest, err := r.ListErasures(t.Context(), Everyone(), first[0].ID, 10)
		if len(rest) != 2 || err != nil || slices.ContainsFunc(rest, func(e Erasure) bool { return e.ID == first[0].ID }) {
			t.Errorf("%v, %v", rest, err)
		}
		if err := r.FinishErasure(t.Context(), mine.ID); err != nil {
			t.Fatal(err)
		}
		if err := second(r.BeginErasure(t.Context(), mine.ID)); !fault.Is(err, fault.NotFound) {
			t.Errorf("erased for good is %v", err)
		}
	})
}

func TestRepositoryErasesOnceAmongMany(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		image := blank(owner(1), at)
		mustCreate(t, r, image, blank(owner(1), at))
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if err := second(r.BeginErasure(t.Context(), image.ID)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if _, total, err := r.List(t.Context(), OwnedBy(1), "", web.Page{Number: 1, Size: 10}); total != 1 || err != nil {
			t.Errorf("%d are counted, %v", total, err)
		}
	})
}

func TestRepositoryListsProcessingInOrder(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		var want []string
		for i := range 6 {
			image := blank(nil, at.Add(time.Duration(i)*time.Second))
			if i%2 == 0 {
				want = append(want, image.ID)
			} else {
				image.Status = StatusFailed
			}
			mustCreate(t, r, image)
		}
		first, err := r.ListProcessing(t.Context(), "", 2)
		rest, restErr := r.ListProcessing(t.Context(), first[1], 2)
		if diff := cmp.Diff(want, append(first, rest...)); diff != "" || err != nil || restErr != nil {
			t.Error(diff, err, restErr)
		}
	})
}

func TestRepositoryCountsUnderConcurrentWrites(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				image := blank(owner(int64(i%3+1)), at)
				if err := r.Create(t.Context(), image); err != nil {
					t.Error(err)
				} else if i%5 == 0 {
					if err := second(r.BeginErasure(t.Context(), image.ID)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		sum := int64(0)
		for user := range int64(3) {
			_, total, err := r.List(t.Context(), OwnedBy(user+1), "", web.Page{Number: 1, Size: 1})
			if err != nil {
				t.Fatal(err)
			}
			sum += total
		}
		if _, total, err := r.List(t.Context(), Everyone(), "", web.Page{Number: 1, Size: 1}); total != 40 || sum != 40 || err != nil {
			t.Errorf("%d in all, %d of users, %v", total, sum, err)
		}
	})
}

func TestRepositoryWritesNothingForACallerWhoIsGone(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		kept, never := blank(owner(1), at), blank(owner(1), at)
		mustCreate(t, r, kept)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for name, err := range map[string]error{
			"create": r.Create(gone, never), "finish": r.Finish(gone, Image{ID: kept.ID, Status: StatusFailed}),
			"erase": second(r.BeginErasure(gone, kept.ID)),
		} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
		list, total, err := r.List(t.Context(), Everyone(), "", web.Page{Number: 1, Size: 10})
		if len(list) != 1 || total != 1 || err != nil || list[0].Status != StatusProcessing {
			t.Errorf("%+v, %d, %v", list, total, err)
		}
	})
}

func TestMigrationsApplyTwice(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		if n, err := db.Migrate(t.Context(), migrations.Files); n != 0 || err != nil {
			t.Errorf("%d applied again, %v", n, err)
		}
	})
}
