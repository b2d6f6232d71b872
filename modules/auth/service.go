package auth

import (
	"context"
	"log/slog"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/logging"
	"llmhist/platform/ratelimit"
)

const (
	// keptSessions is how many devices an account can be signed in on.
	keptSessions = 100
	// keptKeys is how many API keys an account can have.
	keptKeys = 50
)

// service holds the rules of accounts.
type service struct {
	cfg           Config
	users         UserRepository
	deletions     DeletionRepository
	sessions      SessionRepository
	keys          KeyRepository
	quotas        QuotaRepository
	hasher        *hasher
	tokens        *tokens
	gate          *gate
	guesses       guesses
	now           func() time.Time
	newID         func(time.Time) string
	onUserDeleted func(ctx context.Context, userID int64) error
	logger        *slog.Logger
}

func newService(cfg Config, deps Deps, tokens *tokens) *service {
	users := sqlUsers{deps.DB}
	s := &service{
		cfg: cfg, users: users, deletions: users,
		sessions: sqlSessions{deps.DB}, keys: sqlKeys{deps.DB}, quotas: sqlQuotas{deps.DB},
		hasher: newHasher(), tokens: tokens, newID: deps.NewID, logger: deps.Logger,
		now:           func() time.Time { return deps.Now().UTC().Truncate(time.Millisecond) },
		onUserDeleted: deps.OnUserDeleted,
	}
	if s.onUserDeleted == nil {
		s.onUserDeleted = func(context.Context, int64) error { return nil }
	}
	if deps.Announce == nil {
		deps.Announce = func(Change) {}
	}
	s.gate = newGate(gate{tokens: tokens, sessions: s.sessions, keys: s.keys, users: s.users, now: s.now, logger: s.logger, announce: deps.Announce})
	s.guesses = guesses{deps.Limiter}
	if deps.Limiter == nil {
		s.guesses = guesses{ratelimit.NewLocal(s.now)}
	}
	return s
}

// registration is what a new account is made from.
type registration struct {
	Email, Password, Name string
	Role                  identity.Role
}

// SignIn is what a client gets to act as a user.
type SignIn struct {
	AccessToken  logging.Secret
	RefreshToken logging.Secret
	ExpiresIn    time.Duration // of the access token
	User         User
}

// Register makes an account for anybody, unless the operator closed that.
func (s *service) Register(ctx context.Context, r registration) (User, error) {
	if !s.cfg.Registration {
		return User{}, fault.New(fault.Forbidden, "registration_closed", "Accounts are made by the operator of this server. Ask for one.")
	}
	r.Role = identity.RoleUser
	return s.createUser(ctx, r)
}

func (s *service) createUser(ctx context.Context, r registration) (User, error) {
	var fields fault.Fields
	email := checkEmail(&fields, "email", r.Email)
	checkPassword(&fields, "password", r.Password)
	name := checkName(&fields, "name", r.Name)
	if err := fields.Err(); err != nil {
		return User{}, err
	}
	// An address that is taken is not worth the work of a hash; the unique index
	// decides when two come at once.
	_, err := s.users.FindUserByEmail(ctx, email)
	if err == nil {
		return User{}, emailTaken()
	}
	if !fault.Is(err, fault.NotFound) {
		return User{}, err
	}
	hash, err := s.hasher.hash(ctx, r.Password)
	if err != nil {
		return User{}, err
	}
	now := s.now()
	return s.users.CreateUser(ctx, User{
		Email: email, PasswordHash: hash, Role: r.Role, Name: name, CreatedAt: now, UpdatedAt: now,
	})
}

// Login begins a session. Whatever is wrong with address or password costs the
// same work and gives the same answer; only leaving one out is told apart.
func (s *service) Login(ctx context.Context, email, password string) (SignIn, error) {
	var fields fault.Fields
	fields.Check(email != "", "email", "required", "must not be empty")
	fields.Check(password != "", "password", "required", "must not be empty")
	if err := fields.Err(); err != nil {
		return SignIn{}, err
	}
	signIn, err := s.tryLogin(ctx, email, password)
	if fault.CodeOf(err) == "password_changed" {
		// The hash was replaced while it was checked: by a new password, or by
		// another login that renewed an old hash of the same password.
		signIn, err = s.tryLogin(ctx, email, password)
	}
	if fault.CodeOf(err) == "password_changed" {
		return SignIn{}, invalidCredentials()
	}
	return signIn, err
}

func (s *service) tryLogin(ctx context.Context, email, password string) (SignIn, error) {
	user, known, err := s.findForLogin(ctx, email)
	if err != nil {
		return SignIn{}, err
	}
	hash := dummyHash
	if known {
		hash = user.PasswordHash
	}
	match, outdated, err := s.hasher.verify(ctx, password, hash)
	if err != nil {
		return SignIn{}, err
	}
	if !known || !match {
		return SignIn{}, invalidCredentials()
	}
	if user.DisabledAt != nil {
		return SignIn{}, fault.New(fault.Forbidden, "account_disabled", "This account was disabled by an administrator.")
	}
	signIn, err := s.beginSession(ctx, user)
	if err == nil && outdated {
		s.renewHash(ctx, user, password)
	}
	return signIn, err
}

