package oidc

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

const testGitHub = "https://github.example.com"

// octo is GitHub, and us as its client.
type octo struct {
	*Provider
	t  *testing.T
	gh *optest.GitHub
}

func newOcto(t *testing.T, change ...func(*Options)) *octo {
	t.Helper()
	gh := optest.NewGitHub()
	o := Options{Name: "github", Preset: "github", Issuer: testGitHub, ClientID: "client", ClientSecret: "secret", Transport: optest.Transport(gh)}
	for _, c := range change {
		c(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &octo{p, t, gh}
}

func (o *octo) login() (*Login, error) {
	o.t.Helper()
	address, pending, err := o.Begin(o.t.Context(), Request{RedirectURL: testCallback, LoginHint: "octocat"})
	if err != nil {
		return nil, err
	}
	r := must(http.NewRequest(http.MethodGet, address, nil))
	res, err := optest.Transport(o.gh).RoundTrip(r)
	if err != nil {
		o.t.Fatal(err)
	}
	return o.Finish(o.t.Context(), pending, must(res.Location()).Query())
}

func TestGitHub(t *testing.T) {
	o := newOcto(t)
	if ready, err := o.Status(); !ready || err != nil || o.Ready(t.Context()) != nil || o.CanStepUp() {
		t.Error(ready, err)
	}
	address, pending, err := o.Begin(t.Context(), Request{RedirectURL: testCallback, LoginHint: "octocat"})
	q := must(url.Parse(address)).Query()
	if err != nil || !strings.HasPrefix(address, testGitHub+"/login/oauth/authorize?") || q.Get("login") != "octocat" || q.Has("login_hint") || q.Has("nonce") || pending.Nonce != "" || q.Get("scope") != "read:user user:email" || q.Get("code_challenge_method") != "S256" {
		t.Error(address, err)
	}
	l, err := o.login()
	if err != nil {
		t.Fatal(err)
	}
	if l.Issuer != testGitHub || l.Subject != "583231" || l.Username != "octocat" || l.Name != "The Octocat" || l.Email != "octocat@example.com" || !l.EmailVerified || l.Groups != nil || l.Tokens.ID != "" || l.Tokens.Access == "" {
		t.Errorf("%+v", l)
	}
	if o.Close(); o.gh.Asked("/.well-known/openid-configuration") != 0 {
		t.Error("there are no metadata to ask for")
	}
	if o.gh.Asked("/user/orgs") != 0 {
		t.Error("nobody asked for organisations")
	}
	if _, ok := o.EndSessionURL("", "", ""); ok {
		t.Error("it ends no sessions")
	}
	if _, err := o.LogoutToken(t.Context(), "a.b.c"); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	forger := optest.New(testGitHub) // whose keys nobody has
	if l, err := o.LogoutToken(t.Context(), forger.LogoutToken("583231", "s")); l != nil || !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if _, ok := o.FrontChannel(url.Values{"iss": {testGitHub}, "sid": {"s"}}); ok {
		t.Error("front-channel")
	}
	for _, r := range []Request{{ACRValues: []string{"mfa"}}, {MaxAge: new(time.Duration)}} {
		r.RedirectURL = testCallback
		if _, _, err := o.Begin(t.Context(), r); !errors.Is(err, ErrNoStepUp) {
			t.Error(err)
		}
	}
}

func TestGitHubAddresses(t *testing.T) {
	for issuer, api := range map[string]string{
		"https://github.com": "https://api.github.com", "https://acme.ghe.com": "https://api.acme.ghe.com", "https://git.example.com": "https://git.example.com/api/v3",
		"http://127.0.0.1:8080": "http://127.0.0.1:8080/api/v3", "https://notgithub.com": "https://notgithub.com/api/v3",
	} {
		if got := githubAPI(issuer); got != api {
			t.Errorf("%s: %s", issuer, got)
		}
	}
}

func TestGitHubOnThisMachine(t *testing.T) {
	gh, issuer := optest.StartGitHub(t)
	p, err := New(Options{Name: "github", Preset: "github", Issuer: issuer + "/", ClientID: "client", ClientSecret: "secret", Organizations: []string{"acme"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if l, err := (&octo{p, t, gh}).login(); err != nil || l.Issuer != issuer || len(l.Groups) != 2 {
		t.Errorf("%+v %v", l, err)
	}
}

func TestGitHubGroups(t *testing.T) {
	groups := func(o *Options) { o.Claims = map[string]string{"groups": "groups"} }
	members := func(names ...string) func(*Options) { return func(o *Options) { o.Organizations = names } }
	another := func(w *optest.GitHubWorld) {
		w.Orgs = append(w.Orgs, object{"login": "finance", "id": 9})
		w.Teams = append(w.Teams, object{"slug": "admins", "organization": object{"login": "finance"}}, object{"slug": "odd", "organization": object{"login": "elsewhere"}})
	}
	for name, c := range map[string]struct {
		change func(*Options)
		world  func(*optest.GitHubWorld)
		want   []string
		out    bool
	}{
		"mapped":                        {groups, nil, []string{"acme", "acme/ops"}, false},
		"all that somebody is in":       {groups, another, []string{"acme", "finance", "acme/ops", "finance/admins"}, false},
		"members alone, without others": {members("ACME"), another, []string{"acme", "acme/ops"}, false},
		"no member":                     {members("other", "acm"), another, nil, true},
		"in none":                       {members("acme"), func(w *optest.GitHubWorld) { w.Orgs = nil }, nil, true},
		"a team of no organisation": {members("acme"), func(w *optest.GitHubWorld) {
			w.Orgs, w.Teams = []any{object{"login": "acme"}}, []any{object{"slug": "x"}, nil, "x", object{"slug": 1, "organization": object{"login": "acme"}}}
		}, []string{"acme"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOcto(t, c.change)
			if c.world != nil {
				o.gh.Set(c.world)
			}
			l, err := o.login()
			if c.out {
				deniedFor(t, l, err, "organisation")
				return
			}
			if err != nil || !slices.Equal(l.Groups, c.want) {
				t.Errorf("%+v %v", l, err)
			}
		})
	}
	t.Run("in none, of no matter", func(t *testing.T) {
		o := newOcto(t, groups)
		o.gh.Set(func(w *optest.GitHubWorld) { w.Orgs, w.Teams = nil, nil })
		if l, err := o.login(); err != nil || l.Groups != nil {
			t.Errorf("%+v %v", l, err)
		}
	})
	t.Run("lists that cannot be had", func(t *testing.T) {
		for _, path := range []string{"/user/orgs", "/user/teams", "/user/emails"} {
			o := newOcto(t, groups)
			o.gh.Set(func(w *optest.GitHubWorld) { w.Broken = map[string]http.HandlerFunc{path: status(503)} })
			if l, err := o.login(); l != nil || !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %+v %v", path, l, err)
			}
			o.gh.Set(func(w *optest.GitHubWorld) {
				w.Broken = map[string]http.HandlerFunc{path: func(rw http.ResponseWriter, _ *http.Request) {
					rw.WriteHeader(500)
					_, _ = rw.Write([]byte("[]"))
				}}
			})
			if l, err := o.login(); l != nil || !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %+v %v", path, l, err)
			}
		}
	})
	t.Run("many teams", func(t *testing.T) {
		o := newOcto(t, groups)
		fill := func(n int) func(*optest.GitHubWorld) {
			return func(w *optest.GitHubWorld) {
				w.Teams = nil
				for i := range n {
					w.Teams = append(w.Teams, object{"slug": fmt.Sprint("t", i), "organization": object{"login": "acme"}})
				}
			}
		}
		for _, n := range []int{99, 100, 101, 999} {
			o.gh.Set(fill(n))
			if l, err := o.login(); err != nil || len(l.Groups) != n+1 {
				t.Error(n, err)
			}
		}
		o.gh.Set(fill(1000)) // there may be more
		l, err := o.login()
		deniedFor(t, l, err, "more organisations or teams")
	})
}

func TestGitHubPeople(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*optest.GitHubWorld)
		email    string
		verified bool
		kind     error
	}{
		"an address that is not verified": {func(w *optest.GitHubWorld) {
			w.Emails = []any{object{"email": "a@example.com", "primary": true, "verified": false}}
		}, "a@example.com", false, nil},
		"verified as text": {func(w *optest.GitHubWorld) {
			w.Emails = []any{object{"email": "a@example.com", "primary": true, "verified": "true"}}
		}, "a@example.com", false, nil},
		"no primary address": {func(w *optest.GitHubWorld) {
			w.Emails = []any{object{"email": "a@example.com", "primary": "true", "verified": true}}
		}, "", false, nil},
		"no address":                    {func(w *optest.GitHubWorld) { w.Emails = nil }, "", false, nil},
		"the public address counts not": {func(w *optest.GitHubWorld) { w.Emails, w.User["email"] = nil, "ceo@example.com" }, "", false, nil},
		"an address that is a number":   {func(w *optest.GitHubWorld) { w.Emails = []any{object{"email": 1, "primary": true, "verified": true}} }, "", false, ErrInvalid},
		"addresses that are no list":    {broken("/user/emails", `{}`), "", false, ErrUnavailable},
		"no number":                     {func(w *optest.GitHubWorld) { delete(w.User, "id") }, "", false, ErrUnavailable},
		"a number as text":              {func(w *optest.GitHubWorld) { w.User["id"] = "583231" }, "", false, ErrUnavailable},
		"no whole number":               {func(w *optest.GitHubWorld) { w.User["id"] = 1.5 }, "", false, ErrUnavailable},
		"zero":                          {func(w *optest.GitHubWorld) { w.User["id"] = 0 }, "", false, ErrUnavailable},
		"a huge number":                 {func(w *optest.GitHubWorld) { w.User["id"] = uint64(1 << 63) }, "", false, ErrUnavailable},
		"a name of two lines":           {func(w *optest.GitHubWorld) { w.User["name"] = "a\nb" }, "", false, ErrInvalid},
		"a login that is a list":        {func(w *optest.GitHubWorld) { w.User["login"] = []any{} }, "", false, ErrInvalid},
		"a list":                        {broken("/user", `[]`), "", false, ErrUnavailable},
		"garbage":                       {broken("/user", `<html>`), "", false, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOcto(t)
			o.gh.Set(c.change)
			l, err := o.login()
			switch {
			case c.kind != nil && (l != nil || !errors.Is(err, c.kind)), c.kind == nil && (err != nil || l.Email != c.email || l.EmailVerified != c.verified):
				t.Errorf("%+v %v", l, err)
			}
		})
	}
	o := newOcto(t, func(o *Options) { o.Scopes = []string{"user"} })
	if l, err := o.login(); err != nil || !l.EmailVerified {
		t.Errorf("%+v %v", l, err)
	}
	o = newOcto(t, func(o *Options) { o.Scopes = []string{"read:user"} })
	if l, err := o.login(); err != nil || l.Email != "" || o.gh.Asked("/user/emails") != 0 {
		t.Errorf("%+v %v", l, err)
	}
}

