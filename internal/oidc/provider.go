package oidc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
)

// Provider is one provider that people sign in at. All methods may be called at
// the same time.
type Provider struct {
	o      Options
	preset preset
	fields fields
	needed []string // fields that UserInfo is asked for when the ID token lacks them
	signer *signer  // of private_key_jwt
	web    *web
	log    *slog.Logger
	told   atomic.Bool // that email_verified is no boolean

	offline atomic.Bool // a refresh token is asked for

	ctx    context.Context // of what runs in the background; ends with Close
	cancel context.CancelFunc
	known  atomic.Pointer[known]

	mu      sync.Mutex
	flight  chan struct{} // closed when the fetch under way ends; there is never more than one
	closed  bool
	running sync.WaitGroup
}

// New checks the options. It touches no network. Close must be called in the end.
func New(o Options) (*Provider, error) {
	preset, err := presetOf(o.Preset)
	if err != nil {
		return nil, err
	}
	if err := o.complete(preset); err != nil {
		return nil, err
	}
	p := &Provider{o: o, preset: preset, log: o.Logger}
	if p.fields, err = newFields(preset.claims, o.Claims); err != nil {
		return nil, err
	}
	p.offline.Store(o.Offline)
	p.needed = neededFields(&o, preset, p.fields)
	if o.PrivateKey != nil {
		if p.signer, err = newSigner(o.PrivateKey, o.KeyID, o.KeyAlgorithm); err != nil {
			return nil, err
		}
	}
	if p.web, err = newWeb(o.Transport, o.ClientCertificate); err != nil {
		return nil, err
	}
	k := &known{}
	if preset.endpoints != nil {
		k = &known{meta: preset.endpoints(&o), fixed: true}
	}
	p.known.Store(k)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// neededFields are those that the operator or the preset maps, and those that
// the scopes promise.
func neededFields(o *Options, preset preset, f fields) []string {
	needed := slices.Clone(preset.needed)
	if slices.Contains(o.Scopes, "email") {
		needed = append(needed, fieldEmail, fieldVerified)
	}
	if slices.Contains(o.Scopes, "profile") {
		needed = append(needed, fieldName)
	}
	for name := range o.Claims {
		needed = append(needed, name)
	}
	return slices.DeleteFunc(needed, func(name string) bool { return !f.mapped(name) })
}

// Name is the provider's name in the configuration.
func (p *Provider) Name() string { return p.o.Name }

// Issuer is the configured issuer, as completed by the preset. Of a provider with
// many tenants, logins have other ones.
func (p *Provider) Issuer() string { return p.o.Issuer }

// AskOffline makes all further logins ask for a refresh token, as Options.Offline
// does.
func (p *Provider) AskOffline() { p.offline.Store(true) }

// CanStepUp reports whether the provider can be asked for a fresh or stronger
// login, and show that it was one.
func (p *Provider) CanStepUp() bool { return p.preset.stepsUp() }

// openID reports whether the provider speaks OpenID Connect.
func (p *Provider) openID() bool { return p.preset.endpoints == nil }

// Close ends what runs in the background. Requests that are under way end as
// they would.
func (p *Provider) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.running.Wait()
	p.web.release()
}

// String names the provider, and no secret.
func (p *Provider) String() string { return fmt.Sprintf("provider %s (%s)", p.o.Name, p.o.Issuer) }
