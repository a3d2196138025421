package caddymodule

import (
	"strconv"

	"github.com/gatehouse-proxy/gatehouse/config"
)

// siteOptions are the words of the directive's block. The last ones belong to
// the grammar, and are refused by name until they are built.
func siteOptions(b *block, s *config.Site) []option {
	return []option{
		{name: "allow", repeat: true, parse: func() error { return readLine(b, "allow", &s.Allow) }},
		{name: "deny", repeat: true, parse: func() error { return readLine(b, "deny", &s.Deny) }},
		{name: "policy", parse: func() (err error) { s.Policy, err = b.one("policy", "gatehouse.authz"); return err }},
		{name: "methods", parse: func() error { return readMethods(b, s) }},
		{name: "headers", parse: func() error { return readHeaders(b, s) }},
		{name: "provider_token", parse: func() (err error) {
			s.ProviderToken, err = b.one("provider_token", "X-Provider-Token")
			return err
		}},
		{name: "timezone", parse: func() (err error) { s.Timezone, err = b.one("timezone", "Europe/Berlin"); return err }},
		{name: "authorization", parse: func() (err error) {
			s.Authorization, err = b.one("authorization", config.AuthorizationPass)
			return err
		}},
		{name: "shadow", instead: "remove it; try a policy with \"caddy gatehouse policy test\""},
		{name: "assertion", instead: "remove it; the app learns who asks from the headers"},
		{name: "body", instead: "remove it; a policy sees no bodies yet"},
	}
}

func readMethods(b *block, s *config.Site) error {
	b.note("methods")
	if s.Methods = b.RemainingArgs(); len(s.Methods) == 0 {
		return b.Err("methods needs at least one: write methods session")
	}
	return nil
}

// readHeaders reads the block of headers.
func readHeaders(b *block, s *config.Site) error {
	b.note("headers")
	const usage = "write headers { ... } with lines such as Remote-User {http.auth.user.username} in it"
	if !b.opens() {
		return b.Err("headers needs a block: " + usage)
	}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		name := b.Val()
		b.note("headers[" + strconv.Itoa(len(s.Headers)) + "]")
		args := b.RemainingArgs()
		if len(args) != 1 {
			return b.Errf("headers: each line is a name and one value, in quotes if it has spaces: %s", usage)
		}
		if b.opens() {
			return b.Err("headers: a header takes no block: " + usage)
		}
		s.Headers = append(s.Headers, config.Header{Name: name, Value: config.Secret(args[0])})
	}
	if len(s.Headers) == 0 {
		return b.Err("headers names none: " + usage)
	}
	return nil
}
