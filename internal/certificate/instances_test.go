package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store/redis"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// TestUsersAndCertificates: with real records, changes are in force on the very
// next request.
func TestUsersAndCertificates(t *testing.T) {
	h := newHouse(t, SANURI)
	users := user.NewDirectory(h.store, user.Options{})
	t.Cleanup(users.Close)
	h.Registry = NewRegistry(h.store, Options{Accounts: users, Username: SANURI, Clock: h.now})
	t.Cleanup(h.Registry.Close)
	leaf := h.client(nil)
	for _, service := range []bool{false, true} {
		t.Run(fmt.Sprintf("service %v", service), func(t *testing.T) {
			n := user.New{Username: "Web", Service: service, Roles: []string{"reader"}, Scopes: []string{"reports:read"}}
			add := func() *user.User {
				t.Helper()
				u, err := users.Add(t.Context(), n)
				if err != nil {
					t.Fatal(err)
				}
				return u
			}
			disabled := func(yes bool) {
				t.Helper()
				if _, err := users.Update(t.Context(), "web", func(u *user.User) error { u.Disabled = yes; return nil }); err != nil {
					t.Fatal(err)
				}
			}
			u := add()
			h.bind("WEB", "spiffe://example.com/alice")
			id := h.in(leaf)
			if id.ID != u.ID || id.Username != "web" || id.Roles[0] != "reader" || id.Scopes[0] != "reports:read" || h.in(leaf) != id {
				t.Errorf("%+v", id)
			}
			disabled(true)
			h.refused("disabled", "web", h.chain(leaf)...)
			h.alive(id, false)
			disabled(false)
			h.in(leaf)
			h.alive(id, true)
			if err := users.Delete(t.Context(), "web"); err != nil {
				t.Fatal(err)
			}
			h.refused("gone", "web", h.chain(leaf)...)
			add()
			h.refused("another has the name", "web", h.chain(leaf)...)
			h.alive(id, false)
			if err := h.Unbind(t.Context(), "web", "spiffe://example.com/alice"); err != nil {
				t.Error(err)
			}
			if id := h.in(leaf); id.ID != "" {
				t.Errorf("%+v", id)
			}
			if err := users.Delete(t.Context(), "web"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestTwoInstances: what one instance revokes and binds, another on the same
// Redis knows within a second.
func TestTwoInstances(t *testing.T) {
	h := newHouse(t, SANEmail)
	server := storetest.Redis(t)
	open := func() *Registry {
		s, err := redis.Open(server.URL(), redis.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := NewRegistry(s, Options{Accounts: h.accounts, Username: SANEmail, Clock: h.now})
		t.Cleanup(func() { r.Close(); _ = s.Close() })
		return r
	}
	here, there := open(), open()
	leaf := h.client(nil)
	// within waits for what must come within a second on a machine that is not
	// this busy; how long it took is the log's.
	within := func(what string, holds func(*identity.Identity, error) bool) {
		t.Helper()
		start := time.Now()
		for {
			id, err := there.Identify(context.Background(), h.chain(leaf))
			if holds(id, err) {
				t.Logf("%s after %v", what, time.Since(start).Round(time.Millisecond))
				return
			}
			if time.Since(start) > 10*time.Second {
				t.Fatalf("%s: %+v, %v", what, id, err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	in := func(id string) func(*identity.Identity, error) bool {
		return func(who *identity.Identity, err error) bool { return err == nil && who.ID == id }
	}
	within("in", in(""))
	if err := here.Bind(t.Context(), "alice", "alice@example.com"); err != nil {
		t.Fatal(err)
	}
	within("bound", in("usr_1"))
	if err := there.Bind(t.Context(), "job", "alice@example.com"); !errors.Is(err, ErrTaken) {
		t.Error(err)
	}
	if err := here.Revoke(t.Context(), Fingerprint(leaf), ""); err != nil {
		t.Fatal(err)
	}
	within("revoked", func(_ *identity.Identity, err error) bool { return errors.Is(err, identity.ErrUnknown) })
	server.Stop()
	within("no answer without the store", func(id *identity.Identity, err error) bool {
		return id == nil && err != nil && !errors.Is(err, identity.ErrUnknown)
	})
}

// TestTLS: over real connections, also one that is resumed from a ticket.
func TestTLS(t *testing.T) {
	h := newHouse(t, SANEmail)
	leaf := h.client(nil)
	h.bind("alice", Fingerprint(leaf))
	type seen struct {
		leaf    *x509.Certificate
		id      *identity.Identity
		err     error
		resumed bool
	}
	got := make(chan seen, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := seen{leaf: r.TLS.PeerCertificates[0], resumed: r.TLS.DidResume}
		s.id, s.err = h.Identify(r.Context(), r.TLS.VerifiedChains[0])
		got <- s
	}))
	roots := x509.NewCertPool()
	roots.AddCert(h.root)
	own := h.client(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{own.Raw, h.between.Raw}, PrivateKey: h.key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: roots, Time: h.now,
	}
	server.StartTLS()
	defer server.Close()
	client := &http.Transport{TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, h.between.Raw}, PrivateKey: h.key}},
		RootCAs:      roots, ServerName: "laptop.example.com", Time: h.now, ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}}
	get := func() seen {
		t.Helper()
		res, err := (&http.Client{Transport: client}).Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return <-got
	}
	first := get()
	if first.err != nil || first.id.ID != "usr_1" || first.id.Credential != Fingerprint(leaf) {
		t.Fatalf("%+v", first)
	}
	if again := get(); again.leaf != first.leaf || again.id != first.id {
		t.Error("the certificate of one connection is more than one pointer")
	}
	client.CloseIdleConnections()
	resumed := get()
	if !resumed.resumed || resumed.id != first.id {
		t.Errorf("%+v", resumed)
	}
	h.revoke(Fingerprint(leaf))
	if s := get(); s.id != nil || !errors.Is(s.err, identity.ErrUnknown) {
		t.Errorf("%+v", s)
	}
}

func BenchmarkIdentify(b *testing.B) {
	h := newHouse(b, SANEmail)
	leaf := h.client(nil)
	for i := range 100 {
		if err := h.Revoke(b.Context(), fmt.Sprintf("%064x", i), ""); err != nil {
			b.Fatal(err)
		}
	}
	run := func(name string, leaf func() *x509.Certificate) {
		b.Run(name, func(b *testing.B) {
			chain := h.chain(nil)
			b.ReportAllocs()
			for b.Loop() {
				chain[0] = leaf()
				if _, err := h.Identify(b.Context(), chain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	same := func() *x509.Certificate { return leaf }
	run("known connection, unbound", same)
	h.bind("alice", "alice@example.com")
	run("known connection, bound", same)
	run("new connection", func() *x509.Certificate { c := *leaf; return &c })
	run("first seen", func() *x509.Certificate { h.chains.Purge(); h.conns.Purge(); return leaf })
	b.Run("SHA-256 of the certificate", func(b *testing.B) {
		for b.Loop() {
			Fingerprint(leaf)
		}
	})
}
