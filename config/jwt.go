package config

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// JWT is one issuer whose tokens are accepted as Authorization: Bearer.
type JWT struct {
	// Name labels the issuer in logs, metrics and policies (input.identity.provider).
	// Small letters, digits, - and _. Required.
	Name string `json:"name"`

	// Issuer is what the token's iss must be, to the letter. Without JWKSURL,
	// JWKSFile, Secret and Introspection it is also where the keys are discovered:
	// at <issuer>/.well-known/openid-configuration, or oauth-authorization-server
	// (RFC 8414). {env.NAME} and {file.PATH} are filled in. Required.
	Issuer string `json:"issuer"`

	// Audience are the names by which tokens mean this gate; one of them must be in
	// the token's aud. {env.NAME} and {file.PATH} are filled in. Required.
	Audience []string `json:"audience"`

	// JWKSURL is where the issuer's public keys are (RFC 7517), an https URL.
	// Default: discovered.
	JWKSURL string `json:"jwks_url,omitempty"`

	// JWKSFile is a file with the issuer's public keys, as JWKS or PEM. It is read
	// again when it changes. Default: none.
	JWKSFile string `json:"jwks_file,omitempty"`

	// Secret is the key of HMAC signatures, at least as long as the hash: 32 bytes
	// for HS256. Whoever has it can make tokens. Default: none.
	Secret Secret `json:"secret,omitempty"`

	// Algorithms are the signatures that count. Default: RS256, ES256, EdDSA and
	// PS256; with Secret, HS256.
	Algorithms []string `json:"algorithms,omitempty"`

	// Types are the values of typ that count: "at+jwt" for access tokens of RFC
	// 9068, and "JWT" for issuers whose access tokens do not say what they are.
	// Default: at+jwt.
	Types []string `json:"types,omitempty"`

	// Claims say which claim fills which field of the identity: username, email,
	// email_verified, name, roles, groups or scopes, by a path such as
	// realm_access.roles. Default: the claim of the field's name; scope for scopes;
	// none for username, so that the app is told the subject.
	Claims map[string]string `json:"claims,omitempty"`

	// Leeway is by how much the issuer's clock may differ from ours, up to 60s.
	// Default: 30s.
	Leeway Duration `json:"leeway,omitzero"`

	// Introspection asks the issuer about tokens that are no JWT (RFC 7662).
	// Default: such tokens are refused.
	Introspection Introspection `json:"introspection,omitzero"`
}

// Introspection is how to ask an issuer about an opaque token.
type Introspection struct {
	// URL is the introspection endpoint, an https URL. Required.
	URL string `json:"url"`

	// ClientID and ClientSecret are what we show there (HTTP Basic, RFC 6749
	// section 2.3.1). {env.NAME} and {file.PATH} are filled in. Required.
	ClientID     string `json:"client_id"`
	ClientSecret Secret `json:"client_secret"`

	// Cache is for how long an answer may be remembered, never longer than the
	// token lives; a token that its issuer revokes is refused after that. From 1s
	// to 1h. Default: 1m.
	Cache Duration `json:"cache,omitzero"`
}

// Asked reports whether the issuer is asked at all.
func (i Introspection) Asked() bool { return i != Introspection{} }

// The defaults and limits of JWT.
const (
	DefaultLeeway             = Duration(30 * time.Second)
	maxLeeway                 = Duration(time.Minute)
	DefaultIntrospectionCache = Duration(time.Minute)
	minIntrospectionCache     = Duration(time.Second)
	maxIntrospectionCache     = Duration(time.Hour)
)

var (
	asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	hmacs      = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64} // and the least length of their keys (RFC 7518 section 3.2)
	tokenTypes = []string{"at+jwt", "JWT"}
	// claimFields are the fields of an identity that a claim may fill.
	claimFields = []string{"username", "email", "email_verified", "name", "roles", "groups", "scopes"}
	// takenNames are providers that are no issuers.
	takenNames = []string{"local", "certificate"}
)

