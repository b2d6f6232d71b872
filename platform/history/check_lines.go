package history

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/check"
	"llmhist/platform/fault"
	"llmhist/platform/uid"
)

// daily names one daily index: a user and the days since 1970.
type daily struct {
	user int64
	day  int32
}

func (d daily) date() time.Time { return time.Unix(int64(d.day)*86400, 0).UTC() }

func dayOf(at time.Time) int32 { return int32(at.Unix() / 86400) }

// lineSum is what a daily index should hold less what it does, as a count and
// two sums over the ids. All are zero when both are the same, so that no list
// of ids has to be kept for a day that is right.
type lineSum struct {
	count int64
	xor   uint64
	sum   uint64
	odd   bool // a line of it is not as it should be, whatever the sums say
}

func (s *lineSum) add(id string, sign int64) {
	hash := sha256.Sum256([]byte(id))
	n := binary.LittleEndian.Uint64(hash[:])
	s.count += sign
	s.xor ^= n
	s.sum += uint64(sign) * n
}

func (s *lineSum) right() bool { return s.count == 0 && s.xor == 0 && s.sum == 0 && !s.odd }

func (c *checker) sumOf(d daily) *lineSum {
	sum := c.sums[d]
	if sum == nil {
		sum = &lineSum{}
		c.sums[d] = sum
	}
	return sum
}

func (c *checker) expectLine(owner int64, id string) {
	at, _ := uid.Time(id)
	c.sumOf(daily{owner, dayOf(at)}).add(id, 1)
}

// parseIndexKey returns the daily index that a key names.
func (c *checker) parseIndexKey(key string) (daily, bool) {
	rest, _ := strings.CutPrefix(key, "users/")
	user, rest, _ := strings.Cut(rest, "/")
	id, err := strconv.ParseInt(user, 10, 64)
	date, isService := strings.CutPrefix(rest, c.ledger.service+"/history/")
	at, dateErr := time.Parse("2006/01/02.jsonl", date)
	d := daily{id, dayOf(at)}
	return d, err == nil && isService && dateErr == nil && key == c.ledger.IndexKey(id, at)
}

// countLines takes the lines of one daily index off what is expected.
func (c *checker) countLines(ctx context.Context, object blob.Object) error {
	d, ok := c.parseIndexKey(object.Key)
	if !ok {
		return c.add(ctx, problem{finding: check.Finding{Code: "key_unknown", Key: object.Key, Detail: "this key is not of the layout; it is never touched"}})
	}
	accounts, err := c.Accounts.FindAccounts(ctx, []int64{d.user})
	if err != nil {
		return err
	}
	switch accounts.Of(&d.user, d.date().Add(24*time.Hour-time.Millisecond)) {
	case check.Owned:
	case check.Erased:
		return c.indexOfNobody(ctx, d, object)
	case check.Unknown:
		return c.add(ctx, problem{finding: check.Finding{Code: "account_unknown", Key: object.Key,
			Detail: "this database never had its account, or had it later: nothing of it is touched"}})
	default:
		return nil
	}
	sum := c.sumOf(d)
	err = c.eachLine(ctx, object.Key, func(line indexLine) {
		c.area.IndexLines.Add(1)
		sum.odd = sum.odd || !line.wellFormed(d)
		sum.add(line.id, -1)
	})
	if sum.right() {
		delete(c.sums, d)
	}
	return err
}

// indexOfNobody is the daily index of an account that was erased. A young one
// may belong to an erasure that is about to end.
func (c *checker) indexOfNobody(ctx context.Context, d daily, object blob.Object) error {
	if !c.report.Old(object.ModifiedAt) || object.Size == 0 {
		return nil
	}
	_, err := c.bucket.Stat(ctx, object.Key)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.add(ctx, problem{
		check.Finding{Code: "index_without_account", Key: object.Key, Detail: fmt.Sprintf("account %d was erased", d.user)},
		func(ctx context.Context) (string, error) { return "index removed", c.bucket.Delete(ctx, object.Key) },
	})
}

