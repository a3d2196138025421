package portal

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/sso"
)

// SSO makes one login serve many sites: people log in at the portal's host, and
// each site gets a session of its own that hangs on that one.
type SSO struct {
	// Portal is the origin of the portal's host: "https://auth.example.com".
	Portal string
	// Here is set for the portal itself, and not for the sites.
	Here  bool
	Codes *sso.Codes
	Sites *sso.Sites // of the portal; sites need none
}

// sitePath is where a site takes people back from the portal.
const sitePath = "/_gatehouse/sso/callback"

// reauthAge is how recent a login must be for the step reauth. It is less than
// the gate's by as much as clocks may differ, or a browser would go to
// and fro between a portal that is content and a gate that is not.
const reauthAge = identity.ReauthAge - fresh

// checkSSO checks the options about many sites.
func checkSSO(o *Options) error {
	switch {
	case o.SSO == nil:
		return nil
	case o.SSO.Portal == "" || o.SSO.Codes == nil || o.SSO.Here && o.SSO.Sites == nil:
		return errors.New("portal: one login for many sites needs the portal's address, codes and, at the portal, the list of sites")
	case o.StateKey == nil:
		return errors.New("portal: one login for many sites needs a state key")
	}
	return nil
}

// routeSSO adds the pages of the portal, or leaves a site only those that are its
// own: all others are at the portal.
func (p *Portal) routeSSO() {
	switch {
	case p.o.SSO == nil:
	case p.o.SSO.Here:
		p.routes["/sso"] = route{get: p.getSSO, acts: true}
	default:
		elsewhere := route{get: p.getElsewhere}
		p.routes = map[string]route{
			"/login":        {get: p.getSiteLogin, acts: true},
			"/logout":       {get: p.getLogout, post: p.postSiteLogout},
			"/sso/callback": {get: p.getSiteCallback, acts: true},
			"/whoami":       {get: p.getWhoami},
			"/account":      elsewhere,
			"/setup":        elsewhere,
		}
	}
}

// getElsewhere leads to the same page of the portal.
func (p *Portal) getElsewhere(v *visit) {
	page := v.r.URL.Path[len(p.o.Base):]
	if v.r.URL.RawQuery != "" {
		page += "?" + v.r.URL.RawQuery
	}
	v.redirect(p.o.SSO.Portal + page)
}

// getSSO is where sites send people. It sends them back with a code, after they
// have logged in here. The address is anybody's to make up: a code is good only at
// a site of ours, beside the verifier that this site has put into this browser.
func (p *Portal) getSSO(v *visit) {
	q := v.r.URL.Query()
	site, err := p.o.SSO.Sites.Check(v.r.Context(), q.Get("site"))
	switch {
	case errors.Is(err, sso.ErrUnknownSite):
		p.fail(v, problem.Problem{
			Status: http.StatusBadRequest, Kind: problem.BadRequest, Title: "This site is not known here",
			Detail: "You were sent here to sign in for a site that this portal does not serve, so you are not sent back to it. If you run it: its gate has to share this portal's store, and its address needs a host name.",
		})
		return
	case err != nil:
		p.fault(v, "looking up a site", err)
		return
	}
	challenge, state := q.Get("challenge"), q.Get("state")
	if !openly(v.r) || !sso.ValidChallenge(challenge) || !sso.ValidChallenge(state) {
		p.fail(v, problem.Problem{
			Status: http.StatusBadRequest, Kind: problem.BadRequest, Title: "This sign-in was not understood",
			Detail: "The address that you came by is not whole. Go back to the site and try again.",
		})
		return
	}
	who, err := p.who(v)
	if err != nil {
		p.fault(v, "reading the session", err)
		return
	}
	step := knownStep(q.Get("step"))
	if who == nil || !reached(who, step, p.o.Clock()) {
		if q.Has("tried") && who != nil {
			p.unreached(v, step)
			return
		}
		v.redirect(p.loginURL(p.ssoAgain(site, challenge, state, step), step))
		return
	}
	p.issue(v, site, challenge, state)
}

// ssoAgain is the way back here after a login for a step, which is done once.
func (p *Portal) ssoAgain(site, challenge, state, step string) string {
	q := url.Values{"site": {site}, "challenge": {challenge}, "state": {state}}
	if step == stepReauth || step == stepMFA {
		q.Set("step", step)
		q.Set("tried", "1")
	}
	return p.o.Base + "/sso?" + q.Encode()
}

// reached reports whether a login is good for a step.
func reached(who *identity.Identity, step string, now time.Time) bool {
	switch step {
	case stepReauth:
		age := now.Sub(who.AuthTime)
		return !who.AuthTime.IsZero() && age <= reauthAge && age >= -fresh
	case stepMFA:
		return who.SecondFactor()
	case stepSwitch:
		return false
	}
	return true
}

// unreached ends a circle: the login was done again, and is still not enough.
func (p *Portal) unreached(v *visit, step string) {
	detail := "The site needs a fresh sign-in, and the one that you just did does not show when it was."
	if step == stepMFA {
		detail = "The site needs a second factor, and the sign-in that you just did does not show one."
	}
	p.fail(v, problem.Problem{Status: http.StatusForbidden, Kind: problem.StepUp, Title: "That is not enough for the site", Detail: detail})
}

// issue sends the browser back to a site with a code for the session that it has
// here.
func (p *Portal) issue(v *visit, site, challenge, state string) {
	token, _ := cookie.Read(v.r.Header, p.o.Cookies.Session())
	g := sso.Grant{Site: site, Challenge: challenge, Session: session.ID(token)}
	if key, ok := session.SealKey(token); ok {
		g.Secret = key.Bytes()
	}
	code, err := p.o.SSO.Codes.Issue(v.r.Context(), g)
	if err != nil {
		p.fault(v, "issuing a code for a site", err)
		return
	}
	v.redirect(site + sitePath + "?" + url.Values{"code": {code}, "state": {state}}.Encode())
}

// onward sends a browser on after a form. On the way to another site it goes by a
// page that leads on by itself, since browsers hold form-action against all
// redirects that follow a form.
func (p *Portal) onward(v *visit, back string) {
	if site := p.siteOf(v, back); site != "" {
		p.going(v, goingData{To: back, Lead: "You are signed in."}, "Going on to "+siteName(site))
		return
	}
	v.redirect(back)
}

// siteOf is the origin that a way back through getSSO leads to; "" for every other,
// and for a site that is not ours: what a stranger wrote is not shown.
func (p *Portal) siteOf(v *visit, back string) string {
	if p.o.SSO == nil || !p.o.SSO.Here {
		return ""
	}
	u, err := url.Parse(back)
	if err != nil || u.Path != p.o.Base+"/sso" {
		return ""
	}
	site, err := p.o.SSO.Sites.Check(v.r.Context(), u.Query().Get("site"))
	if err != nil {
		return ""
	}
	return site
}

// goal is what the login page calls the place that people go on to.
func (p *Portal) goal(v *visit, back string) string {
	if site := p.siteOf(v, back); site != "" {
		return siteName(site)
	}
	return siteName(v.Site)
}
