package user

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

const google = "https://accounts.google.com"

var aliceAtGoogle = FederatedID{Provider: "google", Issuer: google, Subject: "1001"}

func atGoogle(subject string) FederatedID {
	return FederatedID{Provider: "google", Issuer: google, Subject: subject}
}

// first is a first login that must succeed.
func first(t testing.TB, d *Directory, id FederatedID, candidates ...string) *User {
	t.Helper()
	u, err := d.AddFederated(t.Context(), New{}, id, candidates)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// leadsTo says who a login is found to be; "" is nobody.
func leadsTo(t testing.TB, d *Directory, id FederatedID, want string) {
	t.Helper()
	u, err := d.FindFederated(t.Context(), id.Issuer, id.Subject)
	switch {
	case want == "" && !errors.Is(err, ErrNotFound):
		t.Errorf("%v, %v; want nobody", u, err)
	case want != "" && (err != nil || u.Username != want):
		t.Errorf("%v, %v; want %s", u, err, want)
	}
}

func everybody(t testing.TB, d *Directory) []string {
	t.Helper()
	list, err := d.List(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range list {
		names = append(names, u.Username)
	}
	return names
}

func TestFirstLogin(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	u, err := d.AddFederated(t.Context(), New{
		Username: "root", Email: "Alice@EXAMPLE.com", EmailVerified: true, Name: "Alice", Roles: []string{"guest"},
	}, aliceAtGoogle, []string{"Alice", "alice.smith"})
	if err != nil {
		t.Fatal(err)
	}
	if u.Username != "alice" || !strings.HasPrefix(u.ID, "usr_") || u.Provider != "google" || u.Email != "Alice@example.com" ||
		!u.EmailVerified || u.Name != "Alice" || !slices.Equal(u.Roles, []string{"guest"}) || u.PasswordHash != "" || u.Epoch != 1 ||
		len(u.Federated) != 1 || u.Federated[0].Subject != "1001" || u.Federated[0].Linked.IsZero() {
		t.Errorf("%+v", u)
	}
	t.Run("the next login finds the same user", func(t *testing.T) {
		leadsTo(t, d, aliceAtGoogle, "alice")
		if again := first(t, d, aliceAtGoogle, "somebody-else"); again.ID != u.ID {
			t.Errorf("%+v", again)
		}
	})
	t.Run("another subject, another issuer or another spelling is somebody else", func(t *testing.T) {
		for _, id := range []FederatedID{
			atGoogle("1002"), atGoogle("1001 "), atGoogle("01001"), {Provider: "google", Issuer: google + "/", Subject: "1001"},
			{Provider: "google", Issuer: "https://ACCOUNTS.google.com", Subject: "1001"},
		} {
			leadsTo(t, d, id, "")
		}
	})
	t.Run("issuer and subject cannot be shifted into each other", func(t *testing.T) {
		a, b := FederatedID{Provider: "x", Issuer: "https://a", Subject: "bc"}, FederatedID{Provider: "x", Issuer: "https://ab", Subject: "c"}
		if federatedKey(a.Issuer, a.Subject) == federatedKey(b.Issuer, b.Subject) {
			t.Error("one key for two")
		}
		leadsTo(t, d, FederatedID{Issuer: google + "\x001001", Subject: ""}, "")
		leadsTo(t, d, FederatedID{Issuer: google[:8], Subject: google[8:] + "\x001001"}, "")
	})
	t.Run("the account is like anybody's", func(t *testing.T) {
		a, found, err := d.Account(t.Context(), "alice")
		if err != nil || !found || a.ID != u.ID || a.Email != "Alice@example.com" {
			t.Error(a, found, err)
		}
		if _, ok, err := d.Credential(t.Context(), "alice"); ok || err != nil {
			t.Error("a password:", ok, err)
		}
	})
	t.Run("in JSON, for a list", func(t *testing.T) {
		out, err := json.Marshal(u)
		if err != nil || !strings.Contains(string(out), `"provider":"google"`) || !strings.Contains(string(out), `"federated":[{"provider":"google","issuer":"https://accounts.google.com","subject":"1001","linked":`) {
			t.Errorf("%s %v", out, err)
		}
		bob, err := json.Marshal(add(t, d, New{Username: "bob"}))
		if err != nil || strings.Contains(string(bob), "provider") || strings.Contains(string(bob), "federated") {
			t.Errorf("%s %v", bob, err)
		}
	})
	t.Run("Update changes neither the logins nor who made the record", func(t *testing.T) {
		got, err := d.Update(t.Context(), "alice", func(u *User) error {
			u.Provider, u.Federated[0].Subject, u.Name = "", "9999", "Changed"
			u.Federated = append(u.Federated, atGoogle("5"))
			return nil
		})
		if err != nil || got.Provider != "google" || len(got.Federated) != 1 || got.Federated[0].Subject != "1001" || got.Name != "Changed" {
			t.Errorf("%+v %v", got, err)
		}
	})
	t.Run("what cannot be somebody at a provider", func(t *testing.T) {
		for field, id := range map[string]FederatedID{
			"provider": {Issuer: google, Subject: "1"},
			"issuer":   {Provider: "google", Issuer: "https://a\x00b", Subject: "1"},
			"subject":  {Provider: "google", Issuer: google, Subject: strings.Repeat("1", 513)},
		} {
			var invalid *InvalidError
			if _, err := d.AddFederated(t.Context(), New{}, id, []string{"x"}); !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s: %v", field, err)
			}
			if _, err := d.LinkFederated(t.Context(), "bob", id); !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s: %v", field, err)
			}
			if field != "provider" {
				leadsTo(t, d, id, "")
			}
		}
		for _, id := range []FederatedID{atGoogle(""), atGoogle("a\nb"), atGoogle("\xff")} {
			if _, err := d.AddFederated(t.Context(), New{}, id, []string{"x"}); err == nil {
				t.Errorf("%q is taken", id.Subject)
			}
		}
	})
	t.Run("no service, nobody with a password", func(t *testing.T) {
		for _, n := range []New{{Service: true}, {PasswordHash: "x"}} {
			var invalid *InvalidError
			if _, err := d.AddFederated(t.Context(), n, atGoogle("77"), []string{"job"}); !errors.As(err, &invalid) {
				t.Error(err)
			}
		}
	})
}

