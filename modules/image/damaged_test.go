package image

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

// TestARowThatCannotBeReadHidesNoOther in the lists of its owner and of admins,
// where it is what its columns say, and is still a fault where it is asked for.
func TestARowThatCannotBeReadHidesNoOther(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		f := startOn(t, Config{}, db, &brittle{Bucket: testkit.Bucket(t, "images")})
		var log bytes.Buffer
		f.module.service.logger = slog.New(slog.NewTextHandler(&log, nil))
		var ids []string // newest first
		for range 4 {
			f.clock.Advance(time.Second)
			ids = append([]string{f.generate(testkit.User(1), nil)}, ids...)
		}
		whole := f.do("GET", "/image", testkit.User(1), nil).JSON(t)["images"].([]any)[2].(map[string]any)
		f.damage(ids[1], `{"sha256":"ab`)
		f.damage(ids[2], `{"sha256":5,"source_content_type":"text/html"}`)
		for path, as := range map[string]testkit.Caller{
			"/image": testkit.User(1), "/admin/images": testkit.Admin(3), "/admin/images?q=FOX": testkit.Admin(3), "/image?page=1&per_page=100": testkit.User(1),
		} {
			answer := f.do("GET", path, as, nil)
			if answer.Status != 200 {
				t.Fatalf("%s: %d %s", path, answer.Status, answer.Body)
			}
			if diff := cmp.Diff(ids, listedIDs(t, answer)); diff != "" {
				t.Errorf("%s: %s", path, diff)
			}
		}
		second := f.do("GET", "/image?page=2&per_page=2", testkit.User(1), nil) // by way of the counts
		if diff := cmp.Diff(ids[2:], listedIDs(t, second)); diff != "" {
			t.Error(diff)
		}
		want := whole["metadata"].(map[string]any)
		want["sha256"], want["source_content_type"] = "", ""
		got := second.JSON(t)["images"].([]any)[0].(map[string]any)
		whole["download_url"], got["download_url"] = nil, nil // expires at another time
		if diff := cmp.Diff(whole, got); diff != "" {
			t.Errorf("the damaged one: %s", diff)
		}
		for _, id := range ids[1:3] {
			if lines := strings.Count(log.String(), id); lines != 1 {
				t.Errorf("%s is told of %d times: %s", id, lines, &log)
			}
			if answer := f.do("GET", "/image/"+id, testkit.User(1), nil); answer.Status != 500 || answer.Code() != "row_damaged" {
				t.Errorf("alone: %d %s", answer.Status, answer.Body)
			}
		}
		list, _, err := f.module.service.repository.List(t.Context(), OwnedBy(1), "", web.Page{Number: 1, Size: 10})
		if err != nil || list[0].Damage != nil || list[1].Damage == nil || !list[1].FinishedAt.IsZero() {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// damage puts text into the row's metadata.
func (f *fixture) damage(id, text string) {
	f.t.Helper()
	err := f.db.Write(f.t.Context(), func(tx *gorm.DB) error {
		return tx.Exec("UPDATE images SET metadata = ? WHERE id = ?", text, id).Error
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func listedIDs(t *testing.T, answer testkit.Answer) []string {
	t.Helper()
	ids := []string{}
	for _, entry := range answer.JSON(t)["images"].([]any) {
		ids = append(ids, entry.(map[string]any)["id"].(string))
	}
	return ids
}
