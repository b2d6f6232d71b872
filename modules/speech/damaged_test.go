package speech

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

// TestARowThatCannotBeReadHidesNoOther in the lists of its owner and of admins,
// where it is what its columns say, and is still a fault where it is asked for.
func TestARowThatCannotBeReadHidesNoOther(t *testing.T) {
	for name, metadata := range map[string]string{"no JSON": `{"provider":"fa`, "JSON of another shape": `[]`, "a fact of another type": `{"provider":"x","cost_usd":"y"}`} {
		t.Run(name, func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
				if db.Dialect() == database.Postgres && !json.Valid([]byte(metadata)) {
					return // a column of type jsonb takes no such thing
				}
				listsWithADamagedRow(t, db, metadata)
			})
		})
	}
}

func listsWithADamagedRow(t *testing.T, db *database.DB, metadata string) {
	b := newBenchOn(t, db, newFake(t, "fake"))
	var log bytes.Buffer
	b.service.logger = slog.New(slog.NewTextHandler(&log, nil))
	server := testkit.Serve(t, b.Mount)
	var ids []string // newest first
	for range 3 {
		b.clock.Advance(time.Second)
		ids = append([]string{generate(t, server, testkit.User(1), "Good morning.")}, ids...)
	}
	whole := listed(t, server.Do("GET", "/speech", testkit.User(1), nil))[1]
	err := b.db.Write(t.Context(), func(tx *gorm.DB) error {
		return tx.Exec("UPDATE tts_conversions SET metadata = ? WHERE id = ?", metadata, ids[1]).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, as := range map[string]testkit.Caller{
		"/speech": testkit.User(1), "/admin/speech": testkit.Admin(9), "/admin/speech?q=MORNING": testkit.Admin(9), "/speech?per_page=100": testkit.User(1),
	} {
		got := []string{}
		for _, entry := range listed(t, server.Do("GET", path, as, nil)) {
			got = append(got, entry["id"].(string))
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	want := whole["metadata"].(map[string]any)
	want["provider"], want["request_id"], want["latency_ms"], want["status_code"], want["cost_usd"] = "", "", 0.0, 0.0, 0.0
	damaged := listed(t, server.Do("GET", "/speech", testkit.User(1), nil))[1]
	whole["audio_url"], damaged["audio_url"] = nil, nil // expires at another time
	if diff := cmp.Diff(whole, damaged); diff != "" {
		t.Errorf("the damaged one: %s", diff)
	}
	if lines := strings.Count(log.String(), ids[1]); lines != 1 {
		t.Errorf("told of %d times: %s", lines, &log)
	}
	if answer := server.Do("GET", "/speech/"+ids[1], testkit.User(1), nil); answer.Status != 500 || answer.Code() != "row_damaged" {
		t.Errorf("alone: %d %s", answer.Status, answer.Body)
	}
}

func listed(t *testing.T, answer testkit.Answer) []map[string]any {
	t.Helper()
	var got struct{ Speech []map[string]any }
	if err := json.Unmarshal(answer.Body, &got); err != nil || answer.Status != 200 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	return got.Speech
}
