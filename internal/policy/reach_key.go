package policy

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// maxKeyBytes is the longest key that is worth remembering.
const maxKeyBytes = 4 << 10

// field is one value of the input that is told apart from the others.
type field uint8

// The fields of the input, in the order in which a key holds them.
const (
	requestID field = iota
	requestMethod
	requestScheme
	requestHost
	requestPort
	requestPath
	requestSegments
	requestRawPath
	requestQuery
	requestHeaders
	requestClientIP
	requestProtocol
	identityAuthenticated
	identityMethod
	identityProvider
	identityID
	identityIssuer
	identitySubject
	identityUsername
	identityEmail
	identityEmailVerified
	identityName
	identityRoles
	identityGroups
	identityScopes
	identityClaims
	identityAMR
	identityAuthTime
	identityAuthAge
	identitySessionID
	timeUnix
	timeWeekday
	timeHour
	timeMinute
	siteHost
	sitePolicy
	fieldCount
)

// fieldNames are the fields as a policy spells them.
var fieldNames = [fieldCount]string{
	requestID:             "request.id",
	requestMethod:         "request.method",
	requestScheme:         "request.scheme",
	requestHost:           "request.host",
	requestPort:           "request.port",
	requestPath:           "request.path",
	requestSegments:       "request.segments",
	requestRawPath:        "request.raw_path",
	requestQuery:          "request.query",
	requestHeaders:        "request.headers",
	requestClientIP:       "request.client_ip",
	requestProtocol:       "request.protocol",
	identityAuthenticated: "identity.authenticated",
	identityMethod:        "identity.method",
	identityProvider:      "identity.provider",
	identityID:            "identity.id",
	identityIssuer:        "identity.issuer",
	identitySubject:       "identity.subject",
	identityUsername:      "identity.username",
	identityEmail:         "identity.email",
	identityEmailVerified: "identity.email_verified",
	identityName:          "identity.name",
	identityRoles:         "identity.roles",
	identityGroups:        "identity.groups",
	identityScopes:        "identity.scopes",
	identityClaims:        "identity.claims",
	identityAMR:           "identity.amr",
	identityAuthTime:      "identity.auth_time",
	identityAuthAge:       "identity.auth_age",
	identitySessionID:     "identity.session_id",
	timeUnix:              "time.unix",
	timeWeekday:           "time.weekday",
	timeHour:              "time.hour",
	timeMinute:            "time.minute",
	siteHost:              "site.host",
	sitePolicy:            "site.policy",
}

func fieldNamed(group, name string) (field, bool) {
	i := slices.Index(fieldNames[:], group+"."+name)
	return field(max(i, 0)), i >= 0
}

// fieldsOf returns the fields of one group ("request"), or all fields when there
// is no such group: a read of the unknown is a read of everything.
func fieldsOf(group string) []field {
	var of, all []field
	for i, name := range fieldNames {
		all = append(all, field(i))
		if strings.HasPrefix(name, group+".") {
			of = append(of, field(i))
		}
	}
	if len(of) == 0 {
		return all
	}
	return of
}

// keyed reports whether a policy can read one named value of the field.
func (f field) keyed() bool {
	return f == requestQuery || f == requestHeaders || f == identityClaims
}

// canonical returns a name as the question spells it.
func (f field) canonical(name string) string {
	if f == requestHeaders {
		return http.CanonicalHeaderKey(name)
	}
	return name
}

// key appends to dst what tells q from every other question that the entry point
// could answer differently. It reports false when the answer to q must not be
// remembered.
//
// Each part has the same place in every key of one reach, and says where it
// ends: lists and strings begin with their length. So two keys are equal only
// when all parts are.
func (r *reach) key(dst []byte, q *decision.Question) ([]byte, bool) {
	if r.never {
		return dst, false
	}
	start, ok := len(dst), true
	for _, p := range r.parts {
		if dst, ok = p.append(dst, q); !ok || len(dst)-start > maxKeyBytes {
			return dst, false
		}
	}
	return dst, true
}

// append adds one part. What is absent from the input is an empty string or an
// empty list in the question, and is written as such.
func (p part) append(dst []byte, q *decision.Question) ([]byte, bool) {
	switch req := &q.Request; p.field {
	case requestMethod:
		dst = appendString(dst, req.Method)
	case requestScheme:
		dst = appendString(dst, req.Scheme)
	case requestHost:
		dst = appendString(dst, req.Host)
	case requestPort:
		dst = binary.AppendVarint(dst, int64(req.Port))
	case requestPath:
		dst = appendString(dst, req.Path)
	case requestSegments:
		dst = appendStrings(dst, req.Segments)
	case requestRawPath:
		dst = appendString(dst, req.RawPath)
	case requestQuery:
		return appendNamed(dst, p.name, req.Query), true
	case requestHeaders:
		return appendHeaders(dst, p.name, req.Header)
	case requestClientIP:
		dst = appendAddr(dst, req.ClientIP)
	case requestProtocol:
		dst = appendString(dst, req.Protocol)
	case timeUnix:
		dst = binary.AppendVarint(dst, q.Time.Unix())
	case timeWeekday:
		dst = append(dst, byte(q.Time.Weekday()))
	case timeHour:
		dst = append(dst, byte(q.Time.Hour()))
	case timeMinute:
		dst = append(dst, byte(q.Time.Minute()))
	case siteHost:
		dst = appendString(dst, q.Site.Host)
	case sitePolicy:
		dst = appendString(dst, q.Site.Policy)
	default:
		return p.appendIdentity(dst, q)
	}
	return dst, true
}

