package jwt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jws"
)

// Issuer is one issuer whose tokens count. The zero value is refused by New.
type Issuer struct {
	// Name tells it from others in logs and is the Provider of its identities.
	Name string
	// Issuer is what iss must be, to the letter.
	Issuer string
	// Audiences are the names by which a token means us: one must be in its aud.
	// At least one is required (RFC 8725 section 3.9).
	Audiences []string
	// Algorithms are the signatures that count. Default: RS256, ES256, EdDSA and
	// PS256; with a Secret HS256. RS384, RS512, PS384, PS512, ES384, ES512, and
	// HS384 and HS512, are possible.
	Algorithms []string
	// Types are the values of typ that count, with or without "application/" and
	// in any case. Default: at+jwt, which only access tokens have (RFC 9068
	// section 4). "JWT" is for issuers whose access tokens do not say what they
	// are; it also counts tokens without typ, and refuses those that look like ID,
	// refresh or logout tokens.
	Types []string
	// Claims are the paths of the claims that become fields of an identity:
	// username, email, email_verified, name, roles, groups, scopes. A path is the
	// name of a claim, or names with dots between them. Default: the field's own
	// name, for scopes "scope". A username has no default: no registered claim is
	// unique and stays the same (OpenID Connect Core section 5.7).
	Claims map[string]string
	// Leeway is how far the issuer's clock may be from ours. Default 30 seconds,
	// at most 60.
	Leeway time.Duration
	// Keys are the issuer's public keys. Nil when there is a Secret, or when all
	// of its tokens are opaque.
	Keys *Source
	// Secret is the key of HMACs, at least as long as the hash (RFC 7518 section
	// 3.2). Whoever knows it can make tokens.
	Secret []byte
	// Introspection asks the issuer about opaque tokens. An opaque token does not
	// say whose it is, so only one issuer may have it.
	Introspection *Introspector
}

const (
	defaultLeeway = 30 * time.Second
	maxLeeway     = time.Minute

	// accessType and plainType are typ values as mediaType makes them.
	accessType = "at+jwt"
	plainType  = "jwt"
)

// otherTypes are of tokens that are no access tokens, or no bearer tokens.
var otherTypes = []string{"logout+jwt", "secevent+jwt", "dpop+jwt", "token-introspection+jwt", "oauth-authz-req+jwt", "kb+jwt"}

// issuer is an Issuer, checked and made ready.
type issuer struct {
	name      string
	iss       string
	audiences []string
	verifiers map[string]jws.Verifier
	types     []string
	fields    fields
	leeway    time.Duration
	keys      *Source
	secret    []byte
}

func newIssuer(o *Issuer) (*issuer, error) {
	i := &issuer{
		name: o.Name, iss: o.Issuer, audiences: slices.Clone(o.Audiences), leeway: o.Leeway,
		keys: o.Keys, secret: bytes.Clone(o.Secret),
	}
	switch {
	case o.Name == "":
		return nil, errors.New("it has no name")
	case o.Issuer == "":
		return nil, errors.New("the issuer is missing")
	case len(o.Audiences) == 0 || slices.Contains(o.Audiences, ""):
		return nil, errors.New("the audience is missing")
	case o.Keys == nil && o.Secret == nil && o.Introspection == nil:
		return nil, errors.New("it has neither keys nor a secret nor introspection")
	case o.Keys != nil && o.Secret != nil:
		return nil, errors.New("it has both keys and a secret")
	case o.Keys != nil && o.Keys.issuer != o.Issuer:
		return nil, errors.New("its keys are of another issuer")
	case bytes.Contains(o.Secret, []byte("-----BEGIN ")):
		return nil, errors.New("its secret is a key or certificate in PEM form, which others may know")
	case o.Leeway < 0 || o.Leeway > maxLeeway:
		return nil, fmt.Errorf("the leeway is not from 0 to %v", maxLeeway)
	case o.Leeway == 0:
		i.leeway = defaultLeeway
	}
	if err := i.algorithms(o.Algorithms); err != nil {
		return nil, err
	}
	if err := i.setTypes(o.Types); err != nil {
		return nil, err
	}
	var err error
	i.fields, err = newFields(o.Claims)
	return i, err
}

func (i *issuer) algorithms(names []string) (err error) {
	switch {
	case len(names) > 0:
	case i.secret != nil:
		names = []string{"HS256"}
	default:
		names = []string{"RS256", "ES256", "EdDSA", "PS256"}
	}
	i.verifiers, err = verifiers(names, i.secret)
	return err
}

func (i *issuer) setTypes(names []string) error {
	if len(names) == 0 {
		names = []string{accessType}
	}
	for _, name := range names {
		t := mediaType(name)
		if t == "" || slices.Contains(otherTypes, t) || strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("type %.40q is not of access tokens", name)
		}
		i.types = append(i.types, t)
	}
	return nil
}
