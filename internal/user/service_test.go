package user

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

var perMinute = identity.Rate{Requests: 100, Per: time.Minute}

func TestServices(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	u := add(t, d, New{
		Username: "Reports-Job", Service: true, Name: "Nightly reports", Roles: []string{"reader"}, Groups: []string{"jobs"},
		Scopes: []string{"reports:write", "reports:read", "reports:read"}, Rate: perMinute,
	})
	scopes := []string{"reports:read", "reports:write"}
	if len(u.ID) != len("svc_")+26 || !strings.HasPrefix(u.ID, "svc_") || u.Username != "reports-job" || !u.Service ||
		!slices.Equal(u.Scopes, scopes) || u.Rate != perMinute || u.Epoch != 1 || !u.PasswordChanged.IsZero() {
		t.Errorf("%+v", u)
	}
	t.Run("it is read back whole, in any spelling of its name", func(t *testing.T) {
		got, err := d.Get(t.Context(), "REPORTS-JOB")
		if err != nil || got.ID != u.ID || !got.Service || !slices.Equal(got.Scopes, scopes) || got.Rate != perMinute || got.Name != u.Name {
			t.Errorf("%+v %v", got, err)
		}
		a, found, err := d.Account(t.Context(), "reports-job")
		if err != nil || !found || a.ID != u.ID || !a.Service || !slices.Equal(a.Scopes, scopes) || a.Rate != perMinute ||
			!slices.Equal(a.Roles, []string{"reader"}) {
			t.Errorf("%+v %v %v", a, found, err)
		}
	})
	t.Run("users and services share their names", func(t *testing.T) {
		add(t, d, New{Username: "alice"})
		if _, err := d.Add(t.Context(), New{Username: "reports-job"}); !errors.Is(err, ErrExists) {
			t.Error(err)
		}
		if _, err := d.Add(t.Context(), New{Username: "ALICE", Service: true}); !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	})
	t.Run("an account and a clone share nothing with the record", func(t *testing.T) {
		got, err := d.Get(t.Context(), "reports-job")
		if err != nil {
			t.Fatal(err)
		}
		a, c := got.Account(), got.clone()
		got.Scopes[0] = "admin"
		if a.Scopes[0] != "reports:read" || c.Scopes[0] != "reports:read" {
			t.Errorf("%q %q", a.Scopes, c.Scopes)
		}
	})
	t.Run("in JSON", func(t *testing.T) {
		out, err := json.Marshal(u)
		for _, want := range []string{`"service":true`, `"scopes":["reports:read","reports:write"]`, `"rate":{"requests":100,"per_ns":60000000000}`} {
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%s %v", out, err)
			}
		}
		alice, err := d.Get(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if out, err = json.Marshal(alice); err != nil || strings.Contains(string(out), "service") || strings.Contains(string(out), "scopes") || strings.Contains(string(out), "rate") {
			t.Errorf("%s %v", out, err)
		}
	})
}

