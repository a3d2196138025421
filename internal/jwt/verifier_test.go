package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

func TestIdentityOfAToken(t *testing.T) {
	w := newWorld(t)
	now := w.clock.Now().Unix()
	claims := w.claims().with("amr", []string{"pwd", "otp"}).with("auth_time", now-60).with("large", json.Number("9007199254740993"))
	id := w.in(w.token(claims))
	want := identity.Identity{
		Method: identity.JWT, Provider: "corp", Issuer: testIssuer, Subject: "u-1",
		Email: "alice@example.com", EmailVerified: true, Name: "Alice",
		Roles: []string{"admin", "clerk"}, Groups: []string{"finance"}, Scopes: []string{"reports:read", "reports:write"},
		AMR: []string{"pwd", "otp"}, AuthTime: time.Unix(now-60, 0), Credential: "jti:t-1", Signer: must(newKey("", "", p256Pair().Public())).bare,
	}
	got := *id
	got.Claims = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if id.Claims["client_id"] != "c" || id.Claims["large"] != json.Number("9007199254740993") {
		t.Error(id.Claims)
	}
	t.Run("what is absent stays empty", func(t *testing.T) {
		id := w.in(w.token(w.claims().without("scope", "email", "email_verified", "name", "roles", "groups", "jti", "iat", "client_id")))
		if id.Email != "" || id.EmailVerified || id.Roles != nil || id.Groups != nil || id.Scopes != nil || id.AMR != nil || !id.AuthTime.IsZero() || id.Username != "" {
			t.Errorf("%+v", id)
		}
		if !strings.HasPrefix(id.Credential, "sha256:") || len(id.Credential) != len("sha256:")+43 {
			t.Error(id.Credential)
		}
	})
	t.Run("a jti that does not fit into a log is not the credential", func(t *testing.T) {
		for _, jti := range []any{"", "a b", "a\nb", "ü", strings.Repeat("x", 129), 7, nil} {
			if id := w.in(w.token(w.claims().with("jti", jti))); !strings.HasPrefix(id.Credential, "sha256:") {
				t.Errorf("%v: %s", jti, id.Credential)
			}
		}
	})
}

func TestEveryAlgorithm(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Issuers[0].Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	})
	pairs := map[string]any{"rsa": rsaPair(), "ec": p256Pair(), "p384": p384Pair(), "p521": p521Pair(), "ed": edPair()}
	of := map[string]string{"ES256": "ec", "ES384": "p384", "ES512": "p521", "EdDSA": "ed"}
	for _, alg := range w.options.Issuers[0].Algorithms {
		kid := of[alg]
		if kid == "" {
			kid = "rsa"
		}
		header := object{"alg": alg, "kid": kid, "typ": "application/AT+JWT"}
		w.in(sign(alg, pairs[kid], header.json(), w.claims().json()))
		w.in(sign(alg, pairs[kid], header.without("kid").json(), w.claims().json()))
		for other := range pairs {
			if other != kid {
				w.out(sign(alg, pairs[kid], header.with("kid", other).json(), w.claims().json()), "not for its algorithm")
			}
		}
	}
	for alg := range secretLength {
		w := newWorld(t, func(o *Options) {
			o.Issuers[0].Keys, o.Issuers[0].Secret, o.Issuers[0].Algorithms = nil, testSecret, []string{alg}
		})
		w.in(sign(alg, testSecret, object{"alg": alg, "typ": "at+jwt"}.json(), w.claims().json()))
		w.out(sign(alg, []byte("another secret of sufficient length, which is not the one"), object{"alg": alg, "typ": "at+jwt"}.json(), w.claims().json()), "signature")
	}
}

// TestDefaultAlgorithms: what was not asked for does not count.
func TestDefaultAlgorithms(t *testing.T) {
	w := newWorld(t)
	for _, alg := range []string{"RS384", "RS512", "PS384", "PS512"} {
		w.out(sign(alg, rsaPair(), object{"alg": alg, "kid": "rsa", "typ": "at+jwt"}.json(), w.claims().json()), "algorithm")
	}
	w.out(sign("ES384", p384Pair(), object{"alg": "ES384", "kid": "p384", "typ": "at+jwt"}.json(), w.claims().json()), "algorithm")
}

