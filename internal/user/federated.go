package user

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxFederated = 16 // logins at providers that one user has
	// The longest issuer and subject, in bytes. OpenID Connect Core section 2 has
	// subjects of at most 255 ASCII characters; not every provider keeps to it.
	maxIssuer  = 1024
	maxSubject = 512
)

// FederatedID is who a person is at a provider. Issuer and Subject are compared
// byte by byte, and only they say who it is.
type FederatedID struct {
	Provider string    `json:"provider"` // its configured name when it was linked
	Issuer   string    `json:"issuer"`
	Subject  string    `json:"subject"`
	Linked   time.Time `json:"linked"`
}

// check refuses what is no person at a provider. Errors are *InvalidError.
func (id FederatedID) check() error {
	for _, f := range []struct {
		field, text string
		longest     int
	}{{"provider", id.Provider, maxName}, {"issuer", id.Issuer, maxIssuer}, {"subject", id.Subject, maxSubject}} {
		switch {
		case f.text == "":
			return &InvalidError{Field: f.field, Reason: "is empty"}
		case len(f.text) > f.longest:
			return &InvalidError{Field: f.field, Reason: fmt.Sprintf("is longer than %d bytes", f.longest)}
		case !utf8.ValidString(f.text) || strings.ContainsFunc(f.text, unicode.IsControl):
			return &InvalidError{Field: f.field, Reason: "contains a control character or is not valid UTF-8"}
		}
	}
	return nil
}

// federated returns the login at a provider that the record lists, or nil.
func (u *User) federated(issuer, subject string) *FederatedID {
	i := slices.IndexFunc(u.Federated, func(id FederatedID) bool { return id.Issuer == issuer && id.Subject == subject })
	if i < 0 {
		return nil
	}
	return &u.Federated[i]
}

// FindFederated returns the user who a person at a provider is, or ErrNotFound.
// The user may be disabled.
func (d *Directory) FindFederated(ctx context.Context, issuer, subject string) (*User, error) {
	if (FederatedID{Provider: "any", Issuer: issuer, Subject: subject}).check() != nil {
		return nil, ErrNotFound
	}
	p, _, err := d.pointer(ctx, issuer, subject)
	if err != nil {
		return nil, err
	}
	return d.pointedAt(ctx, p)
}
