package federation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// ErrNoToken is returned where a provider's access token is asked for and there
// is none: the person did not come from a provider, it gave none or one that has
// ended and cannot be replaced, or the session was not seen here since the start.
var ErrNoToken = errors.New("there is no access token of a provider")

// ahead is how long before its end an access token is replaced, or half its life
// if that is less.
const ahead = 30 * time.Second

// AccessToken returns the provider's access token of a session that Identify has
// found, to be handed to the app. One that is about to end is replaced first, in
// the same way as a login is checked again; a request waits for that up to five
// seconds. The errors are ErrNoToken, identity.ErrUnknown for a session that is
// over, an oidc.ErrUnavailable when the token has ended and the provider gives no
// other, and those of the store.
func (g *Guard) AccessToken(ctx context.Context, sessionID string) (string, error) {
	login, w, err := g.known(ctx, sessionID)
	if err != nil {
		return "", err
	}
	e := g.entries[login.Provider]
	if e == nil {
		return "", identity.ErrUnknown
	}
	t, err := g.tokens(w.key, login)
	if errors.Is(err, session.ErrNoTokens) || err == nil && t.Access == "" {
		return "", ErrNoToken
	}
	if err != nil {
		return "", err
	}
	if !g.ending(login, t) {
		return t.Access, nil
	}
	if t.Refresh == "" { // nothing but a new login gets another
		if !g.now().Before(t.Expires) {
			return "", ErrNoToken
		}
		return t.Access, nil
	}
	if t, err = g.replaced(ctx, e, login, w, t); err != nil {
		return "", err
	}
	if !t.Expires.IsZero() && !g.now().Before(t.Expires) {
		return "", fmt.Errorf("the access token of the provider %s has ended: %w", e.Name, oidc.ErrUnavailable)
	}
	return t.Access, nil
}

// known returns the session that holds the tokens of a session, and its key.
func (g *Guard) known(ctx context.Context, sessionID string) (*session.Session, *watch, error) {
	s, err := g.sessions.Recall(ctx, sessionID)
	if errors.Is(err, session.ErrNotFound) {
		return nil, nil, identity.ErrUnknown
	}
	if err != nil {
		return nil, nil, err
	}
	if s.ProviderIssuer == "" {
		return nil, nil, ErrNoToken
	}
	login, err := g.loginOf(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	w, ok := g.watches.Get(login.ID)
	if !ok {
		return nil, nil, ErrNoToken
	}
	return login, w, nil
}

// ending reports whether a token should be replaced now.
func (g *Guard) ending(login *session.Session, t oidc.Tokens) bool {
	if t.Expires.IsZero() {
		return false
	}
	life := max(0, t.Expires.Sub(login.Checked))
	return !g.now().Before(t.Expires.Add(-min(ahead, life/2)))
}

// replaced asks the provider, and returns the tokens that the session has then.
// Where that is in vain they are the old ones.
func (g *Guard) replaced(ctx context.Context, e *entry, login *session.Session, w *watch, old oidc.Tokens) (oidc.Tokens, error) {
	if e.Refresher == nil {
		return old, nil
	}
	f, failing := g.start(e, login, w)
	if f == nil || failing {
		return old, nil
	}
	switch outcome, err := f.wait(ctx); outcome {
	case answered:
	case unknown:
		return old, nil
	default:
		return old, fmt.Errorf("replacing an access token: %w", err)
	}
	now, err := g.sessions.Recall(ctx, login.ID)
	if errors.Is(err, session.ErrNotFound) {
		return old, identity.ErrUnknown
	}
	if err != nil {
		return old, err
	}
	return g.tokens(w.key, now)
}
