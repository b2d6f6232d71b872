package chat

import (
	"encoding/json"
	"fmt"

	"github.com/tidwall/gjson"

	"llmhist/platform/fault"
)

// responseAsk is a request of OpenAI's responses, which this server answers as a
// chat completion.
type responseAsk struct {
	document gjson.Result // the request as it was sent
	completionAsk
}

// namesPrevious reports whether the request goes on from an earlier answer.
func (q responseAsk) namesPrevious() bool { return given(q.document.Get("previous_response_id")) }

// readResponse reads a body that is a JSON object and says the same as a chat
// completion. What only OpenAI's own service can do is refused, other fields
// that are not known here are ignored.
func readResponse(body []byte) (responseAsk, error) {
	r := responseTranslation{document: gjson.ParseBytes(body), completion: map[string]any{}}
	r.refuseStored()
	preface := r.addInstructions()
	r.addInput()
	r.addTools()
	r.addSettings()
	if err := r.fields.Err(); err != nil {
		return responseAsk{}, err
	}
	translated, err := json.Marshal(r.completion)
	if err != nil {
		return responseAsk{}, err
	}
	q, err := readCompletion(translated)
	q.Preface, q.Response = preface, &responseExtra{Instructions: r.document.Get("instructions").Str}
	return responseAsk{document: r.document, completionAsk: q}, err
}

// responseTranslation is a request on its way to being a chat completion.
type responseTranslation struct {
	document   gjson.Result
	completion map[string]any
	messages   []any
	fields     fault.Fields
}

func given(value gjson.Result) bool { return value.Exists() && value.Type != gjson.Null }

// refuseStored refuses what refers to something that OpenAI's service keeps.
func (r *responseTranslation) refuseStored() {
	for _, name := range []string{"conversation", "prompt"} {
		r.fields.Check(!given(r.document.Get(name)), name, "unsupported", "is not supported: send the whole conversation as input, or previous_response_id")
	}
	previous := r.document.Get("previous_response_id")
	r.fields.Check(!given(previous) || previous.Type == gjson.String, "previous_response_id", "wrong_type", "must be a string")
	r.fields.Check(!r.document.Get("background").Bool(), "background", "unsupported", "must be false: answers are waited for")
}

// addInstructions returns how many messages it added.
func (r *responseTranslation) addInstructions() int {
	if instructions := r.document.Get("instructions"); instructions.Type == gjson.String && instructions.Str != "" {
		r.addMessage(map[string]any{"role": roleSystem, "content": instructions.Str})
	}
	return len(r.messages)
}

func (r *responseTranslation) addInput() {
	input := r.document.Get("input")
	switch {
	case input.Type == gjson.String:
		r.addMessage(map[string]any{"role": roleUser, "content": input.Str})
	case input.IsArray():
		input.ForEach(func(_, item gjson.Result) bool {
			r.addItem(item)
			return len(r.messages) <= maxTurns
		})
	default:
		r.fields.Add("input", "required", "must be a string or an array of items")
	}
	r.completion["messages"] = r.messages
}

func (r *responseTranslation) addMessage(message map[string]any) {
	r.messages = append(r.messages, message)
}

func (r *responseTranslation) addItem(item gjson.Result) {
	switch kind := item.Get("type").Str; kind {
	case "", "message":
		role := item.Get("role").Str
		if role == "developer" { // many services know only its older name
			role = roleSystem
		}
		r.addMessage(map[string]any{"role": role, "content": r.content(item.Get("content"))})
	case "function_call":
		r.addCall(item)
	case "function_call_output":
		r.addMessage(map[string]any{"role": "tool", "tool_call_id": item.Get("call_id").Str, "content": r.content(item.Get("output"))})
	case "reasoning": // of an earlier answer; chat completions do not take it
	default:
		r.fields.Add("input", "unsupported", fmt.Sprintf("has an item of type %.40q: message, function_call and function_call_output are supported", kind))
	}
}

