package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"llmhist/platform/identity"
	"llmhist/platform/testkit"
)

// forged returns a token signed with our own method, to attack with.
func forged(t testing.TB, header, payload map[string]any, sign func(input string) []byte) string {
	t.Helper()
	encode := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	input := encode(header) + "." + encode(payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign(input))
}

func rs256(t testing.TB, key *rsa.PrivateKey) func(string) []byte {
	return func(input string) []byte {
		signature, err := jwt.SigningMethodRS256.Sign(input, key)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
}

// altered returns a copy of members with one changed, or removed for nil.
func altered(members map[string]any, name string, value any) map[string]any {
	changed := map[string]any{}
	for key, old := range members {
		changed[key] = old
	}
	changed[name] = value
	if value == nil {
		delete(changed, name)
	}
	return changed
}

func partsOf(t testing.TB, token string) (header, payload map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	for i, target := range []*map[string]any{&header, &payload} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, target); err != nil {
			t.Fatal(err)
		}
	}
	return header, payload
}

func TestAccessTokensHoldWhatTheContractSays(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	ann := h.member("ann@example.org")
	header, payload := partsOf(t, ann.access)
	if header["alg"] != "RS256" || header["kid"] != thumbprint(&testKey().PublicKey) {
		t.Errorf("header %v", header)
	}
	began := float64(h.clock.Now().Unix())
	if payload["iss"] != "llmhist" || payload["sub"] != fmt.Sprint(ann.id) || payload["role"] != "user" ||
		payload["iat"] != began || payload["exp"] != began+900 || payload["jti"] == "" || payload["sid"] == "" {
		t.Errorf("payload %v", payload)
	}
	if audience, ok := payload["aud"].([]any); !ok || len(audience) != 1 || audience[0] != "llmhist" {
		t.Errorf("aud %v", payload["aud"])
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	ann, boss := h.member("ann@example.org"), h.admin("boss@example.org")
	header, payload := partsOf(t, ann.access)
	other, err := rsa.GenerateKey(rand.Reader, minKeyBits)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(testKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs256 := func(input string) []byte {
		mac := hmac.New(sha256.New, publicPEM)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
	none := func(string) []byte { return nil }
	ours, theirs := rs256(t, testKey()), rs256(t, other)
	_, bossPayload := partsOf(t, boss.access)
	signature := ann.access[strings.LastIndex(ann.access, ".")+1:]
	headerAndPayload := forged(t, header, altered(payload, "role", "admin"), none)

	h.want(200, "", "GET", "/users/me", forged(t, header, payload, ours), nil) // the tool itself works
	for name, test := range map[string]struct{ code, token string }{
		"alg none":                        {"invalid_token", forged(t, altered(header, "alg", "none"), payload, none)},
		"alg None":                        {"invalid_token", forged(t, altered(header, "alg", "None"), payload, none)},
		"HS256 with the public key":       {"invalid_token", forged(t, altered(header, "alg", "HS256"), payload, hs256)},
		"PS256":                           {"invalid_token", forged(t, altered(header, "alg", "PS256"), payload, ours)},
		"another key":                     {"invalid_token", forged(t, header, payload, theirs)},
		"another key under its own kid":   {"invalid_token", forged(t, altered(header, "kid", thumbprint(&other.PublicKey)), payload, theirs)},
		"no kid":                          {"invalid_token", forged(t, altered(header, "kid", nil), payload, ours)},
		"another issuer":                  {"invalid_token", forged(t, header, altered(payload, "iss", "evil"), ours)},
		"no issuer":                       {"invalid_token", forged(t, header, altered(payload, "iss", nil), ours)},
		"another audience":                {"invalid_token", forged(t, header, altered(payload, "aud", []string{"evil"}), ours)},
		"no audience":                     {"invalid_token", forged(t, header, altered(payload, "aud", nil), ours)},
		"no expiry":                       {"invalid_token", forged(t, header, altered(payload, "exp", nil), ours)},
		"expired":                         {"token_expired", forged(t, header, altered(payload, "exp", h.clock.Now().Add(-2*time.Second).Unix()), ours)},
		"another's session":               {"session_revoked", forged(t, header, altered(payload, "sid", bossPayload["sid"]), ours)},
		"an unknown session":              {"session_revoked", forged(t, header, altered(payload, "sid", "x"), ours)},
		"no session":                      {"invalid_token", forged(t, header, altered(payload, "sid", nil), ours)},
		"no subject":                      {"invalid_token", forged(t, header, altered(payload, "sub", nil), ours)},
		"a subject that is no number":     {"invalid_token", forged(t, header, altered(payload, "sub", "1 OR 1=1"), ours)},
		"a changed payload":               {"invalid_token", headerAndPayload + signature},
		"no signature":                    {"invalid_token", strings.TrimSuffix(ann.access, signature)},
		"more than the limit":             {"invalid_token", forged(t, header, altered(payload, "pad", strings.Repeat("x", maxTokenBytes)), ours)},
		"a refresh token":                 {"invalid_token", ann.refresh},
		"text":                            {"invalid_token", "a.b.c"},
		"a space in the signature":        {"invalid_token", ann.access[:len(ann.access)-5] + " " + ann.access[len(ann.access)-4:]},
		"something behind the signature":  {"invalid_token", ann.access + "=="},
		"a role that the account has not": {"", forged(t, header, altered(payload, "role", "admin"), ours)},
	} {
		t.Run(name, func(t *testing.T) {
			if test.code == "" { // signed by us: the role comes from the account, not from the claim
				h.want(403, "admin_only", "GET", "/admin/users", test.token, nil)
				return
			}
			h.want(401, test.code, "GET", "/users/me", test.token, nil)
		})
	}
}

func TestVerifiedTokensStillExpire(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	ann := h.member("ann@example.org")
	for range 2 { // the second time from the cache
		h.want(200, "", "GET", "/users/me", ann.access, nil)
	}
	h.clock.Advance(15*time.Minute + tokenLeeway - time.Millisecond)
	h.want(200, "", "GET", "/users/me", ann.access, nil)
	h.clock.Advance(time.Millisecond)
	for range 2 { // first known, then forgotten
		h.want(401, "token_expired", "GET", "/users/me", ann.access, nil)
	}
}

// TestAnotherProcessNoticesARevocation has two processes share one database.
func TestAnotherProcessNoticesARevocation(t *testing.T) {
	db := testkit.SQLite(t)
	here := openHouse(t, db)
	there := openHouse(t, db, func(_ *Config, d *Deps) { d.Now = here.clock.Now })
	ann := here.member("ann@example.org")
	key := here.apiKey(ann)
	there.want(200, "", "GET", "/users/me", ann.access, nil)
	there.want(200, "", "GET", "/users/me", key, nil)
	keys, err := here.service.keys.ListKeys(t.Context(), ann.id)
	if err != nil {
		t.Fatal(err)
	}
	here.want(204, "", "DELETE", "/users/me/api-keys/"+keys[0].ID, ann.access, nil)
	here.want(204, "", "POST", "/auth/logout", ann.access, nil)
	here.want(401, "session_revoked", "GET", "/users/me", ann.access, nil)
	here.clock.Advance(freshFor)
	there.want(401, "session_revoked", "GET", "/users/me", ann.access, nil)
	there.want(401, "invalid_token", "GET", "/users/me", key, nil)
}

// Closing an account ends its sessions too, so this is the second lock of that
// door: an account that was closed by other means than this program's.
func TestALiveSessionOfAClosedAccountIsRefused(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	ann := h.member("ann@example.org")
	for _, column := range []string{"disabled_at", "deleting_at"} {
		set := func(value any) {
			t.Helper()
			h.clock.Advance(freshFor)
			if _, err := h.db.Handle().ExecContext(t.Context(), "UPDATE users SET "+column+" = ? WHERE id = ?", value, ann.id); err != nil {
				t.Fatal(err)
			}
		}
		set(h.clock.Now())
		h.want(401, "account_disabled", "GET", "/users/me", ann.access, nil)
		set(nil)
		h.want(200, "", "GET", "/users/me", ann.access, nil)
	}
}

func TestAReadThatBeganBeforeARevocationIsNotKept(t *testing.T) {
	clock := testkit.NewClock()
	cache := newFreshCache[string, int](clock.Now)
	got, err := cache.find("a", func() (int, error) {
		cache.dropKey("a") // revoked while the old state was on its way
		return 1, nil
	})
	if got != 1 || err != nil {
		t.Fatal(got, err)
	}
	if got, _ := cache.find("a", func() (int, error) { return 2, nil }); got != 2 {
		t.Fatal("the old state was kept")
	}
	if got, _ := cache.find("a", func() (int, error) { return 3, nil }); got != 2 {
		t.Fatal("nothing is kept at all")
	}
	clock.Advance(freshFor)
	if got, _ := cache.find("a", func() (int, error) { return 4, nil }); got != 4 {
		t.Fatal("kept for too long")
	}
	clock.Advance(-time.Hour)
	if got, _ := cache.find("a", func() (int, error) { return 5, nil }); got != 5 {
		t.Fatal("kept for an hour when the clock was set back")
	}
}

func TestJWKSVerifiesAccessTokens(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	ann := h.member("ann@example.org")
	answer := h.want(200, "", "GET", "/.well-known/jwks.json", "", nil)
	if answer.Header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("Cache-Control %q", answer.Header.Get("Cache-Control"))
	}
	if strings.Contains(string(answer.Body), `"d"`) {
		t.Fatalf("a private part is shown: %s", answer.Body)
	}
	var set keySet
	if err := json.Unmarshal(answer.Body, &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%v %v", set, err)
	}
	modulus, err := base64.RawURLEncoding.DecodeString(set.Keys[0].Modulus)
	if err != nil {
		t.Fatal(err)
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}
	if set.Keys[0].Exponent != "AQAB" {
		t.Fatalf("got %v", set.Keys[0])
	}
	parsed, err := jwt.Parse(ann.access, func(token *jwt.Token) (any, error) { return public, nil },
		jwt.WithTimeFunc(h.clock.Now), jwt.WithValidMethods([]string{"RS256"}))
	if err != nil || parsed.Header["kid"] != set.Keys[0].KeyID {
		t.Fatal(err)
	}
}

func FuzzAuthenticate(f *testing.F) {
	h := openHouse(f, testkit.SQLite(f))
	ann := h.member("ann@example.org")
	for _, seed := range []string{"", "a.b.c", ann.access, ann.refresh, newAPIKey(), "llmh_", "eyJhbGciOiJub25lIn0.e30.", strings.Repeat(".", 9000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, credential string) {
		id, err := h.service.gate.authenticate(t.Context(), credential)
		if err == nil && (credential != ann.access || id.UserID != ann.id) {
			t.Fatalf("%q is %v", credential, id)
		}
		if err != nil && id != (identity.Identity{}) {
			t.Fatalf("refused and yet %v", id)
		}
	})
}

// BenchmarkAuthenticate is what signing in costs every request: with the token
// known, and with its signature to be checked.
func BenchmarkAuthenticate(b *testing.B) {
	h := openHouse(b, testkit.SQLite(b))
	ann := h.member("ann@example.org")
	authenticate := func(b *testing.B) {
		if _, err := h.service.gate.authenticate(b.Context(), ann.access); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			authenticate(b)
		}
	})
	b.Run("unknown", func(b *testing.B) {
		for b.Loop() {
			h.service.tokens.verified.Purge()
			h.service.gate.forgetUser(ann.id)
			authenticate(b)
		}
	})
}

// BenchmarkLogin is bound by the password hash; BenchmarkRefresh by one durable
// write and one signature.
func BenchmarkLogin(b *testing.B) {
	h := openHouse(b, testkit.SQLite(b))
	h.member("ann@example.org")
	for b.Loop() {
		if _, err := h.service.Login(b.Context(), "ann@example.org", goodPassword); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRefresh(b *testing.B) {
	h := openHouse(b, testkit.SQLite(b))
	token := h.member("ann@example.org").refresh
	for b.Loop() {
		next, err := h.service.Refresh(b.Context(), token)
		if err != nil {
			b.Fatal(err)
		}
		token = next.RefreshToken.Reveal()
	}
}
