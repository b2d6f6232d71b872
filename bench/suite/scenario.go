package main

import (
	"fmt"
	"net/http"

	"llmhist/bench/load"
	"llmhist/bench/rig"
)

// scenario is one row of the report.
type scenario struct {
	group       string
	name        string
	connections int
	slow        bool // takes so long that a run has to be longer
	server      rig.Script
	baseline    rig.Script // nil = there is nothing to compare with
}

// The values of scenario.slow.
const (
	quick = false
	slow  = true
)

// mostConnections is the most that a scenario uses.
const mostConnections = 10

const (
	groupHealth  = "Health"
	groupAccount = "Accounts"
	groupChat    = "Chat through the fake upstream: a 1 KB answer"
	groupOpenAI  = "OpenAI-compatible chat through the fake upstream: a 1 KB answer, against a proxy without history"
	groupImage   = "Image generation"
	groupList    = "Lists of images"
)

const (
	question = `{"message":"How do I add a provider?"}`
	streamed = `{"message":"How do I add a provider?","stream":true}`

	completion         = `{"model":"demo-1","messages":[{"role":"user","content":"How do I add a provider?"}]}`
	streamedCompletion = `{"model":"demo-1","messages":[{"role":"user","content":"How do I add a provider?"}],"stream":true}`
)

// scenarios lists everything that is measured, in the order of the report.
func (s *stage) scenarios() []scenario {
	list := []scenario{
		{groupHealth, "GET /healthz", 1, quick, rig.Get("/healthz", ""), rig.Get("/healthz", "")},
		{groupHealth, "GET /healthz", 10, quick, rig.Get("/healthz", ""), rig.Get("/healthz", "")},
		{groupHealth, "GET /readyz", 10, quick, rig.Get("/readyz", ""), nil},

		{groupAccount, "POST /auth/login", 4, slow, rig.Post("/auth/login", "", bodyOf(s.visitor), 200), rig.Post("/auth/login", "", bodyOf(s.visitor), 200)},
		{groupAccount, "POST /auth/refresh", 10, quick, s.refresh(), rig.Post("/auth/refresh", "", "{}", 200)},
		{groupAccount, "GET /users/me", 10, quick, rig.Get("/users/me", s.user.Access), rig.Get("/users/me", s.baselineToken)},
	}
	list = append(list, s.chats()...)
	list = append(list, s.completions()...)
	list = append(list, s.images()...)
	return append(list, s.lists()...)
}

func (s *stage) chats() []scenario {
	guide := `{"message":"How do I add a provider?","model":"local/guide"}`
	return []scenario{
		{groupChat, "POST /chat", 1, quick, s.ask(question), s.askBaseline(question)},
		{groupChat, "POST /chat", 10, quick, s.ask(question), s.askBaseline(question)},
		{groupChat, "POST /chat, 100 events", 1, quick, s.ask(streamed), s.askBaseline(streamed)},
		{groupChat, "POST /chat, 100 events", 10, quick, s.ask(streamed), s.askBaseline(streamed)},
		{groupChat, "POST /chat, local/guide", 10, quick, s.ask(guide), nil},
	}
}

func (s *stage) completions() []scenario {
	const name = "POST /v1/chat/completions"
	return []scenario{
		{groupOpenAI, name, 1, quick, complete(s.user.Access, completion), complete(s.baselineToken, completion)},
		{groupOpenAI, name, 10, quick, complete(s.user.Access, completion), complete(s.baselineToken, completion)},
		{groupOpenAI, name + ", 100 events", 1, quick, complete(s.user.Access, streamedCompletion), complete(s.baselineToken, streamedCompletion)},
		{groupOpenAI, name + ", 100 events", 10, quick, complete(s.user.Access, streamedCompletion), complete(s.baselineToken, streamedCompletion)},
	}
}

func (s *stage) images() []scenario {
	fake := `{"prompt":"a lighthouse above a calm sea","size":"256x256","model":"demo-image"}`
	local := `{"prompt":"a lighthouse above a calm sea","size":"512x512","model":"local/canvas"}`
	return []scenario{
		{groupImage, "POST /image/generate, fake provider, 256x256", 1, quick, rig.Post("/image/generate", s.user.Access, fake, 201), nil},
		{groupImage, "POST /image/generate, fake provider, 256x256", 10, quick, rig.Post("/image/generate", s.user.Access, fake, 201), nil},
		{groupImage, "POST /image/generate, local/canvas, 512x512", 2, slow, rig.Post("/image/generate", s.user.Access, local, 201), nil},
	}
}

func (s *stage) lists() []scenario {
	deep := s.options.images / 10 // the last page of those that were filled in
	list := func(name, path, token string) scenario {
		return scenario{groupList, name, 4, quick, rig.Get(path, token), nil}
	}
	other := s.user.ID + 5
	search := list("GET /admin/images, text search", "/admin/images?page=1&per_page=10&q=picture+4711", s.admin.Access)
	search.slow = true
	return []scenario{
		list("GET /admin/images, page 1", "/admin/images?page=1&per_page=10", s.admin.Access),
		list(fmt.Sprintf("GET /admin/images, page %d", deep), fmt.Sprintf("/admin/images?page=%d&per_page=10", deep), s.admin.Access),
		list(fmt.Sprintf("GET /admin/images, page %d", deep/2), fmt.Sprintf("/admin/images?page=%d&per_page=10", deep/2), s.admin.Access),
		list("GET /admin/images, 100 a page", "/admin/images?page=1&per_page=100", s.admin.Access),
		list("GET /admin/images, one user", fmt.Sprintf("/admin/images?page=1&per_page=10&user_id=%d", other), s.admin.Access),
		list(fmt.Sprintf("GET /admin/images, one user, page %d", deep/owners), fmt.Sprintf("/admin/images?page=%d&per_page=10&user_id=%d", deep/owners, other), s.admin.Access),
		search,
		list("GET /image, own, page 1", "/image?page=1&per_page=10", s.user.Access),
	}
}

func bodyOf(a rig.Account) string {
	return fmt.Sprintf(`{"email":%q,"password":%q}`, a.Email, a.Password)
}

// refresh gives each connection a session of its own.
func (s *stage) refresh() rig.Script {
	return func(string) func(int) load.Script {
		return func(n int) load.Script { return s.chains[n] }
	}
}

func (s *stage) ask(body string) rig.Script { return chat(s.user.Access, body) }

func (s *stage) askBaseline(body string) rig.Script { return chat(s.baselineToken, body) }

// chat sends a question. The first byte of a stream is its first piece of
// answer, not the event before it that no model was needed for.
func chat(token, body string) rig.Script {
	return func(address string) func(int) load.Script {
		request := load.Request{Wire: load.Encode(http.MethodPost, "/chat", address, rig.JSONHeader(token), []byte(body))}
		if body == streamed {
			request.Marker = []byte("event: delta")
			return func(int) load.Script { return streamScript{request, "event: done"} }
		}
		return load.Repeat(request, http.StatusOK)
	}
}

// complete sends a chat completion.
func complete(token, body string) rig.Script {
	return func(address string) func(int) load.Script {
		request := load.Request{Wire: load.Encode(http.MethodPost, "/v1/chat/completions", address, rig.JSONHeader(token), []byte(body))}
		if body == streamedCompletion {
			request.Marker = []byte(`"content":"`)
			return func(int) load.Script { return streamScript{request, "data: [DONE]"} }
		}
		return load.Repeat(request, http.StatusOK)
	}
}
