package database

import (
	"errors"
	"strings"
	"testing"

	"llmhist/platform/logging"
)

func TestNoFormOfAMongoURILeavesItsPassword(t *testing.T) {
	for uri, said := range map[string]string{
		"mongodb://me:hidden@a:1/d":            "hidden",
		"mongodb://me:hidden@a:1,b:2/":         "hidden",
		"mongodb+srv://me:hidden@a.example/":   "hidden",
		"mongodb://me:hid%40den@a:1,b:2/":      "hid@den and hid%40den",
		"mongodb://me:hid?den@a/":              "hid?den",
		"mongodb://me:hidden@a/d@b":            "hidden",
		"mongodb://a:1,b:2/?password=hidden&x": "mongodb://a:1,b:2/?password=hidden&x",
	} {
		text := redactMongo(errors.New("refused for "+said+"\nhidden"), logging.Secret(uri))
		if strings.Contains(text, "hid") || !strings.HasPrefix(text, "refused for ***") {
			t.Errorf("%s: %s", uri, text)
		}
	}
}
