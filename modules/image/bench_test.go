package image

import (
	"fmt"
	"testing"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
	"llmhist/platform/web"
)

// BenchmarkList measures pages of 100,000 images, half of them one user's.
func BenchmarkList(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *database.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		for spacing, step := range map[string]time.Duration{"spread": time.Minute, "dense": time.Millisecond} {
			b.Run(name+"/"+spacing, func(b *testing.B) {
				const rows = 100_000
				db := open(b)
				fill(b, db, rows, step)
				r := &sqlRepository{db: db}
				for place, number := range map[string]int{"1first": 1, "2middle": rows / 20, "3last": rows / 10} {
					for query, text := range map[string]string{"all": "", "search": "prompt 9"} {
						b.Run(query+"/"+place, func(b *testing.B) { benchList(b, r, Everyone(), text, number) })
					}
					b.Run("own/"+place, func(b *testing.B) { benchList(b, r, OwnedBy(1), "", max(number/2, 1)) })
				}
			})
		}
	}
}

func benchList(b *testing.B, r repository, scope Scope, query string, number int) {
	for b.Loop() {
		list, _, err := r.List(b.Context(), scope, query, web.Page{Number: number, Size: 10})
		if err != nil || query == "" && len(list) != 10 {
			b.Fatal(len(list), err)
		}
	}
}

// fill adds rows step apart, in transactions of a thousand.
func fill(tb testing.TB, db *database.DB, rows int, step time.Duration) {
	tb.Helper()
	for from := 0; from < rows; from += 1000 {
		tx, err := db.Handle().BeginTx(tb.Context(), nil)
		if err != nil {
			tb.Fatal(err)
		}
		for i := from; i < from+1000; i++ {
			created := at.Add(time.Duration(i) * step)
			prompt := fmt.Sprintf("a prompt %d of a common length, with some more words in it", i)
			if _, err := tx.Exec(`INSERT INTO images (id, user_id, prompt, size, status, created_at, updated_at)
				VALUES ($1, $2, $3, '512x512', 'completed', $4, $4)`, uid.New(created), 1+i%2, prompt, created); err != nil {
				tb.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			tb.Fatal(err)
		}
	}
}
