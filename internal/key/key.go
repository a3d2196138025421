// Package key owns API keys: issuing them, finding who a presented one stands
// for, holding it to its owner's rights, its networks and its rate, rotating,
// revoking and listing keys, and counting their uses.
//
// It does not own where in a request a key is looked for (package gateway), nor
// owners: what a user's or service's record says now comes in through Accounts
// and is asked on every request. A key never has more rights than its owner has
// at that moment.
//
// A key reads "gh_<id>_<secret><checksum>". The id is public and names the
// record; the secret is 190 random bits; the checksum tells typing errors from
// keys without a look-up, and is no protection: anybody can compute it. Only a
// SHA-256 of the whole text is stored. A plain hash is enough, since 190 bits
// cannot be guessed from it.
//
// What is stored, all with an end of its own: "key/<id>" the record,
// "keyof/<owner>/<id>" the owner's list of keys, "keyuse/<id>" the count of
// uses; and "keyrate/<id>/<rate>" in the space of charges.
package key

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// The errors of a Manager, besides *InvalidError and store.ErrUnavailable.
var (
	ErrNotFound = errors.New("there is no such key")
	// ErrContended is returned when a record kept changing under a Rotate.
	ErrContended = errors.New("the key is being changed by others, try again")
)

// InvalidError says which field of a key, or which argument, cannot be as given,
// and why.
type InvalidError struct {
	Field  string // as in the JSON: "scopes", "networks", "lifetime", …
	Reason string // completes "the scopes …"
}

func (e *InvalidError) Error() string { return fmt.Sprintf("the %s %s", e.Field, e.Reason) }

// The times that a key has.
const (
	// DefaultGrace is for how long a rotated key's earlier secret goes on working.
	DefaultGrace = 24 * time.Hour
	// MaxGrace is the longest such time.
	MaxGrace = 30 * day
	// MinLifetime is the shortest life of a key.
	MinLifetime = time.Minute

	day = 24 * time.Hour
	// listed is how long a key that has expired is still shown as that.
	listed = 30 * day
)

// Key is what is known of one API key. It holds nothing secret, and is the
// caller's own copy.
type Key struct {
	ID          string         `json:"id"`       // public: 12 letters and digits
	Owner       string         `json:"owner"`    // the owner's name, as stored
	OwnerID     string         `json:"owner_id"` // "usr_…" or "svc_…"; a later owner of the same name has another
	Description string         `json:"description,omitempty"`
	Scopes      []string       `json:"scopes"`             // as granted, sorted; in force are those that the owner still has
	Networks    []netip.Prefix `json:"networks,omitempty"` // from where it may be used; none: from everywhere
	Rate        identity.Rate  `json:"rate,omitzero"`      // its own; zero: the owner's
	Created     time.Time      `json:"created"`
	Expires     time.Time      `json:"expires"`             // by today's MaxLifetime
	Expired     bool           `json:"expired"`             // still shown, and refused
	Rotated     time.Time      `json:"rotated,omitzero"`    // last; zero: never
	GraceEnds   time.Time      `json:"grace_ends,omitzero"` // when the last of its earlier secrets stops working; zero: none works
	LastUsed    time.Time      `json:"last_used,omitzero"`  // zero: never
	Uses        int64          `json:"uses"`                // requests that were let in as this key; see Manager
}
