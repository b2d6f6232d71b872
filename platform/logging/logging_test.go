package logging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"llmhist/platform/identity"
)

func TestASecretIsNeverSeen(t *testing.T) {
	const value = "sk-very-secret"
	held := struct{ Key Secret }{value}
	data, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	logger, err := New(&out, "debug", "json")
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("configured", "config", held, "key", held.Key)
	for name, text := range map[string]string{
		"json": string(data), "%v": fmt.Sprintf("%v", held), "%+v": fmt.Sprintf("%+v", held),
		"%#v": fmt.Sprintf("%#v", held), "%s": fmt.Sprintf("key %s", held.Key), "%q": fmt.Sprintf("%q", held.Key), "log": out.String(),
	} {
		if strings.Contains(text, value) || !strings.Contains(text, "***") {
			t.Errorf("%s shows %s", name, text)
		}
	}
	if held.Key.Reveal() != value {
		t.Error("Reveal lost the value")
	}
}

func TestALineOfARequestNamesItAndItsUser(t *testing.T) {
	var out bytes.Buffer
	logger, err := New(&out, "info", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx := identity.With(identity.WithRequestID(t.Context(), "req-12345"), identity.Identity{UserID: 7})
	logger.With("a", 1).InfoContext(ctx, "x")
	if line := out.String(); !strings.Contains(line, `"request_id":"req-12345"`) || !strings.Contains(line, `"user_id":7`) {
		t.Fatalf("got %s", line)
	}
}

func TestAnUnknownLevelOrFormatNamesItsKey(t *testing.T) {
	for key, pair := range map[string][2]string{"LOG_LEVEL": {"loud", "json"}, "LOG_FORMAT": {"info", "xml"}} {
		_, err := New(&bytes.Buffer{}, pair[0], pair[1])
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
