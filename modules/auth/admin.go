package auth

import (
	"context"
	"strings"
	"unicode/utf8"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/web"
)

// requireAdmin returns the caller, who must be an administrator in a login
// session.
func requireAdmin(ctx context.Context) (identity.Identity, error) {
	caller, err := requireSession(ctx)
	if err == nil && !caller.Admin() {
		return caller, fault.New(fault.Forbidden, "admin_only", "Only an administrator may do this.")
	}
	return caller, err
}

const maxQueryRunes = 200

// ListUsers returns one page of the accounts that match and their number.
func (s *service) ListUsers(ctx context.Context, query string, page web.Page) ([]User, int64, error) {
	if _, err := requireAdmin(ctx); err != nil {
		return nil, 0, err
	}
	query = strings.ToLower(strings.TrimSpace(query))
	var fields fault.Fields
	fields.Check(utf8.RuneCountInString(query) <= maxQueryRunes, "q", "too_long", "must have at most 200 characters")
	if err := fields.Err(); err != nil {
		return nil, 0, err
	}
	return s.users.ListUsers(ctx, query, page.Offset(), page.Size)
}

// FindUser returns an account and its live sessions.
func (s *service) FindUser(ctx context.Context, id int64) (User, []Session, error) {
	if _, err := requireAdmin(ctx); err != nil {
		return User{}, nil, err
	}
	return s.userWithSessions(ctx, id)
}

func (s *service) userWithSessions(ctx context.Context, id int64) (User, []Session, error) {
	user, err := s.users.FindUser(ctx, id)
	if err != nil {
		return User{}, nil, err
	}
	sessions, err := s.sessions.ListSessions(ctx, id, s.now())
	return user, sessions, err
}

// userChange is what an administrator may change of an account; nil stays.
type userChange struct {
	Role     *string
	Disabled *bool
	Name     *string
	Quotas   *quotasChange
}

// UpdateUser changes an account. It takes effect at once here, and in other
// processes when they hear of it, at the latest after freshFor.
func (s *service) UpdateUser(ctx context.Context, id int64, change userChange) (User, []Session, error) {
	if _, err := requireAdmin(ctx); err != nil {
		return User{}, nil, err
	}
	if err := change.check(); err != nil {
		return User{}, nil, err
	}
	now := s.now()
	_, err := s.users.UpdateUser(ctx, id, func(user *User) error {
		user.UpdatedAt = now
		switch {
		case change.Disabled == nil:
		case !*change.Disabled:
			user.DisabledAt = nil
		case user.DisabledAt == nil:
			user.DisabledAt = &now
		}
		if change.Role != nil {
			user.Role = identity.Role(*change.Role)
		}
		if change.Name != nil {
			user.Name = *change.Name
		}
		user.Quotas = change.Quotas.apply(user.Quotas)
		return nil
	})
	s.gate.forgetUser(id)
	if err != nil {
		return User{}, nil, err
	}
	return s.userWithSessions(ctx, id)
}

func (c *userChange) check() error {
	var fields fault.Fields
	if c.Role != nil {
		known := *c.Role == string(identity.RoleUser) || *c.Role == string(identity.RoleAdmin)
		fields.Check(known, "role", "unknown", "must be user or admin")
	}
	if c.Name != nil {
		name := checkName(&fields, "name", *c.Name)
		c.Name = &name
	}
	c.Quotas.check(&fields)
	return fields.Err()
}

// DeleteUser erases an account and all it owns.
func (s *service) DeleteUser(ctx context.Context, id int64) error {
	if _, err := requireAdmin(ctx); err != nil {
		return err
	}
	return s.eraseUser(ctx, id)
}
