package session_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/redis"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

func onRedis(t testing.TB, url string) *instance {
	t.Helper()
	s, err := redis.Open(url, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return newInstance(t, s)
}

func within(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	start := time.Now()
	for !done() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("%s: after %v", what, time.Since(start).Round(time.Millisecond))
}

// TestTwoInstances: two processes on one Redis.
func TestTwoInstances(t *testing.T) {
	ctx := context.Background()
	server := storetest.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	here, there := onRedis(t, server.URL()), onRedis(t, server.URL())
	token := here.signIn(t)
	i, err := there.sessions.Identify(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a role is heard of within a second", func(t *testing.T) {
		if _, err := here.users.Update(ctx, "alice", func(u *user.User) error { u.Roles = []string{"admin"}; return nil }); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, "the role", func() bool { return slices.Equal(there.roles(t, token), []string{"admin"}) })
	})
	t.Run("a revoked session is refused within a second, and its connections end", func(t *testing.T) {
		if alive, err := there.sessions.Alive(ctx, i); !alive || err != nil {
			t.Fatal(alive, err)
		}
		if err := here.sessions.Revoke(ctx, i.SessionID); err != nil {
			t.Fatal(err)
		}
		if !here.refused(t, token) {
			t.Error("still in where it was revoked")
		}
		within(t, time.Second, "the revocation", func() bool { return there.refused(t, token) })
		if alive, err := there.sessions.Alive(ctx, i); alive || err != nil {
			t.Error(alive, err)
		}
	})
	t.Run("a disabled user is refused within a second", func(t *testing.T) {
		token := here.signIn(t)
		there.roles(t, token)
		if _, err := here.users.Update(ctx, "alice", func(u *user.User) error { u.Disabled = true; return nil }); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, "the disabling", func() bool { return there.refused(t, token) })
		if _, err := here.users.Update(ctx, "alice", func(u *user.User) error { u.Disabled = false; return nil }); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("while Redis is away nobody is unknown, and back they are in again", func(t *testing.T) {
		token := here.signIn(t)
		server.Stop()
		within(t, 10*time.Second, "the loss", func() bool {
			_, err := there.sessions.Identify(ctx, token)
			if err != nil && (!errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown)) {
				t.Fatal(err)
			}
			return err != nil
		})
		server.Restart(t)
		within(t, 10*time.Second, "the recovery", func() bool {
			_, err := there.sessions.Identify(ctx, token)
			if errors.Is(err, identity.ErrUnknown) {
				t.Fatal("a fault of the store was taken for a log-out")
			}
			return err == nil
		})
	})
}

// TestSitesOnTwoInstances: the portal's session ends on one instance, and what
// hangs on it on the other.
func TestSitesOnTwoInstances(t *testing.T) {
	ctx := context.Background()
	server := storetest.Redis(t)
	here, there := onRedis(t, server.URL()), onRedis(t, server.URL())
	u, err := here.users.Add(ctx, user.New{Username: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	const issuer = "https://id.example.com"
	onSite := func(t *testing.T) (token string, child *identity.Identity, parent *session.Session) {
		t.Helper()
		_, parent, err := here.sessions.Create(ctx, session.Login{
			Username: u.Username, UserID: u.ID, Epoch: u.Epoch, Provider: "id", ProviderIssuer: issuer, ProviderSubject: "1", ProviderSID: t.Name(), Roles: []string{"editor"},
		})
		if err != nil {
			t.Fatal(err)
		}
		token, _, err = there.sessions.Create(ctx, session.Login{Username: u.Username, UserID: u.ID, Epoch: u.Epoch, Parent: parent.ID, Site: "https://a.example"})
		if err != nil {
			t.Fatal(err)
		}
		if child, err = there.sessions.Identify(ctx, token); err != nil || !slices.Equal(child.Roles, []string{"editor"}) {
			t.Fatal(child, err)
		}
		return token, child, parent
	}
	ends := func(t *testing.T, token string, child *identity.Identity) {
		t.Helper()
		within(t, time.Second, "its end", func() bool { return there.refused(t, token) })
		if alive, err := there.sessions.Alive(ctx, child); alive || err != nil {
			t.Error(alive, err)
		}
	}
	t.Run("revoked", func(t *testing.T) {
		token, child, parent := onSite(t)
		if err := here.sessions.Revoke(ctx, parent.ID); err != nil {
			t.Fatal(err)
		}
		ends(t, token, child)
	})
	t.Run("its session at the provider ends", func(t *testing.T) {
		token, child, _ := onSite(t)
		if n, err := here.sessions.RevokeProviderSession(ctx, issuer, t.Name()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		ends(t, token, child)
	})
	t.Run("a role that the provider has taken is gone", func(t *testing.T) {
		token, _, parent := onSite(t)
		if _, err := here.sessions.Update(ctx, parent.ID, func(s *session.Session) error { s.Roles = nil; return nil }); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, "the role", func() bool { return len(there.roles(t, token)) == 0 })
	})
	t.Run("of the provider's subject", func(t *testing.T) {
		token, child, _ := onSite(t)
		if n, err := there.sessions.RevokeProviderSubject(ctx, "alice", issuer, "1"); n < 2 || err != nil {
			t.Fatal(n, err)
		}
		ends(t, token, child)
	})
}
