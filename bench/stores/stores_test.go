package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"llmhist/bench/load"
	"llmhist/bench/rig"
	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

func TestThePlanIsTheSameInEveryRunAndHasWhatItSays(t *testing.T) {
	o := options{images: 20_000, messages: 20_000}
	one, two := planContent(o, 7), planContent(o, 7)
	turns, before := 0, time.Time{}
	for i, s := range one.sessions {
		turns += s.turns
		if s != two.sessions[i] || s.turns < 1 || s.to.Before(s.from) || s.to.After(one.end) {
			t.Fatalf("session %d: %+v, %+v", i, s, two.sessions[i])
		}
	}
	for _, turn := range one.turns {
		if turn.at.Before(before) || turn.at.After(one.end) || turn.at.Before(one.end.Add(-span)) {
			t.Fatalf("%v after %v", turn.at, before)
		}
		before = turn.at
	}
	if 2*turns != o.messages || len(one.turns) != turns || one.sessions[0].turns != 1000 || one.ofFirstOwner() != 200 {
		t.Errorf("%d turns, %d in order, %d in the longest session, %d sessions of the first owner",
			turns, len(one.turns), one.sessions[0].turns, one.ofFirstOwner())
	}
}

func TestAFilledStoreIsOneThatItsServerCouldHaveMade(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		c := planContent(options{images: 10_001, messages: 10_000}, 1)
		oldest, err := fill(t.Context(), db, c)
		if err != nil {
			t.Fatal(err)
		}
		for query, want := range map[string]int64{
			"SELECT COUNT(*) FROM images":                                             10_001,
			"SELECT COUNT(*) FROM chat_messages":                                      10_000,
			"SELECT COUNT(*) FROM tts_conversions":                                    1000,
			"SELECT SUM(images) FROM image_counts WHERE scope = -1":                   10_001,
			"SELECT SUM(images) FROM image_counts_fine WHERE scope = -1":              10_001,
			"SELECT SUM(images) FROM image_counts_fine WHERE scope = 1":               1001,
			"SELECT COUNT(*) FROM chat_sessions WHERE message_count <> last_position": 0,
			"SELECT COUNT(*) FROM chat_sessions WHERE user_id = 1":                    100,
			"SELECT MAX(last_position) - MAX(message_count) FROM chat_sessions":       0,
			"SELECT COUNT(*) FROM chat_sessions s WHERE message_count <> (SELECT MAX(position) FROM chat_messages WHERE session_id = s.id)": 0,
		} {
			var got int64
			if err := db.Handle().QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %d instead of %d, %v", query, got, want, err)
			}
		}
		for list, query := range map[string]string{
			listImages:            "SELECT MIN(id) FROM images WHERE user_id = 1",
			listImages + everyone: "SELECT MIN(id) FROM images",
			listSessions:          "SELECT id FROM chat_sessions WHERE user_id = 1 ORDER BY updated_at, id LIMIT 1",
			listMessages:          "SELECT id FROM chat_messages WHERE position = 1 AND session_id = '" + c.sessions[0].id + "'",
			listSpeech + everyone: "SELECT id FROM tts_conversions ORDER BY created_at, id LIMIT 1",
		} {
			var want string
			if err := db.Handle().QueryRowContext(t.Context(), query).Scan(&want); err != nil || oldest[list] != want {
				t.Errorf("the oldest of %s is %s, noted was %s, %v", list, want, oldest[list], err)
			}
		}
		var enabled int
		if db.Dialect() == database.Postgres {
			query := "SELECT COUNT(*) FROM pg_trigger WHERE tgrelid = 'images'::regclass AND NOT tgisinternal AND tgenabled <> 'O'"
			if err := db.Handle().QueryRowContext(t.Context(), query).Scan(&enabled); err != nil || enabled != 0 {
				t.Errorf("%d triggers are off, %v", enabled, err)
			}
		}
	})
}

func TestAWrongPageIsNotMeasured(t *testing.T) {
	for name, test := range map[string]struct {
		deepest string
		fails   bool
	}{
		"right":                 {`{"total":12,"images":[{"id":"b"},{"id":"a"}]}`, false},
		"without the oldest":    {`{"total":12,"images":[{"id":"c"},{"id":"b"}]}`, true},
		"with too few":          {`{"total":12,"images":[{"id":"a"}]}`, true},
		"without entries":       {`{"total":12}`, true},
		"not a list of entries": {`[]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("page") == "1" {
					fmt.Fprintf(w, `{"total":12,"images":[%s{}]}`, strings.Repeat("{},", 9))
					return
				}
				fmt.Fprint(w, test.deepest)
			}))
			defer server.Close()
			l := &list{name: "GET /x", path: "/x", size: 10, noun: "images", oldest: "a", total: 12}
			if err := l.check(t.Context(), server.Listener.Addr().String()); (err != nil) != test.fails {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatIsMissingIsSaidAndTheRestIsReported(t *testing.T) {
	o, err := parseOptions([]string{"-images", "10000"})
	if err != nil {
		t.Fatal(err)
	}
	o.postgres = ""
	engines := enginesFor(o)
	if len(engines) != 2 || engines[0].missing != "" || !strings.Contains(engines[1].missing, "TEST_DATABASE_URL") {
		t.Fatalf("%+v", engines)
	}
	result := []load.Result{{Elapsed: time.Second, Requests: 10, Latency: load.Summary{Count: 10, P10: time.Millisecond, P50: time.Millisecond, P99: 2 * time.Millisecond}}}
	slow := []load.Result{{Elapsed: time.Second, Requests: 10, Latency: load.Summary{Count: 10, P10: 2 * time.Millisecond, P50: 3 * time.Millisecond, P99: 4 * time.Millisecond}}}
	r := report{options: o, began: time.Now(), streams: []streamed{{"directory, put", 200e6, rig.Memory{Base: 10 << 20, Peak: 12 << 20, Took: time.Second}}}}
	r.skip(engines[1].missing)
	r.engines = []measured{{engine: engines[0], content: planContent(o, 1),
		reads:   []reading{{list: &list{name: "GET /image", size: 10, total: 1000}, first: result, inside: result, deepest: slow}},
		inserts: []inserting{{"POST /chat, a new session", slow, result}}}}
	text := r.markdown()
	for _, want := range []string{
		"Made by `bench/stores.sh --images 10000` on ", "| Not measured | PostgreSQL, because ",
		"| `GET /image` | 1000 | 10 | 1.00 | 2.00 | 1.00 | 2.00 | 3.00 | 4.00 | 1.00 | 3.00 | 1.00, 2.00 |\n",
		"| `POST /chat`, a new session | 10.0 (10.0–10.0) | 3.00 | 4.00 | 10.0 (10.0–10.0) | 1.00 | 2.00 | 1.00 | 3.00 |\n",
		"| directory, put | 200 | 10.0 MiB | 12.0 MiB | 2.0 MiB | 0.0 MiB | 200 |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the report:\n%s", want, text)
		}
	}
	columns := 0
	for line := range strings.Lines(text) {
		count := strings.Count(line, "|")
		if columns > 0 && count > 0 && count != columns {
			t.Errorf("%d instead of %d borders in %q", count, columns, line)
		}
		columns = count
	}
}

func TestOptionsOutOfBoundsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-images", "9999"}, {"-messages", "10000001"}, {"-parts", "sqlite,oracle"}, {"-object", "1"}, {"-duration", "1ms"}, {"-unknown"},
	} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%v were accepted", args)
		}
	}
}
