package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
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
	"scope":     {check: checkText, allow: holds("input.identity.scopes"), deny: holds("input.identity.scopes")},
	"provider":  {check: checkText, allow: equals("input.identity.provider"), deny: equals("input.identity.provider")},
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
