package auth

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
)

const (
	// touchEvery is how exact the last use of an API key is recorded.
	touchEvery = time.Minute
	// touchTimeout bounds what recording it may cost a request, which still has
	// to hear of a database that hangs within 3 s.
	touchTimeout = 500 * time.Millisecond
)

// gate turns credentials into identities. What it knows about sessions, keys
// and accounts is at most freshFor old, and dropped at once when this process
// changes it or learns of a change by another one.
type gate struct {
	tokens   *tokens
	sessions SessionRepository
	keys     KeyRepository
	users    UserRepository
	now      func() time.Time
	logger   *slog.Logger
	announce func(Change) // tells the other processes

	liveSessions *freshCache[string, liveSession] // by session id
	liveKeys     *freshCache[string, liveKey]     // by the hash of the key
	quotas       *freshCache[int64, Quotas]       // by user id
}

type liveSession struct {
	session Session
	owner   User
}

type liveKey struct {
	key   Key
	owner User
}

func newGate(g gate) *gate {
	g.liveSessions = newFreshCache[string, liveSession](g.now)
	g.liveKeys = newFreshCache[string, liveKey](g.now)
	g.quotas = newFreshCache[int64, Quotas](g.now)
	return &g
}

// authenticate returns who holds a credential: an access token of a live
// session or an API key. The role is the account's current one.
func (g *gate) authenticate(ctx context.Context, credential string) (identity.Identity, error) {
	if strings.HasPrefix(credential, keyPrefix) {
		return g.authenticateKey(ctx, credential)
	}
	token, err := g.tokens.verify(credential)
	if err != nil {
		return identity.Identity{}, err
	}
	live, err := g.liveSessions.find(token.sessionID, func() (liveSession, error) {
		session, owner, err := g.sessions.FindSession(ctx, token.sessionID)
		return liveSession{session, owner}, err
	})
	if fault.Is(err, fault.NotFound) {
		return identity.Identity{}, sessionRevoked()
	}
	if err != nil {
		return identity.Identity{}, err
	}
	if !live.session.live(g.now()) || live.session.UserID != token.userID {
		return identity.Identity{}, sessionRevoked()
	}
	if !live.owner.Active() {
		return identity.Identity{}, closedAccount()
	}
	return identity.Identity{UserID: live.owner.ID, Role: live.owner.Role, SessionID: live.session.ID}, nil
}

func (g *gate) authenticateKey(ctx context.Context, credential string) (identity.Identity, error) {
	if !looksLikeAPIKey(credential) {
		return identity.Identity{}, invalidToken(errors.New("malformed API key"))
	}
	hash := hashOf(credential)
	live, err := g.liveKeys.find(hash, func() (liveKey, error) {
		key, owner, err := g.keys.FindKeyByHash(ctx, hash)
		return liveKey{key, owner}, err
	})
	if fault.Is(err, fault.NotFound) {
		return identity.Identity{}, invalidToken(errors.New("unknown API key"))
	}
	if err != nil {
		return identity.Identity{}, err
	}
	if !live.key.live(g.now()) {
		return identity.Identity{}, fault.New(fault.Unauthenticated, "api_key_expired", "This API key has expired. Make a new one.")
	}
	if !live.owner.Active() {
		return identity.Identity{}, closedAccount()
	}
	g.touch(ctx, hash, live)
	return identity.Identity{UserID: live.owner.ID, Role: live.owner.Role, KeyID: live.key.ID}, nil
}

// touch records the use of a key, at most once in touchEvery. That it could not
// be recorded is no reason to refuse the request.
func (g *gate) touch(ctx context.Context, hash string, live liveKey) {
	now := g.now()
	if live.key.LastUsedAt != nil && now.Sub(*live.key.LastUsedAt) < touchEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, touchTimeout)
	defer cancel()
	if err := g.keys.TouchKey(ctx, live.key.ID, now); err != nil {
		g.logger.WarnContext(ctx, "use of an API key not recorded", "key_id", live.key.ID, "cause", err)
		return
	}
	g.liveKeys.update(hash, func(v liveKey) liveKey {
		v.key.LastUsedAt = &now
		return v
	})
}

// quotasOf returns the quotas of an account that may have changed elsewhere at
// most freshFor ago.
func (g *gate) quotasOf(ctx context.Context, userID int64) (Quotas, error) {
	return g.quotas.find(userID, func() (Quotas, error) {
		user, err := g.users.FindUser(ctx, userID)
		return user.Quotas, err
	})
}

// Change says what a process changed, so that others drop what they remember of
// it. It holds ids only. Exactly one member is set.
type Change struct {
	UserID    int64  // an account: its role, quotas, password, sessions or keys
	SessionID string // a session that ended
	KeyID     string // an API key that was deleted
}

// forgetUser drops all that is known about an account and its credentials, here
// and in the other processes.
func (g *gate) forgetUser(id int64) { g.tell(Change{UserID: id}) }

func (g *gate) forgetSession(id string) { g.tell(Change{SessionID: id}) }

func (g *gate) forgetKey(id string) { g.tell(Change{KeyID: id}) }

func (g *gate) tell(c Change) {
	g.forget(c)
	if c != (Change{}) {
		g.announce(c)
	}
}

// forget drops what is known about one change.
func (g *gate) forget(c Change) {
	switch {
	case c.UserID != 0:
		g.liveSessions.drop(func(_ string, v liveSession) bool { return v.owner.ID == c.UserID })
		g.liveKeys.drop(func(_ string, v liveKey) bool { return v.owner.ID == c.UserID })
		g.quotas.dropKey(c.UserID)
	case c.SessionID != "":
		g.liveSessions.dropKey(c.SessionID)
	case c.KeyID != "":
		g.liveKeys.drop(func(_ string, v liveKey) bool { return v.key.ID == c.KeyID })
	}
}

// forgetAll drops everything.
func (g *gate) forgetAll() {
	g.liveSessions.drop(func(string, liveSession) bool { return true })
	g.liveKeys.drop(func(string, liveKey) bool { return true })
	g.quotas.drop(func(int64, Quotas) bool { return true })
}

func closedAccount() error {
	return fault.New(fault.Unauthenticated, "account_disabled", "This account was disabled by an administrator.")
}
