package certificate

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func TestUnbound(t *testing.T) {
	for source, want := range map[Source]identity.Identity{
		SANEmail:  {Subject: "alice@example.com", Email: "alice@example.com", EmailVerified: true},
		SANURI:    {Subject: "spiffe://example.com/alice"},
		SubjectCN: {Subject: "alice"},
	} {
		t.Run(string(source), func(t *testing.T) {
			h := newHouse(t, source)
			leaf := h.client(nil)
			got := *h.in(leaf)
			want.Method, want.Provider, want.Issuer = identity.Certificate, "certificate", "CN=Issuing CA,O=Example"
			want.Credential = Fingerprint(leaf)
			got.Claims = nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%+v\nwant %+v", got, want)
			}
		})
	}
	t.Run("a registry without a source names nobody", func(t *testing.T) {
		h := newHouse(t, "")
		h.refused("looked for nowhere", "", h.chain(h.client(nil))...)
		var invalid *InvalidError
		if err := h.Bind(t.Context(), "alice", "alice"); !errors.As(err, &invalid) {
			t.Error(err)
		}
	})
}

func TestClaims(t *testing.T) {
	h := newHouse(t, SubjectCN)
	t.Run("all that a certificate says", func(t *testing.T) {
		leaf := h.client(func(c *x509.Certificate) {
			c.EmailAddresses = []string{"Alice@EXAMPLE.com", "a@example.org"}
			c.DNSNames = []string{"laptop.example.com"}
			c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1).To4(), net.ParseIP("2001:db8::1")}
		})
		want := map[string]any{
			"fingerprint": Fingerprint(leaf), "issuer": "CN=Issuing CA,O=Example", "subject": "CN=alice,O=Example",
			"serial": leaf.SerialNumber.Text(16), "not_before": json.Number("1795431600"), "not_after": json.Number("1795438800"),
			"san_dns": []any{"laptop.example.com"}, "san_email": []any{"Alice@EXAMPLE.com", "a@example.org"},
			"san_uri": []any{"spiffe://example.com/alice"}, "san_ip": []any{"192.0.2.1", "2001:db8::1"},
			"ca_fingerprints": []any{Fingerprint(h.between), Fingerprint(h.root)},
		}
		got := h.in(leaf).Claims
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v\nwant %v", got, want)
		}
		// They are what decoding JSON with numbers kept makes of them.
		raw, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		var again map[string]any
		if err := d.Decode(&again); err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%v %v", again, err)
		}
	})
	t.Run("what it does not say is absent", func(t *testing.T) {
		leaf := h.client(func(c *x509.Certificate) { c.EmailAddresses, c.URIs, c.DNSNames = nil, nil, nil })
		for claim := range h.in(leaf).Claims {
			if strings.HasPrefix(claim, "san_") {
				t.Error(claim)
			}
		}
	})
	t.Run("the whole subject, also what is written twice", func(t *testing.T) {
		h := newHouse(t, SANEmail)
		leaf := h.client(func(c *x509.Certificate) { c.RawSubject = subject(t, "mallory", "alice") })
		if got := h.in(leaf).Claims["subject"]; got != "CN=alice,CN=mallory" {
			t.Error(got)
		}
	})
}

