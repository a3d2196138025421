package federation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func (i *instance) access(id *identity.Identity, want string) {
	i.t.Helper()
	if got, err := i.AccessToken(context.Background(), id.SessionID); got != want || err != nil {
		i.t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestAccessToken(t *testing.T) {
	hour := func(w *world) { w.provider.life = time.Hour }
	bubble(t, "the one that counts, new when it is about to end", func(t *testing.T, w *world) {
		hour(w)
		token, _ := w.signIn()
		id := w.in(token)
		w.access(id, "access-secret-1")
		time.Sleep(time.Hour - 31*time.Second)
		w.access(id, "access-secret-1")
		w.provider.called(t, 0)
		time.Sleep(time.Second)
		w.access(id, "access-secret-2")
		w.access(id, "access-secret-2")
		w.provider.called(t, 1)
		if got := w.roles(token); got != "role-2" { // the provider was asked, and has told
			t.Error(got)
		}
	}, func(e *Entry) { e.Recheck = 0 })
	bubble(t, "many who need it at once make one call", func(t *testing.T, w *world) {
		hour(w)
		w.provider.slowly(time.Second)
		token, _ := w.signIn()
		id, other := w.in(token), w.another()
		other.in(token)
		time.Sleep(time.Hour)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { w.access(id, "access-secret-2") })
			all.Go(func() { other.access(id, "access-secret-2") })
		}
		all.Wait()
		w.provider.called(t, 1)
	}, func(e *Entry) { e.Recheck = 0 })
	bubble(t, "while the provider is away the old one, for as long as it counts", func(t *testing.T, w *world) {
		hour(w)
		token, _ := w.signIn()
		id := w.in(token)
		time.Sleep(time.Hour - 20*time.Second)
		w.provider.fails(oidc.ErrUnavailable)
		w.access(id, "access-secret-1")
		took(t, 0, func() { w.access(id, "access-secret-1") })
		time.Sleep(20 * time.Second)
		took(t, 0, func() {
			if got, err := w.AccessToken(t.Context(), id.SessionID); got != "" || !errors.Is(err, oidc.ErrUnavailable) {
				t.Error(got, err)
			}
		})
		w.in(token) // and yet nobody is out
		w.provider.do(nil)
		time.Sleep(time.Minute)
		if _, err := w.AccessToken(t.Context(), id.SessionID); !errors.Is(err, oidc.ErrUnavailable) {
			t.Error(err) // it is being asked, and nobody waits for who has failed
		}
		settle()
		w.access(id, "access-secret-2")
	}, func(e *Entry) { e.Recheck = 0 })
	bubble(t, "a slow provider is waited for five seconds", func(t *testing.T, w *world) {
		hour(w)
		w.provider.slowly(10 * time.Second)
		token, _ := w.signIn()
		id := w.in(token)
		time.Sleep(time.Hour - 20*time.Second)
		took(t, 5*time.Second, func() { w.access(id, "access-secret-1") })
		time.Sleep(6 * time.Second)
		w.access(id, "access-secret-2")
	}, func(e *Entry) { e.Recheck = 0 })
	bubble(t, "a no ends the session", func(t *testing.T, w *world) {
		hour(w)
		token, _ := w.signIn()
		id := w.in(token)
		time.Sleep(time.Hour)
		w.provider.fails(oidc.ErrRevoked)
		if got, err := w.AccessToken(t.Context(), id.SessionID); got != "" || !errors.Is(err, identity.ErrUnknown) {
			t.Error(got, err)
		}
		w.out(token)
	}, func(e *Entry) { e.Recheck = 0 })
	bubble(t, "without a refresh token until it ends, and the session goes on", func(t *testing.T, w *world) {
		hour(w)
		w.provider.once = true
		token, _ := w.signIn()
		id := w.in(token)
		time.Sleep(time.Hour - time.Second)
		w.access(id, "access-secret-1")
		time.Sleep(time.Second)
		if got, err := w.AccessToken(t.Context(), id.SessionID); got != "" || !errors.Is(err, ErrNoToken) {
			t.Error(got, err)
		}
		w.in(token)
		w.provider.called(t, 0)
	}, func(e *Entry) { e.Recheck = 0 })
	bubble(t, "one whose end is not told is good", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		id := w.in(token)
		time.Sleep(11 * time.Hour)
		w.access(id, "access-secret-1")
	}, func(e *Entry) { e.Recheck = 0 })
	bubble(t, "one of half a minute is not asked for with each request", func(t *testing.T, w *world) {
		w.provider.life = 20 * time.Second
		token, _ := w.signIn()
		id := w.in(token)
		for range 40 {
			time.Sleep(time.Second)
			if _, err := w.AccessToken(t.Context(), id.SessionID); err != nil {
				t.Error(err)
			}
		}
		w.provider.called(t, 4)
	}, func(e *Entry) { e.Recheck = 0 })
	bubble(t, "one that a recheck has replaced", func(t *testing.T, w *world) {
		hour(w)
		token, _ := w.signIn()
		time.Sleep(recheck)
		w.access(w.in(token), "access-secret-2")
	})
	bubble(t, "on a site", func(t *testing.T, w *world) {
		hour(w)
		portal, parent := w.signIn()
		id := w.in(w.onSite(portal, parent, true))
		w.access(id, "access-secret-1")
		time.Sleep(time.Hour)
		w.access(id, "access-secret-2")
	}, func(e *Entry) { e.Recheck = 0 })
	bubble(t, "nobody to ask for another", func(t *testing.T, w *world) {
		hour(w)
		token, _ := w.signIn()
		id := w.in(token)
		time.Sleep(time.Hour)
		if _, err := w.AccessToken(t.Context(), id.SessionID); !errors.Is(err, oidc.ErrUnavailable) {
			t.Error(err)
		}
	}, func(e *Entry) { e.Refresher = nil })
}

