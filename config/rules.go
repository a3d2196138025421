package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line is one rule: conditions that must all hold.
type Line []Condition

// Condition is one thing that a rule asks for.
type Condition struct {
	// Kind is what is looked at: anyone, signed_in, user, role, group, scope,
	// email, email_domain, provider, method, path, client_ip. Required.
	Kind string `json:"kind"`

	// Values are those that it may have; any of them is enough. None for anyone
	// and signed_in; at least one for the others.
	Values []string `json:"values,omitempty"`
}

// conditionKind is what may be written for one kind of condition.
type conditionKind struct {
	name    string
	example string              // of a value; "" where the kind takes none
	instead string              // set when this version does not have it: what to do
	repeat  bool                // may stand twice on one line, because both can hold
	check   func(string) string // what is wrong with a value; "" for nothing
}

var conditionKinds = []conditionKind{
	{name: "anyone"},
	{name: "signed_in"},
	{name: "user", example: "alice", check: checkUser},
	{name: "role", example: "admin", repeat: true, check: checkLabel},
	{name: "group", example: "finance", repeat: true, check: checkLabel},
	{name: "scope", example: "reports:read", repeat: true, check: checkScope},
	{name: "email", example: "alice@example.com", check: checkEmail},
	{name: "email_domain", example: "example.com", check: checkEmailDomain},
	{name: "provider", example: "local", check: checkProvider},
	{name: "method", example: "GET", check: checkMethod},
	{name: "path", example: "/reports/*", repeat: true, check: checkPath},
	{name: "client_ip", example: "10.0.0.0/8", check: checkClientIP},
	{name: "mfa", instead: "there is no second factor to ask for; leave it out"},
}

// IsCondition reports whether a word names a kind of condition, in this version
// or a later one.
func IsCondition(word string) bool { return findKind(word) != nil }

// TakesValues reports whether a kind of condition needs values.
func TakesValues(kind string) bool {
	k := findKind(kind)
	return k != nil && k.example != ""
}

// NearCondition returns the kind of condition that a word is a likely slip of,
// or "".
func NearCondition(word string) string {
	names := make([]string, len(conditionKinds))
	for i, k := range conditionKinds {
		names[i] = k.name
	}
	return nearest(word, names)
}

func findKind(name string) *conditionKind {
	for i := range conditionKinds {
		if conditionKinds[i].name == name {
			return &conditionKinds[i]
		}
	}
	return nil
}

// Validate reports the first condition that cannot be used, as an *[Error].
func (l Line) Validate() error {
	if len(l) == 0 {
		return fault("conditions", "there is none: write at least one, such as signed_in or role admin")
	}
	seen := map[string]bool{}
	for _, c := range l {
		if err := c.validate(); err != nil {
			return err
		}
		if k := findKind(c.Kind); seen[c.Kind] && !k.repeat {
			if k.example == "" {
				return fault(c.Kind, "it is given twice on one line: write it once")
			}
			return fault(c.Kind, "it is given twice on one line, and both can never hold: write %s <value> <value>, of which any is enough", c.Kind)
		}
		seen[c.Kind] = true
	}
	if seen["anyone"] {
		for _, c := range l {
			if !slices.Contains([]string{"anyone", "method", "path", "client_ip"}, c.Kind) {
				return fault("anyone", "%s on the same line asks who the caller is: keep one of the two", c.Kind)
			}
		}
	}
	return nil
}

func (c Condition) validate() error {
	k := findKind(c.Kind)
	switch {
	case k == nil:
		var names []string
		for _, k := range conditionKinds {
			if k.instead == "" {
				names = append(names, k.name)
			}
		}
		return fault("conditions", "%s", Unknown("condition", c.Kind, names))
	case k.instead != "":
		return fault(c.Kind, "%s", Unavailable("the condition "+c.Kind, k.instead))
	case k.example == "" && len(c.Values) > 0:
		return fault(c.Kind, "%q is too much: it takes no value", c.Values[0])
	case k.example != "" && len(c.Values) == 0:
		return fault(c.Kind, "it needs a value: write %s %s", c.Kind, k.example)
	}
	seen := map[string]bool{}
	for _, v := range c.Values {
		if reason := checkValue(k, v); reason != "" {
			return fault(c.Kind, "%.80q %s", v, reason)
		}
		if seen[v] {
			return fault(c.Kind, "%q is given twice: write it once", v)
		}
		seen[v] = true
	}
	return nil
}

