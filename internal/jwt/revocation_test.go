package jwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
)

// withRevocations is a world whose verifier has some.
func withRevocations(t testing.TB) (*world, *Revocations) {
	var r *Revocations
	w := newWorld(t)
	r = revocable(t, w.clock.Now)
	w.options.Revocations = r
	w.Verifier = must(New(w.options))
	return w, r
}

func add(t testing.TB, r *Revocations, v Revocation) {
	t.Helper()
	if _, err := r.Add(context.Background(), v); err != nil {
		t.Fatal(err)
	}
}

func TestRevoked(t *testing.T) {
	probe := newWorld(t)
	now := probe.clock.Now()
	for name, c := range map[string]struct {
		revoke Revocation
		claims object
		caught bool
	}{
		"its jti":                          {Revocation{Issuer: testIssuer, JTI: "t-1"}, object{}, true},
		"its jti, whoever issued it":       {Revocation{JTI: "t-1"}, object{}, true},
		"its jti, of another issuer":       {Revocation{Issuer: "other", JTI: "t-1"}, object{}, false},
		"another jti":                      {Revocation{Issuer: testIssuer, JTI: "t-2"}, object{}, false},
		"a jti that its subject is":        {Revocation{Issuer: testIssuer, JTI: "u-1"}, object{}, false},
		"an odd jti":                       {Revocation{Issuer: testIssuer, JTI: "../\x00/ü\n"}, object{"jti": "../\x00/ü\n"}, true},
		"a very long jti":                  {Revocation{Issuer: testIssuer, JTI: strings.Repeat("j", 5000)}, object{"jti": strings.Repeat("j", 5000)}, true},
		"its login":                        {Revocation{Issuer: testIssuer, SID: "s-1"}, object{"sid": "s-1"}, true},
		"another login":                    {Revocation{Issuer: testIssuer, SID: "s-2"}, object{"sid": "s-1"}, false},
		"a login, and it has none":         {Revocation{Issuer: testIssuer, SID: "s-1"}, object{}, false},
		"its subject":                      {Revocation{Issuer: testIssuer, Subject: "u-1"}, object{"iat": now.Unix() - 1}, true},
		"its subject, issued later":        {Revocation{Issuer: testIssuer, Subject: "u-1"}, object{"iat": now.Unix() + 1}, false},
		"its subject, issued who knows":    {Revocation{Issuer: testIssuer, Subject: "u-1"}, object{"iat": nil}, true},
		"its subject, before it":           {Revocation{Issuer: testIssuer, Subject: "u-1", Before: now.Add(-time.Hour)}, object{}, false},
		"its subject, to come":             {Revocation{Issuer: testIssuer, Subject: "u-1", Before: now.Add(time.Hour)}, object{}, true},
		"another subject":                  {Revocation{Issuer: testIssuer, Subject: "u-2"}, object{}, false},
		"all of its issuer":                {Revocation{Issuer: testIssuer, Before: now.Add(time.Second)}, object{}, true},
		"all of its issuer, before it":     {Revocation{Issuer: testIssuer, Before: now}, object{}, false},
		"all of its issuer, who knows":     {Revocation{Issuer: testIssuer, Before: now.Add(-time.Hour)}, object{"iat": nil}, true},
		"all of another issuer":            {Revocation{Issuer: "other", Before: now.Add(time.Second)}, object{"iat": nil}, false},
		"all of all issuers":               {Revocation{Before: now.Add(time.Second)}, object{}, true},
		"a moment in the second of its":    {Revocation{Issuer: testIssuer, Subject: "u-1", Before: now.Add(time.Millisecond)}, object{}, true},
		"a fraction of a second before it": {Revocation{Issuer: testIssuer, Subject: "u-1", Before: now.Add(100 * time.Millisecond)}, object{"iat": float64(now.Unix()) + 0.25}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := withRevocations(t)
			claims := w.claims()
			for k, v := range c.claims {
				if claims = claims.with(k, v); v == nil {
					claims = claims.without(k)
				}
			}
			seen, unseen := w.token(claims), w.token(claims.with("another", true))
			id := w.in(seen)
			add(t, r, c.revoke)
			alive, err := w.Alive(t.Context(), id)
			if err != nil || alive == c.caught {
				t.Error("its connections:", alive, err)
			}
			if !c.caught {
				w.in(seen)
				w.in(unseen)
				return
			}
			for _, token := range []string{seen, unseen} {
				if refusal := w.out(token, "revoked"); refusal.Who != "corp:u-1" {
					t.Error(refusal.Who)
				}
			}
		})
	}
}

