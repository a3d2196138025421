package gateway

import (
	"io"
	"net/http"
	"strings"
)

// The default identity headers (contract section 6), in the order in which they
// are set, and the signed assertion.
var defaultNames = []string{
	"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups", "Remote-Roles", "X-Request-Id",
	"X-Gatehouse-Assertion",
}

// pathOverrides are headers by which some frameworks (Symfony, Zend, IIS) take
// another path than the one in the request line. The policy has decided for that
// one, so these leave.
var pathOverrides = []string{"X-Original-Url", "X-Rewrite-Url"}

// Headers that belong to one connection (RFC 9110 section 7.6.1).
var hopByHopNames = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Proxy-Authenticate",
}

// Headers that carry credentials. The policy never sees them.
var credentialNames = []string{"Authorization", "Proxy-Authorization", "Cookie"}

var (
	credentials = newNameSet(credentialNames)
	// never is what may be set neither by a site's headers block nor by a policy.
	never = newNameSet(hopByHopNames, []string{"Host", "Content-Length", "Cookie", "Proxy-Authorization"})
)

// stripSet is all header names that clients may not send, for one revision of
// the policy.
type stripSet struct {
	nameSet
	policy []string // what PolicyHeaders returned
	// keep is the header for keys in its own spelling, which is still to be read;
	// "" for none. An app might take any other spelling for it.
	keep string
}

// stripSet returns the names in force now; it is rebuilt when the policy's names
// changed.
func (g *Gate) stripSet() *stripSet {
	names := g.policyHeaders()
	if s := g.stripped.Load(); s != nil && same(s.policy, names) {
		return s
	}
	s := &stripSet{nameSet: newNameSet(g.own, names), policy: names, keep: g.o.KeyHeader}
	g.stripped.Store(s)
	return s
}

func (g *Gate) policyHeaders() []string {
	if g.o.PolicyHeaders == nil {
		return nil
	}
	return g.o.PolicyHeaders()
}

// strip takes from the request every header that only we may set: as header, as
// trailer, and named in Connection, where the proxy would drop ours. It reports
// whether a header is there that overrides the method.
func strip(r *http.Request, set *stripSet) (override bool) {
	for name := range r.Header {
		override = override || overrides.has(name)
		// An Authorization header that the policy may replace is still to be
		// authenticated; it leaves when the request is passed on.
		if set.has(name) && name != "Authorization" && (name != set.keep || set.keep == "") {
			delete(r.Header, name)
		}
	}
	if conn := r.Header["Connection"]; len(conn) > 0 {
		stripConnection(r.Header, conn, set)
	}
	if len(r.Header["Upgrade"]) > 0 {
		stripUpgrade(r.Header)
	}
	pruneTrailer(r.Trailer, set)
	// Trailers show up when the body has been read. A body of known length over
	// HTTP/1.1 and HTTP/2 has none that were not declared; HTTP/3 servers differ.
	if r.Body != nil && r.Body != http.NoBody && (r.ContentLength < 0 || r.Trailer != nil || r.ProtoMajor > 2) {
		r.Body = &trailerGuard{ReadCloser: r.Body, request: r, trailer: r.Trailer, set: set}
	}
	return override
}

// stripUpgrade takes away an offer to speak another HTTP, or TLS, on this
// connection ("h2c smuggling"). The proxy would pass it on, and be a pipe once
// the app agrees: more requests would go through it, with any identity, that no
// gate has seen. WebSockets and other protocols are left alone.
func stripUpgrade(h http.Header) {
	for _, line := range h["Upgrade"] {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.ToLower(strings.Trim(token, " \t"))
			for _, carrier := range [...]string{"h2", "h3", "http", "tls"} {
				if strings.HasPrefix(token, carrier) {
					delete(h, "Upgrade")
					delete(h, "Http2-Settings")
					return
				}
			}
		}
	}
}

// stripConnection drops the tokens of Connection that name our headers and
// leaves the others as they are.
func stripConnection(h http.Header, lines []string, set *stripSet) {
	if !namesOurs(lines, set) {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		var tokens []string
		for token := range strings.SplitSeq(line, ",") {
			if token = strings.Trim(token, " \t"); token != "" && !set.has(token) {
				tokens = append(tokens, token)
			}
		}
		if len(tokens) > 0 {
			kept = append(kept, strings.Join(tokens, ", "))
		}
	}
	if len(kept) == 0 {
		delete(h, "Connection")
		return
	}
	h["Connection"] = kept
}

func namesOurs(lines []string, set *stripSet) bool {
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			if set.has(strings.Trim(token, " \t")) {
				return true
			}
		}
	}
	return false
}

// pruneTrailer takes our names, and those of credentials, from a trailer map.
func pruneTrailer(trailer http.Header, set *stripSet) {
	for name := range trailer {
		if set.has(name) || credentials.has(name) {
			delete(trailer, name)
		}
	}
}

// trailerGuard prunes trailers at the moment they arrive: net/http fills the map
// when the body reports its end, in that same Read, and the proxy copies it
// right after.
type trailerGuard struct {
	io.ReadCloser
	request *http.Request
	trailer http.Header // the declared ones; shared with copies of the request
	set     *stripSet
}

// Read reads the body and prunes the trailers once it has ended.
func (t *trailerGuard) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err != nil {
		pruneTrailer(t.trailer, t.set)
		pruneTrailer(t.request.Trailer, t.set)
	}
	return n, err
}
