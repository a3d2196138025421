package federation

import (
	"context"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
)

// Refresher asks a provider whether it still stands by a login, and returns the
// tokens to be kept instead of the old ones, with an error, too. *oidc.Provider is
// one. An oidc.ErrRevoked and an *oidc.DeniedError end the session, and an
// oidc.ErrNoRefresh does when it cannot wait any longer. After any other error
// nothing is known: an answer about somebody else says nothing of this person.
type Refresher interface {
	Refresh(ctx context.Context, issuer, subject string, old oidc.Tokens) (*oidc.Login, oidc.Tokens, error)
}

// Entry is what the configuration says of one provider.
type Entry struct {
	Name string // the provider's, in the configuration; required
	// AllowEmailDomain lets in only people with a verified address at one of these
	// domains, compared letter by letter without regard to the case of ASCII
	// letters. Default: everybody.
	AllowEmailDomain []string
	// LinkByEmail lets a first login with a verified address be the one user here
	// who has it. Default: a new user.
	LinkByEmail bool
	// Recheck is how long somebody whom the provider lets go stays signed in.
	// Default: as long as the session.
	Recheck time.Duration
	// Refresher asks the provider. Without one nobody is asked.
	Refresher Refresher
}

// allows reports whether a verified address is at one of the domains.
func (e *Entry) allows(email string, verified bool) bool {
	if len(e.AllowEmailDomain) == 0 {
		return true
	}
	domain, ok := domainOf(email)
	if !verified || !ok {
		return false
	}
	for _, allowed := range e.AllowEmailDomain {
		if domain == lower(allowed) {
			return true
		}
	}
	return false
}

// *oidc.Provider is what asks.
var _ Refresher = (*oidc.Provider)(nil)
