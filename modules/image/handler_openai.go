package image

import (
	"context"
	"fmt"

	"llmhist/platform/fault"
)

const openAIHelp = "The request and answer of OpenAI's image API; its other fields are accepted and have no effect. Each picture is kept in the history " +
	"like one of `POST /image/generate`, with the extra member `id`. `b64_json` unless `response_format` is `url`, whose links expire after five minutes. " +
	"Pictures are PNG."

// mostPictures is how many pictures one request may ask for.
const mostPictures = 10

// generationsRequest is the body of OpenAI's POST /images/generations
// (https://platform.openai.com/docs/api-reference/images/create).
type generationsRequest struct {
	Prompt         string  `json:"prompt" doc:"What to draw." example:"a lighthouse in fog" minLength:"1" maxLength:"4000"`
	Model          *string `json:"model,omitempty" doc:"An id that GET /v1/models lists; without one the operator's choice." example:"local/canvas"`
	N              *int    `json:"n,omitempty" doc:"How many pictures." minimum:"1" maximum:"10" default:"1"`
	Size           *string `json:"size,omitempty" doc:"Width and height in pixels, each 64 to 2048, or auto." example:"1024x1024" default:"auto"`
	Style          *string `json:"style,omitempty" doc:"One of the model's styles; vivid and natural are ignored by models that do not know them."`
	Seed           *int64  `json:"seed,omitempty" doc:"Not of OpenAI: the seed of the first picture, each further one has the next." minimum:"0" maximum:"2147483647"`
	NegativePrompt *string `json:"negative_prompt,omitempty" doc:"Not of OpenAI: what to leave out." maxLength:"4000"`
	ResponseFormat *string `json:"response_format,omitempty" enum:"b64_json,url" default:"b64_json"`
	OutputFormat   *string `json:"output_format,omitempty" enum:"png" default:"png"`
	Stream         *bool   `json:"stream,omitempty" doc:"Only false: pictures come whole."`
}

type generationsBody struct {
	Created      int64            `json:"created" doc:"Unix seconds."`
	Data         []generationBody `json:"data"`
	OutputFormat string           `json:"output_format" enum:"png"`
	Size         string           `json:"size" doc:"Of the first picture, in pixels."`
}

type generationBody struct {
	B64JSON []byte  `json:"b64_json,omitempty" doc:"The PNG."`
	URL     *string `json:"url,omitempty" format:"uri"`
	ID      string  `json:"id" doc:"Not of OpenAI: of GET /image/{id}."`
}

func (h handler) generateOpenAI(ctx context.Context, in generationsRequest) (generationsBody, error) {
	params, count, err := in.params()
	if err != nil {
		return generationsBody{}, err
	}
	images, err := h.service.GenerateSeveral(ctx, params, count)
	if err != nil {
		return generationsBody{}, err
	}
	body := generationsBody{
		Created: images[0].CreatedAt.Unix(), Data: make([]generationBody, count), OutputFormat: "png",
		Size: Size{Width: images[0].Media.Width, Height: images[0].Media.Height}.String(),
	}
	for i, image := range images {
		if body.Data[i], err = h.generation(ctx, image, text(in.ResponseFormat) == "url"); err != nil {
			return generationsBody{}, err
		}
	}
	return body, nil
}

func (h handler) generation(ctx context.Context, image Image, asLink bool) (generationBody, error) {
	body := generationBody{ID: image.ID}
	if asLink {
		link, err := h.service.Link(ctx, image)
		body.URL = &link
		return body, err
	}
	var err error
	body.B64JSON, err = h.service.Picture(ctx, image)
	return body, err
}

// params returns the request in this module's terms, or what of it only OpenAI
// can do.
func (in generationsRequest) params() (Params, int, error) {
	var fields fault.Fields
	count := 1
	if in.N != nil {
		count = *in.N
	}
	fields.Check(count >= 1 && count <= mostPictures, "n", "out_of_range", fmt.Sprintf("must be 1 to %d", mostPictures))
	fields.Check(in.Stream == nil || !*in.Stream, "stream", "unsupported", "must be false: pictures come whole")
	format, response := text(in.OutputFormat), text(in.ResponseFormat)
	fields.Check(format == "" || format == "png", "output_format", "unsupported", "must be png")
	fields.Check(response == "" || response == "url" || response == "b64_json", "response_format", "invalid", "must be b64_json or url")
	params := Params{
		Prompt: in.Prompt, NegativePrompt: text(in.NegativePrompt), Size: text(in.Size), Style: text(in.Style), Seed: in.Seed, Model: text(in.Model),
	}
	if params.Size == "auto" {
		params.Size = ""
	}
	if params.Style == "vivid" || params.Style == "natural" {
		params.Style = ""
	}
	return params, count, fields.Err()
}