func broken(path, body string) func(*optest.GitHubWorld) {
	return func(w *optest.GitHubWorld) {
		w.Broken = map[string]http.HandlerFunc{path: text("application/json", body)}
	}
}

func TestGitHubErrors(t *testing.T) {
	o := newOcto(t)
	o.gh.Set(func(w *optest.GitHubWorld) { w.AuthorizeError = "access_denied" })
	l, err := o.login()
	if p := (*ProviderError)(nil); l != nil || !errors.As(err, &p) || p.Code != "access_denied" {
		t.Error(err)
	}
	o = newOcto(t, func(o *Options) { o.ClientSecret = "wrong" })
	l, err = o.login()
	if p := (*ProviderError)(nil); l != nil || !errors.As(err, &p) || p.Code != "invalid_client" {
		t.Error(err)
	}
	o = newOcto(t)
	_, pending, err := o.Begin(t.Context(), Request{RedirectURL: testCallback})
	if err != nil {
		t.Fatal(err)
	}
	l, err = o.Finish(t.Context(), pending, url.Values{"state": {pending.State}, "code": {"made-up"}})
	if p := (*ProviderError)(nil); l != nil || !errors.As(err, &p) || p.Code != "invalid_grant" {
		t.Error(err)
	}
	for iss, ours := range map[string]bool{testGitHub: true, testGitHub + "/login/oauth": true, "https://evil.example.com": false, "": false} {
		l, err = o.Finish(t.Context(), pending, url.Values{"state": {pending.State}, "code": {"made-up"}, "iss": {iss}})
		if l != nil || errors.Is(err, ErrInvalid) == ours {
			t.Error(iss, err)
		}
	}
	for name, answer := range garbage {
		o := newOcto(t)
		o.gh.Set(func(w *optest.GitHubWorld) {
			w.Broken = map[string]http.HandlerFunc{"/login/oauth/access_token": answer}
		})
		if l, err := o.login(); l != nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGitHubRefresh(t *testing.T) {
	again := func(o *octo, l *Login) (*Login, Tokens, error) {
		return o.Refresh(t.Context(), l.Issuer, l.Subject, l.Tokens)
	}
	in := func(o *octo) *Login { return must(o.login()) }
	t.Run("with a token that does not end", func(t *testing.T) {
		o := newOcto(t, func(o *Options) { o.Organizations = []string{"acme"} })
		l := in(o)
		o.gh.Set(func(w *optest.GitHubWorld) { w.User["name"] = "New Name" })
		got, kept, err := again(o, l)
		if err != nil || got.Name != "New Name" || kept != l.Tokens {
			t.Errorf("%+v %v", got, err)
		}
		o.gh.Set(func(w *optest.GitHubWorld) { w.Orgs = nil }) // left
		got, _, err = again(o, l)
		deniedFor(t, got, err, "organisation")
		o.gh.Revoke()
		if got, _, err = again(o, l); got != nil || !errors.Is(err, ErrRevoked) || errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	})
	t.Run("with one that does", func(t *testing.T) {
		o := newOcto(t)
		o.gh.Set(func(w *optest.GitHubWorld) { w.Refresh = true })
		l := in(o)
		got, kept, err := again(o, l)
		if err != nil || kept.Refresh == l.Tokens.Refresh || kept.Access == l.Tokens.Access || got.Subject != l.Subject {
			t.Errorf("%+v %v", got, err)
		}
		if got, _, err := again(o, l); got != nil || !errors.Is(err, ErrRevoked) { // the old one counted once
			t.Error(err)
		}
		o.gh.Set(func(w *optest.GitHubWorld) { w.Broken = map[string]http.HandlerFunc{"/user": status(502)} })
		_, last, err := o.Refresh(t.Context(), l.Issuer, l.Subject, kept)
		if !errors.Is(err, ErrUnavailable) || last.Refresh == kept.Refresh {
			t.Error("the new token is lost:", err)
		}
		o.gh.Set(func(w *optest.GitHubWorld) { w.Broken = nil })
		if _, _, err = o.Refresh(t.Context(), l.Issuer, l.Subject, last); err != nil {
			t.Error(err)
		}
	})
	t.Run("as another person", func(t *testing.T) {
		o := newOcto(t)
		l := in(o)
		o.gh.Set(func(w *optest.GitHubWorld) { w.User["id"] = 1 })
		if got, _, err := again(o, l); got != nil || !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		o.gh.Set(func(w *optest.GitHubWorld) { w.User["id"] = 583231 })
		if got, _, err := o.Refresh(t.Context(), "https://github.com", l.Subject, l.Tokens); got != nil || !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	})
	t.Run("without a token", func(t *testing.T) {
		if got, _, err := newOcto(t).Refresh(t.Context(), testGitHub, "583231", Tokens{}); got != nil || !errors.Is(err, ErrNoRefresh) {
			t.Error(err)
		}
	})
	t.Run("while something fails", func(t *testing.T) {
		for name, answer := range garbage {
			o := newOcto(t)
			l := in(o)
			o.gh.Set(func(w *optest.GitHubWorld) { w.Broken = map[string]http.HandlerFunc{"/user": answer} })
			if _, _, err := again(o, l); errors.Is(err, ErrRevoked) != (name == "401") || errors.Is(err, ErrUnavailable) == (name == "401") {
				t.Errorf("%s: %v", name, err)
			}
		}
		o := newOcto(t)
		l := in(o)
		o.gh.Set(func(w *optest.GitHubWorld) {
			w.Broken = map[string]http.HandlerFunc{"/user": func(rw http.ResponseWriter, _ *http.Request) {
				http.Error(rw, `{"message":"Sorry. Your account was suspended."}`, http.StatusForbidden)
			}}
		})
		if _, _, err := again(o, l); !errors.Is(err, ErrRevoked) {
			t.Error(err)
		}
	})
}

func TestGitHubRevoke(t *testing.T) {
	o := newOcto(t)
	l := must(o.login())
	for range 2 { // a second time it is not there any more
		if err := o.Revoke(t.Context(), l.Tokens); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := o.Refresh(t.Context(), l.Issuer, l.Subject, l.Tokens); !errors.Is(err, ErrRevoked) {
		t.Error(err)
	}
	o.gh.Set(func(w *optest.GitHubWorld) {
		w.Broken = map[string]http.HandlerFunc{"/applications/client/token": status(422)}
	})
	if err := o.Revoke(t.Context(), l.Tokens); err != nil {
		t.Error(err)
	}
	o.gh.Set(func(w *optest.GitHubWorld) {
		w.Broken = map[string]http.HandlerFunc{"/applications/client/token": status(503)}
	})
	if err := o.Revoke(t.Context(), l.Tokens); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

func TestGitHubOptions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"groups without their scope":        func(o *Options) { o.Scopes, o.Organizations = []string{"read:user"}, []string{"acme"} },
		"groups by another claim":           func(o *Options) { o.Claims = map[string]string{"groups": "teams"} },
		"max_age":                           func(o *Options) { o.MaxAge = time.Hour },
		"acr values":                        func(o *Options) { o.ACRValues = []string{"mfa"} },
		"a server that is not on this host": func(o *Options) { o.Issuer = "http://git.example.com" },
	} {
		o := Options{Name: "github", Preset: "github", ClientID: "client", ClientSecret: "secret"}
		change(&o)
		if p, err := New(o); p != nil || err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	claims := map[string]string{"username": "login"}
	p, err := New(Options{Name: "github", Preset: "github", ClientID: "client", ClientSecret: "secret", Organizations: []string{"acme"}, Claims: claims})
	if err != nil || p.o.Issuer != "https://github.com" || strings.Join(p.o.Scopes, " ") != "read:user user:email read:org" || len(claims) != 1 {
		t.Error(err, claims)
	}
}

func TestGitHubOutOfReach(t *testing.T) {
	gone := func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
	for _, path := range []string{"/login/oauth/access_token", "/api/v3/user", "/api/v3/user/emails"} {
		gh := optest.NewGitHub()
		p, err := New(Options{
			Name: "github", Preset: "github", Issuer: testGitHub, ClientID: "client", ClientSecret: "secret",
			Transport: instead{optest.Transport(gh), map[string]func(*http.Request) (*http.Response, error){path: gone, "/api/v3/applications/client/token": gone}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		if l, err := (&octo{p, t, gh}).login(); l != nil || !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		if err := p.Revoke(t.Context(), Tokens{Access: "x"}); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	}
}
