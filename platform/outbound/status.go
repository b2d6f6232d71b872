package outbound

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"llmhist/platform/fault"
)

// maxErrorBody is how much of an error answer is read to learn its code.
const maxErrorBody = 64 << 10

// maxRetryAfter is the longest wait that is passed on to a client: some
// providers name hours.
const maxRetryAfter = time.Hour

// Upstream is what a provider's error answer says in terms programs can act
// on. Its free text is not kept: it can quote the key or the prompt.
type Upstream struct {
	Status int
	Code   string // error.code, when it is a short token
	Param  string // error.param, when it is a short token
}

// Error makes an Upstream the cause of the fault made from it.
func (u *Upstream) Error() string {
	return fmt.Sprintf("upstream status %d, code %q, param %q", u.Status, u.Code, u.Param)
}

// StatusFault turns a response that is not 2xx into a fault that names the
// provider and says who has to act: the operator (key, credit, retired
// service), the user (input refused, too large) or nobody (overload, outage).
// The Upstream is its cause.
func StatusFault(provider string, response *http.Response) error {
	upstream := readUpstream(response)
	say := func(kind fault.Kind, code, format string) *fault.Error {
		f := fault.Wrap(upstream, kind, code, fmt.Sprintf(format, provider))
		return f.With("provider", provider)
	}
	switch status := response.StatusCode; {
	case status >= 300 && status < 400:
		return final(say(fault.BadUpstream, "provider_redirected", "The provider %q redirected elsewhere, which is not followed. Check its base URL."))
	case status == http.StatusUnauthorized:
		return final(say(fault.BadUpstream, "provider_credentials_refused", "The provider %q refused this server's key. The operator must set a valid one."))
	case status == http.StatusPaymentRequired, upstream.billing():
		return final(say(fault.BadUpstream, "provider_out_of_credit", "The provider %q has no credit left for this server. The operator must top it up."))
	case status == http.StatusForbidden:
		return final(say(fault.BadUpstream, "provider_forbidden", "The provider %q does not allow this request with this server's key."))
	case status == http.StatusNotFound:
		return final(say(fault.BadUpstream, "provider_model_not_found", "The provider %q does not know this model or address. Choose another model."))
	case status == http.StatusGone:
		return final(say(fault.BadUpstream, "provider_retired", "The provider %q has retired this service. The operator must configure another one."))
	case status == http.StatusRequestEntityTooLarge:
		return say(fault.TooLarge, "provider_input_too_large", "The provider %q says the input is too large. Shorten it.")
	case status == http.StatusTooManyRequests:
		f := say(fault.Unavailable, "provider_rate_limited", "The provider %q is limiting requests right now. Try again later.")
		f.RetryAfter = retryAfter(response.Header)
		return f
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return say(fault.Invalid, "provider_refused_input", "The provider %q refused this input. Change it and try again.")
	case status >= 500:
		f := say(fault.Unavailable, "provider_unavailable", "The provider %q has a fault right now. Try again later.")
		f.RetryAfter = retryAfter(response.Header)
		return f
	default:
		return say(fault.BadUpstream, "provider_failed", "The provider %q answered in a way that is not understood.")
	}
}

// final marks a fault that repeating the request does not mend.
func final(f *fault.Error) *fault.Error {
	f.Final = true
	return f
}

// billing reports a 429 that waiting does not mend.
func (u *Upstream) billing() bool {
	switch u.Code {
	case "insufficient_quota", "credit_balance_exhausted", "PAYMENT_REQUIRED", "KEY_BUDGET_EXHAUSTED", "INSUFFICIENT_BALANCE":
		return true
	}
	return false
}

// readUpstream reads the code and param of the usual error shapes: error as an
// object or a string, code as a string or a number, or no JSON at all.
func readUpstream(response *http.Response) *Upstream {
	upstream := &Upstream{Status: response.StatusCode}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	if err != nil {
		return upstream
	}
	var outer struct {
		Error json.RawMessage `json:"error"`
	}
	var inner struct {
		Code  json.RawMessage `json:"code"`
		Param json.RawMessage `json:"param"`
	}
	if json.Unmarshal(data, &outer) != nil || json.Unmarshal(outer.Error, &inner) != nil {
		return upstream
	}
	upstream.Code, upstream.Param = token(inner.Code), token(inner.Param)
	return upstream
}

// token returns a short identifier as it is and everything else as "".
func token(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var number json.Number
		if json.Unmarshal(raw, &number) != nil {
			return ""
		}
		text = number.String()
	}
	if len(text) > 64 {
		return ""
	}
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return ""
		}
	}
	return text
}

// retryAfter reads Retry-After as seconds or a date, capped.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	var wait time.Duration
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		wait = time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	} else if at, err := http.ParseTime(value); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), maxRetryAfter)
}
