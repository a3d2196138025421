package jwt

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"maps"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
)

const (
	testIssuer   = "https://id.example.com/realms/a"
	testAudience = "https://app.example.com"
)

// The keys of all tests; making them takes a while. They do not change.
var (
	rsaPair   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256Pair  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	otherP256 = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Pair  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521Pair  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edPair    = sync.OnceValue(func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return must(k, err)
	})
)

var testSecret = []byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// object is a JSON object in a test.
type object map[string]any

func (o object) with(name string, value any) object {
	c := maps.Clone(o)
	c[name] = value
	return c
}

func (o object) without(names ...string) object {
	c := maps.Clone(o)
	for _, n := range names {
		delete(c, n)
	}
	return c
}

func (o object) json() string { return string(must(json.Marshal(o))) }

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign makes a token, with the standard library alone: it shares nothing with
// what is tested.
func sign(alg string, key any, header, payload string) string {
	input := b64(header) + "." + b64(payload)
	return input + "." + b64(string(signature(alg, key, input)))
}

func signature(alg string, key any, input string) []byte {
	if alg == "EdDSA" {
		return ed25519.Sign(key.(ed25519.PrivateKey), []byte(input))
	}
	h := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
	sum := h.New()
	sum.Write([]byte(input))
	digest := sum.Sum(nil)
	switch alg[:2] {
	case "HS":
		m := hmac.New(map[string]func() hash.Hash{"256": sha256.New, "384": sha512.New384, "512": sha512.New}[alg[2:]], key.([]byte))
		m.Write([]byte(input))
		return m.Sum(nil)
	case "RS":
		return must(rsa.SignPKCS1v15(rand.Reader, key.(*rsa.PrivateKey), h, digest))
	case "PS":
		return must(rsa.SignPSS(rand.Reader, key.(*rsa.PrivateKey), h, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
	}
	k := key.(*ecdsa.PrivateKey)
	r, s, err := ecdsa.Sign(rand.Reader, k, digest)
	if err != nil {
		panic(err)
	}
	return rAndS(k.Curve, r, s)
}

func rAndS(c elliptic.Curve, r, s *big.Int) []byte {
	size := (c.Params().BitSize + 7) / 8
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

// public is the JWK of a pair.
func public(kid string, pair crypto.Signer) object {
	o := object{"kid": kid, "use": "sig"}
	switch p := pair.Public().(type) {
	case *rsa.PublicKey:
		o["kty"], o["n"], o["e"] = "RSA", b64(string(p.N.Bytes())), b64(string(big.NewInt(int64(p.E)).Bytes()))
	case *ecdsa.PublicKey:
		point := must(p.ECDH()).Bytes()[1:]
		o["kty"], o["crv"] = "EC", p.Curve.Params().Name
		o["x"], o["y"] = b64(string(point[:len(point)/2])), b64(string(point[len(point)/2:]))
	case ed25519.PublicKey:
		o["kty"], o["crv"], o["x"] = "OKP", "Ed25519", b64(string(p))
	}
	if kid == "" {
		delete(o, "kid")
	}
	return o
}

func jwks(keys ...object) string { return object{"keys": keys}.json() }

// everyKey is the key set of the tests' issuer.
func everyKey() string {
	return jwks(public("rsa", rsaPair()), public("ec", p256Pair()), public("p384", p384Pair()), public("p521", p521Pair()), public("ed", edPair()))
}

// site answers for issuers, without a network.
type site struct {
	mu    sync.Mutex
	pages map[string]func(*http.Request) (*http.Response, error)
	asked map[string]int
}

func newSite() *site {
	return &site{pages: map[string]func(*http.Request) (*http.Response, error){}, asked: map[string]int{}}
}

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	address := r.URL.String()
	s.asked[address]++
	page := s.pages[address]
	s.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if page == nil {
		return reply(404, "not here"), nil
	}
	return page(r)
}

func (s *site) set(address string, page func(*http.Request) (*http.Response, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[address] = page
}

func (s *site) serve(address, body string) {
	s.set(address, func(*http.Request) (*http.Response, error) { return reply(200, body), nil })
}

func (s *site) down(address string) {
	s.set(address, func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })
}

func (s *site) count(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[address]
}

func (s *site) client() *http.Client { return &http.Client{Transport: s} }

func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader([]byte(body))), Header: http.Header{}}
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a verifier of one issuer, whose keys are at keysURL of a site.
type world struct {
	*Verifier
	t       testing.TB
	clock   *clock
	site    *site
	source  *Source
	options Options
}

const keysURL = "https://id.example.com/keys"

// newWorld makes one; change may change the options of the verifier.
func newWorld(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}, site: newSite()}
	w.site.serve(keysURL, everyKey())
	w.source = w.newSource(SourceOptions{Issuer: testIssuer, JWKSURL: keysURL})
	w.options = Options{
		Issuers: []Issuer{{Name: "corp", Issuer: testIssuer, Audiences: []string{testAudience, "second"}, Keys: w.source}},
		Clock:   w.clock.Now,
	}
	for _, fn := range change {
		fn(&w.options)
	}
	v, err := New(w.options)
	if err != nil {
		t.Fatal(err)
	}
	w.Verifier = v
	return w
}

func (w *world) newSource(o SourceOptions) *Source {
	w.t.Helper()
	o.Client, o.Clock = w.site.client(), w.clock.Now
	s, err := NewSource(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	return s
}

// revocable gives the verifier revocations in a store of its own.
func revocable(t testing.TB, now func() time.Time) *Revocations {
	t.Helper()
	file, err := bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	r := NewRevocations(file, now)
	t.Cleanup(r.Close)
	return r
}

// claims are those of a good access token.
func (w *world) claims() object {
	now := w.clock.Now().Unix()
	return object{
		"iss": testIssuer, "aud": testAudience, "sub": "u-1", "exp": now + 300, "iat": now, "jti": "t-1", "client_id": "c",
		"scope": "reports:read reports:write", "email": "alice@example.com", "email_verified": true, "name": "Alice",
		"roles": []string{"admin", "clerk"}, "groups": []string{"finance"},
	}
}

var ecHeader = object{"alg": "ES256", "kid": "ec", "typ": "at+jwt"}

// token is a good one of the given claims.
func (w *world) token(claims object) string {
	return sign("ES256", p256Pair(), ecHeader.json(), claims.json())
}

// in says that a token lets in.
func (w *world) in(token string) *identity.Identity {
	w.t.Helper()
	id, err := w.Identify(context.Background(), token)
	if err != nil || !id.Authenticated() {
		w.t.Fatalf("refused: %v, %v", id, err)
	}
	return id
}

// out says that a token is refused, for a reason that contains the given words.
func (w *world) out(token, reason string) *identity.Refusal {
	w.t.Helper()
	id, err := w.Identify(context.Background(), token)
	var r *identity.Refusal
	if id != nil || !errors.Is(err, identity.ErrUnknown) || !errors.As(err, &r) {
		w.t.Errorf("not refused: %v, %v", id, err)
		return &identity.Refusal{}
	}
	if !strings.Contains(r.Reason, reason) {
		w.t.Errorf("the reason is %q, not %q", r.Reason, reason)
	}
	return r
}

// fault says that nothing could be found out about a token.
func (w *world) fault(token string, want error) {
	w.t.Helper()
	id, err := w.Identify(context.Background(), token)
	if id != nil || err == nil || errors.Is(err, identity.ErrUnknown) || !errors.Is(err, want) {
		w.t.Errorf("no fault: %v, %v", id, err)
	}
}
