package portal

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/sso"
)

// getSiteLogin sends people from a site to the portal. What the site has to know
// when they come back is in a cookie of this browser, sealed, as with a login at a
// provider.
func (p *Portal) getSiteLogin(v *visit) {
	q := v.r.URL.Query()
	back, step := p.returnTo(q.Get("return_to")), knownStep(q.Get("step"))
	if !openly(v.r) || !p.mayHaveCookies(v) {
		if !openly(v.r) {
			p.fail(v, problem.Problem{
				Status: http.StatusForbidden, Kind: problem.Forbidden, Title: "This sign-in was begun by another page",
				Detail: "Another site tried to begin a sign-in without showing it to you, so nothing was done.",
			})
		}
		return
	}
	who, err := p.who(v)
	switch {
	case err != nil:
		p.fault(v, "reading the session", err)
		return
	case who != nil && step == "":
		v.redirect(back)
		return
	case who == nil && !v.json && !clicked(v.r) && p.circled(v):
		return
	}
	p.toPortal(v, back, step, false)
}

// toPortal begins a login at the portal.
func (p *Portal) toPortal(v *visit, back, step string, again bool) {
	ctx := v.r.Context()
	origin := p.origin(v.r)
	seal, err := p.sealer(ctx, sealLogin)
	if err != nil {
		p.fault(v, "beginning a login at the portal", err)
		return
	}
	verifier, err := p.o.SSO.Codes.NewVerifier()
	if err != nil {
		p.fault(v, "beginning a login at the portal", err)
		return
	}
	state, err := p.o.SSO.Codes.NewVerifier()
	if err != nil {
		p.fault(v, "beginning a login at the portal", err)
		return
	}
	b := &pending{
		Login: oidc.Pending{Provider: portalWay, State: state, Verifier: verifier, RedirectURL: origin, Started: p.o.Clock().UTC().Truncate(time.Second)},
		Step:  step, Again: again, back: back,
	}
	if err := p.keep(v, seal, b, pendingKept); err != nil {
		p.fault(v, "beginning a login at the portal", err)
		return
	}
	to := url.Values{"site": {origin}, "challenge": {sso.Challenge(verifier)}, "state": {state}}
	if step != "" {
		to.Set("step", step)
	}
	address := p.o.SSO.Portal + "/sso?" + to.Encode()
	if v.json {
		v.reply(begunReply{URL: address})
		return
	}
	v.redirect(address)
}

// portalWay marks a login under way as one at the portal. No provider can have
// this name.
const portalWay = "//portal"

// getSiteCallback is where people come back to a site from the portal.
func (p *Portal) getSiteCallback(v *visit) {
	if !p.mayHaveCookies(v) {
		return
	}
	ctx := v.r.Context()
	seal, err := p.sealer(ctx, sealLogin)
	if err != nil {
		p.fault(v, "ending a login at the portal", err)
		return
	}
	q := v.r.URL.Query()
	b := p.pendingOf(v, seal, q)
	if b == nil || b.Login.Provider != portalWay || b.Login.RedirectURL != p.origin(v.r) {
		p.burn(v, q)
		p.lostAtSite(v, q.Get("state"))
		return
	}
	if err := p.keep(v, seal, b.used(), pendingLife); err != nil {
		p.fault(v, "ending a login at the portal", err)
		return
	}
	parent, key, err := p.redeem(v, b, q)
	switch {
	case errors.Is(err, sso.ErrBadCode):
		p.onceMoreAtSite(v, b)
	case err != nil:
		p.fault(v, "ending a login at the portal", err)
	default:
		p.arriveAtSite(v, b, parent, key)
	}
}

// burn uses up a code that came with no login of this browser. Somebody who began
// a login and sent another person on with it knows the verifier, and would only
// have to read the code in a log or over a shoulder.
func (p *Portal) burn(v *visit, q url.Values) {
	ctx := v.r.Context()
	for _, code := range q["code"][:min(len(q["code"]), 2)] {
		if _, err := p.o.SSO.Codes.Redeem(ctx, code, "", ""); err != nil && !errors.Is(err, sso.ErrBadCode) {
			p.o.Logger.WarnContext(ctx, "portal: a code for a site was not used up", "request_id", v.RequestID, "error", err)
		}
	}
}

// redeem returns the portal's session that a code stands for.
func (p *Portal) redeem(v *visit, b *pending, q url.Values) (*session.Session, session.Key, error) {
	ctx := v.r.Context()
	if len(q["code"]) != 1 || b.Used || b.stale(p.o.Clock()) {
		return nil, session.Key{}, sso.ErrBadCode
	}
	g, err := p.o.SSO.Codes.Redeem(ctx, q.Get("code"), b.Login.RedirectURL, b.Login.Verifier)
	if err != nil {
		return nil, session.Key{}, err
	}
	key, _ := session.KeyFrom(g.Secret)
	parent, err := p.o.Sessions.Recall(ctx, g.Session)
	if errors.Is(err, session.ErrNotFound) {
		err = sso.ErrBadCode // it ended on the way
	}
	return parent, key, err
}

