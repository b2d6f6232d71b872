package chat

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"llmhist/platform/web"
)

const embeddingsDescription = `The request and answer of OpenAI's embeddings, which go to the provider of the model as they are and come back as they are. ` +
	"Vectors come in the `encoding_format` that is asked for, `float` or `base64` (little-endian 32-bit numbers), also where the provider knows only one. " +
	"What was embedded is not kept; the request counts in the usage like any other."

// maxEmbeddingBody is the largest request in bytes.
const maxEmbeddingBody = 8 << 20

// embeddingInput describes what this server knows of a request.
type embeddingInput struct {
	Model          string  `json:"model" doc:"An id that GET /v1/models lists."`
	Input          any     `json:"input" doc:"A string, an array of strings, or tokens."`
	EncodingFormat *string `json:"encoding_format,omitempty" enum:"float,base64" default:"float"`
}

type embeddingsBody struct {
	Object string          `json:"object" enum:"list"`
	Data   []embeddingBody `json:"data"`
	Model  string          `json:"model"`
	Usage  embeddingUsage  `json:"usage"`
}

type embeddingBody struct {
	Object    string `json:"object" enum:"embedding"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding" doc:"An array of numbers, or their base64."`
}

type embeddingUsage struct {
	PromptTokens int64 `json:"prompt_tokens"`
	TotalTokens  int64 `json:"total_tokens"`
}

var embeddingAnswers = []web.Answer{web.Returns[embeddingsBody](http.StatusOK, "", "The vectors.")}

func (h handler) createEmbeddings(c echo.Context, body []byte) error {
	answer, err := h.service.embed(c.Request().Context(), body)
	if err != nil {
		return err
	}
	return web.WriteRawJSON(c, http.StatusOK, answer)
}