// TestRevokedByWhatAnAdministratorHolds: the token itself, with or without jti.
func TestRevokedByWhatAnAdministratorHolds(t *testing.T) {
	for _, claims := range []func(object) object{
		func(o object) object { return o },
		func(o object) object { return o.without("jti") },
		func(o object) object { return o.with("jti", 7) },
	} {
		w, r := withRevocations(t)
		token, other := w.token(claims(w.claims())), w.token(claims(w.claims()).with("n", 1).with("jti", "t-2"))
		id := w.in(token)
		d, err := w.Describe(token)
		if err != nil {
			t.Fatal(err)
		}
		add(t, r, d.Revocation())
		w.out(token, "revoked")
		w.in(other)
		if alive, err := w.Alive(t.Context(), id); alive || err != nil {
			t.Error(alive, err)
		}
		w.clock.pass(331 * time.Second)
		if list, err := r.List(t.Context()); err != nil || len(list) != 0 {
			t.Error("it is not forgotten:", list, err)
		}
		w.out(token, "expired")
	}
}

// TestSecondSignatureIsRevokedToo: of an ECDSA signature (r, s) anybody makes
// (r, -s), which is as good. A token without jti that was revoked must not come
// back by it.
func TestSecondSignatureIsRevokedToo(t *testing.T) {
	w, r := withRevocations(t)
	input := b64(ecHeader.json()) + "." + b64(w.claims().without("jti").json())
	sum := sha256.Sum256([]byte(input))
	R, s, err := ecdsa.Sign(rand.Reader, p256Pair(), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	first := input + "." + b64(string(rAndS(elliptic.P256(), R, s)))
	second := input + "." + b64(string(rAndS(elliptic.P256(), R, new(big.Int).Sub(elliptic.P256().Params().N, s))))
	w.in(first)
	w.in(second)
	d, err := w.Describe(first)
	if err != nil {
		t.Fatal(err)
	}
	add(t, r, d.Revocation())
	w.out(first, "revoked")
	w.out(second, "revoked")
}

func TestRevocationsThatMakeNoSense(t *testing.T) {
	w, r := withRevocations(t)
	now := w.clock.Now()
	for name, v := range map[string]Revocation{
		"nothing":              {},
		"an issuer alone":      {Issuer: testIssuer},
		"jti and sid":          {JTI: "a", SID: "b"},
		"jti and subject":      {JTI: "a", Subject: "b"},
		"subject and hash":     {Subject: "a", TokenHash: "b"},
		"all four":             {JTI: "a", SID: "b", Subject: "c", TokenHash: "d"},
		"jti before":           {JTI: "a", Before: now},
		"sid before":           {SID: "a", Before: now},
		"hash before":          {TokenHash: "a", Before: now},
		"forgotten at once":    {JTI: "a", Until: now},
		"forgotten before":     {JTI: "a", Until: now.Add(-time.Hour)},
		"too long":             {JTI: strings.Repeat("a", maxToken+1)},
		"not UTF-8":            {JTI: "\xff"},
		"issuer not UTF-8":     {JTI: "a", Issuer: "\xff"},
		"a long note":          {JTI: "a", Note: strings.Repeat("n", 257)},
		"a note not UTF-8":     {JTI: "a", Note: "\xff"},
		"beyond the year 9999": {Subject: "a", Before: time.Unix(300000000000, 0)},
	} {
		if got, err := r.Add(t.Context(), v); !errors.Is(err, ErrRevocation) || got != nil {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if list, err := r.List(t.Context()); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	w.in(w.token(w.claims()))
}

// TestNoRevocationWeakensAnother: of two about the same, both stay in force.
func TestNoRevocationWeakensAnother(t *testing.T) {
	w, r := withRevocations(t)
	now := w.clock.Now()
	add(t, r, Revocation{Issuer: testIssuer, Subject: "u-1", Before: now.Add(time.Minute)})
	add(t, r, Revocation{Issuer: testIssuer, Subject: "u-1", Before: now.Add(-time.Minute), Until: now.Add(time.Second)})
	add(t, r, Revocation{Issuer: testIssuer, JTI: "t-9", Note: "first"})
	add(t, r, Revocation{Issuer: testIssuer, JTI: "t-9", Until: now.Add(time.Second)})
	w.clock.pass(10 * time.Second)
	w.out(w.token(w.claims().with("sub", "u-2").with("jti", "t-9")), "revoked")
	add(t, r, Revocation{Issuer: testIssuer, JTI: "t-9", Note: "again"})
	w.out(w.token(w.claims()), "revoked")
	w.out(w.token(w.claims().with("sub", "u-2").with("jti", "t-9")), "revoked")
	list, err := r.List(t.Context())
	if err != nil || len(list) != 2 || list[0].Subject != "u-1" || list[1].JTI != "t-9" || list[1].Note != "again" || !list[1].Created.Equal(w.clock.Now()) {
		t.Errorf("%+v %v", list, err)
	}
}

func TestRevocationEnds(t *testing.T) {
	w, r := withRevocations(t)
	token := w.token(w.claims().with("exp", w.clock.Now().Unix()+10000))
	add(t, r, Revocation{JTI: "t-1", Until: w.clock.Now().Add(time.Minute)})
	w.out(token, "revoked")
	w.clock.pass(time.Minute - time.Nanosecond)
	w.out(token, "revoked")
	w.clock.pass(time.Nanosecond)
	w.in(token)
}

func TestListOfRevocations(t *testing.T) {
	w, r := withRevocations(t)
	v, err := r.Add(t.Context(), Revocation{Issuer: testIssuer, Subject: "u-1", Note: "stolen laptop"})
	if err != nil || !v.Created.Equal(w.clock.Now()) || !v.Before.Equal(w.clock.Now()) || v.Note != "stolen laptop" {
		t.Errorf("%+v %v", v, err)
	}
	w.clock.pass(time.Second)
	for n := range 3 {
		add(t, r, Revocation{JTI: fmt.Sprint(n)})
	}
	list, err := r.List(t.Context())
	if err != nil || len(list) != 4 || list[0] != *v || list[1].JTI != "0" || list[3].JTI != "2" {
		t.Errorf("%+v %v", list, err)
	}
}

// TestStoreDown: whether a token is revoked cannot be found out, so it is not a
// pass, remembered or not.
func TestStoreDown(t *testing.T) {
	w := newWorld(t)
	file := must(bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{}))
	r := NewRevocations(file, w.clock.Now)
	defer r.Close()
	w.options.Revocations = r
	w.Verifier = must(New(w.options))
	token := w.token(w.claims())
	id := w.in(token)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	w.fault(token, store.ErrUnavailable)
	w.fault(w.token(w.claims()), store.ErrUnavailable)
	if alive, err := w.Alive(t.Context(), id); alive || !errors.Is(err, store.ErrUnavailable) {
		t.Error(alive, err)
	}
	if _, err := r.Add(t.Context(), Revocation{JTI: "a"}); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, ErrRevocation) {
		t.Error(err)
	}
	if _, err := r.List(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
	w.out(w.token(w.claims().with("aud", "x")), "audience") // it is bad all the same
}

// TestDamagedRevocation: one that cannot be read may have been about any token.
func TestDamagedRevocation(t *testing.T) {
	for name, raw := range map[string]string{"empty": "", "cut off": `{"jti":"t-`, "nothing": "{}", "two": `{"jti":"a","sid":"b"}`, "null": "null", "a list": "[]"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			file := must(bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{}))
			defer file.Close()
			if err := file.Put(t.Context(), "revoked_token/x", []byte(raw), 0); err != nil {
				t.Fatal(err)
			}
			r := NewRevocations(file, nil)
			defer r.Close()
			w.options.Revocations = r
			w.Verifier = must(New(w.options))
			if id, err := w.Identify(t.Context(), w.token(w.claims())); id != nil || err == nil || errors.Is(err, identity.ErrUnknown) {
				t.Error(id, err)
			}
		})
	}
}

