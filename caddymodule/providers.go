package caddymodule

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/jwt"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
)

// loadProviders prepares the providers that people log in with. It touches no
// network: each finds its provider when it is first needed, or when Start lets it.
func (a *App) loadProviders() error {
	for _, o := range a.OIDC {
		p, err := a.newProvider(o)
		if err != nil {
			return fmt.Errorf("oidc %s: %s", o.Name, strings.TrimPrefix(err.Error(), "oidc: "))
		}
		a.providers = append(a.providers, p)
	}
	return nil
}

func (a *App) newProvider(o config.OIDC) (*oidc.Provider, error) {
	options := oidc.Options{
		Name: o.Name, Preset: o.Preset, Issuer: o.Issuer, ClientID: o.ClientID, Auth: o.ClientAuth, ClientSecret: string(o.ClientSecret),
		Scopes: o.Scopes, Offline: o.Recheck > 0, Algorithms: o.Algorithms, Claims: o.Claims,
		ACRValues: o.ACRValues, MaxAge: time.Duration(o.MaxAge), Prompt: o.Prompt,
		HostedDomains: lowered(o.HostedDomains), Tenants: o.Tenants, Organizations: o.Organizations,
		Keys: a.providerKeys(o), Logger: a.slogger(""),
	}
	switch o.ClientAuth {
	case "private_key_jwt":
		key, err := privateKey(o.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("client_key: %w", err)
		}
		options.PrivateKey = key
	case "tls_client_auth":
		cert, err := tls.LoadX509KeyPair(o.ClientCertificate, o.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("client_certificate: %w", err)
		}
		options.ClientCertificate = &cert
	}
	p, err := oidc.New(options)
	if err == nil && len(o.MFAValues) > 0 && !p.CanStepUp() {
		p.Close()
		return nil, fmt.Errorf("mfa_values: %s does not tell whether a login had a second factor; remove it", o.Preset)
	}
	return p, err
}

// lowered has domains in the spelling in which providers tell them.
func lowered(domains []string) []string {
	out := slices.Clone(domains)
	for i, d := range out {
		out[i] = strings.ToLower(d)
	}
	return out
}

// privateKey reads a private key from a PEM file.
func privateKey(file string) (crypto.Signer, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := oidc.ParsePrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// providerKeys finds the key set of a provider in the pool of those that are kept
// over reloads. The provider's metadata say where it is, once they are known.
func (a *App) providerKeys(o config.OIDC) func(string) oidc.KeySet {
	return func(address string) oidc.KeySet {
		keys, err := a.acquireKeys(config.JWT{Name: o.Name, Issuer: address, JWKSURL: address})
		if err != nil {
			return noKeys{err}
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.released {
			_, _ = shared.Delete(keys.pool) // a request that outlived its configuration
			return noKeys{errReleased}
		}
		a.keySets = append(a.keySets, keys)
		return keySet{keys.source}
	}
}

// keySet checks ID and logout tokens with keys that are kept, fetched and limited
// as those of API tokens are.
type keySet struct{ source *jwt.Source }

// VerifySignature returns the payload of a token whose signature is right.
func (k keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	payload, err := k.source.Signed(ctx, raw)
	if err != nil && !errors.Is(err, identity.ErrUnknown) {
		return nil, fmt.Errorf("%w: %w", oidc.ErrUnavailable, err)
	}
	return payload, err
}

var errReleased = errors.New("the configuration is not in force any more")

// noKeys is the key set at an address that cannot be used.
type noKeys struct{ err error }

func (k noKeys) VerifySignature(context.Context, string) ([]byte, error) {
	return nil, fmt.Errorf("%w: %w", oidc.ErrUnavailable, k.err)
}

// releaseProviders ends what the providers hold.
func (a *App) releaseProviders() {
	for _, p := range a.providers {
		p.Close()
	}
}

var _ caddy.Destructor = (*sharedKeys)(nil)
