package gateway

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// BenchmarkGate is what the gate itself costs a browser's request: the session
// and the policy are free here.
func BenchmarkGate(b *testing.B) {
	s := newScene()
	id := alice()
	s.options.Authenticators = []Authenticator{authFunc(func() (Result, error) { return Result{Outcome: Good, Identity: id}, nil })}
	s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) { return decision.Answer{Allow: true}, nil })
	s.options.Recorder = nil
	names := []string{"X-Area"}
	s.options.PolicyHeaders = func() []string { return names }
	for _, target := range []string{"/reports/2026/march", "/reports/2026?month=3&sort=asc", "/a%2fb", "/z%C3%BCrich"} {
		b.Run(target, func(b *testing.B) {
			g, err := New(s.options)
			if err != nil {
				b.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, target, nil)
			for k, v := range map[string]string{
				"Accept": "text/html,application/xhtml+xml", "Accept-Encoding": "gzip, br", "Accept-Language": "en",
				"User-Agent": "Mozilla/5.0", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none", "Referer": "https://app.example.com/",
				"Upgrade-Insecure-Requests": "1", "Connection": "keep-alive", "Cookie": "theme=dark; __Host-gatehouse=" + goodToken,
			} {
				r.Header.Set(k, v)
			}
			sent := r.Header.Clone()
			w := discard{http.Header{}}
			c := Caller{ClientIP: netip.MustParseAddr("203.0.113.9"), Scheme: "https", Port: 443}
			b.ReportAllocs()
			for b.Loop() {
				clear(r.Header)
				maps.Copy(r.Header, sent)
				p, ok := g.Admit(w, r, c)
				if !ok {
					b.Fatal("refused")
				}
				p.Writer.WriteHeader(http.StatusOK)
				p.Close()
			}
		})
	}
}
