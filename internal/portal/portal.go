// Package portal is the pages that people see under /_gatehouse/: signing in
// and out, here and at outside providers, the first set-up, a person's own
// account, and what is shown when a request may not pass. Every form also speaks
// JSON.
//
// It owns the words, the templates, the stylesheet and the order of the steps
// of each form. It does not own what a password, a session, a key or a user is,
// how a provider is talked to, nor who may reach an app: that is packages
// password, session, key, user, oidc and gateway.
//
// Forms carry no anti-forgery tokens. A POST is taken only when the browser
// says that it came from this same origin (Sec-Fetch-Site, or Origin where that
// is missing: net/http.CrossOriginProtection), our cookies are SameSite=Lax, and
// no GET changes anything, but for those that providers ask for. A token would
// add a secret to keep and nothing else: whoever can make a same-origin request
// can also read the token.
//
// A login at a provider is kept by the browser that began it, sealed, in a cookie
// of its own, until it comes back: that binds the two, and nothing is stored here
// for logins that nobody ends. The state of one counts once, on all instances.
package portal

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// Options are what a Portal needs. Users, Sessions and Audit are required; with
// Passwords, so are Verifier and Hasher.
type Options struct {
	Base     string // path under which the portal answers, without a slash at its end ["/_gatehouse"]
	Root     bool   // it answers at the root of its host instead; Base is empty then
	Name     string // shown on every page ["Gatehouse"]
	Cookies  cookie.Jar
	Users    *user.Directory
	Sessions *session.Manager
	Verifier *password.Verifier
	Hasher   *password.Hasher
	Rules    password.Rules
	Setup    *Setup // nil: there is no set-up page
	// Passwords offers signing in by password. Without it and without Providers
	// the login page says that no way to sign in is configured.
	Passwords  bool
	RememberMe bool // offers "Keep me signed in"
	// Keys lets people make API keys and keep an eye on them. nil: keys are off,
	// and no page tells of them.
	Keys        *key.Manager
	KeyLifetime time.Duration // the longest life of a key, as in key.Options.MaxLifetime [365 days]
	Audit       *audit.Trail  // required
	// Providers are where people may sign in as well, in the order of the login
	// page. With them, Federation, StateKey and Once are required. A site of a portal
	// has them so that a logout there ends the session at the provider, too.
	Providers  []Provider
	Federation Federation
	// StateKey is the key that logins under way are sealed with in the browser. All
	// instances share it, and it stays the same for as long as a login may take.
	StateKey func(context.Context) ([32]byte, error)
	// Once reports whether key, a text of at most 64 bytes, comes for the first time
	// within ttl, over all instances: of several callers at once, one hears true.
	Once func(ctx context.Context, key string, ttl time.Duration) (first bool, err error)
	// SSO makes one login serve many sites. nil: each site has its own.
	SSO *SSO
	// OnLogin, if set, is told of every try. By method "password" the result is
	// "success", "wrong", "throttled", "busy" or "error"; by "oidc" it is "success",
	// "denied", "invalid", "lost", "unavailable" or "error".
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
	errand errands

	// identify is who a session cookie stands for.
	identify func(ctx context.Context, token string) (*identity.Identity, error)
}

// Caller is what the server knows about a request besides the request.
type Caller struct {
	ClientIP  netip.Addr // after the server's own trusted proxies
	RequestID string
	Site      string // the site that was asked, for display; may be empty
	// Identity is who the site's gate has found to ask, by any credential. Only
	// whoami looks at it; all else is for people with a session.
	Identity *identity.Identity
}

// New makes a Portal. All templates are parsed here. Close must be called in the
// end.
func New(o Options) (*Portal, error) {
	switch {
	case o.Users == nil || o.Sessions == nil || o.Audit == nil:
		return nil, errors.New("portal: users, sessions and an audit trail are required")
	case o.Passwords && (o.Verifier == nil || o.Hasher == nil):
		return nil, errors.New("portal: passwords need a verifier and a hasher")
	case o.Base != "" && (!strings.HasPrefix(o.Base, "/") || strings.HasSuffix(o.Base, "/")):
		return nil, errors.New("portal: the base path begins with a slash and ends with none")
	case o.Root && o.Base != "":
		return nil, errors.New("portal: at the root there is no base path")
	}
	if err := checkProviders(&o); err != nil {
		return nil, err
	}
	if err := checkSSO(&o); err != nil {
		return nil, err
	}
	if o.Base == "" && !o.Root {
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
	p := &Portal{o: o, csrf: http.NewCrossOriginProtection(), identify: o.Sessions.Identify}
	if o.Federation != nil {
		p.identify = o.Federation.Identify
	}
	if err := p.load(); err != nil {
		return nil, err
	}
	p.route()
	return p, nil
}

// Close ends what runs in the background.
func (p *Portal) Close() { p.errand.close() }
