package oidc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The fields of a person that a claim may fill.
const (
	fieldUsername = "username"
	fieldEmail    = "email"
	fieldVerified = "email_verified"
	fieldName     = "name"
	fieldRoles    = "roles"
	fieldGroups   = "groups"
)

// usualClaims are the claims that fill them, unless preset or options say
// otherwise (OpenID Connect Core section 5.1).
var usualClaims = map[string]string{
	fieldUsername: "preferred_username", fieldEmail: "email", fieldVerified: "email_verified", fieldName: "name",
	fieldRoles: "roles", fieldGroups: "groups",
}

// path is where a claim is: its whole text as a name, or else as names. The zero
// value is nowhere.
type path struct {
	whole string
	names []string
}

func newPath(s string) path { return path{whole: s, names: strings.Split(s, ".")} }

type fields map[string]path

// newFields lays what the operator says over the preset, and that over what is
// usual. A claim of "" in a preset unmaps a field.
func newFields(preset, said map[string]string) (fields, error) {
	f := fields{}
	for _, claims := range []map[string]string{usualClaims, preset, said} {
		for _, name := range slices.Sorted(maps.Keys(claims)) {
			if _, known := usualClaims[name]; !known {
				return nil, fmt.Errorf("a person has no field %.40q that a claim could fill", name)
			}
			f[name] = newPath(claims[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		if said[name] == "" {
			return nil, fmt.Errorf("the claim for %s is missing", name)
		}
	}
	return f, nil
}

func (f fields) mapped(name string) bool { return f[name].whole != "" }

// in finds the claim. The whole path as a name comes first, since names that are
// URLs have dots. What is null is not there.
func (p path) in(claims map[string]any) (value any, there bool) {
	if p.whole == "" {
		return nil, false
	}
	if v, there := claims[p.whole]; there {
		return v, v != nil
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
	return value, value != nil
}