func TestRemembered(t *testing.T) {
	t.Run("the same pointer, without another look at the signature", func(t *testing.T) {
		w := newWorld(t)
		token := w.token(w.claims())
		id := w.in(token)
		w.byName["corp"].verifiers = nil // the next check of a signature would panic
		if w.in(token) != id {
			t.Error("another identity")
		}
	})
	t.Run("until it expires", func(t *testing.T) {
		w := newWorld(t)
		token := w.token(w.claims())
		w.in(token)
		w.clock.pass(329 * time.Second) // 300 and a leeway of 30
		w.in(token)
		w.clock.pass(time.Second)
		if r := w.out(token, "expired"); r.Who != "corp:u-1" {
			t.Error(r.Who)
		}
	})
	t.Run("verified again when the keys have changed", func(t *testing.T) {
		w := newWorld(t)
		token := w.token(w.claims().with("exp", w.clock.Now().Unix()+10000))
		id := w.in(token)
		w.site.serve(keysURL, jwks(public("next", otherP256())))
		w.clock.pass(17 * time.Minute)
		w.in(token) // the key is not known to be gone yet
		w.settle()
		w.out(token, "kid")
		w.site.serve(keysURL, everyKey())
		w.clock.pass(time.Minute)
		if again := w.in(token); again == id {
			t.Error("a refused token was remembered")
		}
	})
	t.Run("by keys that stayed, it stays the same", func(t *testing.T) {
		w := newWorld(t)
		token := w.token(w.claims().with("exp", w.clock.Now().Unix()+10000))
		id := w.in(token)
		before := w.source.known.Load().set
		w.site.serve(keysURL, jwks(public("ec", p256Pair()), public("next", otherP256())))
		w.clock.pass(17 * time.Minute)
		w.in(token)
		w.settle()
		if w.in(token) != id || w.source.known.Load().set == before {
			t.Error("the identity changed with the set, or the set did not change")
		}
		w.byName["corp"].verifiers = nil
		w.in(token) // and is remembered by the new set
	})
	t.Run("strangers cannot fill the memory", func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.CacheSize = 4 })
		token := w.token(w.claims())
		id := w.in(token)
		for n := range 100 {
			bad := w.claims().with("n", n)
			w.out(sign("ES256", otherP256(), ecHeader.json(), bad.json()), "signature")
			w.out(w.token(bad.with("aud", "another")), "audience")
		}
		if w.memory.cache.Len() != 1 || w.in(token) != id {
			t.Error(w.memory.cache.Len())
		}
	})
	t.Run("a bounded number", func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.CacheSize = 8 })
		for n := range 50 {
			w.in(w.token(w.claims().with("n", n)))
		}
		if n := w.memory.cache.Len(); n > 8 || n < 4 {
			t.Error(n)
		}
	})
	t.Run("of bounded weight", func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.CacheSize = 16 })
		for n := range 40 {
			w.in(w.token(w.claims().with("n", n).with("pad", strings.Repeat("x", 4000))))
			if weight := w.memory.weight.Load(); weight > 16*perToken {
				t.Fatal(weight)
			}
		}
		if n := w.memory.cache.Len(); n > 4 || n < 2 {
			t.Error(n)
		}
		for _, k := range w.memory.cache.Keys() {
			w.memory.remove(k)
		}
		if weight := w.memory.weight.Load(); weight != 0 {
			t.Error("weight without tokens:", weight)
		}
	})
	t.Run("many at once get one identity", func(t *testing.T) {
		w := newWorld(t)
		token := w.token(w.claims())
		var all sync.WaitGroup
		var mu sync.Mutex
		seen := map[*identity.Identity]bool{}
		for range 16 {
			all.Go(func() {
				id, err := w.Identify(t.Context(), token)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				seen[id] = true
				mu.Unlock()
			})
		}
		all.Wait()
		if len(seen) != 1 {
			t.Error(len(seen))
		}
	})
}

// settle waits for the fetch under way.
func (w *world) settle() {
	w.t.Helper()
	w.source.mu.Lock()
	f := w.source.flight
	w.source.mu.Unlock()
	if f != nil {
		<-f.done
	}
}

func TestNoKeysEver(t *testing.T) {
	w := newWorld(t)
	w.site.down(keysURL)
	w.fault(w.token(w.claims()), ErrNoKeys)
	w.out("a.b.c", "")                                                                                  // no key would make it good
	w.out(sign("ES256", p256Pair(), ecHeader.json(), w.claims().with("iss", "x").json()), "its issuer") // nor this
}

