package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// userView is a user as the admin API shows it: the record without its hash.
type userView struct {
	ID              string     `json:"id"`
	Username        string     `json:"username"`
	Email           string     `json:"email,omitempty"`
	EmailVerified   bool       `json:"email_verified,omitempty"`
	Name            string     `json:"name,omitempty"`
	Roles           []string   `json:"roles"`
	Groups          []string   `json:"groups"`
	Disabled        bool       `json:"disabled"`
	PasswordChanged *time.Time `json:"password_changed,omitempty"`
	Created         time.Time  `json:"created"`
	Updated         time.Time  `json:"updated"`
	LastLogin       *time.Time `json:"last_login,omitempty"`
}

func viewUser(u *user.User) userView {
	return userView{
		ID: u.ID, Username: u.Username, Email: u.Email, EmailVerified: u.EmailVerified, Name: u.Name,
		Roles: list(u.Roles), Groups: list(u.Groups), Disabled: u.Disabled,
		PasswordChanged: moment(u.PasswordChanged), Created: u.Created, Updated: u.Updated, LastLogin: moment(u.LastLogin),
	}
}

// list makes an empty list print as [] and not as null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type usersPage struct {
	Users []userView `json:"users"`
	Next  string     `json:"next,omitempty"` // the `after` of the next page
}

func (c *adminCall) listUsers() error {
	after, limit, err := c.page()
	if err != nil {
		return err
	}
	found, err := c.svc.users.List(c.r.Context(), after, limit)
	if err != nil {
		return err
	}
	page := usersPage{Users: make([]userView, 0, len(found))}
	for _, u := range found {
		page.Users = append(page.Users, viewUser(u))
	}
	if len(found) == limit {
		page.Next = found[limit-1].Username
	}
	return c.write(http.StatusOK, page)
}

// newUser is the body of POST /gatehouse/users.
type newUser struct {
	Username      string   `json:"username"`
	Password      string   `json:"password"`
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified,omitempty"`
	Name          string   `json:"name,omitempty"`
	Roles         []string `json:"roles,omitempty"`
	Groups        []string `json:"groups,omitempty"`
}

func (c *adminCall) addUser() error {
	var in newUser
	if err := c.read(&in); err != nil {
		return err
	}
	c.subject = in.Username
	name, err := user.NormalizeName(in.Username)
	if err != nil {
		return err
	}
	hash, err := c.hash(in.Password, in.Username, in.Email, in.Name)
	if err != nil {
		return err
	}
	u, err := c.svc.users.Add(c.r.Context(), user.New{
		Username: in.Username, Email: in.Email, EmailVerified: in.EmailVerified, Name: in.Name,
		Roles: in.Roles, Groups: in.Groups, PasswordHash: hash,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return c.write(http.StatusCreated, viewUser(u))
}

// hash checks a new password against the rules and hashes it. about is what the
// password must not be.
func (c *adminCall) hash(pw string, about ...string) (string, error) {
	if c.app.Passwords.Off {
		return "", apiError(http.StatusConflict, errors.New("passwords are off in the running configuration"))
	}
	if err := c.svc.rules.Check(pw, about...); err != nil {
		return "", err
	}
	return c.svc.hasher.Hash(c.r.Context(), pw)
}

func (c *adminCall) showUser() error {
	u, err := c.svc.users.Get(c.r.Context(), c.r.PathValue("name"))
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, viewUser(u))
}

// userChange is the body of PATCH /gatehouse/users/{name}: what is absent stays.
type userChange struct {
	Email         *string   `json:"email,omitempty"`
	EmailVerified *bool     `json:"email_verified,omitempty"`
	Name          *string   `json:"name,omitempty"`
	Roles         *[]string `json:"roles,omitempty"`
	Groups        *[]string `json:"groups,omitempty"`
	AddRoles      []string  `json:"add_roles,omitempty"`
	RemoveRoles   []string  `json:"remove_roles,omitempty"`
	AddGroups     []string  `json:"add_groups,omitempty"`
	RemoveGroups  []string  `json:"remove_groups,omitempty"`
}

func (ch userChange) apply(u *user.User) error {
	if ch.Email != nil {
		// A new address was never verified, whatever the old one was.
		u.EmailVerified = u.EmailVerified && u.Email == *ch.Email
		u.Email = *ch.Email
	}
	if ch.EmailVerified != nil {
		u.EmailVerified = *ch.EmailVerified
	}
	if ch.Name != nil {
		u.Name = *ch.Name
	}
	u.Roles = edit(u.Roles, ch.Roles, ch.AddRoles, ch.RemoveRoles)
	u.Groups = edit(u.Groups, ch.Groups, ch.AddGroups, ch.RemoveGroups)
	return nil
}

func edit(now []string, instead *[]string, add, remove []string) []string {
	if instead != nil {
		now = *instead
	}
	out := append(slices.Clone(now), add...)
	return slices.DeleteFunc(out, func(s string) bool { return slices.Contains(remove, s) })
}

func (c *adminCall) setUser() error {
	var in userChange
	if err := c.read(&in); err != nil {
		return err
	}
	return c.change(in.apply)
}

func (c *adminCall) disableUser() error {
	return c.change(func(u *user.User) error { u.Disabled = true; return nil })
}

func (c *adminCall) enableUser() error {
	return c.change(func(u *user.User) error { u.Disabled = false; return nil })
}

func (c *adminCall) setPassword() error {
	var in struct {
		Password string `json:"password"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	u, err := c.svc.users.Get(c.r.Context(), c.r.PathValue("name"))
	if err != nil {
		return err
	}
	hash, err := c.hash(in.Password, u.Username, u.Email, u.Name)
	if err != nil {
		return err
	}
	return c.change(func(u *user.User) error { u.PasswordHash = hash; return nil })
}

func (c *adminCall) change(how func(*user.User) error) error {
	u, err := c.svc.users.Update(c.r.Context(), c.r.PathValue("name"), how)
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, viewUser(u))
}

func (c *adminCall) deleteUser() error {
	u, err := c.svc.users.Get(c.r.Context(), c.r.PathValue("name"))
	if err != nil {
		return err
	}
	if err := c.svc.users.Delete(c.r.Context(), u.Username); err != nil {
		return err
	}
	// The sessions are dead already, their owner being gone; this tidies up.
	if _, err := c.svc.sessions.RevokeUser(c.r.Context(), u.Username); err != nil {
		c.app.logger.Warn("removing the sessions of a deleted user", zap.Error(err))
	}
	// Nobody is left: whoever runs this begins anew with a set-up link.
	if err := c.app.offerSetup(c.r.Context(), c.svc); err != nil {
		c.app.logger.Warn("no set-up link could be made; a restart makes one", zap.Error(err))
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
