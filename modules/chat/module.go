// Package chat holds conversations with language models: sessions, their
// messages, and the providers that answer. It owns the routes under /chat and
// the tables chat_sessions and chat_messages, or the document collections
// chat_sessions and chat_exchanges.
//
// A question is stored with its answer still processing, on SQLite while its
// provider is at work and elsewhere before, or together with an answer that comes
// at once (opening.go); the outcome is stored before the client has all of it. When
// the client goes away the provider is told to stop at once, and what had come
// is kept as cancelled. Neither messages nor titles are ever logged.
package chat

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/outbound"
	"llmhist/platform/probe"
	"llmhist/platform/web"
)

// Deps is what chat needs from the rest of the program.
type Deps struct {
	DB        *database.DB
	Documents *database.Mongo // keeps sessions and messages in the place of DB; nil = DB does; see EnsureIndexes
	Docs      fs.FS           // the product's own Markdown, for the built-in guide: README.md, docs/*.md
	Logger    *slog.Logger
	Now       func() time.Time
	NewID     func(time.Time) string

	Memory   int64  // bytes that the process may use; 0 = no limit
	SpoolDir string // for answers that become long, while they are under way; "" = the system's directory for temporary files

	Instance string // names this server in the answers it works on
	// Living returns the servers that live, for answers that others left. It is
	// asked after those were read. nil = there is only this one.
	Living func(ctx context.Context) (map[string]bool, error)
}

func (d Deps) repository() repository {
	if d.Documents != nil {
		return mongoRepository{d.Documents}
	}
	return gormRepository{d.DB}
}

// Module is chat, ready to be mounted.
type Module struct {
	service *service
	handler handler
}

// answerTimeout bounds one answer from the request to its end.
const answerTimeout = 10 * time.Minute

// maxMessageBody is the largest request in bytes: a message and a system prompt
// of the most characters, escaped in JSON.
const maxMessageBody = 1 << 20

// New builds the configured providers and the module on them. Its errors name
// the configuration key that has to change.
func New(config Config, deps Deps) (*Module, error) {
	if config.ContextTokens < 0 || config.MaxAnswerBytes < 0 {
		return nil, errors.New("chat.context_tokens and chat.max_answer_bytes must not be negative")
	}
	providers, err := config.providers(deps.Docs)
	if err != nil {
		return nil, err
	}
	module := assemble(config, deps, providers)
	if err := module.service.catalogue.addAliases(config.Aliases); err != nil {
		module.Close()
		return nil, err
	}
	return module, nil
}

func assemble(config Config, deps Deps, providers []Provider) *Module {
	if config.ContextTokens == 0 {
		config.ContextTokens = DefaultContextTokens
	}
	if config.MaxAnswerBytes == 0 {
		config.MaxAnswerBytes = DefaultMaxAnswerBytes
	}
	if deps.Living == nil {
		deps.Living = func(context.Context) (map[string]bool, error) { return nil, nil }
	}
	s := &service{
		instance: deps.Instance, living: deps.Living,
		repository: deps.repository(), catalogue: catalogue{providers: providers}, logger: deps.Logger, now: deps.Now, newID: deps.NewID,
		room: newRoom(deps.Memory), spoolDir: deps.SpoolDir, gatherTime: gatherDeadline,
		fallback: len(config.Providers) > 0, contextTokens: config.ContextTokens, maxAnswer: config.MaxAnswerBytes,
	}
	return &Module{service: s, handler: handler{s}}
}

