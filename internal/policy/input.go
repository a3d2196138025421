package policy

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// inputVersion is the version of the input that contract section 5 describes.
const inputVersion = 1

// maxValues bounds the headers and query parameters of one input, which is built
// outside the time budget.
const maxValues = 4096

var (
	errNoTime  = errors.New("the question has no time")
	errTooMany = fmt.Errorf("the request has more than %d query parameters, headers and path segments", maxValues)
)

func size(q *decision.Question) int {
	n := len(q.Request.Segments)
	for _, values := range q.Request.Query {
		n += 1 + len(values)
	}
	for _, values := range q.Request.Header {
		n += 1 + len(values)
	}
	return n
}

// hidden headers never reach a policy, whatever the asker left in.
var hidden = map[string]bool{"cookie": true, "authorization": true, "proxy-authorization": true}

// object collects the fields of one object of the input. What is empty is left
// out: a policy sees it as absent, never as an empty string or list.
type object [][2]*ast.Term

func (o *object) term(key, value *ast.Term) { *o = append(*o, [2]*ast.Term{key, value}) }

func (o *object) text(key *ast.Term, value string) {
	if value != "" {
		o.term(key, ast.StringTerm(value))
	}
}

func (o *object) texts(key *ast.Term, values []string) {
	if len(values) > 0 {
		o.term(key, ast.NewTerm(stringArray(values)))
	}
}

func (o object) done() *ast.Term {
	if len(o) == 0 {
		return ast.InternedEmptyObject
	}
	return ast.NewTerm(ast.NewObject(o...))
}

func stringArray(values []string) *ast.Array {
	terms := make([]*ast.Term, len(values))
	for i, v := range values {
		terms[i] = ast.StringTerm(v)
	}
	return ast.NewArray(terms...)
}

// Input returns the policy input for q as plain JSON values: what a policy sees.
func Input(q *decision.Question) (any, error) {
	term, err := newIdentityTerms(0).input(q, everything)
	if err != nil {
		return nil, err
	}
	return ast.JSON(term.Value)
}

// input builds the input of contract section 5 as Rego values. The result shares
// no slice with q, which its owner may use again.
func (c *identityTerms) input(q *decision.Question, n inputNeeds) (*ast.Term, error) {
	if q.Time.IsZero() { // rules about the hour would be silently undefined
		return nil, errNoTime
	}
	if size(q) > maxValues {
		return nil, errTooMany
	}
	who, err := c.get(q.Identity, q.Time, n.fields[identityAuthAge])
	if err != nil {
		return nil, err
	}
	return ast.NewTerm(ast.NewObject(
		[2]*ast.Term{keyVersion, versionTerm},
		[2]*ast.Term{keyRequest, request(&q.Request, &n)},
		[2]*ast.Term{keyIdentity, who},
		[2]*ast.Term{keyTime, clock(q.Time, &n)},
		[2]*ast.Term{keySite, site(&q.Site, &n)},
	)), nil
}

func request(r *decision.Request, n *inputNeeds) *ast.Term {
	o := make(object, 0, 12)
	text := func(f field, key *ast.Term, value string) {
		if n.fields[f] {
			o.text(key, value)
		}
	}
	text(requestID, keyID, r.ID)
	text(requestMethod, keyMethod, r.Method)
	text(requestScheme, keyScheme, r.Scheme)
	text(requestHost, keyHost, r.Host)
	if n.fields[requestPort] && r.Port > 0 {
		o.term(keyPort, ast.InternedTerm(r.Port))
	}
	text(requestPath, keyPath, r.Path)
	if n.fields[requestSegments] {
		o.texts(keySegments, r.Segments)
	}
	text(requestRawPath, keyRawPath, r.RawPath)
	if n.fields[requestQuery] && len(r.Query) > 0 {
		o.term(keyQuery, lists(r.Query, n.names.forQuery()))
	}
	if n.fields[requestHeaders] {
		if h := visibleHeaders(r.Header, n.names.forHeaders()); len(h) > 0 {
			o.term(keyHeaders, h.done())
		}
	}
	if n.fields[requestClientIP] {
		o.text(keyClientIP, address(r.ClientIP))
	}
	text(requestProtocol, keyProtocol, r.Protocol)
	return o.done()
}

