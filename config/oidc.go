package config

import (
	"slices"
	"strings"
	"time"
)

// OIDC is an outside identity provider that people log in with.
type OIDC struct {
	// Name labels the provider in addresses (/_gatehouse/oidc/<name>/callback), logs,
	// metrics and policies. Small letters, digits, - and _. Required.
	Name string `json:"name"`

	// Preset fills in what is the same for everybody at a well-known provider:
	// google, microsoft, github, gitlab, okta, auth0 or keycloak. Default: none.
	Preset string `json:"preset,omitempty"`

	// Label is what its button says. Default: "Sign in with " and the provider's or
	// preset's name.
	Label string `json:"label,omitempty"`

	// Issuer is the provider's issuer, where its metadata are discovered (OpenID
	// Connect Discovery). Required, but for google, github and gitlab, which have a
	// default, and microsoft, where Tenants tell it. {env.NAME} and {file.PATH} are
	// filled in.
	Issuer string `json:"issuer,omitempty"`

	// ClientID and ClientSecret are what the provider gave to this client.
	// {env.NAME} and {file.PATH} are filled in. ClientID is required; ClientSecret,
	// unless ClientAuth is private_key_jwt or tls_client_auth.
	ClientID     string `json:"client_id"`
	ClientSecret Secret `json:"client_secret,omitempty"`

	// ClientAuth is how we show the provider who we are: client_secret_basic,
	// client_secret_post, private_key_jwt (RFC 7523) or tls_client_auth (RFC 8705).
	// Default: client_secret_basic, or _post where the provider takes only that.
	ClientAuth string `json:"client_auth,omitempty"`

	// ClientKey and ClientCertificate are PEM files: the private key for
	// private_key_jwt and tls_client_auth, and the certificate for the latter.
	// {env.NAME} and {file.PATH} are filled in.
	ClientKey         string `json:"client_key,omitempty"`
	ClientCertificate string `json:"client_certificate,omitempty"`

	// Scopes are asked for at login. Default: openid, email, profile, and what the
	// preset needs.
	Scopes []string `json:"scopes,omitempty"`

	// Claims say which claim fills which field of the identity: username, email,
	// email_verified, name, roles or groups, by a path such as realm_access.roles.
	// Default: those of the preset.
	Claims map[string]string `json:"claims,omitempty"`

	// Algorithms are the signatures of ID tokens that count. Default: RS256, ES256,
	// EdDSA and PS256.
	Algorithms []string `json:"algorithms,omitempty"`

	// AllowEmailDomain lets in only people with an address, verified by the
	// provider, at one of these domains; not below them. It also leads people who
	// give such an address on the login page to this provider. Default: everybody.
	AllowEmailDomain []string `json:"allow_email_domain,omitempty"`

	// LinkByEmail lets a first login with an address that the provider has verified
	// be the one local user with that verified address. Whoever controls addresses
	// at the provider can then sign in as those users. Default: false.
	LinkByEmail bool `json:"link_by_email,omitempty"`

	// Recheck is how long somebody whom the provider lets go stays signed in: so
	// often the provider is asked again. From 1m to 24h. Default: never, a session
	// lasts as long as any.
	Recheck Duration `json:"recheck,omitzero"`

	// ACRValues and MFAValues are authentication context classes: those that every
	// login asks for, and those that stand for a second factor when a policy
	// requires one. Defaults: none.
	ACRValues []string `json:"acr_values,omitempty"`
	MFAValues []string `json:"mfa_values,omitempty"`

	// MaxAge is how long ago a person may have signed in at the provider. From 1m.
	// Default: as long as the provider likes.
	MaxAge Duration `json:"max_age,omitzero"`

	// Prompt is sent with every login: login, consent or select_account. Default:
	// none.
	Prompt string `json:"prompt,omitempty"`

	// HostedDomains (google), Organizations (github) and Tenants (microsoft) let in
	// only people of these. Default: everybody; microsoft needs Tenants or Issuer.
	HostedDomains []string `json:"hosted_domains,omitempty"`
	Organizations []string `json:"organizations,omitempty"`
	Tenants       []string `json:"tenants,omitempty"`
}

// The presets of OIDC, and whether each has an issuer of its own.
var presets = []struct {
	name  string
	label string
	known bool // its issuer needs no saying
}{
	{"google", "Google", true}, {"microsoft", "Microsoft", true}, {"github", "GitHub", true}, {"gitlab", "GitLab", true},
	{"okta", "Okta", false}, {"auth0", "Auth0", false}, {"keycloak", "Keycloak", false},
}

var (
	clientAuths = []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"}
	prompts     = []string{"login", "consent", "select_account"}
	// loginFields are the fields of an identity that a provider's claim may fill.
	loginFields = []string{"username", "email", "email_verified", "name", "roles", "groups"}
)

// The limits of OIDC.
const (
	minRecheck = Duration(time.Minute)
	maxRecheck = Duration(24 * time.Hour)
	minMaxAge  = Duration(time.Minute)
)

func presetNames() []string {
	names := make([]string, len(presets))
	for i, p := range presets {
		names[i] = p.name
	}
	return names
}

func validateOIDCs(all []OIDC, issuers []JWT) error {
	names := map[string]string{}
	for _, j := range issuers {
		names[j.Name] = "a jwt block"
	}
	for i := range all {
		o, at := &all[i], index("oidc", i)
		if err := o.validate(); err != nil {
			return under(at, err)
		}
		if first, found := names[o.Name]; found {
			return fault(at+".name", "%s is the name of %s already: each provider needs a name of its own", o.Name, first)
		}
		names[o.Name] = "an oidc block"
	}
	return nil
}

