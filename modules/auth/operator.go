package auth

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
)

// CreateAdmin makes an account with the admin role. Bad input is Invalid; an
// address that has an account already is a Conflict with code "email_taken"
// that says how to promote it.
func (m *Module) CreateAdmin(ctx context.Context, email, password, name string) (User, error) {
	user, err := m.service.createUser(ctx, registration{Email: email, Password: password, Name: name, Role: identity.RoleAdmin})
	if fault.CodeOf(err) == "email_taken" {
		return User{}, fault.New(fault.Conflict, "email_taken",
			"There is an account with this e-mail address already. To make it an administrator, promote it: its password stays.")
	}
	return user, err
}

// PromoteUser gives an existing account the admin role and enables it. NotFound
// when there is none with this address.
func (m *Module) PromoteUser(ctx context.Context, email string) (User, error) {
	var fields fault.Fields
	canonical := checkEmail(&fields, "email", email)
	if err := fields.Err(); err != nil {
		return User{}, err
	}
	user, err := m.service.users.FindUserByEmail(ctx, canonical)
	if err != nil {
		return User{}, err
	}
	promoted, err := m.service.users.UpdateUser(ctx, user.ID, func(u *User) error {
		u.Role, u.DisabledAt, u.UpdatedAt = identity.RoleAdmin, nil, m.service.now()
		return nil
	})
	m.service.gate.forgetUser(user.ID)
	return promoted, err
}

// ResetPassword gives an account a new password and ends all its sessions; API
// keys keep working. Bad input is Invalid; NotFound when there is no account of
// this address.
func (m *Module) ResetPassword(ctx context.Context, email, password string) (User, error) {
	var fields fault.Fields
	canonical := checkEmail(&fields, "email", email)
	checkPassword(&fields, "password", password)
	if err := fields.Err(); err != nil {
		return User{}, err
	}
	user, err := m.service.users.FindUserByEmail(ctx, canonical)
	if err != nil {
		return User{}, err
	}
	hash, err := m.service.hasher.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	err = m.service.users.ReplacePassword(ctx, PasswordChange{
		UserID: user.ID, Old: user.PasswordHash, New: hash, At: m.service.now(), EndSessions: true,
	})
	m.service.gate.forgetUser(user.ID)
	return user, err
}

// EnsureFirstAdmin makes the first administrator and reports whether it did. It
// does nothing when there is one, whatever the address. It never promotes an
// existing account: whoever registered the address first would become
// administrator with their own password.
func (m *Module) EnsureFirstAdmin(ctx context.Context, email, password string) (bool, error) {
	has, err := m.HasAdmin(ctx)
	if err != nil || has {
		return false, err
	}
	_, err = m.CreateAdmin(ctx, email, password, "")
	if fault.Is(err, fault.Conflict) {
		if has, findErr := m.HasAdmin(ctx); findErr != nil || has {
			return false, findErr // another process was faster
		}
	}
	return err == nil, err
}

// HasAdmin reports whether an administrator can act: one who is neither
// disabled nor being erased.
func (m *Module) HasAdmin(ctx context.Context) (bool, error) {
	counts, err := m.service.users.CountUsers(ctx)
	return counts.Admins > 0, err
}

// CountUsers returns the sizes of the installation.
func (m *Module) CountUsers(ctx context.Context) (UserCounts, error) {
	return m.service.users.CountUsers(ctx)
}

// ListKnownUsers returns those of the ids that accounts have. An id that is not
// among them is one of an account that is gone for good.
func (m *Module) ListKnownUsers(ctx context.Context, ids []int64) ([]int64, error) {
	return m.service.users.ListKnownUsers(ctx, ids)
}

// ChargeQuota counts one request against the caller's quota; see the service.
func (m *Module) ChargeQuota(ctx context.Context, caller identity.Identity, service string) error {
	return m.service.ChargeQuota(ctx, caller, service)
}

const (
	sweepBatch   = 500
	sweepBatches = 20 // of each kind in one Sweep
	// keepExpired is how long an ended session is remembered, so that its
	// refresh token is answered with "expired" rather than "unknown".
	keepExpired = 7 * 24 * time.Hour
	keepUsage   = 8 * 24 * time.Hour
	// resumeDeletion is when an unfinished deletion is taken up: later than the
	// request that began it can last.
	resumeDeletion = 3 * time.Minute
	// eraseAgain is when an account that is gone is erased once more: later than
	// a request of it that was under way can store anything, also by another
	// machine's clock.
	eraseAgain = 30 * time.Minute
)

// Sweep removes sessions that expired a week ago and counts of past days, takes
// up deletions of accounts that did not finish, and erases once more what requests
// that were under way stored for accounts that are gone. One call does a bounded
// amount of work; call it every few minutes. It is safe in several processes.
func (m *Module) Sweep(ctx context.Context) error {
	s := m.service
	now := s.now()
	sessions := func() (int64, error) { return s.sessions.DeleteSessions(ctx, now.Add(-keepExpired), sweepBatch) }
	usage := func() (int64, error) {
		return s.quotas.DeleteQuotaUsage(ctx, now.Add(-keepUsage).Format(dayLayout), sweepBatch)
	}
	return errors.Join(inBatches(sessions), inBatches(usage),
		s.resumeDeletions(ctx, now.Add(-resumeDeletion)), s.eraseLate(ctx, now.Add(-eraseAgain)))
}

func inBatches(remove func() (int64, error)) error {
	for range sweepBatches {
		removed, err := remove()
		if err != nil || removed < sweepBatch {
			return err
		}
	}
	return nil
}

func (s *service) resumeDeletions(ctx context.Context, before time.Time) error {
	ids, err := s.deletions.ListDeletions(ctx, before, sweepBatches)
	if err != nil {
		return err
	}
	var failed []error
	for _, id := range ids {
		if err := s.finishDeletion(ctx, id); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// eraseLate erases what was stored for accounts after they were erased. One that
// is there, because a backup was restored into its database, is left alone.
func (s *service) eraseLate(ctx context.Context, before time.Time) error {
	ids, err := s.deletions.ListErased(ctx, before, sweepBatches)
	if err != nil {
		return err
	}
	var failed []error
	for _, id := range ids {
		_, err := s.users.FindUser(ctx, id)
		if fault.Is(err, fault.NotFound) {
			err = s.onUserDeleted(ctx, id)
		}
		if err == nil {
			err = s.deletions.ForgetErased(ctx, id)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// SigningKeys returns the id of the key that signs access tokens here and the
// ids of all whose tokens are accepted, in order.
func (m *Module) SigningKeys() (signing string, accepted []string) {
	keys := m.service.gate.tokens.keys
	return keys.kid, slices.Sorted(maps.Keys(keys.public))
}
