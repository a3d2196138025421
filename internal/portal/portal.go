// Package portal is the pages that people see under /_gatehouse/: signing in
// and out, the first set-up, a person's own account, and what is shown when a
// request may not pass. Every form also speaks JSON.
//
// It owns the words, the templates, the stylesheet and the order of the steps
// of each form. It does not own what a password, a session, a key or a user is,
// nor who may reach an app: that is packages password, session, key, user and
// gateway.
//
// Forms carry no anti-forgery tokens. A POST is taken only when the browser
// says that it came from this same origin (Sec-Fetch-Site, or Origin where that
// is missing: net/http.CrossOriginProtection), our cookies are SameSite=Lax, and
// no GET changes anything. A token would add a secret to keep and nothing else:
// whoever can make a same-origin request can also read the token.
package portal

import (
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// Options are what a Portal needs. Users, Sessions and Audit are required; with
// Passwords, so are Verifier and Hasher.
type Options struct {
	Base     string // path under which the portal answers, without a slash at its end ["/_gatehouse"]
	Name     string // shown on every page ["Gatehouse"]
	Cookies  cookie.Jar
	Users    *user.Directory
	Sessions *session.Manager
	Verifier *password.Verifier
	Hasher   *password.Hasher
	Rules    password.Rules
	Setup    *Setup // nil: there is no set-up page
	// Passwords offers signing in by password. Without it the login page says
	// that no way to sign in is configured.
	Passwords  bool
	RememberMe bool // offers "Keep me signed in"
	// Keys lets people make API keys and keep an eye on them. nil: keys are off,
	// and no page tells of them.
	Keys        *key.Manager
	KeyLifetime time.Duration // the longest life of a key, as in key.Options.MaxLifetime [365 days]
	Audit       *audit.Trail  // required
	// OnLogin, if set, is told of every try: method is "password", result
	// "success", "wrong", "throttled", "busy" or "error".
	OnLogin func(method, result string)
	Logger  *slog.Logger     // [slog.Default]
	Clock   func() time.Time // [time.Now]
}

// Portal serves the pages. It is safe for use by many goroutines.
type Portal struct {
	o      Options
	pages  map[string]*template.Template
	css    asset
	icon   asset
	routes map[string]route
	csrf   *http.CrossOriginProtection
}

// Caller is what the server knows about a request besides the request.
type Caller struct {
	ClientIP  netip.Addr // after the server's own trusted proxies
	RequestID string
	Site      string // the site that was asked, for display; may be empty
}

// route is one page; a nil method is not allowed there.
type route struct {
	get, post func(*visit)
}

// New makes a Portal. All templates are parsed here.
func New(o Options) (*Portal, error) {
	switch {
	case o.Users == nil || o.Sessions == nil || o.Audit == nil:
		return nil, errors.New("portal: users, sessions and an audit trail are required")
	case o.Passwords && (o.Verifier == nil || o.Hasher == nil):
		return nil, errors.New("portal: passwords need a verifier and a hasher")
	case o.Base != "" && (!strings.HasPrefix(o.Base, "/") || strings.HasSuffix(o.Base, "/")):
		return nil, errors.New("portal: the base path begins with a slash and ends with none")
	}
	if o.Base == "" {
		o.Base = "/_gatehouse"
	}
	if o.Name == "" {
		o.Name = "Gatehouse"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.OnLogin == nil {
		o.OnLogin = func(string, string) {}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.KeyLifetime <= 0 {
		o.KeyLifetime = 365 * day
	}
	p := &Portal{o: o, csrf: http.NewCrossOriginProtection()}
	if err := p.load(); err != nil {
		return nil, err
	}
	p.routes = map[string]route{
		"/login":                          {get: p.getLogin, post: p.postLogin},
		"/logout":                         {get: p.getLogout, post: p.postLogout},
		"/setup":                          {get: p.getSetup, post: p.postSetup},
		"/account":                        {get: p.getAccount},
		"/account/password":               {post: p.postPassword},
		"/account/sessions/revoke":        {post: p.postRevoke},
		"/account/sessions/revoke-others": {post: p.postRevokeOthers},
		"/whoami":                         {get: p.getWhoami},
	}
	if o.Keys != nil {
		p.routes["/account/keys"] = route{get: p.getKeys, post: p.postKey}
		p.routes["/account/keys/rotate"] = route{get: p.getRotateKey, post: p.postRotateKey}
		p.routes["/account/keys/revoke"] = route{get: p.getRevokeKey, post: p.postRevokeKey}
	}
	return p, nil
}

// ServeHTTP answers everything under Base.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request, c Caller) {
	harden(w.Header())
	v := &visit{w: w, r: r, Caller: c, json: wantsJSON(r)}
	path, ours := strings.CutPrefix(r.URL.Path, p.o.Base)
	if !ours {
		p.fail(v, problem.Problem{Status: http.StatusNotFound, Kind: problem.NotFound})
		return
	}
	if p.serveAsset(v, path) {
		return
	}
	if path == "" || path == "/" {
		v.redirect(p.o.Base + "/account")
		return
	}
	page, known := p.routes[path]
	switch {
	case !known:
		p.fail(v, problem.Problem{Status: http.StatusNotFound, Kind: problem.NotFound})
	case page.get != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		page.get(v)
	case page.post == nil || r.Method != http.MethodPost:
		p.notAllowed(v, page)
	case p.csrf.Check(r) != nil:
		p.fail(v, problem.Problem{
			Status: http.StatusForbidden, Kind: problem.Forbidden, Title: "This form came from another site",
			Detail: "Your browser says that another site sent this form, so nothing was done. Open the page here and try again.",
		})
	default:
		page.post(v)
	}
}

func (p *Portal) notAllowed(v *visit, page route) {
	var allow []string
	if page.get != nil {
		allow = append(allow, http.MethodGet, http.MethodHead)
	}
	if page.post != nil {
		allow = append(allow, http.MethodPost)
	}
	v.w.Header().Set("Allow", strings.Join(allow, ", "))
	p.fail(v, problem.Problem{Status: http.StatusMethodNotAllowed, Kind: problem.BadRequest})
}
