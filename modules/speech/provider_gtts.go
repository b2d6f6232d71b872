package speech

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

const (
	gttsName = "gtts"
	gttsSlow = "gtts-slow"

	gttsDefaultURL = "https://translate.google.com"
	gttsHost       = "translate.google."
	gttsPath       = "/_/TranslateWebserverUi/data/batchexecute"
	gttsAgent      = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

	// gttsGap keeps the load on a service that promises nothing low.
	gttsGap = 500 * time.Millisecond
	// gttsCoolDown is how long nothing is sent after a block: calling on
	// prolongs it.
	gttsCoolDown = 30 * time.Minute
	// gttsMostPieces keeps one request within its time at one piece a gap.
	gttsMostPieces = 200
	// gttsMostWaiting bounds the conversions that queue for their turn.
	gttsMostWaiting = 8
	// gttsReplyLimit is far more than the sound of one piece takes.
	gttsReplyLimit = 2 << 20
)

// GTTSConfig sets up the unofficial Google Translate voice.
type GTTSConfig struct {
	// APIURL is the address of the service; "" = https://translate.google.com.
	// Accents by top-level domain exist only at translate.google.<tld>.
	APIURL string `mapstructure:"api_url"`
}

// upstream returns the built-in provider as one that is configured by name.
func (c GTTSConfig) upstream() Upstream {
	return Upstream{Name: gttsName, Type: typeGTTS, BaseURL: c.APIURL}
}

// gtts speaks through the endpoint behind the listen button of Google
// Translate, the way the gTTS package does. There is no contract and no quota
// promise, and the text goes to Google; so it is used only when the operator
// lists it.
type gtts struct {
	remote
	pace   *pace
	places chan struct{}
	now    func() time.Time

	mu           sync.Mutex
	blockedUntil time.Time
}

func newGTTS(config GTTSConfig, now func() time.Time) (*gtts, error) {
	return newNamedGTTS(config.upstream(), now)
}

// newNamedGTTS makes the voice of an upstream, with a pace and blocks of its own.
func newNamedGTTS(upstream Upstream, now func() time.Time) (*gtts, error) {
	if upstream.BaseURL == "" {
		upstream.BaseURL = gttsDefaultURL
	}
	switch {
	case upstream.DefaultModel != "" || len(upstream.Models) > 0 || len(upstream.Voices) > 0:
		return nil, fmt.Errorf("%s, models and voices are not for the type gtts, which has its own", upstream.key("default_model"))
	case upstream.APIKey != "":
		return nil, fmt.Errorf("%s is not for the type gtts, which takes none; Google Cloud's voices are the type google", upstream.key("api_key"))
	case upstream.Limits != outbound.Limits{}:
		return nil, fmt.Errorf("%s are not for the type gtts, which keeps its own pace; set timeouts", upstream.key("limits"))
	}
	if upstream.MaxCharacters <= 0 {
		upstream.MaxCharacters = MaxCharacters
	}
	limits := outbound.Limits{
		FirstByte: 20 * time.Second, Idle: 20 * time.Second, Total: 30 * time.Second, MaxBytes: gttsReplyLimit,
		Policy: outbound.Policy{Retries: -1}, // each call has its turn, and to ask again prolongs a block
	}
	common, err := newRemote(upstream, limits, gttsName, gttsSlow)
	return &gtts{remote: common, pace: newPace(gttsGap, now), places: make(chan struct{}, gttsMostWaiting), now: now}, err
}

// id returns how requests call one of the two models.
func (g *gtts) id(model string) string {
	if g.name() == gttsName {
		return model
	}
	return g.name() + "/" + model
}

func (g *gtts) models(context.Context) []model {
	normal := model{
		id: g.id(gttsName), provider: g, price: g.upstream.price(gttsName), remote: true, formats: []audio.Format{audio.MP3}, voices: g.accents(),
		longest: g.upstream.MaxCharacters, slowest: 1, fastest: 1, languages: gttsLanguages, match: g.match, check: checkPieces,
		note: "Sends the text to Google through an unofficial address that may stop working at any time.",
	}
	slow := normal
	slow.id, slow.price = g.id(gttsSlow), g.upstream.price(gttsSlow)
	if g.name() != gttsName {
		normal.aliases = []string{g.name()}
	}
	return []model{normal, slow}
}

// accents returns the voices, none for an address that has no siblings.
func (g *gtts) accents() []voice {
	if !strings.HasPrefix(g.base.Host, gttsHost) {
		return nil
	}
	return gttsAccents
}

func (g *gtts) match(language string) (spoken, accent string, ok bool) {
	spoken, ok = gttsLanguage(language)
	if ok && len(g.accents()) > 0 && !strings.Contains(spoken, "-") {
		accent = gttsAccent(language)
	}
	return spoken, accent, ok
}

