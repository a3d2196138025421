package caddymodule

import (
	"strconv"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/config"
)

func readOIDC(b *block, app *config.App) error {
	const usage = "write oidc <name> [<preset>] { ... } with issuer, client_id and client_secret in it"
	at := "oidc[" + strconv.Itoa(len(app.OIDC)) + "]"
	b.note(at)
	args := b.RemainingArgs()
	if len(args) == 0 || len(args) > 2 {
		return b.Err("oidc needs a name, and may have a preset: " + usage)
	}
	if !b.opens() {
		return b.Err("oidc needs a block: " + usage)
	}
	app.OIDC = append(app.OIDC, config.OIDC{Name: args[0]})
	o := &app.OIDC[len(app.OIDC)-1]
	if len(args) == 2 {
		o.Preset = args[1]
	}
	in := b.inner(at)
	one := func(name, example string, to *string) option {
		return option{name: name, parse: func() (err error) { *to, err = in.one(name, example); return err }}
	}
	words := func(name, field, example string, to *[]string) option {
		return option{name: name, parse: func() error { in.note(field); return in.words(name, example, to) }}
	}
	return in.read([]option{
		one("issuer", "https://id.example.com", &o.Issuer),
		one("client_id", "{env.CLIENT_ID}", &o.ClientID),
		{name: "client_secret", parse: func() error { return in.secret("client_secret", &o.ClientSecret) }},
		one("client_auth", "client_secret_post", &o.ClientAuth),
		one("client_key", "./client.key", &o.ClientKey),
		one("client_certificate", "./client.pem", &o.ClientCertificate),
		one("label", `"Sign in with Example"`, &o.Label),
		words("scopes", "scopes", "openid email profile", &o.Scopes),
		{name: "claim", repeat: true, parse: func() error { return readClaim(in, &o.Claims) }},
		words("algorithms", "algorithms", "ES256", &o.Algorithms),
		{name: "allow_email_domain", parse: func() error {
			err := in.words("allow_email_domain", "example.com", &o.AllowEmailDomain)
			for i, d := range o.AllowEmailDomain {
				o.AllowEmailDomain[i] = strings.ToLower(d)
			}
			return err
		}},
		{name: "link_by_email", parse: func() error { in.note("link_by_email"); o.LinkByEmail = true; return nil }},
		{name: "recheck", parse: func() error { return in.duration("recheck", "15m", &o.Recheck) }},
		words("acr_values", "acr_values", "urn:example:loa2", &o.ACRValues),
		words("mfa_values", "mfa_values", "urn:example:mfa", &o.MFAValues),
		{name: "max_age", parse: func() error { return in.duration("max_age", "8h", &o.MaxAge) }},
		one("prompt", "select_account", &o.Prompt),
		words("hosted_domain", "hosted_domains", "example.com", &o.HostedDomains),
		words("organization", "organizations", "example", &o.Organizations),
		words("tenant", "tenants", "{env.TENANT}", &o.Tenants),
	})
}
