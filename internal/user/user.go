// Package user owns the records of users and services: their names, roles,
// groups, scopes, state and the hash of a person's password. It decides what a
// well-formed name, label, scope or address is, and tells the request path what
// a record says now.
//
// Users and services share one name space, so that a name in a header, a log or
// a policy is never two. A service is no person: it has no password and no
// address, and signs in with keys and client certificates only. What is said
// here of users holds for services unless it says otherwise.
//
// A person may also come from outside identity providers. There they are one
// issuer's subject, and that pair alone says who they are: an address or a name
// that a provider tells finds nobody, unless linking by address is asked for.
//
// It does not own passwords themselves (package password hashes and compares
// them), nor logins (package session). A login ends when the record's Epoch
// grows, when the user is disabled or deleted; the record only carries that.
//
// When the last person is deleted there is nobody left who could sign in: the
// gateway then offers the one-time set-up link again at its next start, as on
// the first day.
package user

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// The errors of a Directory, besides *InvalidError and store.ErrUnavailable.
var (
	ErrExists   = errors.New("a user or service of this name exists")
	ErrNotFound = errors.New("there is no such user")
	// ErrAmbiguous is returned when several users have one verified address.
	ErrAmbiguous = errors.New("several users have this address")
	// ErrLinked is returned when a person at a provider is another user already.
	ErrLinked = errors.New("this login at the provider belongs to another user")
	// ErrDisabled is returned when a disabled user would be linked by address.
	ErrDisabled = errors.New("the user is disabled")
	// ErrContended is returned when a record kept changing under an Update.
	ErrContended = errors.New("the user is being changed by others, try again")
)

// InvalidError says which field of a user cannot be as given, and why.
type InvalidError struct {
	Field  string // as in the JSON: "username", "email", "role", …
	Reason string // completes "the username …"
}

func (e *InvalidError) Error() string { return fmt.Sprintf("the %s %s", e.Field, e.Reason) }

// User is the local record of a person or service. What a Directory returns is
// the caller's own copy. The password's hash is left out of its JSON, so that a record handed to
// a client by mistake does not carry it.
type User struct {
	// ID is "usr_" or, of a service, "svc_", and a ULID; it is never used twice,
	// also not for the same name.
	ID            string   `json:"id"`
	Username      string   `json:"username"` // as NormalizeName returns it
	Service       bool     `json:"service,omitempty"`
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified,omitempty"`
	Name          string   `json:"name,omitempty"`   // for display
	Roles         []string `json:"roles,omitempty"`  // sorted, without duplicates
	Groups        []string `json:"groups,omitempty"` // sorted, without duplicates
	// Scopes are what the owner may do by scope; keys carry a part of these. As
	// in RFC 6749 section 3.3, without the comma; at most 64 of at most 128
	// bytes; sorted, without duplicates.
	Scopes []string `json:"scopes,omitempty"`
	// Rate is the limit of each key of a service that has none of its own: 1 to
	// 1,000,000 requests per 1 s to 24 h; the zero value sets none.
	Rate            identity.Rate `json:"rate,omitzero"`
	Disabled        bool          `json:"disabled,omitempty"`
	Epoch           int64         `json:"epoch"`            // logins of another epoch are dead; starts at 1
	PasswordHash    string        `json:"-"`                // PHC form; "" has no password
	PasswordChanged time.Time     `json:"password_changed"` // zero: never
	// Provider is the name of the provider whose first login made the record; ""
	// is a record that was made here. It never changes.
	Provider string `json:"provider,omitempty"`
	// Federated are the logins at providers that this person has. LinkFederated
	// and UnlinkFederated change them; Update does not.
	Federated []FederatedID `json:"federated,omitempty"`
	Created   time.Time     `json:"created"`
	Updated   time.Time     `json:"updated"`    // last change by somebody, not logins
	LastLogin time.Time     `json:"last_login"` // zero: never
}

// New is what Add needs to know of a user. Only Username is required.
type New struct {
	Username      string
	Service       bool // no person; has neither Email nor PasswordHash
	Email         string
	EmailVerified bool
	Name          string
	Roles         []string
	Groups        []string
	Scopes        []string
	Rate          identity.Rate // of a service only
	PasswordHash  string        // PHC form; "" makes a user who cannot sign in with a password
}

// EndSessions makes every login that was made before dead as of the next
// request. For use in Directory.Update.
func (u *User) EndSessions() { u.Epoch++ }

// Account is what the request path needs to know of the record.
func (u *User) Account() *identity.Account {
	return &identity.Account{
		ID: u.ID, Username: u.Username, Email: u.Email, EmailVerified: u.EmailVerified, Name: u.Name,
		Roles: slices.Clone(u.Roles), Groups: slices.Clone(u.Groups), Scopes: slices.Clone(u.Scopes),
		Service: u.Service, Rate: u.Rate, Disabled: u.Disabled, Epoch: u.Epoch,
	}
}

func (u *User) clone() *User {
	c := *u
	c.Roles, c.Groups, c.Scopes = slices.Clone(u.Roles), slices.Clone(u.Groups), slices.Clone(u.Scopes)
	c.Federated = slices.Clone(u.Federated)
	return &c
}
