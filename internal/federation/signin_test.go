package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// person is somebody at the provider.
func person(subject string, change ...func(*oidc.Login)) *oidc.Login {
	l := &oidc.Login{Provider: "id", Issuer: issuer, Subject: subject, Username: "p" + subject}
	for _, fn := range change {
		fn(l)
	}
	return l
}

// with is an address that the provider tells.
func with(email string, verified bool) func(*oidc.Login) {
	return func(l *oidc.Login) { l.Email, l.EmailVerified = email, verified }
}

func (w *world) comes(e Entry, l *oidc.Login) *user.User {
	w.t.Helper()
	u, err := w.SignIn(context.Background(), e, l)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *world) refuses(e Entry, l *oidc.Login) *RefusedError {
	w.t.Helper()
	u, err := w.SignIn(context.Background(), e, l)
	var refused *RefusedError
	if u != nil || !errors.As(err, &refused) || refused.Sentence == "" || refused.Reason == "" {
		w.t.Fatalf("not refused: %v, %v", u, err)
	}
	for _, told := range []string{l.Subject, l.Email, l.Name, l.Username} {
		if told != "" && strings.Contains(refused.Sentence+refused.Error(), told) {
			w.t.Errorf("it repeats what was sent: %q %v", refused.Sentence, err)
		}
	}
	return refused
}

func (w *world) everybody() []string {
	w.t.Helper()
	list, err := w.users.List(context.Background(), "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, u := range list {
		names = append(names, u.Username)
	}
	return names
}

