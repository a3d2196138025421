package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// longest is how much of a browser's own description is kept.
const longest = 512

// Login is a person who has just proven who they are.
type Login struct {
	Username  string // as stored; required
	UserID    string // required
	Epoch     int64  // of the user's record when the proof was checked
	AMR       []string
	Provider  string // default identity.Local
	ClientIP  string
	UserAgent string
	Remember  bool // they asked to stay signed in; counts only with Options.RememberMe
	// Replaces is the value of the session cookie that came with the login, if
	// any. That session ends, whosever it was.
	Replaces string
}

// Create makes a session with a token of its own, and ends the one it replaces:
// a token which somebody planted in the browser before the login (session
// fixation) is worth nothing after it. The token is for the cookie only; it is
// kept nowhere else.
func (m *Manager) Create(ctx context.Context, l Login) (token string, s *Session, err error) {
	if l.Username == "" || l.UserID == "" {
		return "", nil, errors.New("a session needs a user")
	}
	if l.Provider == "" {
		l.Provider = identity.Local
	}
	if token, err = newToken(m.rand); err != nil {
		return "", nil, err
	}
	now, lim := m.now(), m.limits(l.Remember)
	s = &Session{
		ID: ID(token), Username: l.Username, UserID: l.UserID, Epoch: l.Epoch,
		Created: now, AuthTime: now, LastSeen: now, Expires: now.Add(lim.lifetime), Idle: lim.idle,
		Remember: l.Remember && m.offers, AMR: l.AMR, Provider: l.Provider,
		ClientIP: short(l.ClientIP), UserAgent: short(l.UserAgent),
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return "", nil, fmt.Errorf("the session cannot be stored: %w", err)
	}
	if err := m.end(ctx, l.Replaces); err != nil {
		return "", nil, fmt.Errorf("ending the session before this login: %w", err)
	}
	// The index goes first: a session that cannot be listed cannot be ended by
	// its owner, while an entry without a session is only tidied away.
	if err := m.store.Put(ctx, indexKey(s.Username, s.ID), stamp(now), lim.lifetime); err != nil {
		return "", nil, fmt.Errorf("storing a session: %w", err)
	}
	created, err := m.store.Create(ctx, keyPrefix+s.ID, raw, s.Ends().Sub(now))
	if err != nil {
		return "", nil, fmt.Errorf("storing a session: %w", err)
	}
	if !created {
		return "", nil, errors.New("the random source repeats itself: refusing to share a session")
	}
	return token, s, nil
}

// end removes the session of a token; what is no token or no session is fine.
func (m *Manager) end(ctx context.Context, token string) error {
	if _, ok := parseToken(token); !ok {
		return nil
	}
	err := m.Revoke(ctx, ID(token))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// short bounds what a stranger's browser makes us keep.
func short(s string) string {
	if len(s) > longest {
		s = s[:longest]
	}
	return strings.ToValidUTF8(s, "")
}

// indexKey is where a user's session is listed. Names have no "/"; escaping
// makes that no matter of trust.
func indexKey(username, id string) string {
	return indexPrefix + url.PathEscape(username) + "/" + id
}

func stamp(t time.Time) []byte { return []byte(t.Format(time.RFC3339)) }
