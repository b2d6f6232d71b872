package crash

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// allowance is a quota of images for one account and what was used of it.
type allowance struct {
	owner *account
	limit int
	day   string // UTC day on which it was used; on another it is whole again
	fact  *fact

	mu    sync.Mutex
	given int // acknowledged images
	lost  int // requests of which nobody knows whether they were charged
	empty bool
}

// quotaWriter uses up quotas. Then it erases the account with all it owns.
type quotaWriter struct {
	field *field
	now   *allowance
	items []*made
}

const imagesPerDay = 2

func (w *quotaWriter) step() bool {
	if w.now == nil {
		return w.begin()
	}
	if w.now.empty {
		return w.finish()
	}
	return w.use()
}

// begin makes an account with a quota.
func (w *quotaWriter) begin() bool {
	a, _, ok := w.field.newAccount()
	if !ok {
		return false
	}
	_, out := w.field.ask(http.MethodPatch, fmt.Sprintf("/admin/users/%d", a.id), w.field.admin,
		object{"quotas": object{"image_per_day": imagesPerDay}}, http.StatusOK)
	if out != done {
		return false
	}
	q := &allowance{owner: a, limit: imagesPerDay, day: today()}
	q.fact = w.field.book.add("quota", func(c *client) error { return w.field.allowed(c, q) })
	w.now, w.items = q, nil
	return true
}

func today() string { return time.Now().UTC().Format(time.DateOnly) }

// use makes an image, or is told that the quota is used up.
func (w *quotaWriter) use() bool {
	q := w.now
	item := &made{kind: pictures, mark: w.field.mark("image"), owner: q.owner.access}
	w.field.ledger.ask(q.owner.access)
	began := time.Now()
	got := w.field.client.Load().call(http.MethodPost, "/image/generate", q.owner.access, pictures.ask(item.mark))
	q.mu.Lock()
	defer q.mu.Unlock()
	sameDay := q.day == today()
	switch {
	case got.is(http.StatusTooManyRequests) && got.text("code") == "quota_exceeded":
		q.empty = true
		if q.given+q.lost < q.limit && sameDay {
			w.field.violate("a quota of %d is used up after %d images and %d requests without an answer", q.limit, q.given, q.lost)
		}
	case w.field.judge("POST /image/generate with a quota", began, got, http.StatusCreated) == done:
		w.field.ledger.answer(q.owner.access)
		q.given++
		item.id = got.text("id")
		item.fact = w.field.book.add("image", item.isWhole)
		w.items = append(w.items, item)
	default:
		w.field.ledger.unask(q.owner.access, got.err)
		q.lost++
		return false
	}
	if q.given > q.limit && sameDay {
		w.field.violate("a quota of %d gave %d images", q.limit, q.given)
	}
	return true
}

// allowed finds the quota as it was set, and used up where it was.
func (f *field) allowed(c *client, q *allowance) error {
	found, err := c.find(fmt.Sprintf("/admin/users/%d", q.owner.id), f.admin)
	if err != nil {
		return err
	}
	quotas, _ := found["quotas"].(object)
	if quotas["image_per_day"] != float64(q.limit) {
		return fmt.Errorf("the quota of account %d is %v", q.owner.id, quotas["image_per_day"])
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.empty || q.day != today() {
		return nil
	}
	f.ledger.ask(q.owner.access)
	if got := c.call(http.MethodPost, "/image/generate", q.owner.access, pictures.ask("one too many")); !got.is(http.StatusTooManyRequests) {
		return &unexpected{"an image beyond the quota", got}
	}
	return nil
}

// finish keeps the account, or, more often as that is rare, erases it with its
// images.
func (w *quotaWriter) finish() bool {
	q, items := w.now, w.items
	w.now, w.items = nil, nil
	if chance(5) {
		return true
	}
	w.field.closing.add(q.owner.id)
	w.field.book.change(q.fact, noCheck)
	for _, item := range items {
		w.field.book.change(item.fact, noCheck)
	}
	for _, f := range q.owner.told {
		w.field.book.change(f, noCheck)
	}
	_, out := w.field.ask(http.MethodDelete, "/users/me", q.owner.access, nil, http.StatusNoContent)
	if out != done {
		return false
	}
	w.field.closing.remove(q.owner.id)
	w.field.book.count("account deletion")
	w.field.book.change(q.fact, q.owner.cannotSignIn)
	for _, item := range items {
		w.field.book.change(item.fact, func(c *client) error { return c.absent("/image/"+item.id, w.field.admin) })
	}
	return true
}

// ids is a set of numbers.
type ids struct {
	mu  sync.Mutex
	set map[int64]bool
}

func (i *ids) add(id int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.set == nil {
		i.set = map[int64]bool{}
	}
	i.set[id] = true
}

func (i *ids) remove(id int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.set, id)
}

func (i *ids) has(id int64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.set[id]
}
