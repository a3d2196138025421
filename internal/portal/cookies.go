package portal

import (
	"net/http"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// offerCookies answers requests that cannot have cookies, with ok false; to the
// others it gives the check cookie, by which the coming POST shows that the
// browser keeps ours.
func (p *Portal) offerCookies(v *visit) (ok bool) {
	if !p.mayHaveCookies(v) {
		return false
	}
	p.o.Cookies.Set(v.w, p.o.Cookies.Check(), "1", 0)
	return true
}

func (p *Portal) mayHaveCookies(v *visit) (ok bool) {
	if cookie.Allowed(v.r) {
		return true
	}
	p.fail(v, problem.Problem{
		Status: http.StatusForbidden, Kind: problem.Forbidden, Title: "Signing in needs HTTPS",
		Detail: "This page came over plain HTTP. A password and a session sent this way can be read by others on the network, so on this host neither is taken. Open the same address with https://.",
	}, "On plain HTTP, only localhost and loopback addresses can sign in.",
		"If you run this server: Caddy serves HTTPS by itself when the site's address has no http:// and no port 80.")
	return false
}

// keepsCookies answers forms of browsers that did not send the check cookie
// back: a session would be lost on them, and the person would be led in a
// circle. Clients that are no browser, and JSON, carry their cookies knowingly.
func (p *Portal) keepsCookies(v *visit) (ok bool) {
	_, sent := cookie.Read(v.r.Header, p.o.Cookies.Check())
	if sent || isJSON(v.r) || !fromBrowser(v.r) {
		return true
	}
	p.fail(v, problem.Problem{
		Status: http.StatusBadRequest, Kind: problem.BadRequest, Title: "Your browser did not keep our cookie",
		Detail: "The cookie " + p.o.Cookies.Check() + " was given to your browser with the form and did not come back. Without cookies nobody can stay signed in, so your password was not looked at.",
	}, "Cookies may be blocked for this site, by a setting or an extension. Allow them, then open the form again.",
		"The form may have been open since before cookies were deleted. Open it again.",
		"On http://localhost some browsers, Safari among them, keep no secure cookies. Use https, or another browser.")
	return false
}

// giveSession hands the browser its session. It ends with the browser unless the
// person asked to be remembered; the server's own limits hold either way.
func (p *Portal) giveSession(v *visit, token string, s *session.Session) {
	var age time.Duration
	if s.Remember {
		age = s.Expires.Sub(p.o.Clock())
	}
	p.o.Cookies.Set(v.w, p.o.Cookies.Session(), token, age)
}