func TestNew(t *testing.T) {
	w := newWorld(t)
	good := func() Issuer { return w.options.Issuers[0] }
	intro, err := NewIntrospector(IntrospectorOptions{URL: "https://id.example.com/introspect", ClientID: "c", ClientSecret: "s"})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Issuer){
		"no name":                        func(i *Issuer) { i.Name = "" },
		"no issuer":                      func(i *Issuer) { i.Issuer = "" },
		"no audience":                    func(i *Issuer) { i.Audiences = nil },
		"an empty audience":              func(i *Issuer) { i.Audiences = []string{testAudience, ""} },
		"nothing to verify by":           func(i *Issuer) { i.Keys = nil },
		"keys and a secret":              func(i *Issuer) { i.Secret = testSecret },
		"keys of another issuer":         func(i *Issuer) { i.Issuer += "/" },
		"none":                           func(i *Issuer) { i.Algorithms = []string{"none"} },
		"None":                           func(i *Issuer) { i.Algorithms = []string{"ES256", "NONE"} },
		"an unknown algorithm":           func(i *Issuer) { i.Algorithms = []string{"ES256K"} },
		"an algorithm in small letters":  func(i *Issuer) { i.Algorithms = []string{"es256"} },
		"HMAC by public keys":            func(i *Issuer) { i.Algorithms = []string{"RS256", "HS256"} },
		"RSA by a secret":                func(i *Issuer) { i.Keys, i.Secret, i.Algorithms = nil, testSecret, []string{"RS256"} },
		"a secret of 31 bytes":           func(i *Issuer) { i.Keys, i.Secret = nil, testSecret[:31] },
		"an empty secret":                func(i *Issuer) { i.Keys, i.Secret = nil, []byte{} },
		"HS384 by 47 bytes":              func(i *Issuer) { i.Keys, i.Secret, i.Algorithms = nil, testSecret[:47], []string{"HS384"} },
		"HS512 by 63 bytes":              func(i *Issuer) { i.Keys, i.Secret, i.Algorithms = nil, testSecret[:63], []string{"HS512"} },
		"a PEM key as a secret":          func(i *Issuer) { i.Keys, i.Secret = nil, []byte(pemOf("PUBLIC KEY", spki(rsaPair().Public()))) },
		"too much leeway":                func(i *Issuer) { i.Leeway = 61 * time.Second },
		"negative leeway":                func(i *Issuer) { i.Leeway = -1 },
		"logout tokens":                  func(i *Issuer) { i.Types = []string{"logout+jwt"} },
		"DPoP proofs":                    func(i *Issuer) { i.Types = []string{"application/DPoP+JWT"} },
		"an empty type":                  func(i *Issuer) { i.Types = []string{""} },
		"a field that nobody has":        func(i *Issuer) { i.Claims = map[string]string{"color": "c"} },
		"a field that is not a claim's":  func(i *Issuer) { i.Claims = map[string]string{"subject": "c"} },
		"an empty path":                  func(i *Issuer) { i.Claims = map[string]string{"roles": ""} },
		"nothing at all":                 func(i *Issuer) { *i = Issuer{} },
		"a secret for no issuer by keys": func(i *Issuer) { i.Secret, i.Introspection = []byte("short"), intro; i.Keys = nil },
	} {
		t.Run(name, func(t *testing.T) {
			i := good()
			change(&i)
			if v, err := New(Options{Issuers: []Issuer{i}}); v != nil && err == nil {
				t.Error("it was taken")
			} else if strings.Contains(fmt.Sprint(err), string(testSecret[:31])) {
				t.Error("the secret is told:", err)
			}
		})
	}
	second := good()
	second.Name, second.Issuer = "other", "https://other.example.com"
	second.Keys = w.newSource(SourceOptions{Issuer: second.Issuer, JWKSURL: keysURL})
	for name, all := range map[string][]Issuer{
		"nobody":                  nil,
		"the same name twice":     {good(), func() Issuer { i := second; i.Name = "corp"; return i }()},
		"the same issuer twice":   {good(), func() Issuer { i := good(); i.Name = "other"; return i }()},
		"two to ask about opaque": {func() Issuer { i := good(); i.Introspection = intro; return i }(), func() Issuer { i := second; i.Introspection = intro; return i }()},
	} {
		if _, err := New(Options{Issuers: all}); err == nil {
			t.Error(name, "was taken")
		}
	}
	if _, err := New(Options{Issuers: []Issuer{good(), second}}); err != nil {
		t.Error(err)
	}
}

func TestAlive(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Revocations = nil })
	id := w.in(w.token(w.claims()))
	alive := func(id *identity.Identity) bool {
		t.Helper()
		ok, err := w.Alive(t.Context(), id)
		if err != nil {
			t.Error(err)
		}
		return ok
	}
	if !alive(id) {
		t.Error("it is dead")
	}
	for name, change := range map[string]func(*identity.Identity){
		"of a session":          func(i *identity.Identity) { i.Method = identity.Session },
		"of an unknown issuer":  func(i *identity.Identity) { i.Provider = "other" },
		"of a renamed issuer":   func(i *identity.Identity) { i.Issuer = "https://other" },
		"of no claims":          func(i *identity.Identity) { i.Claims = nil },
		"opaque, where none is": func(i *identity.Identity) { i.Credential = "opaque:" + hashText(digest{}) },
	} {
		other := *id
		change(&other)
		if alive(&other) {
			t.Error(name)
		}
	}
	if alive(nil) || alive(&identity.Identity{}) {
		t.Error("nobody is alive")
	}
	w.clock.pass(331 * time.Second)
	if alive(id) {
		t.Error("it has expired")
	}
}

