// Package speech turns text into speech: it owns the routes below /speech and
// /admin/speech, the tables tts_conversions and tts_erasures, and the objects of
// its bucket. Who speaks is a provider: voices inside this process, a program on this machine,
// or a configured server.
package speech

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/history"
	"llmhist/platform/outbound"
	"llmhist/platform/probe"
	"llmhist/platform/uid"
	"llmhist/platform/web"
)

const (
	// historyName is the service's part of the keys of daily indexes.
	historyName = "speech"
	// generateTimeout bounds one conversion, all its providers together.
	generateTimeout = 5 * time.Minute
	// generateBody is ample for MaxCharacters in JSON's longest spelling.
	generateBody = 128 << 10
)

// Deps is what the module needs from the rest of the product.
type Deps struct {
	DB     *database.DB
	Bucket blob.Bucket // of speech alone
	Logger *slog.Logger
	Now    func() time.Time          // nil = the system's clock
	NewID  func(at time.Time) string // a UUIDv7 of that moment

	Instance string // names this server in the conversions it works on
	// Living returns the servers that live, for work that others left. It is
	// asked after that work was read. nil = there is only this one.
	Living func(ctx context.Context) (map[string]bool, error)
}

// Module is the speech service.
type Module struct {
	service *service
}

// ProviderStatus describes a provider for the operator.
type ProviderStatus struct {
	Name   string
	Models []string // those that can be used now
	Remote bool     // texts leave this machine
	Note   string   // what it is, and what is missing

	Endpoint *probe.Endpoint // where it is and how to ask it; nil = on this machine
}

// New returns the module. An error says what is wrong with the configuration.
// Nothing is loaded or called yet, except that with aliases a program may be
// asked for its voices, as Describe does.
func New(config Config, deps Deps) (*Module, error) {
	if deps.Now == nil {
		deps.Now = uid.Now
	}
	runner := newPrograms()
	convert := &transcoder{lame: findProgram("lame"), ffmpeg: findProgram("ffmpeg"), programs: runner}
	build := builder{config: config, now: deps.Now, programs: runner}
	providers, err := build.catalog(convert)
	if err != nil {
		return nil, err
	}
	module := newModule(providers, convert, deps)
	if err := providers.addAliases(context.Background(), config.Aliases); err != nil {
		return nil, errors.Join(err, module.Close(context.Background()))
	}
	return module, nil
}

func newModule(providers *catalog, convert *transcoder, deps Deps) *Module {
	if deps.Living == nil {
		deps.Living = func(context.Context) (map[string]bool, error) { return nil, nil }
	}
	return &Module{service: &service{
		catalog: providers, transcoder: convert, repository: newGORMRepository(deps.DB), ledger: history.New(deps.Bucket, historyName),
		logger: deps.Logger, now: deps.Now, newID: deps.NewID,
		instance: deps.Instance, living: deps.Living,
	}}
}

// Describe lists the providers, those that serve requests naming no model
// first and in their order. It may run a program for up to five seconds the
// first time.
func (m *Module) Describe(ctx context.Context) []ProviderStatus {
	list := make([]ProviderStatus, 0, len(m.service.catalog.all))
	for _, p := range m.service.catalog.all {
		list = append(list, m.service.catalog.describe(ctx, p))
	}
	return list
}

// Upstreams returns how calls to each remote provider go.
func (m *Module) Upstreams() []outbound.Status {
	list := []outbound.Status{}
	for _, p := range m.service.catalog.all {
		if remote, ok := p.(interface{ upstreamStatus() outbound.Status }); ok {
			list = append(list, remote.upstreamStatus())
		}
	}
	return list
}

// Reconcile finishes what a crash interrupted, of this server or another, and
// returns how many conversions that were. Call it before the first request is
// served, and then again and again.
func (m *Module) Reconcile(ctx context.Context) (int, error) { return m.service.Reconcile(ctx) }

// EraseUser removes everything of the user. It may be repeated after a fault.
func (m *Module) EraseUser(ctx context.Context, userID int64) error {
	return m.service.EraseUser(ctx, userID)
}

// Close ends what the providers hold, within ctx.
func (m *Module) Close(ctx context.Context) error {
	var faults []error
	for _, p := range m.service.catalog.all {
		if closer, ok := p.(interface{ close(context.Context) error }); ok {
			faults = append(faults, closer.close(ctx))
		}
	}
	return errors.Join(faults...)
}

