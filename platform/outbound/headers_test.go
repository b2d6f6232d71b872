package outbound

import (
	"net/http"
	"strings"
	"testing"
)

func TestHeadersThatCannotBeSentAreNamedWithoutTheirValue(t *testing.T) {
	for name, c := range map[string]struct {
		headers Headers
		wrong   bool
	}{
		"usual ones":             {Headers{"X-Team": "a", "api-key": "SECRET", "x-note": "grüß\tgott"}, false},
		"no name":                {Headers{"": "SECRET"}, true},
		"a name with a space":    {Headers{"X Team": "SECRET"}, true},
		"a name with a colon":    {Headers{"X-Team:": "SECRET"}, true},
		"a value of two lines":   {Headers{"X-Team": "SECRET\r\nX-Other: 1"}, true},
		"one of the connection":  {Headers{"host": "SECRET"}, true},
		"the length of the body": {Headers{"content-length": "1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.headers.Check()
			if (err != nil) != c.wrong || err != nil && strings.Contains(err.Error(), "SECRET") {
				t.Error(err)
			}
		})
	}
}

func TestHeadersTakeThePlaceOfWhatIsThere(t *testing.T) {
	header := http.Header{"Authorization": {"Bearer a"}, "Accept": {"application/json"}}
	Headers{"authorization": "Custom b", "X-Team": "c"}.Set(header)
	if len(header) != 3 || header.Get("Authorization") != "Custom b" || header.Get("X-Team") != "c" {
		t.Error(header)
	}
}
