package speech

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/audio"
	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

var testTime = time.Date(2026, 11, 23, 10, 0, 0, 123_000_000, time.UTC)

func owner(id int64) *int64 { return &id }

// newConversion returns a conversion that is processing.
func newConversion(at time.Time, user *int64) Conversion {
	return Conversion{
		ID: uid.New(at), UserID: user, Text: "Good morning.", Language: "en", Provider: "local", Model: "local/flite",
		Speed: 1, Format: audio.WAV, Status: StatusProcessing, Bucket: "speech", RequestID: "request-1",
		CreatedAt: at, UpdatedAt: at,
	}
}

func eachRepository(t *testing.T, test func(t *testing.T, repo Repository)) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) { test(t, newGORMRepository(db)) })
}

func mustCreate(t *testing.T, repo Repository, list ...Conversion) {
	t.Helper()
	for _, c := range list {
		if err := repo.Create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRepositoryRoundTrip(t *testing.T) {
	full := newConversion(testTime, owner(7))
	full.Text, full.Voice, full.Speed, full.Language = "100 % \"läuft\" _ 'gut' \\ 🎧\n\tzwei", "slt", 0.25, "zh-CN"
	completed := newConversion(testTime, owner(7))
	completed.Status, completed.Format, completed.Duration, completed.Size = StatusCompleted, audio.MP3, 3517*time.Millisecond, 28160
	completed.Latency, completed.StatusCode, completed.CostUSD = 450*time.Millisecond, 200, 0.25
	failed := newConversion(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), nil)
	failed.Status, failed.Failure = StatusFailed, &Failure{Code: "provider_timeout", Detail: "It took too long."}
	eachRepository(t, func(t *testing.T, repo Repository) {
		for name, want := range map[string]Conversion{
			"zero values": newConversion(testTime, nil), "every value": full, "completed": completed, "failed": failed,
		} {
			mustCreate(t, repo, want)
			got, err := repo.Find(t.Context(), want.ID)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
			}
		}
	})
}

func TestRepositoryRefusesATakenID(t *testing.T) {
	eachRepository(t, func(t *testing.T, repo Repository) {
		c := newConversion(testTime, nil)
		mustCreate(t, repo, c)
		if err := repo.Create(t.Context(), c); !fault.Is(err, fault.Conflict) {
			t.Fatalf("second create: %v", err)
		}
	})
}

