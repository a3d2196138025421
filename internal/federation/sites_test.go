package federation

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
)

// TestSites: people use the sites and seldom the portal, whose session has the
// tokens.
func TestSites(t *testing.T) {
	bubble(t, "the cookie of a site has the portal's login checked", func(t *testing.T, w *world) {
		portal, parent := w.signIn()
		token := w.onSite(portal, parent, true)
		time.Sleep(recheck)
		next := w.another() // where nobody has been yet
		if got := next.roles(token); got != "role-2" {
			t.Error(got)
		}
		if got := w.roles(portal); got != "role-2" {
			t.Error(got)
		}
		w.provider.called(t, 1)
	})
	bubble(t, "and a no ends all of them", func(t *testing.T, w *world) {
		portal, parent := w.signIn()
		one, two := w.onSite(portal, parent, true), w.onSite(portal, parent, true)
		id := w.in(one)
		time.Sleep(recheck)
		w.provider.fails(oidc.ErrRevoked)
		w.out(two)
		w.out(one)
		w.out(portal)
		w.alive(id, false)
		if got := w.ended.list(); len(got) != 1 || got[0].SessionID != parent.ID {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "its open connections, too", func(t *testing.T, w *world) {
		portal, parent := w.signIn()
		id := w.in(w.onSite(portal, parent, true))
		time.Sleep(recheck / 5 * 4)
		w.provider.fails(oidc.ErrRevoked)
		w.alive(id, true)
		synctest.Wait()
		w.alive(id, false)
	})
	bubble(t, "without the key it counts until it is overdue, and the portal helps", func(t *testing.T, w *world) {
		portal, parent := w.signIn()
		token := w.onSite(portal, parent, false)
		time.Sleep(recheck - time.Second)
		id := w.in(token)
		w.alive(id, true)
		if _, err := w.AccessToken(t.Context(), id.SessionID); !errors.Is(err, ErrNoToken) {
			t.Error(err)
		}
		time.Sleep(time.Second)
		w.out(token)
		w.alive(id, false)
		w.provider.called(t, 0)
		w.in(portal)
		w.provider.called(t, 1)
		if got := w.roles(token); got != "role-2" {
			t.Error(got)
		}
	})
	bubble(t, "where the portal was seen, its key is known to the sites", func(t *testing.T, w *world) {
		portal, parent := w.signIn()
		token := w.onSite(portal, parent, false)
		w.in(portal)
		time.Sleep(recheck)
		if got := w.roles(token); got != "role-2" {
			t.Error(got)
		}
	})
	bubble(t, "a site's session whose seal was damaged is an error", func(t *testing.T, w *world) {
		portal, parent := w.signIn()
		token := w.onSite(portal, parent, true)
		list, err := w.sessions.List(t.Context(), "alice", "", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.Parent == "" {
				continue
			}
			raw, _, err := w.store.Get(t.Context(), "session/"+s.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.store.Put(t.Context(), "session/"+s.ID, []byte(strings.Replace(string(raw), `"sealed":"`, `"sealed":"AAAA`, 1)), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if id, err := w.Identify(t.Context(), token); id != nil || err == nil || errors.Is(err, identity.ErrUnknown) {
			t.Error(id, err)
		}
	})
}

// TestKeysThatWereForgotten: more people than the memory holds.
func TestKeysThatWereForgotten(t *testing.T) {
	bubble(t, "come back with the next request", func(t *testing.T, w *world) {
		w.forgetAll(1)
		one, _ := w.signIn()
		two, _ := w.signIn()
		id := w.in(one)
		w.in(two)
		time.Sleep(recheck - time.Second)
		w.alive(id, true)
		synctest.Wait()
		w.provider.called(t, 0)
		time.Sleep(time.Second)
		w.alive(id, false) // the connection is cut, and its browser knocks again
		if got := w.in(one).Roles; len(got) != 1 || got[0] != "role-3" {
			t.Error(got)
		}
		w.alive(id, true)
	})
}