func TestSignIn(t *testing.T) {
	w := newWorld(t)
	e := w.entry()
	alice := w.comes(e, person("oauth2|1", func(l *oidc.Login) {
		l.Username, l.Name, l.Roles = "Alice", "Alice <b>Smith</b>\x00\u202e", []string{"admin"}
		with("alice@example.com", true)(l)
	}))
	if alice.Username != "alice" || alice.Provider != "id" || alice.Name != "Alice <b>Smith</b>" || alice.Email != "alice@example.com" || !alice.EmailVerified || len(alice.Roles) != 0 {
		t.Errorf("%+v", alice)
	}
	t.Run("again it is the same user, as the provider tells them now", func(t *testing.T) {
		u := w.comes(e, person("oauth2|1", func(l *oidc.Login) {
			l.Username, l.Name = "renamed", "Alice Jones"
			with("alice@new.example", false)(l)
		}))
		if u.ID != alice.ID || u.Username != "alice" || u.Name != "Alice Jones" || u.Email != "alice@new.example" || u.EmailVerified || u.Epoch != 1 {
			t.Errorf("%+v", u)
		}
	})
	t.Run("another subject with the same name and address is somebody else", func(t *testing.T) {
		u := w.comes(e, person("oauth2|2", func(l *oidc.Login) { l.Username = "alice"; with("alice@new.example", true)(l) }))
		if u.ID == alice.ID || u.Username != "alice-2" {
			t.Errorf("%+v", u)
		}
	})
	t.Run("the same subject of another issuer, too", func(t *testing.T) {
		u := w.comes(Entry{Name: "other"}, person("oauth2|1", func(l *oidc.Login) { l.Issuer, l.Username = "https://other.example", "alice" }))
		if u.ID == alice.ID || u.Username != "alice-3" || u.Provider != "other" {
			t.Errorf("%+v", u)
		}
	})
	t.Run("disabled is refused, in words that do not say so", func(t *testing.T) {
		if _, err := w.users.Update(t.Context(), "alice", func(u *user.User) error { u.Disabled = true; return nil }); err != nil {
			t.Fatal(err)
		}
		r := w.refuses(e, person("oauth2|1", with("evil@example.com", true)))
		if r.Username != "alice" || strings.Contains(r.Sentence, "disabled") || !strings.Contains(r.Reason, "disabled") {
			t.Errorf("%+v", r)
		}
		if u, err := w.users.Get(t.Context(), "alice"); err != nil || u.Email != "alice@new.example" {
			t.Error("what a refused login tells is kept:", u, err)
		}
	})
	t.Run("who is nobody", func(t *testing.T) {
		before := w.everybody()
		for _, l := range []*oidc.Login{nil, {}, {Issuer: issuer}, {Subject: "1"}, person("a\nb"), person(strings.Repeat("1", 600)), person("\xff")} {
			if u, err := w.SignIn(t.Context(), e, l); u != nil || err == nil {
				t.Error(u, err)
			}
		}
		if after := w.everybody(); !slices.Equal(before, after) {
			t.Errorf("%q", after)
		}
	})
	t.Run("the store is away", func(t *testing.T) {
		defer w.store.hook(nil)
		for _, fault := range []func(string, string) error{away("get", "federated/"), away("create", "user/"), away("create", "federated/"), away("get", "user/")} {
			w.store.hook(fault)
			var refused *RefusedError
			if u, err := w.SignIn(t.Context(), e, person("77")); u != nil || !errors.Is(err, store.ErrUnavailable) || errors.As(err, &refused) {
				t.Error(u, err)
			}
		}
		w.store.hook(nil)
		if u := w.comes(e, person("77")); u.Username != "p77" { // what was left is taken up
			t.Errorf("%+v", u)
		}
	})
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	if _, err := w.users.Add(t.Context(), user.New{Username: "root", Roles: []string{"admin"}}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for name, c := range map[string]struct {
		l    oidc.Login
		want string
	}{
		"the mapped one first":          {oidc.Login{Username: "Mapped", Claims: map[string]any{"preferred_username": "preferred"}, Email: "local@x.example"}, "mapped"},
		"then the preferred one":        {oidc.Login{Username: "no name", Claims: map[string]any{"preferred_username": "preferred"}, Email: "local@x.example"}, "preferred"},
		"then of the address":           {oidc.Login{Claims: map[string]any{"preferred_username": 7}, Email: "local@x.example"}, "local"},
		"then the subject":              {oidc.Login{Subject: "auth0.1234"}, "auth0.1234"},
		"not a long one":                {oidc.Login{Subject: strings.Repeat("1", 33)}, "user-"},
		"nor one that is none":          {oidc.Login{Subject: "auth0|1234"}, "user-"},
		"one that exists is not theirs": {oidc.Login{Username: "ROOT", Subject: "oauth2|x"}, "root-2"},
		"a name with markup":            {oidc.Login{Username: `<img src=x>`, Subject: "oauth2|y"}, "user-"},
		"with control characters":       {oidc.Login{Username: "ro\x00ot", Claims: map[string]any{"preferred_username": "ro\u202eot"}, Subject: "oauth2|z"}, "user-"},
		"a path":                        {oidc.Login{Username: "../root", Email: "../root@x.example", Subject: "oauth2|p"}, "user-"},
		"without end":                   {oidc.Login{Username: strings.Repeat("a", 1<<20), Subject: "oauth2|l"}, "user-"},
		"an address as a name":          {oidc.Login{Username: "zoe@example.com"}, "zoe@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			n++
			c.l.Issuer = issuer
			if c.l.Subject == "" {
				c.l.Subject = fmt.Sprintf("%036d", n)
			}
			u := w.comes(w.entry(), &c.l)
			if u.Username != c.want && !(c.want == "user-" && strings.HasPrefix(u.Username, "user-")) || len(u.Roles) != 0 {
				t.Errorf("%+v", u)
			}
		})
	}
}

