package auth

import (
	"context"
	"net/http"
	"time"

	"llmhist/platform/identity"
)

// handler translates between HTTP and the service.
type handler struct{ service *service }

func (h handler) register(ctx context.Context, in registerRequest) (registerAnswer, error) {
	user, err := h.service.Register(ctx, registration{Email: in.Email, Password: in.Password, Name: in.Name})
	if err != nil {
		return registerAnswer{}, err
	}
	return registerAnswer{ID: user.ID, Email: user.Email, CreatedAt: user.CreatedAt}, nil
}

type registerRequest struct {
	Email    string `json:"email" doc:"A bare address; stored in lower case." example:"me@example.org" maxLength:"254"`
	Password string `json:"password" doc:"8 to 1024 bytes of anything; hashed as it comes, without Unicode normalization." minLength:"8" maxLength:"1024"`
	Name     string `json:"name,omitempty" doc:"How to address the person." maxLength:"100"`
}

type registerAnswer struct {
	ID        int64     `json:"id" example:"1"`
	Email     string    `json:"email" example:"me@example.org"`
	CreatedAt time.Time `json:"created_at"`
}

func (h handler) login(ctx context.Context, in loginRequest) (loginAnswer, error) {
	signIn, err := h.service.Login(ctx, in.Email, in.Password)
	if err != nil {
		return loginAnswer{}, err
	}
	tokens := tokenPairOf(signIn)
	return loginAnswer{
		AccessToken: tokens.AccessToken, RefreshToken: tokens.RefreshToken, ExpiresIn: tokens.ExpiresIn,
		User: loginUser{ID: signIn.User.ID, Email: signIn.User.Email, Role: string(signIn.User.Role)},
	}, nil
}

type loginRequest struct {
	Email    string `json:"email" example:"me@example.org"`
	Password string `json:"password"`
}

type loginAnswer struct {
	AccessToken  string    `json:"accessToken" doc:"Send it as 'Authorization: Bearer …'."`
	RefreshToken string    `json:"refreshToken" doc:"Works once, with POST /auth/refresh."`
	ExpiresIn    int64     `json:"expiresIn" doc:"Seconds until the access token expires." example:"900"`
	User         loginUser `json:"user"`
}

// SetHeader keeps the tokens out of caches (RFC 6749 section 5.1).
func (loginAnswer) SetHeader(header http.Header) { header.Set("Cache-Control", "no-store") }

type loginUser struct {
	ID    int64  `json:"id" example:"1"`
	Email string `json:"email" example:"me@example.org"`
	Role  string `json:"role" enum:"user,admin"`
}

func (h handler) refresh(ctx context.Context, in refreshRequest) (tokenPair, error) {
	signIn, err := h.service.Refresh(ctx, in.RefreshToken)
	if err != nil {
		return tokenPair{}, err
	}
	return tokenPairOf(signIn), nil
}

type refreshRequest struct {
	RefreshToken string `json:"refreshToken" doc:"From the last login or refresh."`
}

// tokenPair keeps the names of the first release: camelCase.
type tokenPair struct {
	AccessToken  string `json:"accessToken" doc:"Send it as 'Authorization: Bearer …'."`
	RefreshToken string `json:"refreshToken" doc:"Works once, with POST /auth/refresh."`
	ExpiresIn    int64  `json:"expiresIn" doc:"Seconds until the access token expires." example:"900"`
}

func tokenPairOf(s SignIn) tokenPair {
	return tokenPair{
		AccessToken: s.AccessToken.Reveal(), RefreshToken: s.RefreshToken.Reveal(),
		ExpiresIn: int64(s.ExpiresIn / time.Second),
	}
}

// SetHeader keeps the tokens out of caches, as for login.
func (tokenPair) SetHeader(header http.Header) { header.Set("Cache-Control", "no-store") }

func (h handler) logout(ctx context.Context, in logoutRequest) error {
	return h.service.Logout(ctx, in.RefreshToken)
}

type logoutRequest struct {
	RefreshToken string `json:"refreshToken,omitempty" doc:"The session to end; without it the session of the access token."`
}

func (h handler) jwks(context.Context, struct{}) (keySet, error) {
	return keySet{Keys: h.service.tokens.keys.jwks()}, nil
}

type keySet struct {
	Keys []jwk `json:"keys" doc:"The key that signs comes first."`
}

// SetHeader lets verifiers keep the keys a while.
func (keySet) SetHeader(header http.Header) { header.Set("Cache-Control", "public, max-age=300") }

func (h handler) listSessions(ctx context.Context, _ struct{}) (sessionList, error) {
	sessions, err := h.service.ListSessions(ctx)
	if err != nil {
		return sessionList{}, err
	}
	return sessionList{Sessions: sessionViews(sessions, identity.From(ctx).SessionID)}, nil
}

type sessionList struct {
	Sessions []sessionView `json:"sessions"`
}

// sessionView is what is shown of a session: nothing that could continue it.
type sessionView struct {
	ID         string    `json:"id"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at" doc:"The last login or refresh."`
	ExpiresAt  time.Time `json:"expires_at"`
	UserAgent  string    `json:"user_agent"`
	IP         string    `json:"ip"`
	Current    bool      `json:"current" doc:"Whether this is the session of the request."`
}

func sessionViews(sessions []Session, current string) []sessionView {
	views := make([]sessionView, 0, len(sessions))
	for _, s := range sessions {
		views = append(views, sessionView{
			ID: s.ID, CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt,
			UserAgent: s.Client.UserAgent, IP: s.Client.IP, Current: s.ID == current,
		})
	}
	return views
}

func (h handler) deleteSession(ctx context.Context, in sessionPath) error {
	return h.service.DeleteSession(ctx, in.ID)
}

type sessionPath struct {
	ID string `path:"id" json:"-" doc:"The id of the session."`
}

func (h handler) deleteSessions(ctx context.Context, _ struct{}) error {
	return h.service.DeleteSessions(ctx)
}
