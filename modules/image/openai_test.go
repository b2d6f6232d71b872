package image

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image/png"
	"testing"

	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

func TestOpenAIRequestsMakePicturesInTheSameHistory(t *testing.T) {
	f := start(t, Config{})
	answer := f.do("POST", "/v1/images/generations", testkit.User(1), map[string]any{
		"prompt": "a red fox", "model": "local/canvas", "n": 2, "size": "128x64", "seed": 7, "quality": "high", "user": "somebody",
		"background": "auto", "style": "vivid", "moderation": nil,
	})
	if answer.Status != 200 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	body := answer.JSON(t)
	data, _ := body["data"].([]any)
	if len(data) != 2 || body["size"] != "128x64" || body["output_format"] != "png" {
		t.Fatalf("%s", answer.Body)
	}
	for i, one := range data {
		entry, _ := one.(map[string]any)
		text, _ := entry["b64_json"].(string)
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || entry["url"] != nil {
			t.Fatalf("picture %d: %v, url %v", i, err, entry["url"])
		}
		decoded, err := png.DecodeConfig(bytes.NewReader(raw))
		if err != nil || decoded.Width != 128 || decoded.Height != 64 {
			t.Errorf("picture %d is %v %v", i, decoded, err)
		}
		kept := f.do("GET", "/image/"+fmt.Sprint(entry["id"]), testkit.User(1), nil).JSON(t)
		metadata, _ := kept["metadata"].(map[string]any)
		if kept["status"] != "completed" || metadata["seed"] != float64(7+i) {
			t.Errorf("picture %d is kept as %v", i, kept)
		}
		if other := f.do("GET", "/image/"+fmt.Sprint(entry["id"]), testkit.User(2), nil); other.Status != 404 {
			t.Errorf("another user sees picture %d: %d", i, other.Status)
		}
	}
}

func TestOpenAIRequestsGetLinksWhereTheyAskForThem(t *testing.T) {
	f := start(t, Config{})
	answer := f.do("POST", "/v1/images/generations", testkit.Nobody, map[string]any{"prompt": "fog", "size": "64x64", "response_format": "url"})
	data, _ := answer.JSON(t)["data"].([]any)
	if len(data) != 1 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	entry, _ := data[0].(map[string]any)
	if link, _ := entry["url"].(string); len(link) == 0 || entry["b64_json"] != nil {
		t.Errorf("%v", entry)
	}
}

func TestOpenAIRequestsAreRefusedInItsTerms(t *testing.T) {
	f := start(t, Config{})
	for name, test := range map[string]struct {
		body        map[string]any
		status      int
		code, param string
	}{
		"an unknown model": {map[string]any{"prompt": "a", "model": "dall-e-9"}, 404, "model_not_found", "model"},
		"no prompt":        {map[string]any{"model": "local/canvas"}, 400, "validation_failed", "prompt"},
		"too many":         {map[string]any{"prompt": "a", "n": 11}, 400, "validation_failed", "n"},
		"none":             {map[string]any{"prompt": "a", "n": 0}, 400, "validation_failed", "n"},
		"a bad size":       {map[string]any{"prompt": "a", "size": "large"}, 400, "validation_failed", "size"},
		"a stream":         {map[string]any{"prompt": "a", "stream": true}, 400, "validation_failed", "stream"},
		"another format":   {map[string]any{"prompt": "a", "output_format": "webp"}, 400, "validation_failed", "output_format"},
		"another answer":   {map[string]any{"prompt": "a", "response_format": "bytes"}, 400, "validation_failed", "response_format"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := f.do("POST", "/v1/images/generations", testkit.User(1), test.body)
			problem, _ := answer.JSON(t)["error"].(map[string]any)
			if answer.Status != test.status || problem["code"] != test.code || problem["param"] != test.param {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
		})
	}
	if keys := f.objects("requests/"); len(keys) != 0 {
		t.Errorf("a refused request left %v", keys)
	}
}

func TestFurtherPicturesOfOneRequestAreCounted(t *testing.T) {
	f := start(t, Config{})
	left := 1
	f.module.service.chargeMore = func(context.Context) error {
		if left--; left < 0 {
			return fault.New(fault.RateLimited, "quota_exceeded", "No more today.")
		}
		return nil
	}
	answer := f.do("POST", "/v1/images/generations", testkit.User(1), map[string]any{"prompt": "fog", "size": "64x64", "n": 4})
	if answer.Status != 429 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	kept := f.do("GET", "/image", testkit.User(1), nil).JSON(t)
	if kept["total"] != 2.0 {
		t.Errorf("%v pictures are kept, 2 were paid", kept["total"])
	}
}
