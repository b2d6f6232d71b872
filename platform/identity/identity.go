// Package identity says who is asking. One middleware puts the answer in the
// request's context; services read it there. Repositories never do: they take
// the user id as a parameter so that the scope of a query is visible.
package identity

import (
	"context"

	"llmhist/platform/fault"
)

// Role is what an account may do.
type Role string

// The roles.
const (
	RoleUser  Role = "user"
	RoleAdmin Role = "admin"
)

// Identity is a signed-in caller. The zero value is the anonymous caller.
type Identity struct {
	UserID    int64
	Role      Role
	SessionID string // the login session behind an access token; "" for an API key
	KeyID     string // the API key used; "" for an access token
}

// Anonymous reports whether nobody is signed in.
func (i Identity) Anonymous() bool { return i.UserID == 0 }

// Admin reports whether the caller administers this installation.
func (i Identity) Admin() bool { return i.UserID != 0 && i.Role == RoleAdmin }

// Owner returns the user id as the optional owner of a new record: nil for an
// anonymous caller.
func (i Identity) Owner() *int64 {
	if i.Anonymous() {
		return nil
	}
	id := i.UserID
	return &id
}

// CanSee reports whether the caller may see a record: its owner, any admin,
// and for a record made anonymously (owner nil) whoever knows its id.
func (i Identity) CanSee(owner *int64) bool {
	if owner == nil || i.Admin() {
		return true
	}
	return !i.Anonymous() && *owner == i.UserID
}

// Client is the device behind a request.
type Client struct {
	IP        string // the address after trusted proxies are resolved
	UserAgent string // as sent, cut to 256 bytes
}

type identityKey struct{}
type clientKey struct{}
type requestKey struct{}

// With returns a context that carries the caller.
func With(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// From returns the caller, or the anonymous one.
func From(ctx context.Context) Identity {
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
}

// Require returns the caller, or an Unauthenticated fault for an anonymous one.
func Require(ctx context.Context) (Identity, error) {
	id := From(ctx)
	if id.Anonymous() {
		return id, SignInRequired()
	}
	return id, nil
}

// SignInRequired is the fault of a route that needs an account.
func SignInRequired() error {
	return fault.New(fault.Unauthenticated, "authentication_required",
		"Sign in with POST /auth/login and send the access token as 'Authorization: Bearer …'.")
}

// WithClient returns a context that carries the device.
func WithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// ClientFrom returns the device, or an empty one.
func ClientFrom(ctx context.Context) Client {
	c, _ := ctx.Value(clientKey{}).(Client)
	return c
}

// WithRequestID returns a context that carries the id of the request.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestID returns the id of the request, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}
