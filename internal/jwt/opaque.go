package jwt

import (
	"context"
	"crypto/sha256"
	"errors"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

const (
	// maxRefused is how many tokens are remembered that the issuer does not know,
	// and refusedFor for how long: the same bad token is not asked about all the
	// time. They have a memory of their own, so that they push out no good one.
	maxRefused = 4096
	refusedFor = 10 * time.Second

	// ourKeys is how API keys of this gateway begin. A site that takes tokens and
	// no keys may still be sent one, which must not be shown to an issuer.
	ourKeys = "gh_"
)

// opaque identifies by opaque tokens of one issuer.
type opaque struct {
	verifier     *Verifier
	issuer       *issuer
	introspector *Introspector
	granted      *memory[grant]
	refusals     *memory[refusal]

	mu    sync.Mutex
	calls map[digest]*call
}

type refusal struct {
	err   error
	until time.Time
}

// call is one question, and those who wait for its answer.
type call struct {
	done      chan struct{}
	grant     *grant
	err       error
	abandoned bool // its leader gave up: that is no answer for the others
}

func newOpaque(v *Verifier, i *issuer, by *Introspector, size int) (*opaque, error) {
	o := &opaque{verifier: v, issuer: i, introspector: by, calls: map[digest]*call{}}
	var err error
	if o.granted, err = newMemory[grant](size); err != nil {
		return nil, err
	}
	o.refusals, err = newMemory[refusal](maxRefused)
	return o, err
}

// key is what a token is remembered by: it and whom it was asked of. hash is the
// token's own name, for revocations and logs.
func (o *opaque) key(hash digest) digest {
	return sha256.Sum256(append(hash[:], o.issuer.name...))
}

func (o *opaque) identify(ctx context.Context, token string) (*identity.Identity, error) {
	switch {
	case token == "" || len(token) > maxOpaque || !token68(token):
		return nil, refused(errForm)
	case strings.HasPrefix(token, ourKeys):
		return nil, refused(errOurs)
	}
	hash := digestOf(token)
	g, err := o.find(ctx, token, hash)
	if err != nil {
		return nil, err
	}
	// Seen at the time of use: an answer may have been waited for.
	if err := g.covers(o.verifier.clock()); err != nil {
		return nil, o.issuer.refused(g.identity.Subject, err)
	}
	if revoked, err := o.verifier.revoked(ctx, &g.standing); err != nil {
		return nil, err
	} else if revoked {
		return nil, o.issuer.refused(g.identity.Subject, errRevoked)
	}
	return g.identity, nil
}

// find returns what the issuer says, from memory while that is fresh. Callers
// who need the same answer at the same time share one question.
func (o *opaque) find(ctx context.Context, token string, hash digest) (*grant, error) {
	k := o.key(hash)
	for {
		now := o.verifier.clock()
		if g := o.granted.get(k); g != nil && now.Before(g.fresh) {
			return g, nil
		}
		if r := o.refusals.get(k); r != nil && now.Before(r.until) {
			return nil, r.err
		}
		c, leads := o.join(k)
		if leads {
			o.lead(ctx, c, k, token, hash)
			return c.grant, c.err
		}
		select {
		case <-c.done:
			if !c.abandoned {
				return c.grant, c.err
			}
		case <-ctx.Done():
			return nil, errors.Join(ErrIntrospection, ctx.Err())
		}
	}
}

func (o *opaque) join(k digest) (c *call, leads bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.calls[k]; c != nil {
		return c, false
	}
	c = &call{done: make(chan struct{})}
	o.calls[k] = c
	return c, true
}

// lead asks for everybody who waits on c.
func (o *opaque) lead(ctx context.Context, c *call, k digest, token string, hash digest) {
	c.abandoned = true // also when something panics: the next in line asks for itself
	defer func() {
		o.mu.Lock()
		delete(o.calls, k)
		o.mu.Unlock()
		close(c.done)
	}()
	began := o.verifier.clock() // what is remembered is as old as the question
	claims, size, err := o.introspector.ask(ctx, token, o.granted.get(k) != nil)
	if err != nil {
		c.err = err
		c.abandoned = ctx.Err() != nil
		return
	}
	c.grant, c.err = o.accept(claims, token, hash, began)
	c.abandoned = false
	if c.err != nil {
		o.granted.remove(k)
		o.refusals.replace(k, &refusal{err: c.err, until: began.Add(refusedFor)}, 0)
		return
	}
	if before := o.granted.get(k); before != nil && reflect.DeepEqual(before.identity, c.grant.identity) {
		c.grant.identity = before.identity
	}
	o.granted.replace(k, c.grant, len(token)+size)
}

// alive asks again for a connection that stays open. A token that is not
// remembered any more cannot be asked about, and does not count.
func (o *opaque) alive(ctx context.Context, i *issuer, name string) (bool, error) {
	hash, ok := fromHashText(name)
	if o == nil || o.issuer != i || !ok {
		return false, nil
	}
	g := o.granted.get(o.key(hash))
	if g == nil {
		return false, nil
	}
	_, err := o.identify(ctx, g.token)
	if errors.Is(err, identity.ErrUnknown) {
		return false, nil
	}
	return err == nil, err
}

// describe names an opaque token, for a revocation.
func (o *opaque) describe(token string) (Description, error) {
	switch {
	case o == nil:
		return Description{}, refused(errNoOpaque)
	case len(token) > maxOpaque || !token68(token):
		return Description{}, refused(errForm)
	case strings.HasPrefix(token, ourKeys):
		return Description{}, refused(errOurs)
	}
	return Description{Issuer: o.issuer.iss, TokenHash: hashText(digestOf(token))}, nil
}
