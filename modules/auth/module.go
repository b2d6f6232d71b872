// Package auth owns accounts and everything that says who is asking: the routes
// under /auth, /users/me and /admin/users, the public keys at
// /.well-known/jwks.json, and the tables users, sessions, api_keys and
// quota_usage.
//
// People sign in with e-mail and password and hold a short-lived access token
// (RS256) and a refresh token that every use replaces. Programs hold an API
// key. An API key acts with the role of its account but manages no account:
// passwords, e-mail, keys, sessions and /admin/users need a login session.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/identity"
	"llmhist/platform/logging"
	"llmhist/platform/ratelimit"
	"llmhist/platform/web"
)

// Config is what an operator decides about accounts.
type Config struct {
	AccessTokenLife  time.Duration  `mapstructure:"expires_in"`             // how long an access token works
	RefreshTokenLife time.Duration  `mapstructure:"refresh_expires_in"`     // how long a session lives without being used
	Issuer           string         `mapstructure:"issuer"`                 // iss of access tokens
	Audience         string         `mapstructure:"audience"`               // aud of access tokens
	PrivateKeyPath   string         `mapstructure:"private_key_path"`       // PEM; "" = a key made once in the data directory
	PublicKeyPath    string         `mapstructure:"public_key_path"`        // PEM with the matching key, and older ones that stay valid
	Passphrase       logging.Secret `mapstructure:"private_key_passphrase"` // of an encrypted private key
	Registration     bool           `mapstructure:"-"`                      // AUTH_REGISTRATION: whether anybody may make an account
}

// DefaultConfig returns what holds when nothing is set.
func DefaultConfig() Config {
	return Config{
		AccessTokenLife: 15 * time.Minute, RefreshTokenLife: 30 * 24 * time.Hour,
		Issuer: "llmhist", Audience: "llmhist", Registration: true,
	}
}

// Validate reports all faults of the configuration at once.
func (c Config) Validate() error {
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	check(c.AccessTokenLife >= time.Second && c.AccessTokenLife <= 24*time.Hour, "JWT_EXPIRES_IN must be 1s to 24h, not %s", c.AccessTokenLife)
	check(c.RefreshTokenLife >= c.AccessTokenLife && c.RefreshTokenLife <= 366*24*time.Hour,
		"JWT_REFRESH_EXPIRES_IN must be at least JWT_EXPIRES_IN and at most a year, not %s", c.RefreshTokenLife)
	check(c.Issuer != "", "JWT_ISSUER must not be empty")
	check(c.Audience != "", "JWT_AUDIENCE must not be empty")
	check(c.PublicKeyPath == "" || c.PrivateKeyPath != "", "JWT_PUBLIC_KEY_PATH needs JWT_PRIVATE_KEY_PATH too")
	return errors.Join(all...)
}

// Deps are what the module stands on.
type Deps struct {
	DB      *database.DB
	DataDir string // where the signing key is kept when none is configured
	Now     func() time.Time
	NewID   func(time.Time) string
	Logger  *slog.Logger
	// OnUserDeleted erases what other modules keep for an account. It is called
	// after the account was closed and before its rows go, and again after a
	// failure, so it must be repeatable. nil = nothing to erase.
	OnUserDeleted func(ctx context.Context, userID int64) error
	// Announce tells the other processes on the same database what this one
	// changed; they give it to Forget. It must not block. nil = they notice
	// within five seconds.
	Announce func(Change)
	// Limiter counts wrong passwords of an account, over all processes when it is
	// shared. nil = this process counts.
	Limiter ratelimit.Limiter
}

// Module is the account system. It owns no goroutines and needs no closing.
type Module struct{ service *service }

// New opens or makes the signing key and returns the module. It fails with one
// line that names the setting when the configuration or the key is not usable.
func New(ctx context.Context, cfg Config, deps Deps) (*Module, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	keys, err := openSigningKeys(ctx, cfg, deps.DataDir, deps.Logger)
	if err != nil {
		return nil, err
	}
	tokens, err := newTokens(keys, cfg, deps.Now)
	if err != nil {
		return nil, err
	}
	return &Module{service: newService(cfg, deps, tokens)}, nil
}

// Authenticate is the web.Authenticate of the product: it returns who holds an
// access token or API key. Faults are Unauthenticated with the codes
// "invalid_token", "token_expired", "session_revoked", "api_key_expired" and
// "account_disabled", or Unavailable when the storage does not answer.
func (m *Module) Authenticate(r *http.Request, credential string) (identity.Identity, error) {
	return m.service.gate.authenticate(r.Context(), credential)
}

// Forget drops what this process remembers of something that another one
// changed, so that it takes effect here at once.
func (m *Module) Forget(c Change) { m.service.gate.forget(c) }

// ForgetAll drops everything this process remembers: changes of others may have
// gone unheard.
func (m *Module) ForgetAll() { m.service.gate.forgetAll() }

// maxAuthBody is the largest request of this module: a password of 1024 bytes
// in the longest JSON escapes and the other fields.
const maxAuthBody = 16 << 10

// erasureTimeout lets the erasure of an account with much in it finish.
const erasureTimeout = 2 * time.Minute

const tagAccounts, tagAdmin = "Accounts", "Administration"

// Mount adds the routes.
func (m *Module) Mount(router *web.Router) {
	h := handler{m.service}
	for _, route := range slices.Concat(h.publicRoutes(), h.ownRoutes(), h.adminRoutes()) {
		route.MaxBody = maxAuthBody
		if route.Method == http.MethodDelete {
			route.Timeout = erasureTimeout
		}
		router.Add(route)
	}
}

