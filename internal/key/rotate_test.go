package key

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func TestRotate(t *testing.T) {
	t.Run("both work until the grace is over", func(t *testing.T) {
		w := newWorld(t, Options{})
		old, k := w.make(func(n *New) { n.Description, n.Networks = "export", []string{"192.0.2.0/24"} })
		w.in(old)
		w.clock.pass(10 * day)
		text, got := w.rotate(k.ID, time.Hour)
		now := w.clock.Now()
		if id, ok := Parse(text); !ok || id != k.ID || text == old {
			t.Errorf("%q", text)
		}
		if got.ID != k.ID || got.Description != "export" || len(got.Networks) != 1 || !slices.Equal(got.Scopes, k.Scopes) || !got.Created.Equal(k.Created) ||
			!got.Rotated.Equal(now) || !got.Expires.Equal(now.Add(90*day)) || !got.GraceEnds.Equal(now.Add(time.Hour)) || got.Uses != 1 {
			t.Errorf("%+v", got)
		}
		w.clock.pass(time.Hour - 1)
		if a, b := w.in(old), w.in(text); a.Credential != "key:"+k.ID || b.Credential != "key:"+k.ID+".1" || a != w.in(old) || b != w.in(text) {
			t.Errorf("%s, %s", a.Credential, b.Credential)
		}
		w.clock.pass(1)
		if r := w.out(old); r.Who != "alice key "+k.ID || !strings.Contains(r.Reason, "rotation") {
			t.Errorf("%+v", r)
		}
		w.in(text)
		if got, err := w.Get(t.Context(), k.ID); err != nil || !got.GraceEnds.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		w.clock.pass(90*day - time.Hour)
		if r := w.out(text); !strings.Contains(r.Reason, "expired") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("no grace: the old one ends at once, here and in other managers", func(t *testing.T) {
		w := newWorld(t, Options{})
		other := w.another(Options{})
		old, k := w.make()
		w.in(old)
		if _, _, err := other.Identify(t.Context(), old, home); err != nil {
			t.Fatal(err)
		}
		text, got := w.rotate(k.ID, 0)
		w.out(old)
		refused(t, other, old, home)
		if id := w.in(text); id.Username != "alice" || !got.GraceEnds.IsZero() {
			t.Errorf("%+v", got)
		}
	})
	t.Run("the usual grace, the longest, and a longer one", func(t *testing.T) {
		w := newWorld(t, Options{})
		_, k := w.make()
		for asked, want := range map[time.Duration]time.Duration{-1: 24 * time.Hour, 30 * day: 30 * day} {
			if _, got := w.rotate(k.ID, asked); !got.GraceEnds.Equal(w.clock.Now().Add(want)) {
				t.Errorf("%v: %+v", asked, got)
			}
			w.rotate(k.ID, 0)
		}
		text, _, err := w.Rotate(t.Context(), k.ID, 30*day+1)
		if says := invalid(t, err, "grace"); text != "" || !strings.Contains(says, "30 days") {
			t.Error(text, says)
		}
	})
	t.Run("twice: all three work until their graces are over", func(t *testing.T) {
		w := newWorld(t, Options{})
		one, k := w.make()
		two, _ := w.rotate(k.ID, 2*time.Hour)
		w.clock.pass(time.Hour)
		three, got := w.rotate(k.ID, 3*time.Hour)
		if !got.GraceEnds.Equal(w.clock.Now().Add(3 * time.Hour)) {
			t.Errorf("%+v", got)
		}
		for _, text := range []string{one, two, three} {
			w.in(text)
		}
		w.clock.pass(time.Hour)
		w.out(one)
		w.in(two)
		w.clock.pass(2 * time.Hour)
		w.out(two)
		w.in(three)
	})
	t.Run("a shorter grace shortens the ones before it, a longer one lengthens none", func(t *testing.T) {
		w := newWorld(t, Options{})
		one, k := w.make()
		two, _ := w.rotate(k.ID, 10*time.Hour)
		w.rotate(k.ID, time.Hour)
		w.clock.pass(time.Hour)
		w.out(one)
		w.out(two)
		three, _ := w.rotate(k.ID, time.Hour)
		w.rotate(k.ID, 10*time.Hour)
		w.in(three)
		w.out(one)
		w.out(two)
	})
	t.Run("leaked: a rotation without a grace ends all there were", func(t *testing.T) {
		w := newWorld(t, Options{})
		first, k := w.make()
		texts := []string{first}
		for range maxSecrets - 1 {
			text, _ := w.rotate(k.ID, DefaultGrace)
			texts = append(texts, text)
		}
		_, _, err := w.Rotate(t.Context(), k.ID, DefaultGrace)
		if says := invalid(t, err, "grace"); !strings.Contains(says, "5 earlier secrets") {
			t.Error(says)
		}
		for _, text := range texts {
			w.in(text)
		}
		last, _ := w.rotate(k.ID, 0)
		for _, text := range texts {
			w.out(text)
		}
		w.in(last)
	})
	t.Run("the old secret gets no longer life than it had", func(t *testing.T) {
		w := newWorld(t, Options{})
		old, k := w.make(func(n *New) { n.Lifetime = time.Hour })
		w.clock.pass(50 * time.Minute)
		text, got := w.rotate(k.ID, DefaultGrace)
		if !got.GraceEnds.Equal(k.Expires) || !got.Expires.Equal(w.clock.Now().Add(time.Hour)) {
			t.Errorf("%+v", got)
		}
		w.clock.pass(10 * time.Minute)
		w.out(old)
		w.in(text)
	})
	t.Run("one that has expired: a new secret works, the old stays dead", func(t *testing.T) {
		w := newWorld(t, Options{})
		old, k := w.make(func(n *New) { n.Lifetime = time.Hour })
		w.clock.pass(29 * day)
		text, got := w.rotate(k.ID, DefaultGrace)
		if got.Expired || !got.GraceEnds.IsZero() {
			t.Errorf("%+v", got)
		}
		w.out(old)
		w.in(text)
	})
	t.Run("listed and stored for as long as the new life", func(t *testing.T) {
		w := newWorld(t, Options{})
		_, k := w.make()
		w.clock.pass(80 * day)
		w.rotate(k.ID, 0)
		w.clock.pass(119 * day)
		if list, err := w.List(t.Context(), "alice", "", 10); err != nil || len(list) != 1 || !list[0].Expired {
			t.Error(list, err)
		}
		if n, err := w.RevokeOwner(t.Context(), "alice"); err != nil || n != 1 {
			t.Error(n, err)
		}
	})
	t.Run("a new secret is known where the notice of it has not arrived", func(t *testing.T) {
		w := newWorld(t, Options{})
		deaf := NewManager(&watched{Store: w.store.Store, deaf: true}, Options{Accounts: w.accounts, Clock: w.clock.Now})
		t.Cleanup(deaf.Close)
		old, k := w.make()
		if _, _, err := deaf.Identify(t.Context(), old, home); err != nil {
			t.Fatal(err)
		}
		text, _ := w.rotate(k.ID, time.Hour)
		if id, _, err := deaf.Identify(t.Context(), text, home); err != nil || id.Credential != "key:"+k.ID+".1" {
			t.Error(id, err)
		}
		refused(t, deaf, forge(text[:40]+"00000000"), home)
		if err := w.Revoke(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
		refused(t, deaf, text, home)
	})
	t.Run("no randomness, nothing changes", func(t *testing.T) {
		w := newWorld(t, Options{})
		old, k := w.make()
		m := w.another(Options{Rand: strings.NewReader("")})
		if text, _, err := m.Rotate(t.Context(), k.ID, 0); text != "" || err == nil {
			t.Error(text, err)
		}
		w.in(old)
	})
}

func TestRotationsAtOnce(t *testing.T) {
	w := newWorld(t, Options{})
	other := w.another(Options{})
	old, k := w.make()
	texts := make(chan string, 4)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			text, _, err := []*Manager{w.Manager, other}[i%2].Rotate(context.Background(), k.ID, time.Hour)
			if err != nil {
				t.Error(err)
			}
			texts <- text
		})
	}
	all.Wait()
	close(texts)
	seen := map[string]bool{}
	for text := range texts {
		// Whoever was told a secret can use it: the last for its life, the others
		// for their grace.
		seen[w.in(text).Credential] = true
	}
	if w.in(old); len(seen) != 4 {
		t.Errorf("%v", seen)
	}
	w.clock.pass(time.Hour)
	w.out(old)
	if got, err := w.Get(t.Context(), k.ID); err != nil || !got.GraceEnds.IsZero() {
		t.Error(got, err)
	}
}

