// Package image makes pictures from prompts and keeps what was asked and made.
//
// It owns the routes /image… and /admin/images, the tables images,
// image_counts, image_counts_fine and image_erasures, and in its bucket the
// objects
//
//	requests/{yyyy}/{mm}/{dd}/{id}/input.json          Input
//	requests/{yyyy}/{mm}/{dd}/{id}/image/original.png  the picture, always PNG
//	requests/{yyyy}/{mm}/{dd}/{id}/record.json         Record
//	users/{userId}/image/history/{yyyy}/{mm}/{dd}.jsonl
//
// The objects are the history; the table is an index over them. A request is
// written so that a crash at any point leaves nothing half visible: the row as
// processing, input.json, the picture, record.json, the index line, the row's
// outcome. Reconcile finishes what was interrupted.
package image

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/history"
	"llmhist/platform/uid"
	"llmhist/platform/web"
)

// Deps are what the module stands on.
type Deps struct {
	DB     *database.DB
	Bucket blob.Bucket
	Logger *slog.Logger
	Now    func() time.Time       // nil = the system's clock
	NewID  func(time.Time) string // nil = uid.New
	// ChargeMore counts one more picture of a request for several against what
	// the caller may have; its error ends the request. nil = nothing is counted.
	ChargeMore func(ctx context.Context) error

	Instance string // names this server in the images it works on
	// Living returns the servers that live, for work that others left. It is
	// asked after that work was read. nil = there is only this one.
	Living func(ctx context.Context) (map[string]bool, error)
}

// Module makes and keeps pictures.
type Module struct{ service *service }

// generateTimeout bounds a request for a picture, remote providers included.
const generateTimeout = 5 * time.Minute

// New builds the module. Its errors name the setting that is wrong.
func New(config Config, deps Deps) (*Module, error) {
	if deps.DB == nil || deps.Bucket == nil || deps.Logger == nil {
		return nil, errors.New("image: a database, a bucket and a logger are needed")
	}
	if deps.Now == nil {
		deps.Now = uid.Now
	}
	if deps.NewID == nil {
		deps.NewID = uid.New
	}
	if deps.Living == nil {
		deps.Living = func(context.Context) (map[string]bool, error) { return nil, nil }
	}
	router, err := config.router(make(gate, runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, err
	}
	return &Module{service: &service{
		router: router, repository: &sqlRepository{db: deps.DB}, ledger: history.New(deps.Bucket, "image"),
		logger: deps.Logger, now: deps.Now, newID: deps.NewID, instance: deps.Instance, living: deps.Living, chargeMore: deps.ChargeMore,
	}}, nil
}

// Mount adds the module's routes.
func (m *Module) Mount(router *web.Router) {
	h := handler{service: m.service}
	const tag = "Images"
	stored := []int{http.StatusServiceUnavailable} // the database or the bucket does not answer
	router.Add(
		web.Route{
			Method: http.MethodPost, Path: "/image/generate", Handler: web.JSON(http.StatusCreated, h.generate), Access: web.Optional,
			Limit: "image_generate", Service: "image", Action: "generate", Timeout: generateTimeout, Tag: tag,
			Summary: "Make a picture from a prompt",
			Description: "Answers when the picture is stored, as a real PNG whatever the provider sent; `Location` says where it is. " +
				"An image made anonymously has no owner: whoever knows its id sees it. " +
				"A problem that arose after the request was accepted carries the `id` of the failed image.",
			Errors: []int{http.StatusConflict, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage},
		},
		web.Route{
			Method: http.MethodGet, Path: "/image", Handler: web.JSON(http.StatusOK, h.list), Access: web.SignedIn, Tag: tag,
			Summary: "List your images, newest first",
			Errors:  stored,
		},
		web.Route{
			Method: http.MethodGet, Path: "/image/models", Handler: web.JSON(http.StatusOK, h.models), Access: web.Public, Tag: tag,
			Summary:     "List what pictures can be made with",
			Description: "`local/canvas` is a procedural renderer on this server, not a machine-learning model.",
		},
		web.Route{
			Method: http.MethodGet, Path: "/image/:id", Handler: web.JSON(http.StatusOK, h.find), Access: web.Optional, Tag: tag,
			Summary:     "Read an image",
			Description: "Visible to its owner and to admins; one made anonymously to whoever knows its id. For everyone else it is unknown.",
			Errors:      stored,
		},
		web.Route{
			Method: http.MethodGet, Path: "/image/:id/download", Access: web.Optional, Tag: tag,
			Handler: web.Raw(h.download,
				web.Answer{Status: http.StatusFound, Description: "To a signed link that serves the PNG until it expires."},
				web.Returns[downloadBody](http.StatusOK, "", "The link itself, with `redirect=false`.")),
			Summary:     "Download the picture",
			Description: "An image that is not completed is a 409 `not_ready` with its `image_status`, and its `error` if it failed.",
			Errors:      append([]int{http.StatusConflict}, stored...),
		},
		web.Route{
			Method: http.MethodDelete, Path: "/image/:id", Handler: web.NoContent(h.delete), Access: web.SignedIn, Tag: tag,
			Summary:     "Erase an image",
			Description: "Removes the picture, its record and its line in the history, for good. An anonymous image only by an admin.",
			Errors:      append([]int{http.StatusForbidden}, stored...),
		},
		web.Route{
			Method: http.MethodGet, Path: "/admin/images", Handler: web.JSON(http.StatusOK, h.adminList), Access: web.SignedIn,
			Limit: "admin_all", Tag: "Administration",
			Summary:     "List and search images",
			Description: "An admin sees everyone's, anyone else only their own: another user's `user_id` then finds nothing.",
			Errors:      stored,
		},
		web.Route{
			Method: http.MethodPost, Path: "/v1/images/generations", Access: web.Optional, Tag: "OpenAI-compatible",
			Handler: web.JSON(http.StatusOK, h.generateOpenAI).Lenient(),
			Limit:   "image_generate", Service: "image", Action: "generate", Timeout: generateTimeout,
			Summary: "Make pictures, as OpenAI's SDKs ask for them", Description: openAIHelp,
			Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage},
		},
	)
}

// Offer is a model as other parts of the product list it.
type Offer struct{ ID, Provider string }

// Offers lists what pictures can be made with, the default first.
func (m *Module) Offers() []Offer {
	list := []Offer{}
	for _, c := range m.service.Models() {
		list = append(list, Offer{ID: c.id, Provider: c.name})
	}
	return list
}

// Reconcile finishes what a crash interrupted, of this server or another, and
// returns how many images that were. Call it at start, before requests are
// served, and then again and again.
func (m *Module) Reconcile(ctx context.Context) (int, error) { return m.service.Reconcile(ctx) }

// EraseUser removes every image of a user: rows, objects and daily indexes. It
// may be repeated after a fault.
func (m *Module) EraseUser(ctx context.Context, userID int64) error {
	return m.service.EraseUser(ctx, userID)
}

// Describe lists the providers in the order in which they are asked.
func (m *Module) Describe() []ProviderStatus {
	list := []ProviderStatus{}
	for _, p := range m.service.router.providers {
		status := p.status()
		status.Models = nil
		for _, c := range m.service.router.models {
			if c.name == status.Name {
				status.Models = append(status.Models, c.id)
			}
		}
		list = append(list, status)
	}
	return list
}

// Close ends idle connections to providers. Call it when no request is served
// any more.
func (m *Module) Close() { m.service.router.close() }