func TestAllowedDomains(t *testing.T) {
	w := newWorld(t)
	e := w.entry()
	e.AllowEmailDomain = []string{"Example.com", "example.org"}
	n := 0
	for address, want := range map[string]bool{
		"a@example.com": true, "a@EXAMPLE.COM": true, "a@example.org": true,
		"a@sub.example.com": false, "a@notexample.com": false, "a@example.com.evil.example": false, "a@example.com.": false,
		"a@evil.example@example.com": false, `"a@evil.example"@example.com`: false, "@example.com": false, "example.com": false, "": false,
		"a@": false, "a@example.com ": false, "a@ example.com": false, "a@example.com\x00": false, "a@exa\u212Aple.com": false, "a@ｅxample.com": false,
	} {
		n++
		if want {
			w.comes(e, person(fmt.Sprint("d", n), with(address, true)))
		} else {
			w.refuses(e, person(fmt.Sprint("d", n), with(address, true)))
		}
		w.refuses(e, person(fmt.Sprint("u", n), with(address, false))) // merely claimed
	}
	t.Run("the Kelvin sign is no k", func(t *testing.T) {
		e.AllowEmailDomain = []string{"kite.example"}
		w.refuses(e, person("kelvin", with("a@\u212Aite.example", true)))
	})
	t.Run("whoever was here before, too", func(t *testing.T) {
		w.comes(w.entry(), person("before", with("a@left.example", true)))
		w.refuses(e, person("before", with("a@left.example", true)))
	})
	t.Run("nobody refused has left a user", func(t *testing.T) {
		for _, name := range w.everybody() {
			u, err := w.users.Get(t.Context(), name)
			if err != nil || !strings.HasSuffix(u.Email, "@example.com") && !strings.HasSuffix(u.Email, "@example.org") && u.Email != "a@left.example" {
				t.Errorf("%+v %v", u, err)
			}
		}
	})
	if (&Entry{AllowEmailDomain: []string{""}}).allows("a@", true) {
		t.Error("an empty domain allows an empty domain")
	}
}