func TestNamesOfFirstLogins(t *testing.T) {
	d := directory(t, open(t))
	add(t, d, New{Username: "admin", Roles: []string{"admin"}})
	add(t, d, New{Username: "job", Service: true})
	subject := 0
	login := func(candidates ...string) string {
		t.Helper()
		subject++
		u := first(t, d, atGoogle(fmt.Sprint("s", subject)), candidates...)
		if len(u.Roles) != 0 || u.Service {
			t.Errorf("%+v", u)
		}
		return u.Username
	}
	for _, c := range []struct {
		name       string
		candidates []string
		want       string
	}{
		{"the first that is free", []string{"carol", "c"}, "carol"},
		{"normalised", []string{"ＤＡＶＥ"}, "dave"},
		{"one that exists is not taken over", []string{"admin"}, "admin-2"},
		{"in whatever spelling", []string{"ＡＤＭＩＮ"}, "admin-3"},
		{"nor that of a service", []string{"job"}, "job-2"},
		{"the next candidate comes before a number", []string{"admin", "erin"}, "erin"},
		{"what is no name is passed over", []string{"", "a/b", "x y", "..", "fr\u202eed", "frank"}, "frank"},
		{"markup is no matter of names: it is kept as a name where it is one", []string{"<b>gina</b>", "gina"}, "gina"},
		{"numbers go on the first that is a name", []string{"a b", "admin", "job"}, "admin-4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := login(c.candidates...); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	t.Run("without a candidate one is made up", func(t *testing.T) {
		for _, candidates := range [][]string{nil, {"a b"}} {
			got := login(candidates...)
			rest, ok := strings.CutPrefix(got, "user-")
			if !ok || len(rest) != 8 || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz") != "" {
				t.Errorf("%q", got)
			}
		}
	})
	t.Run("after fifty of a name, and where a number makes it too long", func(t *testing.T) {
		for i := 1; i <= 50; i++ {
			if got, want := login("zoe"), "zoe-"+fmt.Sprint(i); got != want && !(i == 1 && got == "zoe") {
				t.Fatalf("%q, want %q", got, want)
			}
		}
		long := strings.Repeat("a", 127)
		if got := login(long); got != long {
			t.Error(got)
		}
		for _, name := range []string{"zoe", long} {
			if got := login(name); !strings.HasPrefix(got, "user-") {
				t.Error(got)
			}
		}
	})
	t.Run("when every name is taken it is an error", func(t *testing.T) {
		stuck := NewDirectory(d.store, Options{Rand: strings.NewReader(strings.Repeat("a", 10_000))})
		defer stuck.Close()
		if _, err := stuck.AddFederated(t.Context(), New{}, atGoogle("stuck-1"), nil); err != nil {
			t.Fatal(err)
		}
		if u, err := stuck.AddFederated(t.Context(), New{}, atGoogle("stuck-2"), nil); !errors.Is(err, ErrExists) {
			t.Error(u, err)
		}
		leadsTo(t, d, atGoogle("stuck-2"), "")
	})
}

