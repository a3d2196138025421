package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func TestUpdate(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, Options{})
	token, s := w.create(provided())
	w.in(token, true)
	t.Run("what the provider says is in force at once", func(t *testing.T) {
		w.clock.pass(10 * time.Minute)
		got, err := w.Update(ctx, s.ID, func(s *Session) error {
			s.Roles, s.Groups, s.Claims, s.Checked = []string{"viewer"}, nil, Claims{"hd": "example.org"}, w.clock.Now()
			return nil
		})
		if err != nil || !got.Checked.Equal(w.clock.Now()) {
			t.Fatal(got, err)
		}
		if id := w.in(token, true); !slices.Equal(id.Roles, []string{"clerk", "viewer"}) || len(id.Groups) != 0 || id.Claims["hd"] != "example.org" {
			t.Errorf("%+v", id)
		}
	})
	t.Run("who it is, how and until when, stays", func(t *testing.T) {
		before, err := w.Get(ctx, s.ID)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.Update(ctx, s.ID, func(s *Session) error {
			*s = Session{ID: "ses_x", Username: "root", UserID: "usr_0", Epoch: 9, Expires: w.clock.Now().Add(1000 * time.Hour), Idle: 1000 * time.Hour,
				Provider: "evil", ProviderIssuer: "https://evil.example", ProviderSubject: "0", ProviderSID: "x", Parent: ID("x"), Site: "x",
				AMR: []string{"mfa"}, ACR: "x", AuthTime: w.clock.Now(), LastSeen: w.clock.Now().Add(time.Hour), Remember: true}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		before.Roles, before.Groups, before.Claims, before.Sealed, before.Checked = nil, nil, nil, nil, time.Time{}
		if a, b := fmt.Sprintf("%+v", before), fmt.Sprintf("%+v", got); a != b {
			t.Errorf("\n%s\n%s", a, b)
		}
		ends := w.entries(keyPrefix + s.ID)[0].Expires
		if d := ends.Sub(got.Ends()); d < -time.Second || d > time.Second {
			t.Errorf("stored until %v, it ends %v", ends, got.Ends())
		}
	})
	t.Run("an error of change ends it", func(t *testing.T) {
		no := errors.New("no")
		writes := w.store.writes.Load()
		if got, err := w.Update(ctx, s.ID, func(s *Session) error { s.Roles = []string{"x"}; return no }); got != nil || !errors.Is(err, no) {
			t.Error(got, err)
		}
		if w.store.writes.Load() != writes {
			t.Error("written")
		}
	})
	t.Run("the bounds are those of a login", func(t *testing.T) {
		if _, err := w.Update(ctx, s.ID, func(s *Session) error { s.Groups = make([]string, maxLabels/16+1); return nil }); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
		got, err := w.Update(ctx, s.ID, func(s *Session) error { s.Claims = Claims{"x": string(make([]byte, maxClaims))}; return nil })
		if err != nil || got.Claims != nil {
			t.Error(err)
		}
	})
	t.Run("many at once, and touches: no change is lost", func(t *testing.T) {
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				if _, err := w.Update(ctx, s.ID, func(s *Session) error { s.Groups = append(s.Groups, fmt.Sprint("g", i)); return nil }); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() {
				w.clock.pass(2 * time.Minute)
				if _, err := w.Identify(ctx, token); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got, err := w.Get(ctx, s.ID); err != nil || len(got.Groups) != 10 {
			t.Error(got, err)
		}
	})
	t.Run("one that is revoked meanwhile is not brought back", func(t *testing.T) {
		got, err := w.Update(ctx, s.ID, func(*Session) error {
			if err := w.Revoke(ctx, s.ID); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			return nil
		})
		if got != nil || !errors.Is(err, ErrNotFound) {
			t.Error(got, err)
		}
		w.in(token, false)
		if _, found, err := w.store.Get(ctx, keyPrefix+s.ID); found || err != nil {
			t.Error("it is in the store again", err)
		}
	})
	t.Run("of none, or of one that is not honoured", func(t *testing.T) {
		none := func(*Session) error { t.Error("called"); return nil }
		_, off := w.create(provided())
		w.accounts.change(func(u *identity.Account) { u.Disabled = true })
		for _, id := range []string{"", "../user/alice", ID("never"), off.ID} {
			if _, err := w.Update(ctx, id, none); !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
		w.accounts.change(func(u *identity.Account) { u.Disabled = false })
	})
	t.Run("a store that fails", func(t *testing.T) {
		_, s := w.create(provided())
		w.store.fail(store.ErrUnavailable)
		defer w.store.fail(nil)
		if _, err := w.Update(ctx, s.ID, func(*Session) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
			t.Error(err)
		}
	})
	t.Run("one that changes all the time, and a caller who gives up", func(t *testing.T) {
		_, s := w.create(provided())
		w.Manager.store = loser{w.store}
		defer func() { w.Manager.store = w.store }()
		if _, err := w.Update(ctx, s.ID, func(*Session) error { return nil }); !errors.Is(err, ErrContended) {
			t.Error(err)
		}
		short, cancel := context.WithCancel(ctx)
		if _, err := w.Update(short, s.ID, func(*Session) error { cancel(); return nil }); err == nil {
			t.Error("no error")
		}
	})
}

// loser is a store where somebody else always is faster.
type loser struct{ store.Store }

func (loser) Swap(context.Context, string, []byte, []byte, time.Duration) (bool, error) {
	return false, nil
}
