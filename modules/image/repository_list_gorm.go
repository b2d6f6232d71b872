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
			return list, at.total, err
		}
	}
	var total int64
	if err := r.db.Read(ctx).Raw(totalQuery, scope.number).Scan(&total).Error; err != nil {
		return nil, 0, database.Fault(err)
	}
	if int64(page.Offset()) >= total {
		return []Image{}, total, nil
	}
	list, err := takePage(rows.Offset(page.Offset()).Limit(page.Size)) // with an offset only of what came or went in between
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

// The counts of a scope, newest first: all coarse ones, of which there are ten for
// each month, and the sixteen fine ones that a coarse one can have. They are added up
// here: to compile a statement that does it takes SQLite longer than all the rest.
const (
	coarseQuery = `SELECT bucket, images FROM image_counts WHERE scope = ? ORDER BY bucket DESC`
	fineQuery   = `SELECT bucket, images FROM image_counts_fine WHERE scope = ? AND bucket > ? AND bucket < ? ORDER BY bucket DESC`
)

// place is where a page begins.
type place struct {
	bucketCount       // of the bucket; no images = the list is not that long
	skip        int   // how many of them come before the page
	total       int64 // in scope
}

// bucketCount is how many images the ids of a bucket name.
type bucketCount struct {
	Bucket string
	Images int
}

// locate finds the fine bucket that holds the row at an offset, newest first, by way
// of the coarse one.
func (r *sqlRepository) locate(ctx context.Context, scope Scope, offset int) (place, error) {
	coarse, err := r.counts(ctx, coarseQuery, scope.number)
	if err != nil {
		return place{}, err
	}
	var total int64
	for _, c := range coarse {
		total += int64(c.Images)
	}
	in, skip := holding(coarse, offset)
	if in.Images == 0 {
		return place{}, nil
	}
	fine, err := r.counts(ctx, fineQuery, scope.number, in.Bucket, in.Bucket+afterBucket)
	if err != nil {
		return place{}, err
	}
	in, skip = holding(fine, skip)
	return place{bucketCount: in, skip: skip, total: total}, nil
}

func (r *sqlRepository) counts(ctx context.Context, query string, args ...any) ([]bucketCount, error) {
	var list []bucketCount
	err := r.db.Read(ctx).Raw(query, args...).Scan(&list).Error
	return list, database.Fault(err)
}

// holding returns the bucket in which the row at an offset is, and how many rows of
// that come before it. It has no images when the list is not that long.
func holding(list []bucketCount, offset int) (in bucketCount, skip int) {
	for _, b := range list {
		if offset < b.Images {
			return b, offset
		}
		offset -= b.Images
	}
	return bucketCount{}, 0
}

// first is the query for the id of the page's first row.
func (at place) first(tx *gorm.DB, scope Scope) *gorm.DB {
	ids := scoped(tx.Model(&imageRow{}), scope).Select("id").Limit(1)
	if at.skip <= at.Images/2 {
		return ids.Where("id < ?", at.Bucket+afterBucket).Order(newestFirst).Offset(at.skip)
	}
	return ids.Where("id >= ?", at.Bucket).Order("id").Offset(at.Images - 1 - at.skip)
}
