package key

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Alive reports whether the key of an identity that Identify returned would
// still be honoured for the same owner, from memory when it can. It is for
// connections that outlive their request (WebSocket): it charges nothing and is
// no use of the key. It is false once the secret that was presented has ended,
// also when the key has another by now; and for identities that did not come from
// a key.
func (m *Manager) Alive(ctx context.Context, id *identity.Identity) (bool, error) {
	if !id.Authenticated() || id.Method != identity.Key {
		return false, nil
	}
	keyID, ok := parseCredential(id.Credential)
	if !ok {
		return false, nil
	}
	c, found, err := m.near.Get(ctx, recordPrefix+keyID)
	if err != nil {
		return false, fmt.Errorf("looking up a key: %w", err)
	}
	if !found || c.ID != keyID || c.OwnerID != id.ID {
		return false, nil
	}
	s := c.presented(id.Credential)
	if s == nil || !m.now().Before(s.ends) {
		return false, nil
	}
	b, err := m.owner(ctx, c, s)
	if errors.Is(err, identity.ErrUnknown) {
		return false, nil
	}
	return err == nil && len(b.identity.Scopes) > 0, err
}
