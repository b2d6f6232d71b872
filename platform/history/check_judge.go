package history

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"llmhist/platform/blob"
	"llmhist/platform/check"
	"llmhist/platform/fault"
	"llmhist/platform/uid"
)

// verdict is what is to be said of one request.
type verdict struct {
	problems []problem
	known    bool   // a row or a record tells of it, or it is being erased
	owner    *int64 // by its row, else its record
	listed   bool   // its owner's daily index must have its line
	underWay bool   // it is being made, changed or erased
}

// evidence is a request with its record as it was read.
type evidence struct {
	request
	record     *Entry // nil = none, or damaged
	damaged    bool   // there is one that cannot be used
	hasInput   bool
	made       map[string]blob.Object
	unexpected []string // keys below its prefix that are not of the layout
}

func (c *checker) isMade(name string) bool { return slices.Contains(c.Documents.MadeNames(), name) }

// readRecords reads the record of each request that has one.
func (c *checker) readRecords(ctx context.Context, batch []request) ([]evidence, error) {
	list := make([]evidence, len(batch))
	return list, eachOf(len(batch), func(i int) (err error) {
		list[i], err = c.gather(ctx, batch[i])
		return err
	})
}

func (c *checker) gather(ctx context.Context, one request) (evidence, error) {
	e := evidence{request: one, made: map[string]blob.Object{}}
	for _, object := range one.objects {
		_, name, _ := parseKey(object.Key)
		switch {
		case name == "input.json":
			e.hasInput = true
		case name == "record.json":
			if err := c.readRecord(ctx, &e); err != nil {
				return e, err
			}
		case c.isMade(name):
			e.made[name] = object
		default:
			e.unexpected = append(e.unexpected, object.Key)
		}
	}
	return e, nil
}

func (c *checker) readRecord(ctx context.Context, e *evidence) error {
	data, err := blob.ReadAll(ctx, c.bucket, RecordKey(e.id), maxDocument)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil // deleted meanwhile
	case fault.Is(err, fault.TooLarge):
		e.damaged = true
		return nil
	case err != nil:
		return err
	}
	record, err := c.Documents.ReadRecord(e.id, data)
	if err != nil {
		e.damaged = true
		return nil
	}
	e.record = &record
	return nil
}

// owner returns whose the request is, and whether anything tells.
func (e evidence) owner() (*int64, bool) {
	switch {
	case e.row != nil:
		return e.row.Owner, true
	case e.record != nil:
		return e.record.Owner, true
	}
	return nil, false
}

func (c *checker) accountsOf(ctx context.Context, list []evidence) (check.Accounting, error) {
	ids := []int64{}
	for _, e := range list {
		if owner, _ := e.owner(); owner != nil && !slices.Contains(ids, *owner) {
			ids = append(ids, *owner)
		}
	}
	return c.Accounts.FindAccounts(ctx, ids)
}

func (c *checker) judgeAlone(ctx context.Context, one request) (verdict, error) {
	verdicts, err := c.judgeAll(ctx, []request{one})
	if err != nil {
		return verdict{}, err
	}
	return verdicts[0], nil
}

// judge says what is wrong with one request. It reads media, unless the check
// is a fast one.
func (c *checker) judge(ctx context.Context, e evidence, accounts check.Accounting) (verdict, error) {
	at, valid := uid.Time(e.id)
	if !valid {
		return verdict{problems: []problem{{finding: check.Finding{Code: "row_invalid", ID: clip(e.id), Detail: "the id of this row is not one of a request"}}}}, nil
	}
	seen := verdict{problems: c.strange(e)}
	owner, known := e.owner()
	seen.owner, seen.known = owner, known || e.damaged
	seen.underWay = !known && e.damaged // whose it is cannot be told
	if !seen.known {
		seen.problems = append(seen.problems, c.orphans(e)...)
		return seen, nil
	}
	if e.row != nil && e.row.Damage == "" && !e.row.Finished {
		seen.underWay = !c.report.Old(at)
		if !seen.underWay {
			seen.say(c.unfinished(e))
		}
		return seen, nil
	}
	switch accounts.Of(owner, at) {
	case check.Leaving:
		seen.underWay = true
		return seen, nil
	case check.Erased:
		seen.problems = append(seen.problems, c.ofNobody(e)...)
		return seen, nil
	case check.Unknown:
		seen.say(problem{finding: check.Finding{Code: "account_unknown", ID: e.id,
			Detail: "this database never had its account, or had it later: nothing of it is touched"}})
		return seen, nil
	}
	if e.row != nil && e.record != nil && !sameOwner(e.row.Owner, e.record.Owner) {
		seen.underWay = true // whose index lists it is for the operator to decide
		seen.say(problem{finding: check.Finding{Code: "owner_differs", ID: e.id, Key: RecordKey(e.id),
			Detail: "row and record name different owners: decide who is right, and correct the other"}})
		return seen, nil
	}
	seen.problems = append(seen.problems, c.compareRow(e)...)
	source := e.source()
	if source == nil {
		return seen, nil // a damaged record alone
	}
	seen.listed = owner != nil
	return seen, c.compareObjects(ctx, e, *source, &seen)
}

