package caddymodule

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// A JSON configuration has no Caddyfile that could be checked: what Caddy's
// adapter refuses there is refused here by the app itself.
func TestCookieDomainInJSON(t *testing.T) {
	load := func(domain, host string, wrap, invoke bool) error {
		gate := `"handle": [{"handler": "gatehouse", "name": "backoffice"}]`
		route, named := gate, "{}"
		if invoke {
			// The second goes round in a circle, as nothing forbids.
			route, named = `"handle": [{"handler": "invoke", "name": "a"}]`, `{"a": {`+gate+`}, "b": {"handle": [{"handler": "invoke", "name": "b"}]}}`
		}
		if wrap {
			route = `"handle": [{"handler": "subroute", "routes": [{` + route + `}]}]`
		}
		if host != "" {
			route = `"match": [{"path": ["/x"]}, {"host": ["` + host + `"]}], ` + route
		}
		config := fmt.Sprintf(`{
			"admin": {"disabled": true},
			"apps": {
				"gatehouse": {"store": {"bolt": {"file": %q}}, "sessions": {"cookie_domain": %q}},
				"http": {"servers": {"s": {"listen": [%q], "automatic_https": {"disable": true}, "named_routes": %s, "routes": [{%s}, {"handle": [{"handler": "invoke", "name": "b"}], "match": [{"path": ["/circle"]}]}]}}}
			}
		}`, filepath.Join(t.TempDir(), "gatehouse.db"), domain, freeAddress(t), named, route)
		var c caddy.Config
		if err := json.Unmarshal([]byte(config), &c); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = caddy.Stop() }()
		return caddy.Run(&c)
	}
	t.Run("fine", func(t *testing.T) {
		for _, host := range []string{"example.com", "app.example.com", "*.example.com", ""} {
			if err := load("example.com", host, true, true); err != nil {
				t.Errorf("%q: %v", host, err)
			}
		}
	})
	for name, c := range map[string]struct{ domain, host, says string }{
		"a public suffix":              {"co.uk", "app.co.uk", "write a domain of your own, such as example.co.uk"},
		"a suffix of a hosting site":   {"github.io", "app.github.io", "anybody can have a name below github.io"},
		"a site elsewhere":             {"example.com", "app.example.org", "the site app.example.org is not below example.com"},
		"a site that only ends alike":  {"example.com", "notexample.com", "notexample.com is not below"},
		"a site above":                 {"app.example.com", "example.com", "give the site a host such as app.app.example.com"},
		"localhost":                    {"example.com", "localhost", "localhost is not below example.com"},
		"a wildcard that holds others": {"app.example.com", "*.example.com", "*.example.com is not below"},
	} {
		for i, wrap := range []bool{false, true, false} {
			t.Run(fmt.Sprintf("%s, inside another route: %v, by its name: %v", name, wrap, i > 0), func(t *testing.T) {
				if err := load(c.domain, c.host, wrap, i > 0); err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %q in it", err, c.says)
				}
			})
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
