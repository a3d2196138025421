package gateway

import (
	"net"
	"net/url"
	"strings"
	"sync"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// maxParameters is how many query parameters a request may have; reading more
// would cost a stranger little and us much.
const maxParameters = 4096

// scratch is what a decision needs for its time only.
type scratch struct {
	question decision.Question
	readings []Reading
	one      [1]Reading // readings of a plain path
	segments []string   // its segments
}

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) free() {
	s.question = decision.Question{}
	s.readings = nil
	s.one[0] = Reading{}
	clear(s.segments)
	s.segments = s.segments[:0]
	scratchPool.Put(s)
}

// read finds the readings of the path, or answers 400. It also refuses a raw "#"
// anywhere: a fragment never travels, so somebody downstream would cut there.
func (e *exchange) read(s *scratch) bool {
	u := e.r.URL
	if strings.IndexByte(e.r.RequestURI, '#') >= 0 || strings.IndexByte(u.RawPath, '#') >= 0 || strings.IndexByte(u.RawQuery, '#') >= 0 {
		return e.badRequest("The address holds a bare #.")
	}
	if strings.Count(u.RawQuery, "&")+strings.Count(u.RawQuery, ";") >= maxParameters {
		return e.badRequest("The address has too many parameters.")
	}
	if plainPath(u) {
		s.segments = segments(s.segments, u.Path[1:], "/")
		s.one[0] = Reading{Path: u.Path, Segments: s.segments}
		s.readings = s.one[:]
		return true
	}
	readings, err := Readings(u.EscapedPath())
	if err != nil {
		return e.badRequest("The path of this address cannot be read in one safe way.")
	}
	s.readings = readings
	return true
}

// ask fills in all of the question but the reading.
func (e *exchange) ask(q *decision.Question) {
	r := e.r
	q.Identity = e.identity
	q.Time = e.start.In(e.gate.o.Location)
	q.Site = e.gate.o.Site
	q.Request = decision.Request{
		ID: e.id, Method: method(r), Scheme: e.caller.Scheme, Host: hostname(r.Host), Port: e.caller.Port,
		RawPath: r.URL.EscapedPath(), Query: parseQuery(r.URL.RawQuery), Header: r.Header,
		ClientIP: e.caller.ClientIP, Protocol: r.Proto,
	}
}

// hostname returns the host of a Host header in lower case, without port and
// brackets.
func hostname(host string) string {
	if strings.IndexByte(host, ':') >= 0 {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		} else {
			host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		}
	}
	return strings.ToLower(host)
}

// parseQuery reads a query so that the policy sees at least what any app sees.
// net/url drops a pair with a semicolon or a broken escape; apps that split at
// ";" or decode leniently do read it. Such a pair counts in both ways.
func parseQuery(raw string) url.Values {
	if raw == "" {
		return nil
	}
	if strings.IndexByte(raw, ';') < 0 {
		if v, err := url.ParseQuery(raw); err == nil {
			return v
		}
	}
	values := make(url.Values)
	for pair := range strings.SplitSeq(raw, "&") {
		addPair(values, pair)
		if strings.IndexByte(pair, ';') >= 0 {
			for part := range strings.SplitSeq(pair, ";") {
				addPair(values, part)
			}
		}
	}
	return values
}

func addPair(values url.Values, pair string) {
	if pair == "" {
		return
	}
	k, v, _ := strings.Cut(pair, "=")
	k, v = unescapeLoosely(k), unescapeLoosely(v)
	values[k] = append(values[k], v)
}

// unescapeLoosely decodes a query component; escapes that are none stay.
func unescapeLoosely(s string) string {
	if out, err := url.QueryUnescape(s); err == nil {
		return out
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s) && hexDigit(s[i+1]) && hexDigit(s[i+2]):
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		}
		b = append(b, c)
	}
	return string(b)
}
