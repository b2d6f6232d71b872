package crash

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// media is one kind of what is generated and kept as objects.
type media struct {
	noun, path, link string
	// ask returns the body of a request for mark.
	ask func(mark string) object
	// holds tells whether the bytes are those that the request called for.
	holds func(mark string, data []byte) error
}

var pictures = media{
	noun: "image", path: "/image", link: "download_url",
	ask: func(mark string) object { return object{"prompt": mark, "size": "64x64", "style": "pixel"} },
	holds: func(_ string, data []byte) error {
		if !bytes.HasPrefix(data, []byte("\x89PNG")) || !bytes.HasSuffix(data, []byte("IEND\xaeB`\x82")) {
			return fmt.Errorf("%d bytes that are no whole PNG", len(data))
		}
		return nil
	},
}

var sounds = media{
	noun: "speech", path: "/speech", link: "audio_url",
	ask: func(mark string) object { return object{"text": mark, "model": "voice", "format": "wav"} },
	holds: func(mark string, data []byte) error {
		if !bytes.Equal(data, spoken(mark)) {
			return fmt.Errorf("%d bytes that are not the sound of the text", len(data))
		}
		return nil
	},
}

// made is one acknowledged item.
type made struct {
	kind  media
	id    string
	mark  string
	owner string // access token; "" = anonymous
	sum   string // of the bytes, once they were seen
	fact  *fact
}

// mediaWriter makes items for an account, or anonymously, and deletes some of
// them again.
type mediaWriter struct {
	field *field
	kind  media
	owner *account
	mine  []*made
}

func (w *mediaWriter) step() bool {
	if len(w.mine) > 0 && chance(5) {
		return w.delete()
	}
	owner := w.owner.access
	if chance(8) {
		owner = ""
	}
	item, ok := w.field.generate(w.kind, owner)
	if ok && owner != "" {
		w.mine = append(w.mine, item)
	}
	return ok
}

// generate makes one item and notes it.
func (f *field) generate(kind media, owner string) (*made, bool) {
	item := &made{kind: kind, mark: f.mark(kind.noun), owner: owner}
	f.ledger.ask(owner)
	got, out := f.ask(http.MethodPost, kind.path+"/generate", owner, kind.ask(item.mark), http.StatusCreated)
	if out != done {
		f.ledger.unask(owner, got.err)
		return nil, false
	}
	f.ledger.answer(owner)
	item.id = got.text("id")
	item.fact = f.book.add(kind.noun, item.isWhole)
	return item, true
}

// delete deletes one of the writer's items.
func (w *mediaWriter) delete() bool {
	i := rand.IntN(len(w.mine))
	item := w.mine[i]
	w.mine = append(w.mine[:i], w.mine[i+1:]...)
	w.field.book.change(item.fact, item.isWholeOrGone)
	_, out := w.field.ask(http.MethodDelete, item.kind.path+"/"+item.id, item.owner, nil, http.StatusNoContent)
	if out == done {
		w.field.book.count(item.kind.noun + " deletion")
		w.field.book.change(item.fact, func(c *client) error { return c.absent(item.kind.path+"/"+item.id, item.owner) })
	}
	return out == done
}

// isWhole looks at the item and its bytes.
func (m *made) isWhole(c *client) error {
	found, err := c.find(m.kind.path+"/"+m.id, m.owner)
	if err != nil {
		return err
	}
	if found["status"] != "completed" {
		return fmt.Errorf("%s %s is %v (%v)", m.kind.noun, m.id, found["status"], found["error"])
	}
	link, _ := found[m.kind.link].(string)
	data := c.call(http.MethodGet, link, "", nil)
	if !data.is(http.StatusOK) {
		return &unexpected{"the bytes of " + m.kind.noun + " " + m.id, data}
	}
	if err := m.kind.holds(m.mark, data.body); err != nil {
		return fmt.Errorf("%s %s has %w", m.kind.noun, m.id, err)
	}
	hash := sha256.Sum256(data.body)
	sum := hex.EncodeToString(hash[:])
	if m.sum != "" && m.sum != sum {
		return fmt.Errorf("the bytes of %s %s changed", m.kind.noun, m.id)
	}
	m.sum = sum
	return nil
}

// isWholeOrGone is what holds when nobody knows whether it was deleted.
func (m *made) isWholeOrGone(c *client) error {
	got := c.call(http.MethodGet, m.kind.path+"/"+m.id, m.owner, nil)
	if got.is(http.StatusNotFound) {
		return nil
	}
	return m.isWhole(c)
}
