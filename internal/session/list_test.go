package session

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

func (w *world) loginAs(name, userID string) *Session {
	w.t.Helper()
	_, s, err := w.Create(w.t.Context(), Login{Username: name, UserID: userID, Epoch: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// listed pages through a list two at a time and returns the sorted ids.
func (w *world) listed(username string) []string {
	w.t.Helper()
	var ids []string
	for after := ""; ; {
		page, err := w.List(w.t.Context(), username, after, 2)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range page {
			ids = append(ids, s.ID)
			after = s.ID
		}
		if len(page) < 2 {
			if !slices.IsSorted(ids) {
				w.t.Errorf("not in order: %q", ids)
			}
			return ids
		}
	}
}

func ids(sessions ...*Session) []string {
	var out []string
	for _, s := range sessions {
		out = append(out, s.ID)
	}
	slices.Sort(out)
	return out
}

func TestList(t *testing.T) {
	w := newWorld(t, Options{})
	w.accounts.set(identity.Account{ID: "usr_2", Username: "al", Epoch: 1}) // the start of another name
	w.accounts.set(identity.Account{ID: "usr_3", Username: "zoë/ü", Epoch: 1})
	var alices []*Session
	for range 5 {
		alices = append(alices, w.loginAs("alice", "usr_1"))
	}
	al, zoe := w.loginAs("al", "usr_2"), w.loginAs("zoë/ü", "usr_3")
	check := func(username string, want ...*Session) {
		t.Helper()
		if got := w.listed(username); !slices.Equal(got, ids(want...)) {
			t.Errorf("%q: %q, want %q", username, got, ids(want...))
		}
	}
	t.Run("of one user, of everybody, of nobody", func(t *testing.T) {
		check("alice", alices...)
		check("al", al)
		check("zoë/ü", zoe)
		check("bob")
		check("", append(slices.Clone(alices), al, zoe)...)
		if n, err := w.Count(t.Context()); n != 7 || err != nil {
			t.Errorf("%d counted, %v", n, err)
		}
	})
	t.Run("a revoked one is gone", func(t *testing.T) {
		if err := w.Revoke(t.Context(), alices[0].ID); err != nil {
			t.Fatal(err)
		}
		alices = alices[1:]
		check("alice", alices...)
	})
	t.Run("what would be refused is left out", func(t *testing.T) {
		w.accounts.change(func(u *identity.Account) { u.Epoch = 2 })
		check("alice")
		check("", al, zoe)
		if _, err := w.Get(t.Context(), alices[0].ID); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		w.accounts.change(func(u *identity.Account) { u.Epoch = 1 })
		check("alice", alices...)
	})
	t.Run("all of one user are revoked, and nobody else's", func(t *testing.T) {
		n, err := w.RevokeUser(t.Context(), "alice")
		if n != 4 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		check("alice")
		check("", al, zoe)
		if n, err := w.RevokeUser(t.Context(), "alice"); n != 0 || err != nil {
			t.Errorf("again: %d, %v", n, err)
		}
	})
	t.Run("idle ones are left out, and their entries tidied away", func(t *testing.T) {
		w.clock.pass(3 * time.Hour)
		check("")
		check("al")
		check("zoë/ü")
		if entries, err := w.store.Scan(t.Context(), indexPrefix, "", 10); err != nil || len(entries) != 0 {
			t.Error(entries, err)
		}
	})
	t.Run("an entry that waits for its session stays", func(t *testing.T) {
		id := ID("not there yet")
		if err := w.store.Put(t.Context(), indexKey("al", id), stamp(w.clock.Now()), time.Hour); err != nil {
			t.Fatal(err)
		}
		check("al")
		if n, err := w.RevokeUser(t.Context(), "al"); n != 0 || err != nil {
			t.Error(n, err)
		}
		if _, found, err := w.store.Get(t.Context(), indexKey("al", id)); !found || err != nil {
			t.Error("tidied away too early", err)
		}
	})
	t.Run("more than a page", func(t *testing.T) {
		for range pageSize + 5 {
			w.loginAs("alice", "usr_1")
		}
		if list, err := w.List(t.Context(), "alice", "", 1000); err != nil || len(list) != pageSize+5 {
			t.Error(len(list), err)
		}
		if n, err := w.RevokeUser(t.Context(), "alice"); n != pageSize+5 || err != nil {
			t.Error(n, err)
		}
	})
}

func TestSessionsOfUsersWhoAreDisabledStayListedForTidying(t *testing.T) {
	w := newWorld(t, Options{})
	s := w.loginAs("alice", "usr_1")
	w.clock.pass(2 * time.Minute)
	w.accounts.change(func(u *identity.Account) { u.Disabled = true })
	if got := w.listed("alice"); len(got) != 0 {
		t.Errorf("%q", got)
	}
	// Its entry is still there: revoking all of the user's sessions must find it.
	if n, err := w.RevokeUser(t.Context(), "alice"); n != 1 || err != nil {
		t.Error(n, err)
	}
	if err := w.Revoke(t.Context(), s.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
