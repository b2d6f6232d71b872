package image

import (
	"context"
	"strings"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/web"
)

const newestFirst = "id DESC"

// List without a query knows from the tables of counts how many rows there are
// and in which few hours the page begins. Only there is the index walked, and
// from the nearer end, so that any page costs about what the first does.
func (r *sqlRepository) List(ctx context.Context, scope Scope, query string, page web.Page) ([]Image, int64, error) {
	if query != "" {
		return r.search(ctx, scope, query, page)
	}
	rows := scoped(r.db.Read(ctx), scope)
	if page.Offset() > 0 {
		at, err := r.locate(ctx, scope, page.Offset())
		if err != nil {
			return nil, 0, err
		}
		if at.Images > 0 {
			list, err := takePage(rows.Where("id <= (?)", at.first(r.db.Read(ctx), scope)).Limit(page.Size))
			return list, at.Total, err
		}
	}
	var total int64
	if err := r.db.Read(ctx).Raw(totalQuery, scope.number).Scan(&total).Error; err != nil {
		return nil, 0, database.Fault(err)
	}
	if int64(page.Offset()) >= total {
		return []Image{}, total, nil
	}
	list, err := takePage(rows.Offset(page.Offset()).Limit(page.Size)) // with an offset only of images that came in between
	return list, total, err
}

// search walks all rows in scope: a condition on text has no index.
func (r *sqlRepository) search(ctx context.Context, scope Scope, query string, page web.Page) ([]Image, int64, error) {
	ctx = database.Allow(ctx, database.Search)
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
	list := make([]Image, len(page))
	for i, row := range page {
		list[i] = row.listed()
	}
	return list, nil
}

const totalQuery = `SELECT CAST(COALESCE(SUM(images), 0) AS BIGINT) FROM image_counts WHERE scope = ?`

// afterBucket follows every digit an id can have, so that a bucket and this
// sort after all ids of the bucket and before all of the next.
const afterBucket = "g"

// placeQuery finds the fine bucket that holds the row at an offset, newest
// first, by way of the coarse one. The fine ones are bounded by subqueries, not
// by a join: PostgreSQL finds a range by its index only when its ends are single
// values.
const placeQuery = `
WITH coarse AS MATERIALIZED (
    SELECT bucket, passed, total FROM (
        SELECT bucket, images, CAST(SUM(images) OVER (ORDER BY bucket DESC) AS BIGINT) - images AS passed,
            CAST(SUM(images) OVER () AS BIGINT) AS total
        FROM image_counts WHERE scope = @scope
    ) AS sums WHERE passed <= @offset AND passed + images > @offset
), fine AS (
    SELECT bucket, images, CAST(SUM(images) OVER (ORDER BY bucket DESC) AS BIGINT) - images + (SELECT passed FROM coarse) AS passed
    FROM image_counts_fine WHERE scope = @scope
    AND bucket > (SELECT bucket FROM coarse) AND bucket < (SELECT bucket FROM coarse) || '` + afterBucket + `'
)
SELECT bucket, images, @offset - passed AS skip, (SELECT total FROM coarse) AS total
FROM fine WHERE passed <= @offset AND passed + images > @offset`

// place is where a page begins.
type place struct {
	Bucket string
	Images int   // in the bucket; 0 = the list is not that long
	Skip   int   // how many of them come before the page
	Total  int64 // in scope
}

func (r *sqlRepository) locate(ctx context.Context, scope Scope, offset int) (place, error) {
	var at place
	err := r.db.Read(ctx).Raw(placeQuery, map[string]any{"scope": scope.number, "offset": offset}).Scan(&at).Error
	return at, database.Fault(err)
}

// first is the query for the id of the page's first row.
func (at place) first(tx *gorm.DB, scope Scope) *gorm.DB {
	ids := scoped(tx.Model(&imageRow{}), scope).Select("id").Limit(1)
	if at.Skip <= at.Images/2 {
		return ids.Where("id < ?", at.Bucket+afterBucket).Order(newestFirst).Offset(at.Skip)
	}
	return ids.Where("id >= ?", at.Bucket).Order("id").Offset(at.Images - 1 - at.Skip)
}
