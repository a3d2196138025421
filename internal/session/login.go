package session

import (
	"context"
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

	// Of a person who comes from a provider; the first two are required then.
	ProviderIssuer  string
	ProviderSubject string
	ProviderSID     string
	// AuthTime is when the person proved at the provider who they are; zero: it did
	// not tell, and the session has none. Without a provider it is now.
	AuthTime time.Time
	ACR      string
	Roles    []string
	Groups   []string
	Claims   map[string]any // above 16 KiB of JSON they are left out
	Tokens   []byte         // sealed in the session; at most 128 KiB

	// Parent is the id of the portal's session that this one of a site hangs on,
	// and Site the site's origin. How the person signed in, and what the provider
	// says of them, is then the parent's. ParentKey, if known, lets this session's
	// requests stand by the parent's tokens, too.
	Parent    string
	ParentKey Key
	Site      string
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
	now := m.now()
	if s, err = m.newSession(ctx, &l, token, now); err != nil {
		return "", nil, err
	}
	raw, err := marshal(s)
	if err != nil {
		return "", nil, err
	}
	if err := m.end(ctx, l.Replaces); err != nil {
		return "", nil, fmt.Errorf("ending the session before this login: %w", err)
	}
	if err := m.put(ctx, s, raw, now); err != nil {
		return "", nil, err
	}
	return token, s, nil
}

// put stores a new session. The indexes go first: a session that cannot be listed
// cannot be ended by its owner, while an entry without a session is only tidied
// away.
func (m *Manager) put(ctx context.Context, s *Session, raw []byte, now time.Time) error {
	entries := []string{indexKey(s.Username, s.ID)}
	if s.ProviderSID != "" {
		entries = append(entries, sidKey(s.ProviderIssuer, s.ProviderSID)+s.ID)
	}
	for _, entry := range entries {
		if err := m.store.Put(ctx, entry, stamp(now), s.Expires.Sub(now)); err != nil {
			return fmt.Errorf("storing a session: %w", err)
		}
	}
	created, err := m.store.Create(ctx, keyPrefix+s.ID, raw, s.Ends().Sub(now))
	if err != nil {
		return fmt.Errorf("storing a session: %w", err)
	}
	if !created {
		return errors.New("the random source repeats itself: refusing to share a session")
	}
	return m.unlessEnded(ctx, s)
}

// newSession makes the record of a login.
func (m *Manager) newSession(ctx context.Context, l *Login, token string, now time.Time) (*Session, error) {
	lim := m.limits(l.Remember)
	s := &Session{
		ID: ID(token), Username: l.Username, UserID: l.UserID, Epoch: l.Epoch,
		Created: now, AuthTime: now, LastSeen: now, Expires: now.Add(lim.lifetime), Idle: lim.idle,
		Remember: l.Remember && m.offers, AMR: l.AMR, Provider: l.Provider,
		ClientIP: short(l.ClientIP), UserAgent: short(l.UserAgent),
	}
	if l.Parent != "" {
		return s, m.hang(ctx, s, l, token)
	}
	if l.ProviderIssuer == "" && l.ProviderSubject == "" {
		return s, nil
	}
	return s, m.fromProvider(s, l, token)
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
