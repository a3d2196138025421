package federation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// mute is for a login without anything to ask the provider with. It cannot be
// vouched for, and so ends when it would have to be: a new one is asked for.
func (g *Guard) mute(ctx context.Context, l *lease, e *entry, s *session.Session) answer {
	switch {
	case e.Recheck <= 0:
		return answer{outcome: unknown, idle: true, next: g.now().Add(lastPause)}
	case g.due(e, s) != overdue:
		return answer{outcome: unknown, idle: true, next: s.Checked.Add(e.Recheck)}
	}
	return g.end(ctx, l, e, s, "the provider gave no refresh token to ask it again with")
}

// end ends a session that its provider does not stand by, once. A "no" to tokens
// which another instance has replaced meanwhile is none: it may be the answer to
// using them twice.
func (g *Guard) end(ctx context.Context, l *lease, e *entry, s *session.Session, reason string) answer {
	if !l.held(ctx) {
		return answer{outcome: unknown}
	}
	now, err := g.sessions.Get(ctx, s.ID)
	switch {
	case errors.Is(err, session.ErrNotFound):
		return answer{outcome: answered}
	case err != nil:
		return g.fault(ctx, err)
	case !now.Checked.Equal(s.Checked):
		return answer{outcome: answered}
	case !bytes.Equal(now.Sealed, s.Sealed):
		return answer{outcome: unknown, idle: true}
	}
	err = g.sessions.Revoke(ctx, s.ID)
	if err != nil && !errors.Is(err, session.ErrNotFound) {
		return answer{err: fmt.Errorf("ending a session: %w", err)}
	}
	if err == nil {
		g.watches.Remove(s.ID)
		g.onEnded(context.WithoutCancel(ctx), Ended{SessionID: s.ID, Username: s.Username, Provider: e.Name, Reason: reason})
	}
	return answer{outcome: answered}
}

// keep stores what the provider says now.
func (g *Guard) keep(ctx context.Context, l *lease, e *entry, s *session.Session, w *watch, said unsaved) answer {
	login := said.login
	if login.Claims != nil && !e.allows(login.Email, login.EmailVerified) {
		return g.end(ctx, l, e, s, "there is no verified address at an allowed domain any more")
	}
	err := g.update(ctx, s, w.key, said.tokens, func(s *session.Session) {
		if login.Claims != nil { // else it told nothing new about the person
			s.Roles, s.Groups, s.Claims = labels(login.Roles), labels(login.Groups), login.Claims
		}
		s.Checked = said.at
	})
	w.unsaved.Store(nil)
	switch {
	case err == nil, errors.Is(err, session.ErrNotFound):
		return answer{outcome: answered}
	case errors.Is(err, session.ErrTooLarge):
		return g.end(ctx, l, e, s, session.ErrTooLarge.Error())
	}
	w.unsaved.Store(&said)
	return answer{err: fmt.Errorf("keeping what the provider %s says of a login: %w", e.Name, err)}
}

// keepTokens stores new tokens that came although nothing else is known: the old
// ones may be void.
func (g *Guard) keepTokens(ctx context.Context, s *session.Session, w *watch, t oidc.Tokens) {
	err := g.update(ctx, s, w.key, t, func(*session.Session) {})
	w.unsaved.Store(nil)
	if err != nil && !errors.Is(err, session.ErrNotFound) {
		w.unsaved.Store(&unsaved{sealed: s.Sealed, tokens: t})
		g.log.Warn("new tokens of a provider were not kept", "provider", s.Provider, "session", s.ID, "error", err)
	}
}

// update changes a session and its tokens. What came of a question cannot be asked
// for twice: so it is tried more than once, also when time is up.
func (g *Guard) update(ctx context.Context, s *session.Session, k session.Key, t oidc.Tokens, change func(*session.Session)) error {
	raw, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("the tokens of the provider %s cannot be stored: %w", s.Provider, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	for try := 0; ; try++ {
		_, err := g.sessions.Update(ctx, s.ID, func(s *session.Session) error {
			change(s)
			return g.sessions.Reseal(k, s, raw)
		})
		if err == nil || errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrTooLarge) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond << min(try, 4)):
		case <-ctx.Done():
			return err
		}
	}
}

// errTokens is of tokens that were opened and cannot be read.
var errTokens = errors.New("the tokens in a session cannot be read")

// tokens opens what a session holds.
func (g *Guard) tokens(k session.Key, s *session.Session) (t oidc.Tokens, err error) {
	raw, err := g.sessions.Open(k, s)
	if err != nil {
		return t, fmt.Errorf("the session %s: %w", s.ID, err)
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return t, fmt.Errorf("the session %s: %w", s.ID, errTokens) // why may quote them
	}
	return t, nil
}
