package certificate

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
)

var today = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// authority is a root with one intermediate that signs clients.
type authority struct {
	t       testing.TB
	key     crypto.Signer // of all three, since nobody looks at it here
	root    *x509.Certificate
	between *x509.Certificate
	serial  int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, serial: 0x1000}
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}}, IsCA: true, BasicConstraintsValid: true,
			NotBefore: today.AddDate(-5, 0, 0), NotAfter: today.AddDate(5, 0, 0), KeyUsage: x509.KeyUsageCertSign,
		}
	}
	a.root = a.sign(ca("Root"), nil)
	a.between = a.sign(ca("Issuing CA"), a.root)
	return a
}

func (a *authority) sign(c, parent *x509.Certificate) *x509.Certificate {
	a.t.Helper()
	if parent == nil {
		parent = c
	}
	a.serial++
	if c.SerialNumber == nil {
		c.SerialNumber = big.NewInt(a.serial)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, a.key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.parse(der)
}

// parse gives a certificate as another connection would: a pointer of its own.
func (a *authority) parse(der []byte) *x509.Certificate {
	a.t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// client signs a client certificate that names alice in each place, after change
// has had its way.
func (a *authority) client(change func(*x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "alice", Organization: []string{"Example"}}, EmailAddresses: []string{"alice@example.com"},
		URIs: []*url.URL{link(a.t, "spiffe://example.com/alice")}, DNSNames: []string{"laptop.example.com"},
		NotBefore: today.Add(-time.Hour), NotAfter: today.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(c)
	}
	return a.sign(c, a.between)
}

func (a *authority) chain(leaf *x509.Certificate) []*x509.Certificate {
	return []*x509.Certificate{leaf, a.between, a.root}
}

func link(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// house is a store, a clock, users, an authority and a registry over them.
type house struct {
	*Registry
	*authority
	t        testing.TB
	store    *watched
	accounts *accounts
	passed   atomic.Int64 // of the clock, since today
}

func newHouse(t testing.TB, source Source) *house {
	t.Helper()
	h := &house{t: t, authority: newAuthority(t), accounts: &accounts{of: map[string]*identity.Account{}}}
	file, err := bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	h.store = &watched{Store: file}
	h.accounts.set(identity.Account{
		ID: "usr_1", Username: "alice", Email: "alice@corp.example", Name: "Alice", Roles: []string{"clerk"},
		Groups: []string{"finance"}, Scopes: []string{"reports:read"}, Epoch: 1,
	})
	h.accounts.set(identity.Account{ID: "svc_1", Username: "job", Service: true, Roles: []string{"reader"}, Epoch: 1})
	h.Registry = h.another(source)
	return h
}

// another is one more registry over the same store: another site, or the next
// configuration.
func (h *house) another(source Source) *Registry {
	r := NewRegistry(h.store, Options{Accounts: h.accounts, Username: source, Clock: h.now})
	h.t.Cleanup(r.Close)
	return r
}

func (h *house) now() time.Time       { return today.Add(time.Duration(h.passed.Load())) }
func (h *house) pass(d time.Duration) { h.passed.Add(int64(d)) }

// in returns who a certificate stands for.
func (h *house) in(leaf *x509.Certificate) *identity.Identity {
	h.t.Helper()
	id, err := h.Identify(context.Background(), h.chain(leaf))
	if err != nil || !id.Authenticated() || id.Method != identity.Certificate {
		h.t.Fatalf("refused: %+v, %v", id, err)
	}
	return id
}

// refused says that a chain is refused for a reason that holds words, and which
// names the owner or the certificate's name.
func (h *house) refused(words, who string, chain ...*x509.Certificate) {
	h.t.Helper()
	id, err := h.Identify(context.Background(), chain)
	var r *identity.Refusal
	if id != nil || !errors.As(err, &r) || !errors.Is(err, identity.ErrUnknown) {
		h.t.Errorf("not refused: %+v, %v", id, err)
		return
	}
	if !strings.Contains(r.Reason, words) || r.Who != who {
		h.t.Errorf("refused because %q, of %q; want %q, of %q", r.Reason, r.Who, words, who)
	}
	if wrongRunes(r.Reason) != "" || len(r.Reason) > 400 {
		h.t.Errorf("an unclean reason: %q", r.Reason)
	}
}

func (h *house) bind(owner, ref string) {
	h.t.Helper()
	if err := h.Bind(context.Background(), owner, ref); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) revoke(fingerprint string) {
	h.t.Helper()
	if err := h.Revoke(context.Background(), fingerprint, "stolen"); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) alive(id *identity.Identity, want bool) {
	h.t.Helper()
	if got, err := h.Alive(context.Background(), id); got != want || err != nil {
		h.t.Errorf("Alive = %v, %v; want %v", got, err, want)
	}
}

// accounts answers as a user.Directory does: the same pointer until a change.
type accounts struct {
	mu  sync.Mutex
	of  map[string]*identity.Account
	err error
}

func (a *accounts) Account(_ context.Context, name string) (*identity.Account, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	got, found := a.of[strings.ToLower(name)]
	return got, found, a.err
}

func (a *accounts) set(u identity.Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of[u.Username] = &u
}

func (a *accounts) change(name string, fn func(*identity.Account)) {
	u := *a.of[name]
	fn(&u)
	a.set(u)
}

func (a *accounts) remove(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, name)
}

// watched is a store whose reads are counted and which can be down.
type watched struct {
	store.Store
	reads atomic.Int64
	down  atomic.Bool
}

func (s *watched) fault() error {
	s.reads.Add(1)
	if s.down.Load() {
		return store.ErrUnavailable
	}
	return nil
}

func (s *watched) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := s.fault(); err != nil {
		return nil, false, err
	}
	return s.Store.Get(ctx, key)
}

func (s *watched) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if err := s.fault(); err != nil {
		return nil, err
	}
	return s.Store.Scan(ctx, prefix, after, limit)
}

func (s *watched) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if s.down.Load() {
		return store.ErrUnavailable
	}
	return s.Store.Put(ctx, key, value, ttl)
}

func (s *watched) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if s.down.Load() {
		return false, store.ErrUnavailable
	}
	return s.Store.Create(ctx, key, value, ttl)
}

func (s *watched) Delete(ctx context.Context, key string) (bool, error) {
	if s.down.Load() {
		return false, store.ErrUnavailable
	}
	return s.Store.Delete(ctx, key)
}
