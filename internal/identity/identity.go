// Package identity says who a request comes from. It is plain data on the
// standard library alone, so that every other room of the house may share it.
package identity

import (
	"errors"
	"time"
)

// ErrUnknown is what a credential look-up returns when the credential is well
// formed but stands for nobody now: never issued, expired, revoked, or its
// owner is disabled or gone. Callers learn no more than that. Any other error
// means that the answer could not be found out, which is never a pass.
var ErrUnknown = errors.New("the credential is unknown, expired or revoked")

// Refusal is an ErrUnknown with what the operator is told about it: the caller
// learns none of that.
type Refusal struct {
	Reason string // completes "the credential was refused: …"; never holds a secret
	Who    string // whose credential it is, when that is known for sure; "" else
}

// Error is for the log.
func (r *Refusal) Error() string { return "the credential was refused: " + r.Reason }

// Is makes every Refusal an ErrUnknown.
func (r *Refusal) Is(target error) bool { return target == ErrUnknown }

// Method says how an identity was proven.
type Method string

// The methods a site can accept. None is the method of a request without a
// credential.
const (
	None        Method = "none"
	Session     Method = "session"
	JWT         Method = "jwt"
	Key         Method = "key"
	Basic       Method = "basic"
	Certificate Method = "certificate"
)

// Local is the provider of people who sign in with a password kept here.
const Local = "local"

// Identity is who a request comes from: one subject, how it was proven, and its
// attributes. An Identity is shared between requests: treat it as read-only.
// The zero value is nobody.
type Identity struct {
	Method        Method // how it was proven; "" and None are nobody
	Provider      string // who proved it: Local or a provider's configured name
	ID            string // the user's or service's record, "usr_…" or "svc_…"; "" when there is none here
	Issuer        string // issuer of the token, certificate or login, when there is one
	Subject       string // the subject at that issuer; for local users and services their ID
	Username      string // normalised, as stored
	Email         string
	EmailVerified bool
	Name          string // for display
	Roles         []string
	Groups        []string
	Scopes        []string
	Claims        map[string]any // as decoded from JSON
	AMR           []string       // RFC 8176 authentication method references
	AuthTime      time.Time      // when the person last proved who they are
	SessionID     string         // public id of the session, not its cookie
	// Site is the origin of the one site that the session is for, as Origin writes
	// it; "" for every site. Policies do not see it.
	Site string
	// Credential is the public id of the key, token or certificate, for logs and
	// for asking later whether it still stands. Policies do not see it.
	Credential string
	// Signer tells which of the issuer's keys has signed the token, "" for none, for
	// asking later whether the issuer still has it. Policies do not see it.
	Signer string
}

// Authenticated reports whether the identity is somebody. It is false for nil.
func (i *Identity) Authenticated() bool {
	return i != nil && i.Method != "" && i.Method != None
}

// Account is what the records say now about a user or service whose earlier
// login, or key, is being honoured. It is shared: treat it as read-only.
type Account struct {
	ID            string // "usr_…" or "svc_…"
	Username      string
	Email         string
	EmailVerified bool
	Name          string
	Roles         []string
	Groups        []string
	Scopes        []string // what the owner may do by scope; keys carry a part of these
	Service       bool     // no person: signs in with keys and certificates only
	Rate          Rate     // of each of a service's keys that has none of its own
	Disabled      bool
	// Epoch grows whenever every login made before must end (changed password,
	// "sign out everywhere"). A session of another epoch is dead.
	Epoch int64
}