func (h handler) publicRoutes() []web.Route {
	return []web.Route{
		{Method: "POST", Path: "/auth/register", Handler: web.JSON(http.StatusCreated, h.register), Tag: tagAccounts,
			Summary: "Make an account", Limit: "auth_register", Errors: []int{403, 409, 503},
			Description: "Sign in with `POST /auth/login` afterwards. The address is stored in lower case. 403 `registration_closed` when the operator makes accounts."},
		{Method: "POST", Path: "/auth/login", Handler: web.JSON(http.StatusOK, h.login), Tag: tagAccounts,
			Summary: "Sign in", Limit: "auth_login", Errors: []int{401, 403, 503},
			Description: "Begins a session. An unknown address and a wrong password give the same answer; 403 `account_disabled` only follows a right password. An account keeps its 100 most recently used sessions."},
		{Method: "POST", Path: "/auth/refresh", Handler: web.JSON(http.StatusOK, h.refresh), Tag: tagAccounts,
			Summary: "Exchange a refresh token", Errors: []int{401, 503},
			Description: "The token that was sent is spent. Sending a spent one again ends the session (401 `refresh_token_reused`), because somebody may have copied it: let one tab or task of a client refresh at a time."},
		{Method: "POST", Path: "/auth/logout", Handler: web.NoContent(h.logout).BodyOptional(), Tag: tagAccounts,
			Summary: "Sign out", Errors: []int{401, 403, 503},
			Description: "Ends the session of the refresh token, of the access token, or of both. Its access tokens stop working too. An unknown refresh token is fine."},
		{Method: "GET", Path: "/.well-known/jwks.json", Handler: web.JSON(http.StatusOK, h.jwks), Tag: tagAccounts,
			Summary: "Public keys of access tokens", Description: "A JSON Web Key Set (RFC 7517). Access tokens are RS256 with the `kid` of one of these keys."},
	}
}

func (h handler) ownRoutes() []web.Route {
	const session = "\n\nNeeds a login session: an API key is refused with 403 `session_required`."
	own := func(method, path string, serve web.Handler, summary, description string, errors ...int) web.Route {
		return web.Route{Method: method, Path: path, Handler: serve, Access: web.SignedIn, Tag: tagAccounts,
			Summary: summary, Description: description, Errors: append(errors, 503)}
	}
	return []web.Route{
		own("GET", "/auth/sessions", web.JSON(http.StatusOK, h.listSessions), "List own sessions", "Last used first."+session, 403),
		own("DELETE", "/auth/sessions/:id", web.NoContent(h.deleteSession), "End one own session", "Its access tokens stop working too."+session, 403),
		own("DELETE", "/auth/sessions", web.NoContent(h.deleteSessions), "End all own sessions", "Signs out everywhere, here too. API keys keep working."+session, 403),
		own("GET", "/users/me", web.JSON(http.StatusOK, h.findMe), "The own account", ""),
		own("PATCH", "/users/me", web.JSON(http.StatusOK, h.updateMe), "Change the own account", "A new e-mail address needs `current_password`."+session, 403, 409, 429),
		own("DELETE", "/users/me", web.NoContent(h.deleteMe).BodyOptional(), "Erase the own account",
			"Erases the account and all it owns: images, speech, chats, keys, sessions, figures. 503 `deletion_unfinished` says that the account is closed and the server goes on erasing."+session, 403, 409, 429),
		own("POST", "/users/me/password", web.NoContent(h.changePassword), "Change the own password", "Ends all other sessions. API keys keep working."+session, 403, 409, 429),
		own("GET", "/users/me/api-keys", web.JSON(http.StatusOK, h.listKeys), "List own API keys", "Newest first, without the keys themselves."),
		own("POST", "/users/me/api-keys", web.JSON(http.StatusCreated, h.createKey), "Make an API key", "The key is in this answer and never shown again. At most 50 per account."+session, 403, 409),
		own("DELETE", "/users/me/api-keys/:id", web.NoContent(h.deleteKey), "Delete an own API key", "It stops working at once."+session, 403),
	}
}

func (h handler) adminRoutes() []web.Route {
	admin := func(method, path string, serve web.Handler, summary, description string, errors ...int) web.Route {
		return web.Route{Method: method, Path: path, Handler: serve, Access: web.AdminOnly, Tag: tagAdmin, Limit: "admin_all",
			Summary: summary, Description: description + "\n\nNeeds a login session: an API key is refused with 403 `session_required`.",
			Errors: append(errors, 503)}
	}
	return []web.Route{
		admin("GET", "/admin/users", web.JSON(http.StatusOK, h.listUsers), "List accounts", "Newest first; `q` looks in address and name."),
		admin("GET", "/admin/users/:id", web.JSON(http.StatusOK, h.findUser), "One account with its sessions", "", 422),
		admin("PATCH", "/admin/users/:id", web.JSON(http.StatusOK, h.updateUser), "Change an account",
			"Role, name, quotas, and whether it is disabled, which ends its sessions. A quota that is left out stays, `null` lifts it. 409 `last_admin` when no administrator would remain.", 409),
		admin("DELETE", "/admin/users/:id", web.NoContent(h.deleteUser), "Erase an account",
			"Erases the account and all it owns; repeat it after 503 `deletion_unfinished` or let the server finish. 409 `last_admin` when no administrator would remain.", 409, 422),
	}
}
