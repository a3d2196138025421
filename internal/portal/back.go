package portal

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/returnto"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// returnTo is where to go after signing in: raw if it leads back to this site,
// else "/". Pages that would only lead here again are no destination.
func (p *Portal) returnTo(raw string) string {
	back, ok := returnto.Clean(raw)
	if !ok {
		return "/"
	}
	u, err := url.Parse(back)
	if err != nil {
		return "/"
	}
	page, ours := strings.CutPrefix(path.Clean(u.Path), p.o.Base)
	page = strings.ToLower(page)
	if ours && (page == "/login" || page == "/logout" || page == "/setup" || page == "/sso/callback" || strings.HasPrefix(page, "/oidc/")) {
		return "/"
	}
	return back
}

// here is the address that the browser shows, as a way back to it; "" when the
// request cannot be repeated by following a link. Routes before us may have
// rewritten the URL, so the request line counts.
func (p *Portal) here(r *http.Request) string {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return ""
	case strings.HasPrefix(r.RequestURI, "/"):
		return p.returnTo(r.RequestURI)
	}
	return p.returnTo(r.URL.RequestURI())
}

// loginURL is the login page with the way back; step may be empty.
func (p *Portal) loginURL(back, step string) string {
	q := url.Values{}
	if back != "" && back != "/" {
		q.Set("return_to", back)
	}
	if step != "" {
		q.Set("step", step)
	}
	if len(q) == 0 {
		return p.o.Base + "/login"
	}
	return p.o.Base + "/login?" + q.Encode()
}

// chooseURL is the login page where it must not lead on by itself: after what
// went wrong.
func (p *Portal) chooseURL(back string) string {
	url := p.loginURL(back, "")
	if strings.Contains(url, "?") {
		return url + "&choose=1"
	}
	return url + "?choose=1"
}

// siteName is how a site's configured name reads to a person: a host without
// its scheme, or nothing for one that only names a port.
func siteName(site string) string {
	if _, host, ok := strings.Cut(site, "://"); ok {
		site = host
	}
	if strings.HasPrefix(site, ":") {
		return ""
	}
	return strings.TrimSuffix(site, "/")
}

// sameName reports whether what was typed is the user called name.
func sameName(typed, name string) bool {
	normal, err := user.NormalizeName(typed)
	return err == nil && normal == name
}
