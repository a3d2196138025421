package jwt

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// fieldNames are the fields of an identity that a claim may fill, and the claim
// that does by default.
var fieldNames = map[string]string{
	"username": "", "email": "email", "email_verified": "email_verified", "name": "name",
	"roles": "roles", "groups": "groups", "scopes": "scope",
}

// path is where a claim is: its whole text as a name, or else as names.
type path struct {
	whole string
	names []string
}

// fields are the paths of the claims, by field.
type fields map[string]path

func newFields(claims map[string]string) (fields, error) {
	f := fields{}
	for name, claim := range fieldNames {
		f[name] = newPath(claim)
	}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if _, known := fieldNames[name]; !known {
			return nil, fmt.Errorf("an identity has no field %.40q that a claim could fill", name)
		}
		if claims[name] == "" {
			return nil, fmt.Errorf("the claim for %s is missing", name)
		}
		f[name] = newPath(claims[name])
	}
	return f, nil
}

func newPath(s string) path { return path{whole: s, names: strings.Split(s, ".")} }

// in finds the claim. The whole path as a name comes first, since names that are
// URLs have dots.
func (p path) in(claims map[string]any) (value any, there bool) {
	if p.whole == "" {
		return nil, false
	}
	if v, there := claims[p.whole]; there {
		return v, true
	}
	if len(p.names) == 1 {
		return nil, false
	}
	value = claims
	for _, name := range p.names {
		m, _ := value.(map[string]any)
		if value, there = m[name]; !there {
			return nil, false
		}
	}
	return value, true
}
