package user

import (
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// clean checks what people may set, and brings it into its one stored form.
func (u *User) clean() error {
	var err error
	if u.Email, err = cleanEmail(u.Email); err != nil {
		return err
	}
	if u.Name, err = cleanDisplayName(u.Name); err != nil {
		return err
	}
	if u.Roles, err = cleanLabels("role", u.Roles); err != nil {
		return err
	}
	if u.Groups, err = cleanLabels("group", u.Groups); err != nil {
		return err
	}
	if u.Scopes, err = cleanScopes(u.Scopes); err != nil {
		return err
	}
	return u.checkKind()
}

// checkKind refuses what only a person, or only a service, can have.
func (u *User) checkKind() error {
	bad := func(field, reason string) error { return &InvalidError{Field: field, Reason: reason} }
	switch {
	case u.Service && u.PasswordHash != "":
		return bad("password", "cannot be set: a service has no password")
	case u.Service && (u.Email != "" || u.EmailVerified):
		return bad("email", "cannot be set: a service has no e-mail address")
	case u.Service && (u.Provider != "" || len(u.Federated) > 0):
		return bad("federated", "cannot be set: a service does not sign in at a provider")
	case u.Rate == identity.Rate{}:
		return nil
	case !u.Service:
		return bad("rate", "cannot be set: only a service has a rate for all its keys")
	case u.Rate.Requests < 1 || u.Rate.Requests > maxRequests:
		return bad("rate", "must be of 1 to 1,000,000 requests")
	case u.Rate.Per < minPer || u.Rate.Per > maxPer:
		return bad("rate", "must be per 1 second to 24 hours")
	}
	return nil
}

// cleanLabels sorts labels and removes duplicates. Labels are compared byte by
// byte in policies, so they are kept in one normal form.
func cleanLabels(field string, labels []string) ([]string, error) {
	if len(labels) == 0 {
		return nil, nil
	}
	out := make([]string, 0, len(labels))
	for _, l := range labels {
		l = NormalizeLabel(l)
		if err := CheckLabel(l); err != nil {
			var bad *InvalidError
			if errors.As(err, &bad) {
				return nil, &InvalidError{Field: field, Reason: bad.Reason}
			}
			return nil, err
		}
		out = append(out, l)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// cleanScopes sorts scopes and removes duplicates. No spelling is brought into
// another: scopes are compared byte by byte everywhere (RFC 6749 section 3.3).
func cleanScopes(scopes []string) ([]string, error) {
	if len(scopes) == 0 {
		return nil, nil
	}
	out := slices.Clone(scopes)
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > maxScopes {
		return nil, &InvalidError{Field: "scope", Reason: "list has more than 64 entries"}
	}
	for _, s := range out {
		if err := CheckScope(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// cleanEmail lower-cases the domain, which is what "email_domain" conditions
// compare; the local part is the mail host's own matter. Quoted local parts
// (RFC 5321 section 4.1.2) are refused: no one has them, and their commas, "@"
// and spaces fool whoever splits addresses in a simple way.
func cleanEmail(s string) (string, error) {
	bad := func(reason string) (string, error) { return "", &InvalidError{Field: "email", Reason: reason} }
	if s == "" {
		return "", nil
	}
	if !utf8.ValidString(s) {
		return bad("is not valid UTF-8")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || invisible(r) }) ||
		strings.ContainsAny(s, `"(),:;<>[]\`) {
		return bad("contains a character that an address cannot have")
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || strings.Contains(domain, "@") {
		return bad("must have the form name@example.com")
	}
	domain = strings.ToLower(norm.NFKC.String(domain))
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") || strings.ContainsFunc(label, notHost) {
			return bad("has no valid domain after the @")
		}
	}
	if s = local + "@" + domain; len(s) > maxEmail {
		return bad("is longer than 254 bytes")
	}
	return s, nil
}

// notHost holds for what neither an ASCII nor an internationalised host name has.
func notHost(r rune) bool {
	if r < utf8.RuneSelf {
		return (r < 'a' || 'z' < r) && (r < '0' || '9' < r) && r != '-'
	}
	return !unicode.In(r, unicode.L, unicode.M, unicode.N)
}

func cleanDisplayName(s string) (string, error) {
	bad := func(reason string) (string, error) { return "", &InvalidError{Field: "name", Reason: reason} }
	s = strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(s):
		return bad("is not valid UTF-8")
	case len(s) > maxDisplayName:
		return bad("is longer than 256 bytes")
	case strings.ContainsFunc(s, hides):
		return bad("contains a control or direction-changing character")
	}
	return norm.NFC.String(s), nil
}

// hides holds for what would forge a line in a log or header, or turn the text
// around it. Joiners stay: names in several scripts need them.
func hides(r rune) bool {
	return unicode.IsControl(r) || r == 0x2028 || r == 0x2029 || unicode.Is(unicode.Bidi_Control, r)
}
