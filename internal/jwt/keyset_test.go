package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func spki(public crypto.PublicKey) []byte { return must(x509.MarshalPKIXPublicKey(public)) }

func certificate(t *testing.T) []byte {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, NotAfter: time.Unix(1, 0)}
	return must(x509.CreateCertificate(rand.Reader, c, c, p256Pair().Public(), p256Pair()))
}

func TestKeysThatAreNotUsed(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	huge := new(big.Int).SetBit(big.NewInt(1), 8200, 1)
	good := public("good", p256Pair())
	r, ec, ed := public("k", rsaPair()), public("k", p256Pair()), public("k", edPair())
	for name, key := range map[string]object{
		"RSA of 1024 bits":          public("k", weak),
		"RSA of 8201 bits":          r.with("n", b64(string(huge.Bytes()))),
		"RSA with e = 1":            r.with("e", b64("\x01")),
		"RSA with an even e":        r.with("e", b64("\x01\x00\x00")),
		"RSA with a huge e":         r.with("e", b64("\x01\x00\x00\x00\x00\x00\x00\x00\x03")),
		"RSA with e above 2^31":     r.with("e", b64("\x01\x00\x00\x00\x01")),
		"RSA with an even n":        r.with("n", b64(string(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes()))),
		"RSA without n":             r.without("n"),
		"RSA with an empty n":       r.with("n", ""),
		"RSA with n in base64":      r.with("n", "+/=="),
		"RSA with n as a number":    r.with("n", 12345),
		"secret":                    {"kty": "oct", "k": b64("secret"), "kid": "k"},
		"oct without its secret":    {"kty": "oct", "kid": "k"},
		"private RSA":               r.with("d", b64("1")),
		"private EC":                ec.with("d", b64("1")),
		"RSA with a prime":          r.with("p", b64("1")),
		"with a null d":             ec.with("d", nil),
		"for encryption":            r.with("use", "enc"),
		"use in capitals":           r.with("use", "SIG"),
		"use is a list":             r.with("use", []string{"sig"}),
		"for signing only":          r.with("key_ops", []string{"sign"}),
		"for wrapping":              r.with("key_ops", []string{"wrapKey"}),
		"key_ops as a string":       r.with("key_ops", "verify"),
		"for RSA-OAEP":              r.with("alg", "RSA-OAEP"),
		"for HS256":                 r.with("alg", "HS256"),
		"RSA for ES256":             r.with("alg", "ES256"),
		"P-256 for ES384":           ec.with("alg", "ES384"),
		"for none":                  r.with("alg", "none"),
		"alg is a number":           r.with("alg", 7),
		"kid is a number":           r.with("kid", 7),
		"kid too long":              r.with("kid", strings.Repeat("k", 513)),
		"unknown kty":               {"kty": "PQC", "kid": "k"},
		"no kty":                    ec.without("kty"),
		"kty in small letters":      ec.with("kty", "ec"),
		"secp256k1":                 ec.with("crv", "secp256k1"),
		"P-192":                     ec.with("crv", "P-192"),
		"no curve":                  ec.without("crv"),
		"P-256 as P-384":            ec.with("crv", "P-384"),
		"a point off the curve":     ec.with("x", b64("\x01")),
		"the point at infinity":     ec.with("x", b64("\x00")).with("y", b64("\x00")),
		"EC without y":              ec.without("y"),
		"Ed448":                     ed.with("crv", "Ed448"),
		"X25519":                    ed.with("crv", "X25519"),
		"X25519 by its alg":         ed.with("crv", "X25519").with("alg", "ECDH-ES"),
		"Ed25519 of 31 bytes":       ed.with("x", b64(strings.Repeat("x", 31))),
		"Ed25519 of 33 bytes":       ed.with("x", b64(strings.Repeat("x", 33))),
		"Ed25519 for ES256":         ed.with("alg", "ES256"),
		"P-256 with the kty of RSA": ec.with("kty", "RSA"),
	} {
		t.Run(name, func(t *testing.T) {
			set, out, err := parseJWKS([]byte(jwks(key, good)))
			if err != nil || len(set.keys) != 1 || set.keys[0].id != "good" {
				t.Fatalf("%v %v", set, err)
			}
			if len(out) != 1 || out[0].reason == "" {
				t.Error(out)
			}
			if set, _, err := parseJWKS([]byte(jwks(key))); err == nil || set != nil || !strings.Contains(err.Error(), out[0].reason) {
				t.Errorf("a set of nothing else: %v", err)
			}
		})
	}
}

