package config

import (
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// App is the global configuration: what all sites share.
type App struct {
	// Store is where state lives. Default: a bolt file in Caddy's data folder.
	Store Store `json:"store,omitzero"`

	// Policies is where the Rego is and how long it may take.
	Policies Policies `json:"policies,omitzero"`

	// Passwords is how people sign in with a password kept here.
	Passwords Passwords `json:"passwords,omitzero"`

	// Sessions is how long a browser stays signed in.
	Sessions Sessions `json:"sessions,omitzero"`

	// Keys is how API keys are presented and how long they live.
	Keys Keys `json:"keys,omitzero"`

	// JWT are the issuers whose tokens are accepted. Default: none.
	JWT []JWT `json:"jwt,omitempty"`

	// OIDC are the outside identity providers that people log in with. Default:
	// none.
	OIDC []OIDC `json:"oidc,omitempty"`

	// Portal is the address of the one site where people log in for all others, such
	// as https://auth.example.com. That site has gatehouse_portal. Default: each site
	// serves its own portal under /_gatehouse/.
	Portal string `json:"portal,omitempty"`

	// Certificates accepts client certificates that Caddy has verified. Default:
	// none are looked at.
	Certificates *Certificates `json:"certificates,omitempty"`
}

// Policies says where the Rego is and how long it may take.
type Policies struct {
	// Dirs are the folders with Rego and data files, read with all that is below
	// them, watched, and swapped whole. A relative path starts at Caddy's working
	// directory. {env.NAME} and {file.PATH} are filled in. Default: "./policies"
	// if it exists, else none.
	Dirs []string `json:"dirs,omitempty"`

	// Budget is the longest that one evaluation may take; past it the request is
	// refused with 503. From 1ms to 10s. Default: 25ms.
	Budget Duration `json:"budget,omitzero"`
}

// The defaults and limits of Policies.
const (
	DefaultBudget = Duration(25 * time.Millisecond)
	minBudget     = Duration(time.Millisecond)
	maxBudget     = Duration(10 * time.Second)
)

// Validate reports the first value that cannot be used, as an *[Error].
func (a *App) Validate() error {
	if err := a.Store.validate(); err != nil {
		return under("store", err)
	}
	if err := a.Policies.validate(); err != nil {
		return under("policies", err)
	}
	if err := a.Passwords.validate(); err != nil {
		return under("passwords", err)
	}
	if err := a.Sessions.validate(); err != nil {
		return under("sessions", err)
	}
	if err := a.Keys.validate(); err != nil {
		return under("keys", err)
	}
	if err := validateJWTs(a.JWT); err != nil {
		return err
	}
	if err := validateOIDCs(a.OIDC, a.JWT); err != nil {
		return err
	}
	if err := a.validatePortal(); err != nil {
		return err
	}
	if a.Certificates != nil {
		return under("certificates", a.Certificates.validate())
	}
	return nil
}

func (a *App) validatePortal() error {
	if a.Portal == "" {
		return nil
	}
	if reason := checkURL(a.Portal); reason != "" {
		return fault("portal", "%s", reason)
	}
	if u, err := url.Parse(a.Portal); err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery {
		return fault("portal", "it is more than the address of a site: write it without path and query, such as https://auth.example.com")
	}
	if a.Sessions.CookieDomain != "" {
		return fault("portal", "cookie_domain is given too: either one cookie is shared below a domain, or each site gets its own from the portal; keep one of them")
	}
	return nil
}

// WithDefaults returns a copy in which every field that was left out has its
// default. Store.Bolt.File and Policies.Dirs stay empty: their defaults depend
// on the machine.
func (a App) WithDefaults() App {
	if a.Store.Bolt == nil && a.Store.Redis == nil {
		a.Store.Bolt = &Bolt{}
	}
	if a.Policies.Budget == 0 {
		a.Policies.Budget = DefaultBudget
	}
	a.Passwords = a.Passwords.withDefaults()
	a.Sessions = a.Sessions.withDefaults()
	a.Keys = a.Keys.withDefaults()
	issuers := make([]JWT, len(a.JWT))
	for i, j := range a.JWT {
		issuers[i] = j.withDefaults()
	}
	a.JWT = issuers
	providers := make([]OIDC, len(a.OIDC))
	for i, o := range a.OIDC {
		providers[i] = o.withDefaults()
	}
	a.OIDC = providers
	a.Portal = strings.TrimRight(a.Portal, "/")
	return a
}

// Methods are the ways to prove who one is that this configuration has, in the
// order in which a request's credentials are looked at.
func (a *App) Methods() []identity.Method {
	var methods []identity.Method
	if !a.Keys.Off {
		methods = append(methods, identity.Key)
	}
	if len(a.JWT) > 0 {
		methods = append(methods, identity.JWT)
	}
	if !a.Passwords.Off || len(a.OIDC) > 0 {
		methods = append(methods, identity.Session)
	}
	if a.Certificates != nil {
		methods = append(methods, identity.Certificate)
	}
	return methods
}

// Warnings says what is odd about a valid configuration, for the log.
func (a *App) Warnings() []string {
	if len(a.Methods()) == 0 {
		return []string{"passwords and keys are off, and nothing else is configured by which a caller could prove who they are: only rules that hold without a signed-in caller (anyone, client_ip) can let a request pass"}
	}
	return nil
}

func (p *Policies) validate() error {
	seen := map[string]bool{}
	for _, dir := range p.Dirs {
		switch {
		case strings.TrimSpace(dir) == "":
			return fault("dirs", "a folder's name is empty: write its path, such as ./policies")
		case strings.ContainsRune(dir, 0):
			return fault("dirs", "a folder's name holds a NUL character")
		case strings.Contains(dir, "://"):
			return fault("dirs", "%q is a URL: write the path of a folder, such as ./policies", dir)
		case seen[dir]:
			return fault("dirs", "%q is given twice: write each folder once", dir)
		}
		seen[dir] = true
	}
	return within("budget", p.Budget, minBudget, maxBudget)
}

// within checks a duration that may be left out (0).
func within(field string, d, low, high Duration) error {
	switch {
	case d < 0:
		return fault(field, "%s is negative: write a duration from %s to %s", d, low, high)
	case d != 0 && d < low:
		return fault(field, "%s is too short: write a duration from %s to %s", d, low, high)
	case d > high:
		return fault(field, "%s is too long: write a duration from %s to %s", d, low, high)
	}
	return nil
}
