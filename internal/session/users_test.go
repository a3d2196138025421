package session_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// instance is what one process has: its own view of the store, the users and
// the sessions.
type instance struct {
	users    *user.Directory
	sessions *session.Manager
}

func newInstance(t testing.TB, s store.Store) *instance {
	t.Helper()
	i := &instance{users: user.NewDirectory(s, user.Options{})}
	i.sessions = session.NewManager(s, session.Options{Accounts: i.users})
	t.Cleanup(func() { i.sessions.Close(); i.users.Close(); _ = s.Close() })
	return i
}

func onBolt(t testing.TB) *instance {
	t.Helper()
	s, err := bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return newInstance(t, s)
}

// signIn makes alice if need be, and a session of hers.
func (i *instance) signIn(t testing.TB) (token string) {
	t.Helper()
	u, err := i.users.Add(context.Background(), user.New{Username: "alice", Roles: []string{"clerk"}})
	if errors.Is(err, user.ErrExists) {
		u, err = i.users.Get(context.Background(), "alice")
	}
	if err != nil {
		t.Fatal(err)
	}
	token, _, err = i.sessions.Create(context.Background(), session.Login{Username: u.Username, UserID: u.ID, Epoch: u.Epoch})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *instance) roles(t testing.TB, token string) []string {
	t.Helper()
	id, err := i.sessions.Identify(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	return id.Roles
}

// refused says that a token is unknown now; other errors fail the test.
func (i *instance) refused(t testing.TB, token string) bool {
	t.Helper()
	_, err := i.sessions.Identify(context.Background(), token)
	if err != nil && !errors.Is(err, identity.ErrUnknown) {
		t.Fatal(err)
	}
	return err != nil
}

// TestUsersAndSessions: with real user records, changes are in force on the
// very next request.
func TestUsersAndSessions(t *testing.T) {
	ctx := context.Background()
	i := onBolt(t)
	update := func(change func(*user.User)) {
		t.Helper()
		if _, err := i.users.Update(ctx, "alice", func(u *user.User) error { change(u); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	token := i.signIn(t)
	if got := i.roles(t, token); !slices.Equal(got, []string{"clerk"}) {
		t.Fatal(got)
	}
	t.Run("a role", func(t *testing.T) {
		update(func(u *user.User) { u.Roles = append(u.Roles, "admin") })
		if got := i.roles(t, token); !slices.Equal(got, []string{"admin", "clerk"}) {
			t.Error(got)
		}
		update(func(u *user.User) { u.Roles = nil })
		if got := i.roles(t, token); len(got) != 0 {
			t.Error(got)
		}
	})
	t.Run("a new password", func(t *testing.T) {
		update(func(u *user.User) { u.PasswordHash = "$new" })
		if !i.refused(t, token) {
			t.Error("still in")
		}
		token = i.signIn(t)
		i.roles(t, token)
	})
	t.Run("disabled, and enabled again", func(t *testing.T) {
		update(func(u *user.User) { u.Disabled = true })
		if !i.refused(t, token) {
			t.Error("still in")
		}
		update(func(u *user.User) { u.Disabled = false })
		if !i.refused(t, token) {
			t.Error("the session is back")
		}
		token = i.signIn(t)
	})
	t.Run("deleted, and another person takes the name", func(t *testing.T) {
		if err := i.users.Delete(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if !i.refused(t, token) {
			t.Error("still in")
		}
		other := i.signIn(t)
		if !i.refused(t, token) {
			t.Error("the old session is the new person's")
		}
		i.roles(t, other)
	})
}

// BenchmarkIdentify: with real users and a real file.
func BenchmarkIdentify(b *testing.B) {
	i := onBolt(b)
	token := i.signIn(b)
	run := func(name, token string, in bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := i.sessions.Identify(b.Context(), token); (err == nil) != in {
					b.Fatal(err)
				}
			}
		})
	}
	run("remembered", token, true)
	run("made up", strings.Repeat("A", 43), false)
	i.sessions.Close() // from now on it reads through
	run("read", token, true)
}

// TestServicesHaveNoSessions: also not with one made by mistake.
func TestServicesHaveNoSessions(t *testing.T) {
	ctx := context.Background()
	i := onBolt(t)
	u, err := i.users.Add(ctx, user.New{Username: "job", Service: true})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := i.sessions.Create(ctx, session.Login{Username: u.Username, UserID: u.ID, Epoch: u.Epoch})
	if err != nil {
		t.Fatal(err)
	}
	if !i.refused(t, token) {
		t.Error("a service is signed in")
	}
}
