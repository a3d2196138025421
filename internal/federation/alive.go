package federation

import (
	"context"
	"errors"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// urgency is whether a provider is to be asked about a login. Its zero value
// waits for the answer.
type urgency uint8

const (
	overdue urgency = iota
	soon            // in the background
	notYet
)

// due measures from when the provider last stood by the login. A clock that was
// set back makes it no younger.
func (g *Guard) due(e *entry, login *session.Session) urgency {
	if e.Recheck <= 0 || e.Refresher == nil {
		return notYet
	}
	switch age := g.now().Sub(login.Checked).Abs(); {
	case age < e.Recheck/5*4:
		return notYet
	case age < e.Recheck:
		return soon
	}
	return overdue
}

// Alive reports whether the session of an identity that Identify returned would
// still be honoured for the same user, as session.Manager.Alive does, for
// connections that outlive their request. It has the provider asked like
// Identify, and never waits for it: one that says no ends the session, and so the
// next Alive is false. It is false, too, for an overdue login whose key is not
// remembered any more: the connection comes back with its cookie.
func (g *Guard) Alive(ctx context.Context, id *identity.Identity) (bool, error) {
	alive, err := g.sessions.Alive(ctx, id)
	if err != nil || !alive {
		return false, err
	}
	s, err := g.sessions.Recall(ctx, id.SessionID)
	if errors.Is(err, session.ErrNotFound) {
		return false, nil
	}
	if err != nil || s.ProviderIssuer == "" {
		return err == nil, err
	}
	e := g.entries[s.Provider]
	if e == nil {
		return false, nil
	}
	login, err := g.loginOf(ctx, s)
	if errors.Is(err, identity.ErrUnknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return g.stands(e, login)
}

// stands has the provider asked about a login, if it is time.
func (g *Guard) stands(e *entry, login *session.Session) (bool, error) {
	due := g.due(e, login)
	if due == notYet {
		return true, nil
	}
	w, known := g.watches.Get(login.ID)
	if !known {
		return due == soon, nil
	}
	g.start(e, login, w)
	if due == soon {
		return true, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.fault != nil {
		return false, w.fault
	}
	return !g.closed, nil
}
