package policy

import (
	"net/http"
	"slices"
	"strings"
)

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
