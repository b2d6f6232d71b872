// Package rawjson checks JSON that is passed on as bytes, before package gjson
// looks into it: that reads nested values by recursion and without a limit.
package rawjson

import "github.com/tidwall/gjson"

// maxDepth is how deep arrays and objects may be nested. What anybody means to
// send is not a tenth of it.
const maxDepth = 500

// Valid reports whether data is one JSON document that is safe to look into.
func Valid(data []byte) bool { return shallow(data) && gjson.ValidBytes(data) }

// shallow reports whether nothing is nested deeper than maxDepth.
func shallow(data []byte) bool {
	if len(data) <= maxDepth { // too short to be deep
		return true
	}
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return false
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return true
}
