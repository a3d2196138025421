package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Keys checks API keys. The error of Identify is an identity.ErrUnknown for a
// key that is good for nothing now, an *identity.ThrottledError for one whose
// rate limit is used up, and any other when that could not be found out.
type Keys interface {
	// Looks reports whether a text is meant to be one of our keys, well formed or
	// not. It is cheap.
	Looks(text string) bool
	Identify(ctx context.Context, key string, from netip.Addr) (*identity.Identity, *identity.Quota, error)
}

// Tokens checks bearer tokens of issuers that we trust. Errors are those of
// Keys, without limits.
type Tokens interface {
	Identify(ctx context.Context, token string) (*identity.Identity, error)
}

// AuthorizationAuthenticator returns the authenticator of the Authorization
// header: keys and tokens as Bearer (RFC 6750 section 2.1), and keys as Basic
// password under any user name (RFC 7617), for clients that know nothing else.
// Either may be nil: what only the other could take is then claimed by nobody.
func AuthorizationAuthenticator(k Keys, t Tokens, realmOf string) Authenticator {
	a := &authorization{keys: k, tokens: t}
	r := realm(realmOf)
	a.bearer, a.bad = `Bearer realm="`+r+`"`, `Bearer realm="`+r+`", error="invalid_token"`
	a.basic = `Basic realm="` + r + `", charset="UTF-8"`
	return a
}

type authorization struct {
	keys               Keys
	tokens             Tokens
	bearer, bad, basic string // challenges
}

// Authenticate reads the one Authorization header; of several the gate makes a
// bad credential before it asks.
func (a *authorization) Authenticate(ctx context.Context, r *http.Request, c Caller) (Result, error) {
	sent := r.Header["Authorization"]
	if len(sent) == 0 {
		return Result{Outcome: Absent, Challenge: a.bearer}, nil
	}
	scheme, rest, _ := strings.Cut(sent[0], " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return a.token(ctx, strings.Trim(rest, " "), c)
	case strings.EqualFold(scheme, "Basic") && a.keys != nil:
		return a.password(ctx, strings.Trim(rest, " "), c)
	}
	return Result{Outcome: Absent}, nil
}

func (a *authorization) token(ctx context.Context, text string, c Caller) (Result, error) {
	switch {
	case a.keys != nil && a.keys.Looks(text):
		id, quota, err := a.keys.Identify(ctx, text, c.ClientIP)
		return result(identity.Key, id, quota, err, a.bad)
	case a.tokens == nil:
		return Result{Outcome: Absent}, nil
	case !token68(text):
		return result(identity.JWT, nil, nil, &identity.Refusal{Reason: "it does not have the form of a bearer token"}, a.bad)
	}
	id, err := a.tokens.Identify(ctx, text)
	return result(identity.JWT, id, nil, err, a.bad)
}

// password looks for a key in the place of a password. Any other password is
// claimed by nobody.
func (a *authorization) password(ctx context.Context, encoded string, c Caller) (Result, error) {
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return Result{Outcome: Absent}, nil //nolint:nilerr // no user name and password, so nothing of ours
	}
	_, password, found := strings.Cut(string(plain), ":")
	if !found || !a.keys.Looks(password) {
		return Result{Outcome: Absent}, nil
	}
	id, quota, err := a.keys.Identify(ctx, password, c.ClientIP)
	return result(identity.Key, id, quota, err, a.basic)
}

// result makes an answer of what a look-up returned, for the Authorization
// header.
func result(m identity.Method, id *identity.Identity, q *identity.Quota, err error, challenge string) (Result, error) {
	switch {
	case err == nil:
		return Result{Outcome: Good, Identity: id, Quota: q, Header: "Authorization", Method: m, Challenge: challenge}, nil
	case !errors.Is(err, identity.ErrUnknown):
		return Result{}, err
	}
	res := Result{Outcome: Bad, Header: "Authorization", Method: m, Challenge: challenge}
	if !errors.As(err, &res.Refusal) {
		res.Refusal = &identity.Refusal{Reason: "it is unknown, expired or revoked"}
	}
	return res, nil
}

// token68 reports whether s has the form that RFC 9110 section 11.2 gives to a
// bearer token.
func token68(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		c := body[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return body != ""
}

// KeyHeaderAuthenticator returns the authenticator of a header, named in its
// canonical form, whose whole value is a key.
func KeyHeaderAuthenticator(k Keys, name string) Authenticator {
	return &keyHeader{keys: k, name: name}
}

type keyHeader struct {
	keys Keys
	name string
}

func (a *keyHeader) Authenticate(ctx context.Context, r *http.Request, c Caller) (Result, error) {
	sent := r.Header[a.name]
	if len(sent) == 0 {
		return Result{Outcome: Absent}, nil
	}
	var id *identity.Identity
	var quota *identity.Quota
	var err error = &identity.Refusal{Reason: "the header was sent more than once"}
	if len(sent) == 1 {
		id, quota, err = a.keys.Identify(ctx, strings.Trim(sent[0], " \t"), c.ClientIP)
	}
	res, err := result(identity.Key, id, quota, err, "")
	res.Header = a.name
	return res, err
}

var (
	_ Authenticator = (*authorization)(nil)
	_ Authenticator = (*keyHeader)(nil)
)
