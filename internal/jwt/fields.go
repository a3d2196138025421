package jwt

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

var errUsername = errors.New("its username is not allowed")

// identity makes the identity of a token whose signature and claims are good.
// What is there and does not fit is an error: it is never guessed what an issuer
// may have meant ("false" is not false; an object is no role).
func (i *issuer) identity(claims map[string]any, normalize func(string) (string, error)) (*identity.Identity, error) {
	sub, _ := claims["sub"].(string)
	id := &identity.Identity{Method: identity.JWT, Provider: i.name, Issuer: i.iss, Subject: sub, Claims: claims}
	for _, f := range []struct {
		name string
		to   *string
	}{{"username", &id.Username}, {"email", &id.Email}, {"name", &id.Name}} {
		v, there := i.fields[f.name].in(claims)
		s, ok := v.(string)
		if there && !ok || !plain(s) {
			return nil, unfit(f.name)
		}
		*f.to = s
	}
	if v, there := i.fields["email_verified"].in(claims); there {
		verified, ok := v.(bool)
		if !ok {
			return nil, unfit("email_verified")
		}
		id.EmailVerified = verified
	}
	for _, f := range []struct {
		name string
		to   *[]string
	}{{"roles", &id.Roles}, {"groups", &id.Groups}, {"scopes", &id.Scopes}} {
		list, ok := i.fields[f.name].list(claims)
		if !ok {
			return nil, unfit(f.name)
		}
		*f.to = list
	}
	if id.Username != "" && normalize != nil {
		var err error
		if id.Username, err = normalize(id.Username); err != nil {
			return nil, errUsername // why is in the name itself, which is a stranger's
		}
	}
	id.AMR = texts(claims["amr"])
	id.AuthTime = authTime(claims)
	return id, nil
}

func unfit(field string) error { return fmt.Errorf("its claim for %s is of the wrong type", field) }

// list reads an array of strings, or one string with spaces between (RFC 6749
// section 3.3). Empty entries are left out.
func (p path) list(claims map[string]any) ([]string, bool) {
	v, there := p.in(claims)
	if !there {
		return nil, true
	}
	var out []string
	switch v := v.(type) {
	case string:
		if !plain(v) {
			return nil, false
		}
		for s := range strings.SplitSeq(v, " ") {
			if s != "" {
				out = append(out, s)
			}
		}
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok || !plain(s) {
				return nil, false
			}
			if s != "" {
				out = append(out, s)
			}
		}
	default:
		return nil, false
	}
	return out, true
}

// texts is an array of strings, or nil. It is for claims that can only restrict
// when they are absent.
func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, ok := e.(string)
		if !ok || s == "" || !plain(s) {
			return nil
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// authTime is when the person last signed in there; unknown if that is not told
// as a number.
func authTime(claims map[string]any) time.Time {
	t, there, ok := moment(claims, "auth_time")
	if !there || !ok || t.Unix() <= 0 {
		return time.Time{}
	}
	return t
}

// plain reports whether a text has no control characters: what names somebody
// ends up in headers and logs.
func plain(s string) bool { return !strings.ContainsFunc(s, unicode.IsControl) }