// Mount adds the routes.
func (m *Module) Mount(router *web.Router) {
	h := m.handler
	router.Add(
		web.Route{Method: http.MethodPost, Path: "/chat", Handler: web.Raw(h.sendMessage, messageAnswers...), Access: web.SignedIn, Tag: "Chat",
			Summary: "Send a message and get the answer", Description: sendMessageDescription,
			Limit: "chat_message", Service: "chat", Action: "message", MaxBody: maxMessageBody, Timeout: answerTimeout,
			Errors: []int{http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}},
		web.Route{Method: http.MethodPost, Path: "/v1/chat/completions", Handler: web.RawJSON[completionInput](h.completeChat, completionAnswers...),
			Access: web.SignedIn, Tag: "OpenAI-compatible", Summary: "Complete a chat", Description: completionsDescription,
			Limit: "chat_message", Service: "chat", Action: "completion", MaxBody: maxCompletionBody, Timeout: answerTimeout,
			Errors: []int{http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}},
		web.Route{Method: http.MethodPost, Path: "/v1/responses", Handler: web.RawJSON[responseInput](h.createResponse, responseAnswers...),
			Access: web.SignedIn, Tag: "OpenAI-compatible", Summary: "Create a response", Description: responsesDescription,
			Limit: "chat_message", Service: "chat", Action: "response", MaxBody: maxCompletionBody, Timeout: answerTimeout,
			Errors: []int{http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}},
		web.Route{Method: http.MethodPost, Path: "/v1/embeddings", Handler: web.RawJSON[embeddingInput](h.createEmbeddings, embeddingAnswers...),
			Access: web.SignedIn, Tag: "OpenAI-compatible", Summary: "Make embeddings", Description: embeddingsDescription,
			Limit: "chat_message", Service: "chat", Action: "embedding", MaxBody: maxEmbeddingBody, Timeout: answerTimeout,
			Errors: []int{http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}},
		web.Route{Method: http.MethodGet, Path: "/chat/sessions", Handler: web.JSON(http.StatusOK, h.listSessions), Access: web.SignedIn, Tag: "Chat",
			Summary: "List your sessions", Description: "The one changed last comes first."},
		web.Route{Method: http.MethodPost, Path: "/chat/sessions", Handler: web.JSON(http.StatusCreated, h.createSession).BodyOptional(), Access: web.SignedIn, Tag: "Chat",
			Summary: "Make an empty session", Description: "Not needed before POST /chat, which makes one itself. Without a title the session is named after its first message."},
		web.Route{Method: http.MethodGet, Path: "/chat/sessions/:id", Handler: web.JSON(http.StatusOK, h.findSession), Access: web.SignedIn, Tag: "Chat",
			Summary: "Read a session with its messages", Description: findSessionDescription, Errors: []int{http.StatusNotFound}},
		web.Route{Method: http.MethodPatch, Path: "/chat/sessions/:id", Handler: web.JSON(http.StatusOK, h.renameSession), Access: web.SignedIn, Tag: "Chat",
			Summary: "Rename a session", Description: "The title is 1 to 200 characters on one line.", Errors: []int{http.StatusNotFound}},
		web.Route{Method: http.MethodDelete, Path: "/chat/sessions/:id", Handler: web.NoContent(h.deleteSession), Access: web.SignedIn, Tag: "Chat",
			Summary: "Delete a session and its messages", Description: "At once and for good.", Errors: []int{http.StatusNotFound}},
		web.Route{Method: http.MethodGet, Path: "/chat/models", Handler: web.JSON(http.StatusOK, h.listModels), Access: web.SignedIn, Tag: "Chat",
			Summary: "List the models that answer", Description: "A model that two providers offer is asked from the first one; `provider/id` names the other."},
	)
}

// ProviderStatus describes a provider for the operator.
type ProviderStatus struct {
	Name   string
	Models []string // its default first
	Note   string   // what it is, or where prompts go

	Endpoint *probe.Endpoint // where it is and how to ask it; nil = in this process
}

// Describe lists the providers in their order.
func (m *Module) Describe() []ProviderStatus {
	list := []ProviderStatus{}
	for _, provider := range m.service.catalogue.providers {
		status := ProviderStatus{Name: provider.Name(), Models: provider.Models(), Note: "quotes llmhist's documentation, not a language model"}
		if remote, ok := provider.(*openAI); ok {
			status.Note, status.Endpoint = "sends prompts to "+remote.Destination(), remote.endpoint()
		}
		list = append(list, status)
	}
	return list
}

// Upstreams returns how calls to each remote provider go.
func (m *Module) Upstreams() []outbound.Status {
	list := []outbound.Status{}
	for _, provider := range m.service.catalogue.providers {
		if remote, ok := provider.(interface{ Upstream() outbound.Status }); ok {
			list = append(list, remote.Upstream())
		}
	}
	return list
}

// Models lists the models in the order of their providers; the one that answers
// by default has Default set.
func (m *Module) Models() []Model { return m.service.catalogue.models() }

// ListModels is Models, after providers that can be asked what they offer were
// asked when their lists are old.
func (m *Module) ListModels(ctx context.Context) []Model {
	m.service.catalogue.discover(ctx, discoveryFresh)
	return m.Models()
}

// EmbeddingModels lists the models that make embeddings and do not chat.
func (m *Module) EmbeddingModels() []Model {
	list := []Model{}
	for _, provider := range m.service.catalogue.providers {
		for _, id := range embeddingModels(provider) {
			list = append(list, Model{ID: id, Provider: provider.Name()})
		}
	}
	return list
}

// Reconcile turns answers that were left processing, by an earlier run of this
// server or by one that is dead, into failed ones with code "interrupted" and
// returns how many there were. It is called before the first request, and then
// again and again.
func (m *Module) Reconcile(ctx context.Context) (int, error) {
	return m.service.repository.FailUnfinished(ctx, m.service.moment(), m.service.abandoned)
}

// EraseUser removes every session and message of a user. After a failure it can
// be called again and goes on where it stopped.
func (m *Module) EraseUser(ctx context.Context, userID int64) error {
	m.service.openings.settleUser(ctx, userID, settleWhole)
	return m.service.repository.EraseUser(ctx, userID)
}

// Close ends the idle connections to providers.
func (m *Module) Close() {
	for _, provider := range m.service.catalogue.providers {
		if remote, ok := provider.(interface{ Close() }); ok {
			remote.Close()
		}
	}
}
