package chat

import (
	"context"
	"strconv"
	"strings"
	"time"

	"llmhist/platform/check"
	"llmhist/platform/fault"
)

// checked is what a comparison needs of the engine that keeps chats. Reading
// one session's figures is one moment of it.
type checked interface {
	// ListFigures returns the figures of up to limit sessions with ids after the
	// given one, in order of id.
	ListFigures(ctx context.Context, after string, limit int) ([]figures, error)
	// FindFigures returns those of one session, or a NotFound fault.
	FindFigures(ctx context.Context, id string) (figures, error)
	// Recount makes what a session stores of itself what its messages say.
	Recount(ctx context.Context, id string) error
	// ListOpen returns up to limit processing answers older than before, with
	// ids after the given one, in order of id.
	ListOpen(ctx context.Context, before time.Time, after string, limit int) ([]loose, error)
	// FailAnswer ends one processing answer as interrupted.
	FailAnswer(ctx context.Context, id string, at time.Time) error
	// ListStray returns messages without a session, older than before, at most
	// limit, with ids after the given one, in order of id.
	ListStray(ctx context.Context, before time.Time, after string, limit int) ([]loose, error)
	// DeleteStray removes a message without a session.
	DeleteStray(ctx context.Context, id string) error
	// ListHidden returns up to limit sessions whose deletion has not ended.
	ListHidden(ctx context.Context, limit int) ([]string, error)
	// FinishDeletion ends the deletion of a session.
	FinishDeletion(ctx context.Context, id string) error
	EraseUser(ctx context.Context, userID int64) error
}

// figures are what a session stores of itself and what its messages say.
type figures struct {
	ID              string
	UserID          int64
	CreatedAt       time.Time
	Stored, Counted counted
	LastPosition    int64 // stored
	Newest          int64 // the highest position of a message, 0 without any
	Whole           bool  // no message between others is missing, as far as the engine can tell
}

// counted are figures over the messages of a session.
type counted struct{ Messages, Input, Output, Estimated int64 }

// differences names what a session stores wrongly.
func (f figures) differences() []string {
	names := check.Differing(
		check.Fact("message_count", f.Stored.Messages, f.Counted.Messages), check.Fact("input_tokens", f.Stored.Input, f.Counted.Input),
		check.Fact("output_tokens", f.Stored.Output, f.Counted.Output), check.Fact("estimated", f.Stored.Estimated, f.Counted.Estimated))
	if f.LastPosition < f.Newest {
		names = append(names, "last_position")
	}
	return names
}

// loose is a message that something is wrong with.
type loose struct {
	ID        string
	UserID    int64
	CreatedAt time.Time
	Begun     bool // an exchange whose session never came: nobody was told of it
}

// checkPage is how many sessions or messages are read at a time.
const checkPage = 200

// Check compares sessions with their messages and looks for what hangs. Only
// with a report that repairs does it change anything, and then no server may be
// at work. It needs the DB and Documents of deps.
func Check(ctx context.Context, deps Deps, report *check.Report, accounts check.Accounts) error {
	c := &checker{store: deps.checked(), report: report, accounts: accounts, area: report.Area("chat")}
	began := time.Now()
	defer func() { c.area.Took = time.Since(began) }()
	hidden, err := c.store.ListHidden(ctx, checkPage)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{c.sessions, c.strays, c.openAnswers} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return c.deletions(ctx, hidden)
}

func (d Deps) checked() checked {
	if d.Documents != nil {
		return mongoRepository{d.Documents}
	}
	return gormRepository{d.DB}
}

type checker struct {
	store    checked
	report   *check.Report
	accounts check.Accounts
	area     *check.Area
	gone     map[int64]bool // erased accounts that were reported
}

func (c *checker) add(ctx context.Context, code, id, detail string, repair check.Repair) error {
	return c.report.Add(ctx, check.Finding{Code: code, Service: "chat", ID: id, Detail: detail}, repair)
}

func (c *checker) sessions(ctx context.Context) error {
	after := ""
	for {
		page, err := c.store.ListFigures(ctx, after, checkPage)
		if err != nil || len(page) == 0 {
			return err
		}
		after = page[len(page)-1].ID
		ids := make([]int64, len(page))
		for i, one := range page {
			ids[i] = one.UserID
		}
		accounts, err := c.accountsOf(ctx, ids)
		if err != nil {
			return err
		}
		for _, one := range page {
			c.area.Rows.Add(1 + one.Counted.Messages)
			if err := c.session(ctx, one, accounts.Of(&one.UserID, one.CreatedAt)); err != nil {
				return err
			}
		}
	}
}

