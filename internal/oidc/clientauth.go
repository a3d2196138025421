package oidc

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// The ways to authenticate at the token endpoint (OpenID Connect Core section 9,
// RFC 8705 section 2).
const (
	authBasic      = "client_secret_basic"
	authPost       = "client_secret_post"
	authPrivateKey = "private_key_jwt"
	authTLS        = "tls_client_auth"
	authSelfSigned = "self_signed_tls_client_auth"
	authNone       = "none"
)

// checkAuth checks that what is needed is there, and nothing else. Auth stays ""
// for a secret, when the provider has to be asked what it takes.
func (o *Options) checkAuth() error {
	secret, key, certificate := o.ClientSecret != "", o.PrivateKey != nil, usable(o.ClientCertificate)
	if o.Auth == "" && !secret {
		switch {
		case key:
			o.Auth = authPrivateKey
		case certificate:
			o.Auth = authTLS
		default:
			return errors.New("client_secret is missing; a client without one needs auth none")
		}
	}
	needs := map[string]*bool{"": &secret, authBasic: &secret, authPost: &secret, authPrivateKey: &key, authTLS: &certificate, authSelfSigned: &certificate, authNone: nil}
	need, is := needs[o.Auth]
	switch {
	case !is:
		return fmt.Errorf("client authentication %.40q is not known", o.Auth)
	case need != nil && !*need:
		return fmt.Errorf("client authentication %s lacks its secret, key or certificate", o.Auth)
	case secret && need != &secret || key && need != &key:
		return fmt.Errorf("client authentication %s does not go with the secret or key that is given", o.Auth)
	case !key && (o.KeyID != "" || o.KeyAlgorithm != ""):
		return errors.New("a key ID or algorithm is given without a private key")
	case !plain(o.ClientSecret):
		return errors.New("client_secret has control characters: a line break at its end?")
	}
	return nil
}

func usable(c *tls.Certificate) bool { return c != nil && len(c.Certificate) > 0 }

// authenticate adds what proves who we are to a request to one of the provider's
// endpoints. An assertion is for that endpoint alone: metadata that name an
// honest provider's token endpoint beside an attacker's other ones must not bring
// him what is good at the honest one.
func (p *Provider) authenticate(m *metadata, endpoint string, header http.Header, form url.Values) error {
	auth := p.o.Auth
	if auth == "" {
		auth = authBasic
		if p.preset.endpoints != nil || m.authMethods != nil && !slices.Contains(m.authMethods, authBasic) && slices.Contains(m.authMethods, authPost) {
			auth = authPost
		}
	}
	switch auth {
	case authBasic:
		// RFC 6749 section 2.3.1: each is encoded as in a form, so that a colon in
		// the ID does not end it.
		pair := url.QueryEscape(p.o.ClientID) + ":" + url.QueryEscape(p.o.ClientSecret)
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	case authPost:
		form.Set("client_id", p.o.ClientID)
		form.Set("client_secret", p.o.ClientSecret)
	case authPrivateKey:
		assertion, err := p.assertion(endpoint)
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	default:
		form.Set("client_id", p.o.ClientID)
	}
	return nil
}
