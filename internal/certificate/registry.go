package certificate

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/near"
)

const (
	// remembered is how many chains are kept worked out, each a few kilobytes.
	remembered = 4096
	// connected is how many connections are known by the certificate that TLS has
	// parsed for them, which is kept as long; one beyond these costs a hash of its
	// certificates a request.
	connected = 1024
)

// Kinds of the records.
const (
	bindingKind    = "certificate_binding"
	revocationKind = "certificate_revoked"
)

// Accounts tells what the record of a certificate's owner, a user or a service,
// says now. found is false when there is no such owner; an error means that it
// could not be found out, and refuses. It is asked on every request, and should
// return the same pointer while nothing changed: an Identity is kept for as long
// as it does.
type Accounts interface {
	Account(ctx context.Context, username string) (a *identity.Account, found bool, err error)
}

// Options of a Registry.
type Options struct {
	Accounts Accounts         // required
	Username Source           // required: without it no certificate names anybody
	Clock    func() time.Time // default time.Now
	Logger   *slog.Logger     // default: discard
}

// Registry knows whose certificates are whose, and which are revoked. Its methods
// may be called at the same time, also over one store by several registries and
// instances.
type Registry struct {
	accounts Accounts
	source   Source
	clock    func() time.Time
	log      *slog.Logger
	store    store.Store
	bindings *near.List[bound]
	revoked  *near.List[revoked]
	// A connection's certificate is one pointer for all its requests. The cache
	// holds on to it, so that its address is not used again for another.
	conns  *lru.Cache[*x509.Certificate, *connection]
	chains *lru.Cache[string, *known]
}

// NewRegistry makes a registry over s, which stays the caller's to close.
func NewRegistry(s store.Store, o Options) *Registry {
	r := &Registry{
		accounts: o.Accounts, source: o.Username, clock: o.Clock, log: o.Logger, store: s,
		bindings: near.NewList(s, bindingKind, decodeBinding),
		revoked:  near.NewList(s, revocationKind, decodeRevocation),
	}
	r.conns, _ = lru.New[*x509.Certificate, *connection](connected) // it fails for sizes below 1 only
	r.chains, _ = lru.New[string, *known](remembered)
	if r.clock == nil {
		r.clock = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// Close ends listening to the store. Identify still works afterwards, more
// slowly, for requests that outlive a reload.
func (r *Registry) Close() {
	r.bindings.Close()
	r.revoked.Close()
}
