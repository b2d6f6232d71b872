package chat

import (
	"context"
	"encoding/json"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/web"
)

// handler translates between HTTP and the service.
type handler struct{ service *service }

type tokensBody struct {
	Input     int64 `json:"input" doc:"Of everything the model read."`
	Output    int64 `json:"output" doc:"Of what it wrote."`
	Total     int64 `json:"total"`
	Estimated bool  `json:"estimated" doc:"Counted here by rule of thumb, at least in part, because the provider did not say."`
}

func newTokensBody(t tokens) tokensBody {
	return tokensBody{Input: t.Input, Output: t.Output, Total: t.Input + t.Output, Estimated: t.Estimated}
}

// SessionEntry is a session in a list. It is exported for the sake of the
// reference, which follows only exported embedded types.
type SessionEntry struct {
	ID           string     `json:"id" format:"uuid"`
	Title        string     `json:"title" doc:"From the first message until it is renamed; empty before either."`
	Model        string     `json:"model" doc:"Chosen for the session, else of its newest answer, else the default."`
	MessageCount int64      `json:"message_count" doc:"Questions and answers."`
	Tokens       tokensBody `json:"tokens" doc:"The sum over all messages."`
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
}

func (h handler) newSessionEntry(s session) SessionEntry {
	return SessionEntry{
		ID: s.ID, Title: s.Title, Model: h.service.modelOf(s), MessageCount: s.MessageCount, Tokens: newTokensBody(s.Tokens),
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
}

func (h handler) listSessions(ctx context.Context, in listSessionsInput) (sessionList, error) {
	page, err := in.Checked()
	if err != nil {
		return sessionList{}, err
	}
	sessions, total, err := h.service.listSessions(ctx, page)
	if err != nil {
		return sessionList{}, err
	}
	list := sessionList{Sessions: make([]SessionEntry, 0, len(sessions)), Total: total, Page: page.Number, PerPage: page.Size}
	for _, s := range sessions {
		list.Sessions = append(list.Sessions, h.newSessionEntry(s))
	}
	return list, nil
}

type listSessionsInput struct{ web.PageQuery }

type sessionList struct {
	Sessions []SessionEntry `json:"sessions"`
	Total    int64          `json:"total"`
	Page     int            `json:"page"`
	PerPage  int            `json:"per_page"`
}

func (h handler) createSession(ctx context.Context, in createSessionInput) (SessionDetail, error) {
	made, err := h.service.createSession(ctx, in.Title, in.Model, in.System)
	if err != nil {
		return SessionDetail{}, err
	}
	return h.newSessionDetail(made), nil
}

type createSessionInput struct {
	Title  string `json:"title,omitempty" maxLength:"200" doc:"Without it, the first message names the session."`
	Model  string `json:"model,omitempty" doc:"Answers in this session. One of GET /chat/models."`
	System string `json:"system,omitempty" maxLength:"32000" doc:"The instruction that is kept in front of every message."`
}

// SessionDetail is a session by itself.
type SessionDetail struct {
	SessionEntry
	System string `json:"system" doc:"The instruction that is kept in front of every message; may be empty."`
}

func (h handler) newSessionDetail(s session) SessionDetail {
	return SessionDetail{SessionEntry: h.newSessionEntry(s), System: s.System}
}

const findSessionDescription = "Messages come in the order in which they were said. A page counts from the newest: " +
	"page 1 of 100, the default, holds the newest 100, page 2 the 100 before them. message_count says how many there are. " +
	"A message's status is `processing`, `completed`, `failed` or `cancelled`; the last two carry `error`."

func (h handler) findSession(ctx context.Context, in findSessionInput) (sessionMessages, error) {
	page, err := in.checked()
	if err != nil {
		return sessionMessages{}, err
	}
	found, err := h.service.findSession(ctx, in.ID)
	if err != nil {
		return sessionMessages{}, err
	}
	messages, err := h.service.listMessages(ctx, found, page)
	if err != nil {
		return sessionMessages{}, err
	}
	body := sessionMessages{
		SessionDetail: h.newSessionDetail(found), Messages: make([]messageBody, 0, len(messages)),
		Total: found.MessageCount, Page: page.Number, PerPage: page.Size,
	}
	for _, m := range messages {
		body.Messages = append(body.Messages, newMessageBody(m))
	}
	return body, nil
}

type findSessionInput struct {
	ID      string `path:"id" json:"-"`
	Page    *int   `query:"page" json:"-" doc:"Which page of messages, counted from the newest." default:"1" minimum:"1" maximum:"1000000"`
	PerPage *int   `query:"per_page" json:"-" doc:"How many messages a page holds." default:"100" minimum:"1" maximum:"100"`
}

// checked returns the page of messages asked for; a whole one by default, as a
// reader of a session wants to see all of it.
func (in findSessionInput) checked() (web.Page, error) {
	whole := web.MaxPageSize
	if in.PerPage == nil {
		in.PerPage = &whole
	}
	return web.PageQuery{Page: in.Page, PerPage: in.PerPage}.Checked()
}

type sessionMessages struct {
	SessionDetail
	Messages []messageBody `json:"messages"`
	Total    int64         `json:"total" doc:"How many messages there are in all."`
	Page     int           `json:"page"`
	PerPage  int           `json:"per_page"`
}

type messageBody struct {
	ID           string        `json:"id" format:"uuid"`
	Role         string        `json:"role" enum:"user,assistant"`
	Content      string        `json:"content"`
	Provider     *string       `json:"provider" doc:"Who answered; null for a question."`
	Model        *string       `json:"model" doc:"Null for a question."`
	FinishReason *string       `json:"finish_reason" doc:"Why the answer ended; null for a question and while unknown."`
	Tokens       tokensBody    `json:"tokens" doc:"Of an answer; those of a question are part of its answer's input."`
	Status       string        `json:"status" enum:"processing,completed,failed,cancelled"`
	Error        *messageError `json:"error,omitempty" doc:"Why it failed or was cancelled."`
	Extra        *extraBody    `json:"extra,omitempty" doc:"Of the OpenAI-compatible API: what the request or the answer was more than its text, as it was sent."`
	CreatedAt    time.Time     `json:"created_at"`
}

// extraBody is a JSON object of any members.
type extraBody map[string]json.RawMessage

type messageError struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func newMessageBody(m message) messageBody {
	body := messageBody{
		ID: m.ID, Role: m.Role, Content: m.Content, Provider: optional(m.Provider), Model: optional(m.Model), FinishReason: optional(m.FinishReason),
		Tokens: newTokensBody(m.Tokens), Status: m.Status, CreatedAt: m.CreatedAt,
	}
	if m.Extra != "" {
		body.Extra = &extraBody{}
		_ = json.Unmarshal([]byte(m.Extra), body.Extra) // we wrote it
	}
	if m.ErrorCode != "" {
		body.Error = &messageError{Code: m.ErrorCode, Detail: m.ErrorDetail}
	}
	return body
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (h handler) renameSession(ctx context.Context, in renameSessionInput) (SessionDetail, error) {
	if in.Title == nil {
		var fields fault.Fields
		fields.Add("title", "required", "must be given")
		return SessionDetail{}, fields.Err()
	}
	renamed, err := h.service.renameSession(ctx, in.ID, *in.Title)
	if err != nil {
		return SessionDetail{}, err
	}
	return h.newSessionDetail(renamed), nil
}

type renameSessionInput struct {
	ID    string  `path:"id" json:"-"`
	Title *string `json:"title" minLength:"1" maxLength:"200"`
}

func (h handler) deleteSession(ctx context.Context, in deleteSessionInput) error {
	return h.service.deleteSession(ctx, in.ID)
}

type deleteSessionInput struct {
	ID string `path:"id" json:"-"`
}

func (h handler) listModels(ctx context.Context, _ listModelsInput) (modelList, error) {
	h.service.catalogue.discover(ctx, discoveryFresh)
	list := modelList{Models: []modelBody{}}
	for _, m := range h.service.catalogue.models() {
		list.Models = append(list.Models, modelBody(m))
	}
	return list, nil
}

type listModelsInput struct{}

type modelList struct {
	Models []modelBody `json:"models"`
}

type modelBody struct {
	ID       string `json:"id" example:"local/guide"`
	Provider string `json:"provider" example:"local"`
	Default  bool   `json:"default" doc:"Answers messages that name no model."`
}
