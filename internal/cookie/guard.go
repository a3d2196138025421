package cookie

import (
	"net/http"
	"strings"
)

// prefixes are what browsers and servers may put or take before a cookie's name
// (RFC 6265bis section 4.1.3), in lower case.
var prefixes = []string{"__host-http-", "__host-", "__secure-", "__http-"}

var fixed = []string{session, device, check, choice, arrival}

// Ours reports whether a cookie name is one of ours in any spelling: whatever
// its prefix, case, quotes and surrounding white space. A site may have changed
// its prefix with cookie_domain, so a live token may travel under the other one;
// and some apps fold case or trim where browsers do not.
func Ours(name string) bool {
	name = strings.Trim(name, " \t\"'")
	if len(name) < len(session) || len(name) > 64 {
		return false
	}
	for _, p := range prefixes {
		if len(name) >= len(p) && strings.EqualFold(name[:len(p)], p) {
			name = name[len(p):]
			break
		}
	}
	if len(name) < len(session) || name[0]|0x20 != session[0] {
		return false
	}
	for _, own := range fixed {
		if strings.EqualFold(name, own) {
			return true
		}
	}
	return len(name) >= len(begun) && strings.EqualFold(name[:len(begun)], begun)
}

// Strip takes our cookies from a request's Cookie header, so that the app never
// sees them. The bytes of all other cookies stay as they were.
func Strip(h http.Header) {
	lines := h["Cookie"]
	if len(lines) == 0 || !anyOurs(lines) {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line = without(line); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

func anyOurs(lines []string) bool {
	for _, line := range lines {
		for len(line) > 0 {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			if Ours(pairName(pair)) {
				return true
			}
		}
	}
	return false
}

// without returns a Cookie line without our pairs.
func without(line string) string {
	var b strings.Builder
	b.Grow(len(line))
	for rest, more := line, true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, ";")
		if Ours(pairName(pair)) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(';')
			b.WriteString(pair)
		} else {
			b.WriteString(strings.TrimLeft(pair, " \t"))
		}
	}
	return b.String()
}

// pairName returns the name of "name=value". A nameless cookie ("=name=value" or
// "name") goes back to the server as its value alone (RFC 6265bis section 5.8.3)
// and is then read as a cookie of that name; so the name is what comes first
// after such a sign.
func pairName(pair string) string {
	pair = strings.TrimLeft(pair, " \t=")
	name, _, _ := strings.Cut(pair, "=")
	return name
}

// FilterResponse takes from a response's headers what would set or clear our
// cookies: Set-Cookie under any of our names, as header or as trailer, and the
// part of Clear-Site-Data that means cookies.
func FilterResponse(h http.Header) {
	for key := range h {
		name := strings.TrimPrefix(key, http.TrailerPrefix)
		switch len(name) {
		case len("Trailer"):
			if strings.EqualFold(name, "Trailer") {
				filter(h, key, keepTrailer)
			}
		case len("Set-Cookie"):
			if strings.EqualFold(name, "Set-Cookie") {
				filter(h, key, keepCookie)
			}
		case len("Clear-Site-Data"):
			if strings.EqualFold(name, "Clear-Site-Data") {
				filter(h, key, keepData)
			}
		}
	}
}

// filter replaces each value of a header; "" removes it. The slice is changed
// only when something goes: it may belong to the app.
func filter(h http.Header, key string, keep func(string) string) {
	values := h[key]
	for i, v := range values {
		if keep(v) == v {
			continue
		}
		kept := append([]string(nil), values[:i]...)
		for _, v := range values[i:] {
			if v = keep(v); v != "" {
				kept = append(kept, v)
			}
		}
		if len(kept) == 0 {
			delete(h, key)
		} else {
			h[key] = kept
		}
		return
	}
}

func keepCookie(line string) string {
	pair, _, _ := strings.Cut(line, ";")
	if Ours(pairName(pair)) {
		return ""
	}
	return line
}

// keepTrailer drops the announcement of a Set-Cookie or Clear-Site-Data to come
// after the body, where no cookie belongs (RFC 9110 section 6.5.1).
func keepTrailer(list string) string {
	if !containsFold(list, "Set-Cookie") && !containsFold(list, "Clear-Site-Data") {
		return list
	}
	var kept []string
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if part != "" && !strings.EqualFold(part, "Set-Cookie") && !strings.EqualFold(part, "Clear-Site-Data") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ", ")
}

// allButCookies is what "*" in Clear-Site-Data stands for, without cookies.
const allButCookies = `"cache", "clientHints", "executionContexts", "prefetchCache", "prerenderCache", "storage"`

// keepData drops "cookies" from a Clear-Site-Data list; "*" becomes all the rest.
func keepData(list string) string {
	if !strings.ContainsAny(list, "*") && !containsFold(list, "cookies") {
		return list
	}
	var kept []string
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		switch word := strings.Trim(part, `"' `); {
		case part == "", strings.EqualFold(word, "cookies"):
		case word == "*":
			return allButCookies
		default:
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ", ")
}

func containsFold(s, word string) bool {
	for i := 0; i+len(word) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
