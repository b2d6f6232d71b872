package analytics

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// naive answers every question by looking through all events.
type naive []Event

func userOf(e *Event) int64 {
	if e.UserID == nil {
		return AnonymousUser
	}
	return *e.UserID
}

func (n naive) in(scope Scope) naive {
	var list naive
	for i := range n {
		e := &n[i]
		outside := e.At.Before(scope.From) || !e.At.Before(scope.To)
		if outside || scope.UserID != nil && userOf(e) != *scope.UserID || scope.Service != "" && e.Service != scope.Service {
			continue
		}
		list = append(list, *e)
	}
	return list
}

func (n naive) rollups(scope Scope, group Group) []Rollup {
	var list []Rollup
	for _, e := range n.in(scope) {
		r := Rollup{Figures: e.figures()}
		switch group.Step {
		case StepHour:
			r.Start = e.At.Truncate(time.Hour)
		case StepDay:
			r.Start = e.At.Truncate(24 * time.Hour)
		}
		if group.Service {
			r.Service = e.Service
		}
		if group.Model {
			r.Provider, r.Model = e.Provider, e.Model
		}
		list = append(list, r)
	}
	return fold(list, func(r Rollup) Rollup { r.Figures = Figures{}; return r })
}

func (n naive) latencies(scope Scope, group Group) []LatencyRollup {
	groups := map[Rollup]Histogram{}
	for _, e := range n.in(scope) {
		if e.Status != StatusOK {
			continue
		}
		var key Rollup
		if group.Service {
			key.Service = e.Service
		}
		if group.Model {
			key.Provider, key.Model = e.Provider, e.Model
		}
		histogram := groups[key]
		histogram[latencyBucket(e.LatencyMS)]++
		groups[key] = histogram
	}
	list := []LatencyRollup{}
	for key, histogram := range groups {
		list = append(list, LatencyRollup{key.Service, key.Provider, key.Model, histogram})
	}
	slices.SortFunc(list, func(a, b LatencyRollup) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	return list
}

func (n naive) users(scope Scope) []UserRollup {
	sums := map[int64]Figures{}
	for _, e := range n.in(scope) {
		if user := userOf(&e); user > 0 {
			figures := sums[user]
			figures.Add(e.figures())
			sums[user] = figures
		}
	}
	list := []UserRollup{}
	for user, figures := range sums {
		list = append(list, UserRollup{user, figures})
	}
	slices.SortFunc(list, func(a, b UserRollup) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.UserID, b.UserID))
	})
	return list
}

func (n naive) span(scope Scope) (first, last time.Time) {
	for _, e := range n.in(scope) {
		if first.IsZero() || e.At.Before(first) {
			first = e.At
		}
		if e.At.After(last) {
			last = e.At
		}
	}
	return first, last
}

// erase does to the events what DetachUser does.
func (n naive) erase(user int64) {
	erased := ErasedUser
	for i := range n {
		if userOf(&n[i]) == user {
			n[i].UserID = &erased
		}
	}
}

// compare asks every question about a scope and holds the answers against those
// of the events.
func (n naive) compare(t *testing.T, r Repository, scope Scope, group Group) {
	t.Helper()
	ctx := t.Context()
	name := fmt.Sprintf("%s to %s, service %q, %+v", scope.From.Format("01-02T15"), scope.To.Format("01-02T15"), scope.Service, group)
	if scope.UserID != nil {
		name += fmt.Sprintf(", user %d", *scope.UserID)
	}
	same := func(what string, want, got any, err error) {
		t.Helper()
		if diff := gocmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %s (-events +sums): %v\n%.1500s", name, what, err, diff)
		}
	}
	rollups, err := r.ListRollups(ctx, scope, group)
	same("rollups", n.rollups(scope, group), rollups, err)
	latencies, err := r.ListLatencies(ctx, scope, group)
	same("latencies", n.latencies(scope, group), latencies, err)
	all := n.users(scope)
	for _, limit := range []int{0, 1, 3, 1000} {
		users, err := r.ListTopUsers(ctx, scope, limit)
		same(fmt.Sprintf("top %d users", limit), all[:min(limit, len(all))], users, err)
	}
	count, err := r.CountUsers(ctx, scope)
	same("count of users", int64(len(all)), count, err)
	first, last, err := r.FindSpan(ctx, scope)
	wantFirst, wantLast := n.span(scope)
	same("span", [2]time.Time{wantFirst, wantLast}, [2]time.Time{first, last}, err)
}

