package redisclient

import (
	"strings"
	"testing"

	"llmhist/platform/logging"
)

func TestABadAddressNamesItsKeyAndNoPassword(t *testing.T) {
	for _, address := range []string{"redis://:hidden@127.0.0.1:1", "http://:hidden@h", "::"} {
		_, err := Open(t.Context(), logging.Secret(address))
		if err == nil || !strings.Contains(err.Error(), "REDIS_URL") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
