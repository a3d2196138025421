package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

const (
	sidPrefix = "provider_sid/" // of the index by the session at the provider
	outPrefix = "provider_out/" // of the sessions there that ended a moment ago

	maxClaims = 16 << 10  // bytes of JSON
	maxLabels = 128 << 10 // bytes of all roles and groups together

	// underWay is how long a login may take from the provider's answer to the
	// session.
	underWay = time.Minute
)

// Claims are what a provider said of a person, as decoded from JSON, whose
// numbers stay exactly as they were written (json.Number).
type Claims map[string]any

// UnmarshalJSON keeps numbers as they are written.
func (c *Claims) UnmarshalJSON(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode((*map[string]any)(c))
}

// marshal is how a session is stored.
func marshal(s *Session) ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("the session cannot be stored: %w", err)
	}
	return raw, nil
}

// fromProvider notes in s what a provider said.
func (m *Manager) fromProvider(s *Session, l *Login, token string) error {
	if l.ProviderIssuer == "" || l.ProviderSubject == "" || l.Provider == identity.Local {
		return errors.New("a session of a person from a provider needs its name, the issuer and the subject")
	}
	s.ProviderIssuer, s.ProviderSubject, s.ProviderSID = l.ProviderIssuer, l.ProviderSubject, l.ProviderSID
	s.ACR, s.Roles, s.Groups, s.Claims, s.Checked = l.ACR, l.Roles, l.Groups, l.Claims, s.Created
	s.AuthTime = l.AuthTime.UTC().Round(0)
	if s.AuthTime.After(s.Created) { // two clocks: nobody proves anything in the future
		s.AuthTime = s.Created
	}
	if err := m.bound(s); err != nil || len(l.Tokens) == 0 {
		return err
	}
	k, ok := SealKey(token)
	if !ok {
		return ErrSealed // we made the token
	}
	return m.Reseal(k, s, l.Tokens)
}

// bound holds s to what a session may carry of a provider's words. Claims that
// are too many are left out, since policies that need one then refuse. Roles and
// groups are not: a policy may ask who is not in one.
func (m *Manager) bound(s *Session) error {
	size := 0
	for _, label := range slices.Concat(s.Roles, s.Groups) {
		size += len(label)
	}
	if size > maxLabels || len(s.Roles)+len(s.Groups) > maxLabels/16 {
		return ErrTooLarge
	}
	if len(s.Claims) == 0 {
		s.Claims = nil
		return nil
	}
	raw, err := json.Marshal(s.Claims)
	if err != nil || len(raw) > maxClaims {
		m.log.Warn("the claims of a provider are left out of the session: they are no JSON, or more than 16 KiB",
			"provider", s.Provider, "session", s.ID, "size", len(raw), "error", err)
		s.Claims = nil
	}
	return nil
}

// newIdentity is who a session stands for. What tells of the login is that of the
// parent, as it is now, where there is one.
func newIdentity(c, parent *copied, a *identity.Account) *identity.Identity {
	id := &identity.Identity{
		Method: identity.Session, Provider: c.Provider, ID: a.ID, Subject: a.ID,
		Username: a.Username, Email: a.Email, EmailVerified: a.EmailVerified, Name: a.Name,
		Roles: a.Roles, Groups: a.Groups, Scopes: a.Scopes, SessionID: c.ID,
	}
	login := &c.Session
	if parent != nil {
		login = &parent.Session
	}
	id.AMR, id.AuthTime = login.AMR, login.AuthTime
	if login.ProviderIssuer != "" {
		id.Issuer, id.Subject, id.Claims = login.ProviderIssuer, login.ProviderSubject, login.Claims
		id.Roles, id.Groups = union(a.Roles, login.Roles), union(a.Groups, login.Groups)
	}
	return id
}

// union is sorted and without duplicates.
func union(own, provided []string) []string {
	if len(provided) == 0 {
		return own
	}
	all := slices.Concat(own, provided)
	slices.Sort(all)
	return slices.Compact(all)
}

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
