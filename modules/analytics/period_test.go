package analytics

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/fault"
)

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestPeriodsAreWholeHoursOrNamedAsWrong(t *testing.T) {
	now := moment(t, "2026-11-23T10:20:30Z")
	for _, c := range []struct {
		name, from, to     string
		wantFrom, wantTo   string
		wantField, wantErr string
	}{
		{name: "the last 30 days", wantFrom: "2026-10-24T10:00:00Z", wantTo: "2026-11-23T11:00:00Z"},
		{name: "widened", from: "2026-01-01T00:59:59.999Z", to: "2026-01-01T01:00:00.001Z", wantFrom: "2026-01-01T00:00:00Z", wantTo: "2026-01-01T02:00:00Z"},
		{name: "whole hours stay", from: "2026-01-01T00:00:00Z", to: "2026-01-01T01:00:00Z", wantFrom: "2026-01-01T00:00:00Z", wantTo: "2026-01-01T01:00:00Z"},
		{name: "only to", to: "2026-03-01T00:00:00Z", wantFrom: "2026-01-30T00:00:00Z", wantTo: "2026-03-01T00:00:00Z"},
		{name: "other zones", from: "2026-01-01T05:45:00+05:45", to: "2026-01-01T06:00:00+05:45", wantFrom: "2026-01-01T00:00:00Z", wantTo: "2026-01-01T01:00:00Z"},
		{name: "400 days", from: "2025-01-01T00:00:00Z", to: "2026-02-05T00:00:00Z", wantFrom: "2025-01-01T00:00:00Z", wantTo: "2026-02-05T00:00:00Z"},
		{name: "longer", from: "2025-01-01T00:00:00Z", to: "2026-02-05T00:00:01Z", wantField: "from", wantErr: "period_too_long"},
		{name: "backwards", from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z", wantField: "from", wantErr: "out_of_range"},
		{name: "empty", from: "2026-01-01T00:30:00Z", to: "2026-01-01T00:30:00Z", wantField: "from", wantErr: "out_of_range"},
		{name: "from in the future", from: "2027-01-01T00:00:00Z", wantField: "from", wantErr: "out_of_range"},
		{name: "before counting began", from: "0000-01-01T00:00:00Z", wantField: "from", wantErr: "out_of_range"},
		{name: "the end of time", to: "9999-12-31T23:59:59Z", wantField: "to", wantErr: "out_of_range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var fields fault.Fields
			p := periodOf(optional(t, c.from), optional(t, c.to), now, &fields)
			if c.wantErr != "" {
				checkField(t, fields.Err(), c.wantField, c.wantErr)
				return
			}
			if err := fields.Err(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Period{moment(t, c.wantFrom), moment(t, c.wantTo)}, p); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func optional(t testing.TB, text string) *time.Time {
	if text == "" {
		return nil
	}
	at := moment(t, text)
	return &at
}

func checkField(t testing.TB, err error, field, code string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Fields) != 1 || f.Fields[0].Field != field || f.Fields[0].Code != code {
		t.Errorf("got %v, want %s: %s", err, field, code)
	}
}

func TestBucketsFollowTheUTCCalendar(t *testing.T) {
	for _, c := range []struct {
		name     string
		bucket   Bucket
		from, to string
		want     []string
	}{
		{"weeks start on Monday across the year's end", BucketWeek, "2025-12-31T10:00:00Z", "2026-01-12T01:00:00Z", []string{"2025-12-29", "2026-01-05", "2026-01-12"}},
		{"a Sunday belongs to the week before", BucketWeek, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", []string{"2026-02-23"}},
		{"a Monday begins its week", BucketWeek, "2026-03-02T00:00:00Z", "2026-03-02T01:00:00Z", []string{"2026-03-02"}},
		{"week 53", BucketWeek, "2021-01-01T00:00:00Z", "2021-01-05T00:00:00Z", []string{"2020-12-28", "2021-01-04"}},
		{"months of every length across the year's end", BucketMonth, "2023-12-31T23:00:00Z", "2024-03-01T00:00:00Z", []string{"2023-12-01", "2024-01-01", "2024-02-01"}},
		{"the end is not in", BucketMonth, "2024-01-31T00:00:00Z", "2024-03-01T01:00:00Z", []string{"2024-01-01", "2024-02-01", "2024-03-01"}},
		{"days over a leap day", BucketDay, "2024-02-28T23:00:00Z", "2024-03-01T01:00:00Z", []string{"2024-02-28", "2024-02-29", "2024-03-01"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			starts, err := c.bucket.starts(Period{moment(t, c.from), moment(t, c.to)})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range starts {
				if s.Location() != time.UTC || s.Hour() != 0 {
					t.Errorf("%v is not a UTC midnight", s)
				}
				got = append(got, s.Format(time.DateOnly))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryUTCDayHas24Hours(t *testing.T) {
	// The last Sundays of March and October change the clocks of many places.
	for _, from := range []string{"2026-03-29T00:00:00Z", "2026-10-25T00:00:00Z"} {
		p := Period{moment(t, from), moment(t, from).Add(24 * time.Hour)}
		hours, err := BucketHour.starts(p)
		if err != nil || len(hours) != 24 {
			t.Errorf("%s: %d hours, %v", from, len(hours), err)
		}
		for _, hour := range hours {
			if !BucketDay.start(hour).Equal(p.From) {
				t.Errorf("%v falls into the day %v", hour, BucketDay.start(hour))
			}
		}
	}
}

func TestTooManyPointsAreRefused(t *testing.T) {
	from := moment(t, "2026-01-01T00:00:00Z")
	if starts, err := BucketHour.starts(Period{from, from.Add(maxPoints * time.Hour)}); err != nil || len(starts) != maxPoints {
		t.Errorf("%d points, %v", len(starts), err)
	}
	_, err := BucketHour.starts(Period{from, from.Add((maxPoints + 1) * time.Hour)})
	checkField(t, err, "bucket", "too_many_points")
}
