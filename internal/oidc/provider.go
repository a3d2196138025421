package oidc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How often metadata are asked for.
const (
	refreshAfter = time.Hour
	firstRetry   = time.Second // after a failure; it doubles with each
	lastRetry    = 30 * time.Second
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

	ctx    context.Context // of what runs in the background; ends with Close
	cancel context.CancelFunc
	known  atomic.Pointer[known]

	mu      sync.Mutex
	flight  chan struct{} // closed when the fetch under way ends; there is never more than one
	closed  bool
	running sync.WaitGroup
}

// known is what the last fetches of the metadata told. It does not change.
type known struct {
	meta     *metadata // nil: none ever
	keys     KeySet
	next     time.Time // when the next fetch is due
	err      error     // of the last fetch
	failures int       // since the last good one
	fixed    bool      // there is nothing to fetch
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

// CanStepUp reports whether the provider can be asked for a fresh or stronger
// login, and show that it was one.
func (p *Provider) CanStepUp() bool { return p.openID() }

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

// Ready finds out where the provider's endpoints are, if that is not known. It
// waits for the provider; while fetches fail, few are made, and the error of the
// last one, an ErrUnavailable, is returned at once.
func (p *Provider) Ready(ctx context.Context) error {
	_, err := p.endpoints(ctx)
	return err
}

// Status reports, without waiting, whether people can be sent to the provider,
// and why the last attempt to ask it failed, if it did. Neither ready nor an
// error means that it is being asked for the first time. An attempt that is due
// begins.
func (p *Provider) Status() (ready bool, err error) {
	p.begin()
	k := p.known.Load()
	if k.err != nil {
		err = p.fault(k)
	}
	return k.meta != nil, err
}

// endpoints returns the metadata, from memory whenever it can: those that are an
// hour old still serve while they are fetched anew, and while the provider is
// down.
func (p *Provider) endpoints(ctx context.Context) (*known, error) {
	flight := p.begin()
	k := p.known.Load()
	if k.meta != nil {
		return k, nil
	}
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, unavailable("waiting for the metadata of provider %s: %w", p.o.Name, ctx.Err())
		}
		k = p.known.Load()
	}
	if k.meta == nil {
		return nil, p.fault(k)
	}
	return k, nil
}

func (p *Provider) fault(k *known) error {
	err := k.err
	if err == nil {
		err = context.Canceled // closed before the first fetch ended
	}
	return unavailable("the metadata of provider %s: %w", p.o.Name, err)
}

// begin starts a fetch if one is due, and returns the one that is under way now;
// nil for none.
func (p *Provider) begin() chan struct{} {
	if k := p.known.Load(); k.fixed || p.o.Clock().Before(k.next) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flight != nil || p.closed || p.o.Clock().Before(p.known.Load().next) {
		return p.flight
	}
	done := make(chan struct{})
	p.flight = done
	p.running.Go(func() {
		p.fetch()
		p.mu.Lock()
		p.flight = nil
		p.mu.Unlock()
		close(done)
	})
	return done
}

// fetch asks once, and settles what is known.
func (p *Provider) fetch() {
	meta, err := p.discover(p.ctx)
	if err != nil && p.ctx.Err() != nil {
		return // closed meanwhile: that says nothing about the provider
	}
	old, now := p.known.Load(), p.o.Clock()
	if err != nil {
		k := &known{meta: old.meta, keys: old.keys, err: err, failures: old.failures + 1}
		wait := min(firstRetry<<min(old.failures, 10), lastRetry)
		k.next = now.Add(wait)
		p.known.Store(k)
		if k.failures&(k.failures-1) == 0 { // the first failures of an outage, then ever fewer
			p.log.Warn("a provider's metadata could not be read", "provider", p.o.Name, "issuer", p.o.Issuer,
				"error", err, "failures", k.failures, "again_in", wait)
		}
		return
	}
	k := &known{meta: meta, keys: old.keys, next: now.Add(refreshAfter)}
	if old.meta == nil || old.meta.jwks != meta.jwks {
		k.keys = p.o.Keys(meta.jwks)
	}
	p.known.Store(k)
	if old.meta == nil || old.failures > 0 {
		p.log.Info("a provider's metadata were read", "provider", p.o.Name, "issuer", p.o.Issuer)
	}
}

// String names the provider, and no secret.
func (p *Provider) String() string { return fmt.Sprintf("provider %s (%s)", p.o.Name, p.o.Issuer) }
