package config

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Site is the configuration of one gate: what one route asks of its callers.
type Site struct {
	// Name labels the gate in logs, and its compiled rules as the Rego package
	// gatehouse.sites.<name>. Default: the Caddyfile puts the site's address here;
	// without it, one is made up.
	Name string `json:"name,omitempty"`

	// PortalOnly makes this no gate at all but the company that a gate with a
	// matcher needs. Of the requests that came through no gate it serves those
	// under /_gatehouse/ as the portal, takes our headers off the others, so that
	// nobody can send them to the app around the gate, and passes those on
	// undecided. It stands after the gate. Default: false.
	PortalOnly bool `json:"portal_only,omitempty"`

	// Portal serves the portal at the root of this site, and nothing else: the one
	// place where people log in for all sites, at the address of the global Portal.
	// Default: false.
	Portal bool `json:"portal,omitempty"`

	// Allow are the rules by which a request may pass: any one of them is enough.
	// Default, without Policy and Deny: the package gatehouse.authz if a policy
	// folder has it, else everyone who is signed in. With Deny alone: everyone who
	// is signed in.
	Allow []Line `json:"allow,omitempty"`

	// Deny are the rules that refuse a request, whatever Allow says. Default: none.
	Deny []Line `json:"deny,omitempty"`

	// Policy is the Rego package that decides, such as "gatehouse.authz". Not
	// together with Allow and Deny. Default: see Allow.
	Policy string `json:"policy,omitempty"`

	// Methods are the ways to prove who one is that count here: "session", "key",
	// "jwt", "certificate". A credential of another kind counts as none, and one in
	// Authorization is refused. Default: all that are configured.
	Methods []string `json:"methods,omitempty"`

	// Headers are the request headers that tell the app who asks; they replace the
	// default ones as a whole. X-Request-Id is set beside them always. Default:
	// Remote-User, Remote-Email, Remote-Name, Remote-Groups, Remote-Roles.
	Headers []Header `json:"headers,omitempty"`

	// ProviderToken is a request header that hands the app the access token of the
	// provider where a person logged in, fresh each time. Default: none.
	ProviderToken string `json:"provider_token,omitempty"`

	// Timezone is the IANA name of the zone in which the policy sees the time,
	// such as "Europe/Berlin". Default: UTC.
	Timezone string `json:"timezone,omitempty"`

	// Authorization says what becomes of an Authorization header that no method
	// claims: "pass" leaves it to the app. Default: such a request is refused with
	// 401.
	Authorization string `json:"authorization,omitempty"`
}

// AuthorizationPass leaves an Authorization header that no method claims to the
// app.
const AuthorizationPass = "pass"

// Validate reports the first value that cannot be used, as an *[Error].
func (s *Site) Validate() error {
	if s.PortalOnly || s.Portal {
		return s.validatePortalOnly()
	}
	if err := s.validateName(); err != nil {
		return err
	}
	if err := s.validateRules(); err != nil {
		return err
	}
	if err := s.validateMethods(); err != nil {
		return err
	}
	if err := validateHeaders(s.Headers); err != nil {
		return err
	}
	if err := s.validateProviderToken(); err != nil {
		return err
	}
	if err := validateTimezone(s.Timezone); err != nil {
		return err
	}
	if s.Authorization != "" && s.Authorization != AuthorizationPass {
		return fault("authorization", "%s, or leave it out", Unknown("value", s.Authorization, []string{AuthorizationPass}))
	}
	return nil
}

// CheckSite reports what a site asks for that the global configuration rules
// out.
func (a *App) CheckSite(s *Site) error {
	for _, m := range s.Methods {
		switch identity.Method(m) {
		case identity.Session:
			if a.Passwords.Off && len(a.OIDC) == 0 {
				return fault("methods", "session needs a way to sign in, and passwords are off: turn passwords on, add an oidc provider, or leave it out")
			}
		case identity.Key:
			if a.Keys.Off {
				return fault("methods", "keys are off: remove keys off from the global options, or leave key out here")
			}
		case identity.JWT:
			if len(a.JWT) == 0 {
				return fault("methods", "jwt needs an issuer: write jwt <name> { issuer ...; audience ... } in the gatehouse block of the global options")
			}
		case identity.Certificate:
			if a.Certificates == nil {
				return fault("methods", "certificate needs to know what names the holder: write certificates { username san_email } in the gatehouse block of the global options")
			}
		}
	}
	if err := a.checkProviders(s); err != nil {
		return err
	}
	if s.Portal && a.Portal == "" {
		return fault("portal", "the global options do not say that there is a portal: write portal https://auth.example.com, this site's address, in their gatehouse block")
	}
	if s.ProviderToken != "" && len(a.OIDC) == 0 {
		return fault("provider_token", "no provider is configured that could give a token: add an oidc block to the global options, or remove it")
	}
	if s.ProviderToken != "" && !a.Accepts(s, identity.Session) {
		return fault("provider_token", "only people who signed in have such a token, and methods leaves them out: add session to methods, or remove it")
	}
	if a.Keys.Header == "" {
		return nil
	}
	if s.ProviderToken != "" && alias(s.ProviderToken) == alias(a.Keys.Header) {
		return fault("provider_token", "%s is the header for keys, which the app does not see: choose another name", s.ProviderToken)
	}
	for i, h := range s.Headers {
		if alias(h.Name) == alias(a.Keys.Header) {
			return fault(index("headers", i)+".name", "%s is the header for keys, which the app does not see: choose another name", h.Name)
		}
	}
	return nil
}

