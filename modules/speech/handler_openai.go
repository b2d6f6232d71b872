package speech

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/web"
)

const openAIHelp = "The request of OpenAI's speech API, answered with the sound itself; its other fields are accepted and have no effect. The speech is kept in " +
	"the history like that of `POST /speech/generate`; `Location` says where. Without `response_format` it is MP3 where this server can make that, else WAV: " +
	"`Content-Type` tells. A model that does not have the voices of OpenAI's names speaks with its own."

// speechRequest is the body of OpenAI's POST /audio/speech
// (https://platform.openai.com/docs/api-reference/audio/createSpeech).
type speechRequest struct {
	Model          string      `json:"model" doc:"An id that GET /v1/models lists." example:"local/flite"`
	Input          string      `json:"input" minLength:"1" maxLength:"5000" doc:"What to say." example:"Good morning."`
	Voice          openAIVoice `json:"voice,omitempty" doc:"A voice of the model, or one of OpenAI's names." example:"slt"`
	ResponseFormat *string     `json:"response_format,omitempty" enum:"mp3,wav"`
	Speed          *float64    `json:"speed,omitempty" minimum:"0.25" maximum:"4" default:"1"`
	Language       *string     `json:"language,omitempty" doc:"Not of OpenAI: a language tag. Without it the voice's language, else en."`
	StreamFormat   *string     `json:"stream_format,omitempty" enum:"audio" doc:"Only audio."`
}

// openAIVoice is a voice's name, or an object that holds it as id.
type openAIVoice string

// UnmarshalJSON reads either form.
func (v *openAIVoice) UnmarshalJSON(data []byte) error {
	var named struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(data, &named) == nil && named.ID != "" {
		*v = openAIVoice(named.ID)
		return nil
	}
	return json.Unmarshal(data, (*string)(v))
}

// openAIVoices are the names that tools send without knowing the model.
var openAIVoices = []string{
	"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse",
}

// openAINames are OpenAI's names for the fields of a Request.
var openAINames = map[string]string{"text": "input", "format": "response_format"}

func (h handler) generateOpenAI(c echo.Context, in speechRequest) error {
	request, err := in.request()
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	made, err := h.service.Generate(ctx, request)
	if err != nil {
		return web.RenameFields(err, openAINames)
	}
	sound, err := h.service.Sound(ctx, made)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/speech/"+made.ID)
	return c.Blob(http.StatusOK, made.Format.ContentType(), sound)
}

// request returns the request in this module's terms, or what of it only
// OpenAI can do.
func (in speechRequest) request() (Request, error) {
	var fields fault.Fields
	fields.Check(in.StreamFormat == nil || *in.StreamFormat == "audio", "stream_format", "unsupported", "must be audio")
	fields.Check(in.Model != "", "model", "required", "must name a model; GET /v1/models lists them")
	request := Request{
		Text: in.Input, Voice: string(in.Voice), Model: in.Model, Language: orZero(in.Language), Speed: 1,
		Format: audio.Format(orZero(in.ResponseFormat)), Preferred: audio.MP3, VoiceIsTip: slices.Contains(openAIVoices, string(in.Voice)),
	}
	if in.Speed != nil {
		request.Speed = *in.Speed
	}
	return request, fields.Err()
}
