package speech

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/audio"
	"llmhist/platform/web"
)

type handler struct{ service *service }

type generateRequest struct {
	Text     string   `json:"text" minLength:"1" maxLength:"5000" doc:"What to say: plain text, no markup." example:"Good morning."`
	Language string   `json:"language,omitempty" doc:"A language tag. Without it the voice's language, else en." example:"en"`
	Voice    string   `json:"voice,omitempty" maxLength:"100" doc:"A voice of the model, from GET /speech/voices." example:"slt"`
	Model    string   `json:"model,omitempty" maxLength:"200" doc:"A model from GET /speech/voices. Without it the operator's choice." example:"local/flite"`
	Speed    *float64 `json:"speed,omitempty" minimum:"0.25" maximum:"4" default:"1" doc:"Relative to the natural one. Not every model has the whole range."`
	Format   string   `json:"format,omitempty" enum:"mp3,wav" doc:"Without it what the model makes by itself."`
}

func (h handler) generate(ctx context.Context, in generateRequest) (conversionAnswer, error) {
	request := Request{
		Text: in.Text, Language: in.Language, Voice: in.Voice, Model: in.Model, Speed: 1, Format: audio.Format(in.Format),
	}
	if in.Speed != nil {
		request.Speed = *in.Speed
	}
	c, err := h.service.Generate(ctx, request)
	if err != nil {
		return conversionAnswer{}, err
	}
	answer := answerOf(c)
	answer.location = "/speech/" + c.ID
	return answer, nil
}

// conversionAnswer is a conversion as clients see it.
type conversionAnswer struct {
	ID              string    `json:"id"`
	Text            string    `json:"text"`
	Language        string    `json:"language" doc:"As the model calls it."`
	Voice           *string   `json:"voice" doc:"Null for a model without voices to choose."`
	Model           string    `json:"model"`
	Speed           float64   `json:"speed"`
	Format          string    `json:"format" enum:"mp3,wav"`
	Status          string    `json:"status" enum:"queued,processing,completed,failed,cancelled"`
	Error           *failure  `json:"error,omitempty" doc:"Why there is no sound."`
	CreatedAt       time.Time `json:"created_at"`
	UserID          *int64    `json:"user_id" doc:"Null when made anonymously."`
	AudioURL        *string   `json:"audio_url" doc:"A signed link that expires; null until completed."`
	DurationSeconds *float64  `json:"duration_seconds"`
	FileSizeBytes   *int64    `json:"file_size_bytes"`
	S3Key           *string   `json:"s3_key" doc:"Where the sound is stored."`
	Metadata        metadata  `json:"metadata"`

	location string
}

// SetHeader names the new resource after a POST.
func (a conversionAnswer) SetHeader(header http.Header) {
	if a.location != "" {
		header.Set(echo.HeaderLocation, a.location)
	}
}

func answerOf(c Conversion) conversionAnswer {
	return conversionAnswer{
		ID: c.ID, Text: c.Text, Language: c.Language, Voice: orNull(c.Voice), Model: c.Model, Speed: c.Speed,
		Format: string(c.Format), Status: string(c.Status), Error: failureOf(c.Failure), CreatedAt: c.CreatedAt, UserID: c.UserID,
		AudioURL: orNull(c.AudioURL), DurationSeconds: secondsOf(c), FileSizeBytes: sizeOf(c), S3Key: orNull(c.MediaKey()),
		Metadata: metadataOf(c),
	}
}

type listRequest struct{ web.PageQuery }

type listAnswer struct {
	Speech  []conversionAnswer `json:"speech"`
	Total   int64              `json:"total"`
	Page    int                `json:"page"`
	PerPage int                `json:"per_page"`
}

func (h handler) list(ctx context.Context, in listRequest) (listAnswer, error) {
	page, err := in.Checked()
	if err != nil {
		return listAnswer{}, err
	}
	list, total, err := h.service.ListOwn(ctx, page)
	if err != nil {
		return listAnswer{}, err
	}
	answer := listAnswer{Speech: make([]conversionAnswer, 0, len(list)), Total: total, Page: page.Number, PerPage: page.Size}
	for _, c := range list {
		answer.Speech = append(answer.Speech, answerOf(c))
	}
	return answer, nil
}

type voicesAnswer struct {
	Voices []voiceAnswer `json:"voices"`
	Models []modelAnswer `json:"models" doc:"The first available one speaks when a request names none."`
}

type voiceAnswer struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Language  *string `json:"language" doc:"Null for a voice of any language."`
	Gender    *string `json:"gender" doc:"female, male, or null where it is not known."`
	Model     string  `json:"model"`
	Provider  string  `json:"provider"`
	Available bool    `json:"available"`
	Note      string  `json:"note,omitempty"`
}