// onceMoreAtSite begins a login again whose code does not count, once.
func (p *Portal) onceMoreAtSite(v *visit, b *pending) {
	who, err := p.who(v)
	switch {
	case err != nil:
		p.fault(v, "reading the session", err)
	case who != nil && b.Step == "":
		v.redirect(p.returnTo(b.back))
	case b.Again:
		p.fail(v, problem.Problem{
			Status: http.StatusBadRequest, Kind: problem.BadRequest, Title: notSignedIn,
			Detail: "What the portal sent you back with has been used already, or came too late, and a second try went the same way. So you are not sent there again. Try once more from the start page.",
		})
	default:
		p.toPortal(v, p.returnTo(b.back), b.Step, true)
	}
}

// arriveAtSite makes the site's own session, on its own host, under the portal's.
func (p *Portal) arriveAtSite(v *visit, b *pending, parent *session.Session, key session.Key) {
	ctx := v.r.Context()
	login := session.Login{
		Username: parent.Username, UserID: parent.UserID, Epoch: parent.Epoch, Remember: parent.Remember,
		Parent: parent.ID, ParentKey: key, Site: b.Login.RedirectURL, ClientIP: v.ClientIP.String(), UserAgent: v.r.UserAgent(),
	}
	login.Replaces, _ = cookie.Read(v.r.Header, p.o.Cookies.Session())
	token, s, err := p.o.Sessions.Create(ctx, login)
	switch {
	case errors.Is(err, session.ErrParent), errors.Is(err, session.ErrEnded):
		p.onceMoreAtSite(v, b)
		return
	case err != nil:
		p.fault(v, "making a site's session", err)
		return
	}
	p.giveSession(v, token, s)
	jar := p.o.Cookies.HostOnly()
	arrivals, _ := p.arrival(v)
	jar.Set(v.w, jar.Arrival(), s.ID+"."+strconv.Itoa(min(arrivals+1, maxArrivals)), arrivalLife)
	p.record(v, audit.Event{Action: audit.SiteEntered, Actor: s.Username, Subject: s.Username, Session: s.ID, Extra: []slog.Attr{slog.String("origin", s.Site)}})
	v.redirect(p.returnTo(b.back))
}

// lostAtSite answers who comes back with nothing that this browser began: there is
// no second redirect, which would only end here again.
func (p *Portal) lostAtSite(v *visit, state string) {
	name := p.o.Cookies.HostOnly().Begun("…")
	if state != "" && len(state) <= maxState {
		name = p.o.Cookies.HostOnly().Begun(pendingID(state))
	}
	p.failWith(v, problem.Problem{
		Status: http.StatusBadRequest, Kind: problem.BadRequest, Title: notSignedIn,
		Detail: "You come back from the portal without the cookie " + name + ", which this site gave to your browser when you left. Without it nobody can tell that it was you who began.",
	}, []link{{"/", "Go to the start page"}},
		"Cookies may be blocked for this site, by a setting or an extension.",
		"The sign-in may have begun in another browser, or under another host name or port of this site, or with http:// instead of https://.",
		"It may have taken more than an hour.")
}

// postSiteLogout signs out of the portal and so of all its sites, and at the
// provider: somebody who signs out of one and leaves the machine means that.
func (p *Portal) postSiteLogout(v *visit) {
	if _, ok := p.read(v); !ok {
		return
	}
	token, _ := cookie.Read(v.r.Header, p.o.Cookies.Session())
	id, err := p.who(v)
	if err != nil {
		p.fault(v, "reading the session", err)
		return
	}
	if id == nil {
		p.alreadyOutOfSite(v)
		return
	}
	away := p.farewell(v, token)
	if err := p.endAll(v, token); err != nil {
		p.fault(v, "ending a session", err)
		return
	}
	p.record(v, audit.Event{Action: audit.Logout, Actor: id.Username, Subject: id.Username, Session: id.SessionID})
	p.o.Cookies.Clear(v.w, p.o.Cookies.Session())
	p.forgetArrival(v)
	p.takeBack(v, away)
	lead := "You are signed out, here and on all sites of this portal."
	switch {
	case v.json:
		v.reply(logoutReply{LogoutURL: away.url})
	case away.url != "":
		p.going(v, goingData{To: away.url, Lead: lead + " Your session at " + away.at.title() + " is ended now, too."}, "Signing out at "+away.at.title())
	default:
		p.going(v, goingData{To: p.o.SSO.Portal + "/login?done=logout", Lead: lead}, "You are signed out")
	}
}

// alreadyOutOfSite leads to where more may have to end: a session of this site that is
// over says nothing of the portal's.
func (p *Portal) alreadyOutOfSite(v *visit) {
	there := p.o.SSO.Portal + "/logout"
	switch {
	case v.json:
		v.reply(logoutReply{LogoutURL: there})
	case v.r.Method == http.MethodPost:
		p.going(v, goingData{To: there, Lead: "You are not signed in at this site any more. At the portal you may still be."}, "Signed out of this site")
	default:
		v.redirect(there)
	}
}

// endAll ends the portal's session, and with it those of all sites; then this
// site's own record.
func (p *Portal) endAll(v *visit, token string) error {
	ctx := v.r.Context()
	own, err := p.o.Sessions.Get(ctx, session.ID(token))
	if errors.Is(err, session.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, id := range []string{own.Parent, own.ID} {
		if id == "" {
			continue
		}
		if err := p.o.Sessions.Revoke(ctx, id); err != nil && !errors.Is(err, session.ErrNotFound) {
			return err
		}
	}
	return nil
}
