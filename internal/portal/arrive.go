package portal

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

const (
	// arrivalLife is for how long a browser that comes back without the session it
	// was given is recognised.
	arrivalLife = time.Minute
	// maxArrivals is how many logins may follow each other by themselves, each
	// within arrivalLife of the one before.
	maxArrivals = 3
	// choiceLife is how long a browser remembers which provider was used last.
	choiceLife = 365 * 24 * time.Hour
)

// arrive signs in who came back from a provider: a new session takes the place of
// the one that the browser holds (session fixation), and it goes on to where it
// wanted to.
func (p *Portal) arrive(v *visit, at *Provider, b *pending, l *oidc.Login, u *user.User) {
	ctx := v.r.Context()
	login, err := p.o.Federation.Session(at.Entry, u, l)
	if err != nil {
		p.refuseLoginAt(v, at, b, err)
		return
	}
	login.AMR, login.ClientIP, login.UserAgent = amr(at, l), v.ClientIP.String(), v.r.UserAgent()
	login.Replaces, _ = cookie.Read(v.r.Header, p.o.Cookies.Session())
	token, s, err := p.o.Sessions.Create(ctx, login)
	if err != nil {
		p.refuseLoginAt(v, at, b, err)
		return
	}
	p.giveSession(v, token, s)
	jar := p.o.Cookies.HostOnly()
	jar.Set(v.w, jar.Choice(), at.name(), choiceLife)
	arrivals, _ := p.arrival(v)
	jar.Set(v.w, jar.Arrival(), s.ID+"."+strconv.Itoa(min(arrivals+1, maxArrivals)), arrivalLife)
	p.o.OnLogin(methodOIDC, resultSuccess)
	p.record(v, audit.Event{
		Action: audit.Login, Actor: u.Username, Subject: u.Username, Session: s.ID, Extra: providerAttr(at),
	})
	if err := p.o.Users.SeenLogin(ctx, u.Username, p.o.Clock()); err != nil {
		p.o.Logger.WarnContext(ctx, "portal: noting the last login", "request_id", v.RequestID, "error", err)
	}
	v.redirect(p.returnTo(b.back))
}

// arrival reads which session a browser was given within the last minute, and how
// many logins led to it. It is a claim, good for breaking a circle only.
func (p *Portal) arrival(v *visit) (logins int, id string) {
	value, _ := cookie.Read(v.r.Header, p.o.Cookies.HostOnly().Arrival())
	id, count, _ := strings.Cut(value, ".")
	logins, err := strconv.Atoi(count)
	if err != nil || logins < 1 || logins > maxArrivals {
		return 0, ""
	}
	return logins, id
}

// forgetArrival is for a browser that has signed out: to come back without a
// session is what it should do.
func (p *Portal) forgetArrival(v *visit) {
	jar := p.o.Cookies.HostOnly()
	if _, sent := cookie.Read(v.r.Header, jar.Arrival()); sent {
		jar.Clear(v.w, jar.Arrival())
	}
}

// circled answers a browser that goes in a circle, with true: it was given a
// session a moment ago which still stands, and comes without it; or it has signed
// in several times in a row and each session was over at once, or is hidden by
// another cookie of the same name.
func (p *Portal) circled(v *visit) bool {
	logins, id := p.arrival(v)
	if logins == 0 {
		return false
	}
	_, err := p.o.Sessions.Get(v.r.Context(), id)
	switch {
	case err == nil && !p.sentSession(v):
		p.circledPage(v, false)
	case (err == nil || errors.Is(err, session.ErrNotFound)) && logins >= maxArrivals:
		p.circledPage(v, true)
	case err != nil && !errors.Is(err, session.ErrNotFound):
		p.fault(v, "reading the session", err)
	default:
		return false
	}
	return true
}