// Mount adds the routes.
func (m *Module) Mount(router *web.Router) {
	h := handler{service: m.service}
	router.Add(
		web.Route{
			Method: http.MethodPost, Path: "/speech/generate", Handler: web.JSON(http.StatusCreated, h.generate), Access: web.Optional,
			Summary: "Speak a text", Tag: "Speech", Description: generateHelp,
			Errors: []int{http.StatusUnprocessableEntity, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout},
			Limit:  "speech_generate", Service: "speech", Action: "generate", MaxBody: generateBody, Timeout: generateTimeout,
		},
		web.Route{
			Method: http.MethodGet, Path: "/speech", Handler: web.JSON(http.StatusOK, h.list), Access: web.SignedIn,
			Summary: "List own speech, newest first", Tag: "Speech", Errors: []int{http.StatusUnprocessableEntity},
		},
		web.Route{
			Method: http.MethodGet, Path: "/speech/voices", Handler: web.JSON(http.StatusOK, h.voices), Access: web.Public,
			Summary: "List models and voices", Tag: "Speech",
			Description: "What can be used now and what is missing for the rest. The first available model speaks when a request names none.",
		},
		web.Route{
			Method: http.MethodGet, Path: "/speech/:id", Handler: web.JSON(http.StatusOK, h.find), Access: web.Optional,
			Summary: "Read one conversion", Tag: "Speech", Description: visibleHelp, Errors: []int{http.StatusNotFound},
		},
		web.Route{
			Method: http.MethodGet, Path: "/speech/:id/download", Handler: web.Raw(h.download,
				web.Answer{Status: http.StatusFound, Description: "To a signed link that expires."},
				web.Returns[downloadAnswer](http.StatusOK, "", "The same link as JSON, with redirect=false.")),
			Access: web.Optional, Summary: "Download the sound", Tag: "Speech", Description: visibleHelp,
			Errors: []int{http.StatusNotFound, http.StatusConflict},
		},
		web.Route{
			Method: http.MethodDelete, Path: "/speech/:id", Handler: web.NoContent(h.remove), Access: web.SignedIn,
			Summary: "Erase one conversion and its sound", Tag: "Speech", Description: "What was made anonymously only an admin can erase.",
			Errors: []int{http.StatusForbidden, http.StatusNotFound},
		},
		web.Route{
			Method: http.MethodGet, Path: "/admin/speech", Handler: web.JSON(http.StatusOK, h.listAll), Access: web.SignedIn,
			Summary: "List and search speech", Tag: "Administration", Description: "Admins see everyone's, anyone else only their own.",
			Errors: []int{http.StatusUnprocessableEntity}, Limit: "admin_all",
		},
		web.Route{
			Method: http.MethodPost, Path: "/v1/audio/speech", Access: web.Optional, Tag: "OpenAI-compatible",
			Handler: web.Raw(h.generateOpenAI,
				web.Returns[[]byte](http.StatusOK, "audio/mpeg", "The sound."),
				web.Returns[[]byte](http.StatusOK, "audio/wav", "The sound.")).Lenient(),
			Limit: "speech_generate", Service: "speech", Action: "generate", MaxBody: generateBody, Timeout: generateTimeout,
			Summary: "Speak a text, as OpenAI's SDKs ask for it", Description: openAIHelp,
			Errors: []int{http.StatusNotFound, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage},
		},
	)
}

// Offer is a model as other parts of the product list it.
type Offer struct{ ID, Provider string }

// Offers lists what can be spoken with now, the operator's first choice first.
func (m *Module) Offers(ctx context.Context) []Offer {
	list := []Offer{}
	for _, model := range m.service.Models(ctx) {
		if model.missing == "" {
			list = append(list, Offer{ID: model.id, Provider: model.provider.name()})
		}
	}
	return list
}

const (
	generateHelp = "Text of up to 5,000 characters. Without a model the operator's first provider that speaks the language does it: on a fresh " +
		"installation the English voices built in, and espeak-ng for other languages where it is installed. The answer names who spoke. " +
		"`gtts` and `gtts-slow` send the text to Google and exist only where the operator enabled them.\n\n" +
		"A request that is refused leaves no trace; one that failed later names its record in the problem's `id`."
	visibleHelp = "Visible to its owner and to admins; made anonymously, to whoever has the id."
)