func site(s *decision.Site, n *inputNeeds) *ast.Term {
	o := make(object, 0, 2)
	if n.fields[siteHost] {
		o.text(keyHost, s.Host)
	}
	if n.fields[sitePolicy] {
		o.text(keyPolicy, s.Policy)
	}
	return o.done()
}

// reading is what a program sees of a time; what it does not need is zero.
type reading struct {
	unix         int64
	weekday      time.Weekday
	hour, minute int
}

// lastClock remembers the input's time as it was built last: most questions of
// one second, or of one hour, have the same.
type lastClock struct{ last atomic.Pointer[clockTerm] }

type clockTerm struct {
	of   reading
	term *ast.Term
}

func clock(t time.Time, n *inputNeeds) *ast.Term {
	var r reading
	if n.fields[timeUnix] {
		r.unix = t.Unix()
	}
	if n.fields[timeWeekday] {
		r.weekday = t.Weekday()
	}
	if n.fields[timeHour] {
		r.hour = t.Hour()
	}
	if n.fields[timeMinute] {
		r.minute = t.Minute()
	}
	if n.clock == nil {
		return r.term(n)
	}
	if c := n.clock.last.Load(); c != nil && c.of == r {
		return c.term
	}
	c := &clockTerm{of: r, term: r.term(n)}
	n.clock.last.Store(c)
	return c.term
}

func (r reading) term(n *inputNeeds) *ast.Term {
	o := make(object, 0, 4)
	if n.fields[timeUnix] {
		o.term(keyUnix, number(r.unix))
	}
	if n.fields[timeWeekday] {
		o.term(keyWeekday, weekdays[r.weekday])
	}
	if n.fields[timeHour] {
		o.term(keyHour, ast.InternedTerm(r.hour))
	}
	if n.fields[timeMinute] {
		o.term(keyMinute, ast.InternedTerm(r.minute))
	}
	return o.done()
}

// address prints an address in its plain form: an IPv4 address that came in as
// IPv6 would otherwise be in no IPv4 network, and one with a zone in none.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

func lists(m map[string][]string, names []string) *ast.Term {
	o := make(object, 0, len(m))
	for name, values := range m {
		if named(names, name) {
			o.texts(ast.StringTerm(name), values)
		}
	}
	return o.done()
}

// visibleHeaders has lower-case names. Two spellings of one name, which net/http
// never makes, become one list in the order of their spellings.
func visibleHeaders(h map[string][]string, names []string) object {
	spelt := make([]string, 0, len(h))
	plain := true
	for name, values := range h {
		canonical := http.CanonicalHeaderKey(name)
		plain = plain && canonical == name
		if len(values) > 0 && named(names, canonical) {
			spelt = append(spelt, name)
		}
	}
	if !plain {
		slices.Sort(spelt)
		h, spelt = oneSpelling(h, spelt)
	}
	o := make(object, 0, len(spelt))
	for _, name := range spelt {
		if low := strings.ToLower(name); !hidden[low] {
			o.texts(ast.StringTerm(low), h[name])
		}
	}
	return o
}

func oneSpelling(h map[string][]string, spelt []string) (map[string][]string, []string) {
	out := make(map[string][]string, len(spelt))
	var names []string
	for _, name := range spelt {
		low := strings.ToLower(name)
		if out[low] == nil {
			names = append(names, low)
		}
		out[low] = append(out[low], h[name]...)
	}
	return out, names
}

func number(n int64) *ast.Term {
	return ast.NewTerm(ast.Number(strconv.FormatInt(n, 10)))
}

func claims(m map[string]any) (*ast.Term, error) {
	v, err := ast.InterfaceToValue(m)
	if err != nil {
		return nil, fmt.Errorf("the claims of the identity are not JSON: %w", err)
	}
	return ast.NewTerm(v), nil
}
