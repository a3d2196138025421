package policy

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

// rolePolicy is a role policy of about 80 lines of the usual kind.
const rolePolicy = `package app

default allow := false

permissions := {
	"admin": [{"methods": {"*"}, "path": "/**"}],
	"editor": [
		{"methods": {"GET", "HEAD"}, "path": "/docs/**"},
		{"methods": {"POST"}, "path": "/docs/*"},
		{"methods": {"PUT", "DELETE"}, "path": "/docs/*/draft"},
	],
	"viewer": [{"methods": {"GET", "HEAD"}, "path": "/docs/**"}],
	"finance": [
		{"methods": {"GET"}, "path": "/reports/*"},
		{"methods": {"POST"}, "path": "/reports/*/sign"},
	],
	"support": [
		{"methods": {"GET"}, "path": "/tickets/**"},
		{"methods": {"POST"}, "path": "/tickets/*/reply"},
	],
}

public_paths := {"/healthz", "/robots.txt", "/favicon.ico"}

allow if input.request.path in public_paths

allow if {
	input.identity.authenticated
	some role in input.identity.roles
	some permission in permissions[role]
	method_matches(permission.methods)
	glob.match(permission.path, ["/"], input.request.path)
}

allow if {
	input.identity.authenticated
	startswith(input.request.path, "/me/")
}

allow if {
	input.request.segments = ["teams", team]
	team in input.identity.groups
}

allow if {
	input.request.segments = ["teams", team, "wiki"]
	team in input.identity.groups
	input.request.method in {"GET", "HEAD"}
}

method_matches(methods) if "*" in methods
method_matches(methods) if input.request.method in methods

deny contains "your account is banned" if input.identity.username in data.banned

deny contains "nothing is deleted at night" if {
	input.request.method == "DELETE"
	input.time.hour < 6
}

deny contains "only from the office" if {
	startswith(input.request.path, "/admin/")
	not from_office
}

from_office if {
	some network in ["10.0.0.0/8", "203.0.113.0/24"]
	net.cidr_contains(network, input.request.client_ip)
}

require contains "mfa" if {
	startswith(input.request.path, "/admin/")
	not "otp" in input.identity.amr
}

headers["X-Tenant"] := "finance" if "finance" in input.identity.groups

log["role_count"] := count(input.identity.roles)
`

func benchmark(b *testing.B, o Options, text string, paths int) {
	e := load(b, o, files{"app.rego": text, "data.json": `{"banned": ["mallory", "trudy"]}`})
	n := entry(b, e, "app")
	q := question("")
	all := make([]string, paths)
	for i := range all {
		all[i] = fmt.Sprintf("/docs/a/%d", i)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.Request.Path = all[i%paths]
		q.Request.RawPath = q.Request.Path
		if a, err := n.Decide(ctx, q); err != nil || !a.Pass() {
			b.Fatal(a, err)
		}
	}
}

func BenchmarkFloor(b *testing.B) {
	benchmark(b, Options{Remember: -1}, "package app\nallow := true\n", 1)
}
func BenchmarkRolesMiss(b *testing.B) { benchmark(b, Options{Remember: -1}, rolePolicy, 1) }
func BenchmarkRolesHit(b *testing.B)  { benchmark(b, Options{}, rolePolicy, 100) }
func BenchmarkHeadersMiss(b *testing.B) {
	benchmark(b, Options{Remember: -1}, "package app\nallow if input.request.headers[\"content-type\"]\n", 1)
}

// What 1,000 rules cost against 10.
func BenchmarkRules(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text strings.Builder
			text.WriteString("package app\nallow if startswith(input.request.path, \"/docs/\")\n")
			for i := range n {
				fmt.Fprintf(&text, "allow if input.request.path == \"/p%d\"\n", i)
			}
			benchmark(b, Options{Remember: -1}, text.String(), 1)
		})
	}
}

// benchmarkOffice asks the policy of the side-by-side run in bench.
func benchmarkOffice(b *testing.B, remember, paths int) {
	text, err := os.ReadFile("../../bench/policy/roles.rego")
	if err != nil {
		b.Fatal(err)
	}
	e := load(b, Options{Remember: remember}, files{"bench.rego": string(text)})
	n := entry(b, e, "bench")
	q := question("/reports/2026") // the policy looks at the segments
	q.Identity.Roles = []string{"viewer"}
	all := make([][]string, paths)
	for i := range all {
		all[i] = []string{"reports", fmt.Sprint(i)}
	}
	ctx := context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.Request.Segments = all[i%paths]
		if a, err := n.Decide(ctx, q); err != nil || !a.Pass() {
			b.Fatal(a, err)
		}
	}
}

func BenchmarkOfficeMiss(b *testing.B) { benchmarkOffice(b, -1, 1) }
func BenchmarkOfficeHit(b *testing.B)  { benchmarkOffice(b, 0, 100) }

// BenchmarkOfficeFlood remembers, and is asked about a new path each time.
func BenchmarkOfficeFlood(b *testing.B) { benchmarkOffice(b, 0, 1_000_000) }

func BenchmarkInput(b *testing.B) {
	c := newIdentityTerms(identitySlots)
	q := question("/docs/a")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.input(q, everything); err != nil {
			b.Fatal(err)
		}
	}
}