// The events of these tests are within 100 days around the turns of four months.
var (
	naiveFrom = time.Date(2027, 12, 20, 0, 0, 0, 0, time.UTC)
	naiveDays = 100
)

// randomEvents makes events of a few users, models and hours, many of them at
// the very edges of hours, days and months.
func randomEvents(random *rand.Rand, count int) naive {
	events := make(naive, count)
	for i := range events {
		at := naiveFrom.Add(time.Duration(random.IntN(naiveDays*24*3600_000)) * time.Millisecond)
		switch random.IntN(6) {
		case 0:
			at = BucketMonth.start(at)
		case 1:
			at = BucketMonth.next(BucketMonth.start(at)).Add(-time.Millisecond)
		case 2:
			at = BucketDay.start(at)
		case 3:
			at = BucketHour.start(at).Add(-time.Millisecond)
		}
		model := random.IntN(3)
		events[i] = eventAt(at, by(int64(random.IntN(7))), of([]string{"chat", "chat", "image"}[model], "p", fmt.Sprintf("m%d", random.IntN(3))),
			func(e *Event) {
				e.LatencyMS = int64(random.IntN(1 << random.IntN(21)))
				e.InputTokens = int64(random.IntN(1000))
				if random.IntN(5) == 0 {
					e.Status, e.TTFTMS = StatusFailed, nil
				}
			})
	}
	return events
}

// randomScope takes a window of whole hours: exact days and months, parts of
// them, and such that are longer than all events.
func randomScope(random *rand.Rand) Scope {
	edge := func() time.Time {
		at := naiveFrom.Add(time.Duration(random.IntN((naiveDays+40)*24)-20*24) * time.Hour)
		switch random.IntN(4) {
		case 0:
			return BucketMonth.start(at)
		case 1:
			return BucketDay.start(at)
		}
		return at
	}
	scope := Scope{Period: Period{From: edge(), To: edge()}}
	if scope.To.Before(scope.From) {
		scope.From, scope.To = scope.To, scope.From
	}
	if random.IntN(2) == 0 {
		user := int64(random.IntN(9)) - 1
		scope.UserID = &user
	}
	scope.Service = []string{"", "", "chat", "image", "speech"}[random.IntN(5)]
	return scope
}

func randomGroup(random *rand.Rand) Group {
	return Group{Step: Step(random.IntN(3)), Service: random.IntN(2) == 0, Model: random.IntN(2) == 0}
}

// comparedAsEvents appends events in batches, some of them twice and at once,
// erases accounts between them, and compares windows of every kind.
func comparedAsEvents(t *testing.T, r Repository, s store) {
	random := rand.New(rand.NewPCG(7, 11))
	rounds, each, windows := 4, 300, 60
	if s.documents != nil {
		rounds, each, windows = 2, 60, 6 // the tests' server is slow
	}
	var all naive
	for round := range rounds {
		events := randomEvents(random, each)
		all = append(all, events...)
		var wg sync.WaitGroup
		for batch := range slices.Chunk(events, each/4) {
			for range 2 {
				wg.Go(func() { persist(t, func() error { return r.Append(t.Context(), batch) }) })
			}
		}
		wg.Wait()
		settled(t, s)
		if round%2 == 1 {
			for _, user := range []int64{int64(round), int64(round + 1)} {
				persist(t, func() error { return r.DetachUser(t.Context(), user) })
				all.erase(user)
			}
		}
		for range windows {
			all.compare(t, r, randomScope(random), randomGroup(random))
		}
	}
	exact := Scope{Period: Period{From: time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)}}
	all.compare(t, r, exact, Group{Service: true, Model: true})
	all.compare(t, r, Scope{}, Group{})
	if _, err := r.DeleteEvents(t.Context(), latest, 10000); err != nil {
		t.Fatal(err)
	}
	all.compare(t, r, exact, Group{Step: StepDay})
}
