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
	Scopes          []string   `json:"scopes"`
	Disabled        bool       `json:"disabled"`
	PasswordChanged *time.Time `json:"password_changed,omitempty"`
	Created         time.Time  `json:"created"`
	Updated         time.Time  `json:"updated"`
	LastLogin       *time.Time `json:"last_login,omitempty"`
	// Federated is who they are at the providers they have logged in at.
	Federated []user.FederatedID `json:"federated,omitempty"`
}

func viewUser(u *user.User) userView {
	return userView{
		ID: u.ID, Username: u.Username, Email: u.Email, EmailVerified: u.EmailVerified, Name: u.Name,
		Roles: list(u.Roles), Groups: list(u.Groups), Scopes: list(u.Scopes), Disabled: u.Disabled,
		PasswordChanged: moment(u.PasswordChanged), Created: u.Created, Updated: u.Updated, LastLogin: moment(u.LastLogin),
		Federated: u.Federated,
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
	Scopes        []string `json:"scopes,omitempty"`
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
		Roles: in.Roles, Groups: in.Groups, Scopes: in.Scopes, PasswordHash: hash,
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
	u, err := c.person()
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, viewUser(u))
}

// person is the user that a call names. A service of that name is none.
func (c *adminCall) person() (*user.User, error) {
	u, err := c.svc.users.Get(c.r.Context(), c.r.PathValue("name"))
	if err == nil && u.Service {
		return nil, errIsService
	}
	return u, err
}

var (
	errIsService = apiError(http.StatusNotFound, errors.New("there is no such user; there is a service of this name"))
	errIsPerson  = apiError(http.StatusNotFound, errors.New("there is no such service; there is a user of this name"))
)

// userChange is the body of PATCH /gatehouse/users/{name}: what is absent stays.
type userChange struct {
	Email         *string `json:"email,omitempty"`
	EmailVerified *bool   `json:"email_verified,omitempty"`
	Name          *string `json:"name,omitempty"`
	rightsChange
}

// rightsChange is the part of a change that users and services share.
type rightsChange struct {
	Roles        *[]string `json:"roles,omitempty"`
	Groups       *[]string `json:"groups,omitempty"`
	Scopes       *[]string `json:"scopes,omitempty"`
	AddRoles     []string  `json:"add_roles,omitempty"`
	RemoveRoles  []string  `json:"remove_roles,omitempty"`
	AddGroups    []string  `json:"add_groups,omitempty"`
	RemoveGroups []string  `json:"remove_groups,omitempty"`
	AddScopes    []string  `json:"add_scopes,omitempty"`
	RemoveScopes []string  `json:"remove_scopes,omitempty"`
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
	ch.rightsChange.apply(u)
	return nil
}

func (ch rightsChange) apply(u *user.User) {
	u.Roles = edit(u.Roles, ch.Roles, ch.AddRoles, ch.RemoveRoles)
	u.Groups = edit(u.Groups, ch.Groups, ch.AddGroups, ch.RemoveGroups)
	u.Scopes = edit(u.Scopes, ch.Scopes, ch.AddScopes, ch.RemoveScopes)
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
	u, err := c.person()
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
	u, err := c.svc.users.Update(c.r.Context(), c.r.PathValue("name"), func(u *user.User) error {
		if u.Service {
			return errIsService
		}
		return how(u)
	})
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, viewUser(u))
}

func (c *adminCall) deleteUser() error {
	u, err := c.person()
	if err != nil {
		return err
	}
	if err := c.deleteOwner(u); err != nil {
		return err
	}
	// Nobody is left: whoever runs this begins anew with a set-up link.
	if err := c.app.offerSetup(c.r.Context(), c.svc); err != nil {
		c.app.logger.Warn("no set-up link could be made; a restart makes one", zap.Error(err))
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteOwner removes a user or service. Sessions, keys and bound certificates
// are good for nothing from then on, their owner being gone; what follows only
// tidies up. Bindings stay: a certificate that nobody has bound stands for itself.
func (c *adminCall) deleteOwner(u *user.User) error {
	ctx := c.r.Context()
	if err := c.svc.users.Delete(ctx, u.Username); err != nil {
		return err
	}
	for what, tidy := range map[string]func() (int, error){
		"sessions": func() (int, error) { return c.svc.sessions.RevokeUser(ctx, u.Username) },
		"keys":     func() (int, error) { return c.svc.keys.RevokeOwner(ctx, u.Username) },
	} {
		if _, err := tidy(); err != nil {
			c.app.logger.Warn("removing the "+what+" of who was deleted", zap.Error(err))
		}
	}
	return nil
}
