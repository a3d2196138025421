package caddymodule

import (
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

var alice = &identity.Identity{
	Method: identity.Session, Provider: identity.Local, ID: "usr_1", Subject: "usr_1", Username: "alice",
	Email: "alice@example.com", Name: "Alice", Roles: []string{"admin", "auditor"}, Groups: []string{"finance"},
	Claims: map[string]any{"org": map[string]any{"unit": "north"}, "a.b": "dotted", "n": 3.0},
}

func TestPlaceholders(t *testing.T) {
	repl := caddy.NewEmptyReplacer()
	repl.Map(placeholders(alice, "01J"))
	for text, want := range map[string]string{
		"{http.auth.user.id}":              "alice",
		"{http.auth.user.username}":        "alice",
		"{http.auth.user.uid}":             "usr_1",
		"{http.auth.user.subject}":         "usr_1",
		"{http.auth.user.email}":           "alice@example.com",
		"{http.auth.user.name}":            "Alice",
		"{http.auth.user.roles}":           "admin,auditor",
		"{http.auth.user.groups}":          "finance",
		"{http.auth.user.provider}":        "local",
		"{http.auth.user.method}":          "session",
		"{http.auth.user.claims.org.unit}": "north",
		"{http.auth.user.claims.a.b}":      "dotted",
		"{http.auth.user.claims.n}":        "3",
		"{http.auth.user.claims.none}":     "",
		"{http.gatehouse.decision_id}":     "01J",
		"{http.auth.user.password}":        "{http.auth.user.password}",
	} {
		if got := repl.ReplaceKnown(text, ""); got != want {
			t.Errorf("%s = %q, want %q", text, got, want)
		}
	}
}

func TestPlaceholdersOfNobodyAreEmpty(t *testing.T) {
	repl := caddy.NewEmptyReplacer()
	repl.Map(placeholders(nil, "01J"))
	if got := repl.ReplaceKnown("[{http.auth.user.id}{http.auth.user.roles}{http.auth.user.claims.x}]", "?"); got != "[]" && got != "[???]" {
		t.Errorf("got %q", got)
	}
	if got, _ := repl.GetString("http.auth.user.method"); got != "none" {
		t.Errorf("method: %q", got)
	}
}

func TestHeaderValues(t *testing.T) {
	value := func(text string) func(*identity.Identity) (string, error) {
		return headerRules([]config.Header{{Name: "X-Who", Value: config.Secret(text)}})[0].Value
	}
	if got, err := value("u={http.auth.user.username};r={http.auth.user.roles}")(alice); err != nil || got != "u=alice;r=admin,auditor" {
		t.Errorf("%q %v", got, err)
	}
	t.Run("a comma in a role refuses, since the app would read two", func(t *testing.T) {
		mallory := &identity.Identity{Method: identity.Session, Username: "mallory", Roles: []string{"user,admin"}}
		if got, err := value("{http.auth.user.roles}")(mallory); err == nil {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a value in braces is not replaced once more", func(t *testing.T) {
		mallory := &identity.Identity{Method: identity.Session, Username: "mallory", Name: "{http.auth.user.roles}{env.PATH}"}
		if got, err := value("{http.auth.user.name}")(mallory); err != nil || got != "{http.auth.user.roles}{env.PATH}" {
			t.Errorf("%q %v", got, err)
		}
	})
}

func TestSitePackageNames(t *testing.T) {
	for site, want := range map[string]string{
		"app.example.com":   "app_example_com",
		"localhost:8080":    "localhost_8080",
		"192.168.1.1":       "site_192_168_1_1",
		"import":            "site_import",
		"":                  "site",
		"*.example.com":     "example_com",
		"https://x.example": "x_example",
		"bücher.example":    "b_cher_example",
	} {
		if got := identifier(site); got != want {
			t.Errorf("%q: %q, want %q", site, got, want)
		}
	}
}

func TestOnlyThePortalsOwnPathsAreIts(t *testing.T) {
	for path, want := range map[string]bool{
		"/_gatehouse": true, "/_gatehouse/": true, "/_gatehouse/login": true, "/_gatehouse/../admin": true,
		"/_gatehousex": false, "/_GATEHOUSE/login": false, "//_gatehouse/login": false, "/x/_gatehouse/": false, "": false,
	} {
		if got := underPortal(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
