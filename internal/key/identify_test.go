package key

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func TestIdentify(t *testing.T) {
	w := newWorld(t, Options{})
	text, k := w.make(func(n *New) { n.Scopes = []string{"reports:write", "reports:read"} })
	id := w.in(text)
	if id.Method != identity.Key || id.Provider != identity.Local || id.ID != "usr_1" || id.Subject != "usr_1" || id.Username != "alice" ||
		id.Email != "alice@example.com" || !id.EmailVerified || id.Name != "Alice" || !slices.Equal(id.Roles, []string{"clerk"}) ||
		!slices.Equal(id.Groups, []string{"finance"}) || !slices.Equal(id.Scopes, []string{"reports:read", "reports:write"}) ||
		len(id.Claims) != 1 || id.Claims["key_id"] != k.ID || id.Credential != "key:"+k.ID || id.SessionID != "" || !id.AuthTime.IsZero() {
		t.Errorf("%+v", id)
	}
	t.Run("seen before, it costs no store read, and is the same identity", func(t *testing.T) {
		before := w.store.reads.Load()
		for range 10 {
			if again := w.in(text); again != id {
				t.Fatal("another identity, though nothing changed")
			}
		}
		if n := w.store.reads.Load() - before; n != 0 {
			t.Errorf("%d reads", n)
		}
	})
	t.Run("no limit, no quota", func(t *testing.T) {
		if _, quota, err := w.Identify(t.Context(), text, home); quota != nil || err != nil {
			t.Error(quota, err)
		}
	})
	t.Run("it expires to the nanosecond", func(t *testing.T) {
		w.clock.pass(90*day - 1)
		w.in(text)
		w.clock.pass(1)
		r := w.out(text)
		if r.Who != "alice key "+k.ID || !strings.Contains(r.Reason, "expired at 2027-02-21T12:00:00Z") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("and is shown as that for 30 days, then forgotten", func(t *testing.T) {
		w.clock.pass(30*day - time.Second)
		if k, err := w.Get(t.Context(), k.ID); err != nil || !k.Expired {
			t.Error(k, err)
		}
		w.clock.pass(time.Second)
		if _, err := w.Get(t.Context(), k.ID); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		w.out(text)
		if list, err := w.List(t.Context(), "alice", "", 10); err != nil || len(list) != 0 {
			t.Error(list, err)
		}
	})
}

// TestTheOwner: what the owner's record says is in force on the very next
// request.
func TestTheOwner(t *testing.T) {
	story := func(name string, change func(*accounts), after func(w *world, text string, k *Key)) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Options{})
			text, k := w.make(func(n *New) { n.Scopes = []string{"reports:read", "admin"} })
			w.in(text)
			change(w.accounts)
			w.t = t
			after(w, text, k)
		})
	}
	out := func(reason string) func(w *world, text string, k *Key) {
		return func(w *world, text string, k *Key) {
			if r := w.out(text); !strings.Contains(r.Reason, reason) || r.Who != "alice key "+k.ID {
				w.t.Errorf("%+v", r)
			}
			if alive, err := w.Alive(context.Background(), &identity.Identity{Method: identity.Key, ID: "usr_1", Credential: "key:" + k.ID}); alive || err != nil {
				w.t.Error("its connections live on:", alive, err)
			}
		}
	}
	story("disabled", func(a *accounts) { a.change(func(u *identity.Account) { u.Disabled = true }) }, out("disabled"))
	story("deleted", func(a *accounts) { delete(a.of, "alice") }, out("gone"))
	story("no account, though found", func(a *accounts) { a.of["alice"] = nil }, out("gone"))
	story("deleted and made again under the same name", func(a *accounts) { a.change(func(u *identity.Account) { u.ID = "usr_9" }) }, out("another has the name"))
	story("a record of somebody else", func(a *accounts) {
		a.of["alice"] = &identity.Account{ID: "usr_1", Username: "bob", Scopes: []string{"admin"}}
	}, out("gone"))
	story("all scopes taken away", func(a *accounts) { a.change(func(u *identity.Account) { u.Scopes = nil }) }, out("none of its scopes"))
	story("other scopes in their place", func(a *accounts) { a.change(func(u *identity.Account) { u.Scopes = []string{"reports", "ADMIN"} }) }, out("none of its scopes"))
	story("a scope taken away", func(a *accounts) { a.change(func(u *identity.Account) { u.Scopes = []string{"reports:read", "new"} }) }, func(w *world, text string, _ *Key) {
		if id := w.in(text); !slices.Equal(id.Scopes, []string{"reports:read"}) {
			w.t.Errorf("%q", id.Scopes)
		}
	})
	story("a scope given", func(a *accounts) { a.change(func(u *identity.Account) { u.Scopes = append(u.Scopes, "more") }) }, func(w *world, text string, _ *Key) {
		if id := w.in(text); !slices.Equal(id.Scopes, []string{"admin", "reports:read"}) {
			w.t.Errorf("the key got more than it was made with: %q", id.Scopes)
		}
	})
	story("another role, group and address", func(a *accounts) {
		a.change(func(u *identity.Account) {
			u.Roles, u.Groups, u.Email, u.EmailVerified = []string{"x"}, []string{"y"}, "z@example.com", false
		})
	}, func(w *world, text string, _ *Key) {
		if id := w.in(text); !slices.Equal(id.Roles, []string{"x"}) || !slices.Equal(id.Groups, []string{"y"}) || id.Email != "z@example.com" || id.EmailVerified {
			w.t.Errorf("%+v", id)
		}
	})
	story("a new password", func(a *accounts) { a.change(func(u *identity.Account) { u.Epoch++ }) }, func(w *world, text string, _ *Key) {
		w.in(text) // ends logins, not keys
	})
	story("a directory that cannot be asked", func(a *accounts) { a.err = store.ErrUnavailable }, func(w *world, text string, _ *Key) {
		id, _, err := w.Identify(context.Background(), text, home)
		if id != nil || !errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown) {
			w.t.Errorf("%v %v", id, err)
		}
	})
}

