package auth

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/logging"
)

// sqlUsers is the UserRepository and DeletionRepository on PostgreSQL and
// SQLite.
type sqlUsers struct{ db *database.DB }

func (r sqlUsers) CreateUser(ctx context.Context, user User) (User, error) {
	row := userRowOf(user)
	err := r.db.Write(ctx, func(tx *gorm.DB) error { return tx.Create(&row).Error })
	if err != nil {
		return User{}, userFault(err)
	}
	return row.user(), nil
}

func (r sqlUsers) FindUser(ctx context.Context, id int64) (User, error) {
	var row userRow
	if err := r.db.Read(ctx).Where("id = ?", id).Take(&row).Error; err != nil {
		return User{}, userFault(err)
	}
	return row.user(), nil
}

func (r sqlUsers) FindUserByEmail(ctx context.Context, email string) (User, error) {
	var row userRow
	if err := r.db.Read(ctx).Where("email = ?", email).Take(&row).Error; err != nil {
		return User{}, userFault(err)
	}
	return row.user(), nil
}

func (r sqlUsers) ListUsers(ctx context.Context, query string, offset, limit int) ([]User, int64, error) {
	if query != "" {
		ctx = database.Allow(ctx, database.Search)
	}
	matching := func() *gorm.DB {
		found := r.db.Read(ctx).Model(&userRow{})
		if query == "" {
			return found
		}
		return found.Where(`search_text LIKE ? ESCAPE '\'`, database.Contains(query))
	}
	var total int64
	if err := matching().Count(&total).Error; err != nil {
		return nil, 0, database.Fault(err)
	}
	var rows []userRow
	if err := matching().Order("id DESC").Offset(offset).Limit(limit).Find(&rows).Error; err != nil {
		return nil, 0, database.Fault(err)
	}
	users := make([]User, 0, len(rows))
	for _, row := range rows {
		users = append(users, row.user())
	}
	return users, total, nil
}

func (r sqlUsers) UpdateUser(ctx context.Context, id int64, change func(*User) error) (User, error) {
	var after User
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		admins, err := lockAdmins(tx)
		if err != nil {
			return err
		}
		row, err := lockUser(tx, id)
		if err != nil {
			return err
		}
		before := row.user()
		after = before
		if err := change(&after); err != nil {
			return err
		}
		after.ID = id
		if before.administers() && !after.administers() && admins < 2 {
			return lastAdmin()
		}
		if !after.Active() {
			if err := endSessions(tx, id, ""); err != nil {
				return err
			}
		}
		changed := userRowOf(after)
		return tx.Select("*").Omit("id", "created_at").Where("id = ?", id).Updates(&changed).Error
	})
	if err != nil {
		return User{}, userFault(err)
	}
	return after, nil
}

func (r sqlUsers) ReplacePassword(ctx context.Context, p PasswordChange) error {
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		done := tx.Model(&userRow{}).
			Where("id = ? AND password_hash = ? AND deleting_at IS NULL", p.UserID, p.Old.Reveal()).
			Updates(map[string]any{"password_hash": p.New.Reveal(), "updated_at": p.At})
		if done.Error != nil {
			return done.Error
		}
		if done.RowsAffected == 0 {
			return passwordChanged()
		}
		if !p.EndSessions {
			return nil
		}
		return endSessions(tx, p.UserID, p.KeepSession)
	})
	return database.Fault(err)
}

func (r sqlUsers) CountUsers(ctx context.Context) (UserCounts, error) {
	var counts UserCounts
	if err := r.db.Read(ctx).Model(&userRow{}).Count(&counts.Total).Error; err != nil {
		return UserCounts{}, database.Fault(err)
	}
	if err := administrators(r.db.Read(ctx)).Count(&counts.Admins).Error; err != nil {
		return UserCounts{}, database.Fault(err)
	}
	return counts, nil
}

func (r sqlUsers) ListKnownUsers(ctx context.Context, ids []int64) ([]int64, error) {
	known := []int64{}
	err := r.db.Read(ctx).Model(&userRow{}).Where("id IN ?", ids).Order("id").Pluck("id", &known).Error
	return known, database.Fault(err)
}

func (r sqlUsers) BeginUserDeletion(ctx context.Context, id int64, at time.Time) error {
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		admins, err := lockAdmins(tx)
		if err != nil {
			return err
		}
		var row userRow
		if err := tx.Clauses(forUpdate).Where("id = ?", id).Take(&row).Error; err != nil {
			return err
		}
		if row.user().administers() && admins < 2 {
			return lastAdmin()
		}
		if err := tx.Where("user_id = ?", id).Delete(&sessionRow{}).Error; err != nil {
			return err
		}
		if err := tx.Where("user_id = ?", id).Delete(&keyRow{}).Error; err != nil {
			return err
		}
		return tx.Model(&userRow{}).Where("id = ? AND deleting_at IS NULL", id).Update("deleting_at", at).Error
	})
	return userFault(err)
}

