package idempotency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/identity"
	"llmhist/platform/usage"
	"llmhist/platform/web"
)

// Header is what carries the key.
const Header = "Idempotency-Key"

// Guard does each request of a key once.
type Guard struct {
	Store    Store
	Logger   *slog.Logger
	Now      func() time.Time
	Instance string // names this server
	// Living returns the servers that live. nil = there is only this one.
	Living func(ctx context.Context) (map[string]bool, error)

	atWork sync.Map // claims of this server that are under way
}

// overdue is when no request is under way any more, whoever has it and however
// much the clocks of two machines differ.
const overdue = 30 * time.Minute

// storeDeadline bounds the remembering of an outcome, which goes on when the
// request is over.
const storeDeadline = 10 * time.Second

// Middleware serves requests with a key. Put it inside of what finds the caller
// and bounds the body and the rate of requests, and outside of what counts what
// they cost: an answer that is repeated costs nothing. An outcome is remembered
// when it is a success; after a failure the key can be used again. When something
// is deleted, the answers of its owner are forgotten: they may hold it.
func (g *Guard) Middleware() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			route := web.RouteOf(c)
			if route == nil {
				return next(c)
			}
			if route.Method == http.MethodDelete {
				return g.delete(c, next)
			}
			key := c.Request().Header.Get(Header)
			if route.Service == "" || key == "" {
				return next(c)
			}
			return g.serve(c, key, next)
		}
	}
}

func (g *Guard) delete(c echo.Context, next echo.HandlerFunc) error {
	if err := next(c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), storeDeadline)
	defer cancel()
	caller := identity.From(ctx)
	forget := func(ctx context.Context) error { return g.Store.ForgetAnswers(ctx, caller.UserID) }
	if caller.Admin() { // what was deleted may be anybody's
		forget = g.Store.ForgetAllAnswers
	}
	if err := forget(ctx); err != nil {
		g.Logger.WarnContext(ctx, "answers that may hold what was deleted are remembered until a day after them", "cause", err)
	}
	return nil
}

func (g *Guard) serve(c echo.Context, key string, next echo.HandlerFunc) error {
	caller := identity.From(c.Request().Context())
	if caller.Anonymous() {
		return anonymous()
	}
	if !valid(key) {
		return badKey()
	}
	request, err := digestOf(c.Request())
	if err != nil {
		return err
	}
	claim := Claim{
		UserID: caller.UserID, Key: digest([]byte(key)), Request: request, Instance: g.Instance, At: g.Now().UTC().Truncate(time.Millisecond),
	}
	outcome, err := g.begin(c.Request().Context(), claim)
	switch {
	case err != nil:
		return err
	case outcome != nil:
		return replay(c, *outcome)
	}
	defer g.atWork.Delete(claim.id())
	return g.do(c, claim, next)
}

// begin returns what was answered to a request, an error when it cannot be
// answered, or neither when it is to be done: then this server is at work on it.
func (g *Guard) begin(ctx context.Context, claim Claim) (outcome *Outcome, err error) {
	if _, atWork := g.atWork.LoadOrStore(claim.id(), true); atWork {
		return g.besideAnother(ctx, claim)
	}
	defer func() {
		if outcome != nil || err != nil {
			g.atWork.Delete(claim.id())
		}
	}()
	entry, err := g.Store.Begin(ctx, claim)
	if entry == nil || err != nil {
		return nil, err
	}
	if err := entry.refuses(claim); err != nil {
		return nil, err
	}
	if entry.Outcome.Status != 0 {
		return &entry.Outcome, nil
	}
	left, err := g.abandoned(ctx, entry.Claim)
	if err != nil {
		return nil, err
	}
	taken := false
	if left {
		taken, err = g.Store.TakeOver(ctx, *entry, claim)
	}
	if err == nil && !taken {
		err = underWay()
	}
	return nil, err
}

// besideAnother is begin while this server is at work on the key.
func (g *Guard) besideAnother(ctx context.Context, claim Claim) (*Outcome, error) {
	entry, err := g.Store.Find(ctx, claim.UserID, claim.Key, claim.At)
	switch {
	case err != nil:
		return nil, err
	case entry == nil:
		return nil, underWay()
	}
	if err := entry.refuses(claim); err != nil {
		return nil, err
	}
	if entry.Outcome.Status == 0 {
		return nil, underWay()
	}
	return &entry.Outcome, nil
}

// refuses says why a claim cannot be answered from the entry of its key.
func (e Entry) refuses(claim Claim) error {
	switch {
	case e.Request != claim.Request:
		return reused()
	case e.Outcome.TooLarge:
		return tooLarge()
	}
	return nil
}

func valid(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return len(key) <= maxKey
}

// abandoned reports whether no server is at work on a request, of which this
// server knows that it is not itself.
func (g *Guard) abandoned(ctx context.Context, claim Claim) (bool, error) {
	if claim.Instance == g.Instance || g.Now().Sub(claim.At) > overdue || g.Living == nil {
		return true, nil
	}
	living, err := g.Living(ctx)
	return !living[claim.Instance], err
}

type claimID struct {
	userID int64
	key    string
}

func (c Claim) id() claimID { return claimID{c.UserID, c.Key} }

// do serves the request and remembers a success before the end of its answer is
// sent, or, of a stream, right after.
func (g *Guard) do(c echo.Context, claim Claim, next echo.HandlerFunc) error {
	response := c.Response()
	answer := &recorder{ResponseWriter: response.Writer}
	response.Writer = answer
	finished := false
	defer func() {
		response.Writer = answer.ResponseWriter
		if !finished { // a panic, or a failure
			g.conclude(c.Request().Context(), claim, Outcome{})
		}
	}()
	err := next(c)
	if err != nil || answer.status < 200 || answer.status > 299 {
		return answer.release(err)
	}
	g.conclude(c.Request().Context(), claim, answer.outcome())
	finished = true
	return answer.release(nil)
}

// conclude remembers an outcome, or forgets the claim when there is none.
func (g *Guard) conclude(ctx context.Context, claim Claim, outcome Outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeDeadline)
	defer cancel()
	store := func() error { return g.Store.Finish(ctx, claim, outcome) }
	if outcome.Status == 0 {
		store = func() error { return g.Store.Forget(ctx, claim) }
	}
	if err := store(); err != nil {
		g.Logger.WarnContext(ctx, "the outcome of a request with an Idempotency-Key was not remembered", "cause", err)
	}
}

// kept are the headers that belong to an answer.
var kept = []string{echo.HeaderContentType, echo.HeaderLocation, "Cache-Control", "Content-Disposition", "X-Accel-Buffering",
	"Llmhist-Session", "Llmhist-Message", "Llmhist-Provider"}

func replay(c echo.Context, outcome Outcome) error {
	usage.Omit(c.Request().Context())
	header := c.Response().Header()
	for name, values := range outcome.Header {
		header[name] = values
	}
	header.Set("Idempotency-Replayed", "true")
	c.Response().WriteHeader(outcome.Status)
	_, _ = c.Response().Write(outcome.Body) // a client that is gone needs no answer
	return nil
}

// digestOf names a request by its address and body, which can be read again.
func digestOf(r *http.Request) (string, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", web.ReadFault(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return digest([]byte(r.Method), []byte(r.URL.Path), body), nil
}

func digest(parts ...[]byte) string {
	sum := sha256.New()
	for _, part := range parts {
		_, _ = sum.Write(part) // never fails
		_, _ = sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil))
}
