package analytics

import (
	"math"
	"net/http"
	"strings"
	"time"

	"llmhist/platform/usage"
	"llmhist/platform/web"
)

// Status is how a request ended.
type Status string

// The statuses. All but StatusOK count as failed in the figures.
const (
	StatusOK        Status = "ok"
	StatusRefused   Status = "refused"   // a 4xx: not signed in, not valid, over a limit
	StatusFailed    Status = "failed"    // a 5xx, or an answer that broke off
	StatusCancelled Status = "cancelled" // the client went away first
)

// Event is one generating request. It never holds the text of a prompt or an
// answer.
type Event struct {
	ID           string    // UUIDv7 of At
	At           time.Time // when the request arrived; UTC, whole milliseconds
	UserID       *int64    // nil = anonymous
	Service      string
	Action       string
	RequestID    string
	Provider     string // "" when refused before one was chosen
	Model        string
	Status       Status
	LatencyMS    int64
	TTFTMS       *int64 // time to first byte; nil when there was none
	InputTokens  int64
	OutputTokens int64
	InputBytes   int64
	OutputBytes  int64
	CostNanoUSD  int64

	HTTPStatus int    // as sent; 499 when the client was gone
	Code       string // the fault code of a request that did not end well
	ObjectID   string // what was made: the image, conversion or message
	Estimated  bool   // tokens were counted here, not reported by the provider
}

// disown makes the event one of ErasedUser.
func (e *Event) disown() {
	nobody := ErasedUser
	e.UserID, e.RequestID, e.ObjectID = &nobody, "", ""
}

// outcome is how the HTTP side of a request ended.
type outcome struct {
	status Status
	http   int
	code   string
}

// outcomeOf judges a request by the status that was sent, the error its handler
// returned, and what the service said about an answer that failed after its
// status was sent. gone says that the client hung up.
func outcomeOf(sent int, err error, reported string, gone bool) outcome {
	judged := sent
	var code string
	if err != nil {
		judged, code = web.StatusOf(err), web.Fault(err).Code
	}
	switch {
	case judged == web.StatusClientClosedRequest,
		gone && judged >= http.StatusInternalServerError: // the failure is the hang-up's own doing
		return outcome{StatusCancelled, web.StatusClientClosedRequest, "cancelled"}
	case judged >= http.StatusInternalServerError:
		return outcome{StatusFailed, sent, code}
	case judged >= http.StatusBadRequest:
		return outcome{StatusRefused, sent, code}
	case reported == "cancelled":
		return outcome{StatusCancelled, sent, reported}
	case reported != "":
		return outcome{StatusFailed, sent, reported}
	default:
		return outcome{StatusOK, sent, ""}
	}
}

// fill takes over what the service reported about the request that began at
// start.
func (e *Event) fill(figures usage.Figures, start time.Time) {
	e.Provider = figures.Provider
	e.Model = figures.Model
	e.InputTokens = figures.InputTokens
	e.OutputTokens = figures.OutputTokens
	e.InputBytes = figures.InputBytes
	e.OutputBytes = figures.OutputBytes
	e.CostNanoUSD = nanoUSD(figures.CostUSD)
	e.ObjectID = figures.ObjectID
	e.Estimated = figures.Estimated
	if !figures.FirstByte.IsZero() {
		ttft := max(0, figures.FirstByte.Sub(start).Milliseconds())
		e.TTFTMS = &ttft
	}
}

// The bounds of what one request can have consumed, so that a provider that
// reports nonsense cannot overflow the sums.
const (
	maxCount   = 1 << 40
	maxCostUSD = 1_000_000
)

func nanoUSD(usd float64) int64 {
	if !(usd > 0) { // also NaN
		return 0
	}
	return int64(math.Round(min(usd, maxCostUSD) * nanoPerUSD))
}

// sanitize makes every field storable on every engine: provider and model can
// be whatever a remote server answered.
func (e *Event) sanitize() {
	e.At = e.At.UTC().Truncate(time.Millisecond)
	for _, field := range []struct {
		text *string
		most int
	}{
		{&e.Service, 40}, {&e.Action, 40}, {&e.RequestID, 128}, {&e.Provider, 100}, {&e.Model, 200}, {&e.Code, 100}, {&e.ObjectID, 100},
	} {
		*field.text = clip(*field.text, field.most)
	}
	for _, n := range []*int64{&e.LatencyMS, &e.InputTokens, &e.OutputTokens, &e.InputBytes, &e.OutputBytes} {
		*n = min(max(*n, 0), maxCount)
	}
}

// clip returns at most most bytes of text as valid UTF-8 without U+0000, which
// PostgreSQL does not store.
func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
}

// figures returns what the event adds to its rollup.
func (e *Event) figures() Figures {
	f := Figures{
		Requests: 1, InputTokens: e.InputTokens, OutputTokens: e.OutputTokens,
		InputBytes: e.InputBytes, OutputBytes: e.OutputBytes, CostNanoUSD: e.CostNanoUSD,
	}
	if e.Status != StatusOK {
		f.Failed = 1
		return f
	}
	f.LatencySumMS, f.LatencyCount = e.LatencyMS, 1
	if e.TTFTMS != nil {
		f.TTFTSumMS, f.TTFTCount = *e.TTFTMS, 1
	}
	return f
}
