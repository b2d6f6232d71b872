package uid

import (
	"strings"
	"testing"
	"time"
)

func TestTimeFollowsFromTheID(t *testing.T) {
	for _, at := range []string{"1970-01-01T00:00:00Z", "2026-11-23T23:59:59.999Z", "2099-02-28T12:00:00.5Z"} {
		want, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			t.Fatal(err)
		}
		id := New(want)
		got, ok := Time(id)
		if !ok || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: id %s says %v (%v)", at, id, got, ok)
		}
	}
}

func TestOnlyTheCanonicalSpellingIsValid(t *testing.T) {
	id := New(time.Now())
	if !Valid(id) {
		t.Fatalf("own id %q is not valid", id)
	}
	for _, bad := range []string{
		"", "x", strings.ToUpper(New(time.UnixMilli(0xabcdef012345))), "{" + id + "}", "urn:uuid:" + id,
		strings.ReplaceAll(id, "-", ""), "9f0c1b7e-58a2-4c1e-9d3a-3b9a4a1f2c11", id + "/..",
	} {
		if Valid(bad) {
			t.Errorf("%q must not be valid", bad)
		}
	}
}

func TestIDsOfOneMillisecondDiffer(t *testing.T) {
	at := time.Now()
	seen := map[string]bool{}
	for range 10_000 {
		seen[New(at)] = true
	}
	if len(seen) != 10_000 {
		t.Fatalf("%d distinct ids of 10000", len(seen))
	}
}

func TestABoundPartsTheIDsBeforeATimeFromTheOthers(t *testing.T) {
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	before, after := New(at.Add(-time.Millisecond)), New(at)
	if bound := Bound(at); before >= bound || after <= bound {
		t.Errorf("%s does not part %s from %s", bound, before, after)
	}
}
