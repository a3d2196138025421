package policy

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// officePolicy is the policy of the side-by-side run in bench.
func officePolicy(b *testing.B) string {
	text, err := os.ReadFile("../../bench/policy/roles.rego")
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// benchmarkOffice asks as bench does: a viewer reads reports.
func benchmarkOffice(b *testing.B, remember, paths int) {
	e := load(b, Options{Remember: remember}, files{"bench.rego": officePolicy(b)})
	n := entry(b, e, "bench")
	q := question("/reports/2026")
	q.Identity.Roles = []string{"viewer"}
	all := make([]string, paths)
	for i := range all {
		all[i] = fmt.Sprintf("/reports/%d", i)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.Request.Path = all[i%paths]
		q.Request.RawPath = q.Request.Path
		q.Request.Segments = []string{"reports", q.Request.Path[len("/reports/"):]}
		if a, err := n.Decide(ctx, q); err != nil || !a.Pass() {
			b.Fatal(a, err)
		}
	}
}

func BenchmarkOfficeMiss(b *testing.B) { benchmarkOffice(b, -1, 1) }
func BenchmarkOfficeHit(b *testing.B)  { benchmarkOffice(b, 0, 100) }

// BenchmarkOfficeFlood remembers, and is asked about a new path each time.
func BenchmarkOfficeFlood(b *testing.B) { benchmarkOffice(b, 0, 1_000_000) }
