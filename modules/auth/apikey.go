package auth

import (
	"context"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/logging"
)

// ListKeys returns the caller's API keys, newest first.
func (s *service) ListKeys(ctx context.Context) ([]Key, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return nil, err
	}
	return s.keys.ListKeys(ctx, caller.UserID)
}

// CreateKey makes an API key and returns the only copy of it.
func (s *service) CreateKey(ctx context.Context, name string, expiresAt *time.Time) (Key, logging.Secret, error) {
	caller, err := requireSession(ctx)
	if err != nil {
		return Key{}, "", err
	}
	now := s.now()
	var fields fault.Fields
	name = checkName(&fields, "name", name)
	fields.Check(name != "", "name", "required", "must have 1 to 100 characters")
	if expiresAt != nil {
		until := expiresAt.UTC().Truncate(time.Millisecond)
		expiresAt = &until
		fields.Check(until.After(now) && until.Year() < 10_000, "expires_at", "out_of_range", "must be in the future")
	}
	if err := fields.Err(); err != nil {
		return Key{}, "", err
	}
	secret := newAPIKey()
	key := Key{
		ID: s.newID(now), UserID: caller.UserID, Name: name, Prefix: secret[:keyShownPrefix], Hash: hashOf(secret),
		CreatedAt: now, ExpiresAt: expiresAt,
	}
	if err := s.keys.CreateKey(ctx, key, keptKeys); err != nil {
		return Key{}, "", err
	}
	return key, logging.Secret(secret), nil
}

// DeleteKey removes one of the caller's API keys; it stops working at once.
func (s *service) DeleteKey(ctx context.Context, id string) error {
	caller, err := requireSession(ctx)
	if err != nil {
		return err
	}
	err = s.keys.DeleteKey(ctx, caller.UserID, id)
	s.gate.forgetKey(id)
	return err
}
