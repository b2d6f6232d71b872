package speech

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/outbound"
	"llmhist/platform/probe"
)

// remote is what providers that are servers have in common.
type remote struct {
	upstream Upstream
	base     *url.URL
	client   *outbound.Client
}

// newRemote checks what every type of upstream has. models are those that can
// have a price.
func newRemote(u Upstream, limits outbound.Limits, models ...string) (remote, error) {
	base, err := parseBase(u.BaseURL)
	if err != nil {
		return remote{}, fmt.Errorf("%s %w", u.key("base_url"), err)
	}
	if err := u.Headers.Check(); err != nil {
		return remote{}, fmt.Errorf("%s: %w", u.key("headers"), err)
	}
	for _, price := range u.Prices {
		if err := price.check(func(model string) bool { return slices.Contains(models, model) }); err != nil {
			return remote{}, fmt.Errorf("%s: %w", u.key("prices"), err)
		}
	}
	return remote{upstream: u, base: base, client: outbound.New(u.Name, limits.With(u.Timeouts))}, nil
}

func (r *remote) name() string { return r.upstream.Name }

func (r *remote) upstreamStatus() outbound.Status { return r.client.Status() }

func (r *remote) close(context.Context) error {
	r.client.Close()
	return nil
}

// endpoint has no list: such a server cannot be asked without speaking.
func (r *remote) endpoint() *probe.Endpoint {
	u := r.upstream
	return &probe.Endpoint{
		BaseURL: strings.TrimSuffix(r.base.String(), "/"), HasKey: u.hasKey(), Authorize: u.authorize,
		Settings: probe.Settings{Address: u.key("base_url"), Key: u.key("api_key"), Model: u.key("default_model"), Models: u.key("models")},
	}
}

// post sends a body as JSON to the path below the base URL.
func (r *remote) post(ctx context.Context, path string, body any, accept string) (*http.Response, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base.JoinPath(path).String(), bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", accept)
	return r.send(ctx, request)
}

func (r *remote) send(ctx context.Context, request *http.Request) (*http.Response, error) {
	request.Header.Set("User-Agent", "llmhist")
	if id := identity.RequestID(ctx); id != "" {
		request.Header.Set("X-Request-Id", id)
	}
	r.upstream.authorize(request.Header)
	return r.client.Do(ctx, request)
}

// readSound reads a response whose body is the sound. It believes the bytes, not
// the label; but a label that says text is an error message, whatever the bytes
// look like.
func (r *remote) readSound(response *http.Response, want audio.Format) (recording, error) {
	label := outbound.MediaType(response)
	sound, err := r.client.ReadAll(response)
	if err != nil {
		return recording{}, err
	}
	if strings.HasPrefix(label, "text/") || strings.HasSuffix(label, "json") {
		return recording{}, wrongMedia(r.name(), fmt.Errorf("content type %q", label))
	}
	sound, err = r.checkSound(sound, want)
	return recording{sound: sound, status: response.StatusCode}, err
}

// checkSound returns the sound if it is of the format, with a header that can
// be relied on.
func (r *remote) checkSound(sound []byte, want audio.Format) ([]byte, error) {
	format, known := audio.Sniff(sound)
	if !known || format != want {
		return nil, wrongMedia(r.name(), fmt.Errorf("%d bytes of %q, want %q", len(sound), format, want))
	}
	if format != audio.WAV {
		return sound, nil
	}
	repaired, err := audio.RepairWAV(sound)
	if err != nil {
		return nil, wrongMedia(r.name(), err)
	}
	return repaired, nil
}

// wrongMedia is the fault of a provider whose answer is not the sound asked for.
func wrongMedia(provider string, cause error) error {
	return fault.Wrap(cause, fault.BadUpstream, "provider_wrong_media",
		fmt.Sprintf("The provider %q sent something else than the audio asked for.", provider)).With("provider", provider)
}
