package portal

import (
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// unavailable answers when nobody can be sent to a provider now.
func (p *Portal) unavailable(v *visit, s start) {
	links := []link{{p.startURL(s.at, s.back, s.step, s.hint), "Try again"}}
	if p.ways() > 1 {
		links = append(links, link{p.chooseURL(s.back), "Other ways to sign in"})
	}
	p.failWith(v, problem.Problem{
		Status: http.StatusServiceUnavailable, Kind: problem.Unavailable, RetryAfter: retryProvider, Title: s.at.title() + " does not answer",
		Detail: "Nobody can sign in there right now. Nothing is wrong with your account; try again in a moment.",
	}, links)
}

// cannotStep answers when a provider has no way to do a step.
func (p *Portal) cannotStep(v *visit, s start) {
	what, title := "ask you to sign in again", "A fresh sign-in cannot be had"
	if s.step == stepMFA {
		what, title = "ask you for a second factor", "A second factor cannot be given"
	}
	p.failWith(v, problem.Problem{
		Status: http.StatusForbidden, Kind: problem.StepUp, Title: title,
		Detail: "What you wanted to do needs it, but " + s.at.title() + " cannot " + what + ". You are signed in as before.",
	}, []link{{p.loginURL(s.back, stepSwitch), "Use another account"}})
}

// lostPage is for a browser that comes back from a provider without the cookie of
// a login. It is not sent there again: it would come back the same way.
func (p *Portal) lostPage(v *visit, at *Provider, name string, who *identity.Identity) {
	pr := problem.Problem{
		Status: http.StatusBadRequest, Kind: problem.BadRequest, Title: "This sign-in did not begin in this browser",
		Detail: "You came back from " + at.title() + " without the cookie " + name + ", which your browser was given when the sign-in began. So nothing was done, and you are not sent there again.",
	}
	links := []link{{p.chooseURL("/"), "Sign in"}}
	if who != nil {
		pr.Detail += " You are signed in as before."
		links = []link{{"/", "Continue"}, {p.o.Base + "/account", "Your account"}}
	}
	p.failWith(v, pr, links,
		"It may have begun in another browser, in a private window, or more than an hour ago, or your browser has since begun "+
			"several others in other tabs.",
		"It may have begun under another host name than "+v.r.Host+", or with http:// instead of https://. Sign in from here.",
		"Cookies may be blocked for this site, by a setting or an extension. Allow them, then sign in again.",
		"A clock that is far off makes browsers forget cookies too early. Set that of your device right.")
}

// circledPage is for a browser that was given a session a moment ago and comes
// back without it.
func (p *Portal) circledPage(v *visit, kept bool) {
	name := p.o.Cookies.Session()
	pr := problem.Problem{
		Status: http.StatusBadRequest, Kind: problem.BadRequest, Title: "Your browser did not keep our cookie",
		Detail: "You signed in a moment ago, and your browser came back without the cookie " + name + " that it was given. So you are not sent on to sign in again.",
	}
	advice := []string{
		"Cookies may be blocked for this site, by a setting or an extension. Allow them, then sign in again.",
		"You may have come back with http:// instead of https://, or under another host name than the one where you signed in.",
		"A clock that is far off makes browsers forget cookies too early. Set that of your device right.",
	}
	if kept {
		pr.Title = "Signing in does not help"
		pr.Detail = "You signed in several times within a minute, and each time the session that the cookie " + name + " stands for was over at once. So you are not sent on to sign in again."
		advice = []string{
			"If you run this server: all instances that serve this site need one common store, and clocks that agree.",
			"An administrator or the place where you sign in may be ending your sessions.",
		}
	}
	if domain := p.o.Cookies.Domain; domain != "" && !kept {
		advice = append(advice, "If you run this server: cookie_domain is "+domain+", and browsers drop the cookie on hosts that are not below it.")
	}
	p.failWith(v, pr, []link{{p.chooseURL(p.returnTo(v.r.URL.Query().Get("return_to"))), "Sign in again"}}, advice...)
}

// sentSession reports whether the browser sent a session cookie, whatever it is
// worth.
func (p *Portal) sentSession(v *visit) bool {
	_, sent := cookie.Read(v.r.Header, p.o.Cookies.Session())
	return sent
}
