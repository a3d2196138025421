package oidc

import (
	"context"
	"fmt"
	"net/url"
)

// preset is what we know of a provider beforehand. The zero value is a provider
// that follows the specifications.
type preset struct {
	issuer string            // default
	scopes []string          // default, instead of openid email profile
	claims map[string]string // default, over the usual ones; "" unmaps
	needed []string          // fields that UserInfo is asked for, besides the usual ones
	// noStepUp: it heeds neither max_age nor acr_values, or does not show it.
	noStepUp bool
	offline  string // the scope that gives a refresh token: never asked for if "-"; "": if it is offered

	// prepare checks and completes the options of this preset.
	prepare func(*Options) error
	// ask adds to the parameters of an authorization request.
	ask func(o *Options, q url.Values)
	// named reports whether an issuer's name is ours, where there may be more than
	// the one of the options.
	named func(o *Options, iss string) bool
	// found reports the same of the issuer in the metadata.
	found func(o *Options, iss string) bool
	// canonical turns a name of ours into the one that is kept.
	canonical func(o *Options, iss string) string
	// admit checks the claims of somebody whose token is good.
	admit func(o *Options, claims map[string]any) error
	// elsewhere reports whether a field of the claims is incomplete.
	elsewhere func(field string, claims map[string]any) bool

	// endpoints and person are of a provider without OpenID Connect: where to go,
	// and how to ask who somebody is; claims as an ID token would have.
	endpoints func(o *Options) *metadata
	person    func(ctx context.Context, p *Provider, access string) (map[string]any, error)
	// forget makes the tokens void.
	forget func(ctx context.Context, p *Provider, t Tokens) error
}

func presetOf(name string) (preset, error) {
	switch name {
	case "":
		return preset{}, nil
	case "google":
		return google(), nil
	case "microsoft":
		return microsoft(), nil
	case "github":
		return github(), nil
	case "gitlab":
		return gitlab(), nil
	case "okta":
		return okta(), nil
	case "auth0":
		return auth0(), nil
	case "keycloak":
		return keycloak(), nil
	}
	return preset{}, fmt.Errorf("there is no preset %.40q: choose from auth0 github gitlab google keycloak microsoft okta, or leave it out", name)
}

func (p preset) stepsUp() bool { return p.endpoints == nil && !p.noStepUp }

// ours reports whether a response or token names our issuer.
func (p *Provider) ours(iss string) bool {
	if p.preset.named != nil {
		return p.preset.named(&p.o, iss)
	}
	return iss == p.o.Issuer
}

// issuer is the name that is kept of an issuer which is ours.
func (p *Provider) issuer(iss string) string {
	if p.preset.canonical != nil {
		return p.preset.canonical(&p.o, iss)
	}
	return iss
}
