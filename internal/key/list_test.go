package key

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// listed pages through a list two at a time and returns the ids.
func (w *world) listed(owner string) []string {
	w.t.Helper()
	var ids []string
	for after := ""; ; {
		page, err := w.List(w.t.Context(), owner, after, 2)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, k := range page {
			ids = append(ids, k.ID)
			after = k.ID
		}
		if len(page) < 2 {
			if !slices.IsSorted(ids) {
				w.t.Errorf("not in order: %q", ids)
			}
			return ids
		}
	}
}

func (w *world) makeFor(owner string) *Key {
	w.t.Helper()
	_, k := w.make(func(n *New) { n.Owner = owner })
	return k
}

func TestList(t *testing.T) {
	w := newWorld(t, Options{})
	for _, a := range []identity.Account{{ID: "usr_2", Username: "al"}, {ID: "usr_3", Username: "zoë/ü"}} {
		a.Scopes = []string{"reports:read"}
		w.accounts.set(a)
	}
	var alices []*Key
	for range 5 {
		alices = append(alices, w.makeFor("alice"))
	}
	al, zoe := w.makeFor("al"), w.makeFor("zoë/ü")
	check := func(owner string, want ...*Key) {
		t.Helper()
		var ids []string
		for _, k := range want {
			ids = append(ids, k.ID)
		}
		slices.Sort(ids)
		if got := w.listed(owner); !slices.Equal(got, ids) {
			t.Errorf("%q: %q, want %q", owner, got, ids)
		}
	}
	t.Run("of one owner, of everybody, of nobody", func(t *testing.T) {
		check("alice", alices...)
		check("al", al)
		check("zoë/ü", zoe)
		check("bob")
		check("", append(slices.Clone(alices), al, zoe)...)
	})
	t.Run("a cursor that is no id", func(t *testing.T) {
		for _, after := range []string{"x", "../user/alic", strings.Repeat("a", 1<<20)} {
			_, err := w.List(t.Context(), "alice", after, 10)
			invalid(t, err, "after")
		}
	})
	t.Run("a revoked one is gone", func(t *testing.T) {
		if err := w.Revoke(t.Context(), alices[0].ID); err != nil {
			t.Fatal(err)
		}
		alices = alices[1:]
		check("alice", alices...)
	})
	t.Run("those of an owner who is gone or another stay listed, to be revoked", func(t *testing.T) {
		w.accounts.change(func(a *identity.Account) { a.ID = "usr_9" })
		check("alice", alices...)
		if k, err := w.Get(t.Context(), alices[0].ID); err != nil || k.OwnerID != "usr_1" {
			t.Error(k, err)
		}
		w.accounts.change(func(a *identity.Account) { a.ID = "usr_1" })
	})
	t.Run("all of one owner are revoked, and nobody else's", func(t *testing.T) {
		if n, err := w.RevokeOwner(t.Context(), "alice"); n != 4 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		check("alice")
		check("", al, zoe)
		if n, err := w.RevokeOwner(t.Context(), "alice"); n != 0 || err != nil {
			t.Errorf("again: %d, %v", n, err)
		}
	})
	t.Run("more than a page", func(t *testing.T) {
		for range pageSize + 5 {
			w.makeFor("alice")
		}
		for _, owner := range []string{"alice", ""} {
			if list, err := w.List(t.Context(), owner, "", 1000); err != nil || len(list) < pageSize+5 {
				t.Error(len(list), err)
			}
			if list, err := w.List(t.Context(), owner, "", 5000); err != nil || len(list) != 100 {
				t.Error(len(list), err)
			}
		}
		if n, err := w.RevokeOwner(t.Context(), "alice"); n != pageSize+5 || err != nil {
			t.Error(n, err)
		}
	})
	t.Run("a crash amid a revocation leaves an entry that leads nowhere and is tidied away", func(t *testing.T) {
		k := w.makeFor("alice")
		if _, err := w.store.Store.Delete(t.Context(), "key/"+k.ID); err != nil {
			t.Fatal(err)
		}
		w.clock.pass(2 * time.Minute)
		check("alice")
		if _, found, err := w.store.Get(t.Context(), ownerKey("alice", k.ID)); found || err != nil {
			t.Error(found, err)
		}
		if err := w.Revoke(t.Context(), k.ID); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
	t.Run("an entry that waits for its key stays", func(t *testing.T) {
		entry := ownerKey("al", "aaaaaaaaaaaa")
		if err := w.store.Put(t.Context(), entry, stamp(w.clock.Now()), time.Hour); err != nil {
			t.Fatal(err)
		}
		check("al", al)
		if n, err := w.RevokeOwner(t.Context(), "al"); n != 1 || err != nil {
			t.Error(n, err)
		}
		if _, found, err := w.store.Get(t.Context(), entry); !found || err != nil {
			t.Error("tidied away too early", err)
		}
	})
	t.Run("what is got is the caller's own", func(t *testing.T) {
		text, k := w.make(func(n *New) { n.Networks = []string{"192.0.2.0/24"} })
		k.Scopes[0], k.Networks[0] = "admin", k.Networks[0].Masked()
		if id := w.in(text); !slices.Equal(id.Scopes, []string{"reports:read"}) {
			t.Error(id.Scopes)
		}
	})
}
