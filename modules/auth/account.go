package auth

import (
	"context"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/logging"
)

// requireSession returns the caller, who must be signed in by other means than
// an API key.
func requireSession(ctx context.Context) (identity.Identity, error) {
	caller, err := identity.Require(ctx)
	if err == nil && caller.KeyID != "" {
		return caller, sessionRequired()
	}
	return caller, err
}

// ListSessions returns the live sessions of the caller, last used first.
func (s *service) ListSessions(ctx context.Context) ([]Session, error) {
	caller, err := requireSession(ctx)
	if err != nil {
		return nil, err
	}
	return s.sessions.ListSessions(ctx, caller.UserID, s.now())
}

// DeleteSession ends one of the caller's sessions.
func (s *service) DeleteSession(ctx context.Context, id string) error {
	caller, err := requireSession(ctx)
	if err != nil {
		return err
	}
	return s.endSession(ctx, caller.UserID, id)
}

// DeleteSessions ends all of the caller's sessions, the current one too.
func (s *service) DeleteSessions(ctx context.Context) error {
	caller, err := requireSession(ctx)
	if err != nil {
		return err
	}
	err = s.sessions.RevokeSessions(ctx, caller.UserID)
	s.gate.forgetUser(caller.UserID)
	return err
}

// FindMe returns the caller's account.
func (s *service) FindMe(ctx context.Context) (User, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return User{}, err
	}
	return s.users.FindUser(ctx, caller.UserID)
}

// profileChange is what a user may change of the own account; nil stays.
type profileChange struct {
	Name, Email, CurrentPassword *string
}

// UpdateMe changes the caller's name and address. A new address needs the
// password: who has it can go on to take the account over.
func (s *service) UpdateMe(ctx context.Context, p profileChange) (User, error) {
	caller, err := requireSession(ctx)
	if err != nil {
		return User{}, err
	}
	user, err := s.users.FindUser(ctx, caller.UserID)
	if err != nil {
		return User{}, err
	}
	name, email, err := checkProfile(p, user)
	if err != nil {
		return User{}, err
	}
	if email != user.Email {
		if err := s.confirmPassword(ctx, user, *p.CurrentPassword); err != nil {
			return User{}, err
		}
	}
	changed, err := s.users.UpdateUser(ctx, user.ID, func(u *User) error {
		if p.Name != nil {
			u.Name = name
		}
		if email != user.Email {
			u.Email = email
		}
		u.UpdatedAt = s.now()
		return nil
	})
	s.gate.forgetUser(user.ID)
	return changed, err
}

// checkProfile returns the name and address that a change asks for.
func checkProfile(p profileChange, user User) (name, email string, err error) {
	var fields fault.Fields
	name, email = user.Name, user.Email
	if p.Name != nil {
		name = checkName(&fields, "name", *p.Name)
	}
	if p.Email != nil {
		email = checkEmail(&fields, "email", *p.Email)
	}
	needsPassword := email != user.Email
	fields.Check(!needsPassword || p.CurrentPassword != nil, "current_password", "required", "is needed to change the e-mail address")
	return name, email, fields.Err()
}

// ChangePassword replaces the caller's password and ends all other sessions.
func (s *service) ChangePassword(ctx context.Context, current, next string) error {
	caller, err := requireSession(ctx)
	if err != nil {
		return err
	}
	var fields fault.Fields
	fields.Check(current != "", "current_password", "required", "must not be empty")
	checkPassword(&fields, "new_password", next)
	if err := fields.Err(); err != nil {
		return err
	}
	user, err := s.users.FindUser(ctx, caller.UserID)
	if err != nil {
		return err
	}
	if err := s.confirmPassword(ctx, user, current); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, next)
	if err != nil {
		return err
	}
	err = s.users.ReplacePassword(ctx, PasswordChange{
		UserID: user.ID, Old: user.PasswordHash, New: hash, At: s.now(), EndSessions: true, KeepSession: caller.SessionID,
	})
	s.gate.forgetUser(user.ID)
	return err
}

// DeleteMe erases the caller's account. A password that is sent must be right.
func (s *service) DeleteMe(ctx context.Context, password *logging.Secret) error {
	caller, err := requireSession(ctx)
	if err != nil {
		return err
	}
	if password != nil {
		user, err := s.users.FindUser(ctx, caller.UserID)
		if err != nil {
			return err
		}
		if err := s.confirmPassword(ctx, user, password.Reveal()); err != nil {
			return err
		}
	}
	return s.eraseUser(ctx, caller.UserID)
}

// eraseUser closes the account, has everything it owns erased, and removes it.
// What fails after the account is closed is resumed by Sweep, and what a request
// that was under way stores for it later is erased by Sweep too.
func (s *service) eraseUser(ctx context.Context, id int64) error {
	err := s.deletions.BeginUserDeletion(ctx, id, s.now())
	s.gate.forgetUser(id)
	if err != nil {
		return err
	}
	return s.finishDeletion(ctx, id)
}

func (s *service) finishDeletion(ctx context.Context, id int64) error {
	err := s.onUserDeleted(ctx, id)
	if err == nil {
		err = s.deletions.DeleteUser(ctx, id, s.now())
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "deletion_unfinished",
			"The account is closed, but not all it owned could be erased yet. The server goes on erasing by itself.")
	}
	return nil
}

// confirmPassword checks the password of somebody who is signed in already.
// Wrong ones are counted per account, so that a stolen access token is no way
// to find the password out.
func (s *service) confirmPassword(ctx context.Context, user User, password string) error {
	if err := s.guesses.take(ctx, user.ID); err != nil {
		return err
	}
	match, _, err := s.hasher.verify(ctx, password, user.PasswordHash)
	if err != nil {
		return err
	}
	if !match {
		return fault.New(fault.Forbidden, "wrong_password", "The current password is not right.")
	}
	s.guesses.forget(ctx, user.ID)
	return nil
}
