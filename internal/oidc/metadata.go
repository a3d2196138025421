package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// metadata is what counts of a provider's metadata (OpenID Connect Discovery 1.0
// section 3).
type metadata struct {
	authorization, token, jwks, userInfo, endSession, revocation string

	issInResponse bool     // RFC 9207: without iss, a response is not this provider's
	authMethods   []string // nil: it does not say
	scopes        []string // nil: it does not say
}

// discover reads the metadata.
func (p *Provider) discover(ctx context.Context) (*metadata, error) {
	a, err := p.web.get(ctx, strings.TrimSuffix(p.o.Issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	doc, err := a.object()
	if err != nil {
		return nil, err
	}
	iss, _ := doc["issuer"].(string)
	// To the letter: else one issuer on a shared host could speak for another.
	if found := p.preset.found; found == nil && iss != p.o.Issuer || found != nil && !found(&p.o, iss) {
		return nil, fmt.Errorf("it names the issuer %q, not %q: the two have to be the same to the letter", clean(iss, 200), p.o.Issuer)
	}
	return p.parseMetadata(doc)
}

func (p *Provider) parseMetadata(doc map[string]any) (*metadata, error) {
	m := &metadata{}
	aliases, _ := doc["mtls_endpoint_aliases"].(map[string]any)
	for _, e := range []struct {
		name     string
		to       *string
		required bool
	}{
		{"authorization_endpoint", &m.authorization, true},
		{"token_endpoint", &m.token, true},
		{"jwks_uri", &m.jwks, true},
		{"userinfo_endpoint", &m.userInfo, false},
		{"end_session_endpoint", &m.endSession, false},
		{"revocation_endpoint", &m.revocation, false},
	} {
		from := doc
		if _, there := aliases[e.name]; there && p.o.ClientCertificate != nil { // RFC 8705 section 5
			from = aliases
		}
		address, ok := stringIn(from, e.name)
		if !ok || address == "" && e.required {
			return nil, fmt.Errorf("its %s is missing or no text", e.name)
		}
		if address == "" {
			continue
		}
		if err := checkFound(address, p.o.Issuer); err != nil {
			return nil, fmt.Errorf("its %s cannot be used: %w", e.name, err)
		}
		*e.to = address
	}
	var ok bool
	if m.issInResponse, ok = doc["authorization_response_iss_parameter_supported"].(bool); !ok && doc["authorization_response_iss_parameter_supported"] != nil {
		return nil, errors.New("its authorization_response_iss_parameter_supported is no boolean")
	}
	for _, l := range []struct {
		name string
		to   *[]string
	}{{"token_endpoint_auth_methods_supported", &m.authMethods}, {"scopes_supported", &m.scopes}} {
		v := doc[l.name]
		if v == nil {
			continue
		}
		if *l.to, ok = texts(v); !ok {
			return nil, fmt.Errorf("its %s is no list of texts", l.name)
		}
	}
	return m, nil
}

// checkFound checks an address that a provider told us. One that is reached by
// https may not send us, or a browser, to a machine's own services.
func checkFound(address, issuer string) error {
	u, err := checkURL(address)
	if err == nil && u.Scheme != "https" && strings.HasPrefix(issuer, "https:") {
		err = errors.New("it is not https")
	}
	return err
}

// scopesFor are the scopes to ask for.
func (p *Provider) scopesFor(m *metadata) []string {
	scope := p.preset.offline
	if scope == "" && slices.Contains(m.scopes, "offline_access") {
		scope = "offline_access"
	}
	if !p.offline.Load() || scope == "" || scope == "-" || slices.Contains(p.o.Scopes, scope) {
		return p.o.Scopes
	}
	return append(slices.Clone(p.o.Scopes), scope)
}
