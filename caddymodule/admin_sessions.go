package caddymodule

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// sessionView is a session as the admin API shows it. The id is no secret: it
// is made from the cookie's hash and cannot sign anybody in.
type sessionView struct {
	ID        string    `json:"id"`
	Username  string    `json:"username"`
	Provider  string    `json:"provider,omitempty"`
	Created   time.Time `json:"created"`
	AuthTime  time.Time `json:"auth_time,omitzero"` // absent: the provider does not tell
	Site      string    `json:"site,omitempty"`     // origin, of a session under the portal's
	LastSeen  time.Time `json:"last_seen"`
	Expires   time.Time `json:"expires"`
	ClientIP  string    `json:"client_ip,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
}

func viewSession(s *session.Session) sessionView {
	return sessionView{
		ID: s.ID, Username: s.Username, Provider: s.Provider, Created: s.Created, AuthTime: s.AuthTime,
		LastSeen: s.LastSeen, Expires: s.Expires, Site: s.Site, ClientIP: s.ClientIP, UserAgent: s.UserAgent,
	}
}

type sessionsPage struct {
	Sessions []sessionView `json:"sessions"`
	Next     string        `json:"next,omitempty"` // the `after` of the next page
}

func (c *adminCall) listSessions() error {
	after, limit, err := c.page()
	if err != nil {
		return err
	}
	name, err := c.owner()
	if err != nil {
		return err
	}
	found, err := c.svc.sessions.List(c.r.Context(), name, after, limit)
	if err != nil {
		return err
	}
	page := sessionsPage{Sessions: make([]sessionView, 0, len(found))}
	if len(found) == limit {
		page.Next = found[limit-1].ID
	}
	for _, s := range found {
		page.Sessions = append(page.Sessions, viewSession(s))
	}
	return c.write(http.StatusOK, page)
}

// owner reads the user that a call is limited to; "" is everybody.
func (c *adminCall) owner() (string, error) {
	name := c.r.URL.Query().Get("user")
	if name == "" {
		return "", nil
	}
	return user.NormalizeName(name)
}

func (c *adminCall) revokeSession() error {
	// Only to say whose it was: one that cannot be read is ended all the same.
	if s, err := c.svc.sessions.Get(c.r.Context(), c.session); err == nil {
		c.subject = s.Username
	}
	if err := c.svc.sessions.Revoke(c.r.Context(), c.session); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// revokeSessions ends all sessions of one user. Bumping the epoch first ends
// them at once, also one that is being made right now.
func (c *adminCall) revokeSessions() error {
	name, err := c.owner()
	c.subject = c.r.URL.Query().Get("user")
	if err != nil {
		return err
	}
	if name == "" {
		return apiError(http.StatusBadRequest, errors.New("name the user whose sessions shall end: ?user=alice"))
	}
	_, err = c.svc.users.Update(c.r.Context(), name, func(u *user.User) error { u.EndSessions(); return nil })
	if err != nil {
		return err
	}
	n, err := c.svc.sessions.RevokeUser(c.r.Context(), name)
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, map[string]int{"revoked": n})
}