// findForLogin reports false for an address that is malformed or unknown and
// for an account that is being erased.
func (s *service) findForLogin(ctx context.Context, text string) (User, bool, error) {
	email, ok := canonicalEmail(text)
	if !ok {
		return User{}, false, nil
	}
	user, err := s.users.FindUserByEmail(ctx, email)
	if fault.Is(err, fault.NotFound) {
		return User{}, false, nil
	}
	return user, err == nil && user.DeletingAt == nil, err
}

func (s *service) beginSession(ctx context.Context, user User) (SignIn, error) {
	now := s.now()
	refresh := newRefreshToken()
	session := Session{
		ID: s.newID(now), UserID: user.ID, TokenHash: hashOf(refresh.whole), FamilyHash: hashOf(refresh.family),
		ExpiresAt: now.Add(s.cfg.RefreshTokenLife), CreatedAt: now, LastUsedAt: now, Client: identity.ClientFrom(ctx),
	}
	if err := s.sessions.CreateSession(ctx, session, user.PasswordHash, keptSessions); err != nil {
		return SignIn{}, err
	}
	return s.signIn(user, session.ID, refresh)
}

func (s *service) signIn(user User, sessionID string, refresh refreshToken) (SignIn, error) {
	access, err := s.tokens.sign(user, sessionID, s.newID(s.now()))
	if err != nil {
		return SignIn{}, err
	}
	return SignIn{
		AccessToken: logging.Secret(access), RefreshToken: logging.Secret(refresh.whole),
		ExpiresIn: s.cfg.AccessTokenLife, User: user,
	}, nil
}

// renewHash replaces a bcrypt hash, or one with old parameters, now that the
// password is at hand. The login has succeeded; that this did not can wait for
// the next one.
func (s *service) renewHash(ctx context.Context, user User, password string) {
	hash, err := s.hasher.hash(ctx, password)
	if err == nil {
		err = s.users.ReplacePassword(ctx, PasswordChange{UserID: user.ID, Old: user.PasswordHash, New: hash, At: s.now()})
	}
	if err != nil && !fault.Is(err, fault.Conflict) {
		s.logger.WarnContext(ctx, "password hash not renewed", "user_id", user.ID, "cause", err)
	}
}

// Refresh exchanges a refresh token for the next one and an access token.
func (s *service) Refresh(ctx context.Context, text string) (SignIn, error) {
	var fields fault.Fields
	fields.Check(text != "", "refreshToken", "required", "must not be empty")
	if err := fields.Err(); err != nil {
		return SignIn{}, err
	}
	spent, ok := parseRefreshToken(text)
	if !ok {
		return SignIn{}, invalidRefreshToken()
	}
	now := s.now()
	next := nextRefreshToken(spent.family)
	session, owner, err := s.sessions.RotateRefreshToken(ctx, Rotation{
		FamilyHash: hashOf(spent.family), SpentHash: hashOf(spent.whole), NextHash: hashOf(next.whole),
		Now: now, ExpiresAt: now.Add(s.cfg.RefreshTokenLife), Client: identity.ClientFrom(ctx),
	})
	if err != nil {
		s.gate.forgetSession(session.ID)
		return SignIn{}, err
	}
	return s.signIn(owner, session.ID, next)
}

// Logout ends the session of a refresh token ("" for none), the session of the
// caller, or both. A refresh token that is not known is as good as signed out.
func (s *service) Logout(ctx context.Context, text string) error {
	caller := identity.From(ctx)
	if text == "" && caller.Anonymous() {
		return identity.SignInRequired()
	}
	if text == "" && caller.KeyID != "" {
		return sessionRequired()
	}
	if err := s.endFamily(ctx, text); err != nil {
		return err
	}
	if caller.SessionID == "" {
		return nil
	}
	err := s.endSession(ctx, caller.UserID, caller.SessionID)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func (s *service) endFamily(ctx context.Context, text string) error {
	token, ok := parseRefreshToken(text)
	if !ok {
		return nil
	}
	id, err := s.sessions.RevokeFamily(ctx, hashOf(token.family))
	s.gate.forgetSession(id)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func (s *service) endSession(ctx context.Context, userID int64, id string) error {
	err := s.sessions.RevokeSession(ctx, userID, id, s.now())
	s.gate.forgetSession(id)
	return err
}

func invalidCredentials() error {
	return fault.New(fault.Unauthenticated, "invalid_credentials", "E-mail address and password do not match an account.")
}

func sessionRequired() error {
	return fault.New(fault.Forbidden, "session_required", "An API key cannot manage accounts. Sign in with POST /auth/login and use its access token.")
}
