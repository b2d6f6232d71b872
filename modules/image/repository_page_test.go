package image

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/migrations"
	"llmhist/platform/database"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

// wantPages reads every page of several sizes and wants the ids, which are in
// order of creation, newest first.
func wantPages(t *testing.T, r repository, scope Scope, ids []string) {
	t.Helper()
	newest := slices.Clone(ids)
	slices.Sort(newest)
	slices.Reverse(newest)
	for _, size := range []int{1, 7, 100} {
		for offset := 0; offset <= len(newest)+size; offset += size {
			list, total, err := r.List(t.Context(), scope, "", web.Page{Number: offset/size + 1, Size: size})
			want := newest[min(offset, len(newest)):min(offset+size, len(newest))]
			if diff := cmp.Diff(want, idsOf(list)); diff != "" || total != int64(len(newest)) || err != nil {
				t.Fatalf("scope %v, %d after %d: total %d of %d, %v, %s", scope, size, offset, total, len(newest), err, diff)
			}
		}
	}
}

func TestAPageIsFoundByCountsOfEveryStep(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		var all, own []string
		for i := range 180 { // many in a fine step, several steps in three days, then a leap
			created := at.Add(time.Duration(i) * 37 * time.Minute)
			if i > 120 {
				created = at.Add(time.Duration(i) * 5 * time.Hour)
			}
			image := blank(owner(1+int64(i%3)), created)
			mustCreate(t, r, image)
			if i%4 == 1 || i > 40 && i < 50 { // leaves steps thin, and some empty
				if _, err := r.BeginErasure(t.Context(), image.ID); err != nil {
					t.Fatal(err)
				}
				continue
			}
			all = append(all, image.ID)
			if *image.UserID == 1 {
				own = append(own, image.ID)
			}
		}
		wantPages(t, r, Everyone(), all)
		wantPages(t, r, OwnedBy(1), own)
	})
}

func TestImagesThatWereThereBeforeTheFineCountsAreCounted(t *testing.T) {
	testkit.EachDatabaseBefore(t, "00010", func(t *testing.T, db *database.DB) {
		r := &sqlRepository{db: db}
		var all, own []string
		add := func() {
			for i := range 40 {
				image := blank(owner(1), at.Add(time.Duration(i)*77*time.Minute))
				if i%5 == 0 {
					image.UserID = nil
				}
				mustCreate(t, r, image)
				all = append(all, image.ID)
				if image.UserID != nil {
					own = append(own, image.ID)
				}
			}
		}
		add()
		if n, err := db.Migrate(t.Context(), migrations.Files); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		for range 2 {
			wantPages(t, r, Everyone(), all)
			wantPages(t, r, OwnedBy(1), own)
			add()
		}
	})
}

// Finding a page must cost no more than a few steps through keys, however many
// images there are.
func TestAPageIsFoundWithoutReadingATable(t *testing.T) {
	db := testkit.SQLite(t)
	for query, args := range map[string][]any{coarseQuery: {-1}, fineQuery: {-1, "019d0", "019d0g"}} {
		var plan []struct{ Detail string }
		if err := db.Read(t.Context()).Raw("EXPLAIN QUERY PLAN "+query, args...).Scan(&plan).Error; err != nil {
			t.Fatal(err)
		}
		if len(plan) != 1 || !strings.HasPrefix(plan[0].Detail, "SEARCH image_counts") || !strings.Contains(plan[0].Detail, "USING PRIMARY KEY") {
			t.Errorf("plan %+v", plan)
		}
	}
}

// PostgreSQL, which plans by what a table holds, must find the few fine counts
// of a page by their key among those of 90 days.
func TestAPageIsFoundByTheKeyOfTheCountsOnPostgreSQL(t *testing.T) {
	db := testkit.Postgres(t)
	for _, statement := range []string{
		`INSERT INTO image_counts_fine SELECT s, lpad(to_hex(27066368 + g), 7, '0'), 135 FROM generate_series(-1, 10) s, generate_series(0, 7400) g ORDER BY random()`,
		`INSERT INTO image_counts SELECT scope, substr(bucket, 1, 5), SUM(images) FROM image_counts_fine GROUP BY 1, 2`,
		`ANALYZE image_counts, image_counts_fine`,
	} {
		if _, err := db.Handle().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var plan []string
	if err := db.Read(t.Context()).Raw("EXPLAIN "+fineQuery, -1, "19d00", "19d00g").Scan(&plan).Error; err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(plan, func(step string) bool {
		return strings.Contains(step, "Index Cond") && strings.Contains(step, "bucket >") && strings.Contains(step, "bucket <")
	}) {
		t.Errorf("the plan is\n%s", strings.Join(plan, "\n"))
	}
}