func (r sqlUsers) DeleteUser(ctx context.Context, id int64, at time.Time) error {
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		if err := tx.Where("user_id = ?", id).Delete(&quotaRow{}).Error; err != nil {
			return err
		}
		gone := tx.Where("id = ?", id).Delete(&userRow{}) // sessions and keys cascade
		if gone.Error != nil || gone.RowsAffected == 0 {
			return gone.Error
		}
		return tx.Create(&erasedRow{UserID: id, ErasedAt: at}).Error
	})
	return database.Fault(err)
}

func (r sqlUsers) ListErased(ctx context.Context, before time.Time, limit int) ([]int64, error) {
	var ids []int64
	err := r.db.Read(ctx).Model(&erasedRow{}).Where("erased_at < ?", before).
		Order("erased_at, user_id").Limit(limit).Pluck("user_id", &ids).Error
	return ids, database.Fault(err)
}

func (r sqlUsers) ForgetErased(ctx context.Context, id int64) error {
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Where("user_id = ?", id).Delete(&erasedRow{}).Error
	}))
}

func (r sqlUsers) ListDeletions(ctx context.Context, before time.Time, limit int) ([]int64, error) {
	var ids []int64
	err := r.db.Read(ctx).Model(&userRow{}).Where("deleting_at < ?", before).
		Order("deleting_at, id").Limit(limit).Pluck("id", &ids).Error
	return ids, database.Fault(err)
}

// forUpdate locks the rows it reads on PostgreSQL; SQLite has one writer.
var forUpdate = clause.Locking{Strength: clause.LockingStrengthUpdate}

func administrators(tx *gorm.DB) *gorm.DB {
	return tx.Model(&userRow{}).Where("role = 'admin' AND disabled_at IS NULL AND deleting_at IS NULL")
}

// lockAdmins counts the administrators who can act and keeps them from changing
// until the transaction ends. It comes before any other lock on an account, and
// in the order of ids, so that two transactions cannot wait for each other.
func lockAdmins(tx *gorm.DB) (int, error) {
	var ids []int64
	err := administrators(tx).Clauses(forUpdate).Order("id").Pluck("id", &ids).Error
	return len(ids), err
}

// lockUser reads an account that is not being erased and keeps it from changing
// until the transaction ends.
func lockUser(tx *gorm.DB, id int64) (userRow, error) {
	var row userRow
	err := tx.Clauses(forUpdate).Where("id = ? AND deleting_at IS NULL", id).Take(&row).Error
	return row, err
}

func userFault(err error) error {
	switch {
	case database.IsNotFound(err):
		return userNotFound()
	case database.IsDuplicate(err):
		return emailTaken()
	default:
		return database.Fault(err)
	}
}

func userNotFound() error { return fault.NotFoundf("There is no such user.") }

func emailTaken() error {
	return fault.New(fault.Conflict, "email_taken", "There is an account with this e-mail address already. Sign in instead.")
}

func lastAdmin() error {
	return fault.New(fault.Conflict, "last_admin", "This is the last administrator. Make another account an administrator first.")
}

func passwordChanged() error {
	return fault.New(fault.Conflict, "password_changed", "The password was changed in the meantime. Try again.")
}

type userRow struct {
	ID           int64 `gorm:"primaryKey"`
	Email        string
	PasswordHash string
	Role         string
	Name         string
	ChatPerDay   *int64
	ImagePerDay  *int64
	SpeechPerDay *int64
	SearchText   string
	DisabledAt   *time.Time
	DeletingAt   *time.Time
	CreatedAt    time.Time
	UpdatedAt    time.Time `gorm:"autoUpdateTime:false"`
}

func (userRow) TableName() string { return "users" }

// erasedRow is an account that is gone and is to be erased once more.
type erasedRow struct {
	UserID   int64 `gorm:"primaryKey;autoIncrement:false"`
	ErasedAt time.Time
}

func (erasedRow) TableName() string { return "erased_users" }

func userRowOf(u User) userRow {
	return userRow{
		ID: u.ID, Email: u.Email, PasswordHash: u.PasswordHash.Reveal(), Role: string(u.Role), Name: u.Name,
		ChatPerDay: u.Quotas.ChatPerDay, ImagePerDay: u.Quotas.ImagePerDay, SpeechPerDay: u.Quotas.SpeechPerDay,
		SearchText: u.searchText(), DisabledAt: u.DisabledAt, DeletingAt: u.DeletingAt,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}
}

func (r userRow) user() User {
	return User{
		ID: r.ID, Email: r.Email, PasswordHash: logging.Secret(r.PasswordHash), Role: identity.Role(r.Role), Name: r.Name,
		Quotas:     Quotas{ChatPerDay: r.ChatPerDay, ImagePerDay: r.ImagePerDay, SpeechPerDay: r.SpeechPerDay},
		DisabledAt: inUTC(r.DisabledAt), DeletingAt: inUTC(r.DeletingAt),
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC()
	return &utc
}