func TestKeysThatAreUsed(t *testing.T) {
	ec := public("k", p256Pair())
	for name, key := range map[string]object{
		"plain":                      ec,
		"without use":                ec.without("use"),
		"without kid":                ec.without("kid"),
		"key_ops":                    ec.with("key_ops", []string{"sign", "verify"}),
		"alg":                        ec.with("alg", "ES256"),
		"certificates are not read":  ec.with("x5c", []string{"garbage"}).with("x5u", "http://evil.example.com").with("x5t", 7),
		"other members are not read": ec.with("something", object{"kty": "oct"}),
		"Ed25519 by its new name":    public("k", edPair()).with("alg", "Ed25519"),
		"RSA with leading zeros":     public("k", rsaPair()).with("e", b64("\x00\x01\x00\x01")),
	} {
		if set, out, err := parseJWKS([]byte(jwks(key))); err != nil || len(out) != 0 || len(set.keys) != 1 {
			t.Errorf("%s: %v %v", name, out, err)
		}
	}
}

func TestKeySets(t *testing.T) {
	good := public("good", p256Pair()).json()
	many := make([]object, 101)
	for n := range many {
		many[n] = public(fmt.Sprint(n), p256Pair())
	}
	for name, doc := range map[string]string{
		"empty":                  "",
		"no object":              "[" + good + "]",
		"null":                   "null",
		"one key alone":          good,
		"no keys":                "{}",
		"keys is an object":      `{"keys":` + good + `}`,
		"keys is null":           `{"keys":null}`,
		"an empty list":          `{"keys":[]}`,
		"a list of others":       `{"keys":[1,"x",null,[]]}`,
		"keys twice":             `{"keys":[` + good + `],"keys":[` + good + `]}`,
		"a member twice":         `{"keys":[{"kid":"a",` + good[1:] + `]}`,
		"more after it":          `{"keys":[` + good + `]}x`,
		"cut off":                `{"keys":[` + good,
		"HTML":                   "<html>",
		"not UTF-8":              `{"keys":[` + good + `],"x":"` + "\xff" + `"}`,
		"deep":                   `{"keys":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		"more than 100":          jwks(many...),
		"a number out of range":  `{"keys":[` + good + `],"x":1e400}`,
		"Keys in another case":   `{"Keys":[` + good + `]}`,
		"a signed set, as a JWT": b64("{}") + "." + b64(good) + ".AA",
	} {
		if set, _, err := parseJWKS([]byte(doc)); err == nil || set != nil {
			t.Errorf("%s was taken", name)
		}
	}
	if set, _, err := parseJWKS([]byte(jwks(many[:100]...))); err != nil || len(set.keys) != 100 {
		t.Error(err)
	}
}

func TestOneKidForTwoKeys(t *testing.T) {
	w := newWorld(t)
	w.site.serve(keysURL, jwks(public("ec", p256Pair()), public("ec", otherP256()), public("other", p384Pair())))
	w.out(w.token(w.claims()), "the key that its kid names")
	w.out(sign("ES256", otherP256(), ecHeader.json(), w.claims().json()), "the key that its kid names")
	set, out, err := parseJWKS([]byte(jwks(public("ec", p256Pair()), public("ec", otherP256()))))
	if err != nil || len(out) != 1 || out[0].kid != "ec" || !set.twice["ec"] {
		t.Error(out, err)
	}
	set, out, err = parseJWKS([]byte(jwks(public("ec", p256Pair()), public("ec", p256Pair()))))
	if err != nil || len(out) != 0 || len(set.keys) != 1 || set.twice["ec"] {
		t.Error("the same key twice is one key:", out, err)
	}
}

func TestKeyFiles(t *testing.T) {
	public256, cert := pemOf("PUBLIC KEY", spki(p256Pair().Public())), pemOf("CERTIFICATE", certificate(t))
	private := pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(p256Pair())))
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for name, doc := range map[string]string{
		"JWKS":                  "\n " + everyKey() + "\n",
		"public key":            public256,
		"RSA in its own form":   pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaPair().PublicKey)),
		"certificate":           cert,
		"several, with remarks": "our keys:\n" + public256 + "and\n" + pemOf("PUBLIC KEY", spki(edPair().Public())) + cert,
	} {
		if set, _, err := parseKeyFile([]byte(doc)); err != nil || len(set.keys) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct{ doc, reason string }{
		"empty":                       {"", "neither a JWKS nor PEM"},
		"text":                        {"hello", "neither a JWKS nor PEM"},
		"private key":                 {private, "private key"},
		"private key after a public":  {public256 + private, "private key"},
		"private RSA in its own form": {pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaPair())), "private key"},
		"private EC after parameters": {pemOf("EC PARAMETERS", []byte{6}) + pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p256Pair()))), "private key"},
		"private key in a JWKS":       {jwks(public("a", p256Pair()), public("b", p256Pair()).with("d", b64("1"))), "private key"},
		"secret in a JWKS":            {jwks(public("a", p256Pair()), object{"kty": "oct", "k": "AA"}), "private key"},
		"certificate request":         {pemOf("CERTIFICATE REQUEST", []byte("x")), "CERTIFICATE REQUEST"},
		"damaged key":                 {pemOf("PUBLIC KEY", []byte("x")), "cannot be read"},
		"damaged certificate":         {pemOf("CERTIFICATE", []byte("x")), "cannot be read"},
		"damaged base64 after a good": {public256 + strings.Replace(public256, "\nM", "\n!", 1), "only 1 of its 2"},
		"weak RSA":                    {pemOf("PUBLIC KEY", spki(weak.Public())), "1024 bits"},
		"P-224":                       {pemOf("PUBLIC KEY", spki(p224.Public())), "curve"},
		"more than 100":               {strings.Repeat(public256, 101), "more than 100"},
		"a JWKS of nothing":           {`{"keys":[]}`, "no key"},
		"a single JWK":                {public("a", p256Pair()).json(), `"keys"`},
	} {
		set, _, err := parseKeyFile([]byte(c.doc))
		if err == nil || set != nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(c.reason, "private key") && !errors.Is(err, errPrivate) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzJWKS: whatever an issuer answers, only sound public keys come out, and the
// same answer makes the same set.
func FuzzJWKS(f *testing.F) {
	f.Add([]byte(everyKey()))
	f.Add([]byte(`{"keys":[` + a2Key + `,` + a3Key + `,` + a4Key + `,` + edKey + `]}`))
	f.Add([]byte(jwks(public("a", p256Pair()).with("alg", "ES256").with("key_ops", []string{"verify"}), object{"kty": "oct", "k": "AA"})))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"X25519","x":"AA"}]}`))
	f.Add([]byte(pemOf("PUBLIC KEY", spki(p256Pair().Public()))))
	f.Add([]byte(`{"keys":[{}, null, {"kid":"\ud800"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []func([]byte) (*Set, []skipped, error){parseJWKS, parseKeyFile} {
			set, _, err := read(data)
			if (set == nil) != (err != nil) {
				t.Fatal(set, err)
			}
			if err != nil {
				continue
			}
			if len(set.keys) == 0 || len(set.keys) > maxKeys {
				t.Fatalf("%d keys", len(set.keys))
			}
			for _, k := range set.keys {
				if k.alg != "" && kinds[k.alg] != k.kind || k.kind == kindSecret {
					t.Fatalf("%+v", k)
				}
				if p, ok := k.public.(*rsa.PublicKey); ok && (p.N.BitLen() < minRSA || p.N.BitLen() > maxRSA || p.E < 3) {
					t.Fatal("an unsound RSA key")
				}
				if p, ok := k.public.(*ecdsa.PublicKey); ok {
					if _, err := p.ECDH(); err != nil {
						t.Fatal(err)
					}
				}
				if _, private := k.public.(crypto.Signer); private {
					t.Fatal("a private key")
				}
			}
			if again, _, err := read(data); err != nil || again.print != set.print {
				t.Fatal("the same data make another set", err)
			}
		}
	})
}