// TestCloseOfRevocations: requests outlive a reload.
func TestCloseOfRevocations(t *testing.T) {
	w, r := withRevocations(t)
	token := w.token(w.claims())
	w.in(token)
	r.Close()
	w.in(token)
	add(t, r, Revocation{JTI: "t-1"})
	w.out(token, "revoked")
}

// shared is one database under several instances, each of which hears of the
// others' changes late, and trusts what it remembers for no longer than that.
type shared struct {
	store.Store
	peers *[]*shared
	mu    sync.Mutex
	fns   []func(string)
	late  []string // what this instance has not heard of yet
}

const trust = time.Second

func (s *shared) Trust() time.Duration { return trust }

func (s *shared) Watch(fn func(string)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fns = append(s.fns, fn)
	return func() {}
}

func (s *shared) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.Store.Put(ctx, key, value, ttl); err != nil {
		return err
	}
	for _, p := range *s.peers {
		p.mu.Lock()
		p.late = append(p.late, key)
		p.mu.Unlock()
	}
	s.hear()
	return nil
}

// hear tells what happened elsewhere.
func (s *shared) hear() {
	s.mu.Lock()
	keys, fns := s.late, s.fns
	s.late = nil
	s.mu.Unlock()
	for _, k := range keys {
		for _, fn := range fns {
			fn(k)
		}
	}
}

