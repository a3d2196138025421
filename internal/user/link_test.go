package user

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestLink(t *testing.T) {
	d := directory(t, open(t))
	bob := add(t, d, New{Username: "bob", Roles: []string{"clerk"}})
	link := func(name string, id FederatedID) error {
		t.Helper()
		_, err := d.LinkFederated(t.Context(), name, id)
		return err
	}
	if err := link("BOB", aliceAtGoogle); err != nil {
		t.Fatal(err)
	}
	leadsTo(t, d, aliceAtGoogle, "bob")
	t.Run("again changes nothing", func(t *testing.T) {
		before, _ := d.Get(t.Context(), "bob")
		if err := link("bob", aliceAtGoogle); err != nil {
			t.Fatal(err)
		}
		after, _ := d.Get(t.Context(), "bob")
		if len(after.Federated) != 1 || !after.Updated.Equal(before.Updated) || after.Epoch != 1 || after.Provider != "" {
			t.Errorf("%+v", after)
		}
	})
	t.Run("one login is one user's", func(t *testing.T) {
		carol := add(t, d, New{Username: "carol"})
		if err := link("carol", aliceAtGoogle); !errors.Is(err, ErrLinked) {
			t.Error(err)
		}
		leadsTo(t, d, aliceAtGoogle, "bob")
		if got, _ := d.Get(t.Context(), "carol"); len(got.Federated) != 0 || got.ID != carol.ID {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a first login in between is not overridden, and leaves nothing behind", func(t *testing.T) {
		id := atGoogle("4")
		s := &hooked{Store: d.store}
		racing := directory(t, s)
		s.onSwap = func(string) { first(t, d, id, "dora") }
		if _, err := racing.LinkFederated(t.Context(), "carol", id); !errors.Is(err, ErrLinked) {
			t.Error(err)
		}
		leadsTo(t, d, id, "dora")
		if got, _ := d.Get(t.Context(), "carol"); len(got.Federated) != 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("not of a service, not of nobody, not of ever so many", func(t *testing.T) {
		add(t, d, New{Username: "job", Service: true})
		var invalid *InvalidError
		if err := link("job", atGoogle("5")); !errors.As(err, &invalid) || invalid.Field != "federated" {
			t.Error(err)
		}
		if err := link("nobody", atGoogle("5")); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		leadsTo(t, d, atGoogle("5"), "")
		add(t, d, New{Username: "many"})
		for i := range maxFederated {
			if err := link("many", atGoogle(fmt.Sprint("m", i))); err != nil {
				t.Fatal(err)
			}
		}
		if err := link("many", atGoogle("one more")); !errors.As(err, &invalid) || invalid.Field != "federated" {
			t.Error(err)
		}
		leadsTo(t, d, atGoogle("one more"), "")
	})
	t.Run("taken away, the login is somebody new's", func(t *testing.T) {
		if _, err := d.UnlinkFederated(t.Context(), "carol", google, "1001"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		u, err := d.UnlinkFederated(t.Context(), "bob", google, "1001")
		if err != nil || len(u.Federated) != 0 || u.ID != bob.ID {
			t.Errorf("%+v %v", u, err)
		}
		leadsTo(t, d, aliceAtGoogle, "")
		if u := first(t, d, aliceAtGoogle, "bob"); u.Username != "bob-2" || len(u.Roles) != 0 {
			t.Errorf("%+v", u)
		}
	})
}

func TestFindByVerifiedEmail(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	add(t, d, New{Username: "alice", Email: "alice@example.com", EmailVerified: true})
	add(t, d, New{Username: "claims", Email: "carol@example.com"})
	add(t, d, New{Username: "twin-1", Email: "twin@example.com", EmailVerified: true})
	add(t, d, New{Username: "twin-2", Email: "twin@example.com", EmailVerified: true})
	add(t, d, New{Username: "half-1", Email: "half@example.com", EmailVerified: true})
	add(t, d, New{Username: "half-2", Email: "half@example.com"})
	for range pageSize {
		first(t, d, atGoogle(fmt.Sprint("filler", len(everybody(t, d)))), "m")
	}
	add(t, d, New{Username: "zoe", Email: "zoe@example.com", EmailVerified: true}) // on another page
	// What a provider says in records of its own neither is such an address nor
	// makes one ambiguous.
	for i, email := range []string{"alice@example.com", "theirs@example.com"} {
		n := New{Email: email, EmailVerified: true}
		if _, err := d.AddFederated(t.Context(), n, atGoogle(fmt.Sprint("claims", i)), []string{"theirs"}); err != nil {
			t.Fatal(err)
		}
	}
	for email, want := range map[string]struct {
		name string
		err  error
	}{
		"alice@example.com": {"alice", nil}, "alice@EXAMPLE.com": {"alice", nil}, "zoe@example.com": {"zoe", nil},
		"half@example.com": {"half-1", nil}, "twin@example.com": {"", ErrAmbiguous}, "carol@example.com": {"", ErrNotFound},
		"Alice@example.com": {"", ErrNotFound}, "alice@example.com.evil.com": {"", ErrNotFound}, "": {"", ErrNotFound},
		"alice@example.com\x00": {"", ErrNotFound}, "nobody@example.com": {"", ErrNotFound}, "theirs@example.com": {"", ErrNotFound},
	} {
		u, err := d.FindByVerifiedEmail(t.Context(), email)
		if !errors.Is(err, want.err) || (u == nil) != (want.err != nil) || u != nil && u.Username != want.name {
			t.Errorf("%q: %v, %v; want %v", email, u, err, want)
		}
	}
	t.Run("with a record that cannot be read nobody knows", func(t *testing.T) {
		if err := s.Put(t.Context(), "user/damaged", []byte("{"), 0); err != nil {
			t.Fatal(err)
		}
		if u, err := d.FindByVerifiedEmail(t.Context(), "alice@example.com"); u != nil || err == nil || errors.Is(err, ErrNotFound) {
			t.Error(u, err)
		}
	})
}

func TestLinkByEmail(t *testing.T) {
	d := directory(t, open(t))
	made := func(n New) *User { n.EmailVerified = true; return add(t, d, n) }
	made(New{Username: "alice", Email: "alice@example.com", Roles: []string{"admin"}})
	made(New{Username: "off", Email: "off@example.com"})
	made(New{Username: "twin-1", Email: "twin@example.com"})
	made(New{Username: "twin-2", Email: "twin@example.com"})
	add(t, d, New{Username: "claims", Email: "carol@example.com"})
	if _, err := d.Update(t.Context(), "off", func(u *User) error { u.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	// Somebody makes a weak provider say the address of a person who will come
	// from a better one.
	trap, err := d.AddFederated(t.Context(), New{Email: "ceo@example.com", EmailVerified: true}, FederatedID{Provider: "weak", Issuer: "https://weak.example", Subject: "1"}, []string{"trap"})
	if err != nil {
		t.Fatal(err)
	}
	link := func(email string, id FederatedID, want error) {
		t.Helper()
		u, err := d.LinkByEmail(t.Context(), email, id)
		if !errors.Is(err, want) || (u == nil) != (want != nil) {
			t.Errorf("%q: %v, %v; want %v", email, u, err, want)
		}
		if want != nil {
			leadsTo(t, d, id, "")
		}
	}
	t.Run("the one who has the address", func(t *testing.T) {
		link("alice@Example.com", aliceAtGoogle, nil)
		leadsTo(t, d, aliceAtGoogle, "alice")
		link("alice@example.com", aliceAtGoogle, nil) // again
		if u, _ := d.Get(t.Context(), "alice"); len(u.Federated) != 1 || !slices.Equal(u.Roles, []string{"admin"}) || u.Provider != "" {
			t.Errorf("%+v", u)
		}
	})
	t.Run("an address that the provider has given to somebody new is not its old holder", func(t *testing.T) {
		link("alice@example.com", atGoogle("2222"), ErrNotFound)
	})
	t.Run("another provider may link her too", func(t *testing.T) {
		link("alice@example.com", FederatedID{Provider: "github", Issuer: "https://github.com", Subject: "1"}, nil)
	})
	t.Run("who is disabled, several, unverified here, or made by another provider", func(t *testing.T) {
		link("off@example.com", atGoogle("3"), ErrDisabled)
		link("twin@example.com", atGoogle("4"), ErrAmbiguous)
		link("carol@example.com", atGoogle("5"), ErrNotFound)
		link("ceo@example.com", atGoogle("6"), ErrNotFound)
		if u, _ := d.Get(t.Context(), "trap"); len(u.Federated) != 1 || u.ID != trap.ID {
			t.Errorf("%+v", u)
		}
		link("", atGoogle("7"), ErrNotFound)
	})
	t.Run("who is disabled, or loses the address, while it is done", func(t *testing.T) {
		for name, change := range map[string]func(u *User){
			"disabled":      func(u *User) { u.Disabled = true },
			"not verified":  func(u *User) { u.EmailVerified = false },
			"another's now": func(u *User) { u.Email = "other@example.com" },
		} {
			made(New{Username: name[:3], Email: name[:3] + "@example.com"})
			s := &hooked{Store: d.store}
			racing := directory(t, s)
			s.onSwap = func(string) {
				s.onSwap = nil
				if _, err := d.Update(t.Context(), name[:3], func(u *User) error { change(u); return nil }); err != nil {
					t.Error(err)
				}
			}
			if u, err := racing.LinkByEmail(t.Context(), name[:3]+"@example.com", atGoogle(name)); u != nil || err == nil {
				t.Error(name, u, err)
			}
			leadsTo(t, d, atGoogle(name), "")
		}
	})
	t.Run("two people of one issuer at once: one is linked", func(t *testing.T) {
		made(New{Username: "erin", Email: "erin@example.com"})
		s := &hooked{Store: d.store}
		racing := directory(t, s)
		s.onSwap = func(string) { s.onSwap = nil; link("erin@example.com", atGoogle("e1"), nil) }
		if u, err := racing.LinkByEmail(t.Context(), "erin@example.com", atGoogle("e2")); u != nil || !errors.Is(err, ErrNotFound) {
			t.Error(u, err)
		}
	})
}
