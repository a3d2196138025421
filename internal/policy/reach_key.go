package policy

import (
	"encoding/binary"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// maxKeyBytes is the longest key that is worth remembering.
const maxKeyBytes = 4 << 10

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
