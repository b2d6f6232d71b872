package chat

// completionHead is what documents and chunks of an answer begin with.
type completionHead struct {
	ID      string `json:"id" example:"chatcmpl-0199…"`
	Object  string `json:"object" enum:"chat.completion,chat.completion.chunk"`
	Created int64  `json:"created" doc:"Unix seconds."`
	Model   string `json:"model"`
}

func headOf(answer message, object string) completionHead {
	return completionHead{ID: "chatcmpl-" + answer.ID, Object: object, Created: answer.CreatedAt.Unix(), Model: answer.Model}
}

// completionBody is a whole answer in the shape of OpenAI's API.
type completionBody struct {
	completionHead
	Choices []completionChoice `json:"choices"`
	Usage   *usageBody         `json:"usage"`
}

type completionChoice struct {
	Index        int64            `json:"index"`
	Message      completionMember `json:"message"`
	FinishReason string           `json:"finish_reason" doc:"stop, length, tool_calls, content_filter, …"`
}

// chunkBody is a piece of a streamed answer.
type chunkBody struct {
	completionHead
	Choices []chunkChoice `json:"choices"`
	Usage   *usageBody    `json:"usage,omitempty"`
}

type chunkChoice struct {
	Index        int64      `json:"index"`
	Delta        chunkDelta `json:"delta"`
	FinishReason *string    `json:"finish_reason"`
}

type chunkDelta struct {
	Role      string  `json:"role,omitempty"`
	Content   *string `json:"content,omitempty"`
	Reasoning string  `json:"reasoning_content,omitempty"`
	completionCalls
}

type usageBody struct {
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	TotalTokens      int64 `json:"total_tokens"`
	Estimated        bool  `json:"estimated,omitempty" doc:"Not of OpenAI: counted by this server, as the provider did not say."`
}

func usageOf(answer message) *usageBody {
	t := answer.Tokens
	return &usageBody{PromptTokens: t.Input, CompletionTokens: t.Output, TotalTokens: t.Input + t.Output, Estimated: t.Estimated}
}

// deltaOf returns a whole message as one delta.
func deltaOf(m completionMember) chunkDelta {
	delta := chunkDelta{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning, completionCalls: m.completionCalls}
	for i := range delta.ToolCalls {
		delta.ToolCalls[i].Index = &i
	}
	return delta
}