// nobody is what a request without identity looks like to a policy.
var nobody identity.Identity

func (p part) appendIdentity(dst []byte, q *decision.Question) ([]byte, bool) {
	id := q.Identity
	if !id.Authenticated() {
		id = &nobody // whatever else it holds is not in the input
	}
	switch p.field {
	case identityAuthenticated:
		dst = appendBool(dst, id != &nobody)
	case identityMethod:
		dst = appendString(dst, string(id.Method))
	case identityProvider:
		dst = appendString(dst, id.Provider)
	case identityID:
		dst = appendString(dst, id.ID)
	case identityIssuer:
		dst = appendString(dst, id.Issuer)
	case identitySubject:
		dst = appendString(dst, id.Subject)
	case identityUsername:
		dst = appendString(dst, id.Username)
	case identityEmail:
		dst = appendString(dst, id.Email)
	case identityEmailVerified:
		// It is absent without an address, which is not the same as false.
		dst = appendBool(appendBool(dst, id.Email != ""), id.EmailVerified)
	case identityName:
		dst = appendString(dst, id.Name)
	case identityRoles:
		dst = appendStrings(dst, id.Roles)
	case identityGroups:
		dst = appendStrings(dst, id.Groups)
	case identityScopes:
		dst = appendStrings(dst, id.Scopes)
	case identityClaims:
		return appendClaims(dst, p.name, id.Claims)
	case identityAMR:
		dst = appendStrings(dst, id.AMR)
	case identityAuthTime:
		dst = appendTime(dst, id.AuthTime)
	case identityAuthAge:
		dst = appendTime(dst, id.AuthTime)
		dst = binary.AppendVarint(dst, q.Time.Unix())
	case identitySessionID:
		dst = appendString(dst, id.SessionID)
	default:
		return dst, false // requestID, or a field that nobody has taught us
	}
	return dst, true
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendString(dst, s)
	}
	return dst
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// appendTime adds a time in whole seconds, as the input has it. The zero time,
// which is absent there, is like no other.
func appendTime(dst []byte, t time.Time) []byte {
	return binary.AppendVarint(appendBool(dst, t.IsZero()), t.Unix())
}

func appendAddr(dst []byte, addr netip.Addr) []byte {
	bytes := addr.As16()
	dst = append(append(dst, byte(addr.BitLen())), bytes[:]...)
	return appendString(dst, addr.Zone())
}

// appendNamed adds one list of a map, or with no name all of it.
func appendNamed(dst []byte, name string, lists map[string][]string) []byte {
	if name != "" {
		list, present := lists[name]
		return appendStrings(appendBool(dst, present), list)
	}
	dst = binary.AppendUvarint(dst, uint64(len(lists)))
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		dst = appendStrings(appendString(dst, name), lists[name])
	}
	return dst
}

// appendHeaders is appendNamed for headers. A policy sees names in lower case,
// so another spelling of a name than the one looked up would be missed here;
// net/http makes none, but a handler before us might.
func appendHeaders(dst []byte, name string, headers map[string][]string) ([]byte, bool) {
	if name != "" {
		for other := range headers {
			if other != name && strings.EqualFold(other, name) {
				return dst, false
			}
		}
	}
	return appendNamed(dst, name, headers), true
}

func appendClaims(dst []byte, name string, claims map[string]any) ([]byte, bool) {
	if name == "" {
		if len(claims) == 0 {
			return append(dst, 0), true
		}
		return appendValue(dst, claims, 0)
	}
	claim, present := claims[name]
	if !present {
		return append(dst, 0), true
	}
	return appendValue(dst, claim, 0)
}

// appendValue adds a value as decoded from JSON, each kind under its own letter:
// 1, "1" and [1] differ. Numbers are told apart by their spelling, which is finer
// than the policy does and so does no harm. It reports false for a value of a
// type or a depth that JSON decoding does not yield.
func appendValue(dst []byte, v any, depth int) ([]byte, bool) {
	if depth > 32 || len(dst) > 2*maxKeyBytes {
		return dst, false
	}
	ok := true
	switch v := v.(type) {
	case nil:
		dst = append(dst, 'z')
	case bool:
		dst = appendBool(append(dst, 'b'), v)
	case string:
		dst = appendString(append(dst, 's'), v)
	case json.Number:
		dst = appendString(append(dst, 'n'), string(v))
	case float64:
		dst = binary.BigEndian.AppendUint64(append(dst, 'f'), math.Float64bits(v))
	case int:
		dst = binary.AppendVarint(append(dst, 'i'), int64(v))
	case int64:
		dst = binary.AppendVarint(append(dst, 'i'), v)
	case []string:
		dst = appendStrings(append(dst, 'l'), v)
	case []any:
		dst = binary.AppendUvarint(append(dst, 'a'), uint64(len(v)))
		for _, item := range v {
			if dst, ok = appendValue(dst, item, depth+1); !ok {
				return dst, false
			}
		}
	case map[string]any:
		dst = binary.AppendUvarint(append(dst, 'o'), uint64(len(v)))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if dst, ok = appendValue(appendString(dst, name), v[name], depth+1); !ok {
				return dst, false
			}
		}
	default:
		return dst, false
	}
	return dst, ok
}