// TestTwoInstances: revoked on one, a token is refused on the other when that
// hears of it, and within the trust when it does not.
func TestTwoInstances(t *testing.T) {
	for _, hears := range []bool{true, false} {
		t.Run(fmt.Sprint("hears ", hears), func(t *testing.T) {
			file := must(bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{}))
			defer file.Close()
			var peers []*shared
			for range 2 {
				peers = append(peers, &shared{Store: file, peers: &peers})
			}
			here, there := newWorld(t), newWorld(t)
			var revocations []*Revocations
			for n, w := range []*world{here, there} {
				r := NewRevocations(peers[n], w.clock.Now)
				defer r.Close()
				revocations = append(revocations, r)
				w.options.Revocations = r
				w.Verifier = must(New(w.options))
			}
			token := here.token(here.claims())
			here.in(token)
			id := there.in(token)
			begin := time.Now()
			add(t, revocations[0], Revocation{Issuer: testIssuer, JTI: "t-1"})
			here.out(token, "revoked")
			if hears {
				peers[1].hear()
				there.out(token, "revoked")
			}
			for {
				if _, err := there.Identify(t.Context(), token); errors.Is(err, identity.ErrUnknown) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				if time.Since(begin) > 10*trust {
					t.Fatal("it is still in")
				}
				time.Sleep(10 * time.Millisecond)
			}
			if alive, err := there.Alive(t.Context(), id); alive || err != nil {
				t.Error(alive, err)
			}
			if list, err := revocations[1].List(t.Context()); err != nil || len(list) != 1 {
				t.Error(list, err)
			}
		})
	}
}

// TestRevokedUnderAnotherName: a revocation means an issuer, whatever its block is
// called after the next change of the configuration, or on another instance.
func TestRevokedUnderAnotherName(t *testing.T) {
	w, r := withRevocations(t)
	token := w.token(w.claims())
	id := w.in(token)
	d, err := w.Describe(token)
	if err != nil {
		t.Fatal(err)
	}
	add(t, r, d.Revocation())
	w.options.Issuers[0].Name = "renamed"
	w.Verifier = must(New(w.options))
	w.out(token, "revoked")
	// Nor does it hit another issuer that is called so now.
	m := Marks{Issuer: "https://other.example.com", JTI: id.Claims["jti"].(string)}
	if revoked, err := r.Revoked(t.Context(), m); revoked || err != nil {
		t.Error("a token of another issuer:", revoked, err)
	}
}