func validateJWTs(all []JWT) error {
	names, issuers, opaque := map[string]bool{}, map[string]string{}, ""
	for i := range all {
		j, at := &all[i], index("jwt", i)
		if err := j.validate(); err != nil {
			return under(at, err)
		}
		if names[j.Name] {
			return fault(at+".name", "%s is given twice: each issuer needs a name of its own", j.Name)
		}
		names[j.Name] = true
		if first, found := issuers[j.Issuer]; found {
			return fault(at+".issuer", "jwt %s has the same issuer: keep one of them, with all audiences", first)
		}
		issuers[j.Issuer] = j.Name
		if j.Introspection.Asked() {
			if opaque != "" {
				return fault(at+".introspection", "jwt %s has it too: an opaque token does not say whose it is, so only one issuer can be asked", opaque)
			}
			opaque = j.Name
		}
	}
	return nil
}

func (j *JWT) validate() error {
	if !label(j.Name) {
		return fault("name", "%.80q is no name for an issuer: write up to 40 small letters, digits, - and _, such as jwt keycloak { ... }", j.Name)
	}
	if slices.Contains(takenNames, j.Name) {
		return fault("name", "%s is the provider of others: choose another name", j.Name)
	}
	if err := j.validateIssuer(); err != nil {
		return err
	}
	if len(j.Audience) == 0 {
		return fault("audience", "it is missing: write the name by which tokens mean this gate, such as audience https://app.example.com")
	}
	for _, a := range j.Audience {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fault("audience", "%.80q cannot be an audience: write the text that is in the token's aud", a)
		}
	}
	if err := j.validateKeys(); err != nil {
		return err
	}
	if err := j.validateAlgorithms(); err != nil {
		return err
	}
	if err := validateClaims(j.Claims, claimFields); err != nil {
		return err
	}
	if err := within("leeway", j.Leeway, 0, maxLeeway); err != nil {
		return err
	}
	if j.Introspection.Asked() {
		return under("introspection", j.Introspection.validate())
	}
	return nil
}

// discovered reports whether the keys are found through the issuer.
func (j *JWT) discovered() bool {
	return j.JWKSURL == "" && j.JWKSFile == "" && j.Secret == "" && !j.Introspection.Asked()
}

// Verifies reports whether tokens in the form of a JWT can be checked here.
func (j *JWT) Verifies() bool {
	return j.discovered() || j.JWKSURL != "" || j.JWKSFile != "" || j.Secret != ""
}

func (j *JWT) validateIssuer() error {
	switch {
	case j.Issuer == "":
		return fault("issuer", "it is missing: write the text that is in the token's iss, such as issuer https://id.example.com")
	case later(j.Issuer), !j.discovered():
		return nil
	}
	if reason := checkURL(j.Issuer); reason != "" {
		return fault("issuer", "%s, since its keys are looked up there; or say with jwks_url or jwks_file where they are", reason)
	}
	return nil
}

func (j *JWT) validateKeys() error {
	given := 0
	for _, v := range []string{j.JWKSURL, j.JWKSFile, string(j.Secret)} {
		if v != "" {
			given++
		}
	}
	if given > 1 {
		return fault("jwks_url", "an issuer has its keys in one place: keep one of jwks_url, jwks_file and secret")
	}
	if j.JWKSURL != "" && !later(j.JWKSURL) {
		if reason := checkURL(j.JWKSURL); reason != "" {
			return fault("jwks_url", "%s", reason)
		}
	}
	if strings.Contains(j.JWKSFile, "://") {
		return fault("jwks_file", "this is a URL: write the path of a file, or use jwks_url")
	}
	if strings.ContainsRune(j.JWKSFile, 0) {
		return fault("jwks_file", "the path holds a NUL character")
	}
	return nil
}