// indexLine is one line of a daily index.
type indexLine struct {
	id    string // "" for one that cannot be read
	entry Line
	whole bool // it ends in a line break
}

// wellFormed reports whether the line is what AppendIndex writes for its id.
func (l indexLine) wellFormed(d daily) bool {
	at, valid := uid.Time(l.id)
	return l.whole && valid && dayOf(at) == d.day && l.entry.Record == RecordKey(l.id) && l.entry.CreatedAt.Equal(at)
}

// maxLine is ample for a line of an index; what is longer is damaged.
const maxLine = 4096

// eachLine visits the lines of a daily index. One that is gone has none.
func (c *checker) eachLine(ctx context.Context, key string, visit func(indexLine)) error {
	reader, err := c.bucket.Open(ctx, key)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	lines := bufio.NewReaderSize(reader, maxLine)
	for {
		text, err := lines.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(text) > 0 {
			visit(parseLine(text, err == nil && !tooLong))
		}
		if err != nil {
			return nil
		}
	}
}

func parseLine(text []byte, whole bool) indexLine {
	line := indexLine{whole: whole}
	if whole && json.Unmarshal(text, &line.entry) == nil && uid.Valid(line.entry.ID) {
		line.id = line.entry.ID
	}
	return line
}

// compareDays looks into the daily indexes whose sums are not right, a day at a
// time.
func (c *checker) compareDays(ctx context.Context) error {
	days := map[int32]map[int64]bool{}
	for d, sum := range c.sums {
		if sum.right() {
			continue
		}
		if days[d.day] == nil {
			days[d.day] = map[int64]bool{}
		}
		days[d.day][d.user] = true
	}
	c.sums = nil
	order := []int32{}
	for day := range days {
		order = append(order, day)
	}
	slices.Sort(order)
	for _, day := range order {
		if err := c.compareDay(ctx, day, days[day]); err != nil {
			return err
		}
	}
	return nil
}

// compareDay reads the requests of one day again and compares the indexes of
// the users with them.
func (c *checker) compareDay(ctx context.Context, day int32, users map[int64]bool) error {
	from := daily{day: day}.date()
	listed := map[int64]map[string]bool{}
	m := c.newMerge(span{uid.Bound(from), uid.Bound(from.AddDate(0, 0, 1))}, func(batch []request) error {
		read, err := c.readRecords(ctx, batch)
		if err != nil {
			return err
		}
		for _, e := range read {
			owner, known := e.owner()
			if !known || owner == nil || !users[*owner] || !e.finished() {
				continue
			}
			if listed[*owner] == nil {
				listed[*owner] = map[string]bool{}
			}
			listed[*owner][e.id] = true
		}
		return nil
	})
	err := blob.Walk(ctx, c.bucket, "requests/"+from.Format("2006/01/02")+"/", func(object blob.Object) error {
		if _, _, ok := parseKey(object.Key); !ok {
			return nil // reported already
		}
		return m.object(ctx, object)
	})
	if err == nil {
		err = m.finish(ctx)
	}
	if err != nil {
		return err
	}
	for user := range users {
		if err := c.compareIndex(ctx, daily{user, day}, listed[user]); err != nil {
			return err
		}
	}
	return nil
}

func (e evidence) finished() bool { return e.row == nil || e.row.Damage != "" || e.row.Finished }

// lineFault is what is wrong with the lines of one id in one index.
type lineFault struct {
	code, detail string
	keep         bool // one line of it belongs there
}

