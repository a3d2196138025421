package key_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
)

// BenchmarkIdentify: with real users and a real file.
func BenchmarkIdentify(b *testing.B) {
	i := onBolt(b)
	text, k := i.make(b, key.New{})
	limited, _ := i.make(b, key.New{Rate: identity.Rate{Requests: 1_000_000, Per: time.Second}, Networks: []string{"10.0.0.0/8", "192.0.2.0/24"}})
	rotated := text
	for range 5 {
		rotated, k = i.rotate(b, k.ID, time.Hour)
	}
	run := func(name, text string, in bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, err := i.keys.Identify(b.Context(), text, home)
				var slow *identity.ThrottledError // a million a second may be too few
				if (err == nil || errors.As(err, &slow)) != in {
					b.Fatal(err)
				}
			}
		})
	}
	run("remembered", text, true)
	run("remembered, with limit and networks", limited, true)
	run("remembered, one of six secrets", rotated, true)
	run("wrong, with a wrong checksum", text[:40]+strings.Repeat("0", 14), false)
	run("wrong, with a right checksum", guess("AAAAAAAAAAAA"), false)
	run("wrong, with the id of a key", guess(k.ID), false)
	run("not like a key at all", strings.Repeat("A", 1<<16), false)
	b.Run("remembered, in parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := i.keys.Identify(b.Context(), text, home); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	i.keys.Close() // from now on it reads through
	run("read", text, true)
}