func (v *verdict) say(p problem) { v.problems = append(v.problems, p) }

// source returns what the objects are held against: the record, else the row.
func (e evidence) source() *Entry {
	switch {
	case e.record != nil && (e.row == nil || !e.rowPrevails()):
		return e.record
	case e.row != nil && e.row.Damage == "":
		return e.row
	}
	return nil
}

// rowPrevails reports that the record tells of something made that is neither
// there nor in the row: giving the request up was noted in the row alone.
func (e evidence) rowPrevails() bool {
	if e.row == nil || e.row.Damage != "" || e.row.Made != nil || e.record == nil || e.record.Made == nil {
		return false
	}
	_, there := e.made[e.record.Made.Name]
	return !there
}

// strange are the objects below the request's prefix that are not of the layout.
func (c *checker) strange(e evidence) []problem {
	list := []problem{}
	for _, key := range e.unexpected {
		list = append(list, problem{finding: check.Finding{Code: "key_unknown", ID: e.id, Key: key, Detail: "this key is not of the layout; it is never touched"}})
	}
	return list
}

// orphans are the objects of a request that neither a row nor a record tells
// of, once they are old.
func (c *checker) orphans(e evidence) []problem {
	if !e.hasInput && len(e.made) == 0 {
		return nil
	}
	for _, object := range e.objects {
		if !c.report.Old(object.ModifiedAt) {
			return nil
		}
	}
	return []problem{{
		check.Finding{Code: "object_orphaned", ID: e.id, Key: Prefix(e.id), Detail: "its objects have neither a row nor a record"},
		func(ctx context.Context) (string, error) { return "objects removed", c.Rows.Erase(ctx, e.id) },
	}}
}

func (c *checker) unfinished(e evidence) problem {
	return problem{
		check.Finding{Code: "request_unfinished", ID: e.id, Detail: "it is still processing and older than the grace"},
		func(ctx context.Context) (string, error) {
			return "settled as its record tells, else as interrupted", c.Rows.Settle(ctx, e.id)
		},
	}
}

// ofNobody is a request whose account was erased. What is young may be the end
// of an erasure.
func (c *checker) ofNobody(e evidence) []problem {
	if at, _ := uid.Time(e.id); !c.report.Old(at) {
		return nil
	}
	code := "record_without_account"
	if e.row != nil {
		code = "row_without_account"
	}
	return []problem{{
		check.Finding{Code: code, ID: e.id, Detail: "its account was erased"},
		func(ctx context.Context) (string, error) { return "row and objects removed", c.Rows.Erase(ctx, e.id) },
	}}
}

// compareRow holds row and record against each other.
func (c *checker) compareRow(e evidence) []problem {
	fromRecord := func(ctx context.Context) (string, error) {
		return "row made from record.json", c.Rows.StoreEntry(ctx, *e.record)
	}
	fromRow := func(ctx context.Context) (string, error) { return c.restoreRecord(ctx, e) }
	readableRow := e.row != nil && e.row.Damage == ""
	say := func(code, detail string, repair check.Repair) []problem {
		return []problem{{check.Finding{Code: code, ID: e.id, Key: RecordKey(e.id), Detail: detail}, repair}}
	}
	switch {
	case e.damaged && readableRow:
		return say("record_damaged", "record.json cannot be read as the record of this request", fromRow)
	case e.damaged:
		return say("record_damaged", "record.json cannot be read, and no row tells what it held: restore it from a backup", nil)
	case e.row == nil:
		return say("row_missing", "record.json is there, its row is not", fromRecord)
	case !readableRow && e.record == nil:
		return say("row_damaged", e.row.Damage+", and there is no record: restore one from a backup", nil)
	case !readableRow:
		return say("row_damaged", e.row.Damage, fromRecord)
	case e.record == nil:
		return say("record_missing", "the row is finished, record.json is not there", fromRow)
	}
	names := c.Documents.Differences(*e.row, *e.record)
	if len(names) == 0 {
		return nil
	}
	detail := "row and record differ in " + strings.Join(names, ", ")
	if e.rowPrevails() {
		return say("row_differs", detail, fromRow)
	}
	return say("row_differs", detail, fromRecord)
}

