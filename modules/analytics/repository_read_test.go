package analytics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func timeZones(t *testing.T, r Repository, _ store) {
	// 00:15 of the 14th in UTC+5:45 is 18:30 of the 13th in UTC.
	kathmandu := time.Date(2026, 3, 14, 0, 15, 0, 0, time.FixedZone("NPT", 5*3600+45*60))
	mustAppend(t, r, eventAt(kathmandu))
	hour := time.Date(2026, 3, 13, 18, 0, 0, 0, time.UTC)
	rollups, err := r.ListRollups(t.Context(), within(day.Add(-24*time.Hour), 48*time.Hour), Group{Step: StepHour})
	if err != nil || len(rollups) != 1 || !rollups[0].Start.Equal(hour) || rollups[0].Start.Location() != time.UTC {
		t.Errorf("got %v, %v", rollups, err)
	}
	zoned := within(hour.In(kathmandu.Location()), time.Hour)
	if got := totals(t, r, zoned); got.Requests != 1 {
		t.Errorf("scope in another zone: %d", got.Requests)
	}
	if deleted, err := r.DeleteEvents(t.Context(), kathmandu.Add(time.Millisecond), 10); err != nil || deleted != 1 {
		t.Errorf("deleted %d, %v", deleted, err)
	}
}

func scopes(t *testing.T, r Repository, _ store) {
	mustAppend(t, r,
		eventAt(day), eventAt(day.Add(time.Hour-time.Millisecond)), eventAt(day.Add(time.Hour)), eventAt(day.Add(-time.Millisecond)),
		eventAt(day, by(2)), eventAt(day, by(0)), eventAt(day, of("image", "local", "local/canvas"), ended(StatusFailed)))
	mustAppend(t, r, eventAt(day.Add(-2*time.Millisecond), by(3)), eventAt(day.Add(-time.Millisecond), by(3)))
	mustAppend(t, r, eventAt(day.Add(-4*time.Millisecond), by(3)), eventAt(day.Add(-3*time.Millisecond), by(3))) // late, but earlier
	hour := within(day, time.Hour)
	image := hour
	image.Service = "image"
	for _, c := range []struct {
		name   string
		scope  Scope
		want   int64
		failed int64
	}{
		{"the start is in, the end is not", hour, 5, 1},
		{"one user", ofUser(hour, 1), 3, 1},
		{"another user", ofUser(hour, 2), 1, 0},
		{"anonymous callers", ofUser(hour, 0), 1, 0},
		{"an unknown user", ofUser(hour, 99), 0, 0},
		{"one service", image, 1, 1},
		{"one service of another user", ofUser(image, 2), 0, 0},
		{"an empty scope", Scope{}, 0, 0},
	} {
		got := totals(t, r, c.scope)
		if got.Requests != c.want || got.Failed != c.failed {
			t.Errorf("%s: %d requests, %d failed", c.name, got.Requests, got.Failed)
		}
		if n := count(histogram(t, r, c.scope)); n != c.want-c.failed {
			t.Errorf("%s: %d latencies", c.name, n)
		}
	}
	if n, err := r.CountUsers(t.Context(), hour); err != nil || n != 2 {
		t.Errorf("%d active users, %v", n, err)
	}
	first, last, err := r.FindSpan(t.Context(), ofUser(within(day.Add(-time.Hour), 3*time.Hour), 1))
	if err != nil || !first.Equal(day.Add(-time.Millisecond)) || !last.Equal(day.Add(time.Hour)) {
		t.Errorf("span %v to %v, %v", first, last, err)
	}
	first, last, err = r.FindSpan(t.Context(), ofUser(within(day.Add(-time.Hour), time.Hour), 3))
	if err != nil || !first.Equal(day.Add(-4*time.Millisecond)) || !last.Equal(day.Add(-time.Millisecond)) {
		t.Errorf("span of late events %v to %v, %v", first, last, err)
	}
}

func groups(t *testing.T, r Repository, _ store) {
	mustAppend(t, r,
		eventAt(day.Add(25*time.Hour), of("image", "b", "z")), eventAt(day.Add(25*time.Hour), of("image", "b", "Z")),
		eventAt(day.Add(23*time.Hour), of("chat", "b", "z")), eventAt(day, of("chat", "b", "z"), by(2)), eventAt(day, of("chat", "a", "z")))
	scope := within(day, 48*time.Hour)
	for _, c := range []struct {
		group Group
		want  string
	}{
		{Group{}, "-/// 5"},
		{Group{Step: StepDay}, "14/// 3, 15/// 2"},
		{Group{Service: true}, "-/chat// 3, -/image// 2"},
		{Group{Model: true}, "-//a/z 1, -//b/Z 1, -//b/z 3"},
		{Group{Step: StepDay, Service: true, Model: true}, "14/chat/a/z 1, 14/chat/b/z 2, 15/image/b/Z 1, 15/image/b/z 1"},
	} {
		rollups, err := r.ListRollups(t.Context(), scope, c.group)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, g := range rollups {
			start := "-"
			if !g.Start.IsZero() {
				start = g.Start.Format("02")
			}
			list = append(list, fmt.Sprintf("%s/%s/%s/%s %d", start, g.Service, g.Provider, g.Model, g.Requests))
		}
		if got := strings.Join(list, ", "); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.group, got, c.want)
		}
	}
	latencies, err := r.ListLatencies(t.Context(), scope, Group{Service: true, Model: true})
	if err != nil || len(latencies) != 4 || latencies[1].Provider != "b" || count(latencies[1].Latencies) != 2 {
		t.Errorf("latencies %v, %v", latencies, err)
	}
}

func topUsers(t *testing.T, r Repository, _ store) {
	var events []Event
	for user, n := range map[int64]int{0: 9, 1: 2, 2: 5, 3: 2, 4: 1} {
		for range n {
			events = append(events, eventAt(day, by(user)))
		}
	}
	mustAppend(t, r, events...)
	users, err := r.ListTopUsers(t.Context(), within(day, time.Hour), 3)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, u := range users {
		ids = append(ids, u.UserID)
	}
	if diff := cmp.Diff([]int64{2, 1, 3}, ids); diff != "" || users[0].Requests != 5 || users[0].CostNanoUSD != 250 {
		t.Errorf("users %+v", users)
	}
}