func TestRepositoryDoesNotFindWhatIsAbsent(t *testing.T) {
	eachRepository(t, func(t *testing.T, repo Repository) {
		absent := newConversion(testTime, nil)
		_, find := repo.Find(t.Context(), absent.ID)
		for name, err := range map[string]error{
			"find": find, "erase": errorOf(repo.BeginErasure(t.Context(), absent.ID)), "find erasure": errorOf(repo.FindErasure(t.Context(), absent.ID)), "finish": repo.Finish(t.Context(), absent),
		} {
			if !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		mustCreate(t, repo, absent)
		if _, err := repo.BeginErasure(t.Context(), absent.ID); err != nil {
			t.Error(err)
		}
		if _, err := repo.Find(t.Context(), absent.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("find after it was erased: %v", err)
		}
	})
}

func errorOf(_ Erasure, err error) error { return err }

func TestRepositoryErasesInOneStepAndRemembersUntilTheEnd(t *testing.T) {
	eachRepository(t, func(t *testing.T, repo Repository) {
		first, second := newConversion(testTime, owner(1)), newConversion(testTime.Add(time.Second), nil)
		for _, c := range []Conversion{first, second} {
			mustCreate(t, repo, c)
		}
		second.Status, second.Failure = StatusFailed, &Failure{Code: "x"}
		if err := repo.Finish(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		want := []Erasure{{ID: first.ID, UserID: owner(1), Processing: true}, {ID: second.ID}}
		for range 2 { // the second time it stands already
			for _, erasure := range want {
				got, err := repo.BeginErasure(t.Context(), erasure.ID)
				if diff := cmp.Diff(erasure, got); diff != "" || err != nil {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
				found, err := repo.FindErasure(t.Context(), erasure.ID)
				if diff := cmp.Diff(erasure, found); diff != "" || err != nil {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
			}
		}
		if err := repo.Finish(t.Context(), first); !fault.Is(err, fault.NotFound) {
			t.Errorf("finish after it was erased: %v", err)
		}
		for name, list := range map[string]struct {
			filter Filter
			after  string
			limit  int
			want   []Erasure
		}{
			"everyone's":   {Filter{Everyone: true}, "", 10, want},
			"the first":    {Filter{Everyone: true}, "", 1, want[:1]},
			"the rest":     {Filter{Everyone: true}, first.ID, 10, want[1:]},
			"one user's":   {Filter{UserID: 1}, "", 10, want[:1]},
			"nobody's":     {Filter{}, "", 10, []Erasure{}},
			"a stranger's": {Filter{UserID: 2}, "", 10, []Erasure{}},
		} {
			got, err := repo.ListErasures(t.Context(), list.filter, list.after, list.limit)
			if diff := cmp.Diff(list.want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
			}
		}
		for range 2 {
			if err := repo.FinishErasure(t.Context(), first.ID); err != nil {
				t.Error(err)
			}
		}
		if _, err := repo.BeginErasure(t.Context(), first.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestRepositoryListsNewestFirstAndOnlyWhatIsChosen(t *testing.T) {
	eachRepository(t, func(t *testing.T, repo Repository) {
		want := map[int64][]string{}
		for i := range 25 {
			user := int64(1 + i%2)
			// five of each moment, so that the id decides among them
			c := newConversion(testTime.Add(time.Duration(i/5)*time.Millisecond), owner(user))
			mustCreate(t, repo, c)
			want[user] = append(want[user], c.ID)
		}
		anonymous := newConversion(testTime.Add(time.Hour), nil)
		mustCreate(t, repo, anonymous)

		everyone := pages(t, repo, Filter{Everyone: true}, 26)
		if everyone[0] != anonymous.ID {
			t.Error("the newest is not first")
		}
		own := pages(t, repo, Filter{UserID: 1}, 13)
		seen := map[string]bool{}
		for _, id := range own {
			seen[id] = true
		}
		for _, id := range want[1] {
			if !seen[id] {
				t.Errorf("user 1 misses %s", id)
			}
		}
		for _, nobody := range []Filter{{}, {UserID: 3}} {
			list, total, err := repo.List(t.Context(), nobody, 10, 0)
			if err != nil || list == nil || len(list) != 0 || total != 0 {
				t.Errorf("%+v: %v, %d, %v", nobody, list, total, err)
			}
		}
	})
}

// pages reads every page of three and returns the ids, after checking order,
// totals and that none comes twice.
func pages(t *testing.T, repo Repository, filter Filter, want int) []string {
	t.Helper()
	var ids []string
	var last Conversion
	for offset := 0; ; offset += 3 {
		list, total, err := repo.List(t.Context(), filter, 3, offset)
		if err != nil || total != int64(want) {
			t.Fatalf("offset %d: total %d, %v", offset, total, err)
		}
		if len(list) == 0 {
			break
		}
		for _, c := range list {
			later := last.ID == "" || c.CreatedAt.Before(last.CreatedAt) || c.CreatedAt.Equal(last.CreatedAt) && c.ID < last.ID
			if !later {
				t.Fatalf("%s at %v after %s at %v", c.ID, c.CreatedAt, last.ID, last.CreatedAt)
			}
			ids, last = append(ids, c.ID), c
		}
	}
	if len(ids) != want {
		t.Fatalf("%d entries on all pages, want %d", len(ids), want)
	}
	return ids
}

func TestRepositorySearchesTextLiterally(t *testing.T) {
	eachRepository(t, func(t *testing.T, repo Repository) {
		for i, text := range []string{`100% sure`, `1000 sure`, `snake_case`, `snakeXcase`, `back\slash`, `Grüße 🎧`} {
			c := newConversion(testTime.Add(time.Duration(i)*time.Second), owner(1))
			c.Text = text
			mustCreate(t, repo, c)
		}
		for search, want := range map[string]int64{
			`100%`: 1, `_case`: 1, `\s`: 1, `SURE`: 2, `🎧`: 1, `nothing`: 0, `'; DROP TABLE`: 0, ``: 6,
		} {
			_, total, err := repo.List(t.Context(), Filter{UserID: 1, Text: search}, 10, 0)
			if err != nil || total != want {
				t.Errorf("%q: %d (%v), want %d", search, total, err, want)
			}
		}
	})
}

func TestRepositoryFinishesOnce(t *testing.T) {
	eachRepository(t, func(t *testing.T, repo Repository) {
		c := newConversion(testTime, owner(1))
		mustCreate(t, repo, c)
		c.Status, c.Model, c.Voice, c.Provider = StatusCompleted, "gtts", "co.uk", "gtts"
		c.Duration, c.Size, c.Format, c.StatusCode = time.Second, 9, audio.MP3, 200
		c.UpdatedAt = testTime.Add(time.Minute)
		var mu sync.Mutex
		var wg sync.WaitGroup
		won, lost := 0, 0
		for range 20 {
			wg.Go(func() {
				err := repo.Finish(t.Context(), c)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case fault.CodeOf(err) == "already_finished":
					lost++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 || lost != 19 {
			t.Fatalf("%d finished, %d came too late", won, lost)
		}
		got, err := repo.Find(t.Context(), c.ID)
		if diff := cmp.Diff(c, got); err != nil || diff != "" {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
}

func TestRepositoryListsTheUnfinished(t *testing.T) {
	eachRepository(t, func(t *testing.T, repo Repository) {
		var want []string
		for i := range 7 {
			c := newConversion(testTime.Add(time.Duration(i)*time.Second), nil)
			mustCreate(t, repo, c)
			if i%3 != 0 {
				want = append(want, c.ID)
				continue
			}
			c.Status = StatusFailed
			if err := repo.Finish(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			list, err := repo.ListUnfinished(t.Context(), after, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				break
			}
			got = append(got, list...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestRepositoryWritesNothingForAContextThatEnded(t *testing.T) {
	eachRepository(t, func(t *testing.T, repo Repository) {
		kept, never := newConversion(testTime, nil), newConversion(testTime, nil)
		mustCreate(t, repo, kept)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		done := kept
		done.Status = StatusFailed
		for name, err := range map[string]error{
			"create": repo.Create(ended, never), "finish": repo.Finish(ended, done), "erase": errorOf(repo.BeginErasure(ended, kept.ID)),
		} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
		list, total, err := repo.List(t.Context(), Filter{Everyone: true}, 10, 0)
		if err != nil || total != 1 || list[0].Status != StatusProcessing {
			t.Errorf("after all: %d, %v, %v", total, list, err)
		}
	})
}

// A page far back must be found in an index alone: no row that is skipped is
// read.
func TestRepositoryPagesByAnIndexThatCovers(t *testing.T) {
	db := testkit.SQLite(t)
	for where, index := range map[string]string{"": "tts_conversions_created_at", "WHERE user_id = 1": "tts_conversions_user_id"} {
		var plan string
		query := fmt.Sprintf("EXPLAIN QUERY PLAN SELECT id FROM tts_conversions %s ORDER BY %s LIMIT 10 OFFSET 1000", where, newestFirst)
		rows, err := db.Handle().QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan += detail + "; "
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if want := "USING COVERING INDEX " + index; !containsOnly(plan, want) {
			t.Errorf("plan %q, want one step %q", plan, want)
		}
	}
}

// containsOnly reports whether a plan has one step, and that it is like want.
func containsOnly(plan, want string) bool {
	return strings.Count(plan, ";") == 1 && strings.Contains(plan, want)
}
