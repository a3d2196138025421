package federation

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// ask finds out whether the provider still stands by a session that looked like
// seen, by asking it, or by waiting for another instance that does.
func (g *Guard) ask(ctx context.Context, e *entry, seen *session.Session, w *watch) answer {
	for {
		l, err := g.acquire(ctx, seen.ID)
		if err != nil {
			return g.fault(ctx, err)
		}
		if l == nil {
			a, again := g.follow(ctx, seen)
			if again {
				continue
			}
			return a
		}
		a := g.askUnder(ctx, l, e, seen, w)
		if a.outcome == answered {
			g.catchUp(ctx, seen)
		}
		return a
	}
}

// catchUp waits until this instance has heard of what another has done: who waits
// for the answer looks the session up here.
func (g *Guard) catchUp(ctx context.Context, seen *session.Session) {
	const within, every = time.Second, 5 * time.Millisecond
	for began := time.Now(); time.Since(began) < within; {
		s, err := g.sessions.Recall(ctx, seen.ID)
		if err != nil || !s.Checked.Equal(seen.Checked) {
			return
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
	}
}

// askUnder asks under the lease, and gives it up, so that everybody else who
// wanted to ask finds either a new session or word that it was in vain.
func (g *Guard) askUnder(ctx context.Context, l *lease, e *entry, seen *session.Session, w *watch) answer {
	a := g.settle(ctx, l, e, seen, w)
	// Also when time is up: else others wait for somebody who is done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if a.outcome == unknown && !a.idle {
		g.mu.Lock()
		fails := w.fails + 1
		g.mu.Unlock()
		wait := pause(e, fails)
		l.end(ctx, leaseRecord{Fails: fails, Until: g.now().Add(wait)}, wait)
		return a
	}
	l.release(ctx)
	return a
}

// settle reads the session as it is under the lease, asks, and stores what came of
// it.
func (g *Guard) settle(ctx context.Context, l *lease, e *entry, seen *session.Session, w *watch) answer {
	s, err := g.sessions.Get(ctx, seen.ID)
	switch {
	case errors.Is(err, session.ErrNotFound):
		return answer{outcome: answered}
	case err != nil:
		return g.fault(ctx, err)
	case !s.Checked.Equal(seen.Checked): // done before we got the lease
		return answer{outcome: answered}
	}
	old, err := g.tokens(w.key, s)
	if err != nil {
		if errors.Is(err, session.ErrNoTokens) {
			return g.mute(ctx, l, e, s)
		}
		return answer{err: err}
	}
	stored := old
	if u := w.unsaved.Load(); u != nil && bytes.Equal(u.sealed, s.Sealed) {
		if u.login != nil && g.now().Sub(u.at).Abs() < e.Recheck {
			return g.keep(ctx, l, e, s, w, *u)
		}
		old = u.tokens // what was said with them is too old to count
	}
	login, now, err := g.call(ctx, e, s, old)
	denied := (*oidc.DeniedError)(nil)
	switch {
	case err == nil:
		g.back(e)
		return g.keep(ctx, l, e, s, w, unsaved{s.Sealed, now, login, g.now()})
	case errors.Is(err, oidc.ErrRevoked):
		g.back(e)
		return g.end(ctx, l, e, s, "the provider does not stand by the login any more")
	case errors.As(err, &denied):
		g.back(e)
		return g.end(ctx, l, e, s, denied.Error())
	case errors.Is(err, oidc.ErrNoRefresh):
		return g.mute(ctx, l, e, s)
	}
	if now != stored {
		g.keepTokens(ctx, s, w, now)
	}
	if g.ctx.Err() != nil { // we gave up, not the provider: others may ask at once
		return answer{outcome: unknown, idle: true}
	}
	g.unanswered(e, s, err)
	return answer{outcome: unknown}
}

// errOther is of an answer that is about nobody, or somebody else.
var errOther = errors.New("the provider answered about another person")

func (g *Guard) call(ctx context.Context, e *entry, s *session.Session, old oidc.Tokens) (*oidc.Login, oidc.Tokens, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	login, now, err := e.Refresher.Refresh(ctx, s.ProviderIssuer, s.ProviderSubject, old)
	if err == nil && (login == nil || login.Issuer != s.ProviderIssuer || login.Subject != s.ProviderSubject) {
		err = errOther
	}
	if errors.Is(err, oidc.ErrInvalid) || errors.Is(err, errOther) {
		// Tokens that may be another person's are none of this session's.
		return nil, old, err
	}
	return login, now, err
}

// unanswered logs that nothing is known about a login: of a provider that is away
// once, and of one that answers with what cannot be true each time.
func (g *Guard) unanswered(e *entry, s *session.Session, err error) {
	level := g.log.Debug
	if errors.Is(err, oidc.ErrInvalid) || errors.Is(err, errOther) || !e.away.Swap(true) {
		level = g.log.Warn
	}
	level("a provider gave no usable answer about a login; its session stays until it does", "provider", e.Name, "session", s.ID, "error", err)
}

func (g *Guard) back(e *entry) {
	if e.away.Load() && e.away.Swap(false) {
		g.log.Info("a provider answers about logins again", "provider", e.Name)
	}
}
