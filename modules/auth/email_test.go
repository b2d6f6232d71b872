package auth

import (
	"strings"
	"testing"
)

func TestCanonicalEmail(t *testing.T) {
	local := strings.Repeat("x", 64)
	for text, want := range map[string]string{
		"Ann@Example.ORG":                 "ann@example.org",
		" \tann@example.org\r\n":          "ann@example.org",
		"ÄNN@ÖRTLICH.example":             "änn@örtlich.example",
		"e\u0301mile@example.org":         "émile@example.org", // decomposed and composed are one address
		"a.b+tag@example.org":             "a.b+tag@example.org",
		"o'neil@example.org":              "o'neil@example.org",
		"root@localhost":                  "root@localhost",
		local + "@example.org":            local + "@example.org",
		"":                                "",
		"ann":                             "",
		"ann@":                            "",
		"@example.org":                    "",
		"a@b@c":                           "",
		"Ann <ann@example.org>":           "",
		"<ann@example.org>":               "",
		"ann@example.org (Ann)":           "",
		`"a b"@example.org`:               "",
		"a@example.org,b@example.org":     "",
		"a b@example.org":                 "",
		"ann@exam\u200bple.org":           "",
		"ann\u0000@example.org":           "",
		"ann@example.org\nBcc: b@c.org":   "",
		"ann@\xff.org":                    "",
		strings.Repeat("x", 250) + "@a.b": strings.Repeat("x", 250) + "@a.b",
		strings.Repeat("x", 251) + "@a.b": "",
	} {
		got, ok := canonicalEmail(text)
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q %v, want %q", text, got, ok, want)
		}
	}
}

func FuzzCanonicalEmail(f *testing.F) {
	for _, seed := range []string{"Ann@Example.org", "ÄÖ@ß.de", `"a"@b`, "a@[127.0.0.1]", "İ@x.y", "a@b (c)", "e\u0301@x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		email, ok := canonicalEmail(text)
		if !ok {
			if email != "" {
				t.Fatalf("refused and yet %q", email)
			}
			return
		}
		if len(email) > maxEmailBytes || !visible(email) {
			t.Fatalf("%q", email)
		}
		if again, ok := canonicalEmail(email); !ok || again != email {
			t.Fatalf("%q becomes %q (%v): two spellings of one address", email, again, ok)
		}
	})
}

func FuzzRefreshToken(f *testing.F) {
	token := newRefreshToken()
	for _, seed := range []string{"", token.whole, token.family, "llmr_", strings.ToUpper(token.whole)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, ok := parseRefreshToken(text)
		if ok && (parsed.whole != text || !strings.HasPrefix(text, parsed.family) || len(parsed.family) != familyLength) {
			t.Fatalf("%q: %v", text, parsed)
		}
	})
}

func TestSecretsAreLongAndDifferent(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		token, key := newRefreshToken(), newAPIKey()
		next := nextRefreshToken(token.family)
		if _, ok := parseRefreshToken(token.whole); !ok || !looksLikeAPIKey(key) || next.family != token.family {
			t.Fatalf("%q %q", token.whole, key)
		}
		seen[token.whole], seen[next.whole], seen[key] = true, true, true
	}
	if len(seen) != 3000 {
		t.Fatalf("%d of 3000 differ", len(seen))
	}
}