func TestOddProfiles(t *testing.T) {
	d := directory(t, open(t))
	for name, c := range map[string]struct {
		in   New
		want Profile
	}{
		"markup stays text":           {New{Name: `<script>alert("x")</script>`}, Profile{Name: `<script>alert("x")</script>`}},
		"control characters":          {New{Name: "Al\x00i\r\nce\x1b[31m"}, Profile{Name: "Alice[31m"}},
		"turned around":               {New{Name: "Ali\u202ece\u2066"}, Profile{Name: "Alice"}},
		"not UTF-8":                   {New{Name: "Al\xffice"}, Profile{Name: "Alice"}},
		"very long":                   {New{Name: strings.Repeat("é", 1<<20)}, Profile{Name: strings.Repeat("é", 128)}},
		"only what cannot be seen":    {New{Name: " \x00\u202e "}, Profile{}},
		"an address that is none":     {New{Email: "alice@evil.com\r\nBcc: x@y.z", EmailVerified: true}, Profile{}},
		"two addresses":               {New{Email: "a@x.com,b@y.com", EmailVerified: true}, Profile{}},
		"no address, and verified":    {New{EmailVerified: true}, Profile{}},
		"an address":                  {New{Email: "a@X.com"}, Profile{Email: "a@x.com"}},
		"an address that is verified": {New{Email: "a@x.com", EmailVerified: true}, Profile{Email: "a@x.com", EmailVerified: true}},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := d.AddFederated(t.Context(), c.in, atGoogle(name), []string{"odd"})
			if err != nil {
				t.Fatal(err)
			}
			if got := (Profile{u.Email, u.EmailVerified, u.Name}); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func FuzzProfile(f *testing.F) {
	f.Add("a@example.com", "Alice")
	f.Add("a@b@c", "\x00\u202e\xff")
	f.Add("", strings.Repeat("\ufdfa", 300))
	f.Fuzz(func(t *testing.T, email, name string) {
		p := Profile{Email: email, EmailVerified: true, Name: name}.fit()
		u := User{Email: p.Email, EmailVerified: p.EmailVerified, Name: p.Name}
		if err := u.clean(); err != nil {
			t.Fatalf("%q, %q became %+v: %v", email, name, p, err)
		}
		if u.Email != p.Email || u.Name != p.Name {
			t.Fatalf("%+v is changed once more, to %q, %q", p, u.Email, u.Name)
		}
		if p.EmailVerified != (p.Email != "") {
			t.Fatalf("%+v", p)
		}
	})
}

func TestSetProfile(t *testing.T) {
	d := directory(t, open(t))
	first(t, d, aliceAtGoogle, "alice")
	add(t, d, New{Username: "bob", Email: "bob@example.com", EmailVerified: true, Name: "Bob"})
	atGitHub := FederatedID{Provider: "github", Issuer: "https://github.com", Subject: "7"}
	for name, id := range map[string]FederatedID{"alice": atGitHub, "bob": atGoogle("2002")} {
		if _, err := d.LinkFederated(t.Context(), name, id); err != nil {
			t.Fatal(err)
		}
	}
	set := func(name string, id FederatedID, p Profile) Profile {
		t.Helper()
		u, err := d.SetProfile(t.Context(), name, id, p)
		if err != nil {
			t.Fatal(err)
		}
		return Profile{u.Email, u.EmailVerified, u.Name}
	}
	now := Profile{"alice@example.com", true, "Alice"}
	t.Run("by the provider that made the record", func(t *testing.T) {
		if got := set("alice", aliceAtGoogle, now); got != now {
			t.Errorf("%+v", got)
		}
		if got := set("alice", aliceAtGoogle, Profile{"nonsense", true, "A\x00lice"}); got != (Profile{Name: "Alice"}) {
			t.Errorf("%+v", got)
		}
		set("alice", aliceAtGoogle, now)
	})
	t.Run("also after it was renamed in the configuration", func(t *testing.T) {
		renamed := aliceAtGoogle
		renamed.Provider = "workspace"
		if got := set("alice", renamed, Profile{"alice@example.com", true, "Alice S."}); got.Name != "Alice S." {
			t.Errorf("%+v", got)
		}
		set("alice", aliceAtGoogle, now)
	})
	t.Run("not by another provider, nor of a record that was made here, nor by a login that is not theirs", func(t *testing.T) {
		evil := Profile{"admin@example.com", true, "Admin"}
		if got := set("alice", atGitHub, evil); got != now {
			t.Errorf("%+v", got)
		}
		if got := set("bob", atGoogle("2002"), evil); got != (Profile{"bob@example.com", true, "Bob"}) {
			t.Errorf("%+v", got)
		}
		if got := set("alice", atGoogle("6666"), evil); got != now {
			t.Errorf("%+v", got)
		}
	})
	t.Run("no login ends by it, and nothing new writes nothing", func(t *testing.T) {
		before, err := d.Get(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		set("alice", aliceAtGoogle, now)
		if after, err := d.Get(t.Context(), "alice"); err != nil || after.Epoch != 1 || !after.Updated.Equal(before.Updated) {
			t.Errorf("%+v %v", after, err)
		}
	})
}

// TestEntriesThatLeadNowhere: the index is only a hint, and the record decides.
func TestEntriesThatLeadNowhere(t *testing.T) {
	point := func(t *testing.T, s store.Store, id FederatedID, username, userID string) {
		t.Helper()
		raw, err := json.Marshal(pointer{id.Issuer, id.Subject, username, userID})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), federatedKey(id.Issuer, id.Subject), raw, 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, lead := range map[string]func(admin *User) (username, userID string){
		"to a user who is gone":                  func(*User) (string, string) { return "nobody", "usr_1" },
		"to another user of the name":            func(*User) (string, string) { return "admin", "usr_1" },
		"to a user who does not list the login":  func(admin *User) (string, string) { return "admin", admin.ID },
		"to what can be nobody's name":           func(admin *User) (string, string) { return "a/b", admin.ID },
		"to a user's name in another spelling":   func(admin *User) (string, string) { return "ADMIN", admin.ID },
		"to the right id under the wrong person": func(admin *User) (string, string) { return "other", admin.ID },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			d := directory(t, s)
			admin := add(t, d, New{Username: "admin", Roles: []string{"admin"}})
			add(t, d, New{Username: "other"})
			username, userID := lead(admin)
			point(t, s, aliceAtGoogle, username, userID)
			leadsTo(t, d, aliceAtGoogle, "")
			if u := first(t, d, aliceAtGoogle, "alice"); u.ID == admin.ID || u.Username != "alice" {
				t.Errorf("%+v", u)
			}
			leadsTo(t, d, aliceAtGoogle, "alice")
		})
	}
	t.Run("to a user's successor, who has the same login", func(t *testing.T) {
		s := open(t)
		d := directory(t, s)
		u := first(t, d, aliceAtGoogle, "alice")
		point(t, s, aliceAtGoogle, "alice", "usr_of_before")
		leadsTo(t, d, aliceAtGoogle, "")
		if again := first(t, d, aliceAtGoogle, "alice"); again.ID != u.ID { // the record says so itself
			t.Errorf("%+v", again)
		}
		leadsTo(t, d, aliceAtGoogle, "alice")
	})
	t.Run("a service is nobody's login, whatever its record says", func(t *testing.T) {
		s := open(t)
		d := directory(t, s)
		raw := `{"id":"svc_1","username":"job","service":true,"epoch":1,"federated":[{"provider":"google","issuer":"` + google + `","subject":"1001"}]}`
		if err := s.Put(t.Context(), "user/job", []byte(raw), 0); err != nil {
			t.Fatal(err)
		}
		point(t, s, aliceAtGoogle, "job", "svc_1")
		if u, err := d.FindFederated(t.Context(), google, "1001"); err == nil || errors.Is(err, ErrNotFound) {
			t.Error(u, err)
		}
	})
	t.Run("a user whom no entry leads to is not signed in by the login of another", func(t *testing.T) {
		s := open(t)
		d := directory(t, s)
		// A link that was broken off after the record was written.
		bob := add(t, d, New{Username: "bob", Roles: []string{"admin"}})
		if _, err := d.update(t.Context(), "bob", func(_, u *User) error { u.Federated = []FederatedID{aliceAtGoogle}; return nil }, true); err != nil {
			t.Fatal(err)
		}
		leadsTo(t, d, aliceAtGoogle, "")
		if u := first(t, d, aliceAtGoogle, "bob"); u.ID == bob.ID || u.Username != "bob-2" {
			t.Errorf("%+v", u)
		}
		// Nor by a provider that made another record of that name.
		atGitHub := FederatedID{Provider: "github", Issuer: "https://github.com", Subject: "1001"}
		if u := first(t, d, atGitHub, "bob-2"); u.Username != "bob-2-2" {
			t.Errorf("%+v", u)
		}
	})
}

func TestDamagedEntries(t *testing.T) {
	for name, raw := range map[string]string{
		"empty": "", "cut off": `{"issuer":"` + google, "null": "null", "a list": "[]",
		"of another subject": `{"issuer":"` + google + `","subject":"1002","username":"admin","user_id":"usr_1"}`,
		"of another issuer":  `{"issuer":"https://evil.example","subject":"1001","username":"admin","user_id":"usr_1"}`,
		"of nobody":          `{"issuer":"` + google + `","subject":"1001"}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			d := directory(t, s)
			u := first(t, d, aliceAtGoogle, "alice")
			key := federatedKey(google, "1001")
			if err := s.Put(t.Context(), key, []byte(raw), 0); err != nil {
				t.Fatal(err)
			}
			_, findErr := d.FindFederated(t.Context(), google, "1001")
			_, addErr := d.AddFederated(t.Context(), New{}, aliceAtGoogle, []string{"alice"})
			_, linkErr := d.LinkFederated(t.Context(), "alice", aliceAtGoogle)
			for what, err := range map[string]error{"Find": findErr, "Add": addErr, "Link": linkErr} {
				if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), key) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if got := everybody(t, d); !slices.Equal(got, []string{"alice"}) {
				t.Errorf("%q", got)
			}
			// Unlinking repairs it.
			if _, err := d.UnlinkFederated(t.Context(), "alice", google, "1001"); err != nil {
				t.Fatal(err)
			}
			if again := first(t, d, aliceAtGoogle, "alice"); again.ID == u.ID {
				t.Error("an unlinked user is signed in")
			}
		})
	}
	t.Run("a damaged user whom an entry leads to", func(t *testing.T) {
		s := open(t)
		d := directory(t, s)
		first(t, d, aliceAtGoogle, "alice")
		if err := s.Put(t.Context(), "user/alice", []byte("{"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := d.FindFederated(t.Context(), google, "1001"); err == nil || errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if _, err := d.AddFederated(t.Context(), New{}, aliceAtGoogle, []string{"alice"}); err == nil {
			t.Error("a second user was made")
		}
	})
}

func TestDeletedUsersLoginsMakeNewUsers(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	u := first(t, d, aliceAtGoogle, "alice")
	if err := d.Delete(t.Context(), "Alice"); err != nil {
		t.Fatal(err)
	}
	leadsTo(t, d, aliceAtGoogle, "")
	time.Sleep(5 * time.Millisecond) // the life that an entry is left with
	if entries, err := s.Scan(t.Context(), federatedPrefix, "", 10); err != nil || len(entries) != 0 {
		t.Error(entries, err)
	}
	add(t, d, New{Username: "alice", Roles: []string{"admin"}}) // somebody else gets the name
	if again := first(t, d, aliceAtGoogle, "alice"); again.ID == u.ID || again.Username != "alice-2" {
		t.Errorf("%+v", again)
	}
	t.Run("a record that cannot be read is deleted all the same", func(t *testing.T) {
		if err := s.Put(t.Context(), "user/alice-2", []byte("{"), 0); err != nil {
			t.Fatal(err)
		}
		if err := d.Delete(t.Context(), "alice-2"); err != nil {
			t.Fatal(err)
		}
		leadsTo(t, d, aliceAtGoogle, "")
	})
	t.Run("the entry of whoever got the login meanwhile stays", func(t *testing.T) {
		bob := first(t, d, atGoogle("3"), "bob")
		if err := d.release(t.Context(), atGoogle("3"), "usr_of_before"); err != nil {
			t.Fatal(err)
		}
		leadsTo(t, d, atGoogle("3"), bob.Username)
	})
}

func TestStoreGoneAtFirstLogin(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	add(t, d, New{Username: "bob"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, findErr := d.FindFederated(ctx, google, "1")
	_, addErr := d.AddFederated(ctx, New{}, aliceAtGoogle, []string{"alice"})
	_, linkErr := d.LinkFederated(ctx, "bob", aliceAtGoogle)
	_, unlinkErr := d.UnlinkFederated(ctx, "bob", google, "1")
	_, byEmailErr := d.LinkByEmail(ctx, "bob@example.com", aliceAtGoogle)
	_, profileErr := d.SetProfile(ctx, "bob", aliceAtGoogle, Profile{})
	for what, err := range map[string]error{
		"Find": findErr, "Add": addErr, "Link": linkErr, "Unlink": unlinkErr, "LinkByEmail": byEmailErr, "SetProfile": profileErr,
	} {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
