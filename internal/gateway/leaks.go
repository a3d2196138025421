package gateway

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// keyInQuery reports whether a value of the query has the form of a key, in any
// reading of the query.
func keyInQuery(raw string, isKey func(string) bool) bool {
	if isKey == nil {
		return false
	}
	// All keys have an underscore; a query without one in either spelling is not
	// worth parsing.
	if strings.IndexByte(raw, '_') < 0 && strings.IndexByte(raw, '%') < 0 {
		return false
	}
	for name, values := range parseQuery(raw) {
		if isKey(name) {
			return true
		}
		for _, v := range values {
			if isKey(strings.TrimSpace(v)) {
				return true
			}
		}
	}
	return false
}

// holdsKey reports whether an Authorization header has one of our keys in it, under
// whatever scheme.
func holdsKey(authorization string, isKey func(string) bool) bool {
	if isKey == nil {
		return false
	}
	for part := range strings.FieldsSeq(authorization) {
		if isKey(part) {
			return true
		}
		if plain, err := base64.StdEncoding.DecodeString(part); err == nil {
			if user, password, _ := strings.Cut(string(plain), ":"); isKey(user) || isKey(password) {
				return true
			}
		}
	}
	return false
}

// keyInQuery refuses a key where logs, histories and other sites would see it
// (RFC 6750 sections 2.3 and 5.3). It says so to whoever has the key already.
func (e *exchange) keyInQuery() bool {
	e.tried = identity.Key
	e.refusal = &identity.Refusal{Reason: "it was sent in the address, where logs keep it: rotate it"}
	e.record(BadCredential)
	return e.problem(KeyInAddress(e.gate.o.Site.Host))
}

// KeyInAddress is the answer to a request that has a key in its address.
func KeyInAddress(site string) problem.Problem {
	return problem.Problem{
		Status: http.StatusUnauthorized, Kind: problem.BadCredential, Title: "A key does not belong into an address",
		Detail: "Addresses end up in logs, histories and other sites. Send the key as \"Authorization: Bearer <key>\" instead, " +
			"and have this one replaced, since it may have been seen.",
		Challenge: `Bearer realm="` + realm(site) + `", error="invalid_request"`,
	}
}
