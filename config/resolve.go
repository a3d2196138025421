package config

import (
	"regexp"
	"strings"
)

// Filler returns text with its {env.NAME} and {file.PATH} filled in. An error
// says which placeholder cannot be filled in, and nothing of the text.
type Filler func(text string) (string, error)

// Resolve fills in {env.NAME} and {file.PATH} in the paths and secrets. Validate
// again after it. The error is an *[Error].
func (a *App) Resolve(fill Filler) error {
	if b := a.Store.Bolt; b != nil {
		if err := fillText("store.bolt.file", &b.File, fill); err != nil {
			return err
		}
	}
	if r := a.Store.Redis; r != nil {
		if err := fillText("store.redis.url", (*string)(&r.URL), fill); err != nil {
			return err
		}
	}
	for i := range a.Policies.Dirs {
		if err := fillText("policies.dirs", &a.Policies.Dirs[i], fill); err != nil {
			return err
		}
	}
	for i := range a.JWT {
		if err := a.JWT[i].resolve(index("jwt", i), fill); err != nil {
			return err
		}
	}
	for i := range a.OIDC {
		if err := a.OIDC[i].resolve(index("oidc", i), fill); err != nil {
			return err
		}
	}
	return nil
}

func (o *OIDC) resolve(at string, fill Filler) error {
	for _, t := range []struct {
		field string
		to    *string
	}{
		{"issuer", &o.Issuer}, {"client_id", &o.ClientID}, {"client_secret", (*string)(&o.ClientSecret)},
		{"client_key", &o.ClientKey}, {"client_certificate", &o.ClientCertificate},
	} {
		if err := fillText(at+"."+t.field, t.to, fill); err != nil {
			return err
		}
	}
	for i := range o.Tenants {
		if err := fillText(at+"."+index("tenants", i), &o.Tenants[i], fill); err != nil {
			return err
		}
	}
	return nil
}

func (j *JWT) resolve(at string, fill Filler) error {
	type text struct {
		field string
		to    *string
	}
	texts := []text{
		{"issuer", &j.Issuer}, {"jwks_url", &j.JWKSURL}, {"jwks_file", &j.JWKSFile}, {"secret", (*string)(&j.Secret)},
	}
	for i := range j.Audience {
		texts = append(texts, text{"audience", &j.Audience[i]})
	}
	in := &j.Introspection
	texts = append(texts,
		text{"introspection.url", &in.URL}, text{"introspection.client_id", &in.ClientID},
		text{"introspection.client_secret", (*string)(&in.ClientSecret)})
	for _, t := range texts {
		if err := fillText(at+"."+t.field, t.to, fill); err != nil {
			return err
		}
	}
	return nil
}

// Resolve fills in {env.NAME} and {file.PATH} in the values of headers; their
// other placeholders wait for the request. The error is an *[Error].
func (s *Site) Resolve(fill Filler) error {
	for i := range s.Headers {
		h := &s.Headers[i]
		var failed error
		v := placeholder.ReplaceAllStringFunc(string(h.Value), func(p string) string {
			if failed == nil && early(p[1:len(p)-1]) {
				failed = fillText(index("headers", i)+".value", &p, fill)
			}
			return p
		})
		if failed != nil {
			return failed
		}
		h.Value = Secret(v)
	}
	return nil
}

var placeholder = regexp.MustCompile(`\{[^{}\s]+\}`)

// placeholders returns the names between braces.
func placeholders(text string) []string {
	names := placeholder.FindAllString(text, -1)
	for i, n := range names {
		names[i] = n[1 : len(n)-1]
	}
	return names
}

// early reports whether a placeholder has its value at start.
func early(name string) bool {
	return strings.HasPrefix(name, "env.") || strings.HasPrefix(name, "file.")
}

// fillText replaces text by what fill makes of it. Braces that are no such
// placeholder are refused before fill sees them, because they may be part of a
// password, which fill would put into its error.
func fillText(field string, text *string, fill Filler) error {
	if !strings.ContainsAny(*text, "{}") {
		return nil
	}
	names := placeholders(*text)
	rest := placeholder.ReplaceAllString(*text, "")
	for _, n := range names {
		if !early(n) {
			rest = "{"
		}
	}
	if strings.ContainsAny(rest, "{}") {
		return fault(field, "only {env.NAME} and {file.PATH} are filled in here: write a brace that belongs to the text as %%7B or %%7D in a URL, or put the whole text into an environment variable")
	}
	for _, n := range names {
		filled, err := fill("{" + n + "}")
		if err != nil || filled == "" {
			return fault(field, "{%s} is empty or cannot be read: %s", n, remedy(n))
		}
		if strings.ContainsAny(filled, "\x00\r\n") {
			return fault(field, "{%s} holds more than one line: keep the value alone in it", n)
		}
		*text = strings.Replace(*text, "{"+n+"}", filled, 1)
	}
	return nil
}

func remedy(name string) string {
	if v, found := strings.CutPrefix(name, "env."); found {
		return "set the environment variable " + v + " before Caddy starts"
	}
	return "put the value into that file and let Caddy's user read it"
}
