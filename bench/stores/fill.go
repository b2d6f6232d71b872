package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"llmhist/platform/database"
)

// fill puts the content straight into the tables, a few hundred rows with a
// statement, and then does for PostgreSQL what its autovacuum does in time.
func fill(ctx context.Context, db *database.DB, c *content) (oldest map[string]string, err error) {
	conn, err := db.Handle().Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	f := filler{conn: conn, dialect: db.Dialect(), content: c, random: rand.New(rand.NewPCG(3, 4)), oldest: map[string]string{}}
	before, after := sqliteFilling, sqliteFilled
	if f.dialect == database.Postgres {
		before, after = postgresFilling, postgresFilled
	}
	for _, step := range []func(context.Context) error{
		f.statements(before), f.images, f.sessions, f.messages, f.speech, f.statements(after),
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return f.oldest, nil
}

// Nobody waits for the rows to be durable while they are made.
var (
	sqliteFilling   = []string{"PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000"}
	sqliteFilled    = []string{"PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA cache_size = -4000", "PRAGMA synchronous = FULL"}
	postgresFilling = []string{"SET synchronous_commit = off", "ALTER TABLE images DISABLE TRIGGER USER"}
	postgresFilled  = append(countedImages(), "ALTER TABLE images ENABLE TRIGGER USER", "VACUUM (ANALYZE)", "CHECKPOINT", "SET synchronous_commit = on")
)

// countedImages counts at once what the triggers, which take PostgreSQL most of
// the time, count row by row.
func countedImages() []string {
	var list []string
	for table, digits := range map[string]int{"image_counts": 5, "image_counts_fine": 6} {
		list = append(list, fmt.Sprintf("INSERT INTO %s (scope, bucket, images) SELECT -1, substr(id, 1, %d), COUNT(*) FROM images GROUP BY 2 "+
			"UNION ALL SELECT user_id, substr(id, 1, %d), COUNT(*) FROM images GROUP BY 1, 2", table, digits, digits))
	}
	return list
}

// filler fills one database.
type filler struct {
	conn    *sql.Conn
	dialect database.Dialect
	content *content
	random  *rand.Rand
	oldest  map[string]string // id of what comes last in each list
}

func (f *filler) statements(list []string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, statement := range list {
			if _, err := f.conn.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	}
}

func (f *filler) images(ctx context.Context) error {
	into, err := f.into(ctx, "images", "id", "user_id", "prompt", "size", "status", "provider", "model", "s3_key", "s3_bucket",
		"width", "height", "file_size_bytes", "processing_time_ms", "metadata", "created_at", "updated_at")
	if err != nil {
		return err
	}
	for i := range f.content.images {
		at := f.content.imageAt(i)
		id, owner := newID(f.random, at), i%owners
		f.note(listImages, owner, id)
		facts := fmt.Sprintf(`{"content_type":"image/png","sha256":"%064x","completed_at":%q}`, f.random.Uint64(), at.Format(time.RFC3339Nano))
		err := into.add(ctx, id, f.content.owners[owner], fmt.Sprintf("picture %d: a lighthouse above a calm sea at dusk, wide view", i),
			"512x512", "completed", "local", "local/canvas", "requests/"+at.Format("2006/01/02/")+id+"/image/original.png", "llmhist-image-dev",
			512, 512, 123456, 87, facts, at, at)
		if err != nil {
			return err
		}
	}
	return into.flush(ctx)
}

// note keeps the first id of the whole list and of the first owner's.
func (f *filler) note(list string, owner int, id string) {
	if f.oldest[list+everyone] == "" {
		f.oldest[list+everyone] = id
	}
	if owner == 0 && f.oldest[list] == "" {
		f.oldest[list] = id
	}
}

func (f *filler) sessions(ctx context.Context) error {
	into, err := f.into(ctx, "chat_sessions", "id", "user_id", "title", "model", "last_model", "last_position", "message_count",
		"input_tokens", "output_tokens", "created_at", "updated_at")
	if err != nil {
		return err
	}
	last := f.content.lastTurns()
	var earliest time.Time
	for i, s := range f.content.sessions {
		if s.owner == 0 && (earliest.IsZero() || last[i].Before(earliest)) {
			earliest, f.oldest[listSessions] = last[i], s.id
		}
		err := into.add(ctx, s.id, f.content.owners[s.owner], text(f.random, 20, 60), "", "demo-1", 2*s.turns, 2*s.turns,
			100*s.turns, 120*s.turns, s.from.Truncate(time.Millisecond), last[i])
		if err != nil {
			return err
		}
	}
	return into.flush(ctx)
}

// lastTurns returns when each session changed last.
func (c *content) lastTurns() []time.Time {
	last := make([]time.Time, len(c.sessions))
	for _, t := range c.turns {
		last[t.session] = t.at
	}
	return last
}

func (f *filler) messages(ctx context.Context) error {
	into, err := f.into(ctx, "chat_messages", "id", "session_id", "user_id", "position", "role", "content", "status", "provider", "model",
		"finish_reason", "input_tokens", "output_tokens", "created_at", "finished_at")
	if err != nil {
		return err
	}
	next := make([]int, len(f.content.sessions))
	for _, t := range f.content.turns {
		s := f.content.sessions[t.session]
		position, user := 2*next[t.session]+1, f.content.owners[s.owner]
		next[t.session]++
		question, answer := newID(f.random, t.at), newID(f.random, t.at)
		if t.session == 0 && position == 1 {
			f.oldest[listMessages] = question
		}
		err := into.add(ctx, question, s.id, user, position, "user", text(f.random, 20, 200), "completed", "", "", "", 0, 0, t.at, t.at)
		if err == nil {
			err = into.add(ctx, answer, s.id, user, position+1, "assistant", text(f.random, 100, 1000), "completed", "openai", "demo-1", "stop", 100, 120, t.at, t.at)
		}
		if err != nil {
			return err
		}
	}
	return into.flush(ctx)
}

func (f *filler) speech(ctx context.Context) error {
	into, err := f.into(ctx, "tts_conversions", "id", "user_id", "text", "audio_url", "model", "voice", "language", "speed", "format", "status",
		"duration_seconds", "file_size_bytes", "s3_key", "s3_bucket", "metadata", "created_at", "updated_at")
	if err != nil {
		return err
	}
	for i := range f.content.speech {
		at := f.content.moment(i, f.content.speech)
		id, owner := newID(f.random, at), i%owners
		f.note(listSpeech, owner, id)
		err := into.add(ctx, id, f.content.owners[owner], text(f.random, 40, 400), "/speech/"+id+"/download", "local/flite", "slt", "en", 1.0, "mp3",
			"completed", 3.5, 28160, "requests/"+at.Format("2006/01/02/")+id+"/audio/output.mp3", "llmhist-speech-dev", `{"provider":"local","latency_ms":450}`, at, at)
		if err != nil {
			return err
		}
	}
	return into.flush(ctx)
}

// rowsAtOnce is how many rows one statement inserts.
const rowsAtOnce = 200

// insertion collects rows for one table.
type insertion struct {
	filler *filler
	head   string
	width  int
	whole  *sql.Stmt // for rowsAtOnce rows
	values []any
}

func (f *filler) into(ctx context.Context, table string, columns ...string) (*insertion, error) {
	i := &insertion{filler: f, head: "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ", width: len(columns)}
	var err error
	i.whole, err = f.conn.PrepareContext(ctx, i.statement(rowsAtOnce))
	return i, err
}

func (i *insertion) add(ctx context.Context, row ...any) error {
	if len(row) != i.width {
		return errors.New("a row of another width than its table: " + i.head)
	}
	if i.values = append(i.values, row...); len(i.values) < rowsAtOnce*i.width {
		return nil
	}
	_, err := i.whole.ExecContext(ctx, i.values...)
	i.values = i.values[:0]
	return err
}

// flush inserts what is left.
func (i *insertion) flush(ctx context.Context) error {
	var err error
	if rows := len(i.values) / i.width; rows > 0 {
		_, err = i.filler.conn.ExecContext(ctx, i.statement(rows), i.values...)
	}
	return errors.Join(err, i.whole.Close())
}

func (i *insertion) statement(rows int) string {
	var b strings.Builder
	b.WriteString(i.head)
	for n := range rows * i.width {
		switch {
		case n == 0:
			b.WriteByte('(')
		case n%i.width == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		if i.filler.dialect == database.Postgres {
			fmt.Fprintf(&b, "$%d", n+1)
		} else {
			b.WriteByte('?')
		}
	}
	return b.String() + ")"
}