// TestRevokedWhileRotated: a revoked key never comes back.
func TestRevokedWhileRotated(t *testing.T) {
	gone := func(t *testing.T, w *world, id string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if text != "" {
				w.out(text)
			}
		}
		if _, err := w.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		for _, prefix := range []string{"key/", "keyof/", "keyuse/"} {
			if list, err := w.store.Scan(t.Context(), prefix, "", 10); err != nil || len(list) != 0 {
				t.Error(list, err)
			}
		}
	}
	t.Run("between its read and its write", func(t *testing.T) {
		w := newWorld(t, Options{})
		old, k := w.make()
		w.store.onSwap = func(string) {
			w.store.onSwap = nil
			if err := w.Revoke(t.Context(), k.ID); err != nil {
				t.Error(err)
			}
		}
		if text, _, err := w.Rotate(t.Context(), k.ID, time.Hour); text != "" || !errors.Is(err, ErrNotFound) {
			t.Error(text, err)
		}
		gone(t, w, k.ID, old)
	})
	t.Run("between its read and what it writes first, the owner's list", func(t *testing.T) {
		w := newWorld(t, Options{})
		old, k := w.make()
		w.store.onPut = func(string) {
			w.store.onPut = nil
			if err := w.Revoke(t.Context(), k.ID); err != nil {
				t.Error(err)
			}
		}
		if text, _, err := w.Rotate(t.Context(), k.ID, time.Hour); text != "" || !errors.Is(err, ErrNotFound) {
			t.Error(text, err)
		}
		gone(t, w, k.ID, old)
	})
	t.Run("overtaken by another rotation, and then revoked", func(t *testing.T) {
		w := newWorld(t, Options{})
		old, k := w.make()
		var between string
		w.store.onSwap = func(string) {
			w.store.onSwap = func(string) {
				w.store.onSwap = nil
				if err := w.Revoke(t.Context(), k.ID); err != nil {
					t.Error(err)
				}
			}
			m := w.another(Options{})
			m.store = w.store.Store
			var err error
			if between, _, err = m.Rotate(t.Context(), k.ID, time.Hour); err != nil {
				t.Error(err)
			}
		}
		if text, _, err := w.Rotate(t.Context(), k.ID, time.Hour); text != "" || !errors.Is(err, ErrNotFound) {
			t.Error(text, err)
		}
		gone(t, w, k.ID, old, between)
	})
	t.Run("in whatever order", func(t *testing.T) {
		w := newWorld(t, Options{})
		for range 30 {
			old, k := w.make()
			w.in(old)
			var text string
			var all sync.WaitGroup
			all.Go(func() {
				var err error
				if text, _, err = w.Rotate(context.Background(), k.ID, time.Hour); err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			})
			all.Go(func() {
				if err := w.Revoke(context.Background(), k.ID); err != nil {
					t.Error(err)
				}
			})
			all.Wait()
			gone(t, w, k.ID, old, text)
		}
	})
}

