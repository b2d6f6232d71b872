//go:build !race

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

// TestTheSDKOfGo uses OpenAI's own SDK as its readers would.
func TestTheSDKOfGo(t *testing.T) {
	p, key := startForSDKs(t)
	client := openai.NewClient(option.WithBaseURL(p.url+"/v1"), option.WithAPIKey(key))
	ctx := t.Context()
	hello := openai.ChatCompletionNewParams{Model: "demo-1", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello")}}

	t.Run("models are listed", func(t *testing.T) {
		page, err := client.Models.List(ctx)
		if err != nil || !slices.ContainsFunc(page.Data, func(m openai.Model) bool { return m.ID == "local/canvas" }) {
			t.Errorf("%v %v", page, err)
		}
	})
	t.Run("a chat is answered", func(t *testing.T) {
		answer, err := client.Chat.Completions.New(ctx, hello)
		if err != nil || answer.Choices[0].Message.Content != "Hi from demo-1!" || answer.Usage.TotalTokens != 11 {
			t.Errorf("%v %v", answer, err)
		}
	})
	t.Run("a chat is streamed", func(t *testing.T) {
		stream, whole := client.Chat.Completions.NewStreaming(ctx, hello), openai.ChatCompletionAccumulator{}
		for stream.Next() {
			whole.AddChunk(stream.Current())
		}
		if stream.Err() != nil || whole.Choices[0].Message.Content != "Hi from demo-1!" || whole.Choices[0].FinishReason != "stop" {
			t.Errorf("%v %v", whole, stream.Err())
		}
	})
	t.Run("a tool is called", func(t *testing.T) {
		q := hello
		q.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "weather"})}
		called, err := client.Chat.Completions.New(ctx, q)
		if err != nil || called.Choices[0].FinishReason != "tool_calls" || called.Choices[0].Message.ToolCalls[0].Function.Name != "weather" {
			t.Fatalf("%v %v", called, err)
		}
		q.Messages = append(q.Messages, called.Choices[0].Message.ToParam(), openai.ToolMessage("22", called.Choices[0].Message.ToolCalls[0].ID))
		told, err := client.Chat.Completions.New(ctx, q)
		if err != nil || told.Choices[0].Message.Content != "It is 22." {
			t.Errorf("%v %v", told, err)
		}
	})
	t.Run("a stream that breaks off is an error", func(t *testing.T) {
		q := hello
		q.Model = "broken-1"
		stream := client.Chat.Completions.NewStreaming(ctx, q)
		for stream.Next() {
		}
		if err := stream.Err(); err == nil || !strings.Contains(err.Error(), "broke off") {
			t.Errorf("%v", err)
		}
	})
	t.Run("embeddings", func(t *testing.T) {
		made, err := client.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "vectors-1", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("a")}})
		if err != nil || !slices.Equal(made.Data[0].Embedding, []float64{1, -0.5}) {
			t.Errorf("%v %v", made, err)
		}
	})
	t.Run("a picture", func(t *testing.T) {
		made, err := client.Images.Generate(ctx, openai.ImageGenerateParams{Model: "local/canvas", Prompt: "fog", Size: "64x64"})
		if err != nil {
			t.Fatal(err)
		}
		if picture, err := base64.StdEncoding.DecodeString(made.Data[0].B64JSON); err != nil || !bytes.HasPrefix(picture, []byte("\x89PNG")) {
			t.Errorf("%.20q %v", picture, err)
		}
	})
	t.Run("speech", func(t *testing.T) {
		said, err := client.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{
			Model: "local/flite", Input: "Good morning.", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("slt")}, ResponseFormat: "wav"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = said.Body.Close() }()
		if sound, err := io.ReadAll(said.Body); err != nil || !bytes.HasPrefix(sound, []byte("RIFF")) {
			t.Errorf("%.20q %v", sound, err)
		}
	})
	t.Run("responses, whole and streamed", func(t *testing.T) {
		q := responses.ResponseNewParams{Model: "demo-1", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hello")}}
		answer, err := client.Responses.New(ctx, q)
		if err != nil || answer.OutputText() != "Hi from demo-1!" {
			t.Errorf("%v %v", answer, err)
		}
		stream, last := client.Responses.NewStreaming(ctx, q), ""
		for stream.Next() {
			last = stream.Current().Type
			if last == "response.completed" && stream.Current().Response.OutputText() != "Hi from demo-1!" {
				t.Errorf("%v", stream.Current().Response)
			}
		}
		if stream.Err() != nil || last != "response.completed" {
			t.Errorf("%s %v", last, stream.Err())
		}
	})
	t.Run("errors are typed", func(t *testing.T) {
		q := hello
		q.Model = "nobody"
		_, err := client.Chat.Completions.New(ctx, q)
		var refused *openai.Error
		if !errors.As(err, &refused) || refused.StatusCode != 404 || refused.Code != "model_not_found" || refused.Param != "model" {
			t.Errorf("%v", err)
		}
		stranger := openai.NewClient(option.WithBaseURL(p.url+"/v1"), option.WithAPIKey("llmh_nobody"))
		if _, err := stranger.Chat.Completions.New(ctx, hello); !errors.As(err, &refused) || refused.StatusCode != 401 {
			t.Errorf("%v", err)
		}
	})
	t.Run("what it sent is in the history", func(t *testing.T) {
		sessions := p.json("GET", "/chat/sessions", key, nil, 200)
		if total, _ := json.Marshal(sessions["total"]); string(total) != "6" {
			t.Errorf("%s sessions", total)
		}
	})
}
