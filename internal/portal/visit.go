package portal

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// visit is one request to the portal.
type visit struct {
	Caller
	w    http.ResponseWriter
	r    *http.Request
	json bool // the answer is JSON rather than a page
}

// wantsJSON reports whether the answer to r is JSON: Accept names it and does
// not prefer HTML, or the request itself is JSON and Accept does not ask for
// HTML.
func wantsJSON(r *http.Request) bool {
	if problem.PrefersHTML(r) {
		return false
	}
	if isJSON(r) {
		return true
	}
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	return strings.Contains(accept, "application/json") || strings.Contains(accept, "application/problem+json")
}

// isJSON reports whether the body of r is declared to be JSON.
func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// fromBrowser reports whether r was sent by a web browser: only they send these.
func fromBrowser(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Sec-Fetch-Mode") != "" || r.Header.Get("Origin") != ""
}

// write sends a whole answer.
func (v *visit) write(status int, kind string, body []byte) {
	h := v.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(body) // the client is gone: nobody is left to tell
	}
}

// reply sends value as JSON.
func (v *visit) reply(value any) { v.replyStatus(http.StatusOK, value) }

func (v *visit) replyStatus(status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		// Claims come from JSON and everything else here is plain data.
		body = []byte("{}")
	}
	v.write(status, "application/json", append(body, '\n'))
}

// redirect sends the browser to a path of this site, or to a provider, with a GET
// (RFC 9110 section 15.4.4).
func (v *visit) redirect(to string) {
	v.w.Header().Set("Location", to)
	v.w.Header().Set("Content-Length", "0")
	v.w.WriteHeader(http.StatusSeeOther)
}

// who returns whose session the browser holds, or nil for nobody. A cookie that
// stands for nothing is cleared. An error means that it could not be found out.
func (p *Portal) who(v *visit) (*identity.Identity, error) {
	token, sent := cookie.Read(v.r.Header, p.o.Cookies.Session())
	if !sent {
		return nil, nil
	}
	id, err := p.identify(v.r.Context(), token)
	switch {
	case err == nil && id.Authenticated() && id.For(p.origin(v.r)):
		return id, nil
	case err == nil || errors.Is(err, identity.ErrUnknown):
		p.o.Cookies.Clear(v.w, p.o.Cookies.Session())
		return nil, nil
	}
	return nil, err
}

// need is who for pages that are only for somebody: it answers all others, with
// ok false.
func (p *Portal) need(v *visit) (id *identity.Identity, ok bool) {
	id, err := p.who(v)
	switch {
	case err != nil:
		p.fault(v, "reading the session", err)
	case id != nil:
		return id, true
	case !v.json && v.r.Method != http.MethodPost:
		v.redirect(p.loginURL(p.o.Base+"/account", ""))
	default:
		p.fail(v, problem.Problem{
			Status: http.StatusUnauthorized, Kind: problem.NotSignedIn, Challenge: challenge,
			Detail: "Your session has ended. Sign in and try again.",
		})
	}
	return nil, false
}