func sameOwner(a, b *int64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// restoreRecord writes record.json from the row, which is the source now.
func (c *checker) restoreRecord(ctx context.Context, e evidence) (string, error) {
	sum := ""
	if made := e.row.Made; made != nil {
		read, err := c.readMade(ctx, MediaKey(e.id, made.Name))
		if err != nil && !fault.Is(err, fault.NotFound) {
			return "", err
		}
		sum = read.sum
	}
	return "record.json written from the row", c.ledger.WriteRecord(ctx, e.id, c.Documents.RecordOf(*e.row, sum, c.report.Now().UTC()))
}

// compareObjects holds what the request made and its input against its source.
func (c *checker) compareObjects(ctx context.Context, e evidence, source Entry, seen *verdict) error {
	if !e.hasInput {
		seen.say(problem{
			check.Finding{Code: "input_missing", ID: e.id, Key: InputKey(e.id), Detail: "input.json is not there"},
			func(ctx context.Context) (string, error) {
				return "input.json written from what is known", c.ledger.WriteInput(ctx, e.id, c.Documents.InputOf(source, c.report.Now().UTC()))
			},
		})
	}
	for name, object := range e.made {
		if source.Made != nil && name == source.Made.Name || !c.report.Old(object.ModifiedAt) {
			continue
		}
		seen.say(problem{
			check.Finding{Code: "media_unexpected", ID: e.id, Key: object.Key, Detail: "its record tells of no such media"},
			func(ctx context.Context) (string, error) { return "removed", c.bucket.Delete(ctx, object.Key) },
		})
	}
	if source.Made == nil {
		return nil
	}
	key := MediaKey(e.id, source.Made.Name)
	object, there := e.made[source.Made.Name]
	if !there {
		seen.say(problem{finding: check.Finding{Code: "media_missing", ID: e.id, Key: key, Detail: "what it made is not there: restore it from a backup, or delete the request"}})
		return nil
	}
	detail, err := c.compareMade(ctx, object, *source.Made)
	if err == nil && detail != "" {
		seen.say(problem{finding: check.Finding{Code: "media_differs", ID: e.id, Key: key, Detail: detail + ": restore it from a backup, or delete the request"}})
	}
	return err
}

// compareMade says in what a media object differs from its description, ""
// when it does not.
func (c *checker) compareMade(ctx context.Context, object blob.Object, made Made) (string, error) {
	if object.Size != made.Size {
		return fmt.Sprintf("it has %d bytes instead of %d", object.Size, made.Size), nil
	}
	if c.report.Fast {
		found, err := c.bucket.Stat(ctx, object.Key)
		if fault.Is(err, fault.NotFound) {
			return "", nil // deleted meanwhile
		}
		if err == nil && found.SHA256 != "" && made.SHA256 != "" && found.SHA256 != made.SHA256 {
			return "the hash stored with it is another", nil
		}
		return "", err
	}
	read, err := c.readMade(ctx, object.Key)
	if fault.Is(err, fault.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	want := made.SHA256
	if want == "" {
		want = read.stored
	}
	if want != "" && read.sum != want {
		return "its content has another hash", nil
	}
	return "", nil
}

// contentHash is the hash of what was read and the one kept with the object.
type contentHash struct{ sum, stored string }

func (c *checker) readMade(ctx context.Context, key string) (contentHash, error) {
	reader, err := c.bucket.Open(ctx, key)
	if err != nil {
		return contentHash{}, err
	}
	defer func() { _ = reader.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, reader)
	c.area.Bytes.Add(n)
	return contentHash{sum: hex.EncodeToString(sum.Sum(nil)), stored: reader.Object().SHA256}, err
}

// clip shortens a text that somebody else may have made long.
func clip(text string) string {
	const most = 80
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.ToValidUTF8(text, "?")
}
