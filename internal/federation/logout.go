package federation

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// ErrReplayed is returned for a logout token that has come before.
var ErrReplayed = errors.New("the logout token has been used before")

const (
	jtiPrefix = "jti/" // of the marks of logout tokens that have come; the rest is a hash
	// jtiFor is how long a mark stays at least. A token is refused for its age
	// sooner than that, or as late as Logout.Until.
	jtiFor = 10 * time.Minute
)

// Logout ends what a provider says has ended (OpenID Connect Back-Channel Logout
// 1.0 section 2.7): the sessions of one session there or, when only the person is
// told, all that came from them. It says how many there were; none is no error.
// They are refused here when it returns, and on other instances within a second.
//
// A token counts once, over all instances. If ending fails, it may come again.
func (g *Guard) Logout(ctx context.Context, e Entry, l *oidc.Logout) (n int, err error) {
	if l == nil || l.Issuer == "" || l.ID == "" || l.SID == "" && l.Subject == "" {
		return 0, errors.New("a logout says neither who nor what has ended, or has no name")
	}
	mark := jtiKey(l)
	created, err := g.store.Create(ctx, mark, []byte(e.Name), max(jtiFor, l.Until.Sub(g.now())))
	if err != nil {
		return 0, fmt.Errorf("marking a logout token as used: %w", err)
	}
	if !created {
		return 0, ErrReplayed
	}
	if n, err = g.logout(ctx, l); err == nil {
		return n, nil
	}
	// The provider may send it again, and must be heard then.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if _, failed := g.store.Delete(back, mark); failed != nil {
		err = errors.Join(err, failed)
	}
	return n, fmt.Errorf("ending what the provider %s has ended: %w", e.Name, err)
}

func (g *Guard) logout(ctx context.Context, l *oidc.Logout) (int, error) {
	if l.SID != "" {
		return g.sessions.RevokeProviderSession(ctx, l.Issuer, l.SID)
	}
	u, err := g.users.FindFederated(ctx, l.Issuer, l.Subject)
	if errors.Is(err, user.ErrNotFound) {
		return 0, nil // never was here
	}
	if err != nil {
		return 0, err
	}
	return g.sessions.RevokeProviderSubject(ctx, u.Username, l.Issuer, l.Subject)
}

// jtiKey hashes, so that no name makes a key too long. No issuer holds a NUL.
func jtiKey(l *oidc.Logout) string {
	sum := sha256.Sum256([]byte(l.Issuer + "\x00" + l.ID))
	return jtiPrefix + base64.RawURLEncoding.EncodeToString(sum[:])
}
