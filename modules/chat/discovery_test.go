package chat

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

func TestWhatAServiceListsCanBeAskedOfIt(t *testing.T) {
	var asked atomic.Int64
	var down atomic.Bool
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/models":
			replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"}}]}`)(w, r)
		case down.Load():
			asked.Add(1)
			replay(404, jsonType, `{}`)(w, r)
		default:
			asked.Add(1)
			replay(200, jsonType, `{"data":[{"id":"m-1"},{"id":"m-2"},{"id":"vectors-1"}]}`)(w, r)
		}
	}))
	t.Cleanup(up.Close)
	f := serve(t, Config{Upstreams: []Upstream{{Name: "one", BaseURL: up.URL, DefaultModel: "m-1", Models: []string{"own", "*"}, EmbeddingModels: []string{"vectors-1"}}}})
	provider, _ := f.module.service.catalogue.providers[0].(*openAI)
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	provider.discovery.now = func() time.Time { return now }
	if got := provider.Models(); asked.Load() != 0 || !slices.Equal(got, []string{"m-1", "own"}) {
		t.Fatalf("before anybody asked: %v", got)
	}

	var all sync.WaitGroup // twenty that name a model nobody knows yet ask once
	for range 20 {
		all.Go(func() {
			if answer := f.Do("POST", "/chat", alice, map[string]any{"message": "hello", "model": "m-2"}); answer.Status != 200 {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
		})
	}
	all.Wait()
	if answer := f.Do("POST", "/chat", alice, map[string]any{"message": "hello", "model": "m-9"}); answer.Code() != "unknown_model" || asked.Load() != 1 {
		t.Errorf("%s, asked %d times", answer.Body, asked.Load())
	}

	models := func() (ids []string) {
		for _, m := range f.module.ListModels(t.Context()) {
			ids = append(ids, m.ID)
		}
		return ids
	}
	if want := []string{"m-1", "own", "m-2"}; !slices.Equal(models(), want) || asked.Load() != 1 {
		t.Errorf("%v, asked %d times", models(), asked.Load())
	}
	down.Store(true)
	now = now.Add(discoveryFresh + time.Second)
	for range 2 {
		if want := []string{"m-1", "own", "m-2"}; !slices.Equal(models(), want) || asked.Load() != 2 {
			t.Errorf("while it is down: %v, asked %d times", models(), asked.Load())
		}
	}
}

func TestWhatAServiceListsIsNoReasonToAnswerWithAnother(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := `{"choices":[{"message":{"content":"Hi!"}}]}`
		switch r.URL.Path {
		case "/models":
			body = `{"data":[{"id":"m-2"},{"id":"best"},{"id":"vectors-2"}]}`
		case "/embeddings":
			body = `{"data":[]}`
		}
		replay(200, jsonType, body)(w, r)
	}))
	t.Cleanup(up.Close)
	config := Config{Upstreams: []Upstream{{Name: "one", BaseURL: up.URL, DefaultModel: "m-1", Models: []string{"*"}}}, Aliases: []Alias{{Name: "best", Models: []string{"m-1"}}}}
	f := serve(t, config)
	session := f.say(t, alice, map[string]any{"message": "hello", "model": "m-2"})["session_id"]

	again, err := New(config, Deps{DB: f.module.service.repository.(gormRepository).db, Logger: testkit.Logger(), Now: f.clock.Now, NewID: uid.New})
	must(t, err)
	t.Cleanup(again.Close)
	next := &fixture{Server: testkit.Serve(t, again.Mount), module: again, clock: f.clock}
	if answer := next.say(t, alice, map[string]any{"message": "hello", "session_id": session}); answer["model"] != "m-2" {
		t.Errorf("after a start %v answers", answer["model"])
	}
	if answer := next.say(t, alice, map[string]any{"message": "hello", "model": "best"}); answer["model"] != "m-1" {
		t.Errorf("the alias is answered by %v", answer["model"])
	}
	third := serve(t, config)
	if answer := third.Do("POST", embeddings, alice, `{"model":"vectors-2","input":"x"}`); answer.Status != 200 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}
