package image

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/web"
)

type handler struct{ service *service }

type generateRequest struct {
	Prompt         string  `json:"prompt" doc:"What to draw." example:"cyberpunk cat with neon lights" minLength:"1" maxLength:"4000"`
	Size           *string `json:"size,omitempty" doc:"Width and height in pixels, each 64 to 2048." example:"512x512" default:"512x512" pattern:"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$"`
	Style          *string `json:"style,omitempty" doc:"One of the model's styles, or free text where it has none." maxLength:"100"`
	Seed           *int64  `json:"seed,omitempty" doc:"The same seed gives the same picture where the model supports it; chosen and reported when absent." minimum:"0" maximum:"2147483647"`
	Model          *string `json:"model,omitempty" doc:"An id that GET /image/models lists, or provider/model. Without one the first provider makes it; others stand in only where the operator ordered that." example:"local/canvas"`
	NegativePrompt *string `json:"negative_prompt,omitempty" doc:"What to leave out." maxLength:"4000"`
}

func (h handler) generate(ctx context.Context, in generateRequest) (imageBody, error) {
	image, err := h.service.Generate(ctx, Params{
		Prompt: in.Prompt, NegativePrompt: text(in.NegativePrompt), Size: text(in.Size),
		Style: text(in.Style), Seed: in.Seed, Model: text(in.Model),
	})
	if err != nil {
		return imageBody{}, err
	}
	body, err := h.body(ctx, image)
	body.location = "/image/" + image.ID
	return body, err
}

func text(optional *string) string {
	if optional == nil {
		return ""
	}
	return *optional
}

type listRequest struct{ web.PageQuery }

type listBody struct {
	Images  []imageBody `json:"images" doc:"Newest first."`
	Total   int64       `json:"total"`
	Page    int         `json:"page"`
	PerPage int         `json:"per_page"`
}

func (h handler) list(ctx context.Context, in listRequest) (listBody, error) {
	page, err := in.Checked()
	if err != nil {
		return listBody{}, err
	}
	images, total, err := h.service.ListOwn(ctx, page)
	if err != nil {
		return listBody{}, err
	}
	body := listBody{Images: make([]imageBody, len(images)), Total: total, Page: page.Number, PerPage: page.Size}
	for i, image := range images {
		if body.Images[i], err = h.body(ctx, image); err != nil {
			return listBody{}, err
		}
	}
	return body, nil
}

type modelsBody struct {
	Models []modelBody `json:"models" doc:"In the order in which they stand in for each other, the default first."`
}

type modelBody struct {
	ID          string   `json:"id" example:"local/canvas"`
	Provider    string   `json:"provider" example:"local"`
	Default     bool     `json:"default" doc:"Serves requests that name no model."`
	Description string   `json:"description"`
	Sizes       []string `json:"sizes,omitempty" doc:"The only sizes it makes; absent = any."`
	SizeStep    int      `json:"size_step,omitempty" doc:"Both sides must be multiples of it; absent = any."`
	Styles      []string `json:"styles,omitempty" doc:"The styles it knows; absent = free text."`
	Seed        bool     `json:"seed" doc:"The same seed gives the same picture."`
}

func (h handler) models(context.Context, struct{}) (modelsBody, error) {
	body := modelsBody{Models: []modelBody{}}
	for i, c := range h.service.Models() {
		body.Models = append(body.Models, modelBody{
			ID: c.id, Provider: c.name, Default: i == 0, Description: c.model.Description,
			Sizes: c.model.Sizes, SizeStep: c.model.SizeStep, Styles: c.model.Styles, Seed: c.model.Seeds,
		})
	}
	return body, nil
}

type idRequest struct {
	ID string `path:"id" json:"-" doc:"The image's id." format:"uuid"`
}

func (h handler) find(ctx context.Context, in idRequest) (imageBody, error) {
	image, err := h.service.Find(ctx, in.ID)
	if err != nil {
		return imageBody{}, err
	}
	return h.body(ctx, image)
}

type downloadRequest struct {
	ID       string `path:"id" json:"-" doc:"The image's id." format:"uuid"`
	Redirect *bool  `query:"redirect" json:"-" doc:"false answers with the link instead of redirecting to it." default:"true"`
}

type downloadBody struct {
	DownloadURL string `json:"download_url" doc:"Serves the PNG to whoever holds the link, until it expires." format:"uri"`
	ExpiresIn   int    `json:"expires_in" doc:"Seconds."`
}

func (h handler) download(c echo.Context, in downloadRequest) error {
	signed, err := h.service.Download(c.Request().Context(), in.ID)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	if in.Redirect == nil || *in.Redirect {
		return c.Redirect(http.StatusFound, signed.URL)
	}
	return web.WriteJSON(c, http.StatusOK, downloadBody{DownloadURL: signed.URL, ExpiresIn: int(signed.ExpiresIn.Seconds())})
}

