package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// privateRanges are what Caddy means by the word private_ranges.
var privateRanges = []string{
	"192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "127.0.0.0/8", "fd00::/8", "::1",
}

func checkText(v string) (string, error) {
	if strings.TrimSpace(v) == "" {
		return "", errors.New("is empty")
	}
	return v, nil
}

// checkUser brings a name into the form in which usernames are stored: NFKC and
// case folded, until neither changes it.
func checkUser(v string) (string, error) {
	for range 8 {
		next := norm.NFKC.String(foldCase(norm.NFKC.String(v)))
		if next == v {
			return checkText(v)
		}
		v = next
	}
	return "", errors.New("is not a username: it has no stable spelling")
}

// foldCase is Unicode's full case folding. Cherokee folds to capitals there, but
// x/text turns its capitals and small letters into each other.
func foldCase(s string) string {
	var b strings.Builder
	fold := cases.Fold()
	for _, r := range s {
		switch {
		case 0x13A0 <= r && r <= 0x13F5:
			b.WriteRune(r)
		case 0x13F8 <= r && r <= 0x13FD:
			b.WriteRune(r - 0x13F8 + 0x13F0)
		case 0xAB70 <= r && r <= 0xABBF:
			b.WriteRune(r - 0xAB70 + 0x13A0)
		default:
			b.WriteString(fold.String(string(r)))
		}
	}
	return b.String()
}

func checkEmail(v string) (string, error) {
	if at := strings.LastIndexByte(v, '@'); at < 1 || at == len(v)-1 || strings.ContainsFunc(v, odd) {
		return "", errors.New("is not an e-mail address: write it like alice@example.com")
	}
	return strings.ToLower(v), nil
}

func checkDomain(v string) (string, error) {
	if v == "" || strings.ContainsAny(v, "@*/:") || strings.HasPrefix(v, ".") || strings.ContainsFunc(v, odd) {
		return "", errors.New("is not a domain: write it like example.com; subdomains each need their own")
	}
	return strings.ToLower(v), nil
}

// checkMethod takes what RFC 9110 section 9.1 allows in a method and somebody
// might use.
func checkMethod(v string) (string, error) {
	v = strings.ToUpper(v)
	if v == "" || strings.ContainsFunc(v, func(r rune) bool { return (r < 'A' || r > 'Z') && r != '-' && r != '_' }) {
		return "", errors.New("is not an HTTP method: write it like GET")
	}
	return v, nil
}

func checkPath(v string) (string, error) {
	switch {
	case !strings.HasPrefix(v, "/"):
		return "", errors.New("must begin with /, like /reports/*")
	case strings.ContainsAny(v, "?#"):
		return "", errors.New("must not contain ? or #: only the path is compared, not the query")
	case strings.ContainsRune(v, '\\') || strings.ContainsFunc(v, unicode.IsControl):
		return "", errors.New("can never match: requests with control characters or backslashes are refused")
	}
	return v, nil
}

func checkNetwork(v string) (string, error) {
	if addr, err := netip.ParseAddr(v); err == nil && addr.Zone() == "" {
		return addr.Unmap().String(), nil
	}
	if prefix, err := netip.ParsePrefix(v); err == nil && !prefix.Addr().Is4In6() {
		return prefix.Masked().String(), nil
	}
	return "", errors.New("is not an address or range: write it like 203.0.113.9, 10.0.0.0/8 or private_ranges")
}

func odd(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// literal writes a string as Rego, which has the escapes of JSON. Every value of
// a line comes into the policy through here, so that none can end its string.
func literal(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be encoded, and a buffer written to
	return strings.TrimSuffix(b.String(), "\n")
}

func literals(values []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = literal(v)
	}
	return strings.Join(out, ", ")
}
