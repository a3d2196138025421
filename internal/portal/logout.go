package portal

import (
	"errors"
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// logoutData is what logout.html shows; Username is empty for nobody.
type logoutData struct{ Username string }

// logoutReply is the logout page as JSON.
type logoutReply struct {
	SignedIn bool   `json:"signed_in"`
	Username string `json:"username,omitempty"`
}

// getLogout only asks: a picture or a link on another site must not be able to
// sign anybody out.
func (p *Portal) getLogout(v *visit) {
	id, err := p.who(v)
	if err != nil {
		p.fault(v, "reading the session", err)
		return
	}
	name := ""
	if id != nil {
		name = id.Username
	}
	if v.json {
		v.reply(logoutReply{SignedIn: id != nil, Username: name})
		return
	}
	p.show(v, http.StatusOK, "logout", view{Title: "Sign out", Scene: open, Data: logoutData{name}})
}

// postLogout ends the session in the store and then in the browser. When the
// store cannot end it, the cookie stays too: the person must not believe to be
// signed out.
func (p *Portal) postLogout(v *visit) {
	if _, ok := p.read(v); !ok {
		return
	}
	token, _ := cookie.Read(v.r.Header, p.o.Cookies.Session())
	id, err := p.who(v)
	if err != nil {
		p.fault(v, "reading the session", err)
		return
	}
	if id != nil {
		err := p.o.Sessions.Revoke(v.r.Context(), session.ID(token))
		if err != nil && !errors.Is(err, session.ErrNotFound) {
			p.fault(v, "ending a session", err)
			return
		}
		p.record(v, audit.Event{Action: audit.Logout, Actor: id.Username, Subject: id.Username, Session: id.SessionID})
		p.o.Cookies.Clear(v.w, p.o.Cookies.Session())
	}
	if v.json {
		v.reply(logoutReply{})
		return
	}
	v.redirect(p.o.Base + "/login?done=logout")
}
