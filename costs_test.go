package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	stdimage "image"
	"image/png"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"llmhist/config"
	"llmhist/modules/image"
	"llmhist/modules/speech"
	"llmhist/platform/audio"
	"llmhist/platform/outbound"
)

func TestPicturesAndSpeechOfAnAliasCostWhatTheProviderThatAnsweredDoes(t *testing.T) {
	var picture bytes.Buffer
	if err := png.Encode(&picture, stdimage.NewNRGBA(stdimage.Rect(0, 0, 64, 64))); err != nil {
		t.Fatal(err)
	}
	sound, err := audio.EncodeWAV(make([]byte, 16000), 16000, 1)
	if err != nil {
		t.Fatal(err)
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/down/"):
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasSuffix(r.URL.Path, "/images/generations"):
			fmt.Fprintf(w, `{"data":[{"b64_json":%q}]}`, base64.StdEncoding.EncodeToString(picture.Bytes()))
		default:
			_, _ = w.Write(sound)
		}
	}))
	defer up.Close()
	headers := outbound.Headers{"x-team": "sk-header"}
	s := boot(t, func(c *config.Config) {
		c.Image.Upstreams = []image.Upstream{
			{Name: "down", BaseURL: up.URL + "/down", DefaultModel: "p", Prices: []image.Price{{Model: "p", Image: 9}}, Headers: headers},
			{Name: "up", BaseURL: up.URL + "/up", DefaultModel: "p", Prices: []image.Price{{Model: "p", Image: 0.04}}, Headers: headers},
		}
		c.Image.Aliases = []image.Alias{{Name: "picture", Models: []string{"down/p", "up/p"}}}
		c.Speech.Upstreams = []speech.Upstream{
			{Name: "down", BaseURL: up.URL + "/down", DefaultModel: "v", Prices: []speech.Price{{Characters: 9}}, Headers: headers},
			{Name: "up", BaseURL: up.URL + "/up", DefaultModel: "v", Prices: []speech.Price{{Characters: 20000}}, Headers: headers},
		}
		c.Speech.Aliases = []speech.Alias{{Name: "voice", Models: []string{"down/v", "up/v"}}}
	})
	token, _ := s.newUser("ada")
	s.do("POST", "/image/generate", token, object{"prompt": "x", "size": "64x64", "model": "picture"}).want(201)
	s.do("POST", "/image/generate", token, object{"prompt": "x", "size": "64x64", "model": "down/p"}).want(502)
	s.do("POST", "/speech/generate", token, object{"text": "hello", "model": "voice", "format": "wav"}).want(201)
	s.do("POST", "/speech/generate", token, object{"text": "hello", "model": "down/v"}).want(502)
	services := s.do("GET", "/analytics/user/me", token, nil).want(200)["services"].(object)
	for service, want := range map[string]float64{"image": 0.04, "speech": 0.1} {
		used := services[service].(object)
		if cost := used["cost_usd"].(float64); math.Abs(cost-want) > 1e-9 || used["requests"] != 2.0 {
			t.Errorf("%s: %v, want %v", service, used, want)
		}
	}
	listed := map[any]any{}
	for _, model := range list(s.do("GET", "/v1/models", token, nil).want(200)["data"]) {
		listed[model["id"]] = model["service"]
	}
	if listed["picture"] != "image" || listed["voice"] != "speech" {
		t.Errorf("listed %v", listed)
	}
	s.stop()
	if strings.Contains(s.log.String(), "sk-header") {
		t.Error("the log holds the value of a header")
	}
}
