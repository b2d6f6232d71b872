// Package outbound calls providers. Every call has a deadline to connect, to
// the first byte, between two reads and in total; a size limit; no redirect to
// another host; and errors that name the provider but carry neither its words
// nor a key.
package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"llmhist/platform/fault"
	"llmhist/platform/usage"
)

// Client calls one provider.
type Client struct {
	provider string
	limits   Limits
	pace     tempo
	wire     *transport

	queue      *queue
	breaker    *breaker
	retries    failsafe.Executor[any]
	statistics *statistics
}

// tempo is what only tests change.
type tempo struct {
	backoff time.Duration // before the first retry; doubled for each further one
	rest    time.Duration // of a provider that failed repeatedly
}

var usualTempo = tempo{backoff: 250 * time.Millisecond, rest: 10 * time.Second}

// New returns a client for the provider called name, as operators and users
// know it.
func New(name string, limits Limits) *Client { return newClient(name, limits, usualTempo) }

func newClient(name string, limits Limits, pace tempo) *Client {
	limits = limits.withDefaults()
	return &Client{
		provider: name, limits: limits, pace: pace,
		queue: newQueue(limits.Policy), breaker: newBreaker(pace.rest), retries: newRetries(limits.Policy, pace),
		statistics: newStatistics(),
		wire:       newTransport(limits),
	}
}

// Close ends idle connections.
func (c *Client) Close() { c.wire.CloseIdleConnections() }

var errOtherHost = errors.New("redirect to another host")

func sameHost(a, b *url.URL) bool { return a.Host == b.Host && a.Scheme == b.Scheme }

// Do sends the request and returns the response of a 2xx status, whose body
// must be closed: until then it counts as one of Policy.Concurrency. Every other
// outcome is a fault that names the provider: Unavailable when it cannot be
// reached, Timeout when it takes too long, BadUpstream when it answers badly
// (see StatusFault), and the context's own error when the caller is gone.
//
// A failure that may pass is repeated as Policy says, if the request can be sent
// again (see http.Request.GetBody): a connection refused or dropped before
// headers came, and the statuses 408, 429, 500, 502, 503 and 504, except where
// credit is what lacks. How often that was is added to the request's
// usage.Figures. A fault after several attempts has their number as
// "attempts". Not asked at all are a provider that as many ask as may (code
// provider_busy) and one that failed repeatedly (provider_resting); both faults
// are Unavailable and say when to ask again.
//
// Unless the request's headers say otherwise, they are made to say that the answer
// shall not be packed.
func (c *Client) Do(ctx context.Context, request *http.Request) (*http.Response, error) {
	if request.Header["Accept-Encoding"] == nil {
		request.Header.Set("Accept-Encoding", "identity")
	}
	response, err := c.enterAndAsk(ctx, request)
	c.statistics.calls[outcomeOf(err)].Add(1)
	return response, err
}

// enterAndAsk holds a place from the call to the end of the response's body.
func (c *Client) enterAndAsk(ctx context.Context, request *http.Request) (*http.Response, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, c.limits.Total, errTotal)
	release := sync.OnceFunc(func() { cancel(); leave() })
	response, err := c.askOrRest(bounded, request)
	if err != nil {
		release()
		return nil, err
	}
	response.Body = &placedBody{response.Body, release}
	return response, nil
}

// enter takes a place, unless the context holds one already.
func (c *Client) enter(ctx context.Context) (leave func(), err error) {
	if c.breaker.rests() { // nobody has to wait to hear that
		return nil, c.restingFault()
	}
	if c.holds(ctx) {
		return func() {}, nil
	}
	if err := c.queue.enter(ctx); err != nil {
		return nil, c.queueFault(err)
	}
	return c.queue.leave, nil
}

// errTotal is why a call ends that took longer than Limits.Total.
var errTotal = errors.New("the call took longer than its limit")

// askOrRest makes the call unless the provider rests. A probe is one attempt.
func (c *Client) askOrRest(ctx context.Context, request *http.Request) (*http.Response, error) {
	probe, admitted := c.breaker.admit()
	if !admitted {
		return nil, c.restingFault()
	}
	response, attempts, err := c.repeatedly(ctx, request, !probe)
	if attempts > 1 {
		usage.Update(ctx, func(f *usage.Figures) { f.Retries += int64(attempts - 1) })
	}
	c.breaker.settle(probe, outcomeOf(err))
	return response, withAttempts(err, attempts)
}

