package auth

import (
	"context"

	"gorm.io/gorm"

	"llmhist/platform/archive"
	"llmhist/platform/database"
)

// Export writes every row.
func (a Archive) Export(ctx context.Context, out archive.Rows) error {
	for _, export := range []func(context.Context, archive.Rows) error{
		a.exportUsers, a.exportSequence, a.exportSessions, a.exportKeys, a.exportQuotas, a.exportErased,
	} {
		if err := export(ctx, out); err != nil {
			return err
		}
	}
	return nil
}

func (a Archive) exportUsers(ctx context.Context, out archive.Rows) error {
	return database.EachRow(func(after *userRow) *gorm.DB {
		query := a.db.Read(ctx).Order("id")
		if after != nil {
			query = query.Where("id > ?", after.ID)
		}
		return query
	}, func(row userRow) error { return out.Write(streamUsers, archivedUserOf(row.user())) })
}

// exportSequence reads what gives ids to users. PostgreSQL's is not part of a
// transaction and can be a little ahead of a snapshot, never behind it.
func (a Archive) exportSequence(ctx context.Context, out archive.Rows) error {
	query := "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'users'"
	if a.db.Dialect() == database.Postgres {
		query = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM users_id_seq"
	}
	var sequence archivedSequence
	if err := a.db.Read(ctx).Raw(query).Scan(&sequence.LastUserID).Error; err != nil {
		return database.Fault(err)
	}
	return out.Write(streamSequence, sequence)
}

func (a Archive) exportSessions(ctx context.Context, out archive.Rows) error {
	return database.EachRow(func(after *sessionRow) *gorm.DB {
		query := a.db.Read(ctx).Order("id")
		if after != nil {
			query = query.Where("id > ?", after.ID)
		}
		return query
	}, func(row sessionRow) error { return out.Write(streamSessions, archivedSessionOf(row.session())) })
}

func (a Archive) exportKeys(ctx context.Context, out archive.Rows) error {
	return database.EachRow(func(after *keyRow) *gorm.DB {
		query := a.db.Read(ctx).Order("id")
		if after != nil {
			query = query.Where("id > ?", after.ID)
		}
		return query
	}, func(row keyRow) error { return out.Write(streamKeys, archivedKey(row.key())) })
}

func (a Archive) exportQuotas(ctx context.Context, out archive.Rows) error {
	return database.EachRow(func(after *quotaRow) *gorm.DB {
		query := a.db.Read(ctx).Order("user_id, day, service")
		if after != nil {
			query = query.Where("(user_id, day, service) > (?, ?, ?)", after.UserID, after.Day, after.Service)
		}
		return query
	}, func(row quotaRow) error { return out.Write(streamQuotas, archivedQuota(row)) })
}

func (a Archive) exportErased(ctx context.Context, out archive.Rows) error {
	return database.EachRow(func(after *erasedRow) *gorm.DB {
		query := a.db.Read(ctx).Order("user_id")
		if after != nil {
			query = query.Where("user_id > ?", after.UserID)
		}
		return query
	}, func(row erasedRow) error {
		return out.Write(streamErased, archivedErased{row.UserID, row.ErasedAt.UTC()})
	})
}

func (a Archive) insertUsers(ctx context.Context, page []archivedUser) error {
	rows := make([]userRow, len(page))
	for i, user := range page {
		rows[i] = userRowOf(user.user())
	}
	return database.InsertRows(ctx, a.db, rows)
}

func (a Archive) setSequence(ctx context.Context, sequence archivedSequence) error {
	return database.Fault(a.db.Write(ctx, func(tx *gorm.DB) error {
		if a.db.Dialect() == database.Postgres {
			return tx.Exec("SELECT setval('users_id_seq', ?, ?)", max(sequence.LastUserID, 1), sequence.LastUserID > 0).Error
		}
		if err := tx.Exec("DELETE FROM sqlite_sequence WHERE name = 'users'").Error; err != nil || sequence.LastUserID == 0 {
			return err
		}
		return tx.Exec("INSERT INTO sqlite_sequence (name, seq) VALUES ('users', ?)", sequence.LastUserID).Error
	}))
}

func (a Archive) insertSessions(ctx context.Context, page []archivedSession) error {
	rows := make([]sessionRow, len(page))
	for i, session := range page {
		rows[i] = sessionRowOf(session.session())
	}
	return database.InsertRows(ctx, a.db, rows, "Owner")
}

func (a Archive) insertKeys(ctx context.Context, page []archivedKey) error {
	rows := make([]keyRow, len(page))
	for i, key := range page {
		rows[i] = keyRowOf(Key(key))
	}
	return database.InsertRows(ctx, a.db, rows, "Owner")
}

func (a Archive) insertQuotas(ctx context.Context, page []archivedQuota) error {
	rows := make([]quotaRow, len(page))
	for i, quota := range page {
		rows[i] = quotaRow(quota)
	}
	return database.InsertRows(ctx, a.db, rows)
}

func (a Archive) insertErased(ctx context.Context, page []archivedErased) error {
	rows := make([]erasedRow, len(page))
	for i, erased := range page {
		rows[i] = erasedRow(erased)
	}
	return database.InsertRows(ctx, a.db, rows)
}

// Count returns how many accounts there are.
func (a Archive) Count(ctx context.Context) (int64, error) {
	return database.CountRows(ctx, a.db, "users")
}

// Clear removes every row.
func (a Archive) Clear(ctx context.Context) error {
	return database.DeleteAllRows(ctx, a.db, "quota_usage", "api_keys", "sessions", "users", "erased_users")
}

// UserIDs returns the ids of all accounts in ascending order.
func (a Archive) UserIDs(ctx context.Context) ([]int64, error) {
	var ids []int64
	err := a.db.Read(ctx).Model(&userRow{}).Order("id").Pluck("id", &ids).Error
	return ids, database.Fault(err)
}
