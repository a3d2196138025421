package jwt

import (
	"strconv"
	"testing"
)

// BenchmarkFirstSeen verifies tokens that were not seen before, as far as the
// identity.
func BenchmarkFirstSeen(b *testing.B) {
	for _, c := range []struct {
		alg, kid string
		key      any
	}{{"ES256", "ec", p256Pair()}, {"RS256", "rsa", rsaPair()}, {"EdDSA", "ed", edPair()}} {
		b.Run(c.alg, func(b *testing.B) {
			w, _ := withRevocations(b)
			header := object{"alg": c.alg, "kid": c.kid, "typ": "at+jwt"}.json()
			tokens := make([]string, 256)
			for n := range tokens {
				tokens[n] = sign(c.alg, c.key, header, w.claims().with("jti", strconv.Itoa(n)).json())
			}
			w.in(tokens[0])
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n++; n%len(tokens) == 0 {
					w.memory.cache.Purge()
				}
				if _, err := w.Identify(b.Context(), tokens[n%len(tokens)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRemembered is a token that was seen before, without and with
// revocations of others.
func BenchmarkRemembered(b *testing.B) {
	for _, revoked := range []int{0, 1000} {
		b.Run(strconv.Itoa(revoked)+" revoked", func(b *testing.B) {
			w, r := withRevocations(b)
			for n := range revoked {
				add(b, r, Revocation{Issuer: testIssuer, JTI: strconv.Itoa(n)})
			}
			token := w.token(w.claims())
			w.in(token)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Identify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefused is a token of an issuer that is not trusted, and one of the
// wrong key.
func BenchmarkRefused(b *testing.B) {
	w := newWorld(b)
	for name, token := range map[string]string{
		"unknown issuer": w.token(w.claims().with("iss", "x")), "wrong key": sign("ES256", otherP256(), ecHeader.json(), w.claims().json()), "no token": "x.y.z",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Identify(b.Context(), token); err == nil {
					b.Fatal("it is in")
				}
			}
		})
	}
}
