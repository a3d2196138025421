package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

const (
	maxClaims = 16 << 10  // bytes of JSON
	maxLabels = 128 << 10 // bytes of all roles and groups together
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
		Roles: a.Roles, Groups: a.Groups, Scopes: a.Scopes, SessionID: c.ID, Site: c.Site,
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