func (s *Site) validateProviderToken() error {
	const field = "provider_token"
	if s.ProviderToken == "" {
		return nil
	}
	if slices.ContainsFunc(identityHeaders, func(h string) bool { return alias(h) == alias(s.ProviderToken) }) {
		return fault(field, "%s tells the app who asks: choose another name, such as X-Provider-Token", s.ProviderToken)
	}
	// Held against the same rules as the site's own headers, and against those.
	own := s.Headers
	if err := validateHeaders(append(slices.Clone(own), Header{Name: s.ProviderToken, Value: "x"})); err != nil {
		return fault(field, "%s", strings.TrimPrefix(err.Error(), index("headers", len(own))+".name: "))
	}
	return nil
}

// checkProviders refuses the name of a provider that there is not: in a deny line
// it would be an open gate.
func (a *App) checkProviders(s *Site) error {
	known := slices.Clone(takenNames)
	for _, j := range a.JWT {
		known = append(known, j.Name)
	}
	for _, o := range a.OIDC {
		known = append(known, o.Name)
	}
	for _, lines := range []struct {
		field string
		lines []Line
	}{{"allow", s.Allow}, {"deny", s.Deny}} {
		for i, line := range lines.lines {
			for _, c := range line {
				for _, v := range c.Values {
					if c.Kind == "provider" && !slices.Contains(known, v) {
						return fault(index(lines.field, i), "%s", Unknown("provider", v, known))
					}
				}
			}
		}
	}
	return nil
}

// Accepts reports whether a way to prove who one is counts at a site.
func (a *App) Accepts(s *Site, m identity.Method) bool {
	return slices.Contains(a.Methods(), m) && (len(s.Methods) == 0 || slices.Contains(s.Methods, string(m)))
}

func (s *Site) validatePortalOnly() error {
	field := "portal_only"
	if s.Portal {
		field = "portal"
		if s.PortalOnly {
			return fault(field, "portal_only is given too: keep one of them")
		}
	}
	if len(s.Allow)+len(s.Deny)+len(s.Methods)+len(s.Headers) > 0 || s.Policy+s.Timezone+s.Authorization+s.ProviderToken != "" {
		return fault(field, "it decides nothing, so the options of a gate have no meaning beside it: keep only name")
	}
	return s.validateName()
}

func (s *Site) validateName() error {
	if len(s.Name) > 300 || strings.ContainsFunc(s.Name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fault("name", "%.60q is no label: write up to 300 characters without spaces, such as app.example.com", s.Name)
	}
	return nil
}

func (s *Site) validateRules() error {
	if s.Policy != "" {
		if len(s.Allow)+len(s.Deny) > 0 {
			return fault("policy", "allow or deny is given too: the rules of a site are either lines or a policy, keep one of them")
		}
		return validatePackage(s.Policy)
	}
	for _, lines := range []struct {
		field string
		lines []Line
	}{{"allow", s.Allow}, {"deny", s.Deny}} {
		for i, line := range lines.lines {
			if err := line.Validate(); err != nil {
				return under(index(lines.field, i), err)
			}
		}
	}
	return nil
}

// methods are those of the contract; those that are built are true.
var methods = []struct {
	name  identity.Method
	built bool
}{
	{identity.Session, true},
	{identity.Key, true},
	{identity.JWT, true},
	{identity.Basic, false},
	{identity.Certificate, true},
}

func (s *Site) validateMethods() error {
	seen := map[string]bool{}
	for _, m := range s.Methods {
		if seen[m] {
			return fault("methods", "%s is given twice: write each method once", m)
		}
		seen[m] = true
		if err := validateMethod(m); err != nil {
			return err
		}
	}
	return nil
}

func validateMethod(name string) error {
	var built []string
	for _, m := range methods {
		if m.built {
			built = append(built, string(m.name))
		}
	}
	for _, m := range methods {
		if name != string(m.name) {
			continue
		}
		if !m.built {
			return fault("methods", "%s", Unavailable(name, "write session, or key: keys are taken as Basic password, too"))
		}
		return nil
	}
	return fault("methods", "%s", Unknown("method", name, built))
}

// validateTimezone takes IANA names only: "Local" would mean another zone on
// another machine.
func validateTimezone(name string) error {
	if name == "" {
		return nil
	}
	if _, err := time.LoadLocation(name); err != nil || strings.EqualFold(name, "local") {
		return fault("timezone", "%.60q is no zone of the IANA database: write a name such as Europe/Berlin or UTC", name)
	}
	return nil
}

// regoKeywords cannot be a part of a package's dotted name.
var regoKeywords = map[string]bool{
	"as": true, "contains": true, "default": true, "else": true, "every": true, "false": true, "if": true, "import": true,
	"in": true, "not": true, "null": true, "package": true, "some": true, "true": true, "with": true,
}

func validatePackage(name string) error {
	const field = "policy"
	if rest, found := strings.CutPrefix(name, "data."); found {
		return fault(field, "%q is the path of data: write the package's name, %s", name, rest)
	}
	if strings.HasSuffix(name, ".rego") || strings.Contains(name, "/") {
		return fault(field, "%q is a file: write the name after \"package\" in it, such as gatehouse.authz", name)
	}
	for part := range strings.SplitSeq(name, ".") {
		if !identifier(part) || regoKeywords[part] {
			return fault(field, "%.80q is no package name: write words of letters, digits and _ with dots between them, such as gatehouse.authz", name)
		}
	}
	return nil
}

func identifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
