package oidc

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// KeySet checks signatures with a provider's keys. An error that is an
// ErrUnavailable says that the keys are not known; every other one that the
// signature is wrong. The algorithm has been checked before.
type KeySet = gooidc.KeySet

// Options describe one provider and what we are there.
type Options struct {
	Name     string // in our addresses, records and logs; required
	Preset   string // google, microsoft, github, gitlab, okta, auth0, keycloak; "" for any other
	Issuer   string // the issuer's URL, to the letter; required where the preset knows none
	ClientID string // required

	// Auth is how we authenticate: "client_secret_basic", "client_secret_post",
	// "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth", or
	// "none" for a public client. Default: what fits the credential that is given;
	// for a secret Basic, unless the provider says that it takes only post.
	Auth              string
	ClientSecret      string
	PrivateKey        crypto.Signer    // RSA, P-256, P-384, P-521 or Ed25519, of private_key_jwt
	KeyID             string           // its kid at the provider; may be ""
	KeyAlgorithm      string           // default by the key: RS256, ES256, ES384, ES512, EdDSA; an RSA key may have PS256
	ClientCertificate *tls.Certificate // of mutual TLS (RFC 8705)

	Scopes []string // default by the preset: openid email profile
	// Offline asks for a refresh token in the provider's own way: offline_access
	// where that is offered, access_type=offline at Google. Some providers give
	// one only with Prompt "consent".
	Offline    bool
	Algorithms []string // of ID and logout tokens; default RS256 ES256 EdDSA PS256
	// Claims is which claim fills a field of the person (username, email,
	// email_verified, name, roles, groups): a path with dots. Default by the
	// preset. What is named here is asked of UserInfo if the ID token lacks it.
	Claims map[string]string

	// What every login asks for. What came back is checked.
	ACRValues []string
	MaxAge    time.Duration // 0: any age
	Prompt    string

	HostedDomains []string // google: people of these domains alone (hd)
	Tenants       []string // microsoft: IDs of the tenants whose people may come
	Organizations []string // github: members of one of these alone, and no groups of others

	// Keys gives the key set at an address, which the provider's metadata name.
	// It is called again when they name another. Required, but not for github.
	Keys func(jwksURL string) KeySet
	// Transport is what the provider is asked with. Default: one with short
	// timeouts that heeds HTTPS_PROXY.
	Transport http.RoundTripper
	Clock     func() time.Time // default time.Now
	Rand      io.Reader        // default crypto/rand
	Logger    *slog.Logger     // default: discard
}

// usualAlgorithms are what tokens may be signed with by default.
var usualAlgorithms = []string{"RS256", "ES256", "EdDSA", "PS256"}

// algorithms are all that can be allowed. HMAC is not among them: the client's
// secret is no key, and whoever has it could make himself the provider.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// complete checks the options and fills in the defaults.
func (o *Options) complete(p preset) error {
	if o.Name == "" {
		return errors.New("the name of the provider is missing")
	}
	if o.Issuer == "" {
		o.Issuer = p.issuer
	}
	if err := o.checkOwn(p); err != nil {
		return err
	}
	if p.prepare != nil {
		if err := p.prepare(o); err != nil {
			return err
		}
	}
	if o.Issuer == "" {
		return errors.New("the issuer is missing")
	}
	u, err := checkURL(o.Issuer)
	switch {
	case err != nil:
		return fmt.Errorf("the issuer cannot be used: %w", err)
	case u.RawQuery != "" || u.ForceQuery:
		return errors.New("the issuer cannot be used: it has a query")
	case o.ClientID == "" || !plain(o.ClientID):
		return errors.New("client_id is missing, or has control characters")
	}
	if err := o.checkAuth(); err != nil {
		return err
	}
	if err := o.checkRequest(p); err != nil {
		return err
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// checkOwn refuses what only another preset has a use for.
func (o *Options) checkOwn(p preset) error {
	for _, own := range []struct {
		what   string
		values []string
		preset string
	}{
		{"hosted domains", o.HostedDomains, "google"}, {"tenants", o.Tenants, "microsoft"}, {"organizations", o.Organizations, "github"},
	} {
		if len(own.values) > 0 && o.Preset != own.preset {
			return fmt.Errorf("%s are for the preset %s only", own.what, own.preset)
		}
		if slices.Contains(own.values, "") {
			return fmt.Errorf("one of the %s is empty", own.what)
		}
	}
	return nil
}

// checkRequest checks what is asked for and believed.
func (o *Options) checkRequest(p preset) error {
	if len(o.Scopes) == 0 {
		o.Scopes = p.scopes
		if len(o.Scopes) == 0 {
			o.Scopes = []string{"openid", "email", "profile"}
		}
	}
	for _, s := range o.Scopes {
		if !scopeToken(s) {
			return fmt.Errorf("%.40q is no scope", s)
		}
	}
	plainOAuth := p.endpoints != nil
	switch {
	case !plainOAuth && !slices.Contains(o.Scopes, "openid"):
		return errors.New("scope openid is missing")
	case !plainOAuth && o.Keys == nil:
		return errors.New("there are no keys to check tokens with")
	case !p.stepsUp() && (len(o.ACRValues) > 0 || o.MaxAge != 0):
		return fmt.Errorf("acr_values and max_age cannot be had from %s", o.Preset)
	case o.MaxAge < 0:
		return errors.New("max_age is negative")
	case slices.Contains(strings.Fields(o.Prompt), "none"):
		return errors.New("with prompt none nobody could sign in")
	}
	for _, s := range append(strings.Fields(o.Prompt), o.ACRValues...) {
		if !scopeToken(s) {
			return fmt.Errorf("%.40q can be no prompt or acr value", s)
		}
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = usualAlgorithms
	}
	for _, a := range o.Algorithms {
		if !slices.Contains(algorithms, a) {
			return fmt.Errorf("algorithm %.40q cannot be allowed: choose from %s", a, strings.Join(algorithms, " "))
		}
	}
	return nil
}

// scopeToken reports whether a text is made of the characters of RFC 6749
// section 3.3.
func scopeToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}
