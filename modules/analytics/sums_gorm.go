package analytics

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"llmhist/platform/database"
)

// What addSums is given: requests that no sum holds yet, or such that were taken
// from another user, which sums over everyone hold already.
const (
	newRequests   = true
	movedRequests = false
)

// addSums adds to the hours, which everything else can be made from again, and
// to all that is kept of longer times and of everyone. Rows are locked in one
// order: by table as here, then by key.
func addSums(tx database.Statements, hours []hourRow, latencies []latencyRow, areNew bool) error {
	if err := addHours(tx, sorted(hours)); err != nil {
		return err
	}
	if err := addLatencies(tx, sorted(latencies)); err != nil {
		return err
	}
	return addDerived(tx, hours, latencies, areNew)
}

// addDerived adds what hours hold to all that is made from them.
func addDerived(tx database.Statements, hours []hourRow, latencies []latencyRow, areNew bool) error {
	if err := addCoarse(tx, coarsen(hours, latencies, areNew)); err != nil {
		return err
	}
	if err := addRanks(tx, rank(hours)); err != nil {
		return err
	}
	return addAccounts(tx, accountsOf(hours))
}

// arguments returns the row with its buckets from one to another. One that is
// empty is NULL.
func (r coarseRow) arguments(from, to int) []any {
	key, f := r.Key, r.Figures
	list := []any{int64(key.Grain), key.UserID, key.Hour, key.Service, key.Provider, key.Model,
		f.Requests, f.Failed, f.InputTokens, f.OutputTokens, f.InputBytes, f.OutputBytes,
		f.CostNanoUSD, f.LatencySumMS, f.LatencyCount, f.TTFTSumMS, f.TTFTCount, r.FirstMS, r.LastMS}
	for _, n := range r.Latencies[from:to] {
		if n == 0 {
			list = append(list, nil)
		} else {
			list = append(list, n)
		}
	}
	return list
}

func (r rankRow) arguments() []any {
	return []any{int64(r.Grain), r.UserID, r.Start, r.Service, r.Requests}
}

func (r accountRow) arguments() []any { return []any{r.UserID, r.Service, r.FirstMS, r.LastMS} }

// coarseRatio is how much wider rows of analytics_sums are than others.
const coarseRatio = 4

// addCoarse adds rows, sorted by key, to what is stored.
func addCoarse(tx database.Statements, rows []coarseRow) error {
	for part := range slices.Chunk(rows, max(tx.Rows()/coarseRatio, 1)) {
		from, to := bucketsOf(part)
		head, tail := coarseInserts.of(from, to)
		var args []any
		for _, row := range part {
			args = append(args, row.arguments(from, to)...)
		}
		one := "(" + strings.Repeat(",?", len(args)/len(part))[1:] + ")"
		if _, err := tx.Exec(head+strings.Repeat(","+one, len(part))[1:]+tail, args...); err != nil {
			return err
		}
	}
	return nil
}

// bucketStep is what bucketsOf rounds to, so that there are few different
// statements, which PostgreSQL prepares.
const bucketStep = 8

// bucketsOf returns between which buckets the rows have any.
func bucketsOf(rows []coarseRow) (from, to int) {
	from = latencyBuckets
	for _, row := range rows {
		for i, n := range row.Latencies {
			if n != 0 {
				from, to = min(from, i-i%bucketStep), max(to, i-i%bucketStep+bucketStep)
			}
		}
	}
	to = min(to, latencyBuckets)
	return min(from, to), to
}

// coarseInserts remembers what coarseInsert returned. There are few different ones.
var coarseInserts coarseStatements

type coarseStatements struct{ known sync.Map }

func (c *coarseStatements) of(from, to int) (head, tail string) {
	key := [2]int{from, to}
	if known, ok := c.known.Load(key); ok {
		parts, _ := known.([2]string)
		return parts[0], parts[1]
	}
	head, tail = coarseInsert(from, to)
	c.known.Store(key, [2]string{head, tail})
	return head, tail
}

// coarseInsert returns the statement of addCoarse around its VALUES.
func coarseInsert(from, to int) (head, tail string) {
	columns := []string{"grain", "user_id", "start", "service", "provider", "model"}
	var changes []string
	for _, name := range figureNames() {
		columns = append(columns, name)
		changes = append(changes, fmt.Sprintf("%[1]s = analytics_sums.%[1]s + excluded.%[1]s", name))
	}
	columns = append(columns, "first_ms", "last_ms")
	changes = append(changes, earliestAndLatest("analytics_sums"))
	for _, name := range bucketNames()[from:to] {
		columns = append(columns, name)
		changes = append(changes, fmt.Sprintf("%[1]s = COALESCE(analytics_sums.%[1]s + excluded.%[1]s, analytics_sums.%[1]s, excluded.%[1]s)", name))
	}
	return "INSERT INTO analytics_sums (" + strings.Join(columns, ", ") + ") VALUES ",
		" ON CONFLICT (grain, user_id, start, service, provider, model) DO UPDATE SET " + strings.Join(changes, ", ")
}

// earliestAndLatest keeps the extremes of what a table has and what is added.
func earliestAndLatest(table string) string {
	return fmt.Sprintf(`first_ms = CASE WHEN excluded.first_ms < %[1]s.first_ms THEN excluded.first_ms ELSE %[1]s.first_ms END,
		last_ms = CASE WHEN excluded.last_ms > %[1]s.last_ms THEN excluded.last_ms ELSE %[1]s.last_ms END`, table)
}

// addRanks adds rows, sorted by key, to what is stored.
func addRanks(tx database.Statements, rows []rankRow) error {
	return insertInto(tx.Rows(), arguments(rows), func(values string, args []any) error {
		_, err := tx.Exec(`INSERT INTO analytics_ranks (grain, user_id, start, service, requests)
			VALUES `+values+` ON CONFLICT (grain, user_id, start, service) DO UPDATE SET
			requests = analytics_ranks.requests + excluded.requests`, args...)
		return err
	})
}

// addAccounts adds rows, sorted by key, to what is stored.
func addAccounts(tx database.Statements, rows []accountRow) error {
	return insertInto(tx.Rows(), arguments(rows), func(values string, args []any) error {
		_, err := tx.Exec(`INSERT INTO analytics_accounts (user_id, service, first_ms, last_ms)
			VALUES `+values+` ON CONFLICT (user_id, service) DO UPDATE SET `+earliestAndLatest("analytics_accounts"), args...)
		return err
	})
}