// addCall adds a call of a function to the message of the assistant that made
// it.
func (r *responseTranslation) addCall(item gjson.Result) {
	call := map[string]any{"id": item.Get("call_id").Str, "type": "function",
		"function": map[string]any{"name": item.Get("name").Str, "arguments": item.Get("arguments").Str}}
	if n := len(r.messages); n > 0 {
		if last, ok := r.messages[n-1].(map[string]any); ok && last["role"] == roleAssistant {
			calls, _ := last["tool_calls"].([]any)
			last["tool_calls"] = append(calls, call)
			return
		}
	}
	r.addMessage(map[string]any{"role": roleAssistant, "content": nil, "tool_calls": []any{call}})
}

// content returns a text as it is, and parts in the terms of chat completions.
// Parts that are all text become one.
func (r *responseTranslation) content(value gjson.Result) any {
	if !given(value) {
		return nil
	}
	if !value.IsArray() {
		return json.RawMessage(value.Raw)
	}
	var parts []any
	onlyText := true
	value.ForEach(func(_, part gjson.Result) bool {
		switch kind := part.Get("type").Str; kind {
		case "input_text", "output_text", "text":
			parts = append(parts, map[string]any{"type": "text", "text": part.Get("text").Str})
		case "refusal":
			parts = append(parts, map[string]any{"type": "text", "text": part.Get("refusal").Str})
		case "input_image":
			onlyText = false
			image := map[string]any{"url": part.Get("image_url").Str}
			if detail := part.Get("detail").Str; detail != "" {
				image["detail"] = detail
			}
			parts = append(parts, map[string]any{"type": "image_url", "image_url": image})
		case "input_audio":
			onlyText = false
			parts = append(parts, json.RawMessage(part.Raw))
		default:
			r.fields.Add("input", "unsupported", fmt.Sprintf("has a part of type %.40q: input_text, input_image and input_audio are supported", kind))
		}
		return true
	})
	if onlyText {
		return textOf(value)
	}
	return parts
}

func (r *responseTranslation) addTools() {
	var tools []any
	r.document.Get("tools").ForEach(func(_, tool gjson.Result) bool {
		if kind := tool.Get("type").Str; kind != "function" {
			r.fields.Add("tools", "unsupported", fmt.Sprintf("has a tool of type %.40q: function is supported", kind))
			return true
		}
		function := map[string]any{}
		for _, name := range []string{"name", "description", "parameters", "strict"} {
			if value := tool.Get(name); given(value) {
				function[name] = json.RawMessage(value.Raw)
			}
		}
		tools = append(tools, map[string]any{"type": "function", "function": function})
		return true
	})
	if len(tools) > 0 {
		r.completion["tools"] = tools
	}
	choice := r.document.Get("tool_choice")
	switch {
	case choice.Type == gjson.String && len(tools) > 0:
		r.completion["tool_choice"] = choice.Str
	case choice.Get("type").Str == "function":
		r.completion["tool_choice"] = map[string]any{"type": "function", "function": map[string]any{"name": choice.Get("name").Str}}
	}
}

// sameSettings are the fields that both APIs have, by their names in chat
// completions.
var sameSettings = map[string]string{
	"model": "model", "stream": "stream", "temperature": "temperature", "top_p": "top_p", "user": "user", "parallel_tool_calls": "parallel_tool_calls",
	"max_tokens": "max_output_tokens", "reasoning_effort": "reasoning.effort", "top_logprobs": "top_logprobs", "safety_identifier": "safety_identifier",
	"prompt_cache_key": "prompt_cache_key", "verbosity": "text.verbosity",
}

func (r *responseTranslation) addSettings() {
	for name, path := range sameSettings {
		if value := r.document.Get(path); given(value) {
			r.completion[name] = json.RawMessage(value.Raw)
		}
	}
	if r.document.Get("stream").Bool() {
		r.completion["stream_options"] = map[string]any{"include_usage": true}
	}
	switch format := r.document.Get("text.format"); format.Get("type").Str {
	case "json_object":
		r.completion["response_format"] = map[string]any{"type": "json_object"}
	case "json_schema":
		schema := map[string]any{}
		for _, name := range []string{"name", "description", "schema", "strict"} {
			if value := format.Get(name); given(value) {
				schema[name] = json.RawMessage(value.Raw)
			}
		}
		r.completion["response_format"] = map[string]any{"type": "json_schema", "json_schema": schema}
	}
}
