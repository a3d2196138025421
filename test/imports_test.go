package test

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gatehouse-proxy/gatehouse"

// mayImport says, for each room of the house, which of our own packages it may
// import. A package that is not listed fails the test, so that a new one has to
// say where it stands.
var mayImport = map[string][]string{
	"":                         {"caddymodule"},
	"cmd/caddy":                {""},
	"caddymodule":              {"*"},
	"config":                   {"internal/identity"},
	"policies":                 {},
	"bench/sidebyside":         {},
	"internal/identity":        {},
	"internal/decision":        {"internal/identity"},
	"internal/problem":         {},
	"internal/cookie":          {},
	"internal/returnto":        {},
	"internal/outgoing":        {},
	"internal/strictjson":      {},
	"internal/audit":           {},
	"internal/gateway":         {"internal/identity", "internal/decision", "internal/problem", "internal/cookie", "internal/returnto"},
	"internal/policy":          {"internal/identity", "internal/decision"},
	"internal/store":           {},
	"internal/store/near":      {"internal/store"},
	"internal/store/bolt":      {"internal/store"},
	"internal/store/redis":     {"internal/store"},
	"internal/store/storetest": {"internal/store"},
	"internal/user":            {"internal/store", "internal/store/near", "internal/identity"},
	"internal/session":         {"internal/store", "internal/store/near", "internal/identity"},
	"internal/password":        {"internal/store", "internal/identity"},
	"internal/key":             {"internal/store", "internal/store/near", "internal/identity"},
	"internal/jwt":             {"internal/store", "internal/store/near", "internal/identity", "internal/outgoing", "internal/strictjson"},
	"internal/certificate":     {"internal/store", "internal/store/near", "internal/identity"},
	"internal/sso":             {"internal/store"},
	"internal/oidc":            {"internal/identity", "internal/outgoing", "internal/strictjson"},
	"internal/oidc/optest":     {},
	"internal/federation":      {"internal/oidc", "internal/session", "internal/user", "internal/store", "internal/identity"},
	"internal/portal": {
		"internal/audit", "internal/cookie", "internal/federation", "internal/identity", "internal/key", "internal/oidc", "internal/password",
		"internal/problem", "internal/returnto", "internal/session", "internal/sso", "internal/store", "internal/user",
	},
}

// onlyIn says which packages alone may import a library (by path prefix).
var onlyIn = map[string][]string{
	"github.com/caddyserver/caddy":        {"caddymodule", "cmd/caddy"},
	"github.com/open-policy-agent/opa":    {"internal/policy"},
	"go.etcd.io/bbolt":                    {"internal/store/bolt"},
	"github.com/redis/go-redis":           {"internal/store/redis"},
	"github.com/fsnotify/fsnotify":        {"internal/policy"},
	"github.com/prometheus/client_golang": {"caddymodule"},
	"github.com/spf13/cobra":              {"caddymodule"},
	"go.uber.org/zap":                     {"caddymodule"},
	"golang.org/x/crypto":                 {"internal/password"},
	"github.com/lestrrat-go/jwx":          {"internal/jwt"},
	"github.com/hashicorp/golang-lru":     {"internal/jwt", "internal/certificate", "internal/federation"},
	"github.com/coreos/go-oidc":           {"internal/oidc"},
	"golang.org/x/oauth2":                 {"internal/oidc"},
	"github.com/chromedp":                 {},
	"github.com/alicebob/miniredis":       {},
}

func TestImportRules(t *testing.T) {
	for _, p := range ourPackages(t) {
		room := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		allowed, known := mayImport[room]
		if !known && !strings.HasPrefix(room, "examples/") && room != "test" {
			t.Errorf("package %q is in no room of the house: list it in mayImport", room)
			continue
		}
		for _, path := range p.Imports {
			if own, ok := strings.CutPrefix(path, module); ok {
				own = strings.TrimPrefix(own, "/")
				if !slices.Contains(allowed, own) && !slices.Contains(allowed, "*") {
					t.Errorf("%s imports %s", room, own)
				}
			}
			for library, rooms := range onlyIn {
				if strings.HasPrefix(path, library) && !slices.Contains(rooms, room) {
					t.Errorf("%s imports %s; only %v may", room, path, rooms)
				}
			}
		}
	}
}

// TestOnlyStandardLibrary keeps the plain-data packages plain.
func TestOnlyStandardLibrary(t *testing.T) {
	plain := []string{"config", "internal/identity", "internal/decision", "internal/problem", "internal/cookie", "internal/returnto", "internal/store"}
	for _, p := range ourPackages(t) {
		room := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if !slices.Contains(plain, room) {
			continue
		}
		for _, path := range p.Imports {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !strings.HasPrefix(path, module) {
				t.Errorf("%s imports %s, which is not in the standard library", room, path)
			}
		}
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func ourPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