func (j *JWT) validateAlgorithms() error {
	allowed, least := asymmetric, 0
	if j.Secret != "" {
		allowed, least = slices.Sorted(maps.Keys(hmacs)), hmacs["HS256"]
	}
	seen := map[string]bool{}
	for _, a := range j.Algorithms {
		switch {
		case seen[a]:
			return fault("algorithms", "%s is given twice: write each once", a)
		case strings.EqualFold(a, "none"):
			return fault("algorithms", "none means unsigned tokens, which anybody can make: write %s", List(allowed))
		case j.Secret == "" && hmacs[a] != 0:
			return fault("algorithms", "%s signs with a secret, and none is given: write secret {env.NAME}, or an algorithm with a public key", a)
		case j.Secret != "" && slices.Contains(asymmetric, a):
			return fault("algorithms", "%s signs with a key pair, and a secret is given: keep one of the two", a)
		case !slices.Contains(allowed, a):
			return fault("algorithms", "%s", Unknown("algorithm", a, allowed))
		}
		seen[a] = true
		least = max(least, hmacs[a])
	}
	if !later(string(j.Secret)) && j.Secret != "" && len(j.Secret) < least {
		return fault("secret", "it is shorter than its hash, and could be guessed: make one of %d bytes or more, such as with openssl rand -base64 %d", least, least)
	}
	seen = map[string]bool{}
	for _, t := range j.Types {
		if !slices.Contains(tokenTypes, t) {
			return fault("types", "%s", Unknown("type of token", t, tokenTypes))
		}
		if seen[t] {
			return fault("types", "%s is given twice: write each once", t)
		}
		seen[t] = true
	}
	return nil
}

// validateClaims checks which claims fill which fields of an identity.
func validateClaims(claims map[string]string, fields []string) error {
	for _, field := range slices.Sorted(maps.Keys(claims)) {
		if !slices.Contains(fields, field) {
			return fault("claims", "%s", Unknown("field of an identity", field, fields))
		}
		path := claims[field]
		if path == "" || len(path) > 256 || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fault("claims", "%.80q is no path of a claim: write names with dots between them, such as claim roles realm_access.roles", path)
		}
	}
	return nil
}

func (i *Introspection) validate() error {
	switch {
	case i.URL == "":
		return fault("url", "it is missing: write the issuer's introspection endpoint, such as url https://id.example.com/oauth/introspect")
	case i.ClientID == "" || i.ClientSecret == "":
		return fault("client_id", "client_id and client_secret are needed: issuers tell nobody else about their tokens")
	}
	if !later(i.URL) {
		if reason := checkURL(i.URL); reason != "" {
			return fault("url", "%s", reason)
		}
	}
	return within("cache", i.Cache, minIntrospectionCache, maxIntrospectionCache)
}

func (j JWT) withDefaults() JWT {
	if len(j.Algorithms) == 0 {
		j.Algorithms = []string{"RS256", "ES256", "EdDSA", "PS256"}
		if j.Secret != "" {
			j.Algorithms = []string{"HS256"}
		}
	}
	if len(j.Types) == 0 {
		j.Types = []string{"at+jwt"}
	}
	if j.Leeway == 0 {
		j.Leeway = DefaultLeeway
	}
	if j.Introspection.Asked() && j.Introspection.Cache == 0 {
		j.Introspection.Cache = DefaultIntrospectionCache
	}
	return j
}

// later reports whether a text is filled in at start, and checked then.
func later(text string) bool {
	return strings.Contains(text, "{env.") || strings.Contains(text, "{file.")
}

// checkURL says what is wrong with the URL of a service that we trust; "" for
// nothing. Plain http is for this machine only: whoever is in between could make
// himself an issuer.
func checkURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return "it is no URL: write one that begins with https://"
	case u.User != nil || u.Fragment != "":
		return "a URL with a user, password or # is not possible here: write it without"
	case u.Scheme == "https":
		return ""
	case u.Scheme == "http" && loopback(u.Hostname()):
		return ""
	case u.Scheme == "http":
		return "http can be changed on the way, and with it who is trusted: write one that begins with https:// (http is for this machine only)"
	}
	return "it is no URL of the web: write one that begins with https://"
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// label reports whether s is a name for logs, metrics and policies.
func label(s string) bool {
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('0' > c || c > '9') && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return s != "" && len(s) <= 40
}