// TestConnectionEndsWithTheKey: a key that its issuer has withdrawn may have leaked,
// and then anybody could make a token that never expires and keep a WebSocket open
// with it for as long.
func TestConnectionEndsWithTheKey(t *testing.T) {
	w := newWorld(t)
	token := w.token(w.claims().with("exp", w.clock.Now().Unix()+1000000))
	id := w.in(token)
	alive := func(want bool, what string) {
		t.Helper()
		if ok, err := w.Alive(t.Context(), id); ok != want || err != nil {
			t.Errorf("%s: alive %v, %v", what, ok, err)
		}
	}
	alive(true, "at first")
	now := func(keys string) {
		w.site.serve(keysURL, keys)
		w.clock.pass(17 * time.Minute)
		if _, err := w.Alive(t.Context(), id); err != nil { // wakes the source
			t.Error(err)
		}
		w.settle()
	}
	now(jwks(public("ec", p256Pair()), public("next", otherP256())))
	alive(true, "beside a new key")
	now(jwks(public("ec", p256Pair()).with("alg", "ES256")))
	alive(true, "with its alg told")
	if again := w.in(token); again != id {
		t.Error("the same key, and another identity")
	}
	now(jwks(public("ec", otherP256())))
	alive(false, "replaced under the same kid")
	now(jwks(public("renamed", p256Pair())))
	alive(true, "under another kid")
	w.site.serve(keysURL, "{}")
	w.clock.pass(25 * time.Hour)
	if ok, err := w.Alive(t.Context(), id); ok || !errors.Is(err, ErrNoKeys) {
		t.Errorf("no keys for a day: alive %v, %v", ok, err)
	}
}

func TestDescribe(t *testing.T) {
	w := newWorld(t)
	claims := w.claims().with("sid", "s-1")
	t.Run("nothing is verified", func(t *testing.T) {
		d, err := w.Describe(sign("ES256", otherP256(), ecHeader.json(), claims.json()))
		now := w.clock.Now()
		want := Description{Issuer: testIssuer, JTI: "t-1", SID: "s-1", Subject: "u-1", IssuedAt: now, Expires: now.Add(5 * time.Minute), leeway: 30 * time.Second}
		if err != nil || d != want {
			t.Errorf("%+v %v", d, err)
		}
		if r := d.Revocation(); r != (Revocation{Issuer: testIssuer, JTI: "t-1", Until: now.Add(5*time.Minute + 30*time.Second)}) {
			t.Errorf("%+v", r)
		}
	})
	t.Run("but it is read strictly", func(t *testing.T) {
		for _, bad := range []string{"", "x", "a.b.c", w.token(claims.with("iss", "x")), w.token(claims.with("pad", strings.Repeat("x", maxToken)))} {
			if _, err := w.Describe(bad); !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("%.20q: %v", bad, err)
			}
		}
	})
	t.Run("without jti", func(t *testing.T) {
		token := w.token(claims.without("jti", "exp", "iat"))
		d, err := w.Describe(token)
		if err != nil || len(d.TokenHash) != 43 || d.Revocation() != (Revocation{Issuer: testIssuer, TokenHash: d.TokenHash}) {
			t.Errorf("%+v %v", d, err)
		}
	})
}

// TestReasonsHoldNothingOfTheToken: what a stranger wrote is in no error.
func TestReasonsHoldNothingOfTheToken(t *testing.T) {
	w := newWorld(t)
	const mine = "s3cr3tmark"
	var tokens []string
	for _, h := range []object{
		{"alg": mine, "typ": "at+jwt"}, ecHeader.with("kid", mine), ecHeader.with("typ", mine), ecHeader.with("cty", mine),
		ecHeader.with("crit", []string{mine}), ecHeader.with(mine, mine),
	} {
		for _, c := range []object{w.claims(), w.claims().with("iss", mine), w.claims().with("aud", mine), w.claims().with("roles", object{mine: mine}), w.claims().with(mine, mine).with("exp", mine)} {
			tokens = append(tokens, sign("ES256", p256Pair(), h.json(), c.json()))
		}
	}
	tokens = append(tokens, mine, mine+"."+mine+"."+mine, "{"+mine)
	for _, token := range tokens {
		id, err := w.Identify(context.Background(), token)
		if id == nil && strings.Contains(fmt.Sprint(err), mine) {
			t.Error(err)
		}
	}
	refusal := w.out(w.token(w.claims().with("sub", "a b\u202e"+strings.Repeat("c", 100)).with("aud", "x")), "audience")
	if !strings.HasPrefix(refusal.Who, `corp:a b\u202eccc`) || len(refusal.Who) > 100 {
		t.Errorf("%q", refusal.Who)
	}
	if slices.Contains([]string{"", "corp:"}, refusal.Who) {
		t.Error(refusal.Who)
	}
}