func TestKindsOfOwners(t *testing.T) {
	d := directory(t, open(t))
	add(t, d, New{Username: "alice", PasswordHash: "x"})
	add(t, d, New{Username: "job", Service: true})
	update := func(name string, change func(*User)) error {
		t.Helper()
		_, err := d.Update(t.Context(), name, func(u *User) error { change(u); return nil })
		return err
	}
	t.Run("what only a person or only a service has", func(t *testing.T) {
		for name, c := range map[string]struct {
			field string
			made  New
		}{
			"a service with a password":             {"password", New{Service: true, PasswordHash: "x"}},
			"a service with an address":             {"email", New{Service: true, Email: "job@example.com"}},
			"a service with a verified address":     {"email", New{Service: true, EmailVerified: true}},
			"a person with a rate":                  {"rate", New{Rate: perMinute}},
			"a rate of no requests":                 {"rate", New{Service: true, Rate: identity.Rate{Per: time.Minute}}},
			"a rate of fewer than no requests":      {"rate", New{Service: true, Rate: identity.Rate{Requests: -1, Per: time.Minute}}},
			"a rate of too many requests":           {"rate", New{Service: true, Rate: identity.Rate{Requests: 1_000_001, Per: time.Minute}}},
			"a rate per no time":                    {"rate", New{Service: true, Rate: identity.Rate{Requests: 1}}},
			"a rate per less than a second":         {"rate", New{Service: true, Rate: identity.Rate{Requests: 1, Per: time.Second - 1}}},
			"a rate per more than a day":            {"rate", New{Service: true, Rate: identity.Rate{Requests: 1, Per: 24*time.Hour + 1}}},
			"a scope that is no scope":              {"scope", New{Scopes: []string{"a b"}}},
			"a service's scope that is no scope":    {"scope", New{Service: true, Scopes: []string{"reports:read", ""}}},
			"more scopes than anybody should carry": {"scope", New{Scopes: many(65)}},
		} {
			t.Run(name, func(t *testing.T) {
				c.made.Username = "bad"
				_, err := d.Add(t.Context(), c.made)
				var invalid *InvalidError
				if !errors.As(err, &invalid) || invalid.Field != c.field {
					t.Error(err)
				}
				if _, err := d.Get(t.Context(), "bad"); !errors.Is(err, ErrNotFound) {
					t.Error("stored nevertheless:", err)
				}
				owner := "alice"
				if c.made.Service {
					owner = "job"
				}
				err = update(owner, func(u *User) {
					u.Email, u.EmailVerified, u.PasswordHash = c.made.Email, c.made.EmailVerified, c.made.PasswordHash
					u.Scopes, u.Rate = c.made.Scopes, c.made.Rate
				})
				if !errors.As(err, &invalid) || invalid.Field != c.field {
					t.Error("Update:", err)
				}
			})
		}
	})
	t.Run("the bounds of a rate", func(t *testing.T) {
		for _, r := range []identity.Rate{{Requests: 1, Per: time.Second}, {Requests: 1_000_000, Per: 24 * time.Hour}, {}} {
			if err := update("job", func(u *User) { u.Rate = r }); err != nil {
				t.Errorf("%v: %v", r, err)
			}
		}
	})
	t.Run("as many scopes as are allowed, counted without duplicates", func(t *testing.T) {
		if err := update("alice", func(u *User) { u.Scopes = append(many(64), many(64)...) }); err != nil {
			t.Error(err)
		}
	})
	t.Run("a person becomes no service, nor the other way round", func(t *testing.T) {
		for name, service := range map[string]bool{"alice": false, "job": true} {
			if err := update(name, func(u *User) { u.Service, u.Name = !service, "changed" }); err != nil {
				t.Error(err)
			}
			if u, err := d.Get(t.Context(), name); err != nil || u.Service != service || u.Name != "changed" {
				t.Errorf("%+v %v", u, err)
			}
		}
		// In one stroke with what the other kind alone may have.
		if err := update("job", func(u *User) { u.Service, u.PasswordHash = false, "x" }); err == nil {
			t.Error("a service got a password")
		}
	})
	t.Run("a new scope and a new rate are in force at once", func(t *testing.T) {
		if a, _, err := d.Account(t.Context(), "job"); err != nil || len(a.Scopes) != 0 || a.Rate.Limited() {
			t.Fatal(a, err)
		}
		if err := update("job", func(u *User) { u.Scopes, u.Rate = []string{"reports:read"}, perMinute }); err != nil {
			t.Fatal(err)
		}
		if a, _, err := d.Account(t.Context(), "job"); err != nil || !slices.Equal(a.Scopes, []string{"reports:read"}) || a.Rate != perMinute {
			t.Error(a, err)
		}
	})
}

func many(n int) (scopes []string) {
	for i := range n {
		scopes = append(scopes, fmt.Sprintf("s%d", i))
	}
	return scopes
}

// TestServiceSignsInWithNoPassword: not even with one that got into its record
// past this package.
func TestServiceSignsInWithNoPassword(t *testing.T) {
	s := open(t)
	d := directory(t, s)
	raw := `{"id":"svc_1","username":"job","service":true,"epoch":1,"password_hash":"planted"}`
	if err := s.Put(t.Context(), "user/job", []byte(raw), 0); err != nil {
		t.Fatal(err)
	}
	if u, err := d.Get(t.Context(), "job"); err != nil || u.PasswordHash != "planted" {
		t.Fatal(u, err)
	}
	if phc, ok, err := d.Credential(t.Context(), "job"); phc != "" || ok || err != nil {
		t.Error(phc, ok, err)
	}
}

// TestAnyCountsPeople: a service cannot use the portal, so a house of services
// alone still needs its set-up link.
func TestAnyCountsPeople(t *testing.T) {
	d := directory(t, open(t))
	somebody := func(want bool) {
		t.Helper()
		if got, err := d.Any(t.Context()); err != nil || got != want {
			t.Errorf("Any() = %v, %v; want %v", got, err, want)
		}
	}
	for i := range pageSize + 5 {
		add(t, d, New{Username: fmt.Sprintf("job-%03d", i), Service: true})
	}
	somebody(false)
	add(t, d, New{Username: "zoe"}) // behind more than a page of services
	somebody(true)
	if err := d.Delete(t.Context(), "zoe"); err != nil {
		t.Fatal(err)
	}
	somebody(false)
	add(t, d, New{Username: "alice"}) // before them
	somebody(true)
}

