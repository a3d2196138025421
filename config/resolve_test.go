package config

import (
	"fmt"
	"strings"
	"testing"
)

// env stands for Caddy's replacer: like it, it tells the placeholder it failed on.
func env(vars map[string]string) Filler {
	return func(text string) (string, error) {
		v, found := vars[strings.Trim(text, "{}")]
		if !found {
			return "", fmt.Errorf("evaluated placeholder %s is empty", text)
		}
		return v, nil
	}
}

func TestResolve(t *testing.T) {
	fill := env(map[string]string{"env.URL": "redis://h", "env.PW": "a{b}c", "file./run/x": "/data", "env.EMPTY": "", "env.TWO": "a\nb"})
	for name, c := range map[string]struct{ url, want, fault string }{
		"whole URL":                           {url: "{env.URL}", want: "redis://h"},
		"password in it":                      {url: "redis://:{env.PW}@h{file./run/x}", want: "redis://:a{b}c@h/data"},
		"nothing to fill in":                  {url: "redis://h", want: "redis://h"},
		"unset variable":                      {url: "{env.NONE}", fault: "store.redis.url: {env.NONE} is empty or cannot be read: set the environment variable NONE before Caddy starts"},
		"empty variable":                      {url: "{env.EMPTY}", fault: "{env.EMPTY} is empty"},
		"missing file":                        {url: "{file./run/none}", fault: "let Caddy's user read it"},
		"variable of two lines":               {url: "{env.TWO}", fault: "more than one line"},
		"placeholder of a request":            {url: "redis://{http.request.host}", fault: "only {env.NAME} and {file.PATH}"},
		"password with braces":                {url: "redis://:{hunter2}@h", fault: "only {env.NAME} and {file.PATH}"},
		"password with a brace":               {url: "redis://:hunter2{@h", fault: "only {env.NAME} and {file.PATH}"},
		"password with braces and a variable": {url: "redis://{env.URL}:{hunter2}@h", fault: "only {env.NAME} and {file.PATH}"},
	} {
		t.Run(name, func(t *testing.T) {
			a := App{Store: Store{Redis: &Redis{URL: Secret(c.url)}}}
			err := a.Resolve(fill)
			if c.fault == "" && (err != nil || string(a.Store.Redis.URL) != c.want) {
				t.Errorf("got %q, %v", string(a.Store.Redis.URL), err)
			}
			if c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("got %v", err)
			}
		})
	}

	t.Run("paths", func(t *testing.T) {
		a := App{Store: Store{Bolt: &Bolt{File: "{file./run/x}/g.db"}}, Policies: Policies{Dirs: []string{"a", "{file./run/x}"}}}
		if err := a.Resolve(fill); err != nil || a.Store.Bolt.File != "/data/g.db" || a.Policies.Dirs[1] != "/data" {
			t.Errorf("%+v %+v %v", a.Store.Bolt, a.Policies, err)
		}
	})
	t.Run("issuers", func(t *testing.T) {
		a := App{JWT: []JWT{{
			Issuer: "https://{env.URL}", Audience: []string{"a", "{file./run/x}"}, Secret: "{env.PW}",
			Introspection: Introspection{ClientSecret: "{env.PW}"},
		}}}
		err := a.Resolve(fill)
		if j := a.JWT[0]; err != nil || j.Issuer != "https://redis://h" || j.Audience[1] != "/data" || string(j.Secret) != "a{b}c" || string(j.Introspection.ClientSecret) != "a{b}c" {
			t.Errorf("%+v %v", j, err)
		}
		a = App{JWT: []JWT{{}, {Introspection: Introspection{ClientSecret: "{env.NONE}"}}}}
		if err := a.Resolve(fill); err == nil || !strings.HasPrefix(err.Error(), "jwt[1].introspection.client_secret: {env.NONE} is empty") {
			t.Error(err)
		}
	})
	t.Run("headers keep what waits for the request", func(t *testing.T) {
		s := Site{Headers: []Header{{Name: "X-A", Value: "{file./run/x} {http.auth.user.id} {env.URL}"}}}
		if err := s.Resolve(fill); err != nil || string(s.Headers[0].Value) != "/data {http.auth.user.id} redis://h" {
			t.Errorf("%q, %v", string(s.Headers[0].Value), err)
		}
	})
	t.Run("header with an empty secret", func(t *testing.T) {
		s := Site{Headers: []Header{{Name: "X-A", Value: "{env.EMPTY}"}}}
		if err := s.Resolve(fill); err == nil || !strings.HasPrefix(err.Error(), "headers[0].value: ") {
			t.Errorf("%v", err)
		}
	})
}
