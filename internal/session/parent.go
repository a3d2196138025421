package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// parentOf returns the parent of a session that has one, from memory when it can.
// The error is identity.ErrUnknown when the parent would not be honoured for the
// same login: it is over, revoked, or another's. That its user still is who they
// were is for the caller to check, of either.
func (m *Manager) parentOf(ctx context.Context, c *copied, now time.Time) (*copied, error) {
	p, err := m.find(ctx, c.parent, now)
	if err != nil {
		return nil, err
	}
	if !p.carries(&c.Session) {
		return nil, identity.ErrUnknown
	}
	return p, nil
}

// carries reports whether s may be the parent of child.
func (s *Session) carries(child *Session) bool {
	return s.Parent == "" && s.UserID == child.UserID && s.Username == child.Username && s.Epoch == child.Epoch
}

// hang makes s the session of a site, under the portal's session that the login
// names. It ends with that at the latest.
func (m *Manager) hang(ctx context.Context, s *Session, l *Login, token string) error {
	p, err := m.Get(ctx, l.Parent)
	if errors.Is(err, ErrNotFound) {
		return ErrParent
	}
	if err != nil {
		return fmt.Errorf("looking up the portal's session: %w", err)
	}
	if !p.carries(s) {
		return ErrParent
	}
	s.Parent, s.Site = p.ID, short(l.Site)
	s.Provider, s.ProviderIssuer, s.ProviderSubject = p.Provider, p.ProviderIssuer, p.ProviderSubject
	s.AuthTime, s.AMR, s.ACR = p.AuthTime, p.AMR, p.ACR
	if p.Expires.Before(s.Expires) {
		s.Expires = p.Expires
	}
	if !l.ParentKey.Valid() {
		return nil
	}
	k, ok := SealKey(token)
	if !ok {
		return ErrSealed // we made the token
	}
	s.Sealed, err = k.Seal(m.rand, l.ParentKey.Bytes(), aboutParent+s.ID)
	return err
}

// Recall returns a session that is still honoured, or ErrNotFound. It is Get from
// memory when it can, as cheap as Identify and no request. The result is shared:
// treat it as read-only.
func (m *Manager) Recall(ctx context.Context, id string) (*Session, error) {
	if !validID(id) {
		return nil, ErrNotFound
	}
	k, now := keyOf(id), m.now()
	c, err := m.find(ctx, &k, now)
	if err == nil && c.parent != nil {
		_, err = m.parentOf(ctx, c, now)
	}
	if errors.Is(err, identity.ErrUnknown) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	account, err := m.account(ctx, &c.Session)
	if err == nil && account == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &c.Session, nil
}