func (c *checker) accountsOf(ctx context.Context, ids []int64) (check.Accounting, error) {
	distinct := []int64{}
	seen := map[int64]bool{}
	for _, id := range ids {
		if !seen[id] {
			distinct = append(distinct, id)
		}
		seen[id] = true
	}
	return c.accounts.FindAccounts(ctx, distinct)
}

func (c *checker) session(ctx context.Context, one figures, owner check.Ownership) error {
	ctx, done := context.WithCancel(ctx)
	defer done() // else the deadline of each read stays in memory until it is over
	switch owner {
	case check.Leaving:
		return nil
	case check.Erased:
		return c.ofNobody(ctx, one.UserID, one.CreatedAt)
	case check.Unknown:
		return c.add(ctx, "account_unknown", one.ID, "this database never had its account, or had it later: nothing of it is touched", nil)
	}
	if len(one.differences()) == 0 && one.Whole {
		return nil
	}
	again, err := c.store.FindFigures(ctx, one.ID)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !again.Whole {
		if err := c.add(ctx, "message_missing", one.ID, "a message between others is not there: restore it from a backup", nil); err != nil {
			return err
		}
	}
	names := again.differences()
	if len(names) == 0 {
		return nil
	}
	return c.add(ctx, "session_differs", one.ID, "it differs from its messages in "+strings.Join(names, ", "),
		func(ctx context.Context) (string, error) { return "counted anew", c.store.Recount(ctx, one.ID) })
}

// ofNobody reports the sessions of an erased account, once.
func (c *checker) ofNobody(ctx context.Context, userID int64, at time.Time) error {
	if c.gone[userID] || !c.report.Old(at) {
		return nil
	}
	if c.gone == nil {
		c.gone = map[int64]bool{}
	}
	c.gone[userID] = true
	return c.add(ctx, "sessions_without_account", strconv.FormatInt(userID, 10), "this account was erased, and there are sessions of it",
		func(ctx context.Context) (string, error) { return "sessions removed", c.store.EraseUser(ctx, userID) })
}

func (c *checker) openAnswers(ctx context.Context) error {
	return c.eachLoose(ctx, c.store.ListOpen, func(one loose) error {
		return c.add(ctx, "answer_unfinished", one.ID, "it is still processing and older than the grace",
			func(ctx context.Context) (string, error) {
				return "settled as interrupted", c.store.FailAnswer(ctx, one.ID, c.report.Now().UTC().Truncate(time.Millisecond))
			})
	})
}

// strays are messages without a session. They are removed when their session
// never came or their account was erased; otherwise a session was lost, and
// they are kept for whoever can restore it.
func (c *checker) strays(ctx context.Context) error {
	return c.eachLoose(ctx, c.store.ListStray, func(one loose) error {
		accounts, err := c.accounts.FindAccounts(ctx, []int64{one.UserID})
		if err != nil {
			return err
		}
		var repair check.Repair
		detail := "its session is not there: restore that from a backup"
		if one.Begun || accounts.Of(&one.UserID, one.CreatedAt) == check.Erased {
			detail = "its session is not there, and will not come"
			repair = func(ctx context.Context) (string, error) { return "removed", c.store.DeleteStray(ctx, one.ID) }
		}
		return c.add(ctx, "message_without_session", one.ID, detail, repair)
	})
}

func (c *checker) eachLoose(ctx context.Context, list func(context.Context, time.Time, string, int) ([]loose, error), visit func(loose) error) error {
	after, before := "", c.report.Now().Add(-c.report.Grace).UTC()
	for {
		page, err := list(ctx, before, after, checkPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, one := range page {
			if err := visit(one); err != nil {
				return err
			}
		}
		after = page[len(page)-1].ID
	}
}

// deletions reports those that were under way when the check began and still
// are.
func (c *checker) deletions(ctx context.Context, before []string) error {
	if len(before) == 0 {
		return nil
	}
	still, err := c.store.ListHidden(ctx, checkPage)
	if err != nil {
		return err
	}
	hidden := map[string]bool{}
	for _, id := range still {
		hidden[id] = true
	}
	for _, id := range before {
		if !hidden[id] {
			continue
		}
		err := c.add(ctx, "deletion_unfinished", id, "the deletion of this session began and has not ended",
			func(ctx context.Context) (string, error) { return "deleted", c.store.FinishDeletion(ctx, id) })
		if err != nil {
			return err
		}
	}
	return nil
}

func isGone(err error) bool { return fault.Is(err, fault.NotFound) }