type modelAnswer struct {
	ID        string   `json:"id"`
	Provider  string   `json:"provider"`
	Available bool     `json:"available"`
	Remote    bool     `json:"remote" doc:"Whether the text leaves this server."`
	Formats   []string `json:"formats" doc:"What can be asked for, the default first."`
	Languages []string `json:"languages" doc:"Empty = the provider decides."`
	MinSpeed  float64  `json:"min_speed"`
	MaxSpeed  float64  `json:"max_speed"`
	MaxText   int      `json:"max_text" doc:"Characters."`
	Note      string   `json:"note,omitempty"`
}

func (h handler) voices(ctx context.Context, _ struct{}) (voicesAnswer, error) {
	answer := voicesAnswer{Voices: []voiceAnswer{}, Models: []modelAnswer{}}
	for _, m := range h.service.Models(ctx) {
		provider := m.provider.name()
		note := m.note
		if m.missing != "" {
			note = m.missing
		}
		answer.Models = append(answer.Models, modelAnswer{
			ID: m.id, Provider: provider, Available: m.missing == "", Remote: m.remote, Formats: h.formats(m),
			Languages: append([]string{}, m.languages...), MinSpeed: m.slowest, MaxSpeed: m.fastest, MaxText: m.longest, Note: note,
		})
		for _, v := range m.voices {
			answer.Voices = append(answer.Voices, voiceAnswer{
				ID: v.id, Name: v.name, Language: orNull(v.language), Gender: orNull(v.gender), Model: m.id, Provider: provider,
				Available: m.missing == "", Note: v.note,
			})
		}
	}
	return answer, nil
}

// formats lists what a model makes and what can be made of that.
func (h handler) formats(m model) []string {
	var list []string
	for _, format := range m.formats {
		list = append(list, string(format))
	}
	for _, other := range []audio.Format{audio.MP3, audio.WAV} {
		if !slices.Contains(m.formats, other) && h.service.catalog.convertible(m.formats[0], other) {
			list = append(list, string(other))
		}
	}
	return list
}

type idRequest struct {
	ID string `path:"id" json:"-"`
}

func (h handler) find(ctx context.Context, in idRequest) (conversionAnswer, error) {
	c, err := h.service.Find(ctx, in.ID)
	return answerOf(c), err
}

type downloadRequest struct {
	ID       string `path:"id" json:"-"`
	Redirect *bool  `query:"redirect" json:"-" default:"true" doc:"false answers with the link instead of leading there."`
}

type downloadAnswer struct {
	DownloadURL string `json:"download_url"`
	ExpiresIn   int64  `json:"expires_in" doc:"Seconds."`
}

func (h handler) download(c echo.Context, in downloadRequest) error {
	signed, err := h.service.Download(c.Request().Context(), in.ID)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store") // the link expires
	if in.Redirect != nil && !*in.Redirect {
		return web.WriteJSON(c, http.StatusOK, downloadAnswer{DownloadURL: signed.URL, ExpiresIn: int64(signed.ExpiresIn.Seconds())})
	}
	return c.Redirect(http.StatusFound, signed.URL)
}

func (h handler) remove(ctx context.Context, in idRequest) error { return h.service.Delete(ctx, in.ID) }

type listAllRequest struct {
	web.PageQuery
	UserID *int64 `query:"user_id" json:"-" minimum:"1" doc:"Only this user's."`
	Query  string `query:"q" json:"-" maxLength:"200" doc:"Only texts that contain this."`
}

type listAllAnswer struct {
	Speech  []listAllEntry `json:"speech"`
	Total   int64          `json:"total"`
	Page    int            `json:"page"`
	PerPage int            `json:"per_page"`
}

type listAllEntry struct {
	ID        string    `json:"id"`
	Text      string    `json:"text"`
	UserID    *int64    `json:"user_id"`
	CreatedAt time.Time `json:"created_at"`
	Language  string    `json:"language"`
	Model     string    `json:"model"`
	Status    string    `json:"status" enum:"queued,processing,completed,failed,cancelled"`
}

func (h handler) listAll(ctx context.Context, in listAllRequest) (listAllAnswer, error) {
	page, err := in.Checked()
	if err != nil {
		return listAllAnswer{}, err
	}
	list, total, err := h.service.ListAll(ctx, in.UserID, in.Query, page)
	if err != nil {
		return listAllAnswer{}, err
	}
	answer := listAllAnswer{Speech: make([]listAllEntry, 0, len(list)), Total: total, Page: page.Number, PerPage: page.Size}
	for _, c := range list {
		answer.Speech = append(answer.Speech, listAllEntry{
			ID: c.ID, Text: c.Text, UserID: c.UserID, CreatedAt: c.CreatedAt, Language: c.Language, Model: c.Model, Status: string(c.Status),
		})
	}
	return answer, nil
}
