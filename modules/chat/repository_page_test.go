package chat

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"llmhist/platform/testkit"
)

// leaveGap takes two positions of the session that no message gets, as a crash
// does in a document database, and as what was brought along from there has.
func leaveGap(t testing.TB, r repository, s session) {
	t.Helper()
	switch r := r.(type) {
	case gormRepository:
		query := "UPDATE chat_sessions SET last_position = last_position + 2 WHERE id = '" + s.ID + "'"
		_, err := r.db.Handle().ExecContext(t.Context(), query)
		must(t, err)
	case mongoRepository:
		must(t, r.db.Do(t.Context(), func(ctx context.Context) error {
			_, err := r.sessions().UpdateOne(ctx, bson.M{"_id": s.ID}, bson.M{"$inc": bson.M{"last_position": int64(2)}})
			return err
		}))
	default:
		t.Fatalf("how does a gap come into %T?", r)
	}
}

// sessionWithGaps stores exchanges with as many gaps before each as listed, and
// after the last.
func sessionWithGaps(t testing.TB, r repository, gaps ...int) session {
	t.Helper()
	s := newSession(1, epoch)
	must(t, r.CreateSession(t.Context(), s))
	for i, before := range gaps {
		for range before {
			leaveGap(t, r, s)
		}
		if i < len(gaps)-1 {
			must(t, r.BeginExchange(t.Context(), begin(s, fmt.Sprintf("question %d", i), epoch.Add(time.Duration(i)*time.Second))))
		}
	}
	return s
}

func TestAPageOfMessagesIsCountedInMessagesNotInPositions(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		for name, gaps := range map[string][]int{
			"without gaps":          {0, 0, 0, 0, 0, 0, 0},
			"a gap at the end":      {0, 0, 0, 0, 0, 0, 1},
			"gaps in the middle":    {0, 0, 2, 0, 1, 0, 0},
			"gaps at the beginning": {3, 0, 0, 0, 0, 0, 0},
			"gaps everywhere":       {1, 2, 1, 0, 3, 1, 2},
			"no messages":           {2},
		} {
			t.Run(name, func(t *testing.T) {
				s := sessionWithGaps(t, r, gaps...)
				all := allMessages(t, r, s)
				if len(all) != 2*(len(gaps)-1) {
					t.Fatalf("%d messages", len(all))
				}
				for offset := range len(all) + 3 {
					for limit := 1; limit <= 5; limit++ {
						got, err := r.ListMessages(t.Context(), 1, s.ID, messagePart{Offset: offset, Limit: limit})
						must(t, err)
						want := all[min(offset, len(all)):min(offset+limit, len(all))]
						if diff := cmp.Diff(want, got); diff != "" || got == nil {
							t.Fatalf("%d after %d: %s", limit, offset, diff)
						}
					}
				}
			})
		}
	})
}

func TestAPageFarBackPassesOverNoMessages(t *testing.T) {
	r := gormRepository{testkit.SQLite(t)}
	for name, test := range map[string]struct {
		gaps []int
		want messagePart
	}{
		"positions are dense": {[]int{0, 0, 0, 0, 0, 0}, messagePart{Before: 4, Offset: 0, Limit: 2}},
		"as many as gaps":     {[]int{0, 0, 0, 1, 0, 0}, messagePart{Before: 6, Offset: 2, Limit: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			s := sessionWithGaps(t, r, test.gaps...)
			got, err := r.sought(t.Context(), 1, s.ID, messagePart{Offset: 7, Limit: 2})
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// A page far back must be found in an index alone: no session that is passed
// over is read.
func TestSessionsArePagedByAnIndexThatCovers(t *testing.T) {
	db := testkit.SQLite(t)
	for _, order := range []string{lastChangedFirst, firstChangedFirst} {
		var plan []struct{ Detail string }
		err := db.Read(t.Context()).Raw("EXPLAIN QUERY PLAN SELECT id FROM chat_sessions WHERE user_id = 1 ORDER BY " + order + " LIMIT 10 OFFSET 1000").Scan(&plan).Error
		if err != nil || len(plan) != 1 || !strings.Contains(plan[0].Detail, "USING COVERING INDEX chat_sessions_by_user") {
			t.Errorf("%s: %+v, %v", order, plan, err)
		}
	}
}
