package auth

import (
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/golang-jwt/jwt/v5"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
)

const (
	// maxTokenBytes is the longest access token that is looked at: ours have
	// about 900 bytes.
	maxTokenBytes = 4096
	// tokenLeeway forgives clocks that differ a little between processes.
	tokenLeeway = time.Second
	// verifiedTokens bounds the memory of tokens whose signature was checked.
	verifiedTokens = 8192
)

// claims are the content of an access token (RFC 7519), with the session and
// the role at the time of signing. Authorization uses the current role.
type claims struct {
	jwt.RegisteredClaims
	SessionID string        `json:"sid"`
	Role      identity.Role `json:"role"`
}

// bearer is what a verified access token says.
type bearer struct {
	userID    int64
	sessionID string
	expiresAt time.Time
}

// tokens signs and verifies access tokens.
type tokens struct {
	keys     *signingKeys
	issuer   string
	audience string
	life     time.Duration
	now      func() time.Time
	parser   *jwt.Parser
	verified *lru.Cache[[sha256.Size]byte, bearer]
}

func newTokens(keys *signingKeys, cfg Config, now func() time.Time) (*tokens, error) {
	verified, err := lru.New[[sha256.Size]byte, bearer](verifiedTokens)
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}),
		jwt.WithIssuer(cfg.Issuer), jwt.WithAudience(cfg.Audience), jwt.WithExpirationRequired(),
		jwt.WithLeeway(tokenLeeway), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now),
	)
	return &tokens{
		keys: keys, issuer: cfg.Issuer, audience: cfg.Audience, life: cfg.AccessTokenLife,
		now: now, parser: parser, verified: verified,
	}, nil
}

// sign returns an access token for a session of the user.
func (t *tokens) sign(user User, sessionID, tokenID string) (string, error) {
	now := t.now()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: t.issuer, Audience: jwt.ClaimStrings{t.audience}, Subject: strconv.FormatInt(user.ID, 10), ID: tokenID,
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(t.life)),
		},
		SessionID: sessionID,
		Role:      user.Role,
	})
	token.Header["kid"] = t.keys.kid
	return token.SignedString(t.keys.private)
}

// verify checks form, signature, issuer, audience and expiry. Tokens that
// passed are remembered by their hash until they expire, because checking an
// RSA signature is the most expensive step of an ordinary request.
func (t *tokens) verify(text string) (bearer, error) {
	if len(text) > maxTokenBytes {
		return bearer{}, invalidToken(errors.New("token too long"))
	}
	sum := sha256.Sum256([]byte(text))
	if known, ok := t.verified.Get(sum); ok {
		if t.now().Before(known.expiresAt.Add(tokenLeeway)) {
			return known, nil
		}
		t.verified.Remove(sum)
		return bearer{}, expiredToken(jwt.ErrTokenExpired)
	}
	var c claims
	_, err := t.parser.ParseWithClaims(text, &c, t.publicKey)
	if errors.Is(err, jwt.ErrTokenExpired) {
		return bearer{}, expiredToken(err)
	}
	if err != nil {
		return bearer{}, invalidToken(err)
	}
	userID, err := strconv.ParseInt(c.Subject, 10, 64)
	if err != nil || userID < 1 || c.SessionID == "" {
		return bearer{}, invalidToken(errors.New("token without subject or session"))
	}
	known := bearer{userID: userID, sessionID: c.SessionID, expiresAt: c.ExpiresAt.Time}
	t.verified.Add(sum, known)
	return known, nil
}

func (t *tokens) publicKey(token *jwt.Token) (any, error) {
	kid, _ := token.Header["kid"].(string)
	key, ok := t.keys.public[kid]
	if !ok {
		return (*rsa.PublicKey)(nil), errors.New("unknown key id")
	}
	return key, nil
}

func invalidToken(cause error) error {
	return fault.Wrap(cause, fault.Unauthenticated, "invalid_token",
		"The access token or API key is not valid here. Sign in with POST /auth/login to get a token.")
}

func expiredToken(cause error) error {
	return fault.Wrap(cause, fault.Unauthenticated, "token_expired",
		"The access token has expired. Get a new one with POST /auth/refresh.")
}
