package certificate

import (
	"crypto/x509"
	"encoding/asn1"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest texts of a certificate that are taken, in bytes.
const (
	maxText  = 512
	maxEmail = 254 // RFC 5321 section 4.5.3.1.3, less the angle brackets
)

// nameOf returns the name of a certificate's holder, or why there is none.
func nameOf(source Source, leaf *x509.Certificate) (name, reason string) {
	var names []string
	var what string
	switch source {
	case SANEmail:
		what, names = "e-mail address in its subject alternative names", leaf.EmailAddresses
	case SANURI:
		what = "URI in its subject alternative names"
		for _, u := range leaf.URIs {
			names = append(names, uriText(u))
		}
	case SubjectCN:
		what, names = "common name in its subject", commonNames(leaf)
	default:
		return "", "its name is looked for nowhere"
	}
	switch len(names) {
	case 0:
		return "", "it has no " + what
	case 1:
	default:
		return "", "it has more than one " + what
	}
	if name, reason = cleanName(source, names[0]); reason != "" {
		return "", "its name " + reason
	}
	return name, ""
}

// commonNames returns all common names of the subject; Subject.CommonName is
// only the last of them. One that is no text is the empty text.
func commonNames(leaf *x509.Certificate) (names []string) {
	id := asn1.ObjectIdentifier{2, 5, 4, 3}
	for _, n := range leaf.Subject.Names {
		if n.Type.Equal(id) {
			text, _ := n.Value.(string)
			names = append(names, text)
		}
	}
	return names
}

func uriText(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

// cleanName brings a name into the one form in which it is compared, or says
// what is wrong with it ("the name …"). Applying it again changes nothing.
func cleanName(source Source, s string) (name, reason string) {
	if reason = wrongText(s); reason != "" {
		return "", reason
	}
	if hasFingerprintPrefix(s) {
		return "", "has the form of a fingerprint"
	}
	switch source {
	case SANEmail:
		return cleanEmail(s)
	case SANURI:
		return cleanURI(s)
	case SubjectCN:
		return s, ""
	}
	return "", "is looked for nowhere"
}

// wrongText says what is wrong with a text, or returns "".
func wrongText(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > maxText:
		return "is longer than 512 bytes"
	case s[0] == ' ' || s[len(s)-1] == ' ':
		return "begins or ends with a space"
	}
	return wrongRunes(s)
}

// wrongRunes refuses, beyond controls, all that cannot be seen or that turns the
// text around it: people read and compare these texts in logs and policies.
func wrongRunes(s string) string {
	switch {
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "contains a control character or another that cannot be seen"
	}
	return ""
}

// cleanEmail lower-cases the domain; the local part is the mail host's own
// matter (RFC 5280 section 7.5 compares them so). In a certificate an address is
// ASCII, and cases beyond ASCII are tricks: U+212A is a large k to Unicode.
// Quoted local parts are refused, since their "@" fools whoever splits addresses
// in a simple way.
func cleanEmail(s string) (name, reason string) {
	local, domain, _ := strings.Cut(s, "@")
	domain = strings.ToLower(domain)
	switch {
	case len(s) > maxEmail:
		return "", "is longer than 254 bytes"
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.ContainsAny(s, `"(),:;<>[]\`):
		return "", "contains a character that an address cannot have"
	case local == "" || domain == "" || strings.Contains(domain, "@"):
		return "", "does not have the form name@example.com"
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notHost) {
			return "", "has no valid domain after the @"
		}
	}
	return local + "@" + domain, ""
}

func notHost(r rune) bool { return (r < 'a' || 'z' < r) && (r < '0' || '9' < r) && r != '-' }

// cleanURI takes absolute URIs, as RFC 5280 section 4.2.1.6 wants them, that hide
// no control character behind a percent sign. A fragment is no part of a name,
// and an empty one would be lost.
func cleanURI(s string) (name, reason string) {
	if strings.Contains(s, "#") {
		return "", "has a fragment"
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" && u.Path == "" {
		return "", "is no absolute URI"
	}
	plain, err := url.PathUnescape(s)
	if err != nil || wrongText(plain) != "" {
		return "", "contains an escaped character that it may not have"
	}
	name = u.String()
	if again, err := url.Parse(name); err != nil || again.String() != name || wrongText(name) != "" {
		return "", "has no stable spelling"
	}
	return name, ""
}
