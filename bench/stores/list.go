package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"llmhist/bench/rig"
)

// The lists that are read. Those of everyone have a suffix of their own.
const (
	listImages   = "images"
	listSessions = "sessions"
	listMessages = "messages"
	listSpeech   = "conversions"
	everyone     = " of everyone"
)

// list is a route that answers with pages.
type list struct {
	name   string // of the request, as reported
	path   string
	token  string
	size   int    // entries on a page
	noun   string // field of the answer with the entries
	oldest string // id of the entry that comes last
	total  int
}

// lists returns the lists of a full store, each with the id that its deepest
// page must hold.
func (s *store) lists(c *content, oldest map[string]string) []*list {
	return []*list{
		{name: "GET /image", path: "/image", token: s.user.Access, size: 10, noun: "images", oldest: oldest[listImages], total: c.images / owners},
		{name: "GET /admin/images", path: "/admin/images", token: s.admin.Access, size: 10, noun: "images", oldest: oldest[listImages+everyone], total: c.images},
		{name: "GET /chat/sessions", path: "/chat/sessions", token: s.user.Access, size: 10, noun: "sessions", oldest: oldest[listSessions], total: c.ofFirstOwner()},
		{name: "GET /chat/sessions/{id}", path: "/chat/sessions/" + c.sessions[0].id, token: s.user.Access, size: 100, noun: "messages", oldest: oldest[listMessages], total: 2 * c.sessions[0].turns},
		{name: "GET /speech", path: "/speech", token: s.user.Access, size: 10, noun: "speech", oldest: oldest[listSpeech], total: c.speech / owners},
		{name: "GET /admin/speech", path: "/admin/speech", token: s.admin.Access, size: 10, noun: "speech", oldest: oldest[listSpeech+everyone], total: c.speech},
	}
}

func (l *list) page(number int) string {
	return fmt.Sprintf("%s?page=%d&per_page=%d", l.path, number, l.size)
}

func (l *list) pages() int { return (l.total + l.size - 1) / l.size }

// insidePages is how many pages stand for those between the ends of a list.
const insidePages = 50

// inside returns pages drawn from the middle half of the list.
func (l *list) inside() []int {
	random := rand.New(rand.NewPCG(5, 6))
	numbers := make([]int, insidePages)
	for i := range numbers {
		numbers[i] = 1 + l.pages()/4 + random.IntN(max(1, l.pages()/2))
	}
	return numbers
}

// check makes sure that the deepest page is whole and ends with the oldest
// entry, so that what is measured is right as well.
func (l *list) check(ctx context.Context, address string) error {
	first, err := l.ask(ctx, address, 1)
	if err != nil {
		return err
	}
	if first.total != l.total || first.entries != l.size {
		return fmt.Errorf("%s: the first page has %d entries of %d, there are %d", l.name, first.entries, first.total, l.total)
	}
	deepest, err := l.ask(ctx, address, l.pages())
	switch {
	case err != nil:
		return err
	case deepest.entries != l.total-(l.pages()-1)*l.size || !deepest.oldest:
		return fmt.Errorf("%s: the deepest page has %d entries, the oldest among them: %v", l.name, deepest.entries, deepest.oldest)
	}
	return nil
}

// found is what one page says.
type found struct {
	total, entries int
	oldest         bool // it holds the oldest entry
}

func (l *list) ask(ctx context.Context, address string, number int) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+l.page(number), nil)
	if err != nil {
		return found{}, err
	}
	request.Header.Set("Authorization", "Bearer "+l.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return found{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil || response.StatusCode != http.StatusOK {
		return found{}, fmt.Errorf("%s answered %d: %.300s %w", l.name, response.StatusCode, body, errors.Join(err))
	}
	var answer map[string]json.RawMessage
	var entries []json.RawMessage
	var f found
	err = json.Unmarshal(body, &answer)
	if err == nil {
		err = errors.Join(json.Unmarshal(answer[l.noun], &entries), json.Unmarshal(answer["total"], &f.total))
	}
	f.entries, f.oldest = len(entries), bytes.Contains(answer[l.noun], []byte(`"`+l.oldest+`"`))
	return f, err
}

// insert is a request that adds rows.
type insert struct {
	name string
	post func(s *store) rig.Script
}

var inserts = []insert{
	{"POST /chat/sessions", func(s *store) rig.Script {
		return rig.Post("/chat/sessions", s.user.Access, `{"title":"About lighthouses"}`, http.StatusCreated)
	}},
	{"POST /chat, a new session", func(s *store) rig.Script {
		return rig.Post("/chat", s.user.Access, `{"message":"How do I add a provider?"}`, http.StatusOK)
	}},
	{"POST /image/generate, 256x256", func(s *store) rig.Script {
		return rig.Post("/image/generate", s.user.Access, `{"prompt":"a lighthouse above a calm sea","size":"256x256","model":"demo-image"}`, http.StatusCreated)
	}},
}
