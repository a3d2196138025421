package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"
)

const (
	sidPrefix = "provider_sid/" // of the index by the session at the provider
	outPrefix = "provider_out/" // of the sessions there that ended a moment ago

	// underWay is how long a login may take from the provider's answer to the
	// session.
	underWay = time.Minute
)

// sidKey begins the entries of the sessions that a session at a provider has
// here. No issuer holds a NUL.
func sidKey(issuer, sid string) string { return sidPrefix + sidHash(issuer, sid) + "/" }

func sidHash(issuer, sid string) string {
	sum := sha256.Sum256([]byte(issuer + "\x00" + sid))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// RevokeProviderSession ends the sessions that came from one session at a
// provider, and says how many there were. A login from it that is under way
// meanwhile fails with ErrEnded.
func (m *Manager) RevokeProviderSession(ctx context.Context, issuer, sid string) (int, error) {
	if issuer == "" || sid == "" {
		return 0, nil
	}
	// The note goes first. A login writes its entry, then its session, and then
	// looks for the note: one of the two sees the other.
	if err := m.store.Put(ctx, outPrefix+sidHash(issuer, sid), stamp(m.now()), underWay); err != nil {
		return 0, err
	}
	return m.revokeListed(ctx, sidKey(issuer, sid), func(string) (bool, error) { return true, nil })
}

// RevokeKnownProviderSession is RevokeProviderSession on anybody's word: it writes
// nothing, which would cost a stranger little and the store much, when there are
// none. A login that is under way meanwhile may slip through.
func (m *Manager) RevokeKnownProviderSession(ctx context.Context, issuer, sid string) (int, error) {
	if issuer == "" || sid == "" {
		return 0, nil
	}
	some, err := m.store.Scan(ctx, sidKey(issuer, sid), "", 1)
	if err != nil || len(some) == 0 {
		return 0, err
	}
	return m.RevokeProviderSession(ctx, issuer, sid)
}

// unlessEnded takes a session back whose session at the provider ended while it
// was being made.
func (m *Manager) unlessEnded(ctx context.Context, s *Session) error {
	if s.ProviderSID == "" {
		return nil
	}
	_, ended, err := m.store.Get(ctx, outPrefix+sidHash(s.ProviderIssuer, s.ProviderSID))
	if err == nil && !ended {
		return nil
	}
	if err == nil {
		err = ErrEnded
	}
	if back := m.Revoke(context.WithoutCancel(ctx), s.ID); back != nil && !errors.Is(back, ErrNotFound) {
		return errors.Join(err, back)
	}
	return err
}

// RevokeProviderSubject ends the sessions of a user, whose name is as stored, that
// came from a login as this subject, those on sites too, and says how many there
// were. One that cannot be read is ended as well. A login that is under way
// meanwhile may slip through.
func (m *Manager) RevokeProviderSubject(ctx context.Context, username, issuer, subject string) (int, error) {
	return m.revokeListed(ctx, indexKey(username, ""), func(id string) (bool, error) {
		raw, found, err := m.store.Get(ctx, keyPrefix+id)
		if err != nil || !found {
			return !found, err
		}
		s, err := unmarshal(raw)
		return err != nil || s.ProviderIssuer == issuer && s.ProviderSubject == subject, nil //nolint:nilerr // what cannot be read is ended
	})
}
