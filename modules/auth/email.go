package auth

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"llmhist/platform/fault"
)

const (
	maxEmailBytes    = 254 // RFC 5321 section 4.5.3.1.3, less the angle brackets
	minPasswordBytes = 8
	maxPasswordBytes = 1024
	maxNameRunes     = 100
)

// canonicalEmail returns the one spelling under which an address is stored and
// looked up: without surrounding space, in Unicode form NFC and in lower case,
// local part included. It reports false for anything but a bare address as in
// RFC 5322 with Unicode letters (RFC 6532): no display name, comment, quoted
// local part or invisible character, at most 254 bytes.
func canonicalEmail(text string) (string, bool) {
	if len(text) > 4*maxEmailBytes || !utf8.ValidString(text) {
		return "", false
	}
	email := norm.NFC.String(strings.ToLower(norm.NFC.String(strings.TrimSpace(text))))
	if email == "" || len(email) > maxEmailBytes || strings.Contains(email, `"`) || !visible(email) {
		return "", false
	}
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Name != "" || parsed.Address != email {
		return "", false
	}
	return email, true
}

// visible reports whether every character can be seen, so that no two
// addresses look the same and differ in a zero-width character.
func visible(text string) bool {
	for _, r := range text {
		if unicode.IsSpace(r) || !unicode.IsGraphic(r) {
			return false
		}
	}
	return true
}

func checkEmail(fields *fault.Fields, field, text string) string {
	email, ok := canonicalEmail(text)
	fields.Check(ok, field, "invalid", "must be an e-mail address such as me@example.org, of at most 254 bytes")
	return email
}

// checkPassword bounds a new password by bytes. What the user typed is hashed
// as it came, without Unicode normalization.
func checkPassword(fields *fault.Fields, field, password string) {
	fields.Check(len(password) >= minPasswordBytes, field, "too_short", "must have at least 8 bytes")
	fields.Check(len(password) <= maxPasswordBytes, field, "too_long", "must have at most 1024 bytes")
}

// checkName bounds a person's or a key's name and refuses control characters.
func checkName(fields *fault.Fields, field, name string) string {
	name = strings.TrimSpace(name)
	fields.Check(utf8.RuneCountInString(name) <= maxNameRunes, field, "too_long", "must have at most 100 characters")
	fields.Check(!strings.ContainsFunc(name, unicode.IsControl), field, "invalid_character", "must not contain control characters")
	return name
}