func TestNetworks(t *testing.T) {
	w := newWorld(t, Options{})
	text, k := w.make(func(n *New) { n.Networks = []string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "fe80::/10"} })
	for from, want := range map[string]bool{
		"10.255.255.255": true, "192.0.2.7": true, "::ffff:10.0.0.1": true, "2001:db8:ffff::1": true, "fe80::1%eth0": true,
		"11.0.0.0": false, "192.0.2.8": false, "::ffff:11.0.0.1": false, "2001:db9::1": false, "::1": false,
		"::10.0.0.1": false, "64:ff9b::a00:1": false,
	} {
		addr := netip.MustParseAddr(from)
		if want {
			if _, _, err := w.Identify(t.Context(), text, addr); err != nil {
				t.Errorf("%s: %v", from, err)
			}
			continue
		}
		if r := refused(t, w.Manager, text, addr); r.Who != "alice key "+k.ID || !strings.Contains(r.Reason, "may not be used from "+addr.Unmap().String()) {
			t.Errorf("%s: %+v", from, r)
		}
	}
	t.Run("an address that is not known", func(t *testing.T) {
		if r := refused(t, w.Manager, text, netip.Addr{}); !strings.Contains(r.Reason, "not known") {
			t.Errorf("%+v", r)
		}
		everywhere, _ := w.make(func(n *New) { n.Networks = []string{"0.0.0.0/0", "::/0"} })
		refused(t, w.Manager, everywhere, netip.Addr{})
		free, _ := w.make()
		if _, _, err := w.Identify(t.Context(), free, netip.Addr{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("all of IPv4 is not all of IPv6", func(t *testing.T) {
		v4, _ := w.make(func(n *New) { n.Networks = []string{"0.0.0.0/0"} })
		refused(t, w.Manager, v4, netip.MustParseAddr("2001:db8::1"))
		v6, _ := w.make(func(n *New) { n.Networks = []string{"::/0"} })
		refused(t, w.Manager, v6, netip.MustParseAddr("::ffff:192.0.2.1"))
	})
}

// TestShorterMaximum: a MaxLifetime that became shorter holds for keys, and for
// secrets in their grace, that exist.
func TestShorterMaximum(t *testing.T) {
	w := newWorld(t, Options{})
	text, k := w.make(func(n *New) { n.Lifetime = 300 * day })
	tight := w.another(Options{MaxLifetime: 10 * day})
	w.clock.pass(10*day - 1)
	if got, err := tight.Get(t.Context(), k.ID); err != nil || !got.Expires.Equal(k.Created.Add(10*day)) || got.Expired {
		t.Errorf("%+v, %v", got, err)
	}
	if _, _, err := tight.Identify(t.Context(), text, home); err != nil {
		t.Error(err)
	}
	newer, _ := w.rotate(k.ID, 20*day)
	w.clock.pass(1)
	refused(t, tight, text, home) // in its grace, but older than any key may be
	w.in(text)
	if _, _, err := tight.Identify(t.Context(), newer, home); err != nil {
		t.Error(err)
	}
	w.clock.pass(10 * day)
	refused(t, tight, newer, home)
	w.in(newer)
	if got, err := tight.Get(t.Context(), k.ID); err != nil || !got.Expired || !got.GraceEnds.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	t.Run("rotated under it, the key lives no longer than it allows", func(t *testing.T) {
		text, got, err := tight.Rotate(t.Context(), k.ID, 0)
		if err != nil || !got.Expires.Equal(w.clock.Now().Add(10*day)) {
			t.Fatalf("%+v, %v", got, err)
		}
		w.clock.pass(10 * day)
		w.out(text)
	})
}

func TestAlive(t *testing.T) {
	w := newWorld(t, Options{})
	text, k := w.make(func(n *New) { n.Rate = identity.Rate{Requests: 1, Per: time.Hour} })
	id := w.in(text)
	alive := func(id *identity.Identity, want bool) {
		t.Helper()
		if got, err := w.Alive(t.Context(), id); got != want || err != nil {
			t.Errorf("Alive = %v, %v; want %v", got, err, want)
		}
	}
	t.Run("it charges nothing and is no use of the key", func(t *testing.T) {
		before := w.store.reads.Load()
		for range 10 {
			alive(id, true)
		}
		if n := w.store.reads.Load() - before; n != 0 {
			t.Errorf("%d reads", n)
		}
		if got, err := w.Get(t.Context(), k.ID); err != nil || got.Uses != 1 {
			t.Error(got, err)
		}
	})
	t.Run("not for other methods, nobody, or another owner", func(t *testing.T) {
		for name, id := range map[string]*identity.Identity{
			"nil":            nil,
			"zero":           {},
			"a session":      {Method: identity.Session, ID: "usr_1", Credential: id.Credential},
			"no credential":  {Method: identity.Key, ID: "usr_1"},
			"another owner":  {Method: identity.Key, ID: "usr_2", Credential: id.Credential},
			"no owner":       {Method: identity.Key, Credential: id.Credential},
			"another key":    {Method: identity.Key, ID: "usr_1", Credential: "key:" + strings.Repeat("a", 12)},
			"an odd id":      {Method: identity.Key, ID: "usr_1", Credential: "key:../user/al"},
			"another prefix": {Method: identity.Key, ID: "usr_1", Credential: "jwt:" + k.ID},
			"another turn":   {Method: identity.Key, ID: "usr_1", Credential: id.Credential + ".1"},
			"turn nought":    {Method: identity.Key, ID: "usr_1", Credential: id.Credential + ".0"},
			"an odd turn":    {Method: identity.Key, ID: "usr_1", Credential: id.Credential + "."},
			"very long":      {Method: identity.Key, ID: "usr_1", Credential: "key:" + strings.Repeat("a", 1<<20)},
		} {
			if got, err := w.Alive(t.Context(), id); got || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	})
	t.Run("a connection ends with the secret that opened it, though the key lives on", func(t *testing.T) {
		text, _ := w.rotate(k.ID, time.Hour)
		alive(id, true)
		w.clock.pass(time.Hour)
		newer := w.in(text)
		if newer.Credential != "key:"+k.ID+".1" {
			t.Error(newer.Credential)
		}
		alive(id, false)
		alive(newer, true)
		w.rotate(k.ID, 0)
		alive(newer, false)
	})
	t.Run("expired", func(t *testing.T) {
		text, _ := w.make(func(n *New) { n.Lifetime = time.Minute })
		id := w.in(text)
		alive(id, true)
		w.clock.pass(time.Minute)
		alive(id, false)
	})
	t.Run("revoked", func(t *testing.T) {
		text, k := w.make()
		id := w.in(text)
		if err := w.Revoke(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
		alive(id, false)
	})
	t.Run("a store or directory that cannot be asked", func(t *testing.T) {
		text, _ := w.make()
		id := w.in(text)
		w.accounts.err = store.ErrUnavailable
		if got, err := w.Alive(t.Context(), id); got || !errors.Is(err, store.ErrUnavailable) {
			t.Error(got, err)
		}
		w.accounts.err = nil
	})
}
