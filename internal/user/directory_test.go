package user

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
)

func open(t testing.TB) store.Store {
	t.Helper()
	s, err := bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func directory(t testing.TB, s store.Store) *Directory {
	t.Helper()
	d := NewDirectory(s, Options{})
	t.Cleanup(d.Close)
	return d
}

func add(t testing.TB, d *Directory, n New) *User {
	t.Helper()
	u, err := d.Add(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestAdd(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	u := add(t, d, New{
		Username: "Alice", Email: "alice@EXAMPLE.com", Name: " Alice ", Roles: []string{"b", "a", "a"},
		Groups: []string{"finance"}, PasswordHash: "$argon2id$1",
	})
	if len(u.ID) != len("usr_")+26 || !strings.HasPrefix(u.ID, "usr_") || u.Username != "alice" || u.Epoch != 1 ||
		u.Email != "alice@example.com" || u.EmailVerified || u.Name != "Alice" || !slices.Equal(u.Roles, []string{"a", "b"}) ||
		u.PasswordChanged.IsZero() || !u.LastLogin.IsZero() {
		t.Errorf("%+v", u)
	}
	t.Run("any spelling finds it", func(t *testing.T) {
		for _, name := range []string{"alice", "ALICE", "ａｌｉｃｅ"} {
			got, err := d.Get(t.Context(), name)
			if err != nil || got.ID != u.ID || got.PasswordHash != "$argon2id$1" || !got.Created.Equal(u.Created) {
				t.Errorf("Get(%q) = %+v, %v", name, got, err)
			}
			a, found, err := d.Account(t.Context(), name)
			if err != nil || !found || a.ID != u.ID || a.Epoch != 1 || !slices.Equal(a.Roles, u.Roles) {
				t.Errorf("Account(%q) = %+v, %v, %v", name, a, found, err)
			}
		}
	})
	t.Run("another spelling of a name that is taken", func(t *testing.T) {
		if _, err := d.Add(t.Context(), New{Username: "ＡＬＩＣＥ"}); !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	})
	t.Run("of many who add one name at once, one wins", func(t *testing.T) {
		var all sync.WaitGroup
		ids := make(chan string, 20)
		for range 20 {
			all.Go(func() {
				u, err := d.Add(t.Context(), New{Username: "race"})
				if err == nil {
					ids <- u.ID
				} else if !errors.Is(err, ErrExists) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(ids) != 1 {
			t.Fatalf("%d were added", len(ids))
		}
	})
	t.Run("bad fields are named and nothing is stored", func(t *testing.T) {
		for field, n := range map[string]New{
			"username": {Username: "a b"},
			"email":    {Username: "bad", Email: "bad"},
			"name":     {Username: "bad", Name: "a\nb"},
			"role":     {Username: "bad", Roles: []string{"a,admin"}},
			"group":    {Username: "bad", Groups: []string{""}},
		} {
			var invalid *InvalidError
			if _, err := d.Add(t.Context(), n); !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		if _, err := d.Get(t.Context(), "bad"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
	t.Run("the hash is at rest, and in no other JSON", func(t *testing.T) {
		raw, found, err := s.Get(t.Context(), "user/alice")
		if err != nil || !found || !strings.Contains(string(raw), `"password_hash":"$argon2id$1"`) {
			t.Errorf("%s %v %v", raw, found, err)
		}
		if out, err := json.Marshal(u); err != nil || strings.Contains(string(out), "argon2id") {
			t.Errorf("%s %v", out, err)
		}
	})
}

func TestNobody(t *testing.T) {
	d := directory(t, open(t))
	for _, name := range []string{"nobody", "", "a/b", "al\x00ice", strings.Repeat("a", 5000)} {
		if _, err := d.Get(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get(%.10q): %v", name, err)
		}
		if a, found, err := d.Account(t.Context(), name); a != nil || found || err != nil {
			t.Errorf("Account(%.10q): %v, %v, %v", name, a, found, err)
		}
		if _, err := d.Update(t.Context(), name, func(*User) error { t.Error("called"); return nil }); !errors.Is(err, ErrNotFound) {
			t.Errorf("Update(%.10q): %v", name, err)
		}
		if err := d.Delete(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("Delete(%.10q): %v", name, err)
		}
		if phc, ok, err := d.Credential(t.Context(), name); phc != "" || ok || err != nil {
			t.Errorf("Credential(%.10q): %q, %v, %v", name, phc, ok, err)
		}
	}
}

func TestUpdate(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	was := add(t, d, New{Username: "alice", Roles: []string{"clerk"}, PasswordHash: "one"})
	account := func() (a struct {
		Epoch    int64
		Disabled bool
		Roles    []string
	}) {
		t.Helper()
		got, found, err := d.Account(t.Context(), "alice")
		if err != nil || !found {
			t.Fatal(found, err)
		}
		a.Epoch, a.Disabled, a.Roles = got.Epoch, got.Disabled, got.Roles
		return a
	}
	change := func(fn func(*User)) *User {
		t.Helper()
		u, err := d.Update(t.Context(), "alice", func(u *User) error { fn(u); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	account() // now remembered

	t.Run("a role is in force at once, and ends no login", func(t *testing.T) {
		change(func(u *User) { u.Roles = append(u.Roles, "admin") })
		if a := account(); !slices.Equal(a.Roles, []string{"admin", "clerk"}) || a.Epoch != 1 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("a new password ends all logins", func(t *testing.T) {
		u := change(func(u *User) { u.PasswordHash = "two" })
		if a := account(); a.Epoch != 2 || !u.PasswordChanged.After(was.PasswordChanged) {
			t.Errorf("%+v", a)
		}
	})
	t.Run("disabling ends all logins, also after enabling", func(t *testing.T) {
		change(func(u *User) { u.Disabled = true })
		if a := account(); !a.Disabled || a.Epoch != 3 {
			t.Errorf("%+v", a)
		}
		change(func(u *User) { u.Disabled = false })
		if a := account(); a.Disabled || a.Epoch != 3 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("signing out everywhere", func(t *testing.T) {
		change((*User).EndSessions)
		if a := account(); a.Epoch != 4 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("who they are cannot change, nor the epoch go back", func(t *testing.T) {
		u := change(func(u *User) {
			u.ID, u.Username, u.Created, u.Epoch, u.Name = "usr_other", "bob", time.Time{}, 0, "Alice"
		})
		if u.ID != was.ID || u.Username != "alice" || !u.Created.Equal(was.Created) || u.Epoch != 4 || u.Name != "Alice" {
			t.Errorf("%+v", u)
		}
	})
	t.Run("a change that fails or is bad stores nothing", func(t *testing.T) {
		no := errors.New("no")
		if _, err := d.Update(t.Context(), "alice", func(u *User) error { u.Roles = nil; return no }); !errors.Is(err, no) {
			t.Error(err)
		}
		var invalid *InvalidError
		if _, err := d.Update(t.Context(), "alice", func(u *User) error { u.Roles = []string{"a,b"}; return nil }); !errors.As(err, &invalid) {
			t.Error(err)
		}
		if a := account(); !slices.Equal(a.Roles, []string{"admin", "clerk"}) {
			t.Errorf("%+v", a)
		}
	})
	t.Run("nothing changed: nothing written", func(t *testing.T) {
		before, _, _ := s.Get(t.Context(), "user/alice")
		change(func(*User) {})
		if after, _, _ := s.Get(t.Context(), "user/alice"); string(after) != string(before) {
			t.Errorf("%s\n%s", before, after)
		}
	})
	t.Run("many at once: no change is lost", func(t *testing.T) {
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if _, err := d.Update(t.Context(), "alice", func(u *User) error {
					u.Groups = append(u.Groups, fmt.Sprintf("g%d", i))
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if u, err := d.Get(t.Context(), "alice"); err != nil || len(u.Groups) != 20 {
			t.Errorf("%v %v", u.Groups, err)
		}
	})
	t.Run("an account shares nothing with the record", func(t *testing.T) {
		u, err := d.Get(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		a := u.Account()
		u.Roles[0], u.Groups[0] = "root", "root"
		if a.Roles[0] != "admin" || a.Groups[0] != "g0" {
			t.Errorf("%+v", a)
		}
	})
	t.Run("an account that was handed out does not change", func(t *testing.T) {
		a, _, _ := d.Account(t.Context(), "alice")
		change(func(u *User) { u.Roles[0] = "root" })
		if a.Roles[0] != "admin" {
			t.Errorf("%v", a.Roles)
		}
	})
}

func TestPasswordUsers(t *testing.T) {
	d := directory(t, open(t))
	add(t, d, New{Username: "alice", PasswordHash: "old"})
	add(t, d, New{Username: "keyless"})
	t.Run("a hash for who can sign in", func(t *testing.T) {
		if phc, ok, err := d.Credential(t.Context(), "ALICE"); phc != "old" || !ok || err != nil {
			t.Error(phc, ok, err)
		}
	})
	t.Run("none for who has no password", func(t *testing.T) {
		if phc, ok, err := d.Credential(t.Context(), "keyless"); phc != "" || ok || err != nil {
			t.Error(phc, ok, err)
		}
	})
	t.Run("rehash keeps logins and the date of the password", func(t *testing.T) {
		was, _ := d.Get(t.Context(), "alice")
		if err := d.Rehash(t.Context(), "alice", "old", "new"); err != nil {
			t.Fatal(err)
		}
		u, err := d.Get(t.Context(), "alice")
		if err != nil || u.PasswordHash != "new" || u.Epoch != was.Epoch || !u.PasswordChanged.Equal(was.PasswordChanged) {
			t.Errorf("%+v %v", u, err)
		}
	})
	t.Run("rehash after somebody changed the password changes nothing", func(t *testing.T) {
		if err := d.Rehash(t.Context(), "alice", "old", "newer"); err != nil {
			t.Fatal(err)
		}
		if err := d.Rehash(t.Context(), "keyless", "", "planted"); err != nil {
			t.Fatal(err)
		}
		if phc, _, _ := d.Credential(t.Context(), "alice"); phc != "new" {
			t.Error(phc)
		}
		if _, ok, _ := d.Credential(t.Context(), "keyless"); ok {
			t.Error("a user without a password got one")
		}
	})
	t.Run("none for the disabled", func(t *testing.T) {
		if _, err := d.Update(t.Context(), "alice", func(u *User) error { u.Disabled = true; return nil }); err != nil {
			t.Fatal(err)
		}
		if phc, ok, err := d.Credential(t.Context(), "alice"); phc != "" || ok || err != nil {
			t.Error(phc, ok, err)
		}
	})
	t.Run("last login", func(t *testing.T) {
		was, _ := d.Get(t.Context(), "alice")
		when := time.Now().Add(time.Hour).UTC().Round(0)
		for _, at := range []time.Time{when, when.Add(-time.Minute)} { // two logins that end in the wrong order
			if err := d.SeenLogin(t.Context(), "alice", at); err != nil {
				t.Fatal(err)
			}
		}
		if u, err := d.Get(t.Context(), "alice"); err != nil || !u.LastLogin.Equal(when) || !u.Updated.Equal(was.Updated) || u.Epoch != was.Epoch {
			t.Errorf("%+v %v", u, err)
		}
	})
}

func TestDeleteAndAny(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	hasUsers := func(want bool) {
		t.Helper()
		if got, err := d.Any(t.Context()); err != nil || got != want {
			t.Errorf("Any() = %v, %v; want %v", got, err, want)
		}
	}
	hasUsers(false)
	first := add(t, d, New{Username: "alice"})
	hasUsers(true)
	if _, found, _ := d.Account(t.Context(), "alice"); !found {
		t.Error("not there")
	}
	if err := d.Delete(t.Context(), "Alice"); err != nil {
		t.Fatal(err)
	}
	if _, found, err := d.Account(t.Context(), "alice"); found || err != nil {
		t.Error("a deleted user is still known", err)
	}
	hasUsers(false)
	if again := add(t, d, New{Username: "alice"}); again.ID == first.ID {
		t.Error("a new user of an old name got the old id")
	}
	t.Run("a damaged record counts, so that no set-up link is printed", func(t *testing.T) {
		if err := s.Put(t.Context(), "user/alice", []byte("{"), 0); err != nil {
			t.Fatal(err)
		}
		hasUsers(true)
	})
}

func TestList(t *testing.T) {
	d := directory(t, open(t))
	for _, name := range []string{"dave", "alice", "Carol", "bob", "zoë"} {
		add(t, d, New{Username: name})
	}
	var names []string
	for after := ""; ; {
		page, err := d.List(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page {
			names = append(names, u.Username)
			after = u.Username
		}
		if len(page) < 2 {
			break
		}
	}
	if want := []string{"alice", "bob", "carol", "dave", "zoë"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	var invalid *InvalidError
	if _, err := d.List(t.Context(), "a/b", 2); !errors.As(err, &invalid) {
		t.Errorf("a cursor that is no name: %v", err)
	}
}

// TestDamagedRecords: never a crash, never a pass, always the key in the error.
func TestDamagedRecords(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	for name, raw := range map[string]string{
		"empty":                        "",
		"cut off":                      `{"id":"usr_1","username":"mallory","epoch":1,"rol`,
		"null":                         `null`,
		"a list":                       `[]`,
		"no id":                        `{"username":"mallory","epoch":1}`,
		"no epoch":                     `{"id":"usr_1","username":"mallory"}`,
		"another user's":               `{"id":"usr_1","username":"admin","epoch":1}`,
		"roles that are no list":       `{"id":"usr_1","username":"mallory","epoch":1,"roles":"admin"}`,
		"a service with a person's id": `{"id":"usr_1","username":"mallory","epoch":1,"service":true}`,
		"a person with a service's id": `{"id":"svc_1","username":"mallory","epoch":1}`,
		"a rate that limits nothing":   `{"id":"svc_1","username":"mallory","epoch":1,"service":true,"rate":{"requests":-1,"per_ns":1000000000}}`,
		"half a rate":                  `{"id":"svc_1","username":"mallory","epoch":1,"service":true,"rate":{"requests":5}}`,
		"disabled as text":             `{"id":"usr_1","username":"mallory","epoch":1,"disabled":"true"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Put(t.Context(), "user/mallory", []byte(raw), 0); err != nil {
				t.Fatal(err)
			}
			check := func(what string, err error) {
				t.Helper()
				if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), `"user/mallory"`) {
					t.Errorf("%s: %v", what, err)
				}
			}
			_, err := d.Get(t.Context(), "mallory")
			check("Get", err)
			_, found, err := d.Account(t.Context(), "mallory")
			check("Account", err)
			if found {
				t.Error("Account found it")
			}
			_, ok, err := d.Credential(t.Context(), "mallory")
			check("Credential", err)
			if ok {
				t.Error("it may sign in")
			}
			_, err = d.Update(t.Context(), "mallory", func(*User) error { return nil })
			check("Update", err)
			_, err = d.List(t.Context(), "", 10)
			check("List", err)
			_, err = d.Services(t.Context(), "", 10)
			check("Services", err)
			if somebody, err := d.Any(t.Context()); !somebody || err != nil {
				t.Error("Any:", somebody, err)
			}
		})
	}
	if err := d.Delete(t.Context(), "mallory"); err != nil {
		t.Error("it cannot be deleted either:", err)
	}
}

func TestStoreGone(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	add(t, d, New{Username: "alice", PasswordHash: "x"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, getErr := d.Get(t.Context(), "alice")
	_, found, accountErr := d.Account(t.Context(), "alice")
	_, ok, credentialErr := d.Credential(t.Context(), "alice")
	_, anyErr := d.Any(t.Context())
	_, addErr := d.Add(t.Context(), New{Username: "bob"})
	_, listErr := d.List(t.Context(), "", 10)
	_, servicesErr := d.Services(t.Context(), "", 10)
	for i, err := range []error{getErr, accountErr, credentialErr, anyErr, addErr, listErr, servicesErr} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if found || ok {
		t.Error("a pass without a store")
	}
}

func BenchmarkAccount(b *testing.B) {
	for _, name := range []string{"alice", "zoë"} {
		b.Run(name, func(b *testing.B) {
			d := directory(b, open(b))
			if _, err := d.Add(b.Context(), New{Username: name}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, found, err := d.Account(b.Context(), name); !found || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
