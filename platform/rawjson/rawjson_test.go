package rawjson_test

import (
	"strings"
	"testing"

	"llmhist/platform/rawjson"
)

func TestOnlyWhatIsSafeToLookIntoIsValid(t *testing.T) {
	nested := func(depth int) string { return strings.Repeat(`[{"a":`, depth/2) + "1" + strings.Repeat("}]", depth/2) }
	for text, want := range map[string]bool{
		`{"a":[1,"b",null,true,{}]}`:                   true,
		`"` + strings.Repeat("[", 1000) + `"`:          true,
		`"\"` + strings.Repeat("[", 1000) + `"`:        true,
		`["\\",` + strings.Repeat(`"[",`, 1000) + `1]`: true,
		nested(500):                 true,
		nested(502):                 false,
		strings.Repeat("[", 10<<20): false,
		`["\\"` + strings.Repeat(",[", 1000) + strings.Repeat("]", 1001): false,
		`{"a":`: false,
		``:      false,
		`{} {}`: false,
	} {
		if got := rawjson.Valid([]byte(text)); got != want {
			t.Errorf("%.40q… is %t", text, got)
		}
	}
}
