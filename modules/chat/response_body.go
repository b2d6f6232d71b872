package chat

import (
	"encoding/json"
	"fmt"

	"github.com/tidwall/gjson"
)

// responseBody is an answer in the shape of OpenAI's responses. What a request
// says of itself comes back in it.
type responseBody struct {
	ID                string              `json:"id" example:"resp_0199…"`
	Object            string              `json:"object" enum:"response"`
	CreatedAt         int64               `json:"created_at" doc:"Unix seconds."`
	Status            string              `json:"status" enum:"in_progress,completed,incomplete,failed"`
	Error             *responseError      `json:"error"`
	IncompleteDetails *incompleteDetails  `json:"incomplete_details"`
	Instructions      json.RawMessage     `json:"instructions"`
	MaxOutputTokens   json.RawMessage     `json:"max_output_tokens"`
	Metadata          json.RawMessage     `json:"metadata"`
	Model             string              `json:"model"`
	Output            []responseItem      `json:"output"`
	ParallelToolCalls json.RawMessage     `json:"parallel_tool_calls"`
	PreviousResponse  *string             `json:"previous_response_id"`
	Reasoning         json.RawMessage     `json:"reasoning"`
	Store             bool                `json:"store" doc:"Whether a request can refer to it by previous_response_id, whatever was asked for. It is in the history of this server in any case; one that was cut where this server cuts answers cannot be gone on from."`
	Temperature       json.RawMessage     `json:"temperature"`
	Text              json.RawMessage     `json:"text"`
	ToolChoice        json.RawMessage     `json:"tool_choice"`
	Tools             json.RawMessage     `json:"tools"`
	TopP              json.RawMessage     `json:"top_p"`
	Truncation        string              `json:"truncation" enum:"disabled"`
	Usage             *responseUsageTotal `json:"usage"`
}

type responseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type incompleteDetails struct {
	Reason string `json:"reason" enum:"max_output_tokens,content_filter"`
}

// responseItem is a message or the call of a function.
type responseItem struct {
	Type      string          `json:"type" enum:"message,function_call"`
	ID        string          `json:"id"`
	Status    string          `json:"status" enum:"in_progress,completed,incomplete"`
	Role      string          `json:"role,omitempty"`
	Content   *[]responsePart `json:"content,omitempty"`
	CallID    string          `json:"call_id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Arguments *string         `json:"arguments,omitempty"`
}

type responsePart struct {
	Type        string `json:"type" enum:"output_text"`
	Text        string `json:"text"`
	Annotations []any  `json:"annotations"`
	Logprobs    []any  `json:"logprobs"`
}

type responseUsageTotal struct {
	InputTokens  int64 `json:"input_tokens"`
	InputDetails struct {
		CachedTokens int64 `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	OutputTokens  int64 `json:"output_tokens"`
	OutputDetails struct {
		ReasoningTokens int64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	TotalTokens int64 `json:"total_tokens"`
	Estimated   bool  `json:"estimated,omitempty" doc:"Not of OpenAI: counted by this server, as the provider did not say."`
}

// responseUsage returns the usage of a chat completion in these terms.
func responseUsage(counted gjson.Result) *responseUsageTotal {
	u := &responseUsageTotal{
		InputTokens: counted.Get("prompt_tokens").Int(), OutputTokens: counted.Get("completion_tokens").Int(), Estimated: counted.Get("estimated").Bool(),
	}
	u.TotalTokens = u.InputTokens + u.OutputTokens
	u.InputDetails.CachedTokens = counted.Get("prompt_tokens_details.cached_tokens").Int()
	u.OutputDetails.ReasoningTokens = counted.Get("completion_tokens_details.reasoning_tokens").Int()
	return u
}

// response returns the answer to q without what is said in it.
func (q responseAsk) response(answer message, status string) responseBody {
	echo := func(path, standard string) json.RawMessage {
		if value := q.document.Get(path); given(value) {
			return json.RawMessage(value.Raw)
		}
		return json.RawMessage(standard)
	}
	var previous *string
	if q.goesOn() {
		previous = &q.Response.Previous
	}
	return responseBody{
		ID: responsePrefix + answer.ID, Object: "response", CreatedAt: answer.CreatedAt.Unix(), Status: status, Model: answer.Model, Output: []responseItem{},
		Instructions: echo("instructions", "null"), MaxOutputTokens: echo("max_output_tokens", "null"), Metadata: echo("metadata", "{}"),
		ParallelToolCalls: echo("parallel_tool_calls", "true"), Reasoning: echo("reasoning", `{"effort":null,"summary":null}`),
		Temperature: echo("temperature", "1"), Text: echo("text", `{"format":{"type":"text"}}`), ToolChoice: echo("tool_choice", `"auto"`),
		PreviousResponse: previous, Store: true, Tools: echo("tools", "[]"), TopP: echo("top_p", "1"), Truncation: "disabled",
	}
}

// concluded sets how an answer ended.
func (b *responseBody) concluded(answer message) {
	b.Status = "completed"
	b.Store = answer.Thread != ""
	switch answer.FinishReason {
	case "length":
		b.Status, b.IncompleteDetails = "incomplete", &incompleteDetails{"max_output_tokens"}
	case "content_filter":
		b.Status, b.IncompleteDetails = "incomplete", &incompleteDetails{"content_filter"}
	}
}

func textItem(answer message, status, text string) responseItem {
	return responseItem{Type: "message", ID: "msg_" + answer.ID, Status: status, Role: roleAssistant, Content: &[]responsePart{textPart(text)}}
}

func textPart(text string) responsePart {
	return responsePart{Type: "output_text", Text: text, Annotations: []any{}, Logprobs: []any{}}
}

func callItem(answer message, n int, status string, call toolCall) responseItem {
	return responseItem{Type: "function_call", ID: fmt.Sprintf("fc_%s_%d", answer.ID, n), Status: status, CallID: call.ID, Name: call.Name, Arguments: &call.Arguments}
}

// respond returns a whole chat completion as a response.
func (q responseAsk) respond(answer message, completion []byte) responseBody {
	document := gjson.ParseBytes(completion)
	body := q.response(answer, "completed")
	body.concluded(answer)
	if counted := document.Get("usage"); counted.IsObject() {
		body.Usage = responseUsage(counted)
	} else {
		body.Usage = responseUsage(gjson.Parse(fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"estimated":%t}`,
			answer.Tokens.Input, answer.Tokens.Output, answer.Tokens.Estimated)))
	}
	said := document.Get("choices.0.message")
	calls := callsOf(said.Get("tool_calls"))
	if text := textOf(said.Get("content")) + said.Get("refusal").Str; text != "" || len(calls) == 0 {
		body.Output = append(body.Output, textItem(answer, body.Status, text))
	}
	for i, call := range calls {
		body.Output = append(body.Output, callItem(answer, i, "completed", call))
	}
	return body
}