// checkValue refuses first what is wrong for every kind. Nothing fills in
// placeholders here: kept as they are they would match nobody, and a deny line
// that matches nobody is an open gate.
func checkValue(k *conditionKind, v string) string {
	switch {
	case v == "":
		return "is an empty value: write one such as " + k.example
	case len(v) > 1024 || !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl):
		return "is too long, no UTF-8, or holds control characters"
	case strings.HasPrefix(v, "{") && strings.HasSuffix(v, "}"):
		return "is a placeholder, which is not filled in here: write the value, or {$NAME} for an environment variable that the Caddyfile reads itself"
	}
	return k.check(v)
}

// checkUser leaves the spelling to the policy, which brings it into the form in
// which names are kept.
func checkUser(v string) string {
	if strings.ContainsAny(v, "/,") || strings.ContainsFunc(v, unicode.IsSpace) || len(v) > 128 {
		return "is no user name: up to 128 bytes without spaces, commas and slashes"
	}
	return ""
}

func checkLabel(v string) string {
	if strings.Contains(v, ",") {
		return "holds a comma: write several values with spaces between them"
	}
	if strings.TrimSpace(v) != v || len(v) > 128 {
		return "is no name of a role or group: up to 128 bytes without spaces around it"
	}
	return ""
}

// checkScope takes a scope-token (RFC 6749 section 3.3), without the comma that
// lists are made with.
func checkScope(v string) string {
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' || c == ',' {
			return "is no scope: write printable characters without spaces, quotes, commas and backslashes, such as reports:read"
		}
	}
	if len(v) > 128 {
		return "is longer than 128 bytes"
	}
	return ""
}

// checkProvider leaves it to CheckSite whether there is such a provider.
func checkProvider(v string) string {
	if !label(v) {
		return "is no name of a provider: write local for people and keys of this store, certificate, or the name of a jwt block"
	}
	return ""
}

func checkEmail(v string) string {
	local, domain, found := strings.Cut(v, "@")
	if !found || local == "" || !domainName(strings.ToLower(domain)) || strings.ContainsFunc(v, unicode.IsSpace) {
		return "is no e-mail address: write one such as alice@example.com"
	}
	return ""
}

func checkEmailDomain(v string) string {
	if rest, found := strings.CutPrefix(v, "@"); found {
		return "begins with @: write " + rest
	}
	if !domainName(strings.ToLower(v)) {
		return "is no domain: write one such as example.com (xn-- for letters beyond a to z)"
	}
	return ""
}

// httpMethods are those of the IANA registry that a server meets, and PURGE. A
// closed list, because a slip in a deny line would be an open gate.
var httpMethods = strings.Fields(`GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE QUERY
	ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF
	MKWORKSPACE MOVE ORDERPATCH PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE
	UPDATEREDIRECTREF VERSION-CONTROL`)

func checkMethod(v string) string {
	if slices.Contains(httpMethods, v) {
		return ""
	}
	if up := strings.ToUpper(v); slices.Contains(httpMethods, up) {
		return "is another method than " + up + ", which is written in capitals: write " + up
	}
	if near := nearest(v, httpMethods); near != "" {
		return "is no HTTP method that is known here: did you mean " + near + "?"
	}
	return "is no HTTP method that is known here: write one such as GET, or decide in Rego"
}

// checkPath takes a decoded path, in which * stands for any rest at its end, and
// for a part of one segment elsewhere. What no decided path can match is refused.
func checkPath(v string) string {
	switch {
	case !strings.HasPrefix(v, "/"):
		return "is no path: begin with a slash, such as /reports/*"
	case strings.ContainsAny(v, "?#"):
		return "holds ? or #, which are no part of a path: ask for the query in Rego"
	case strings.Contains(v, "\\"):
		return "holds a backslash, which no request may have in its path"
	case slices.ContainsFunc(strings.Split(v, "/"), func(s string) bool { return s == "." || s == ".." }) || strings.Contains(v, "//"):
		return "holds an empty, . or .. part: write the path without it"
	}
	return ""
}

// privateRanges is Caddy's word for all private and loopback addresses.
const privateRanges = "private_ranges"

func checkClientIP(v string) string {
	if v == privateRanges {
		return ""
	}
	if strings.Contains(v, "/") {
		p, err := netip.ParsePrefix(v)
		if err != nil || p.Addr().Zone() != "" {
			return "is no address range: write one such as 10.0.0.0/8 or 2001:db8::/32"
		}
		if m := p.Masked(); m != p {
			return "has bits after the first " + strconv.Itoa(p.Bits()) + ": write " + m.String()
		}
		return ""
	}
	if a, err := netip.ParseAddr(v); err != nil || a.Zone() != "" {
		return "is no address: write one such as 10.1.2.3, 10.0.0.0/8 or private_ranges"
	}
	return ""
}

func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