func TestRotateGivesUp(t *testing.T) {
	t.Run("when the key changes all the time", func(t *testing.T) {
		w := newWorld(t, Options{})
		old, k := w.make()
		n := 0
		w.store.onSwap = func(key string) {
			raw, _, err := w.store.Store.Get(context.Background(), key)
			if err != nil {
				t.Error(err)
			}
			var fields map[string]any
			if err := json.Unmarshal(raw, &fields); err != nil {
				t.Error(err)
			}
			n++
			fields["description"] = fmt.Sprint(n)
			if raw, err = json.Marshal(fields); err != nil {
				t.Error(err)
			}
			if err := w.store.Store.Put(context.Background(), key, raw, 0); err != nil {
				t.Error(err)
			}
		}
		if text, _, err := w.Rotate(t.Context(), k.ID, 0); text != "" || !errors.Is(err, ErrContended) {
			t.Error(text, err)
		}
		w.in(old)
	})
	t.Run("when its caller does", func(t *testing.T) {
		w := newWorld(t, Options{})
		old, k := w.make()
		ctx, cancel := context.WithCancel(t.Context())
		w.store.onSwap = func(string) { cancel() }
		if text, _, err := w.Rotate(ctx, k.ID, 0); text != "" || !errors.Is(err, context.Canceled) || !errors.Is(err, store.ErrUnavailable) {
			t.Error(text, err)
		}
		w.in(old)
	})
}

// TestRotatedKeysKeepTheirLimit: a rotation is no way around a rate.
func TestRotatedKeysKeepTheirLimit(t *testing.T) {
	w := newWorld(t, Options{})
	old, k := w.make(func(n *New) { n.Rate = identity.Rate{Requests: 2, Per: time.Hour} })
	w.in(old)
	text, got := w.rotate(k.ID, time.Hour)
	w.in(text)
	for _, text := range []string{old, text} {
		var slow *identity.ThrottledError
		if _, _, err := w.Identify(t.Context(), text, home); !errors.As(err, &slow) {
			t.Error(err)
		}
	}
	if got.Rate.Requests != 2 {
		t.Errorf("%+v", got)
	}
}
