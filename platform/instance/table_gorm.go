package instance

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
)

// table keeps the rows. Their times are the database's.
type table struct{ db *database.DB }

// alone reports whether the database is a file in the data directory, whose
// lock admits one server.
func (t table) alone() bool { return t.db.Dialect() == database.SQLite }

// create inserts a row and removes those that are certainly dead: of the same
// data directory, which in a file is every one, and those of long ago.
func (t table) create(ctx context.Context, id string, self Self) error {
	return database.Fault(t.db.Write(ctx, func(tx *gorm.DB) error {
		dead := tx.Where("home = ? OR "+t.age()+" > ?", self.Home, forgetAfter.Seconds())
		if t.alone() {
			dead = tx.Where("1 = 1")
		}
		if err := dead.Delete(&row{}).Error; err != nil {
			return err
		}
		return t.insertIn(tx, id, self)
	}))
}

func (t table) insert(ctx context.Context, id string, self Self) error {
	return database.Fault(t.db.Write(ctx, func(tx *gorm.DB) error { return t.insertIn(tx, id, self) }))
}

func (t table) insertIn(tx *gorm.DB, id string, self Self) error {
	fingerprints := map[string]string{}
	for _, store := range self.Stores {
		fingerprints[store.Setting] = store.fingerprint()
	}
	text, err := json.Marshal(fingerprints)
	if err != nil {
		return err
	}
	return tx.Exec(`INSERT INTO instances (id, home, host, version, key_id, trusted_keys, stores, started_at, seen_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)`,
		id, self.Home, self.Host, self.Version, self.KeyID, strings.Join(self.TrustedKeys, " "), string(text)).Error
}

// touch refreshes a row and reports whether it was there.
func (t table) touch(ctx context.Context, id string) (bool, error) {
	known := false
	err := t.db.Write(ctx, func(tx *gorm.DB) error {
		changed := tx.Exec("UPDATE instances SET seen_at = CURRENT_TIMESTAMP WHERE id = ?", id)
		known = changed.RowsAffected > 0
		return changed.Error
	})
	return known, database.Fault(err)
}

func (t table) delete(ctx context.Context, id string) error {
	return database.Fault(t.db.Write(ctx, func(tx *gorm.DB) error { return tx.Where("id = ?", id).Delete(&row{}).Error }))
}

func (t table) list(ctx context.Context) ([]row, error) {
	var rows []row
	err := t.db.Read(ctx).Model(&row{}).Select("id, home, host, key_id, trusted_keys, stores, " + t.age() + " AS seconds").Order("id").Find(&rows).Error
	return rows, database.Fault(err)
}

// age is how many seconds ago a row was refreshed.
func (t table) age() string {
	if t.alone() {
		return "(julianday('now') - julianday(seen_at)) * 86400.0"
	}
	return "EXTRACT(EPOCH FROM (clock_timestamp() - seen_at))::float8"
}

type row struct {
	ID          string `gorm:"primaryKey"`
	Home        string
	Host        string
	KeyID       string
	TrustedKeys string
	Stores      string
	Seconds     float64 `gorm:"->"`
}

// TableName is the name that the schema gives.
func (row) TableName() string { return "instances" }

func (r row) age() time.Duration { return time.Duration(r.Seconds * float64(time.Second)) }

func (r row) trusted() []string { return strings.Fields(r.TrustedKeys) }

// stores returns the fingerprints by setting; of a row that cannot be read, none.
func (r row) stores() map[string]string {
	list := map[string]string{}
	_ = json.Unmarshal([]byte(r.Stores), &list)
	return list
}
