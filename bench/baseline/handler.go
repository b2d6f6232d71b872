package main

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/golang-jwt/jwt/v5"
	"github.com/labstack/echo/v4"
)

// The same cryptography as llmhist: keys of 3072 bits, and argon2id with 19 MiB
// and two passes.
const keyBits = 3072

var hashParams = argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// password is what every login of a measurement uses.
const password = "correct horse battery staple"

type handler struct {
	upstream string
	client   *http.Client
	key      *rsa.PrivateKey
	parser   *jwt.Parser
	hash     string
}

func newHandler(upstream string) (*handler, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, err
	}
	hash, err := argon2id.CreateHash(password, &hashParams)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.MaxIdleConnsPerHost = nil, 256
	return &handler{
		upstream: strings.TrimRight(upstream, "/"),
		client:   &http.Client{Transport: transport, Timeout: time.Minute},
		key:      key,
		parser:   jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}), jwt.WithExpirationRequired()),
		hash:     hash,
	}, nil
}

func (h *handler) routes() http.Handler {
	e := echo.New()
	e.GET("/healthz", h.healthz)
	e.POST("/auth/login", h.login)
	e.POST("/auth/refresh", h.refresh)
	e.GET("/users/me", h.me)
	e.POST("/chat", h.chat)
	e.POST("/v1/chat/completions", h.proxy)
	return e
}

func (h *handler) healthz(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// login verifies a password and signs a token, which is what a login cannot do
// without.
func (h *handler) login(c echo.Context) error {
	var in struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	if err := c.Bind(&in); err != nil {
		return err
	}
	match, err := argon2id.ComparePasswordAndHash(in.Password, h.hash)
	if err != nil {
		return err
	}
	if !match {
		return echo.ErrUnauthorized
	}
	return h.refresh(c)
}

// refresh signs a token.
func (h *handler) refresh(c echo.Context) error {
	token, err := h.sign()
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"accessToken": token, "expiresIn": 900})
}

func (h *handler) me(c echo.Context) error {
	subject, err := h.check(c.Request())
	if err != nil {
		return echo.ErrUnauthorized
	}
	return c.JSON(http.StatusOK, map[string]string{"id": subject, "email": "user@example.org", "role": "user"})
}

func (h *handler) sign() (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer: "baseline", Subject: "1", IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
	}).SignedString(h.key)
}

func (h *handler) check(r *http.Request) (subject string, err error) {
	text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var claims jwt.RegisteredClaims
	_, err = h.parser.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return &h.key.PublicKey, nil })
	return claims.Subject, err
}
