package chat

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a client may send, in characters (Unicode code points) after
// surrounding white space is removed.
const (
	maxMessageRunes = 32_000
	maxSystemRunes  = 32_000
	maxTitleRunes   = 200
	// derivedTitleRunes is how much of the first message becomes the title.
	derivedTitleRunes = 60
)

// session is one conversation of one user.
type session struct {
	ID     string
	UserID int64
	Title  string // "" until the first message or the user names it
	System string // the instruction kept in front of every exchange; "" = none
	// Model is the model the user chose for the session; "" = whichever the
	// configured order of providers gives.
	Model string
	// LastModel is the model of the newest answer; "" before the first.
	LastModel    string
	MessageCount int64
	Tokens       tokens // the sum over the session's messages
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// deriveTitle makes a title of the first message: one line of at most
// derivedTitleRunes characters, cut between words where one is near.
func deriveTitle(message string) string {
	line := oneLine(message)
	if utf8.RuneCountInString(line) <= derivedTitleRunes {
		return line
	}
	cut := string([]rune(line)[:derivedTitleRunes-1])
	if space := strings.LastIndexByte(cut, ' '); space > len(cut)/2 {
		cut = cut[:space]
	}
	return strings.TrimRight(cut, " ,;:.-") + "…"
}

// oneLine returns text with every run of white space and control characters
// replaced by one space, and none around it.
func oneLine(text string) string {
	apart := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	return strings.Join(strings.FieldsFunc(text, apart), " ")
}
