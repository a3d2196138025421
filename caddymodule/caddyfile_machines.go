package caddymodule

import (
	"strconv"

	"github.com/gatehouse-proxy/gatehouse/config"
)

func readKeys(b *block, k *config.Keys) error {
	b.note("keys")
	if b.off("off") {
		k.Off = true
		return nil
	}
	if b.NextArg() {
		return b.Errf("keys takes off or a block, not %q: write keys off or keys { ... }", b.Val())
	}
	if !b.opens() {
		return b.Err("keys needs off or a block: write keys off or keys { ... }, or leave it out, since keys are on by default")
	}
	in := b.inner("keys")
	return in.read([]option{
		{name: "header", parse: func() (err error) { k.Header, err = in.one("header", "X-API-Key"); return err }},
		{name: "max_lifetime", parse: func() error { return in.duration("max_lifetime", "365d", &k.MaxLifetime) }},
	})
}

func readCertificates(b *block, app *config.App) error {
	b.note("certificates")
	if !b.opens() {
		return b.Err("certificates needs a block: write certificates { ... } with username san_email on a line of its own in it")
	}
	app.Certificates = &config.Certificates{}
	in := b.inner("certificates")
	return in.read([]option{
		{name: "username", parse: func() (err error) {
			app.Certificates.Username, err = in.one("username", config.SANEmail)
			return err
		}},
	})
}

func readJWT(b *block, app *config.App) error {
	const usage = "write jwt <name> { ... } with issuer and audience in it"
	at := "jwt[" + strconv.Itoa(len(app.JWT)) + "]"
	b.note(at)
	args := b.RemainingArgs()
	if len(args) != 1 {
		return b.Err("jwt needs one name: " + usage)
	}
	if !b.opens() {
		return b.Err("jwt needs a block: " + usage)
	}
	app.JWT = append(app.JWT, config.JWT{Name: args[0]})
	j := &app.JWT[len(app.JWT)-1]
	in := b.inner(at)
	return in.read([]option{
		{name: "issuer", parse: func() (err error) { j.Issuer, err = in.one("issuer", "https://id.example.com"); return err }},
		{name: "audience", parse: func() error { return in.words("audience", "https://app.example.com", &j.Audience) }},
		{name: "jwks_url", parse: func() (err error) {
			j.JWKSURL, err = in.one("jwks_url", "https://id.example.com/jwks.json")
			return err
		}},
		{name: "jwks_file", parse: func() (err error) { j.JWKSFile, err = in.one("jwks_file", "./keys.json"); return err }},
		{name: "secret", parse: func() error { return in.secret("secret", &j.Secret) }},
		{name: "algorithms", parse: func() error { return in.words("algorithms", "ES256", &j.Algorithms) }},
		{name: "types", parse: func() error { return in.words("types", "at+jwt", &j.Types) }},
		{name: "claim", repeat: true, parse: func() error { return readClaim(in, &j.Claims) }},
		{name: "leeway", parse: func() error { return in.duration("leeway", "30s", &j.Leeway) }},
		{name: "introspection", parse: func() error { return readIntrospection(in, j) }},
	})
}

func readClaim(b *block, claims *map[string]string) error {
	b.note("claims")
	args := b.RemainingArgs()
	if len(args) != 2 {
		return b.Errf("%s needs a field and the path of a claim: write claim roles realm_access.roles", b.name("claim"))
	}
	if _, twice := (*claims)[args[0]]; twice {
		return b.Errf("%s: %s is given twice: a field is filled by one claim", b.name("claim"), args[0])
	}
	if *claims == nil {
		*claims = map[string]string{}
	}
	(*claims)[args[0]] = args[1]
	return nil
}

func readIntrospection(b *block, j *config.JWT) error {
	b.note("introspection")
	if !b.opens() {
		return b.Errf("%s needs a block: write introspection { ... } with url, client_id and client_secret in it", b.name("introspection"))
	}
	in := b.inner("introspection")
	err := in.read([]option{
		{name: "url", parse: func() (err error) {
			j.Introspection.URL, err = in.one("url", "https://id.example.com/oauth/introspect")
			return err
		}},
		{name: "client_id", parse: func() (err error) { j.Introspection.ClientID, err = in.one("client_id", "gatehouse"); return err }},
		{name: "client_secret", parse: func() error { return in.secret("client_secret", &j.Introspection.ClientSecret) }},
		{name: "cache", parse: func() error { return in.duration("cache", "1m", &j.Introspection.Cache) }},
	})
	if err == nil && !j.Introspection.Asked() {
		return b.Errf("%s is empty: write url, client_id and client_secret in it", b.name("introspection"))
	}
	return err
}

// words reads the values of an option that takes one or more.
func (b *block) words(field, example string, to *[]string) error {
	b.note(field)
	if *to = b.RemainingArgs(); len(*to) == 0 {
		return b.Errf("%s needs at least one value: write %s %s", b.name(field), field, example)
	}
	return nil
}

// secret reads the single value of an option that nobody may read in an error.
func (b *block) secret(field string, to *config.Secret) error {
	text, err := b.one(field, "{env.NAME}")
	*to = config.Secret(text)
	return err
}
