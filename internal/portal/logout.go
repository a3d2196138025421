package portal

import (
	"errors"
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// logoutData is what logout.html shows; Username is empty for nobody.
type logoutData struct {
	Username string
	There    string // the provider whose session ends, too, or has ended
}

// logoutReply is the logout page as JSON.
type logoutReply struct {
	SignedIn bool   `json:"signed_in"`
	Username string `json:"username,omitempty"`
	// LogoutURL is where a browser has to go so that the session at the provider
	// ends, too.
	LogoutURL string `json:"logout_url,omitempty"`
}

// getLogout only asks: a picture or a link on another site must not be able to
// sign anybody out.
func (p *Portal) getLogout(v *visit) {
	id, err := p.who(v)
	if err != nil {
		p.fault(v, "reading the session", err)
		return
	}
	if id == nil && p.o.SSO != nil && !p.o.SSO.Here && !v.json {
		p.alreadyOutOfSite(v)
		return
	}
	data := logoutData{}
	if id != nil {
		data.Username = id.Username
		if at := p.ownWay(id); at != nil && at.LogoutThere {
			data.There = at.title()
		}
	}
	if v.json {
		v.reply(logoutReply{SignedIn: id != nil, Username: data.Username})
		return
	}
	title := "Sign out"
	if id == nil {
		if data.There = p.cameFromLogout(v); data.There != "" {
			title = "You are signed out"
		}
	}
	p.show(v, http.StatusOK, "logout", view{Title: title, Scene: open, Data: data})
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
	var away farewell
	if id != nil {
		away = p.farewell(v, token)
		err := p.o.Sessions.Revoke(v.r.Context(), session.ID(token))
		if err != nil && !errors.Is(err, session.ErrNotFound) {
			p.fault(v, "ending a session", err)
			return
		}
		p.record(v, audit.Event{Action: audit.Logout, Actor: id.Username, Subject: id.Username, Session: id.SessionID})
		p.o.Cookies.Clear(v.w, p.o.Cookies.Session())
		p.forgetArrival(v)
		p.takeBack(v, away)
	}
	switch {
	case v.json:
		v.reply(logoutReply{LogoutURL: away.url})
	case away.url != "":
		p.going(v, goingData{
			To: away.url, Lead: "You are signed out here. Your session at " + away.at.title() + " is ended now, too.",
		}, "Signing out at "+away.at.title())
	default:
		v.redirect(p.o.Base + "/login?done=logout")
	}
}
