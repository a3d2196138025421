package policy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// reserved headers are not a policy's to set, in any spelling that some app may
// take for the same name: the identity headers of contract section 6, what ends
// at each hop (RFC 9110 section 7.6.1), what frames or routes the message, and
// what only Caddy may say about the client.
var reserved = map[string]string{
	"remote-user": "identity", "remote-email": "identity", "remote-name": "identity",
	"remote-groups": "identity", "remote-roles": "identity",
	"x-request-id": "identity", "x-gatehouse-assertion": "identity",

	"connection": "hop-by-hop", "proxy-connection": "hop-by-hop", "keep-alive": "hop-by-hop",
	"te": "hop-by-hop", "trailer": "hop-by-hop", "transfer-encoding": "hop-by-hop",
	"upgrade": "hop-by-hop", "proxy-authenticate": "hop-by-hop", "proxy-authorization": "hop-by-hop",
	"http2-settings": "hop-by-hop",

	"content-length": "framing", "host": "framing", "expect": "framing",

	"cookie": "credential", "authorization": "credential",

	"forwarded": "forwarding", "via": "forwarding",
}

// checkHeaderName returns the canonical form of a name that a policy may set.
func checkHeaderName(name string) (string, error) {
	if !token(name) {
		return "", fmt.Errorf("%q is not a header name", name)
	}
	plain := strings.Map(func(r rune) rune {
		if r == '_' || r == '.' {
			return '-'
		}
		return r
	}, strings.ToLower(name))
	if kind, no := reserved[plain]; no {
		return "", fmt.Errorf("header %s is not for a policy to set (%s header)", name, kind)
	}
	if strings.HasPrefix(plain, "x-forwarded-") {
		return "", fmt.Errorf("header %s is not for a policy to set (forwarding header)", name)
	}
	return http.CanonicalHeaderKey(name), nil
}

// token reports whether s is a token of RFC 9110 section 5.6.2.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// headerValue reports whether s may be a field value (RFC 9110 section 5.5):
// above all, no CR, LF or NUL, which would begin another header.
func headerValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// headerNames finds every name that the headers rule of a package can set. All
// of them must be written out in the policy: the gateway strips them from what
// clients send, and cannot strip a name that only a request reveals.
func (c *compiled) headerNames(pkg ast.Ref) ([]string, error) {
	var names []string
	for _, rule := range c.rulesOf(pkg, "headers") {
		found, err := ruleHeaders(rule, len(pkg)+1)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func ruleHeaders(rule *ast.Rule, depth int) ([]string, error) {
	var keys []*ast.Term
	if ref := rule.Ref(); len(ref) > depth { // headers["X-Name"] := …
		keys = append(keys, ref[depth])
	} else if keys = literalKeys(rule); keys == nil {
		return nil, at(rule, errNotConstant)
	}
	var names []string
	for _, key := range keys {
		name, ok := key.Value.(ast.String)
		if !ok {
			return nil, at(rule, errNotConstant)
		}
		canonical, err := checkHeaderName(string(name))
		if err != nil {
			return nil, at(rule, err)
		}
		names = append(names, canonical)
	}
	return names, nil
}

var errNotConstant = fmt.Errorf(`the names in headers must be written out, as in headers["X-Tenant"] := input.identity.claims.tenant: ` +
	"the gateway removes them from what clients send, and must know them beforehand")

// literalKeys returns the keys of the object that a rule yields when it is
// written as an object, and nil when it is anything else. The compiler may have
// moved the object into the body, bound to a variable of its own.
func literalKeys(rule *ast.Rule) []*ast.Term {
	if rule.Head.Value == nil {
		return nil
	}
	switch v := rule.Head.Value.Value.(type) {
	case ast.Object:
		return notNil(v.Keys())
	case ast.Var:
		for _, expr := range rule.Body {
			if expr.Negated || !expr.IsEquality() {
				continue
			}
			for i, j := range []int{1, 0} {
				obj, ok := expr.Operand(j).Value.(ast.Object)
				if ok && expr.Operand(i).Value.Compare(v) == 0 {
					return notNil(obj.Keys())
				}
			}
		}
	}
	return nil
}

func notNil(keys []*ast.Term) []*ast.Term {
	if keys == nil {
		return []*ast.Term{}
	}
	return keys
}