func (o *OIDC) validate() error {
	if !label(o.Name) {
		return fault("name", "%.80q is no name for a provider: write up to 40 small letters, digits, - and _, such as oidc google google { ... }", o.Name)
	}
	if slices.Contains(takenNames, o.Name) {
		return fault("name", "%s is the provider of others: choose another name", o.Name)
	}
	if o.Preset != "" && !slices.Contains(presetNames(), o.Preset) {
		return fault("preset", "%s, or leave it out", Unknown("preset", o.Preset, presetNames()))
	}
	if strings.ContainsFunc(o.Label, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(o.Label) > 100 {
		return fault("label", "it is longer than 100 bytes or holds control characters: write a few words, such as \"Sign in with Example\"")
	}
	for _, step := range []func() error{o.validateIssuer, o.validateClient, o.validateLists, o.validateLogin} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (o *OIDC) validateIssuer() error {
	if o.Issuer == "" {
		for _, p := range presets {
			if p.name == o.Preset && p.known {
				if o.Preset == "microsoft" && len(o.Tenants) == 0 {
					return fault("tenants", "it is missing: write tenant <id> for each tenant whose people may sign in, or issuer for a single one")
				}
				return nil
			}
		}
		return fault("issuer", "it is missing: write the provider's issuer, such as issuer https://id.example.com")
	}
	if later(o.Issuer) {
		return nil
	}
	if reason := checkURL(o.Issuer); reason != "" {
		return fault("issuer", "%s", reason)
	}
	return nil
}

func (o *OIDC) validateClient() error {
	if o.ClientAuth != "" && !slices.Contains(clientAuths, o.ClientAuth) {
		return fault("client_auth", "%s", Unknown("client authentication", o.ClientAuth, clientAuths))
	}
	key, cert := o.ClientKey != "", o.ClientCertificate != ""
	switch {
	case o.ClientID == "":
		return fault("client_id", "it is missing: write the id that the provider gave to this client, such as client_id {env.CLIENT_ID}")
	case o.ClientAuth == "private_key_jwt" && (!key || cert || o.ClientSecret != ""):
		return fault("client_key", "private_key_jwt needs client_key <file>, and neither a secret nor a certificate")
	case o.ClientAuth == "tls_client_auth" && (!key || !cert || o.ClientSecret != ""):
		return fault("client_certificate", "tls_client_auth needs client_certificate <file> and client_key <file>, and no secret")
	case strings.HasPrefix(o.ClientAuth, "client_secret") || o.ClientAuth == "":
		if o.ClientSecret == "" {
			return fault("client_secret", "it is missing: write client_secret {env.CLIENT_SECRET}, or client_auth with another way")
		}
		if key || cert {
			return fault("client_key", "client_secret is given too: keep one of the two, and say which with client_auth")
		}
	}
	return nil
}

func (o *OIDC) validateLists() error {
	for _, list := range []struct {
		field, preset string
		values        []string
	}{{"hosted_domains", "google", o.HostedDomains}, {"organizations", "github", o.Organizations}, {"tenants", "microsoft", o.Tenants}} {
		if len(list.values) > 0 && o.Preset != list.preset {
			return fault(list.field, "only the preset %s has it: remove it, or write oidc %s %s { ... }", list.preset, o.Name, list.preset)
		}
	}
	for _, list := range []struct {
		field   string
		domains []string
	}{{"allow_email_domain", o.AllowEmailDomain}, {"hosted_domains", o.HostedDomains}} {
		for _, d := range list.domains {
			if reason := checkEmailDomain(d); reason != "" {
				return fault(list.field, "%.80q %s", d, reason)
			}
		}
	}
	for _, list := range []struct {
		field  string
		values []string
	}{
		{"scopes", o.Scopes}, {"acr_values", o.ACRValues}, {"mfa_values", o.MFAValues}, {"organizations", o.Organizations}, {"tenants", o.Tenants},
	} {
		for _, v := range list.values {
			if reason := checkScope(v); v == "" || reason != "" {
				return fault(list.field, "%.80q cannot stand there: write printable characters without spaces, quotes and commas", v)
			}
		}
	}
	if len(o.Scopes) > 0 && o.Preset != "github" && !slices.Contains(o.Scopes, "openid") {
		return fault("scopes", "openid is missing: without it the provider does not say who signs in")
	}
	for _, a := range o.Algorithms {
		if !slices.Contains(asymmetric, a) {
			return fault("algorithms", "%s", Unknown("algorithm", a, asymmetric))
		}
	}
	return validateClaims(o.Claims, loginFields)
}

func (o *OIDC) validateLogin() error {
	if o.Prompt != "" && !slices.Contains(prompts, o.Prompt) {
		return fault("prompt", "%s", Unknown("prompt", o.Prompt, prompts))
	}
	if err := within("recheck", o.Recheck, minRecheck, maxRecheck); err != nil {
		return err
	}
	return within("max_age", o.MaxAge, minMaxAge, maxSession)
}

func (o OIDC) withDefaults() OIDC {
	if o.Label == "" {
		o.Label = "Sign in with " + o.Name
		for _, p := range presets {
			if p.name == o.Preset {
				o.Label = "Sign in with " + p.label
			}
		}
	}
	return o
}