func TestListsOfBothKinds(t *testing.T) {
	d := directory(t, open(t))
	var people, services []string
	for i := range 130 {
		person, service := fmt.Sprintf("a%03d", i), fmt.Sprintf("m%03d", i)
		if i%7 == 0 {
			person = fmt.Sprintf("z%03d", i)
		}
		if i%3 == 0 {
			service = fmt.Sprintf("a%03d-job", i) // between people
		}
		add(t, d, New{Username: person})
		add(t, d, New{Username: service, Service: true})
		people, services = append(people, person), append(services, service)
	}
	slices.Sort(people)
	slices.Sort(services)
	for name, c := range map[string]struct {
		list func(after string, limit int) ([]*User, error)
		want []string
	}{
		"people":   {func(a string, l int) ([]*User, error) { return d.List(t.Context(), a, l) }, people},
		"services": {func(a string, l int) ([]*User, error) { return d.Services(t.Context(), a, l) }, services},
	} {
		for _, limit := range []int{1, 3, 64, 130, 1000, 0} {
			t.Run(fmt.Sprintf("%s by %d: all of them, once, in order", name, limit), func(t *testing.T) {
				var got []string
				for after := ""; ; {
					page, err := c.list(after, limit)
					if err != nil {
						t.Fatal(err)
					}
					for _, u := range page {
						after = u.Username
						got = append(got, after)
					}
					full := limit
					if full == 0 {
						full = 100
					}
					if len(page) > full {
						t.Fatalf("%d of at most %d", len(page), full)
					}
					if len(page) < full {
						break
					}
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%q\nwant %q", got, c.want)
				}
			})
		}
	}
	t.Run("a cursor may be of the other kind, or of nobody", func(t *testing.T) {
		for _, after := range []string{"A000-job", "a000x"} {
			got, err := d.List(t.Context(), after, 1)
			if err != nil || len(got) != 1 || got[0].Username != "a001" {
				t.Errorf("%q: %v %v", after, got, err)
			}
		}
		var invalid *InvalidError
		if _, err := d.Services(t.Context(), "a/b", 1); !errors.As(err, &invalid) {
			t.Error(err)
		}
	})
}

func TestScopes(t *testing.T) {
	for _, ok := range []string{"reports:read", "https://example.com/scope?a=b", "!", "~", "[x]", "a'b", strings.Repeat("a", 128)} {
		if err := CheckScope(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "a space": "a b", "a tab": "a\tb", "a line break": "a\n", "a NUL": "a\x00", "DEL": "a\x7f", "a quote": `a"b`,
		"a backslash": `a\b`, "a comma": "a,admin", "not ASCII": "ä", "not UTF-8": "\xff", "too long": strings.Repeat("a", 129),
	} {
		var invalid *InvalidError
		if err := CheckScope(bad); !errors.As(err, &invalid) || invalid.Field != "scope" {
			t.Errorf("%s: CheckScope(%q) = %v", name, bad, err)
		}
	}
	in := []string{"b", "a", "b"}
	if got, err := cleanScopes(in); err != nil || !slices.Equal(got, []string{"a", "b"}) || in[0] != "b" {
		t.Errorf("%q %v, from %q", got, err, in)
	}
	if got, err := cleanScopes([]string{"Read", "read"}); err != nil || len(got) != 2 {
		t.Errorf("two scopes became %q, %v", got, err)
	}
}

func FuzzScope(f *testing.F) {
	for _, s := range []string{"", "reports:read", "a b", `"`, `\`, "a,b", "\x7f", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckScope(s) != nil {
			return
		}
		// A scope survives the list forms that it travels in.
		if got := strings.Fields("x " + s + " y"); len(got) != 3 || got[1] != s {
			t.Fatalf("%q in a space-separated list became %q", s, got)
		}
		if got := strings.Split("x,"+s+",y", ","); len(got) != 3 || got[1] != s {
			t.Fatalf("%q in a comma-separated list became %q", s, got)
		}
		if got := fmt.Sprintf("%q", s); got != `"`+s+`"` {
			t.Fatalf("%q as a quoted string became %s", s, got)
		}
	})
}
