package oidc

import (
	"context"
	"time"
)

// How often metadata are asked for.
const (
	refreshAfter = time.Hour
	firstRetry   = time.Second // after a failure; it doubles with each
	lastRetry    = 30 * time.Second
)

// known is what the last fetches of the metadata told. It does not change.
type known struct {
	meta     *metadata // nil: none ever
	keys     KeySet
	next     time.Time // when the next fetch is due
	err      error     // of the last fetch
	failures int       // since the last good one
	fixed    bool      // there is nothing to fetch
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
