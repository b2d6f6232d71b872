package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

func keys(t *testing.T, bucket blob.Bucket) []string {
	t.Helper()
	objects, err := bucket.List(t.Context(), "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, object := range objects {
		list = append(list, object.Key)
	}
	return list
}

func TestTheLayoutFollowsFromTheID(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	ledger := history.New(bucket, "image")
	at := time.Date(2026, 12, 31, 23, 59, 59, 999_000_000, time.UTC)
	id, owner := uid.New(at), int64(42)
	for _, err := range []error{
		ledger.WriteInput(t.Context(), id, map[string]string{"prompt": "a <b> & c"}),
		ledger.WriteRecord(t.Context(), id, map[string]string{"status": "completed"}),
		ledger.AppendIndex(t.Context(), &owner, id),
		ledger.AppendIndex(t.Context(), nil, id),
		ledger.EnsureIndex(t.Context(), &owner, id),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	base := "requests/2026/12/31/" + id
	index := "users/42/image/history/2026/12/31.jsonl"
	if diff := cmp.Diff([]string{base + "/input.json", base + "/record.json", index}, keys(t, bucket)); diff != "" {
		t.Fatal(diff)
	}
	lines, err := blob.ReadAll(t.Context(), bucket, index, 1000)
	want := `{"id":"` + id + `","record":"` + base + `/record.json","created_at":"2026-12-31T23:59:59.999Z"}` + "\n"
	if err != nil || string(lines) != want {
		t.Errorf("index %q %v", lines, err)
	}
	input, err := blob.ReadAll(t.Context(), bucket, base+"/input.json", 1000)
	if err != nil || !strings.Contains(string(input), "a <b> & c") {
		t.Errorf("input %q %v", input, err)
	}
	var record map[string]string
	if err := ledger.ReadRecord(t.Context(), id, &record); err != nil || record["status"] != "completed" {
		t.Errorf("record %v %v", record, err)
	}
}

func TestErasingLeavesTheOthersAndMayBeRepeated(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	ledger := history.New(bucket, "image")
	owner := int64(1)
	kept, gone := uid.New(time.Now()), uid.New(time.Now())
	for _, id := range []string{kept, gone} {
		if err := ledger.WriteRecord(t.Context(), id, struct{}{}); err != nil {
			t.Fatal(err)
		}
		if err := ledger.AppendIndex(t.Context(), &owner, id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := bucket.Put(t.Context(), history.MediaKey(gone, "image/original.png"), strings.NewReader("x"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	before := keys(t, bucket)
	for range 2 {
		if err := ledger.Erase(t.Context(), &owner, gone, "image/original.png"); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range keys(t, bucket) {
		if strings.Contains(key, gone) {
			t.Errorf("left behind: %s", key)
		}
	}
	at, _ := uid.Time(kept)
	lines, err := blob.ReadAll(t.Context(), bucket, ledger.IndexKey(owner, at), 1000)
	if err != nil || strings.Count(string(lines), "\n") != 1 || !strings.Contains(string(lines), kept) {
		t.Errorf("index after erasing: %q %v (before: %v)", lines, err, before)
	}
	if err := ledger.ReadRecord(t.Context(), gone, &struct{}{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("record of an erased request: %v", err)
	}
}

func TestALineCutShortIsWrittenAgain(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	ledger := history.New(bucket, "image")
	owner := int64(1)
	now := time.Now()
	first, second := uid.New(now), uid.New(now)
	if err := ledger.AppendIndex(t.Context(), &owner, first); err != nil {
		t.Fatal(err)
	}
	key := ledger.IndexKey(owner, now)
	line, err := blob.ReadAll(t.Context(), bucket, key, 1000)
	if err != nil {
		t.Fatal(err)
	}
	// All but the line break reached the disk.
	if _, err := bucket.Put(t.Context(), key, strings.NewReader(strings.TrimSuffix(string(line), "\n")), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{first, second} {
		if err := ledger.EnsureIndex(t.Context(), &owner, id); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := blob.ReadAll(t.Context(), bucket, key, 1000)
	if text := string(lines); err != nil || strings.Count(text, "\n") != 2 || !strings.Contains(text, first) || !strings.Contains(text, second) {
		t.Errorf("index %q %v", lines, err)
	}
}
