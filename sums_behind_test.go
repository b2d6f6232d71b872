package main

import (
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
)

// TestAServerThatStartsSaysThatFiguresAreMissing because a server of a release
// without longer sums stored them beside the first servers of this one.
func TestAServerThatStartsSaysThatFiguresAreMissing(t *testing.T) {
	dir := t.TempDir()
	before := bootIn(t, dir)
	err := before.app.db.Write(t.Context(), func(tx *gorm.DB) error {
		return tx.Exec(`INSERT INTO analytics_hours VALUES (?, 7, 'chat', 'p', 'm', 1, 0, 1, 1, 1, 1, 0, 1, 1, 0, 0, ?, ?)`,
			time.Now().Truncate(time.Hour).Unix(), time.Now().UnixMilli(), time.Now().UnixMilli()).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	before.stop()
	after := bootIn(t, dir)
	within(t, 5*time.Second, "the log says what to do", func() bool {
		return strings.Contains(after.log.String(), "stop all servers and run llmhist check --repair")
	})
	after.stop()
}
