package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheYardstickAnswersAsTheServerDoes(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"one \"}}]}\n\ndata: {\"choices\":[]}\n\n"+
			"data: {\"choices\":[{\"delta\":{\"content\":\"two\"}}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(upstream.Close)
	h, err := newHandler(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	token, err := h.sign()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, method, path, token, body string
		status                          int
		want                            string
	}{
		{"health", http.MethodGet, "/healthz", "", "", 200, `"ok"`},
		{"a login with the password", http.MethodPost, "/auth/login", "", `{"password":"` + password + `"}`, 200, "accessToken"},
		{"a login with another", http.MethodPost, "/auth/login", "", `{"password":"x"}`, 401, ""},
		{"a good token", http.MethodGet, "/users/me", token, "", 200, `"id":"1"`},
		{"a changed token", http.MethodGet, "/users/me", token[:len(token)-8] + "AAAAAAAA", "", 401, ""},
		{"chat without a token", http.MethodPost, "/chat", "", `{"message":"x"}`, 401, ""},
		{"a stream", http.MethodPost, "/chat", token, `{"message":"x","stream":true}`, 200,
			"event: delta\ndata: {\"content\":\"one \"}\n\nevent: delta\ndata: {\"content\":\"two\"}\n\nevent: done\ndata: {\"content\":\"one two\""},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := httptest.NewRequest(test.method, test.path, strings.NewReader(test.body))
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Authorization", "Bearer "+test.token)
			recorder := httptest.NewRecorder()
			h.routes().ServeHTTP(recorder, request)
			if recorder.Code != test.status || !strings.Contains(recorder.Body.String(), test.want) {
				t.Errorf("status %d: %s", recorder.Code, recorder.Body)
			}
		})
	}
}