func checkPieces(u utterance) []fault.Field {
	switch n := len(gttsPieces(u.text)); {
	case n == 0:
		return []fault.Field{nothingToSay()}
	case n > gttsMostPieces:
		return []fault.Field{{Field: "text", Code: "too_long", Message: fmt.Sprintf(
			"has %d sentences and clauses; %s takes at most %d at once", n, u.model, gttsMostPieces)}}
	}
	return nil
}

func (g *gtts) speak(ctx context.Context, u utterance) (recording, error) {
	select {
	case g.places <- struct{}{}:
		defer func() { <-g.places }()
	default:
		busy := g.fault(nil, fault.Unavailable, "provider_busy", "has enough to say already. Try again shortly.")
		busy.RetryAfter = 10 * time.Second
		return recording{}, busy
	}
	pieces := gttsPieces(u.text)
	parts := make([][]byte, 0, len(pieces))
	for _, piece := range pieces {
		err := g.pace.do(ctx, func() error {
			part, err := g.speakPiece(ctx, piece, u)
			parts = append(parts, part)
			return err
		})
		if err != nil {
			return recording{}, err
		}
	}
	joined, err := audio.JoinMP3(parts...)
	if err != nil {
		return recording{}, wrongMedia(g.name(), err)
	}
	return recording{sound: joined, status: http.StatusOK}, nil
}

// speakPiece makes one call. Only the holder of the turn calls it, so that
// nobody calls on after a block.
func (g *gtts) speakPiece(ctx context.Context, piece string, u utterance) ([]byte, error) {
	if err := g.blocked(); err != nil {
		return nil, err
	}
	request, err := g.request(ctx, piece, u)
	if err != nil {
		return nil, err
	}
	response, err := g.client.Do(ctx, request)
	if err != nil {
		return nil, g.noteBlock(err)
	}
	reply, err := g.client.ReadAll(response)
	if err != nil {
		return nil, err
	}
	sound, err := readGTTSReply(reply)
	switch {
	case errors.Is(err, errGTTSPage):
		return nil, g.block(err, 0)
	case errors.Is(err, errGTTSRefused):
		return nil, g.fault(err, fault.Invalid, "provider_refused_input", "refused this text in this language. Change one of them.")
	case err != nil:
		return nil, g.fault(err, fault.BadUpstream, "provider_answer_unreadable", "answered in a way that is not understood; its protocol may have changed.")
	}
	return sound, nil
}

func (g *gtts) request(ctx context.Context, piece string, u utterance) (*http.Request, error) {
	var speed any
	if u.model == g.id(gttsSlow) {
		speed = true
	}
	inner, err := json.Marshal([]any{piece, u.language, speed, "null"})
	if err != nil {
		return nil, err
	}
	outer, err := json.Marshal([][][]any{{{gttsCall, string(inner), nil, "generic"}}})
	if err != nil {
		return nil, err
	}
	body := url.Values{"f.req": {string(outer)}}.Encode() + "&"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.address(u.voice), bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=utf-8")
	request.Header.Set("Referer", "http://translate.google.com/")
	request.Header.Set("User-Agent", gttsAgent)
	if request.URL.Host == g.base.Host { // an accent is another host, which the headers are not for
		g.upstream.authorize(request.Header)
	}
	return request, nil
}

// address returns where to call for an accent.
func (g *gtts) address(accent string) string {
	target := *g.base
	if topLevelDomain().MatchString(accent) && len(g.accents()) > 0 {
		target.Host = gttsHost + accent
	}
	return target.JoinPath(gttsPath).String()
}

// noteBlock recognises the answers that mean that this server is not welcome.
func (g *gtts) noteBlock(err error) error {
	var failed *fault.Error
	if !errors.As(err, &failed) {
		return err
	}
	switch failed.Code {
	case "provider_redirected", "provider_rate_limited", "provider_forbidden":
		return g.block(err, failed.RetryAfter)
	}
	return err
}

func (g *gtts) block(cause error, atLeast time.Duration) error {
	g.mu.Lock()
	g.blockedUntil = g.now().Add(max(gttsCoolDown, atLeast))
	g.mu.Unlock()
	return g.blockFault(cause)
}

func (g *gtts) blocked() error { return g.blockFault(nil) }

// blockFault returns nil outside a cool-down.
func (g *gtts) blockFault(cause error) error {
	g.mu.Lock()
	left := g.blockedUntil.Sub(g.now())
	g.mu.Unlock()
	if left <= 0 {
		return nil
	}
	f := g.fault(cause, fault.Unavailable, "provider_blocked", "has blocked this server for a while. Use another model, or wait.")
	f.RetryAfter = left
	return f
}

func (g *gtts) fault(cause error, kind fault.Kind, code, what string) *fault.Error {
	return fault.Wrap(cause, kind, code, fmt.Sprintf("The provider %q %s", g.name(), what)).With("provider", g.name())
}
