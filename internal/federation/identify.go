package federation

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// errClosed is of a request that outlived its configuration.
var errClosed = errors.New("the configuration of this request has ended before its login was checked")

// Identify returns who a session cookie stands for, as session.Manager.Identify
// does and at about its cost. Of somebody from a provider with a Recheck it sees
// to it that the provider is asked in time, and waits up to five seconds when it
// was not: then the error is identity.ErrUnknown if the provider says no. If it
// says nothing they stay signed in, and it is asked again later without anybody
// waiting.
func (g *Guard) Identify(ctx context.Context, token string) (*identity.Identity, error) {
	s, who, err := g.sessions.Lookup(ctx, token)
	if err != nil || s.ProviderIssuer == "" {
		return who, err
	}
	e := g.entries[s.Provider]
	if e == nil {
		return nil, identity.ErrUnknown
	}
	login, err := g.loginOf(ctx, s)
	if err != nil {
		return nil, err
	}
	w, err := g.remember(login, s, token)
	if err != nil {
		return nil, err
	}
	due := g.due(e, login)
	if due == notYet {
		return who, nil
	}
	if w == nil {
		return g.unasked(who, due)
	}
	f, failing := g.start(e, login, w)
	if due == soon || failing {
		return who, nil
	}
	return g.await(ctx, f, token, who)
}

// unasked answers for somebody whose provider cannot be asked, since this cookie
// does not lead to the tokens. That is so on a site whose session did not get the
// portal's key: the next visit to the portal asks.
func (g *Guard) unasked(who *identity.Identity, due urgency) (*identity.Identity, error) {
	if due == overdue {
		return nil, identity.ErrUnknown
	}
	return who, nil
}

// await waits for a question that cannot be put off, and says who it is then.
func (g *Guard) await(ctx context.Context, f *flight, token string, who *identity.Identity) (*identity.Identity, error) {
	if f == nil {
		return g.unlessClosed(who)
	}
	outcome, err := f.wait(ctx)
	switch outcome {
	case answered:
		return g.sessions.Identify(ctx, token) // as it is now, if it still is
	case unknown:
		return who, nil
	}
	return nil, fmt.Errorf("checking a login at its provider: %w", err)
}

func (g *Guard) unlessClosed(who *identity.Identity) (*identity.Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, errClosed
	}
	return who, nil
}

// loginOf returns the session that holds what a provider gave: s itself, or the
// portal's that it hangs on.
func (g *Guard) loginOf(ctx context.Context, s *session.Session) (*session.Session, error) {
	if s.Parent == "" {
		return s, nil
	}
	p, err := g.sessions.Recall(ctx, s.Parent)
	if errors.Is(err, session.ErrNotFound) {
		return nil, identity.ErrUnknown
	}
	return p, err
}

// remember returns what is known of a login, after seeing to it that its key is,
// or nil when the token does not lead to it.
func (g *Guard) remember(login, s *session.Session, token string) (*watch, error) {
	if w, ok := g.watches.Get(login.ID); ok {
		return w, nil
	}
	k, ok := session.SealKey(token)
	if !ok {
		return nil, identity.ErrUnknown // and yet it was looked up
	}
	if login != s {
		var err error
		k, err = g.sessions.OpenParent(k, s)
		if errors.Is(err, session.ErrNoTokens) {
			return nil, nil //nolint:nilnil // unexported; nil is no key
		}
		if err != nil {
			return nil, fmt.Errorf("the session %s: %w", s.ID, err)
		}
	}
	w := &watch{key: k}
	if before, known, _ := g.watches.PeekOrAdd(login.ID, w); known {
		return before, nil
	}
	return w, nil
}
