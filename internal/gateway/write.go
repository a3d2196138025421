package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/returnto"
)

// problem writes p as a page or a document. It returns false, so that an answer
// ends the request where it is written.
func (e *exchange) problem(p problem.Problem) bool {
	p = p.WithDefaults()
	p.RequestID, p.NoLogin = e.id, e.gate.o.NoLogin
	e.ours()
	p.Headers(e.w.Header())
	if e.gate.o.Pages != nil && problem.Navigation(e.r) {
		e.gate.o.Pages.Problem(e.w, e.r, p)
		return false
	}
	p.Write(e.w)
	return false
}

// redirect sends a person to the login page, which leads back here.
func (e *exchange) redirect(step string) bool {
	to := e.gate.o.LoginPath
	query := make([]string, 0, 2)
	if back, ok := returnto.Clean(e.here()); ok {
		query = append(query, "return_to="+url.QueryEscape(back))
	}
	if step != "" {
		query = append(query, "step="+step)
	}
	if len(query) > 0 {
		to += "?" + strings.Join(query, "&")
	}
	e.ours()
	h := e.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Location", to)
	e.w.WriteHeader(http.StatusFound)
	return false
}

// here is the address that the browser shows, as far as it is on this site. In
// absolute form (RFC 9112 section 3.2.2) the request line has the whole URL.
func (e *exchange) here() string {
	if strings.HasPrefix(e.r.RequestURI, "/") {
		return e.r.RequestURI
	}
	return e.r.URL.RequestURI()
}

// ours sets what all of our answers carry.
func (e *exchange) ours() {
	e.w.Header().Set("X-Request-Id", e.id)
	if e.stale {
		e.gate.o.Cookies.Clear(e.w, e.gate.o.Cookies.Session())
	}
}

// wanted is the challenge for a stranger. RFC 9110 section 15.5.2 demands one;
// there is no registered scheme for cookies, so without authenticators that name
// their own it is Bearer, which makes no browser open a password box.
func (e *exchange) wanted() string {
	if e.challenge != "" {
		return e.challenge
	}
	return `Bearer realm="` + realm(e.gate.o.Site.Host) + `"`
}

// realm makes s fit into a quoted string (RFC 9110 section 5.6.4).
func realm(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			return -1
		}
		return c
	}, s)
}
