package outbound

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"llmhist/platform/logging"
)

// Headers are what an operator has sent with every request to a provider. Their
// values are secrets: many gateways take a key in a header of their own.
type Headers map[string]logging.Secret

// Check names a header that cannot be sent, without its value.
func (h Headers) Check() error {
	for name, value := range h {
		switch {
		case name == "" || strings.ContainsFunc(name, func(c rune) bool { return !isToken(c) }):
			return fmt.Errorf("%q is not the name of a header", name)
		case slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)):
			return fmt.Errorf("the header %q is the connection's own and cannot be set", name)
		case strings.ContainsFunc(value.Reveal(), func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
			return fmt.Errorf("the value of the header %q must not contain line breaks or other control characters", name)
		}
	}
	return nil
}

// ownHeaders are made of the request itself: net/http ignores these, and unpacks
// answers only where it asked for packed ones itself.
var ownHeaders = []string{"Accept-Encoding", "Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer"}

// isToken reports whether the character may be in a header's name (RFC 9110
// section 5.6.2).
func isToken(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}

// Set puts the headers into those of a request, in the place of what is there.
func (h Headers) Set(header http.Header) {
	for name, value := range h {
		header.Set(name, value.Reveal())
	}
}