// attempt sends the request once. The first attempt takes the body that is
// there, others a copy.
func (c *Client) attempt(ctx context.Context, request *http.Request, number int) (*http.Response, error) {
	request = withCredential(request.WithContext(ctx))
	if number > 1 {
		if err := rewind(request); err != nil {
			return nil, err
		}
	}
	response, err := c.send(request)
	if err != nil {
		return nil, c.callFault(ctx, err)
	}
	response.Body = c.guard(ctx, response.Body)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		defer func() { _ = response.Body.Close() }()
		return nil, StatusFault(c.provider, response)
	}
	return response, nil
}

// withCredential returns the request with the user and the password of its address
// as a header, unless it has one.
func withCredential(request *http.Request) *http.Request {
	user := request.URL.User
	if user == nil || request.Header.Get("Authorization") != "" {
		return request
	}
	request.Header = request.Header.Clone()
	password, _ := user.Password()
	request.SetBasicAuth(user.Username(), password)
	return request
}

// maxRedirects is how many redirects within its host a request follows.
const maxRedirects = 3

// send sends the request, and follows redirects that are allowed. http.Client
// would copy the headers of each request for those.
func (c *Client) send(request *http.Request) (*http.Response, error) {
	for followed := 0; ; followed++ {
		response, err := c.wire.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		next, err := redirected(request, response)
		if next == nil && err == nil {
			return response, nil
		}
		_ = response.Body.Close()
		if err != nil || followed == maxRedirects {
			return nil, cmp.Or(err, errOtherHost)
		}
		request = next
	}
}

// redirected returns the request that an answer redirects to, or nil.
func redirected(request *http.Request, response *http.Response) (*http.Request, error) {
	keeps := false // method and body
	switch response.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		keeps = true
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
	default:
		return nil, nil
	}
	to, err := response.Location()
	if err != nil || keeps && !replayable(request) {
		return nil, nil // its status is the caller's to judge
	}
	if !sameHost(to, request.URL) {
		return nil, errOtherHost
	}
	next := request.WithContext(request.Context()) // a copy
	next.URL = to
	if keeps {
		return next, rewind(next)
	}
	next.Body, next.GetBody, next.ContentLength = nil, nil, 0
	next.Header = request.Header.Clone()
	next.Header.Del("Content-Type")
	if next.Method != http.MethodHead {
		next.Method = http.MethodGet
	}
	return next, nil
}

// rewind gives a request that was sent its body again.
func rewind(request *http.Request) (err error) {
	if request.GetBody != nil {
		request.Body, err = request.GetBody()
	}
	return err
}

// withAttempts adds how often a provider was asked in vain.
func withAttempts(err error, attempts int) error {
	var failure *fault.Error
	if attempts < 2 || !errors.As(err, &failure) {
		return err
	}
	return failure.With("attempts", attempts)
}

// ReadAll reads and closes the body of a response from Do.
func (c *Client) ReadAll(response *http.Response) ([]byte, error) {
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

// callFault names why no response came in the call of ctx.
func (c *Client) callFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return c.ended(ctx)
	}
	if errors.Is(err, errOtherHost) {
		return fault.New(fault.BadUpstream, "provider_redirected",
			fmt.Sprintf("The provider %q redirected to another host, which is not followed. Check its base URL.", c.provider))
	}
	var network net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout() {
		return c.timeout(err)
	}
	return fault.Wrap(Discreet(err), fault.Unavailable, "provider_unavailable",
		fmt.Sprintf("The provider %q cannot be reached. Check its base URL and that it is running.", c.provider)).
		With("provider", c.provider)
}

// ended names why a call's context ended: the caller left, or the time was up.
func (c *Client) ended(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errTotal) {
		return c.timeout(errTotal)
	}
	return ctx.Err()
}

func (c *Client) timeout(err error) error {
	return fault.Wrap(Discreet(err), fault.Timeout, "provider_timeout",
		fmt.Sprintf("The provider %q took too long to answer. Try again later.", c.provider)).With("provider", c.provider)
}

// Discreet returns an error of net/http without what it quotes: the URL, which
// can hold a prompt, and what came instead of an answer, which can be an echo
// of prompt and key.
func Discreet(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	if before, _, quotes := strings.Cut(err.Error(), `"`); quotes {
		return errors.New(strings.TrimRight(before, ": "))
	}
	return err
}

// MediaType returns the media type of a response without parameters, lower
// case, or "".
func MediaType(response *http.Response) string {
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}
