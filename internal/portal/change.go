package portal

import (
	"errors"
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// errChanged is a record that is not the one whose password was checked.
var errChanged = errors.New("the record has changed meanwhile")

// done answers a form of the account page that went well; what picks the notice.
func (p *Portal) done(v *visit, what string) {
	if v.json {
		v.w.WriteHeader(http.StatusNoContent)
		return
	}
	v.redirect(p.o.Base + "/account?done=" + what)
}

// postPassword changes the password of whoever is signed in and knows it. Every
// other login ends; this browser gets a new session.
func (p *Portal) postPassword(v *visit) {
	// The user name is in the form for password managers only.
	in, ok := p.read(v, "username", "current", "password", "repeat")
	if !ok {
		return
	}
	id, ok := p.need(v)
	if !ok {
		return
	}
	if !p.o.Passwords {
		p.fail(v, problem.Problem{Status: http.StatusNotFound, Kind: problem.NotFound})
		return
	}
	refuse := func(wrong map[string]string) {
		p.showAccount(v, id, http.StatusUnprocessableEntity, slip{form: passwordForm, wrong: wrong})
	}
	wrong := map[string]string{}
	p.checkNew(in, wrong, id.Username, id.Name, id.Email, p.o.Name, v.Site)
	if len(wrong) == 0 && in["password"] == in["current"] {
		wrong["password"] = "It is the password that you have."
	}
	if len(wrong) > 0 {
		refuse(wrong)
		return
	}
	u, ok := p.confirm(v, id, in["current"], refuse)
	if !ok {
		return
	}
	p.setPassword(v, id, u, in["password"])
}

// setPassword stores a new password for proved, the record whose old one was
// checked.
func (p *Portal) setPassword(v *visit, id *identity.Identity, proved *user.User, secret string) {
	ctx := v.r.Context()
	hash, err := p.o.Hasher.Hash(ctx, secret)
	if err != nil {
		p.failedProof(v, err)
		return
	}
	u, err := p.o.Users.Update(ctx, proved.Username, func(u *user.User) error {
		// An administrator's reset in this moment must not be undone with the
		// old password.
		if u.ID != proved.ID || u.ID != id.ID || u.Epoch != proved.Epoch || u.Disabled {
			return errChanged
		}
		u.PasswordHash = hash // Update ends all logins by a new epoch
		return nil
	})
	if err != nil {
		p.failedAccount(v, err)
		return
	}
	p.record(v, audit.Event{Action: audit.PasswordChanged, Actor: u.Username, Subject: u.Username, Session: id.SessionID})
	remember := false
	if now, err := p.o.Sessions.Get(ctx, id.SessionID); err == nil {
		remember = now.Remember
	}
	// The old sessions are dead by their epoch; this only tidies up.
	if _, err := p.o.Sessions.RevokeUser(ctx, u.Username); err != nil {
		p.o.Logger.WarnContext(ctx, "portal: removing ended sessions", "request_id", v.RequestID, "error", err)
	}
	if p.signIn(v, u, remember) {
		p.done(v, "password")
	}
}

// postRevoke ends one of the caller's own sessions.
func (p *Portal) postRevoke(v *visit) {
	in, ok := p.read(v, "id")
	if !ok {
		return
	}
	id, ok := p.need(v)
	if !ok {
		return
	}
	// Another person's session and none at all are the same answer.
	s, err := p.o.Sessions.Get(v.r.Context(), in["id"])
	if err == nil && (s.UserID != id.ID || s.Username != id.Username) {
		err = session.ErrNotFound
	}
	if err == nil {
		err = p.o.Sessions.Revoke(v.r.Context(), s.ID)
	}
	switch {
	case errors.Is(err, session.ErrNotFound):
		p.fail(v, problem.Problem{
			Status: http.StatusNotFound, Kind: problem.NotFound, Title: "That session is over",
			Detail: "It has ended already, or it was never yours.",
		})
		return
	case err != nil:
		p.fault(v, "ending a session", err)
		return
	}
	p.record(v, audit.Event{Action: audit.SessionRevoked, Actor: id.Username, Subject: s.Username, Session: s.ID})
	if s.ID == id.SessionID {
		p.o.Cookies.Clear(v.w, p.o.Cookies.Session())
	}
	p.done(v, "revoked")
}

// postRevokeOthers ends all of the caller's sessions but this one. They are
// ended one by one rather than by a new epoch: that would need a new session
// here too, and with it a fresh proof of who is asking.
func (p *Portal) postRevokeOthers(v *visit) {
	if _, ok := p.read(v); !ok {
		return
	}
	id, ok := p.need(v)
	if !ok {
		return
	}
	for after := ""; ; {
		page, err := p.o.Sessions.List(v.r.Context(), id.Username, after, maxSessions)
		if err != nil {
			p.fault(v, "listing sessions", err)
			return
		}
		for _, s := range page {
			after = s.ID
			if s.ID == id.SessionID {
				continue
			}
			if err := p.o.Sessions.Revoke(v.r.Context(), s.ID); errors.Is(err, session.ErrNotFound) {
				continue
			} else if err != nil {
				p.fault(v, "ending a session", err)
				return
			}
			p.record(v, audit.Event{Action: audit.SessionRevoked, Actor: id.Username, Subject: s.Username, Session: s.ID})
		}
		if len(page) < maxSessions {
			break
		}
	}
	p.done(v, "others")
}
