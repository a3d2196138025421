package policy

import (
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// identitySlots is how many identities keep their built form. Each slot holds
// one: a few kilobytes at most, more only when its claims are larger.
const identitySlots = 1024

// identityTerms remembers the built form of identities, which are shared between
// requests and do not change. An identity that falls on a taken slot takes it.
type identityTerms struct {
	slots []atomic.Pointer[identityTerm]
}

type identityTerm struct {
	of     *identity.Identity // keeps it alive, so that the pointer stays its own
	fields object             // without auth_age
	whole  *ast.Term          // of fields
	aged   atomic.Pointer[agedTerm]
}

// agedTerm is the whole identity in one second.
type agedTerm struct {
	age  int64
	term *ast.Term
}

func newIdentityTerms(slots int) *identityTerms {
	return &identityTerms{slots: make([]atomic.Pointer[identityTerm], slots)}
}

var nobodyTerm = ast.NewTerm(ast.NewObject(
	[2]*ast.Term{keyAuthenticated, ast.InternedTerm(false)},
	[2]*ast.Term{keyMethod, ast.StringTerm(string(identity.None))},
))

// get returns the identity part of the input at the time now.
func (c *identityTerms) get(id *identity.Identity, now time.Time, withAge bool) (*ast.Term, error) {
	if !id.Authenticated() {
		return nobodyTerm, nil
	}
	t, err := c.lookup(id)
	if err != nil {
		return nil, err
	}
	if !withAge || id.AuthTime.IsZero() {
		return t.whole, nil
	}
	// A login in the future (two clocks) is fresh, never of negative age.
	age := max(0, now.Unix()-id.AuthTime.Unix())
	if a := t.aged.Load(); a != nil && a.age == age {
		return a.term, nil
	}
	fields := append(t.fields[:len(t.fields):len(t.fields)], [2]*ast.Term{keyAuthAge, number(age)})
	term := fields.done()
	t.aged.Store(&agedTerm{age: age, term: term})
	return term, nil
}

func (c *identityTerms) lookup(id *identity.Identity) (*identityTerm, error) {
	if len(c.slots) == 0 {
		return buildIdentity(id)
	}
	// The low bits of an address are the same for all objects of one size.
	address := uint64(uintptr(unsafe.Pointer(id))) //nolint:gosec // a hash of the address, never turned back into a pointer
	slot := &c.slots[(address>>4)*0x9e3779b97f4a7c15>>32%uint64(len(c.slots))]
	if t := slot.Load(); t != nil && t.of == id {
		return t, nil
	}
	t, err := buildIdentity(id)
	if err != nil {
		return nil, err
	}
	slot.Store(t)
	return t, nil
}

func buildIdentity(id *identity.Identity) (*identityTerm, error) {
	o := make(object, 0, 18)
	o.term(keyAuthenticated, ast.InternedTerm(true))
	o.text(keyMethod, string(id.Method))
	o.text(keyProvider, id.Provider)
	o.text(keyID, id.ID)
	o.text(keyIssuer, id.Issuer)
	o.text(keySubject, id.Subject)
	o.text(keyUsername, id.Username)
	if id.Email != "" {
		o.text(keyEmail, id.Email)
		o.term(keyEmailVerified, ast.InternedTerm(id.EmailVerified))
	}
	o.text(keyName, id.Name)
	o.texts(keyRoles, id.Roles)
	o.texts(keyGroups, id.Groups)
	o.texts(keyScopes, id.Scopes)
	o.texts(keyAMR, id.AMR)
	o.text(keySessionID, id.SessionID)
	if !id.AuthTime.IsZero() {
		o.term(keyAuthTime, number(id.AuthTime.Unix()))
	}
	if len(id.Claims) > 0 {
		c, err := claims(id.Claims)
		if err != nil {
			return nil, err
		}
		o.term(keyClaims, c)
	}
	return &identityTerm{of: id, fields: o, whole: o.done()}, nil
}