func TestBound(t *testing.T) {
	h := newHouse(t, SANEmail)
	one, two := h.client(nil), h.client(nil)
	if before := h.in(one); before.ID != "" || len(before.Roles) != 0 {
		t.Fatalf("%+v", before)
	}
	t.Run("by name: all certificates with that name", func(t *testing.T) {
		h.bind("Alice", "alice@Example.COM")
		for _, leaf := range []*x509.Certificate{one, two} {
			id := h.in(leaf)
			if id.ID != "usr_1" || id.Username != "alice" || id.Email != "alice@corp.example" || id.EmailVerified || id.Name != "Alice" ||
				!slices.Equal(id.Roles, []string{"clerk"}) || !slices.Equal(id.Groups, []string{"finance"}) ||
				!slices.Equal(id.Scopes, []string{"reports:read"}) || id.Subject != "alice@example.com" ||
				id.Issuer != "CN=Issuing CA,O=Example" || id.Credential != Fingerprint(leaf) || id.Provider != Provider ||
				id.Claims["fingerprint"] != Fingerprint(leaf) {
				t.Errorf("%+v", id)
			}
		}
	})
	t.Run("by fingerprint, which goes before the name", func(t *testing.T) {
		h.bind("job", colons(Fingerprint(two)))
		if id := h.in(two); id.ID != "svc_1" || id.Username != "job" || id.Email != "" || !slices.Equal(id.Roles, []string{"reader"}) {
			t.Errorf("%+v", id)
		}
		if id := h.in(one); id.ID != "usr_1" {
			t.Errorf("%+v", id)
		}
	})
	t.Run("by fingerprint, without a name of its own", func(t *testing.T) {
		h := newHouse(t, SANURI)
		nameless := h.client(func(c *x509.Certificate) { c.URIs = nil })
		h.refused("no URI", "", h.chain(nameless)...)
		h.bind("job", Fingerprint(nameless))
		if id := h.in(nameless); id.ID != "svc_1" || id.Username != "job" || id.Subject != Fingerprint(nameless) || id.Email != "" {
			t.Errorf("%+v", id)
		}
		if alive, err := h.Alive(t.Context(), h.in(nameless)); err != nil || !alive {
			t.Errorf("%v %v", alive, err)
		}
		if err := h.Unbind(t.Context(), "job", Fingerprint(nameless)); err != nil {
			t.Fatal(err)
		}
		h.refused("no URI", "", h.chain(nameless)...)
	})
	t.Run("what is bound to whom", func(t *testing.T) {
		got, err := h.Bindings(t.Context(), "")
		if err != nil || len(got) != 2 || got[0].Ref != "alice@example.com" || got[0].Owner != "alice" || got[0].OwnerID != "usr_1" ||
			!got[0].Created.Equal(today) || got[1].Ref != Fingerprint(two) || got[1].Owner != "job" {
			t.Errorf("%+v %v", got, err)
		}
		if got, err := h.Bindings(t.Context(), "job"); err != nil || len(got) != 1 || got[0].Owner != "job" {
			t.Errorf("%+v %v", got, err)
		}
		if got, err := h.Bindings(t.Context(), "bob"); err != nil || got == nil || len(got) != 0 {
			t.Errorf("%+v %v", got, err)
		}
	})
	t.Run("a ref is one owner's; binding it to them again changes nothing", func(t *testing.T) {
		for _, ref := range []string{"alice@example.com", "alice@EXAMPLE.com"} {
			if err := h.Bind(t.Context(), "job", ref); !errors.Is(err, ErrTaken) {
				t.Error(err)
			}
			if err := h.Bind(t.Context(), "alice", ref); err != nil {
				t.Error(err)
			}
		}
		if err := h.Bind(t.Context(), "alice", strings.ToUpper(Fingerprint(two))); !errors.Is(err, ErrTaken) {
			t.Error(err)
		}
		if err := h.Bind(t.Context(), "nobody", "n@example.com"); !errors.Is(err, ErrNoOwner) {
			t.Error(err)
		}
	})
	t.Run("unbound by its owner only", func(t *testing.T) {
		for _, owner := range []string{"alice", "", "nobody"} {
			if err := h.Unbind(t.Context(), owner, Fingerprint(two)); !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", owner, err)
			}
		}
		if err := h.Unbind(t.Context(), "job", colons(Fingerprint(two))); err != nil {
			t.Fatal(err)
		}
		if err := h.Unbind(t.Context(), "job", Fingerprint(two)); !errors.Is(err, ErrNotFound) {
			t.Error("twice:", err)
		}
		if id := h.in(two); id.ID != "usr_1" {
			t.Errorf("%+v", id)
		}
	})
	t.Run("with its last binding a certificate stands for itself again", func(t *testing.T) {
		h.bind("alice", Fingerprint(one))
		h.bind("job", Fingerprint(two))
		for _, ref := range []string{Fingerprint(one), "alice@example.com"} {
			if err := h.Unbind(t.Context(), "alice", ref); err != nil {
				t.Error(err)
			}
		}
		if id := h.in(one); id.ID != "" || id.Username != "" || len(id.Roles)+len(id.Scopes)+len(id.Groups) != 0 {
			t.Errorf("%+v", id)
		}
		if id := h.in(two); id.ID != "svc_1" {
			t.Errorf("%+v", id)
		}
	})
	t.Run("of many who bind one certificate at once, one wins", func(t *testing.T) {
		var all sync.WaitGroup
		won := make(chan string, 20)
		for i := range 20 {
			name := fmt.Sprintf("u%02d", i)
			h.accounts.set(identity.Account{ID: "usr_" + name, Username: name, Epoch: 1})
			all.Go(func() {
				switch err := h.Bind(t.Context(), name, "race@example.com"); {
				case err == nil:
					won <- name
				case !errors.Is(err, ErrTaken):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("%d have it", len(won))
		}
	})
}

// colons writes a fingerprint as other tools do.
func colons(fingerprint string) string {
	digits := strings.ToUpper(strings.TrimPrefix(fingerprint, "sha256:"))
	var pairs []string
	for pair := range slices.Chunk([]byte(digits), 2) {
		pairs = append(pairs, string(pair))
	}
	return "SHA256:" + strings.Join(pairs, ":")
}

// TestTheOwner: what the owner's record says is in force on the very next
// request, and nobody who is shut out comes back as an unbound one.
func TestTheOwner(t *testing.T) {
	story := func(name string, change func(*accounts), after func(h *house, leaf *x509.Certificate)) {
		for ref, of := range map[string]func(leaf *x509.Certificate) string{
			"fingerprint": Fingerprint, "name": func(*x509.Certificate) string { return "alice@example.com" },
		} {
			t.Run(name+", bound by "+ref, func(t *testing.T) {
				h := newHouse(t, SANEmail)
				leaf := h.client(nil)
				h.bind("alice", of(leaf))
				h.in(leaf)
				change(h.accounts)
				after(h, leaf)
			})
		}
	}
	refused := func(words string) func(h *house, leaf *x509.Certificate) {
		return func(h *house, leaf *x509.Certificate) {
			h.refused(words, "alice", h.chain(leaf)...)
			h.refused(words, "alice", h.chain(h.parse(leaf.Raw))...) // also on another connection
		}
	}
	story("disabled", func(a *accounts) { a.change("alice", func(u *identity.Account) { u.Disabled = true }) }, refused("disabled"))
	story("deleted", func(a *accounts) { a.remove("alice") }, refused("gone"))
	story("deleted and made again under the same name",
		func(a *accounts) { a.change("alice", func(u *identity.Account) { u.ID = "usr_2" }) }, refused("another has the name"))
	story("a record of somebody else",
		func(a *accounts) { a.of["alice"] = &identity.Account{ID: "usr_1", Username: "bob", Epoch: 1} }, refused("gone"))
	story("signed out everywhere", func(a *accounts) { a.change("alice", func(u *identity.Account) { u.Epoch++ }) },
		func(h *house, leaf *x509.Certificate) { h.in(leaf) }) // a certificate is no login
	story("another role and scope", func(a *accounts) {
		a.change("alice", func(u *identity.Account) { u.Roles, u.Scopes = []string{"admin"}, nil })
	}, func(h *house, leaf *x509.Certificate) {
		if id := h.in(leaf); !slices.Equal(id.Roles, []string{"admin"}) || len(id.Scopes) != 0 {
			h.t.Errorf("%+v", id)
		}
	})
	story("a directory that cannot be asked", func(a *accounts) { a.err = store.ErrUnavailable }, func(h *house, leaf *x509.Certificate) {
		id, err := h.Identify(context.Background(), h.chain(leaf))
		if id != nil || !errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown) {
			h.t.Errorf("%v %v", id, err)
		}
	})
	t.Run("the one who has the name now may bind it once it is taken from the one before", func(t *testing.T) {
		h := newHouse(t, SANEmail)
		leaf := h.client(nil)
		h.bind("alice", "alice@example.com")
		h.accounts.change("alice", func(u *identity.Account) { u.ID = "usr_2" })
		if err := h.Bind(t.Context(), "alice", "alice@example.com"); !errors.Is(err, ErrTaken) {
			t.Error(err)
		}
		if err := h.Unbind(t.Context(), "alice", "alice@example.com"); err != nil {
			t.Error(err)
		}
		h.bind("alice", "alice@example.com")
		if id := h.in(leaf); id.ID != "usr_2" {
			t.Errorf("%+v", id)
		}
	})
}

func TestSameIdentityWhileNothingChanged(t *testing.T) {
	h := newHouse(t, SANEmail)
	leaf, other := h.client(nil), h.client(nil)
	h.revoke(Fingerprint(other))
	for _, bound := range []bool{false, true} {
		if bound {
			h.bind("alice", Fingerprint(leaf))
		}
		id := h.in(leaf)
		t.Run(fmt.Sprintf("bound %v: one pointer, and no store read", bound), func(t *testing.T) {
			before := h.store.reads.Load()
			for range 5 {
				if h.in(leaf) != id || h.in(h.parse(leaf.Raw)) != id {
					t.Error("built anew")
				}
			}
			if n := h.store.reads.Load() - before; n != 0 {
				t.Errorf("%d store reads", n)
			}
		})
		t.Run(fmt.Sprintf("bound %v: another's binding and revocation change nothing", bound), func(t *testing.T) {
			h.bind("job", fmt.Sprintf("job%v@example.com", bound))
			h.revoke(strings.Repeat("ab", 32))
			if h.in(leaf) != id {
				t.Error("built anew")
			}
		})
	}
	t.Run("many connections that come first at once get one", func(t *testing.T) {
		fresh := h.another(SANEmail)
		chains := make([][]*x509.Certificate, 16)
		var all sync.WaitGroup
		start := make(chan struct{})
		for i := range chains {
			chains[i] = h.chain(h.parse(leaf.Raw))
			all.Go(func() {
				<-start
				if _, err := fresh.Identify(t.Context(), chains[i]); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		want, err := fresh.Identify(t.Context(), h.chain(leaf))
		if err != nil {
			t.Fatal(err)
		}
		for _, chain := range chains {
			if id, err := fresh.Identify(t.Context(), chain); err != nil || id != want {
				t.Errorf("%p and %p, %v", id, want, err)
			}
		}
	})
	t.Run("a change of the owner makes another", func(t *testing.T) {
		id := h.in(leaf)
		h.accounts.change("alice", func(*identity.Account) {})
		again := h.in(leaf)
		if again == id || h.in(leaf) != again {
			t.Error("kept, or built each time")
		}
	})
	t.Run("another chain of the same certificate is another identity", func(t *testing.T) {
		id := h.in(leaf)
		short, err := h.Identify(t.Context(), []*x509.Certificate{leaf, h.between})
		if err != nil || short == id || len(short.Claims["ca_fingerprints"].([]any)) != 1 {
			t.Errorf("%+v %v", short, err)
		}
		if h.in(leaf).Claims["ca_fingerprints"].([]any)[1] != Fingerprint(h.root) {
			t.Error("the chain of another connection")
		}
	})
	t.Run("after Close it is right, with a look at the store each time", func(t *testing.T) {
		h.Close()
		h.Close()
		id := h.in(leaf)
		if h.in(leaf) != id {
			t.Error("built anew")
		}
		if err := h.another(SANEmail).Revoke(t.Context(), Fingerprint(leaf), ""); err != nil {
			t.Fatal(err)
		}
		h.refused("revoked", "alice@example.com", h.chain(leaf)...)
	})
}

func TestRevoked(t *testing.T) {
	t.Run("on the next request, by every registry of the store", func(t *testing.T) {
		h := newHouse(t, SANEmail)
		other := h.another(SANURI)
		leaf, same := h.client(nil), h.client(nil)
		h.bind("alice", "alice@example.com")
		h.in(leaf)
		if _, err := other.Identify(t.Context(), h.chain(leaf)); err != nil {
			t.Fatal(err)
		}
		h.revoke(colons(Fingerprint(leaf)))
		h.refused("it is revoked", "alice@example.com", h.chain(leaf)...)
		h.refused("it is revoked", "alice@example.com", h.chain(h.parse(leaf.Raw))...)
		var refusal *identity.Refusal
		if _, err := other.Identify(t.Context(), h.chain(leaf)); !errors.As(err, &refusal) {
			t.Error(err)
		}
		h.in(same) // another certificate of the same name
		if err := other.Unrevoke(t.Context(), Fingerprint(leaf)); err != nil {
			t.Fatal(err)
		}
		h.in(leaf)
		if err := h.Unrevoke(t.Context(), Fingerprint(leaf)); !errors.Is(err, ErrNotFound) {
			t.Error("twice:", err)
		}
	})
	t.Run("an authority, and with it all that it has signed", func(t *testing.T) {
		h := newHouse(t, SubjectCN)
		one, two := h.client(nil), h.client(nil)
		h.in(one)
		for _, ca := range []*x509.Certificate{h.between, h.root} {
			h.revoke(Fingerprint(ca))
			h.refused("authority "+Fingerprint(ca), "alice", h.chain(one)...)
			h.refused("authority "+Fingerprint(ca), "alice", h.chain(two)...)
			if err := h.Unrevoke(t.Context(), Fingerprint(ca)); err != nil {
				t.Fatal(err)
			}
			h.in(one)
		}
	})
	t.Run("the list", func(t *testing.T) {
		h := newHouse(t, SubjectCN)
		if got, err := h.Revoked(t.Context()); err != nil || got == nil || len(got) != 0 {
			t.Error(got, err)
		}
		one, two := strings.Repeat("ab", 32), strings.Repeat("AA", 32)
		for _, f := range []string{one, two} {
			if err := h.Revoke(t.Context(), f, "lost in a train"); err != nil {
				t.Fatal(err)
			}
			h.pass(time.Second)
		}
		got, err := h.Revoked(t.Context())
		if err != nil || len(got) != 2 || got[0].Fingerprint != "sha256:"+one || got[1].Fingerprint != "sha256:"+strings.ToLower(two) ||
			got[0].Note != "lost in a train" || !got[0].Revoked.Equal(today) {
			t.Errorf("%+v %v", got, err)
		}
		if err := h.Revoke(t.Context(), one, ""); err != nil { // again, with another note
			t.Fatal(err)
		}
		if got, err := h.Revoked(t.Context()); err != nil || len(got) != 2 || got[1].Note != "" {
			t.Errorf("%+v %v", got, err)
		}
	})
	t.Run("what is no fingerprint or no note", func(t *testing.T) {
		h := newHouse(t, SubjectCN)
		good := strings.Repeat("ab", 32)
		for fingerprint, note := range map[string]string{
			"": "", "alice": "", "sha256:": "", good[1:]: "", good + "a": "", "sha1:" + good: "", good[:63] + "g": "",
			good: "a\nb", "sha256:" + good: strings.Repeat("a", 513), strings.ToUpper(good): "\xff",
		} {
			var invalid *InvalidError
			if err := h.Revoke(t.Context(), fingerprint, note); !errors.As(err, &invalid) {
				t.Errorf("%q, %q: %v", fingerprint, note, err)
			}
		}
		var invalid *InvalidError
		if err := h.Unrevoke(t.Context(), "alice"); !errors.As(err, &invalid) {
			t.Error(err)
		}
		if got, err := h.Revoked(t.Context()); err != nil || len(got) != 0 {
			t.Error(got, err)
		}
	})
}

func TestAlive(t *testing.T) {
	open := func(t *testing.T, bound string) (*house, *x509.Certificate, *identity.Identity) {
		h := newHouse(t, SANEmail)
		leaf := h.client(nil)
		if bound != "" {
			h.bind("alice", bound)
		}
		id := h.in(leaf)
		h.alive(id, true)
		return h, leaf, id
	}
	t.Run("revoked, or an authority of it", func(t *testing.T) {
		h, leaf, id := open(t, "alice@example.com")
		for _, c := range h.chain(leaf) {
			h.revoke(Fingerprint(c))
			h.alive(id, false)
			if err := h.Unrevoke(t.Context(), Fingerprint(c)); err != nil {
				t.Fatal(err)
			}
			h.alive(id, true)
		}
	})
	t.Run("expired, and before its time", func(t *testing.T) {
		h, _, id := open(t, "")
		h.pass(time.Hour)
		h.alive(id, true)
		h.pass(time.Second)
		h.alive(id, false)
		h.pass(-3 * time.Hour)
		h.alive(id, false)
	})
	t.Run("the owner disabled, gone, or another", func(t *testing.T) {
		h, _, id := open(t, "alice@example.com")
		h.accounts.change("alice", func(u *identity.Account) { u.Disabled = true })
		h.alive(id, false)
		h.accounts.change("alice", func(u *identity.Account) { u.Disabled = false })
		h.alive(id, true)
		h.accounts.change("alice", func(u *identity.Account) { u.Roles = nil })
		h.alive(id, true)
		h.accounts.change("alice", func(u *identity.Account) { u.ID = "usr_2" })
		h.alive(id, false)
		h.accounts.remove("alice")
		h.alive(id, false)
	})
	t.Run("unbound, or bound to somebody", func(t *testing.T) {
		h, leaf, id := open(t, "alice@example.com")
		h.bind("job", Fingerprint(leaf))
		h.alive(id, false)
		if err := h.Unbind(t.Context(), "job", Fingerprint(leaf)); err != nil {
			t.Fatal(err)
		}
		h.alive(id, true)
		if err := h.Unbind(t.Context(), "alice", "alice@example.com"); err != nil {
			t.Fatal(err)
		}
		h.alive(id, false)
		unbound := h.in(leaf)
		h.alive(unbound, true)
		h.bind("alice", "alice@example.com")
		h.alive(unbound, false)
	})
	t.Run("nobody, and who came another way", func(t *testing.T) {
		h, _, id := open(t, "")
		session, nameless, timeless := *id, *id, *id
		session.Method = identity.Session
		nameless.Credential = ""
		timeless.Claims = nil
		for name, id := range map[string]*identity.Identity{"nil": nil, "zero": {}, "session": &session, "no credential": &nameless, "no time": &timeless} {
			t.Run(name, func(t *testing.T) { h.alive(id, false) })
		}
	})
	t.Run("a store or directory that is down is an error and not an answer", func(t *testing.T) {
		h, _, id := open(t, "alice@example.com")
		h.accounts.err = store.ErrUnavailable
		if ok, err := h.Alive(t.Context(), id); ok || !errors.Is(err, store.ErrUnavailable) {
			t.Error(ok, err)
		}
		h.accounts.err = nil
		h.Close()
		h.store.down.Store(true)
		if ok, err := h.Alive(t.Context(), id); ok || !errors.Is(err, store.ErrUnavailable) {
			t.Error(ok, err)
		}
	})
}