// compareIndex reports what is wrong with one daily index, whose lines should be
// the listed ids. Each fault is looked at again first.
func (c *checker) compareIndex(ctx context.Context, d daily, listed map[string]bool) error {
	key := c.ledger.IndexKey(d.user, d.date())
	faults, damaged, err := c.lineFaults(ctx, d, listed)
	if err != nil || len(faults)+damaged == 0 {
		return err
	}
	again, stillDamaged, err := c.lineFaults(ctx, d, listed)
	if err != nil {
		return err
	}
	if damaged > 0 && stillDamaged > 0 {
		err := c.add(ctx, problem{
			check.Finding{Code: "index_line_damaged", Key: key, Detail: fmt.Sprintf("%d lines cannot be read", stillDamaged)},
			func(ctx context.Context) (string, error) {
				return "lines removed", c.bucket.RemoveLines(ctx, key, func(line []byte) bool { return !uid.Valid(lineID(line)) })
			},
		})
		if err != nil {
			return err
		}
	}
	ids := []string{}
	for id := range faults {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		fault := again[id]
		if fault.code == "" || fault != faults[id] {
			continue // it was changing
		}
		err := c.add(ctx, problem{check.Finding{Code: fault.code, ID: id, Key: key, Detail: fault.detail},
			func(ctx context.Context) (string, error) { return c.mendLine(ctx, d, id, fault) }})
		if err != nil {
			return err
		}
	}
	return nil
}

// lineFaults reads an index and returns what is wrong with the lines of each
// id, and how many lines cannot be read.
func (c *checker) lineFaults(ctx context.Context, d daily, listed map[string]bool) (faults map[string]lineFault, damaged int, err error) {
	found, odd := map[string]int{}, map[string]bool{}
	err = c.eachLine(ctx, c.ledger.IndexKey(d.user, d.date()), func(line indexLine) {
		if line.id == "" {
			damaged++
			return
		}
		found[line.id]++
		odd[line.id] = odd[line.id] || !line.wellFormed(d)
	})
	if err != nil {
		return nil, 0, err
	}
	faults = map[string]lineFault{}
	for id := range listed {
		if found[id] == 0 {
			found[id] = 0
		}
	}
	for id, times := range found {
		if times == 1 && listed[id] && !odd[id] {
			continue
		}
		fault, err := c.lineFault(ctx, d, id, times)
		if err != nil {
			return nil, 0, err
		}
		if fault.code == "" && odd[id] {
			fault = lineFault{"index_line_wrong", "its line names another record or time", true}
		}
		if fault.code != "" {
			faults[id] = fault
		}
	}
	return faults, damaged, nil
}

// lineFault looks at the request of an id anew and says what is wrong with its
// lines, of which there are so many.
func (c *checker) lineFault(ctx context.Context, d daily, id string, times int) (lineFault, error) {
	seen, err := c.look(ctx, id)
	if err != nil {
		return lineFault{}, err
	}
	at, _ := uid.Time(id)
	own := seen.owner != nil && *seen.owner == d.user && dayOf(at) == d.day
	switch {
	case seen.underWay:
		return lineFault{}, nil
	case !seen.known && times > 0:
		return lineFault{"index_line_unknown", "there is no such request", false}, nil
	case seen.known && !own && times > 0:
		return lineFault{"index_line_foreign", "this request belongs into another index, or into none", false}, nil
	case times > 1:
		return lineFault{"index_line_doubled", fmt.Sprintf("it has %d lines", times), true}, nil
	case times == 0 && own && seen.listed:
		return lineFault{"index_line_missing", "it has no line", true}, nil
	}
	return lineFault{}, nil
}

// mendLine removes every line of the id that is too much and appends the right
// one where it belongs. Removing is decided by the id alone, for the store may
// ask again about lines that were appended meanwhile.
func (c *checker) mendLine(ctx context.Context, d daily, id string, fault lineFault) (string, error) {
	done := "line appended"
	if fault.code != "index_line_missing" {
		done = "lines removed"
		if fault.keep {
			done = "line written anew"
		}
		key := c.ledger.IndexKey(d.user, d.date())
		if err := c.bucket.RemoveLines(ctx, key, func(line []byte) bool { return lineID(line) == id }); err != nil {
			return "", err
		}
	}
	if !fault.keep {
		return done, nil
	}
	return done, c.ledger.AppendIndex(ctx, &d.user, id)
}
