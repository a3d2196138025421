package oidc

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Bounds of what a provider may tell about a person.
const (
	maxSubject = 255  // bytes (OpenID Connect Core section 2)
	maxText    = 1024 // bytes of a name or address
	maxEntry   = 512  // bytes of a role or group
	maxEntries = 2000
)

// person is what one document tells about somebody.
type person struct {
	username, email, name string
	verified              bool
	roles, groups         []string
	there                 map[string]bool // the fields that the document had
}

// read makes a person of claims. What is there and does not fit is an error: it
// is never guessed what a provider may have meant (an object is no role). An
// email_verified that is no boolean is false.
func (p *Provider) read(claims map[string]any) (*person, error) {
	who, err := p.person(claims)
	if err != nil {
		return nil, fmt.Errorf("what provider %s says of the person: %w", p.o.Name, err)
	}
	return who, nil
}

func (p *Provider) person(claims map[string]any) (*person, error) {
	who := &person{there: map[string]bool{}}
	for _, f := range []struct {
		name string
		to   *string
	}{{fieldUsername, &who.username}, {fieldEmail, &who.email}, {fieldName, &who.name}} {
		v, there := p.fields[f.name].in(claims)
		if !there {
			continue
		}
		s, ok := v.(string)
		if !ok || len(s) > maxText || !plain(s) {
			return nil, unfit(f.name)
		}
		*f.to, who.there[f.name] = s, true
	}
	if v, there := p.fields[fieldVerified].in(claims); there {
		verified, ok := v.(bool)
		if !ok {
			p.tellVerified()
		}
		who.verified, who.there[fieldVerified] = verified, true
	}
	for _, f := range []struct {
		name string
		to   *[]string
	}{{fieldRoles, &who.roles}, {fieldGroups, &who.groups}} {
		v, there := p.fields[f.name].in(claims)
		if !there {
			if p.elsewhere(f.name, claims) {
				return nil, denied("The sign-in service did not tell all of your " + f.name + ", because there are too many or they are kept elsewhere.")
			}
			continue
		}
		list, ok := texts(v)
		if !ok {
			return nil, unfit(f.name)
		}
		*f.to, who.there[f.name] = list, true
	}
	return who, nil
}

func unfit(field string) error { return invalid("its claim for " + field + " is of the wrong type") }

// tellVerified tells the operator, once.
func (p *Provider) tellVerified() {
	if !p.told.Swap(true) {
		p.log.Warn("the provider's email_verified is no boolean: addresses from it count as not verified", "provider", p.o.Name)
	}
}

// elsewhere reports whether the values of a field are only pointed at (OpenID
// Connect Core section 5.6.2). A person whose groups are not all known must not
// pass a policy that asks who is not in one.
func (p *Provider) elsewhere(field string, claims map[string]any) bool {
	at := p.fields[field]
	if at.whole == "" {
		return false
	}
	names, _ := claims["_claim_names"].(map[string]any)
	for _, name := range []string{at.whole, at.names[0]} {
		if _, there := names[name]; there {
			return true
		}
	}
	return p.preset.elsewhere != nil && p.preset.elsewhere(field, claims)
}

// lacks reports whether a document does not have all that somebody is to be
// known by.
func (p *Provider) lacks(who *person) bool {
	return slices.ContainsFunc(p.needed, func(field string) bool { return !who.there[field] })
}

// fill takes from other what who does not have. An address and whether it is
// verified are one thing: a flag never moves to another address.
func (who *person) fill(other *person) {
	switch {
	case !who.there[fieldEmail]:
		who.email, who.verified = other.email, other.verified
	case !who.there[fieldVerified] && who.email == other.email:
		who.verified = other.verified
	}
	if !who.there[fieldUsername] {
		who.username = other.username
	}
	if !who.there[fieldName] {
		who.name = other.name
	}
	if !who.there[fieldRoles] {
		who.roles = other.roles
	}
	if !who.there[fieldGroups] {
		who.groups = other.groups
	}
}

// texts reads an array of strings, or one string, which is one entry: the name
// of a group may have spaces. Empty entries are left out.
func texts(v any) ([]string, bool) {
	list, ok := v.([]any)
	if s, single := v.(string); single {
		list, ok = []any{s}, true
	}
	if !ok || len(list) > maxEntries {
		return nil, false
	}
	var out []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok || len(s) > maxEntry || !plain(s) {
			return nil, false
		}
		if s != "" {
			out = append(out, s)
		}
	}
	return out, true
}

// plain reports whether a text has no control characters: what names somebody
// ends up in headers and logs.
func plain(s string) bool { return !strings.ContainsFunc(s, unicode.IsControl) }
