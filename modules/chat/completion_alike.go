package chat

import (
	"bytes"

	"github.com/tidwall/gjson"
)

// alike knows again those chunks of one stream that differ from one before in
// nothing but their text, as almost all of a long answer do. They need not be read
// as JSON once more. The zero value knows none.
type alike struct {
	before, after []byte // what stands around the text, its quotation marks included
	tried         int
}

// maxAlike bounds how often a stream whose chunks differ in something else is
// looked at.
const maxAlike = 8

// text returns the text of a chunk that is like the one learned. A text with
// escapes in it is not known again.
func (a *alike) text(chunk []byte) (text []byte, known bool) {
	if a.before == nil || len(chunk) < len(a.before)+len(a.after) || !bytes.HasPrefix(chunk, a.before) || !bytes.HasSuffix(chunk, a.after) {
		return nil, false
	}
	if text = chunk[len(a.before) : len(chunk)-len(a.after)]; !plain(text) {
		return nil, false
	}
	return text, true
}

// plain reports whether text stands in a JSON string as it is.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// maxAlikeChunk bounds what is remembered of a chunk.
const maxAlikeChunk = 4 << 10

// learn looks at a chunk that was read, whose choices are these and which has
// neither tokens nor an error in it. It is remembered when it says nothing but a
// piece of the first choice's text.
func (a *alike) learn(chunk []byte, choices gjson.Result) {
	if a.tried == maxAlike {
		return
	}
	a.tried++
	said, only := onlyText(choices)
	if !only || len(chunk) > maxAlikeChunk || bytes.IndexByte(chunk, '\n') >= 0 {
		return
	}
	quoted := []byte(`"` + said.Str + `"`)
	if said.Str == "" || said.Raw != string(quoted) || bytes.Index(chunk, quoted) != bytes.LastIndex(chunk, quoted) { // which of them is it?
		return
	}
	at := bytes.Index(chunk, quoted) + 1
	a.before, a.after = bytes.Clone(chunk[:at]), bytes.Clone(chunk[at+len(said.Str):])
}

// onlyText returns the text of the one choice, the first, when that says nothing
// else.
func onlyText(choices gjson.Result) (said gjson.Result, only bool) {
	count := 0
	var choice gjson.Result
	choices.ForEach(func(_, value gjson.Result) bool {
		choice = value
		count++
		return true
	})
	if !choices.IsArray() || count != 1 || !choice.IsObject() {
		return said, false
	}
	deltas, texts, only := 0, 0, true
	choice.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "index":
			only = only && value.Type == gjson.Number && value.Int() == 0
		case "delta":
			deltas++
			value.ForEach(func(key, value gjson.Result) bool {
				switch {
				case key.Str == "content":
					said = value
					texts++
				case key.Str == "role", value.Type == gjson.Null:
				default:
					only = false
				}
				return only
			})
		case "finish_reason":
			only = only && value.Type == gjson.Null
		}
		return only
	})
	return said, only && deltas == 1 && texts == 1 && said.Type == gjson.String
}