func TestNoAccessToken(t *testing.T) {
	bubble(t, "of a session that was not seen here, is over, or never was", func(t *testing.T, w *world) {
		token, s := w.signIn()
		if _, err := w.AccessToken(t.Context(), s.ID); !errors.Is(err, ErrNoToken) {
			t.Error(err)
		}
		w.in(token)
		if _, err := w.AccessToken(t.Context(), s.ID); err != nil {
			t.Error(err)
		}
		if err := w.sessions.Revoke(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{s.ID, "", "../user/alice", token, session.ID("never")} {
			if got, err := w.AccessToken(t.Context(), id); got != "" || !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("%.20q: %q, %v", id, got, err)
			}
		}
	})
	bubble(t, "when the provider gave none", func(t *testing.T, w *world) {
		token, s := w.signIn(func(l *oidc.Login) { l.Tokens.Access = "" })
		w.in(token)
		if _, err := w.AccessToken(t.Context(), s.ID); !errors.Is(err, ErrNoToken) {
			t.Error(err)
		}
	})
	bubble(t, "while the store is away", func(t *testing.T, w *world) {
		w.provider.life = time.Hour
		token, s := w.signIn()
		w.in(token)
		time.Sleep(time.Hour)
		w.store.hook(away("", ""))
		if got, err := w.AccessToken(t.Context(), s.ID); got != "" || !errors.Is(err, store.ErrUnavailable) {
			t.Error(got, err)
		}
	}, func(e *Entry) { e.Recheck = 0 })
}

// TestNoSecretIsShown: not in an error, and not in a log.
func TestNoSecretIsShown(t *testing.T) {
	bubble(t, "whatever goes wrong", func(t *testing.T, w *world) {
		token, s := w.signIn()
		id := w.in(token)
		watch, _ := w.watches.Get(s.ID)
		text := fmt.Sprintf("%v %+v", watch, watch)
		k, _ := session.SealKey(token)
		for _, form := range []string{"%s", "%v", "%x"} {
			if secret := fmt.Sprintf(form, k.Bytes()); len(secret) > 2 && strings.Contains(text, secret) {
				t.Error(text)
			}
		}
		if _, err := w.sessions.Update(t.Context(), s.ID, func(s *session.Session) error {
			return w.sessions.Reseal(k, s, []byte(`{"a":7,"r":"refresh-secret-x"}`))
		}); err != nil {
			t.Fatal(err)
		}
		_, err := w.AccessToken(t.Context(), id.SessionID)
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), token) {
			t.Error(err)
		}
	})
}
