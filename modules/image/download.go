package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

// downloader follows the link to a picture in a provider's answer: to the
// provider's own host, and to https servers on the public internet. What a
// provider sends must not make this server call into its own network.
type downloader struct {
	provider string
	base     *url.URL
	own      *outbound.Client // for the provider's own host
	public   *http.Client
	maxBytes int64
}

const downloadTimeout = 2 * time.Minute

var errAddress = errors.New("the address cannot be used")

func newDownloader(c *caller, base string, maxBytes int64) *downloader {
	parsed, err := url.Parse(base)
	if err != nil {
		parsed = &url.URL{} // matches no link
	}
	if maxBytes <= 0 {
		maxBytes = usualBytes
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: publicOnly}
	return &downloader{
		provider: c.upstream.Name, base: parsed, own: c.client, maxBytes: maxBytes,
		public: &http.Client{
			Transport: &http.Transport{ // no proxy: the address that is checked must be the one that is called
				DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second,
				ResponseHeaderTimeout: time.Minute, DisableKeepAlives: true, ForceAttemptHTTP2: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (d *downloader) close() { d.public.CloseIdleConnections() }

// fetch returns what is behind the link. The key never goes along.
func (d *downloader) fetch(ctx context.Context, link string) ([]byte, error) {
	target, err := url.Parse(link)
	if err != nil || target.Host == "" || target.User != nil {
		return nil, d.refuse()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, downloadTimeout, errDownloadTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, d.refuse()
	}
	if target.Scheme == d.base.Scheme && target.Host == d.base.Host {
		data, err := d.fetchOwn(ctx, request)
		return data, d.timely(ctx, err)
	}
	if target.Scheme != "https" {
		return nil, d.refuse()
	}
	return d.fetchPublic(ctx, request)
}

var errDownloadTimeout = errors.New("the download took too long")

// fetchOwn calls the provider's own host. A status there is about the link: the
// prompt and the key were accepted before.
func (d *downloader) fetchOwn(ctx context.Context, request *http.Request) ([]byte, error) {
	response, err := d.own.Do(ctx, request)
	var status *outbound.Upstream
	switch {
	case errors.As(err, &status):
		return nil, d.broken(status)
	case err != nil:
		return nil, err
	}
	return d.own.ReadAll(response)
}

func (d *downloader) fetchPublic(ctx context.Context, request *http.Request) ([]byte, error) {
	response, err := d.public.Do(request)
	if err != nil {
		return nil, d.callFault(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, d.broken(fmt.Errorf("status %d", response.StatusCode))
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, d.maxBytes+1))
	if err != nil {
		return nil, d.callFault(ctx, err)
	}
	if int64(len(data)) > d.maxBytes {
		return nil, badAnswer(nil, d.provider, "provider_answer_too_large", fmt.Sprintf("sent more than the %d bytes accepted from it", d.maxBytes))
	}
	return data, nil
}

func (d *downloader) refuse() error {
	return badAnswer(errAddress, d.provider, "provider_link_refused",
		"gave a link to the picture that is not followed: it is neither on its own host nor public https")
}

func (d *downloader) broken(cause error) error {
	return badAnswer(cause, d.provider, "provider_link_failed", "gave a link to the picture that does not work")
}

// callFault names why a link did not work, without the address.
func (d *downloader) callFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return d.timely(ctx, ctx.Err())
	}
	if errors.Is(err, errAddress) {
		return d.refuse()
	}
	return d.broken(outbound.Discreet(err))
}

// timely tells the end of the download's own time from that of the request.
func (d *downloader) timely(ctx context.Context, err error) error {
	if err == nil || !errors.Is(context.Cause(ctx), errDownloadTimeout) {
		return err
	}
	return fault.Wrap(errDownloadTimeout, fault.Timeout, "provider_timeout",
		fmt.Sprintf("The provider %q took too long to answer. Try again later.", d.provider)).With("provider", d.provider)
}

// publicOnly refuses every connection to an address that is not public. It
// sees the address after the name was resolved.
func publicOnly(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil || !isPublic(target.Addr()) {
		return errAddress
	}
	return nil
}

// special are the blocks inside the global ranges that are not public servers
// (IANA special-purpose address registries).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

// globalUnicast6 is all of IPv6 that is assigned to the public internet.
var globalUnicast6 = netip.MustParsePrefix("2000::/3")

func isPublic(address netip.Addr) bool {
	address = address.Unmap()
	if !address.IsGlobalUnicast() || address.IsPrivate() || address.Is6() && !globalUnicast6.Contains(address) {
		return false
	}
	for _, block := range special {
		if block.Contains(address) {
			return false
		}
	}
	return true
}
