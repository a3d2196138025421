package key

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Bounds of what a key is made with.
const (
	maxScopes      = 64
	maxScope       = 128 // bytes
	maxNetworks    = 32
	maxNetwork     = 64  // bytes; the longest prefix has 43
	maxDescription = 256 // bytes
	maxRequests    = 1_000_000
	minPer         = time.Second // so that one request is never sooner than a microsecond after another
	maxPer         = 31 * day
)

// cleanScopes sorts scopes and removes duplicates. A key without any may do
// nothing, so nobody is given one.
func cleanScopes(scopes []string, owner *identity.Account) ([]string, error) {
	bad := func(format string, args ...any) ([]string, error) {
		return nil, &InvalidError{Field: "scopes", Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(scopes) == 0:
		return bad("are missing: a key without a scope may do nothing; name at least one that its owner has")
	case len(scopes) > maxScopes:
		return bad("are more than %d", maxScopes)
	}
	var foreign []string
	for _, s := range scopes {
		switch {
		case s == "" || len(s) > maxScope:
			return bad("hold one that is empty or longer than %d bytes", maxScope)
		case strings.ContainsFunc(s, notScope):
			return bad("hold %s: only printable ASCII is allowed, without spaces, commas, quotes and backslashes", quote(s))
		case !slices.Contains(owner.Scopes, s):
			foreign = append(foreign, s)
		}
	}
	if len(foreign) > 0 {
		return bad("hold %s, which the owner does not have", strings.Join(foreign, ", "))
	}
	out := slices.Sorted(slices.Values(scopes))
	return slices.Compact(out), nil
}

// notScope holds for what RFC 6749 section 3.3 does not allow in a scope-token,
// and for the comma, which separates scopes in headers and on command lines.
func notScope(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' || r == ',' }

// cleanNetworks reads prefixes and addresses. What could mean two things is
// refused with what to write instead: a network that is wider than somebody
// thought lets strangers in.
func cleanNetworks(texts []string) ([]netip.Prefix, error) {
	bad := func(format string, args ...any) ([]netip.Prefix, error) {
		return nil, &InvalidError{Field: "networks", Reason: fmt.Sprintf(format, args...)}
	}
	if len(texts) > maxNetworks {
		return bad("are more than %d", maxNetworks)
	}
	var out []netip.Prefix
	for _, text := range texts {
		p, err := parseNetwork(text)
		switch {
		case err != nil:
			return bad("hold %s, which is no address and no prefix such as 192.0.2.0/24 or 2001:db8::/32", quote(text))
		case p.Addr().Is4In6():
			return bad("hold %s: write it as IPv4", quote(text))
		case p != p.Masked():
			return bad("hold %s: write %s for the network, or %s for that address alone", quote(text), p.Masked(), p.Addr())
		}
		out = append(out, p)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out), nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if len(text) > maxNetwork {
		return netip.Prefix{}, fmt.Errorf("%d bytes", len(text))
	}
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if a.Zone() != "" {
		return netip.Prefix{}, errors.New("a zone means something on one machine only")
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func cleanDescription(s string) (string, error) {
	bad := func(reason string) (string, error) { return "", &InvalidError{Field: "description", Reason: reason} }
	switch {
	case len(s) > maxDescription:
		return bad(fmt.Sprintf("is longer than %d bytes", maxDescription))
	case !utf8.ValidString(s):
		return bad("is not valid UTF-8")
	case strings.ContainsFunc(s, hides):
		return bad("contains a control or direction-changing character")
	}
	return strings.TrimSpace(s), nil
}

// hides holds for what would forge a line in a log or table, or turn the text
// around it.
func hides(r rune) bool {
	return unicode.IsControl(r) || r == 0x2028 || r == 0x2029 || unicode.Is(unicode.Bidi_Control, r)
}

func checkRate(r identity.Rate) error {
	if r == (identity.Rate{}) || r.Requests >= 1 && r.Requests <= maxRequests && r.Per >= minPer && r.Per <= maxPer {
		return nil
	}
	return &InvalidError{Field: "rate", Reason: fmt.Sprintf("must be 1 to %d requests in %s to %s", maxRequests, minPer, span(maxPer))}
}

// checkLifetime returns how long a new key lives.
func (m *Manager) checkLifetime(d time.Duration) (time.Duration, error) {
	switch {
	case d == 0:
		return m.lifetime, nil
	case d < MinLifetime:
		return 0, &InvalidError{Field: "lifetime", Reason: "is shorter than " + span(MinLifetime)}
	case d > m.max:
		return 0, &InvalidError{Field: "lifetime", Reason: "is longer than the maximum of " + span(m.max)}
	}
	return d, nil
}

// span writes a time as people say it.
func span(d time.Duration) string {
	switch {
	case d == day:
		return "1 day"
	case d > 0 && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}

// quote bounds and cleans what somebody wrote, for an error.
func quote(s string) string {
	const longest = 64
	if len(s) > longest {
		return fmt.Sprintf("%+q…", s[:longest])
	}
	return fmt.Sprintf("%+q", s)
}
