package crash

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// sessionState is what is known about a session.
type sessionState int

const (
	sessionLive    sessionState = iota
	sessionRevoked              // its end was acknowledged
	sessionUnsure               // a rotation or revocation was not answered
)

// session is one sign-in and the refresh token it stands at.
type session struct {
	owner *account
	id    string
	fact  *fact

	mu              sync.Mutex
	state           sessionState
	access, refresh string
	spent           string // the token before
}

// signIn begins a session.
func (f *field) signIn(a *account) (*session, bool) {
	got, out := f.ask(http.MethodPost, "/auth/login", "", a.credentials(), http.StatusOK)
	if out != done {
		return nil, false
	}
	s := &session{owner: a, access: got.text("accessToken"), refresh: got.text("refreshToken")}
	s.id = sessionOf(s.access)
	s.fact = f.book.add("sign-in", s.holds)
	a.told = append(a.told, s.fact)
	return s, true
}

// sessionOf reads the session's id from an access token.
func sessionOf(access string) string {
	var claims struct{ SID string }
	if parts := strings.Split(access, "."); len(parts) == 3 {
		data, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(data, &claims)
	}
	return claims.SID
}

// holds rotates a live session, whose new token has to work, and finds a revoked
// one closed.
func (s *session) holds(c *client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case sessionUnsure:
		return nil
	case sessionRevoked:
		return s.closed(c)
	}
	if _, err := c.find("/users/me", s.access); err != nil {
		return fmt.Errorf("the access token of session %s: %w", s.id, err)
	}
	got := c.call(http.MethodPost, "/auth/refresh", "", object{"refreshToken": s.refresh})
	if got.unavailable() {
		s.state = sessionUnsure // it may be spent
		return nil
	}
	if !got.is(http.StatusOK) {
		return &unexpected{"the refresh token of session " + s.id, got}
	}
	s.take(got)
	return nil
}

func (s *session) take(got answer) {
	s.spent, s.access, s.refresh = s.refresh, got.text("accessToken"), got.text("refreshToken")
}

// closed returns an error unless neither token works.
func (s *session) closed(c *client) error {
	if got := c.call(http.MethodGet, "/users/me", s.access, nil); !got.is(http.StatusUnauthorized) {
		return &unexpected{"the access token of the ended session " + s.id, got}
	}
	if got := c.call(http.MethodPost, "/auth/refresh", "", object{"refreshToken": s.refresh}); !got.is(http.StatusUnauthorized) {
		return &unexpected{"the refresh token of the ended session " + s.id, got}
	}
	return nil
}

// end notes that the session's state is another.
func (s *session) end(state sessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// key is one API key.
type key struct {
	id, secret string
	fact       *fact
}

// accountWriter lives the life of an account: it signs in and out, rotates
// tokens, makes and deletes keys, and moves on to a new account.
type accountWriter struct {
	field    *field
	now      *account
	sessions []*session
	keys     []*key
	signIns  int
}

// signInsEach is how often an account is signed in before the next is made: an
// account keeps the 100 sessions used last.
const signInsEach = 30

func (w *accountWriter) step() bool {
	switch {
	case w.now == nil || w.signIns >= signInsEach:
		return w.move()
	case len(w.sessions) == 0 || chance(10):
		return w.signIn()
	case chance(4):
		return w.endSession()
	case len(w.keys) < 10 && chance(3):
		return w.createKey()
	case len(w.keys) > 0 && chance(3):
		return w.deleteKey()
	default:
		return w.rotate()
	}
}

// move makes the next account; what the last one has stays.
func (w *accountWriter) move() bool {
	a, s, ok := w.field.newAccount()
	if !ok {
		return false
	}
	w.now, w.sessions, w.keys, w.signIns = a, nil, nil, 1
	// This session is the one that keys are managed with: it is never ended.
	w.field.book.change(s.fact, func(c *client) error { _, err := c.find("/users/me", a.access); return err })
	return true
}

func (w *accountWriter) signIn() bool {
	w.signIns++
	s, ok := w.field.signIn(w.now)
	if ok {
		w.sessions = append(w.sessions, s)
	}
	return ok
}

// rotate exchanges a refresh token. When nobody knows whether it was spent, the
// session is left alone from then on.
func (w *accountWriter) rotate() bool {
	s := w.sessions[len(w.sessions)-1]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != sessionLive {
		w.sessions = w.sessions[:len(w.sessions)-1]
		return true
	}
	got, out := w.field.ask(http.MethodPost, "/auth/refresh", "", object{"refreshToken": s.refresh}, http.StatusOK)
	if out != done {
		s.state = sessionUnsure
		return false
	}
	s.take(got)
	w.field.book.count("rotation")
	w.field.book.change(s.fact, s.holds)
	return true
}

// endSession revokes a session, signs it out, or shows a spent token again,
// which ends it too.
func (w *accountWriter) endSession() bool {
	s := w.sessions[0]
	w.sessions = w.sessions[1:]
	s.mu.Lock()
	state, spent, refresh := s.state, s.spent, s.refresh
	s.mu.Unlock()
	if state != sessionLive {
		return true
	}
	s.end(sessionUnsure)
	var out outcome
	kind := "session revocation"
	switch {
	case spent != "" && chance(3):
		kind = "reuse refused"
		var got answer
		got, out = w.field.ask(http.MethodPost, "/auth/refresh", "", object{"refreshToken": spent}, http.StatusUnauthorized)
		if code := got.text("code"); out == done && code != "refresh_token_reused" {
			w.field.violate("a spent refresh token is refused with %s", code)
		}
	case chance(2):
		kind = "sign-out"
		_, out = w.field.ask(http.MethodPost, "/auth/logout", "", object{"refreshToken": refresh}, http.StatusNoContent)
	default:
		_, out = w.field.ask(http.MethodDelete, "/auth/sessions/"+s.id, w.now.access, nil, http.StatusNoContent)
	}
	if out != done {
		return false
	}
	s.end(sessionRevoked)
	w.field.book.count(kind)
	w.field.book.change(s.fact, s.holds)
	return true
}

func (w *accountWriter) createKey() bool {
	got, out := w.field.ask(http.MethodPost, "/users/me/api-keys", w.now.access, object{"name": w.field.mark("key")}, http.StatusCreated)
	if out != done {
		return false
	}
	k := &key{id: got.text("id"), secret: got.text("key")}
	k.fact = w.field.book.add("API key", func(c *client) error { _, err := c.find("/users/me", k.secret); return err })
	w.keys = append(w.keys, k)
	return true
}

func (w *accountWriter) deleteKey() bool {
	k := w.keys[0]
	w.keys = w.keys[1:]
	w.field.book.change(k.fact, noCheck)
	_, out := w.field.ask(http.MethodDelete, "/users/me/api-keys/"+k.id, w.now.access, nil, http.StatusNoContent)
	if out != done {
		return false
	}
	w.field.book.count("API key deletion")
	w.field.book.change(k.fact, func(c *client) error {
		if got := c.call(http.MethodGet, "/users/me", k.secret, nil); !got.is(http.StatusUnauthorized) {
			return &unexpected{"a deleted API key", got}
		}
		return nil
	})
	return true
}
