package user

import (
	"context"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Profile is what a provider says about a person. What cannot be stored of it is
// left out: nobody is kept out for an odd name.
type Profile struct {
	Email         string // "": none
	EmailVerified bool   // by the provider
	Name          string // for display
}

// SetProfile brings the record of a user up to what the provider of this login
// says now, if that provider's first login made the record. Else it changes
// nothing: what was entered here, or came from another provider, is not a
// provider's to change.
func (d *Directory) SetProfile(ctx context.Context, name string, id FederatedID, p Profile) (*User, error) {
	p = p.fit()
	return d.update(ctx, name, func(_, u *User) error {
		login := u.federated(id.Issuer, id.Subject)
		if u.Provider == "" || login == nil || login.Provider != u.Provider {
			return nil
		}
		u.Email, u.EmailVerified, u.Name = p.Email, p.EmailVerified, p.Name
		return u.clean()
	}, true)
}

// fit makes p one that can be stored.
func (p Profile) fit() Profile {
	email, err := cleanEmail(cut(p.Email, 4*maxEmail)) // too long stays too long
	if err != nil {
		email = ""
	}
	p.Email = email
	p.EmailVerified = p.EmailVerified && p.Email != ""
	p.Name = fitDisplayName(p.Name)
	return p
}

// fitDisplayName leaves out what cleanDisplayName refuses.
func fitDisplayName(s string) string {
	s = cut(s, 4*maxDisplayName) // before work that grows with it
	s = strings.Map(func(r rune) rune {
		if hides(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.TrimSpace(cut(norm.NFC.String(strings.TrimSpace(s)), maxDisplayName))
}

// cut keeps at most n bytes, and no half of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
