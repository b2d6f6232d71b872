package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

const (
	refreshPrefix = "llmr_"
	keyPrefix     = "llmh_"

	secretBytes = 32 // 256 bits of a random secret
	familyBytes = 16 // 128 bits that name a session's line of tokens

	keyLength      = len(keyPrefix) + 43     // 43 = base64url of 32 bytes
	familyLength   = len(refreshPrefix) + 22 // 22 = base64url of 16 bytes
	refreshLength  = familyLength + 43
	keyShownPrefix = len(keyPrefix) + 6
)

// refreshToken is an opaque refresh token: a family that stays the same through
// all rotations of one session, and a secret that every rotation replaces. A
// token of a known family with another secret than the current one is therefore
// a spent one, however old, without any list of spent tokens.
type refreshToken struct{ family, whole string }

func newRefreshToken() refreshToken { return nextRefreshToken(refreshPrefix + randomText(familyBytes)) }

// nextRefreshToken makes the successor of a token within its family.
func nextRefreshToken(family string) refreshToken {
	return refreshToken{family: family, whole: family + randomText(secretBytes)}
}

// parseRefreshToken reports false for a text that cannot be a refresh token.
func parseRefreshToken(text string) (refreshToken, bool) {
	if len(text) != refreshLength || !strings.HasPrefix(text, refreshPrefix) || !isBase64URL(text[len(refreshPrefix):]) {
		return refreshToken{}, false
	}
	return refreshToken{family: text[:familyLength], whole: text}, true
}

func newAPIKey() string { return keyPrefix + randomText(secretBytes) }

// looksLikeAPIKey reports whether text has the form of an API key.
func looksLikeAPIKey(text string) bool {
	return len(text) == keyLength && strings.HasPrefix(text, keyPrefix) && isBase64URL(text[len(keyPrefix):])
}

func isBase64URL(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func randomText(bytes int) string {
	buffer := make([]byte, bytes)
	_, _ = rand.Read(buffer) // never fails: crypto/rand aborts the process instead
	return base64.RawURLEncoding.EncodeToString(buffer)
}

// hashOf returns the SHA-256 of a random secret in hex. Secrets of 128 random
// bits and more need no slow hash: there is nothing to guess.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
