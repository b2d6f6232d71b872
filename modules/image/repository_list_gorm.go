package image

import (
	"context"
	"strings"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/web"
)

const newestFirst = "id DESC"

// List without a query knows from the table of counts how many rows there are
// and in which few hours the page begins. Only there is the index walked, and
// from the nearer end, so that the last page costs about what the first does.
func (r *sqlRepository) List(ctx context.Context, scope Scope, query string, page web.Page) ([]Image, int64, error) {
	if query != "" {
		return r.search(ctx, scope, query, page)
	}
	var total int64
	err := r.db.Read(ctx).Table("image_counts").Where("scope = ?", scope.number).
		Select("COALESCE(SUM(images), 0)").Scan(&total).Error
	if err != nil {
		return nil, 0, database.Fault(err)
	}
	if int64(page.Offset()) >= total {
		return []Image{}, total, nil
	}
	rows := scoped(r.db.Read(ctx), scope)
	if page.Offset() > 0 {
		first, err := r.firstOf(ctx, scope, page)
		if err != nil || first == "" {
			return []Image{}, total, err
		}
		rows = rows.Where("id <= ?", first)
	}
	list, err := takePage(rows.Limit(page.Size))
	return list, total, err
}

// search walks all rows in scope: a condition on text has no index.
func (r *sqlRepository) search(ctx context.Context, scope Scope, query string, page web.Page) ([]Image, int64, error) {
	matching := func() *gorm.DB { return r.matching(scoped(r.db.Read(ctx).Model(&imageRow{}), scope), query) }
	var total int64
	if err := matching().Count(&total).Error; err != nil {
		return nil, 0, database.Fault(err)
	}
	if int64(page.Offset()) >= total {
		return []Image{}, total, nil
	}
	list, err := takePage(matching().Limit(page.Size).Offset(page.Offset()))
	return list, total, err
}

// matching narrows to prompts that contain text. Both engines fold the case of
// ASCII letters and of no others: SQLite's LIKE does, and lower() under the
// collation C.
func (r *sqlRepository) matching(tx *gorm.DB, text string) *gorm.DB {
	if r.db.Dialect() == database.Postgres {
		return tx.Where(`lower(prompt COLLATE "C") LIKE ? ESCAPE '\'`, database.Contains(lowerASCII(text)))
	}
	return tx.Where(`prompt LIKE ? ESCAPE '\'`, database.Contains(text))
}

func lowerASCII(text string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, text)
}

func takePage(rows *gorm.DB) ([]Image, error) {
	var page []imageRow
	if err := rows.Order(newestFirst).Find(&page).Error; err != nil {
		return nil, database.Fault(err)
	}
	return imagesOf(page)
}

// bucketQuery finds the bucket that holds the row at an offset, newest first.
const bucketQuery = `
SELECT bucket, images, upto FROM (
    SELECT bucket, images, SUM(images) OVER (ORDER BY bucket DESC) AS upto FROM image_counts WHERE scope = ?
) AS sums WHERE upto > ? ORDER BY bucket DESC LIMIT 1`

// afterBucket follows every digit an id can have, so that a bucket and this
// sort after all ids of the bucket and before all of the next.
const afterBucket = "g"

// firstOf returns the id of the first row of the page, "" when rows went away
// since they were counted.
func (r *sqlRepository) firstOf(ctx context.Context, scope Scope, page web.Page) (string, error) {
	var at struct {
		Bucket string
		Images int
		Upto   int
	}
	if err := r.db.Read(ctx).Raw(bucketQuery, scope.number, page.Offset()).Scan(&at).Error; err != nil || at.Images == 0 {
		return "", database.Fault(err)
	}
	within := page.Offset() - (at.Upto - at.Images) // newer rows in the bucket
	ids := scoped(r.db.Read(ctx).Model(&imageRow{}), scope).Select("id").Limit(1)
	if within <= at.Images/2 {
		ids = ids.Where("id < ?", at.Bucket+afterBucket).Order(newestFirst).Offset(within)
	} else {
		ids = ids.Where("id >= ?", at.Bucket).Order("id").Offset(at.Images - 1 - within)
	}
	var first string
	err := ids.Scan(&first).Error
	return first, database.Fault(err)
}
