package history

import (
	"encoding/json"
	"time"

	"llmhist/platform/uid"
)

// Held says which objects belong to one row of a service.
type Held struct {
	ID       string
	Owner    *int64
	Settled  bool     // its outcome is known, so that there is a record of it
	Media    string   // name of what it made, such as "image/original.png"; "" = nothing
	SHA256   string   // of that; "" = unknown
	Possible []string // names of what it can have made
}

// IndexKeyOf returns the key of a user's daily index of a service.
func IndexKeyOf(service string, userID int64, day time.Time) string {
	return (&Ledger{service: service}).IndexKey(userID, day)
}

// IndexLine returns the line of a request in its user's daily index, without a
// line break.
func IndexLine(id string) ([]byte, error) {
	at, _ := uid.Time(id)
	return json.Marshal(Line{ID: id, Record: RecordKey(id), CreatedAt: at})
}
