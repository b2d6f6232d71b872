package analytics

import (
	"testing"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

// TestAMonthOfABusyAccountIsDetached gives a user rows of every hour of a month,
// and lets somebody else write for longer than a database may usually be silent.
func TestAMonthOfABusyAccountIsDetached(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		t.Parallel()
		r := &gormRepository{db}
		month := BucketMonth.start(day)
		var hours []hourRow
		var latencies []latencyRow
		for hour := month; hour.Before(BucketMonth.next(month)); hour = hour.Add(time.Hour) {
			key := rollupKey{Hour: hour.Unix(), UserID: 1, Service: "chat", Provider: "local", Model: "local/guide"}
			hours = append(hours, hourRow{Key: key, Figures: Figures{Requests: 10}, FirstMS: hour.UnixMilli(), LastMS: hour.UnixMilli()})
			for bucket := range 10 {
				latencies = append(latencies, latencyRow{key, bucket, 1})
			}
		}
		err := db.Write(database.Allow(t.Context(), time.Minute), func(tx *gorm.DB) error { return addSums(database.In(tx), hours, latencies, newRequests) })
		if err != nil {
			t.Fatal(err)
		}
		leave := occupy(t, r)
		done := make(chan error, 1)
		go func() { done <- r.DetachUser(t.Context(), 1) }()
		select {
		case err := <-done:
			t.Errorf("it ended before the other writer: %v", err)
		case <-time.After(longerThanAWrite(db)):
			leave()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		all := within(month, 32*24*time.Hour)
		if got, want := totals(t, r, ofUser(all, ErasedUser)).Requests, int64(10*len(hours)); got != want || count(histogram(t, r, ofUser(all, ErasedUser))) != want {
			t.Errorf("%d requests were moved, want %d", got, want)
		}
		if left := totals(t, r, ofUser(all, 1)).Requests; left != 0 {
			t.Errorf("%d requests are left", left)
		}
	})
}

// longerThanAWrite is longer than a Write may take that is not Allowed more.
func longerThanAWrite(db *database.DB) time.Duration {
	if db.Dialect() == database.Postgres {
		return 3 * time.Second
	}
	return 5500 * time.Millisecond
}

// occupy keeps others from writing until leave is called.
func occupy(t *testing.T, r *gormRepository) (leave func()) {
	t.Helper()
	busy, free, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		left <- r.db.Write(database.Allow(t.Context(), time.Minute), func(tx *gorm.DB) error {
			err := r.lock(tx, "pg_advisory_xact_lock_shared")
			close(busy)
			<-free
			return err
		})
	}()
	<-busy
	return func() {
		close(free)
		if err := <-left; err != nil {
			t.Error(err)
		}
	}
}
