package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"llmhist/bench/load"
)

func resultOf(perSecond int, cpu, latency time.Duration) load.Result {
	durations := make([]time.Duration, perSecond)
	for i := range durations {
		durations[i] = latency
	}
	return load.Result{
		Elapsed: time.Second, Requests: perSecond, Latency: load.Summarize(durations), FirstByte: load.Summarize(durations),
		Processes: []load.Usage{{CPU: cpu}, {}, {}},
	}
}

func TestTheReportComparesWithTheYardstick(t *testing.T) {
	r := report{
		options: options{only: regexp.MustCompile(""), images: 100_000, quick: true},
		rows: []row{{
			scenario: scenario{group: groupHealth, name: "GET /healthz", connections: 10},
			server:   []load.Result{resultOf(1000, 40*time.Millisecond, 2*time.Millisecond)},
			baseline: []load.Result{resultOf(2000, 40*time.Millisecond, time.Millisecond)},
		}, {
			scenario: scenario{group: groupChat, name: "POST /chat, 100 events", connections: 1},
			server:   []load.Result{resultOf(50, 100*time.Millisecond, 2*time.Millisecond)},
		}},
		logged: map[string]int{`warn "slow statement"`: 2},
	}
	r.rows[0].server[0].Failures = map[string]int{"status 500": 3, "status 429": 1}
	text := r.markdown()
	for _, want := range []string{
		"Made by `bench/run.sh --quick` on ",
		"| `GET /healthz` | 10 | 996 (996–996) | 2.00 | 2.00 | 40.0 (40.0–40.0) | 1 × status 429, 3 × status 500 | 0.50 | 2.00 |\n",
		"| — yardstick | 10 | 2000 (2000–2000) | 1.00 | 1.00 | 20.0 (20.0–20.0) | 0 | | |\n",
		"| `POST /chat`, 100 events | 1 | 50.0 (50.0–50.0) | 2.00 | 2.00 | 2000 (2000–2000) | 0 | 2.00 |\n",
		`2 × warn "slow statement"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the report:\n%s", want, text)
		}
	}
	if strings.Contains(text, "## "+groupList) {
		t.Error("a group without measurements has a table")
	}
}

func TestEveryTableRowHasAsManyCellsAsItsHeader(t *testing.T) {
	one := resultOf(10, time.Millisecond, time.Millisecond)
	r := report{options: options{only: regexp.MustCompile("x"), images: 10_000}}
	s := &stage{options: r.options}
	for _, scenario := range s.scenarios() {
		measured := row{scenario: scenario, server: []load.Result{one}}
		if scenario.baseline != nil {
			measured.baseline = []load.Result{one}
		}
		r.rows = append(r.rows, measured)
	}
	columns := 0
	for line := range strings.Lines(r.markdown()) {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		count := strings.Count(line, "|")
		if columns == 0 {
			columns = count
		}
		if count != columns {
			t.Errorf("%d instead of %d borders in %q", count, columns, line)
		}
	}
}

func TestARefreshChainFollowsItsToken(t *testing.T) {
	chain := &refreshChain{address: "127.0.0.1:1", token: "first"}
	if wire := string(chain.Next().Wire); !strings.HasSuffix(wire, `{"refreshToken":"first"}`) {
		t.Errorf("sent %q", wire)
	}
	if err := chain.Judge(200, []byte(`{"accessToken":"a","refreshToken":"second"}`)); err != nil || chain.token != "second" {
		t.Errorf("token %q, %v", chain.token, err)
	}
	for status, body := range map[int]string{200: `{"refreshToken":"second"}`, 401: `{}`, 503: `x`} {
		if err := chain.Judge(status, []byte(body)); err == nil || chain.token != "second" {
			t.Errorf("status %d with %s was taken for a success", status, body)
		}
	}
}

func TestAStreamMustBeWhole(t *testing.T) {
	script := streamScript{load.Request{Marker: []byte("event: delta")}, "event: done"}
	whole := strings.Repeat("event: delta\n\n", 100)
	for name, test := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"whole":          {200, whole + "event: done\n\n", nil},
		"cut off":        {200, whole, errCut},
		"without pieces": {200, "event: done\n\n", errFew},
	} {
		t.Run(name, func(t *testing.T) {
			if got := script.Judge(test.status, []byte(test.body)); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if err := script.Judge(503, nil); err == nil {
		t.Error("status 503 was taken for a success")
	}
}
