package auth

import (
	"context"
	"time"

	"llmhist/platform/identity"
	"llmhist/platform/web"
)

func (h handler) listUsers(ctx context.Context, in listUsersRequest) (userList, error) {
	page, err := in.Checked()
	if err != nil {
		return userList{}, err
	}
	users, total, err := h.service.ListUsers(ctx, in.Query, page)
	if err != nil {
		return userList{}, err
	}
	list := userList{Users: make([]UserView, 0, len(users)), Total: total, Page: page.Number, PerPage: page.Size}
	for _, user := range users {
		list.Users = append(list.Users, userViewOf(user))
	}
	return list, nil
}

type listUsersRequest struct {
	web.PageQuery
	Query string `query:"q" json:"-" doc:"Text to find in address or name, in any letter case." maxLength:"200"`
}

type userList struct {
	Users   []UserView `json:"users"`
	Total   int64      `json:"total"`
	Page    int        `json:"page"`
	PerPage int        `json:"per_page"`
}

// UserView is what administrators see of an account. It is exported because the
// OpenAPI document leaves embedded types out that are not.
type UserView struct {
	ID         int64      `json:"id"`
	Email      string     `json:"email"`
	Name       string     `json:"name"`
	Role       string     `json:"role" enum:"user,admin"`
	Disabled   bool       `json:"disabled"`
	DisabledAt *time.Time `json:"disabled_at"`
	Deleting   bool       `json:"deleting" doc:"The account is closed and what it owns is being erased."`
	Quotas     quotasView `json:"quotas"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
}

func userViewOf(u User) UserView {
	return UserView{
		ID: u.ID, Email: u.Email, Name: u.Name, Role: string(u.Role),
		Disabled: u.DisabledAt != nil, DisabledAt: u.DisabledAt, Deleting: u.DeletingAt != nil,
		Quotas: quotasView(u.Quotas), CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}
}

func (h handler) findUser(ctx context.Context, in userPath) (userDetail, error) {
	user, sessions, err := h.service.FindUser(ctx, in.ID)
	return userDetailOf(ctx, user, sessions, err)
}

type userPath struct {
	ID int64 `path:"id" json:"-" doc:"The id of the account."`
}

// userDetail is an account with its live sessions.
type userDetail struct {
	UserView
	Sessions []sessionView `json:"sessions"`
}

func userDetailOf(ctx context.Context, user User, sessions []Session, err error) (userDetail, error) {
	if err != nil {
		return userDetail{}, err
	}
	return userDetail{UserView: userViewOf(user), Sessions: sessionViews(sessions, identity.From(ctx).SessionID)}, nil
}

func (h handler) updateUser(ctx context.Context, in updateUserRequest) (userDetail, error) {
	change := userChange{Role: in.Role, Disabled: in.Disabled, Name: in.Name, Quotas: in.Quotas}
	user, sessions, err := h.service.UpdateUser(ctx, in.ID, change)
	return userDetailOf(ctx, user, sessions, err)
}

type updateUserRequest struct {
	ID       int64         `path:"id" json:"-" doc:"The id of the account."`
	Role     *string       `json:"role,omitempty" enum:"user,admin"`
	Disabled *bool         `json:"disabled,omitempty"`
	Name     *string       `json:"name,omitempty" maxLength:"100"`
	Quotas   *quotasChange `json:"quotas,omitempty"`
}

func (h handler) deleteUser(ctx context.Context, in userPath) error {
	return h.service.DeleteUser(ctx, in.ID)
}
