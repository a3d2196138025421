package key

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func TestCreate(t *testing.T) {
	w := newWorld(t, Options{})
	text, k, err := w.Create(t.Context(), New{
		Owner: "alice", Scopes: []string{"reports:write", "reports:read", "reports:read"}, Description: " nightly export ",
		Networks: []string{"2001:db8::/32", "192.0.2.1", "10.0.0.0/8", "192.0.2.1/32"}, Rate: identity.Rate{Requests: 10, Per: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := Parse(text); !ok || id != k.ID {
		t.Errorf("%q, %+v", text, k)
	}
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")}
	now := w.clock.Now()
	if k.Owner != "alice" || k.OwnerID != "usr_1" || k.Description != "nightly export" || !slices.Equal(k.Scopes, []string{"reports:read", "reports:write"}) ||
		!slices.Equal(k.Networks, networks) || k.Rate.Requests != 10 || !k.Created.Equal(now) || !k.Expires.Equal(now.Add(90*day)) ||
		k.Expired || !k.Rotated.IsZero() || !k.GraceEnds.IsZero() || !k.LastUsed.IsZero() || k.Uses != 0 {
		t.Errorf("%+v", k)
	}
	t.Run("what is got later is the same", func(t *testing.T) {
		got, err := w.Get(t.Context(), k.ID)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(k) {
			t.Errorf("%+v, %v\nwant %+v", got, err, k)
		}
	})
	t.Run("neither the secret nor its hash is in anything that is shown", func(t *testing.T) {
		raw, _, err := w.store.Get(t.Context(), "key/"+k.ID)
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		secret := text[idEnd+1 : bodyLen]
		if strings.Contains(string(raw), secret) || strings.Contains(string(out), secret) || strings.Contains(w.log.String(), secret) {
			t.Error("the secret is kept")
		}
		if !strings.Contains(string(raw), `"hash"`) || strings.Contains(string(out), `hash`) || strings.Contains(string(out), `secret`) {
			t.Errorf("stored %s, shown %s", raw, out)
		}
	})
	t.Run("the owner in another spelling, as the directory takes it", func(t *testing.T) {
		w.accounts.of["ALICE"] = w.accounts.of["alice"]
		_, k, err := w.Create(t.Context(), New{Owner: "ALICE", Scopes: []string{"admin"}})
		if err != nil || k.Owner != "alice" {
			t.Errorf("%+v, %v", k, err)
		}
	})
	t.Run("two keys share nothing", func(t *testing.T) {
		one, a := w.make()
		two, b := w.make()
		if a.ID == b.ID || one[idEnd:] == two[idEnd:] {
			t.Error(a.ID, b.ID)
		}
	})
	t.Run("a random source that repeats itself", func(t *testing.T) {
		m := w.another(Options{Rand: same('a')})
		n := New{Owner: "alice", Scopes: []string{"admin"}}
		first, _, err := m.Create(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		n.Owner, n.Scopes = "robot", []string{"reports:read"}
		if text, _, err := m.Create(t.Context(), n); err == nil || text != "" {
			t.Error("two owners share a key")
		}
		if id := w.in(first); id.Username != "alice" {
			t.Error(id.Username)
		}
		// The entry that was left on the robot's list leads to nobody else's key.
		if list, err := m.List(t.Context(), "robot", "", 10); err != nil || len(list) != 0 {
			t.Error(list, err)
		}
		if n, err := m.RevokeOwner(t.Context(), "robot"); err != nil || n != 0 {
			t.Error(n, err)
		}
		w.in(first)
	})
	t.Run("no randomness, no key", func(t *testing.T) {
		m := w.another(Options{Rand: strings.NewReader("")})
		if text, k, err := m.Create(t.Context(), New{Owner: "alice", Scopes: []string{"admin"}}); text != "" || k != nil || err == nil {
			t.Error(text, k, err)
		}
	})
}

// TestCreateRefuses: what cannot be is named, and nothing is stored.
func TestCreateRefuses(t *testing.T) {
	w := newWorld(t, Options{MaxLifetime: 30 * day})
	w.accounts.set(identity.Account{ID: "usr_3", Username: "gone", Disabled: true, Scopes: []string{"admin"}, Epoch: 1})
	many := func(n int, what string) []string { return slices.Repeat([]string{what}, n) }
	before := w.store.writes.Load()
	for _, c := range []struct {
		name, field, says string
		change            func(*New)
	}{
		{"no owner", "owner", "does not exist", func(n *New) { n.Owner = "" }},
		{"an owner nobody knows", "owner", "does not exist", func(n *New) { n.Owner = "mallory" }},
		{"a disabled owner", "owner", "disabled", func(n *New) { n.Owner = "gone" }},
		{"no scope", "scopes", "may do nothing", func(n *New) { n.Scopes = nil }},
		{"a scope that the owner does not have", "scopes", "hold billing, root, which the owner", func(n *New) { n.Scopes = []string{"billing", "admin", "root"} }},
		{"an empty scope", "scopes", "empty", func(n *New) { n.Scopes = []string{""} }},
		{"a long scope", "scopes", "128", func(n *New) { n.Scopes = many(1, strings.Repeat("x", 129)) }},
		{"a scope with a space", "scopes", `"a b"`, func(n *New) { n.Scopes = []string{"a b"} }},
		{"a scope with a comma", "scopes", `"a,admin"`, func(n *New) { n.Scopes = []string{"a,admin"} }},
		{"a scope with a quote", "scopes", "quotes", func(n *New) { n.Scopes = []string{`a"b`} }},
		{"a scope with a backslash", "scopes", "backslashes", func(n *New) { n.Scopes = []string{`a\b`} }},
		{"a scope with a line break", "scopes", `"a\nb"`, func(n *New) { n.Scopes = []string{"a\nb"} }},
		{"a scope that is not ASCII", "scopes", `"\u0430dmin"`, func(n *New) { n.Scopes = []string{"аdmin"} }},
		{"a scope that is no UTF-8", "scopes", `\xff`, func(n *New) { n.Scopes = []string{"\xff"} }},
		{"too many scopes", "scopes", "64", func(n *New) { n.Scopes = many(65, "admin") }},
		{"a bad network", "networks", `"office"`, func(n *New) { n.Networks = []string{"office"} }},
		{"an empty network", "networks", "no address", func(n *New) { n.Networks = []string{""} }},
		{"a network with its host bits", "networks", "write 10.0.0.0/8 for the network, or 10.1.2.3", func(n *New) { n.Networks = []string{"10.1.2.3/8"} }},
		{"a network in mapped form", "networks", "IPv4", func(n *New) { n.Networks = []string{"::ffff:10.0.0.0/104"} }},
		{"an address in mapped form", "networks", "IPv4", func(n *New) { n.Networks = []string{"::ffff:10.0.0.1"} }},
		{"an address with a zone", "networks", "no address", func(n *New) { n.Networks = []string{"fe80::1%eth0"} }},
		{"a very long network", "networks", "…", func(n *New) { n.Networks = []string{strings.Repeat("1", 1<<20)} }},
		{"too many networks", "networks", "32", func(n *New) { n.Networks = many(33, "10.0.0.0/8") }},
		{"a long description", "description", "256", func(n *New) { n.Description = strings.Repeat("x", 257) }},
		{"a line break in the description", "description", "control", func(n *New) { n.Description = "a\nb" }},
		{"an escape in the description", "description", "control", func(n *New) { n.Description = "\x1b[2J" }},
		{"a description that is turned around", "description", "direction", func(n *New) { n.Description = "\u202eabc" }},
		{"a description that is no UTF-8", "description", "UTF-8", func(n *New) { n.Description = "\xff" }},
		{"a short life", "lifetime", "shorter than 1m0s", func(n *New) { n.Lifetime = time.Minute - 1 }},
		{"a negative life", "lifetime", "shorter", func(n *New) { n.Lifetime = -time.Hour }},
		{"a long life", "lifetime", "maximum of 30 days", func(n *New) { n.Lifetime = 30*day + 1 }},
		{"a rate without a time", "rate", "1 to 1000000 requests in 1s to 31 days", func(n *New) { n.Rate.Requests = 1 }},
		{"a rate without requests", "rate", "1 to", func(n *New) { n.Rate.Per = time.Minute }},
		{"a negative rate", "rate", "1 to", func(n *New) { n.Rate = identity.Rate{Requests: -1, Per: time.Minute} }},
		{"a rate over no time", "rate", "1 to", func(n *New) { n.Rate = identity.Rate{Requests: 1, Per: 1} }},
		{"a rate of too many", "rate", "1 to", func(n *New) { n.Rate = identity.Rate{Requests: 1_000_001, Per: time.Hour} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := New{Owner: "alice", Scopes: []string{"admin"}}
			c.change(&n)
			text, k, err := w.Create(t.Context(), n)
			says := invalid(t, err, c.field)
			if text != "" || k != nil || !strings.Contains(says, c.says) || len(says) > 400 || strings.ContainsFunc(says, func(r rune) bool { return r < ' ' || r == utf8.RuneError }) {
				t.Errorf("%q, %v, %q", text, k, says)
			}
		})
	}
	if n := w.store.writes.Load() - before; n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestCreateLimits(t *testing.T) {
	t.Run("the longest life, the shortest, and the usual one", func(t *testing.T) {
		w := newWorld(t, Options{MaxLifetime: 30 * day})
		for asked, want := range map[time.Duration]time.Duration{0: 30 * day, time.Minute: time.Minute, 30 * day: 30 * day} {
			if _, k := w.make(func(n *New) { n.Lifetime = asked }); !k.Expires.Equal(k.Created.Add(want)) {
				t.Errorf("%v: %v", asked, k.Expires.Sub(k.Created))
			}
		}
		// A longer maximum, later, does not lengthen what was given.
		list, err := w.another(Options{}).List(t.Context(), "alice", "", 10)
		if err != nil || len(list) != 3 {
			t.Fatal(list, err)
		}
		for _, k := range list {
			if k.Expires.Sub(k.Created) > 30*day {
				t.Errorf("%+v", k)
			}
		}
	})
	t.Run("everything at its bound", func(t *testing.T) {
		w := newWorld(t, Options{})
		var scopes, networks []string
		for i := range 64 {
			scopes = append(scopes, fmt.Sprintf("%0128d", i))
		}
		for i := range 32 {
			networks = append(networks, fmt.Sprintf("2001:db8:%x::/48", i))
		}
		w.accounts.change(func(a *identity.Account) { a.Scopes = scopes })
		text, k := w.make(func(n *New) {
			n.Scopes, n.Networks, n.Description = scopes, networks, strings.Repeat("é", 128)
			n.Rate = identity.Rate{Requests: 1_000_000, Per: time.Second}
		})
		id, _, err := w.Identify(t.Context(), text, netip.MustParseAddr("2001:db8:1f::1"))
		if err != nil || len(k.Networks) != 32 || len(id.Scopes) != 64 {
			t.Errorf("%v, %v, %v", k, id, err)
		}
	})
	t.Run("an owner cannot fill the store", func(t *testing.T) {
		w := newWorld(t, Options{})
		for i := range maxKeys {
			if err := w.store.Put(t.Context(), ownerKey("alice", fmt.Sprintf("%012d", i)), nil, 0); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := w.Create(t.Context(), New{Owner: "alice", Scopes: []string{"admin"}})
		if says := invalid(t, err, "owner"); !strings.Contains(says, "1000") {
			t.Error(says)
		}
		if _, _, err := w.Create(t.Context(), New{Owner: "robot", Scopes: []string{"reports:read"}}); err != nil {
			t.Error("somebody else is held to it:", err)
		}
	})
	t.Run("a directory or store that cannot be asked", func(t *testing.T) {
		w := newWorld(t, Options{})
		n := New{Owner: "alice", Scopes: []string{"admin"}}
		w.accounts.err = store.ErrUnavailable
		if text, _, err := w.Create(t.Context(), n); text != "" || !errors.Is(err, store.ErrUnavailable) {
			t.Error(text, err)
		}
		w.accounts.err = nil
		w.store.fail(store.ErrUnavailable)
		if text, _, err := w.Create(t.Context(), n); text != "" || !errors.Is(err, store.ErrUnavailable) {
			t.Error(text, err)
		}
	})
	t.Run("a crash between the two writes leaves no key, and an entry that is tidied away", func(t *testing.T) {
		w := newWorld(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		w.store.onCreate = func(string) { cancel() }
		if text, _, err := w.Create(ctx, New{Owner: "alice", Scopes: []string{"admin"}}); text != "" || err == nil {
			t.Error(text, err)
		}
		w.store.onCreate = nil
		entries := func() int {
			list, err := w.store.Scan(t.Context(), "keyof/", "", 10)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		list := func() {
			if list, err := w.List(t.Context(), "alice", "", 10); err != nil || len(list) != 0 {
				t.Error(list, err)
			}
		}
		list()
		if n := entries(); n != 1 {
			t.Fatalf("%d entries: one that may be waiting for its key is to stay", n)
		}
		w.clock.pass(2 * time.Minute)
		list()
		if n := entries(); n != 0 {
			t.Errorf("%d entries", n)
		}
	})
}
