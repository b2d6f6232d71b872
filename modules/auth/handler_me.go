package auth

import (
	"context"
	"net/http"
	"time"

	"llmhist/platform/logging"
)

func (h handler) findMe(ctx context.Context, _ struct{}) (meAnswer, error) {
	user, err := h.service.FindMe(ctx)
	if err != nil {
		return meAnswer{}, err
	}
	return meAnswerOf(user), nil
}

type meAnswer struct {
	ID        int64      `json:"id" example:"1"`
	Email     string     `json:"email" example:"me@example.org"`
	Name      string     `json:"name"`
	Role      string     `json:"role" enum:"user,admin"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	Quotas    quotasView `json:"quotas"`
}

// quotasView shows quotas; null is unlimited.
type quotasView struct {
	ChatPerDay   *int64 `json:"chat_per_day" doc:"Chat answers per UTC day; null = unlimited."`
	ImagePerDay  *int64 `json:"image_per_day" doc:"Images per UTC day; null = unlimited."`
	SpeechPerDay *int64 `json:"speech_per_day" doc:"Speech conversions per UTC day; null = unlimited."`
}

func meAnswerOf(u User) meAnswer {
	return meAnswer{
		ID: u.ID, Email: u.Email, Name: u.Name, Role: string(u.Role),
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, Quotas: quotasView(u.Quotas),
	}
}

func (h handler) updateMe(ctx context.Context, in updateMeRequest) (meAnswer, error) {
	user, err := h.service.UpdateMe(ctx, profileChange{Name: in.Name, Email: in.Email, CurrentPassword: in.CurrentPassword})
	if err != nil {
		return meAnswer{}, err
	}
	return meAnswerOf(user), nil
}

type updateMeRequest struct {
	Name            *string `json:"name,omitempty" maxLength:"100"`
	Email           *string `json:"email,omitempty" maxLength:"254"`
	CurrentPassword *string `json:"current_password,omitempty" doc:"Needed to change the e-mail address."`
}

func (h handler) deleteMe(ctx context.Context, in deleteMeRequest) error {
	if in.Password == nil {
		return h.service.DeleteMe(ctx, nil)
	}
	password := logging.Secret(*in.Password)
	return h.service.DeleteMe(ctx, &password)
}

type deleteMeRequest struct {
	Password *string `json:"password,omitempty" doc:"When it is sent, it must be right."`
}

func (h handler) changePassword(ctx context.Context, in changePasswordRequest) error {
	return h.service.ChangePassword(ctx, in.CurrentPassword, in.NewPassword)
}

type changePasswordRequest struct {
	CurrentPassword string `json:"current_password"`
	NewPassword     string `json:"new_password" doc:"8 to 1024 bytes." minLength:"8" maxLength:"1024"`
}

func (h handler) listKeys(ctx context.Context, _ struct{}) (keyList, error) {
	keys, err := h.service.ListKeys(ctx)
	if err != nil {
		return keyList{}, err
	}
	list := keyList{APIKeys: make([]keyView, 0, len(keys))}
	for _, key := range keys {
		list.APIKeys = append(list.APIKeys, keyView{
			ID: key.ID, Name: key.Name, Prefix: key.Prefix, CreatedAt: key.CreatedAt,
			LastUsedAt: key.LastUsedAt, ExpiresAt: key.ExpiresAt,
		})
	}
	return list, nil
}

type keyList struct {
	APIKeys []keyView `json:"api_keys"`
}

// keyView is what is shown of a key once it was made.
type keyView struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix" doc:"The first characters of the key."`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at" doc:"To the minute; null = never used."`
	ExpiresAt  *time.Time `json:"expires_at" doc:"null = never."`
}

func (h handler) createKey(ctx context.Context, in createKeyRequest) (createdKey, error) {
	key, secret, err := h.service.CreateKey(ctx, in.Name, in.ExpiresAt)
	if err != nil {
		return createdKey{}, err
	}
	return createdKey{
		ID: key.ID, Name: key.Name, Key: secret.Reveal(), Prefix: key.Prefix, CreatedAt: key.CreatedAt, ExpiresAt: key.ExpiresAt,
	}, nil
}

type createKeyRequest struct {
	Name      string     `json:"name" doc:"To recognise the key by." minLength:"1" maxLength:"100" example:"laptop"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When it stops working; never if left out."`
}

type createdKey struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Key       string     `json:"key" doc:"The key, shown this once." example:"llmh_…"`
	Prefix    string     `json:"prefix" doc:"The first characters of the key."`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at" doc:"null = never."`
}

// SetHeader keeps the key out of caches.
func (createdKey) SetHeader(header http.Header) { header.Set("Cache-Control", "no-store") }

func (h handler) deleteKey(ctx context.Context, in keyPath) error {
	return h.service.DeleteKey(ctx, in.ID)
}

type keyPath struct {
	ID string `path:"id" json:"-" doc:"The id of the key."`
}
