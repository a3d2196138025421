package certificate

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// connection is a chain as TLS has parsed it for one connection, or for several.
type connection struct {
	chain []*x509.Certificate
	known *known
}

// Identify returns who a chain stands for that TLS has verified: the client's
// certificate first, the trusted root last. The identity is shared, and the same
// pointer until the certificate's binding or its owner changes.
//
// The error is an *identity.Refusal for a certificate that stands for nobody now:
// outside the time in which all of the chain is valid, revoked (it or an authority
// of the chain), without exactly one usable name, with contents beyond what is
// taken, or of an owner who is gone or disabled. Any other error means that it
// could not be found out.
func (r *Registry) Identify(ctx context.Context, chain []*x509.Certificate) (*identity.Identity, error) {
	k, err := r.find(chain)
	if err != nil {
		return nil, err
	}
	now := r.clock()
	if now.Before(k.from) || now.After(k.until) {
		return nil, k.refuse("it, or an authority of it, is not valid now, but from " +
			k.from.UTC().Format(time.RFC3339) + " to " + k.until.UTC().Format(time.RFC3339))
	}
	switch i, err := r.revokedAt(ctx, k.revoked); {
	case err != nil:
		return nil, err
	case i == 0:
		return nil, k.refuse("it is revoked")
	case i > 0:
		return nil, k.refuse("the authority " + k.fingerprints[i] + " of its chain is revoked")
	}
	names := []string{k.byPrint, k.byName}
	if k.nameless != "" {
		names = names[:1]
	}
	b, err := r.binding(ctx, names...)
	switch {
	case err != nil:
		return nil, err
	case b == nil && k.nameless != "":
		return nil, k.refuse(k.nameless)
	case b == nil:
		return k.unbound, nil
	}
	return r.owned(ctx, k, b)
}

// find returns what a chain says, from memory when it can.
func (r *Registry) find(chain []*x509.Certificate) (*known, error) {
	refuse := func(reason string) (*known, error) { return nil, &identity.Refusal{Reason: reason} }
	switch {
	case len(chain) == 0:
		return refuse("there is no verified chain of certificates")
	case len(chain) > maxChain:
		return refuse("its chain is longer than 10 certificates")
	}
	if c, ok := r.conns.Get(chain[0]); ok && slices.Equal(c.chain, chain) {
		return c.known, nil
	}
	prints := make([]string, len(chain))
	for i, c := range chain {
		if c == nil || len(c.Raw) == 0 {
			return refuse("its chain holds an empty certificate")
		}
		prints[i] = Fingerprint(c)
	}
	of := strings.Join(prints, " ")
	k, ok := r.chains.Get(of)
	if !ok {
		var refused *identity.Refusal
		if k, refused = r.learn(chain, prints); refused != nil {
			refused.Reason += " (certificate " + prints[0] + ")"
			return nil, refused
		}
		if before, there, _ := r.chains.PeekOrAdd(of, k); there { // of several at once, one
			k = before
		} else {
			r.log.Debug("a client certificate that is not in memory was presented",
				"certificate", prints[0], "name", k.unbound.Subject, "issuer", k.unbound.Issuer)
		}
	}
	r.conns.Add(chain[0], &connection{chain: slices.Clone(chain), known: k})
	return k, nil
}

// revokedAt returns the place in a chain of the first certificate that is revoked,
// or -1. keys are those of the records that would revoke one; such a record
// revokes also when it cannot be read.
func (r *Registry) revokedAt(ctx context.Context, keys []string) (int, error) {
	all, err := r.revoked.All(ctx)
	if err != nil {
		return 0, fmt.Errorf("looking up revoked certificates: %w", err)
	}
	if len(all) == 0 {
		return -1, nil
	}
	return slices.IndexFunc(keys, func(key string) bool { return all[key] != nil }), nil
}

// binding returns to whom a certificate is bound, by its fingerprint first, or
// nil when it is bound to nobody.
func (r *Registry) binding(ctx context.Context, keys ...string) (*Binding, error) {
	all, err := r.bindings.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking up the binding of a certificate: %w", err)
	}
	for _, key := range keys {
		if b := all[key]; b != nil {
			return &b.Binding, b.damage
		}
	}
	return nil, nil //nolint:nilnil // unexported; nil is nobody
}

// owned returns the owner of a bound certificate.
func (r *Registry) owned(ctx context.Context, k *known, b *Binding) (*identity.Identity, error) {
	a, err := r.owner(ctx, b)
	if err != nil {
		var refused *identity.Refusal
		if errors.As(err, &refused) {
			refused.Reason += " (certificate " + k.fingerprints[0] + ")"
		}
		return nil, err
	}
	if last := k.built.Load(); last != nil && last.account == a {
		return last.identity, nil
	}
	who := *k.unbound
	who.ID, who.Username, who.Name = a.ID, a.Username, a.Name
	who.Email, who.EmailVerified = a.Email, a.EmailVerified
	who.Roles, who.Groups, who.Scopes = a.Roles, a.Groups, a.Scopes
	k.built.Store(&built{account: a, identity: &who})
	return &who, nil
}

// owner returns the account that a certificate is bound to. Refused, it is never
// taken for an unbound one: whoever shuts a user out has shut them out.
func (r *Registry) owner(ctx context.Context, b *Binding) (*identity.Account, error) {
	a, found, err := r.accounts.Account(ctx, b.Owner)
	refuse := func(reason string) (*identity.Account, error) {
		return nil, &identity.Refusal{Reason: reason, Who: b.Owner}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("looking up the owner of a certificate: %w", err)
	case !found || a == nil || a.Username != b.Owner:
		return refuse("its owner is gone")
	case a.ID != b.OwnerID:
		return refuse("its owner is gone, and another has the name now")
	case a.Disabled:
		return refuse("its owner is disabled")
	}
	return a, nil
}

// Alive reports whether the certificate of an identity that Identify returned
// would still be honoured for the same owner, or still as bound to nobody. It is
// for connections that outlive their request (WebSocket), and looks at the time of
// the certificate itself, not at that of its authorities. It is false for
// identities that did not come from a certificate.
func (r *Registry) Alive(ctx context.Context, id *identity.Identity) (bool, error) {
	if !id.Authenticated() || id.Method != identity.Certificate || id.Credential == "" {
		return false, nil
	}
	now := r.clock()
	from, until := claimedTime(id, "not_before"), claimedTime(id, "not_after")
	if now.Before(from) || now.After(until) {
		return false, nil
	}
	keys := []string{key(revocationKind, id.Credential)}
	authorities, _ := id.Claims["ca_fingerprints"].([]any)
	for _, p := range authorities {
		text, _ := p.(string)
		keys = append(keys, key(revocationKind, text))
	}
	if i, err := r.revokedAt(ctx, keys); err != nil || i >= 0 {
		return false, err
	}
	b, err := r.binding(ctx, key(bindingKind, id.Credential), key(bindingKind, id.Subject))
	switch {
	case err != nil:
		return false, err
	case b == nil:
		return id.ID == "", nil
	case b.OwnerID != id.ID:
		return false, nil
	}
	_, err = r.owner(ctx, b)
	if errors.Is(err, identity.ErrUnknown) {
		return false, nil
	}
	return err == nil, err
}

// claimedTime is the zero time, which is over, for a claim that is none.
func claimedTime(id *identity.Identity, claim string) time.Time {
	n, _ := id.Claims[claim].(json.Number)
	sec, err := n.Int64()
	if err != nil {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}
