package speech

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// gttsCall is the name of the remote procedure that speaks.
const gttsCall = "jQ1olc"

// What a reply of the gTTS protocol can be besides sound; compare with errors.Is.
var (
	// errGTTSRefused says that the service will not speak this input: language
	// unknown, text too long or empty.
	errGTTSRefused = errors.New("gtts: input refused")
	// errGTTSPage says that a page for people came: consent, captcha, block.
	errGTTSPage = errors.New("gtts: a web page instead of a reply")
	// errGTTSReply says that the reply is not understood, or reports a failed call.
	errGTTSReply = errors.New("gtts: reply not understood")
)

// readGTTSReply returns the MP3 data in a reply: frames of JSON, each after a
// line with its length, all after an anti-JSON prefix. The lengths count
// characters or bytes depending on the age of the server, so they are skipped
// and the JSON itself tells where a frame ends.
func readGTTSReply(reply []byte) ([]byte, error) {
	start := frameStart(reply)
	if start < 0 {
		if bytes.HasPrefix(bytes.TrimSpace(reply), []byte("<")) {
			return nil, errGTTSPage
		}
		return nil, fmt.Errorf("%w: no frame in it", errGTTSReply)
	}
	decoder := json.NewDecoder(bytes.NewReader(reply[start:]))
	for {
		var frame json.RawMessage
		if err := decoder.Decode(&frame); err != nil {
			return nil, fmt.Errorf("%w: no sound before its end", errGTTSReply)
		}
		var entries []json.RawMessage
		if json.Unmarshal(frame, &entries) != nil {
			continue // a length
		}
		sound, found, err := soundInFrame(entries)
		if found || err != nil {
			return sound, err
		}
	}
}

// frameStart returns where the first line that begins with a bracket is.
func frameStart(reply []byte) int {
	if bytes.HasPrefix(reply, []byte("[")) {
		return 0
	}
	at := bytes.Index(reply, []byte("\n["))
	if at < 0 {
		return -1
	}
	return at + 1
}

func soundInFrame(entries []json.RawMessage) (sound []byte, found bool, err error) {
	for _, raw := range entries {
		var entry []json.RawMessage
		if json.Unmarshal(raw, &entry) != nil || len(entry) == 0 {
			continue
		}
		switch kind := text(entry[0]); {
		case kind == "er":
			return nil, false, fmt.Errorf("%w: the call was rejected", errGTTSReply)
		case kind == "wrb.fr" && len(entry) > 2 && text(entry[1]) == gttsCall:
			sound, err = soundInEntry(entry[2])
			return sound, true, err
		}
	}
	return nil, false, nil
}

// soundInEntry reads the payload: a string of JSON whose first element is
// base64, or null for a refusal.
func soundInEntry(payload json.RawMessage) ([]byte, error) {
	if string(payload) == "null" {
		return nil, errGTTSRefused
	}
	var inner []json.RawMessage
	if json.Unmarshal([]byte(text(payload)), &inner) != nil || len(inner) == 0 {
		return nil, fmt.Errorf("%w: payload", errGTTSReply)
	}
	sound, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text(inner[0]), "="))
	if err != nil || len(sound) == 0 {
		return nil, fmt.Errorf("%w: no base64 in the payload", errGTTSReply)
	}
	return sound, nil
}

// text returns the value of a JSON string, "" for anything else.
func text(raw json.RawMessage) string {
	var value string
	if json.Unmarshal(raw, &value) != nil {
		return ""
	}
	return value
}