func TestLinkByEmail(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	linking := w.entry()
	linking.LinkByEmail = true
	add := func(name, email string, verified bool) *user.User {
		t.Helper()
		u, err := w.users.Add(ctx, user.New{Username: name, Email: email, EmailVerified: verified, Roles: []string{"admin"}})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	alice := add("alice", "alice@example.com", true)
	add("claims", "claims@example.com", false)
	add("twin-1", "twin@example.com", true)
	add("twin-2", "twin@example.com", true)
	add("off", "off@example.com", true)
	if _, err := w.users.Add(ctx, user.New{Username: "robot", Service: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.users.Update(ctx, "off", func(u *user.User) error { u.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	isNew := func(t *testing.T, e Entry, l *oidc.Login) {
		t.Helper()
		if u := w.comes(e, l); u.Provider != "id" || len(u.Roles) != 0 {
			t.Errorf("%+v", u)
		}
	}
	t.Run("only where it is asked for", func(t *testing.T) {
		isNew(t, w.entry(), person("1", with("alice@example.com", true)))
	})
	t.Run("with an address that the provider has verified", func(t *testing.T) {
		isNew(t, linking, person("2", with("alice@example.com", false)))
		u := w.comes(linking, person("3", func(l *oidc.Login) { l.Name = "Mallory"; with("alice@example.com", true)(l) }))
		if u.ID != alice.ID || u.Name != "" || u.Provider != "" || !slices.Equal(u.Roles, []string{"admin"}) {
			t.Errorf("%+v", u)
		}
	})
	t.Run("from then on by the subject, whatever the address", func(t *testing.T) {
		if u := w.comes(w.entry(), person("3", with("other@example.com", true))); u.ID != alice.ID || u.Email != "alice@example.com" {
			t.Errorf("%+v", u)
		}
	})
	t.Run("a second subject with her address is not her", func(t *testing.T) {
		isNew(t, linking, person("4", with("alice@example.com", true)))
	})
	t.Run("not with one that is only claimed here, or that several have", func(t *testing.T) {
		isNew(t, linking, person("5", with("claims@example.com", true)))
		isNew(t, linking, person("6", with("twin@example.com", true)))
	})
	t.Run("not with the address of a service", func(t *testing.T) {
		// It has none; a record that got one past all checks is no service's, but damage.
		isNew(t, linking, person("7", with("robot@example.com", true)))
		if u, err := w.users.Get(ctx, "robot"); err != nil || len(u.Federated) != 0 {
			t.Error(u, err)
		}
	})
	t.Run("who is disabled does not come in as somebody new", func(t *testing.T) {
		before := len(w.everybody())
		w.refuses(linking, person("8", with("off@example.com", true)))
		if len(w.everybody()) != before {
			t.Error("a user was made")
		}
	})
	t.Run("a record that cannot be read may be another with the address", func(t *testing.T) {
		if err := w.store.Put(ctx, "user/zz", []byte("{"), 0); err != nil {
			t.Fatal(err)
		}
		var refused *RefusedError
		if u, err := w.SignIn(ctx, linking, person("9", with("new@example.com", true))); u != nil || err == nil || errors.As(err, &refused) {
			t.Error(u, err)
		}
		if err := w.users.Delete(ctx, "zz"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("many at once: one is linked, and as one", func(t *testing.T) {
		add("erin", "erin@example.com", true)
		var all sync.WaitGroup
		ids := make(chan string, 20)
		for range 20 {
			all.Go(func() {
				u, err := w.SignIn(ctx, linking, person("erin", with("erin@example.com", true)))
				if err != nil {
					t.Error(err)
					return
				}
				ids <- u.Username
			})
		}
		all.Wait()
		close(ids)
		for name := range ids {
			if name != "erin" {
				t.Error(name)
			}
		}
	})
}

// TestTwoFirstLoginsAtOnce: the same person twice, and two of one name, on two
// instances.
func TestTwoFirstLoginsAtOnce(t *testing.T) {
	url := storetest.Redis(t).URL()
	p := newProvider()
	instances := []*instance{onRedis(t, url, p), onRedis(t, url, p)}
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]map[string]bool{}
	for n := range 40 {
		all.Go(func() {
			subject := fmt.Sprint("s", n%4)
			i := instances[n/4%2]
			u, err := i.SignIn(context.Background(), i.entry(), person(subject, func(l *oidc.Login) { l.Username = "sam" }))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[subject] == nil {
				seen[subject] = map[string]bool{}
			}
			seen[subject][u.ID] = true
		})
	}
	all.Wait()
	everybody := map[string]bool{}
	for subject, ids := range seen {
		if len(ids) != 1 {
			t.Errorf("%s is %d users", subject, len(ids))
		}
		for id := range ids {
			everybody[id] = true
		}
	}
	list, err := instances[0].users.List(context.Background(), "", 100)
	if err != nil || len(list) != 4 || len(everybody) != 4 {
		t.Errorf("%d users of %d subjects, %v", len(list), len(everybody), err)
	}
}

func TestSession(t *testing.T) {
	w := newWorld(t)
	then := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	l := person("1", func(l *oidc.Login) {
		l.Roles, l.Groups, l.ACR, l.AMR, l.AuthTime, l.SID = []string{"cafe\u0301", "x"}, nil, "loa2", []string{"otp"}, then, "sid"
		l.Claims, l.Tokens = map[string]any{"a": true}, oidc.Tokens{Access: "a", Refresh: "r", Type: "Bearer"}
	})
	u := w.comes(w.entry(), l)
	s, err := w.Session(w.entry(), u, l)
	if err != nil {
		t.Fatal(err)
	}
	if s.Username != "p1" || s.UserID != u.ID || s.Epoch != 1 || s.Provider != "id" || s.ProviderIssuer != issuer || s.ProviderSubject != "1" ||
		s.ProviderSID != "sid" || s.ACR != "loa2" || !slices.Equal(s.AMR, []string{"otp"}) || !s.AuthTime.Equal(then) ||
		!slices.Equal(s.Roles, []string{"café", "x"}) || s.Groups != nil || s.Claims["a"] != true || len(s.Tokens) == 0 {
		t.Errorf("%+v", s)
	}
	token, made, err := w.sessions.Create(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if id := w.in(token); !slices.Equal(id.Roles, []string{"café", "x"}) || !id.AuthTime.Equal(then) {
		t.Errorf("%+v", id)
	}
	raw, _, err := w.store.Get(t.Context(), "session/"+made.ID)
	if err != nil || strings.Contains(string(raw), `"r"`) {
		t.Errorf("%s %v", raw, err)
	}
}
