package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"
)

func TestClientsOfOpenAIFindModelsAndUseThem(t *testing.T) {
	s := boot(t)
	token, _ := s.newUser("ada")
	key := s.do("POST", "/users/me/api-keys", token, object{"name": "sdk"}).want(201)["key"].(string)

	models := s.do("GET", "/v1/models", key, nil).want(200)
	ids := map[string]string{}
	for _, entry := range list(models["data"]) {
		if entry["object"] != "model" || entry["owned_by"] == "" {
			t.Errorf("entry %v", entry)
		}
		ids[entry["id"].(string)], _ = entry["service"].(string)
	}
	if models["object"] != "list" || ids["local/canvas"] != "image" || ids["local/guide"] != "chat" {
		t.Errorf("models %v", ids)
	}
	if one := s.do("GET", "/v1/models/local/canvas/", key, nil).want(200); one["id"] != "local/canvas" {
		t.Errorf("one model is %v", one)
	}
	if one := s.do("GET", "/v1/models/local%2Fcanvas", key, nil).want(200); one["id"] != "local/canvas" {
		t.Errorf("one model is %v", one)
	}
	if gone := s.do("GET", "/v1/models/nobody/nothing", key, nil).want(404)["error"].(object); gone["code"] != "model_not_found" {
		t.Errorf("an unknown model is %v", gone)
	}
	s.do("GET", "/v1/models", "", nil).want(200)
	if refused := s.do("GET", "/v1/models", "llmh_wrong", nil).want(401)["error"].(object); refused["code"] != "invalid_token" {
		t.Errorf("a wrong key is %v", refused)
	}

	made := s.do("POST", "/v1/images/generations", key, object{"prompt": "fog", "model": "local/canvas", "size": "64x64"}).want(200)
	picture, err := base64.StdEncoding.DecodeString(list(made["data"])[0]["b64_json"].(string))
	if err != nil || !bytes.HasPrefix(picture, []byte("\x89PNG")) {
		t.Errorf("the picture is %.20q %v", picture, err)
	}
	if usage := s.do("GET", "/analytics/user/me", token, nil).want(200); usage["total_requests"] != 1.0 {
		t.Errorf("counted %v", usage["total_requests"])
	}
}

func TestSeveralPicturesOfOneRequestCostAsMany(t *testing.T) {
	s := boot(t)
	token, id := s.newUser("ada")
	s.do("PATCH", fmt.Sprint("/admin/users/", id), s.admin(), object{"quotas": object{"image_per_day": 3}}).want(200)
	refused := s.do("POST", "/v1/images/generations", token, object{"prompt": "fog", "size": "64x64", "n": 5})
	if refused.want(429); refused.header.Get("X-Should-Retry") != "false" {
		t.Errorf("headers %v", refused.header)
	}
	if total := s.do("GET", "/image", token, nil).want(200)["total"]; total != 3.0 {
		t.Errorf("%v pictures for a quota of 3", total)
	}
}
