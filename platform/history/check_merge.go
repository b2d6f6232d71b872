package history

import (
	"context"
	"strings"
	"sync"

	"llmhist/platform/blob"
	"llmhist/platform/check"
	"llmhist/platform/uid"
)

const (
	rowPage    = 500 // rows read at a time
	batchSize  = 128 // requests judged together
	judges     = 8   // requests judged at once
	maxSuspect = 500 // suspects that are held before they are looked at again
)

// request is one request with everything that was found of it.
type request struct {
	id      string
	row     *Entry        // nil = none
	objects []blob.Object // below its prefix
}

// parseKey returns the request that an object belongs to and its name there.
func parseKey(key string) (id, name string, ok bool) {
	parts := strings.SplitN(key, "/", 6)
	if len(parts) != 6 || !uid.Valid(parts[4]) || !strings.HasPrefix(key, Prefix(parts[4])+"/") {
		return "", "", false
	}
	return parts[4], parts[5], true
}

// compareRequests judges every request, and counts the lines of the daily
// indexes on the way.
func (c *checker) compareRequests(ctx context.Context) error {
	m := c.newMerge(span{}, func(batch []request) error { return c.judgeBatch(ctx, batch) })
	err := blob.Walk(ctx, c.bucket, "", func(object blob.Object) error {
		if strings.HasPrefix(object.Key, "users/") {
			return c.countLines(ctx, object)
		}
		return m.object(ctx, object)
	})
	if err != nil {
		return err
	}
	return m.finish(ctx)
}

// span is a part of all requests: those whose ids sort after one text and
// before another. "" leaves an end open.
type span struct{ after, before string }

// merge brings rows and objects of one request together. Both come in the order
// of ids, for a key sorts by date and id.
type merge struct {
	c       *checker
	span    span
	visit   func(batch []request) error
	rows    []Entry // read and not yet merged
	after   string  // the last row that was read
	ended   bool
	current request // whose objects are coming
	batch   []request
}

func (c *checker) newMerge(part span, visit func([]request) error) *merge {
	return &merge{c: c, span: part, after: part.after, visit: visit}
}

func (m *merge) object(ctx context.Context, object blob.Object) error {
	id, _, ok := parseKey(object.Key)
	if !ok {
		return m.c.add(ctx, problem{finding: check.Finding{Code: "key_unknown", Key: object.Key, Detail: "this key is not of the layout; it is never touched"}})
	}
	if id != m.current.id {
		if err := m.close(ctx); err != nil {
			return err
		}
		m.current = request{id: id}
	}
	if len(m.current.objects) < maxObjects {
		m.current.objects = append(m.current.objects, object)
	}
	return nil
}

// close emits the request whose objects have come, after the rows before it.
func (m *merge) close(ctx context.Context) error {
	if m.current.id == "" {
		return nil
	}
	done := m.current
	m.current = request{}
	for {
		row, err := m.peek(ctx)
		if err != nil {
			return err
		}
		if row == nil || row.ID > done.id {
			return m.emit(done)
		}
		m.rows = m.rows[1:]
		if row.ID == done.id {
			done.row = row
			return m.emit(done)
		}
		if err := m.emit(request{id: row.ID, row: row}); err != nil {
			return err
		}
	}
}

// finish emits what is left.
func (m *merge) finish(ctx context.Context) error {
	if err := m.close(ctx); err != nil {
		return err
	}
	for {
		row, err := m.peek(ctx)
		if err != nil {
			return err
		}
		if row == nil {
			return m.flush()
		}
		m.rows = m.rows[1:]
		if err := m.emit(request{id: row.ID, row: row}); err != nil {
			return err
		}
	}
}

// peek returns the next row, nil after the last.
func (m *merge) peek(ctx context.Context) (*Entry, error) {
	if len(m.rows) == 0 && !m.ended {
		page, err := m.c.Rows.ListEntries(ctx, m.after, rowPage)
		if err != nil {
			return nil, err
		}
		m.rows, m.ended = page, len(page) < rowPage
		if len(page) > 0 {
			m.after = page[len(page)-1].ID
		}
	}
	if len(m.rows) == 0 || m.span.before != "" && m.rows[0].ID >= m.span.before {
		return nil, nil
	}
	return &m.rows[0], nil
}

func (m *merge) emit(one request) error {
	m.batch = append(m.batch, one)
	if len(m.batch) < batchSize {
		return nil
	}
	return m.flush()
}

func (m *merge) flush() error {
	batch := m.batch
	m.batch = nil
	if len(batch) == 0 {
		return nil
	}
	return m.visit(batch)
}

// judgeBatch judges requests and notes those to be looked at again.
func (c *checker) judgeBatch(ctx context.Context, batch []request) error {
	verdicts, err := c.judgeAll(ctx, batch)
	if err != nil {
		return err
	}
	for i, seen := range verdicts {
		c.count(batch[i])
		if seen.listed {
			c.expectLine(*seen.owner, batch[i].id)
		}
		if len(seen.problems) > 0 {
			c.suspects = append(c.suspects, batch[i].id)
		}
	}
	if len(c.suspects) < maxSuspect {
		return nil
	}
	return c.settleSuspects(ctx)
}

// judgeAll judges the requests of a batch, several at once.
func (c *checker) judgeAll(ctx context.Context, batch []request) ([]verdict, error) {
	read, err := c.readRecords(ctx, batch)
	if err != nil {
		return nil, err
	}
	accounts, err := c.accountsOf(ctx, read)
	if err != nil {
		return nil, err
	}
	verdicts := make([]verdict, len(batch))
	return verdicts, eachOf(len(batch), func(i int) (err error) {
		verdicts[i], err = c.judge(ctx, read[i], accounts)
		return err
	})
}

// eachOf calls work for every index below n, several at once, and returns the
// first error.
func eachOf(n int, work func(i int) error) error {
	errs := make([]error, n)
	turns := make(chan struct{}, judges)
	var group sync.WaitGroup
	for i := range n {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			errs[i] = work(i)
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) count(one request) {
	if one.row != nil {
		c.area.Rows.Add(1)
	}
	for _, object := range one.objects {
		switch _, name, _ := parseKey(object.Key); {
		case name == "record.json":
			c.area.Records.Add(1)
		case c.isMade(name):
			c.area.Media.Add(1)
		}
	}
}
