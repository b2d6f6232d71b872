package chat

import (
	"testing"

	"llmhist/platform/testkit"
)

// BenchmarkExchange begins and finishes an exchange in one session.
func BenchmarkExchange(b *testing.B) {
	for name, open := range map[string]func(testing.TB) repository{
		"sqlite":   func(t testing.TB) repository { return gormRepository{testkit.SQLite(t)} },
		"postgres": func(t testing.TB) repository { return gormRepository{testkit.Postgres(t)} },
		"mongo":    func(t testing.TB) repository { return mongoStore(t, testkit.Mongo(t)) },
	} {
		b.Run(name, func(b *testing.B) {
			r, s := open(b), newSession(1, epoch)
			must(b, r.CreateSession(b.Context(), s))
			for b.Loop() {
				exchange := begin(s, "question", epoch)
				must(b, r.BeginExchange(b.Context(), exchange))
				must(b, r.FinishAnswer(b.Context(), finished(exchange, "answer", epoch)))
			}
		})
	}
}
