package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

type nested struct {
	Depth int `json:"depth"`
}

type everything struct {
	ID     string   `path:"id" json:"-"`
	Number *int     `query:"number" json:"-"`
	Text   string   `json:"text"`
	Count  int      `json:"count,omitempty"`
	Ratio  *float64 `json:"ratio,omitempty"`
	Yes    bool     `json:"yes,omitempty"`
	Nested nested   `json:"nested,omitempty"`
	List   []string `json:"list,omitempty"`
}

type seen struct {
	Text string `json:"text"`
	ID   string `json:"id"`
}

func mountEverything(router *web.Router) {
	router.Add(web.Route{Method: http.MethodPost, Path: "/things/:id", Tag: "Test", MaxBody: 1000,
		Handler: web.JSON(http.StatusCreated, func(_ context.Context, in everything) (seen, error) {
			return seen{Text: in.Text, ID: in.ID}, nil
		})})
}

func TestRequestsAreReadStrictly(t *testing.T) {
	server := testkit.Serve(t, mountEverything)
	for name, test := range map[string]struct {
		body   string
		status int
		fields []fault.Field
	}{
		"a good request":        {`{"text":"a","count":1,"ratio":0.5,"yes":true,"nested":{"depth":2},"list":["x"]}`, 201, nil},
		"null means absent":     {`{"text":"a","ratio":null}`, 201, nil},
		"unknown field":         {`{"text":"a","txet":"b"}`, 422, []fault.Field{{Field: "txet", Code: "unknown_field", Message: "is not a field of this request; it takes count, list, nested, ratio, text, yes"}}},
		"unknown nested field":  {`{"text":"a","nested":{"deep":1}}`, 422, []fault.Field{{Field: "nested", Code: "invalid", Message: "is not acceptable: expected an object"}}},
		"names keep their case": {`{"Text":"a"}`, 422, []fault.Field{{Field: "Text", Code: "unknown_field", Message: "is not a field of this request; it takes count, list, nested, ratio, text, yes"}}},
		"wrong type":            {`{"text":1}`, 422, []fault.Field{{Field: "text", Code: "wrong_type", Message: "must be a string, not number"}}},
		"fraction for integer":  {`{"text":"a","count":1.5}`, 422, []fault.Field{{Field: "count", Code: "wrong_type", Message: "must be a whole number, not number 1.5"}}},
		"wrong nested type":     {`{"text":"a","nested":{"depth":"x"}}`, 422, []fault.Field{{Field: "nested.depth", Code: "wrong_type", Message: "must be a whole number, not string"}}},
		"a NUL character":       {`{"text":"a\u0000"}`, 422, []fault.Field{{Field: "text", Code: "invalid_character", Message: "must not contain the character U+0000"}}},
		"empty":                 {``, 400, nil},
		"cut off":               {`{"text":`, 400, nil},
		"trailing data":         {`{"text":"a"}{}`, 400, nil},
		"an array":              {`["text"]`, 400, nil},
		"null":                  {`null`, 400, nil},
		"not UTF-8":             {"{\"text\":\"\xff\"}", 400, nil},
		"too large":             {`{"text":"` + strings.Repeat("a", 1000) + `"}`, 413, nil},
	} {
		t.Run(name, func(t *testing.T) {
			answer := server.Do("POST", "/things/7", testkit.Nobody, test.body+" ")
			if answer.Status != test.status {
				t.Fatalf("status %d: %s", answer.Status, answer.Body)
			}
			if test.status == 201 {
				return
			}
			var problem web.Problem
			if err := json.Unmarshal(answer.Body, &problem); err != nil {
				t.Fatal(err)
			}
			if problem.Status != test.status || problem.Code == "" || problem.Instance != "/things/7" || problem.RequestID != answer.Header.Get(web.RequestIDHeader) {
				t.Errorf("problem %+v", problem)
			}
			if diff := cmp.Diff(test.fields, problem.Errors); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheWrongContentTypeIs415(t *testing.T) {
	server := testkit.Serve(t, mountEverything)
	for contentType, want := range map[string]int{
		"application/json": 201, "application/json; charset=utf-8": 201, "Application/JSON": 201,
		"text/plain": 415, "": 415, "application/x-www-form-urlencoded": 415, "application/problem+json": 415,
	} {
		request, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/things/7", strings.NewReader(`{"text":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", contentType)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%q: %d", contentType, response.StatusCode)
		}
	}
}

func TestQueryValuesAreChecked(t *testing.T) {
	server := testkit.Serve(t, mountEverything)
	if answer := server.Do("POST", "/things/7?number=x", testkit.Nobody, `{"text":"a"}`); answer.Status != 422 || !strings.Contains(string(answer.Body), `"number"`) {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if answer := server.Do("POST", "/things/7?number=3&other=1", testkit.Nobody, `{"text":"a"}`); answer.Status != 201 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}

func TestTheNameOfARouteIsNoIDOfAnother(t *testing.T) {
	none := web.NoContent(func(context.Context, nothing) error { return nil })
	server := testkit.Serve(t, func(router *web.Router) {
		router.Add(
			web.Route{Method: http.MethodPost, Path: "/things/make", Tag: "Test", Handler: none},
			web.Route{Method: http.MethodGet, Path: "/things/:id", Tag: "Test", Handler: none},
		)
	})
	if answer := server.Do("GET", "/things/make", testkit.Nobody, nil); answer.Status != 405 || answer.Header.Get("Allow") != "POST" {
		t.Errorf("the name with another method is %d %v", answer.Status, answer.Header)
	}
	if answer := server.Do("GET", "/things/other", testkit.Nobody, nil); answer.Status != 204 {
		t.Errorf("an id is %d", answer.Status)
	}
}

func TestWrongAddressAndMethodAreProblems(t *testing.T) {
	server := testkit.Serve(t, mountEverything)
	missing := server.Do("GET", "/nowhere", testkit.Nobody, nil)
	if missing.Status != 404 || missing.Code() != "not_found" || missing.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("404 is %d %s", missing.Status, missing.Body)
	}
	wrong := server.Do("GET", "/things/7", testkit.Nobody, nil)
	if wrong.Status != 405 || wrong.Code() != "method_not_allowed" || !strings.Contains(wrong.Header.Get("Allow"), "POST") {
		t.Errorf("405 is %d %v %s", wrong.Status, wrong.Header, wrong.Body)
	}
	openAI := server.Do("GET", "/v1/nowhere", testkit.Nobody, nil)
	shape, _ := openAI.JSON(t)["error"].(map[string]any)
	if openAI.Status != 404 || shape["code"] != "not_found" || openAI.Header.Get("Content-Type") != "application/json" {
		t.Errorf("under /v1 it is %d %s", openAI.Status, openAI.Body)
	}
}

func FuzzReadingNeverPanics(f *testing.F) {
	for _, seed := range []string{`{"text":"a"}`, `{"nested":{"depth":1}}`, `[`, `{"text":{}}`, `{"list":[1]}`, "\x00", `{"text":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	e := echo.New()
	e.HTTPErrorHandler = web.ErrorHandler(testkit.Logger())
	mountEverything(web.NewRouter(e))
	f.Fuzz(func(t *testing.T, body []byte) {
		request := httptest.NewRequest("POST", "/things/7", strings.NewReader(string(body)))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		e.ServeHTTP(recorder, request)
		if status := recorder.Code; status != 201 && status != 400 && status != 422 {
			t.Fatalf("status %d: %s", status, recorder.Body)
		}
		if !json.Valid(recorder.Body.Bytes()) {
			t.Fatalf("not JSON: %s", recorder.Body)
		}
	})
}
