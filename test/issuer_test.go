package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// issuer is an OAuth 2.0 authorization server as far as a gate sees it: metadata,
// keys, and tokens that it signs. It speaks to nobody else.
type issuer struct {
	t    testing.TB
	url  string
	mu   sync.Mutex
	keys []*ecdsa.PrivateKey // the last one signs; all are published
	kids []string
	down bool
	// fetches counts how often the keys were asked for.
	fetches int
}

func startIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{t: t}
	i.rotate()
	srv := httptest.NewServer(i)
	t.Cleanup(srv.Close)
	i.url = srv.URL
	return i
}

// rotate adds a key and signs with it from now on.
func (i *issuer) rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, key)
	i.kids = append(i.kids, fmt.Sprintf("key-%d", len(i.keys)))
}

func (i *issuer) setDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.down {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.url, i.url+"/keys")
	case "/keys":
		i.fetches++
		var keys []map[string]string
		for n, k := range i.keys {
			raw, err := k.PublicKey.Bytes()
			if err != nil {
				i.t.Error(err)
			}
			keys = append(keys, map[string]string{
				"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": i.kids[n], "x": b64(raw[1:33]), "y": b64(raw[33:]),
			})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys})
	default:
		http.NotFound(w, r)
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// token makes a good access token (RFC 9068), with some claims changed; a nil
// one is left out.
func (i *issuer) token(change map[string]any) string {
	i.t.Helper()
	claims := map[string]any{
		"iss": i.url, "aud": "https://reports.example.com", "sub": "client-7", "client_id": "client-7", "jti": b64(random(i.t, 9)),
		"iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix(), "scope": "reports:read",
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	i.mu.Lock()
	key, kid := i.keys[len(i.keys)-1], i.kids[len(i.kids)-1]
	i.mu.Unlock()
	return sign(i.t, key, map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": kid}, claims)
}

func sign(t testing.TB, key *ecdsa.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	input := b64(h) + "." + b64(c)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return input + "." + b64(sig)
}

func random(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}
