// Package certificate makes an identity of a client certificate that Caddy's TLS
// has verified, binds certificates to users and services, and revokes them.
//
// It does not own the verification of chains: which authorities are trusted, and
// for what, is Caddy's tls { client_auth }. Nor does it own users and services:
// what their records say now comes in through Accounts and is asked on every
// request.
//
// A certificate names its holder in one place, which the configuration picks (a
// Source). There must be exactly one name in it: none or several is refused, not
// guessed. A certificate that is bound, by its fingerprint or by that name, is its
// owner and has the owner's roles, groups and scopes; when the owner is gone or
// disabled it is refused, and never taken for an unbound one. An unbound one has
// what it says itself, and no roles.
//
// Bindings are stored under "certificate_binding/<hash>" and revocations under
// "certificate_revoked/<hash>", the hash being the SHA-256 of what is bound or
// revoked, so that any name fits.
package certificate

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Source is the part of a certificate that names its holder. Its zero value
// names nobody.
type Source string

// The sources.
const (
	SANEmail  Source = "san_email"  // the one e-mail address among the subject alternative names
	SANURI    Source = "san_uri"    // the one URI among them, such as a SPIFFE id
	SubjectCN Source = "subject_cn" // the one common name of the subject
)

// Provider is the provider of identities that are made here.
const Provider = "certificate"

// The errors of a Registry, besides *InvalidError and store.ErrUnavailable.
var (
	ErrNotFound = errors.New("there is no such binding or revocation")
	ErrNoOwner  = errors.New("there is no such user or service")
	// ErrTaken is returned for what is bound to another owner already, or to an
	// earlier one of the same name. It has to be unbound from that first.
	ErrTaken = errors.New("the certificate is bound to another owner")
)

// InvalidError says which argument cannot be as given, and why.
type InvalidError struct {
	Field  string // "fingerprint", "name" or "note"
	Reason string // completes "the fingerprint …"
}

func (e *InvalidError) Error() string { return fmt.Sprintf("the %s %s", e.Field, e.Reason) }

// Binding says to whom a certificate belongs.
type Binding struct {
	Ref     string    `json:"ref"`      // a fingerprint, "sha256:…", or the name in a certificate
	Owner   string    `json:"owner"`    // the owner's name, as stored
	OwnerID string    `json:"owner_id"` // "usr_…" or "svc_…"; a later owner of the same name has another
	Created time.Time `json:"created"`
}

// Revocation says that a certificate is refused, and all that it has signed.
type Revocation struct {
	Fingerprint string    `json:"fingerprint"` // "sha256:…"
	Note        string    `json:"note,omitempty"`
	Revoked     time.Time `json:"revoked"`
}

// Fingerprint is the public id of a certificate: "sha256:" and the SHA-256 of its
// DER form in 64 lower-case hex digits.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return fingerprintPrefix + hex.EncodeToString(sum[:])
}
