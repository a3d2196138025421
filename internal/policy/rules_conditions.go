package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// conditionKind is a kind of condition. Its allow and deny turn values into alternatives,
// each a list of Rego expressions that must all hold. The forms are chosen so
// that OPA can index them, and a thousand lines cost what ten cost.
type conditionKind struct {
	bare  bool // takes no values
	check func(value string) (string, error)
	allow func(values []string) [][]string
	deny  func(values []string) [][]string
	folds folds // what deny expects to be folded
}

var kinds = map[string]conditionKind{
	"anyone":    {bare: true, allow: always, deny: always},
	"signed_in": {bare: true, allow: authenticated, deny: authenticated},
	"user":      {check: checkUser, allow: equals("input.identity.username"), deny: equals("input.identity.username")},
	"role":      {check: checkText, allow: holds("input.identity.roles"), deny: holds("input.identity.roles")},
	"group":     {check: checkText, allow: holds("input.identity.groups"), deny: holds("input.identity.groups")},
	"email": {check: checkEmail, folds: foldEmail,
		allow: verified(equals("lower(input.identity.email)")), deny: equals("input.identity.email")},
	"email_domain": {check: checkDomain, folds: foldEmail,
		allow: verified(endsWith("lower(input.identity.email)")), deny: endsWith("input.identity.email")},
	"method": {check: checkMethod, folds: foldMethod,
		allow: equals("input.request.method"), deny: equals("input.request.method")},
	"path":      {check: checkPath, folds: foldPath, allow: allowPath, deny: denyPath},
	"client_ip": {check: checkNetwork, allow: allowNetwork, deny: denyNetwork},
}

func kindNames() []string { return slices.Sorted(maps.Keys(kinds)) }

// parse checks the values of a condition and returns them in the form to compare
// with, each once.
func (k conditionKind) parse(c Condition) ([]string, error) {
	if k.bare {
		if len(c.Values) > 0 {
			return nil, fmt.Errorf("%s takes no value, but got %q", c.Kind, c.Values[0])
		}
		return nil, nil
	}
	if len(c.Values) == 0 {
		return nil, fmt.Errorf("%s needs at least one value", c.Kind)
	}
	var values []string
	for _, raw := range c.Values {
		expanded := []string{raw}
		if c.Kind == "client_ip" && raw == "private_ranges" {
			expanded = privateRanges
		}
		for _, v := range expanded {
			if !utf8.ValidString(v) {
				return nil, fmt.Errorf("%s %q is not valid UTF-8", c.Kind, v)
			}
			v, err := k.check(v)
			if err != nil {
				return nil, fmt.Errorf("%s %q %w", c.Kind, raw, err)
			}
			if !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
	}
	return values, nil
}

func always([]string) [][]string { return [][]string{nil} }

func authenticated([]string) [][]string { return [][]string{{"input.identity.authenticated"}} }

// equals compares one value of the input with all values at once.
func equals(ref string) func([]string) [][]string {
	return func(values []string) [][]string {
		if len(values) == 1 {
			return [][]string{{ref + " == " + literal(values[0])}}
		}
		return [][]string{{ref + " in {" + literals(values) + "}"}}
	}
}

// holds asks whether a list of the input has one of the values. A few become
// rules of their own, which OPA can index; many share one that it cannot.
func holds(ref string) func([]string) [][]string {
	return func(values []string) [][]string {
		if len(values) > 8 {
			return [][]string{{ref + "[_] in {" + literals(values) + "}"}}
		}
		var out [][]string
		for _, v := range values {
			out = append(out, []string{literal(v) + " in " + ref})
		}
		return out
	}
}

// verified adds that the e-mail address is known to be the caller's own.
func verified(form func([]string) [][]string) func([]string) [][]string {
	return func(values []string) [][]string {
		return combine([][]string{{"input.identity.email_verified"}}, form(values))
	}
}

// endsWith compares e-mail domains. With the @ in front a value is the whole
// domain: it has none itself, so this one is the last.
func endsWith(ref string) func([]string) [][]string {
	return func(domains []string) [][]string {
		suffixes := make([]string, len(domains))
		for i, domain := range domains {
			suffixes[i] = "@" + domain
		}
		return [][]string{{affix("endswith", "strings.any_suffix_match", ref, suffixes)}}
	}
}

func affix(one, any, ref string, values []string) string {
	if len(values) == 1 {
		return fmt.Sprintf("%s(%s, %s)", one, ref, literal(values[0]))
	}
	return fmt.Sprintf("%s(%s, [%s])", any, ref, literals(values))
}

func allowPath(values []string) [][]string {
	var exact, prefixes, globs []string
	for _, v := range values {
		switch rest := strings.TrimRight(v, "*"); {
		case !strings.Contains(v, "*"):
			exact = append(exact, v)
		case !strings.Contains(rest, "*"):
			prefixes = append(prefixes, rest)
		default:
			globs = append(globs, matchStars(v))
		}
	}
	var out [][]string
	if len(exact) > 0 {
		out = append(out, equals("input.request.path")(exact)...)
	}
	if len(prefixes) > 0 {
		out = append(out, []string{affix("startswith", "strings.any_prefix_match", "input.request.path", prefixes)})
	}
	for _, g := range globs {
		out = append(out, []string{g})
	}
	return out
}

// denyPath covers "/x" by "/x/*": many applications serve the same at both.
func denyPath(values []string) [][]string {
	var all []string
	for _, v := range values {
		v = strings.ToLower(v)
		all = append(all, v)
		if parent, below := strings.CutSuffix(strings.TrimRight(v, "*"), "/"); below && parent != "" && v != parent+"/" {
			all = append(all, parent)
		}
	}
	slices.Sort(all)
	return allowPath(slices.Compact(all))
}

// matchStars compares with a path that has stars inside. A path with signs that
// glob.match takes as its own becomes a regular expression: escaped, OPA's index
// would take their backslashes for part of the path, and never find the rule.
func matchStars(path string) string {
	if rest, ends := strings.CutSuffix(path, "*"); ends {
		path = strings.TrimRight(rest, "*") + "**"
	}
	if !strings.ContainsAny(path, "[]{}!?") {
		return fmt.Sprintf(`glob.match(%s, ["/"], input.request.path)`, literal(path))
	}
	pattern := regexp.QuoteMeta(path)
	pattern = strings.ReplaceAll(pattern, `\*\*`, `.*`)
	pattern = strings.ReplaceAll(pattern, `\*`, `[^/]*`)
	return fmt.Sprintf("regex.match(%s, input.request.path)", literal("(?s)^"+pattern+"$"))
}

func allowNetwork(values []string) [][]string {
	var addresses, networks []string
	for _, v := range values {
		if strings.Contains(v, "/") {
			networks = append(networks, v)
		} else {
			addresses = append(addresses, v)
		}
	}
	var out [][]string
	if len(addresses) > 0 {
		out = append(out, equals("input.request.client_ip")(addresses)...)
	}
	switch len(networks) {
	case 0:
	case 1:
		out = append(out, []string{fmt.Sprintf("net.cidr_contains(%s, input.request.client_ip)", literal(networks[0]))})
	default:
		out = append(out, []string{fmt.Sprintf("count(net.cidr_contains_matches([%s], input.request.client_ip)) > 0", literals(networks))})
	}
	return out
}

func denyNetwork(values []string) [][]string {
	networks := slices.Clone(values)
	for i, v := range values {
		if addr, err := netip.ParseAddr(v); err == nil {
			networks[i] = netip.PrefixFrom(addr, addr.BitLen()).String()
		}
	}
	return [][]string{{"not outside([" + literals(networks) + "])"}}
}

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