func (h handler) delete(ctx context.Context, in idRequest) error {
	return h.service.Delete(ctx, in.ID)
}

type adminListRequest struct {
	web.PageQuery
	UserID *int64  `query:"user_id" json:"-" doc:"Only this user's images. For anyone but an admin another user's id finds nothing." minimum:"1"`
	Query  *string `query:"q" json:"-" doc:"Only prompts that contain this text; ASCII letters match in either case." maxLength:"200"`
}

type adminListBody struct {
	Images  []adminImageBody `json:"images" doc:"Newest first."`
	Total   int64            `json:"total"`
	Page    int              `json:"page"`
	PerPage int              `json:"per_page"`
}

type adminImageBody struct {
	ID        string    `json:"id"`
	Prompt    string    `json:"prompt"`
	UserID    *int64    `json:"user_id" doc:"null for an image made anonymously."`
	CreatedAt time.Time `json:"created_at"`
	Size      string    `json:"size"`
	Status    Status    `json:"status" enum:"queued,processing,completed,failed,cancelled"`
}

func (h handler) adminList(ctx context.Context, in adminListRequest) (adminListBody, error) {
	page, err := in.Checked()
	if err != nil {
		return adminListBody{}, err
	}
	images, total, err := h.service.ListAll(ctx, in.UserID, text(in.Query), page)
	if err != nil {
		return adminListBody{}, err
	}
	body := adminListBody{Images: make([]adminImageBody, len(images)), Total: total, Page: page.Number, PerPage: page.Size}
	for i, image := range images {
		body.Images[i] = adminImageBody{
			ID: image.ID, Prompt: image.Prompt, UserID: image.UserID,
			CreatedAt: image.CreatedAt, Size: image.Size, Status: image.Status,
		}
	}
	return body, nil
}

// imageBody is an image as clients see it.
type imageBody struct {
	ID             string       `json:"id"`
	Prompt         string       `json:"prompt"`
	NegativePrompt string       `json:"negative_prompt"`
	Size           string       `json:"size" doc:"As asked; metadata has the size of the picture."`
	Style          string       `json:"style"`
	Status         Status       `json:"status" enum:"queued,processing,completed,failed,cancelled"`
	CreatedAt      time.Time    `json:"created_at"`
	UserID         *int64       `json:"user_id" doc:"null for an image made anonymously."`
	DownloadURL    *string      `json:"download_url" doc:"A signed link that expires; null unless completed." format:"uri"`
	S3Key          *string      `json:"s3_key" doc:"The picture's key in the bucket; null unless completed."`
	Metadata       metadataBody `json:"metadata"`
	Error          *errorBody   `json:"error,omitempty" doc:"Why there is no picture; absent while there may be one."`

	location string
}

// SetHeader says where an image that was just made is.
func (b imageBody) SetHeader(header http.Header) {
	if b.location != "" {
		header.Set("Location", b.location)
	}
}

type metadataBody struct {
	ProcessingTimeMS  int64   `json:"processing_time_ms"`
	Provider          string  `json:"provider" doc:"Who made the picture."`
	Model             string  `json:"model" doc:"What made the picture."`
	Seed              *int64  `json:"seed" doc:"Makes the picture again; null where the model takes none."`
	ContentType       *string `json:"content_type" doc:"image/png; null unless completed."`
	SourceContentType *string `json:"source_content_type" doc:"What the provider sent; null unless completed."`
	Width             *int    `json:"width" doc:"Pixels of the picture; null unless completed."`
	Height            *int    `json:"height"`
	FileSizeBytes     *int64  `json:"file_size_bytes"`
	SHA256            *string `json:"sha256" doc:"Of the PNG, in hex."`
}

type errorBody struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (h handler) body(ctx context.Context, image Image) (imageBody, error) {
	body := imageBody{
		ID: image.ID, Prompt: image.Prompt, NegativePrompt: image.NegativePrompt, Size: image.Size, Style: image.Style,
		Status: image.Status, CreatedAt: image.CreatedAt, UserID: image.UserID,
		Metadata: metadataBody{
			ProcessingTimeMS: image.Took.Milliseconds(), Provider: image.Provider, Model: image.Model, Seed: image.Seed,
		},
	}
	if image.Status == StatusCompleted {
		link, err := h.service.Link(ctx, image)
		if err != nil {
			return imageBody{}, err
		}
		contentType := pngType
		body.DownloadURL, body.S3Key = &link, &image.Key
		body.Metadata.ContentType, body.Metadata.SourceContentType = &contentType, &image.Media.SourceContentType
		body.Metadata.Width, body.Metadata.Height = &image.Media.Width, &image.Media.Height
		body.Metadata.FileSizeBytes, body.Metadata.SHA256 = &image.Media.Bytes, &image.Media.SHA256
	}
	if image.Failure.Code != "" {
		body.Error = &errorBody{Code: image.Failure.Code, Detail: image.Failure.Detail}
	}
	return body, nil
}
