package config

import (
	"slices"
	"strings"
)

// Header is one request header that tells the app who asks.
type Header struct {
	// Name of the header. It is taken from every request first, whatever its case,
	// and with any other sign in place of a hyphen. Required.
	Name string `json:"name"`

	// Value is text in which {http.auth.user.<attribute>} is filled in for each
	// request; {env.NAME} and {file.PATH} are filled in once, at start. Other
	// placeholders may come from the client, and are refused. Never printed, since
	// it may be a secret by which the app knows the gate. Required.
	Value Secret `json:"value"`
}

// reserved are the headers that a gate cannot set, because they say where a
// message goes and ends, carry credentials, or are Caddy's own to set.
var reserved = []struct{ name, why string }{
	{"Connection", hopByHop}, {"Keep-Alive", hopByHop}, {"Proxy-Connection", hopByHop}, {"Te", hopByHop},
	{"Trailer", hopByHop}, {"Transfer-Encoding", hopByHop}, {"Upgrade", hopByHop},
	{"Proxy-Authenticate", hopByHop}, {"Proxy-Authorization", hopByHop}, {"Http2-Settings", hopByHop},
	{"Host", "names the site: use header_up in reverse_proxy"},
	{"Content-Length", framing}, {"Content-Type", framing}, {"Content-Encoding", framing}, {"Expect", framing},
	{"Authorization", credential}, {"Cookie", credential}, {"Set-Cookie", credential},
	{"Forwarded", routing}, {"X-Forwarded-For", routing}, {"X-Forwarded-Host", routing}, {"X-Forwarded-Proto", routing},
	{"X-Original-Url", override}, {"X-Rewrite-Url", override},
	{"X-Request-Id", "is set by the gate on every request: leave it out"},
	{"X-Gatehouse-Assertion", "is kept for the signed assertion: choose another name"},
}

const (
	hopByHop   = "belongs to one connection (RFC 9110 section 7.6.1) and would not reach the app: choose another name"
	framing    = "describes the body of the request: choose another name"
	credential = "carries credentials: use header_up in reverse_proxy, after the gate"
	override   = "makes some apps answer for another path than the one decided about: choose another name"
	routing    = "is set by reverse_proxy: use header_up there"
)

// userFields are the names after http.auth.user. that a gate fills in.
var userFields = []string{"id", "username", "uid", "subject", "email", "name", "groups", "roles", "provider", "method"}

func validateHeaders(headers []Header) error {
	if headers != nil && len(headers) == 0 {
		return fault("headers", "it names none: leave it out for the default ones, or write those you want")
	}
	seen := map[string]string{}
	for i, h := range headers {
		at := index("headers", i)
		if !token(h.Name) || len(h.Name) > 128 {
			return fault(at+".name", "%.80q is no header name: write letters, digits and hyphens, such as Remote-User", h.Name)
		}
		key := alias(h.Name)
		for _, r := range reserved {
			if alias(r.name) == key {
				return fault(at+".name", "%s %s", h.Name, r.why)
			}
		}
		if first, found := seen[key]; found {
			return fault(at+".name", "%s is given twice (%s): apps take case, - and _ for the same, write it once", h.Name, first)
		}
		seen[key] = h.Name
		if reason := checkHeaderValue(string(h.Value)); reason != "" {
			return fault(at+".value", "the value of %s %s", h.Name, reason)
		}
	}
	return nil
}

// alias is what a header is to apps that read it as CGI does (RFC 3875 section
// 4.1.18), where case is lost, and all but letters and digits become one sign.
func alias(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}

// token reports whether s is a token of RFC 9110 section 5.6.2.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// checkHeaderValue says what is wrong with a value, without its text.
func checkHeaderValue(v string) string {
	switch {
	case v == "":
		return "is empty: write text or a placeholder such as {http.auth.user.username}"
	case strings.TrimSpace(v) != v:
		return "has spaces around it: write it without"
	case strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return "holds control characters"
	case len(v) > 4096:
		return "is longer than 4096 bytes"
	}
	for _, name := range placeholders(v) {
		field, ours := strings.CutPrefix(name, "http.auth.user.")
		if early(name) || ours && (slices.Contains(userFields, field) || strings.HasPrefix(field, "claims.") && field != "claims.") {
			continue
		}
		if !ours { // perhaps a part of a secret: its text stays out of the message
			return "holds a placeholder that is not the gate's: write {http.auth.user.<attribute>}, and what else you need with header_up in reverse_proxy"
		}
		return "asks for {http.auth.user." + field + "}: " + Unknown("attribute", field, append(slices.Clone(userFields), "claims.<path>"))
	}
	return ""
}
