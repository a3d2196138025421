package jwt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

// TestAlgorithmConfusion: the issuer's public key is known to all, and must not
// serve as the secret of an HMAC.
func TestAlgorithmConfusion(t *testing.T) {
	w := newWorld(t)
	der := spki(rsaPair().Public())
	pkcs1 := x509.MarshalPKCS1PublicKey(&rsaPair().PublicKey)
	for name, secret := range map[string]string{
		"PEM":               pemOf("PUBLIC KEY", der),
		"PEM without break": strings.TrimSpace(pemOf("PUBLIC KEY", der)),
		"PKCS 1":            pemOf("RSA PUBLIC KEY", pkcs1),
		"DER":               string(der),
		"JWK":               public("rsa", rsaPair()).json(),
		"JWKS":              everyKey(),
		"n":                 string(rsaPair().N.Bytes()),
		"empty":             "",
	} {
		for _, alg := range []string{"HS256", "HS384", "HS512"} {
			t.Run(name+" "+alg, func(t *testing.T) {
				for _, h := range []object{{"alg": alg, "typ": "at+jwt", "kid": "rsa"}, {"alg": alg, "typ": "at+jwt"}} {
					w.out(sign(alg, []byte(secret), h.json(), w.claims().json()), "algorithm")
				}
			})
		}
	}
	t.Run("a signature of one algorithm under the name of another", func(t *testing.T) {
		for _, c := range []struct{ alg, as, kid string }{
			{"RS256", "PS256", "rsa"}, {"PS256", "RS256", "rsa"}, {"RS256", "ES256", "ec"}, {"RS256", "EdDSA", "ed"},
		} {
			w.out(sign(c.alg, rsaPair(), object{"alg": c.as, "typ": "at+jwt", "kid": c.kid}.json(), w.claims().json()), "signature")
		}
	})
	t.Run("a key with its own alg serves no other", func(t *testing.T) {
		w := newWorld(t)
		w.site.serve(keysURL, jwks(public("rsa", rsaPair()).with("alg", "PS256")))
		w.out(sign("RS256", rsaPair(), object{"alg": "RS256", "typ": "at+jwt", "kid": "rsa"}.json(), w.claims().json()), "not for its algorithm")
		w.out(sign("RS256", rsaPair(), object{"alg": "RS256", "typ": "at+jwt"}.json(), w.claims().json()), "kid")
		w.in(sign("PS256", rsaPair(), object{"alg": "PS256", "typ": "at+jwt", "kid": "rsa"}.json(), w.claims().json()))
	})
}

func TestAlgorithmNone(t *testing.T) {
	for name, w := range map[string]*world{
		"public keys": newWorld(t),
		"a secret":    newWorld(t, func(o *Options) { o.Issuers[0].Keys, o.Issuers[0].Secret = nil, testSecret }),
	} {
		for bits := range 16 { // none in every mixture of small and capital letters
			alg := []byte("none")
			for n := range alg {
				if bits>>n&1 == 1 {
					alg[n] -= 'a' - 'A'
				}
			}
			t.Run(name+" "+string(alg), func(t *testing.T) {
				input := b64(ecHeader.with("alg", string(alg)).json()) + "." + b64(w.claims().json())
				w.out(input+".", "algorithm")
				w.out(input+".AA", "algorithm")
				w.out(input, "")
			})
		}
		for _, alg := range []any{"", " none", "none\x00", "ES256\x00", "es256", "ES256 ", nil, 256, []string{"ES256"}, object{"ES256": true}} {
			w.out(sign("ES256", p256Pair(), ecHeader.with("alg", alg).json(), w.claims().json()), "al")
		}
		w.out(sign("ES256", p256Pair(), ecHeader.without("alg").json(), w.claims().json()), "alg")
		good := w.claims().json()
		w.out(b64(ecHeader.json())+"."+b64(good)+".", "")
	}
}

func TestKIDTricks(t *testing.T) {
	t.Run("a kid that no key has", func(t *testing.T) {
		for _, kid := range []string{
			"../../../../dev/null", "/etc/passwd", "' UNION SELECT 'secret' --", "ec' OR '1'='1", "ec\x00", "EC", " ec", "ec\n",
			"http://evil.example.com/keys", "file:///dev/null", "$(id)", "{{7*7}}", "__proto__", strings.Repeat("e", 512), "ec,rsa", "0",
		} {
			w := newWorld(t)
			w.out(sign("ES256", p256Pair(), ecHeader.with("kid", kid).json(), w.claims().json()), "kid names no key")
			w.in(w.token(w.claims()))
			if n := w.site.count(keysURL); n != 2 {
				t.Errorf("%q: %d fetches", kid, n)
			}
		}
	})
	t.Run("a kid that is none costs nothing", func(t *testing.T) {
		w := newWorld(t)
		for _, kid := range []any{"", strings.Repeat("e", 513), 7, nil, []string{"ec"}, object{}, true} {
			w.out(sign("ES256", p256Pair(), ecHeader.with("kid", kid).json(), w.claims().json()), "kid")
		}
		if n := w.site.count(keysURL); n != 0 {
			t.Errorf("%d fetches", n)
		}
	})
	t.Run("the kid of another key of the issuer", func(t *testing.T) {
		w := newWorld(t)
		w.out(sign("ES256", p256Pair(), ecHeader.with("kid", "rsa").json(), w.claims().json()), "not for its algorithm")
		w.out(sign("ES256", otherP256(), ecHeader.json(), w.claims().json()), "signature")
		if n := w.site.count(keysURL); n != 1 {
			t.Errorf("%d fetches: no newer set would make them good", n)
		}
	})
}

// TestWrongIssuersKey: two issuers are trusted, and neither may speak for the
// other, also when both use the same kid.
func TestWrongIssuersKey(t *testing.T) {
	const second, secondKeys = "https://second.example.com", "https://second.example.com/keys"
	w := newWorld(t)
	w.site.serve(keysURL, jwks(public("ec", p256Pair()), public("mine", p256Pair())))
	w.site.serve(secondKeys, jwks(public("ec", otherP256()), public("theirs", otherP256())))
	w.options.Issuers = append(w.options.Issuers, Issuer{
		Name: "second", Issuer: second, Audiences: []string{testAudience}, Keys: w.newSource(SourceOptions{Issuer: second, JWKSURL: secondKeys}),
	})
	v, err := New(w.options)
	if err != nil {
		t.Fatal(err)
	}
	w.Verifier = v
	theirs := w.claims().with("iss", second)
	w.in(w.token(w.claims()))
	w.in(sign("ES256", otherP256(), ecHeader.json(), theirs.json()))
	w.out(sign("ES256", otherP256(), ecHeader.json(), w.claims().json()), "signature")
	w.out(w.token(theirs), "signature")
	w.out(sign("ES256", otherP256(), ecHeader.with("kid", "theirs").json(), w.claims().json()), "kid names no key")
	w.out(sign("ES256", otherP256(), ecHeader.without("kid").json(), w.claims().json()), "signature")
	for _, iss := range []any{testIssuer + "/", strings.ToUpper(testIssuer), " " + testIssuer, testIssuer + "\x00", "https://id.example.com/realms/b", "https://evil.example.com", []string{testIssuer}, object{}, 7} {
		w.out(w.token(w.claims().with("iss", iss)), "iss")
	}
	w.out(w.token(w.claims().with("iss", "")), "iss")
	w.out(w.token(w.claims().without("iss")), "iss")
}

// TestPsychicSignatures: CVE-2022-21449 and its kin.
func TestPsychicSignatures(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Issuers[0].Algorithms = []string{"ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256"}
	})
	for alg, c := range map[string]struct {
		kid   string
		curve elliptic.Curve
	}{"ES256": {"ec", elliptic.P256()}, "ES384": {"p384", elliptic.P384()}, "ES512": {"p521", elliptic.P521()}} {
		n, p := c.curve.Params().N, c.curve.Params().P
		input := b64(object{"alg": alg, "kid": c.kid, "typ": "at+jwt"}.json()) + "." + b64(w.claims().json())
		zero, one := big.NewInt(0), big.NewInt(1)
		for _, r := range []*big.Int{zero, one, n, new(big.Int).Add(n, one), new(big.Int).Sub(n, one), p} {
			for _, s := range []*big.Int{zero, one, n, new(big.Int).Add(n, one), p} {
				w.out(input+"."+b64(string(rAndS(c.curve, r, s))), "signature")
			}
		}
		size := (c.curve.Params().BitSize + 7) / 8
		w.out(input+"."+b64(strings.Repeat("\xff", 2*size)), "signature")
	}
	for alg, kid := range map[string]string{"EdDSA": "ed", "RS256": "rsa", "PS256": "rsa", "ES256": "ec"} {
		input := b64(object{"alg": alg, "kid": kid, "typ": "at+jwt"}.json()) + "." + b64(w.claims().json())
		for _, size := range []int{0, 1, 32, 63, 64, 65, 128, 256, 257} {
			w.out(input+"."+b64(strings.Repeat("\x00", size)), "signature")
			w.out(input+"."+b64(strings.Repeat("\x01", size)), "signature")
		}
	}
}

// TestSignatureInAnotherCoding: ES256 is r and s alone; DER, other lengths and
// added zeros are other spellings of one signature.
func TestSignatureInAnotherCoding(t *testing.T) {
	w := newWorld(t)
	input := b64(ecHeader.json()) + "." + b64(w.claims().json())
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, p256Pair(), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := string(rAndS(elliptic.P256(), r, s))
	der := must(asn1.Marshal(struct{ R, S *big.Int }{r, s}))
	for name, sig := range map[string]string{
		"DER": string(der), "a zero in front": "\x00" + raw, "a zero behind": raw + "\x00", "zeros in both halves": "\x00" + raw[:32] + "\x00" + raw[32:],
		"one byte less": raw[:63], "twice": raw + raw, "half": raw[:32], "swapped": raw[32:] + raw[:32], "none": "",
	} {
		t.Run(name, func(t *testing.T) { w.out(input+"."+b64(sig), "signature") })
	}
	w.in(input + "." + b64(raw))
}

// TestTruncatedAndExtended: every token that is cut off anywhere, or longer by
// anything, is refused.
func TestTruncatedAndExtended(t *testing.T) {
	w := newWorld(t)
	token := w.token(w.claims())
	w.in(token)
	for n := range token {
		w.out(token[:n], "")
		w.out(token[n+1:], "")
	}
	for _, more := range []string{".", "..", "A", "AA", "AAA", "AAAA", "=", "==", " ", "\n", "\r\n", "\x00", ".AA", "." + token, ",", "\t", "\u00a0", "%20", "+", "/"} {
		w.out(token+more, "")
		w.out(more+token, "")
		for _, at := range []int{5, strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.'), strings.LastIndexByte(token, '.') + 1} {
			w.out(token[:at]+more+token[at:], "")
		}
	}
	w.out(strings.ToUpper(token), "")
	w.out("Bearer "+token, "")
	w.out("", "")
	w.out(strings.Repeat("A", maxToken+1), "too long")
	w.out(w.token(w.claims().with("pad", strings.Repeat("x", maxToken))), "too long")
	w.in(w.token(w.claims().with("pad", strings.Repeat("x", 3*maxToken/4-600))))
}

// TestOneTokenOneSpelling: the last character of base64 may have bits that count
// for nothing. Each of them changed would make another token that is as good.
func TestOneTokenOneSpelling(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	w := newWorld(t)
	token := w.token(w.claims())
	parts := strings.Split(token, ".")
	for part := range parts {
		for _, c := range alphabet {
			changed := append([]string{}, parts...)
			changed[part] = parts[part][:len(parts[part])-1] + string(c)
			if other := strings.Join(changed, "."); other != token {
				w.out(other, "")
			}
		}
	}
	for part := range parts {
		for name, coding := range map[string]*base64.Encoding{"padded": base64.URLEncoding, "ordinary": base64.StdEncoding} {
			raw := must(base64.RawURLEncoding.DecodeString(parts[part]))
			changed := append([]string{}, parts...)
			if changed[part] = coding.EncodeToString(raw); changed[part] != parts[part] {
				t.Run(fmt.Sprint(name, part), func(t *testing.T) { w.out(strings.Join(changed, "."), "characters") })
			}
		}
	}
}

func TestOtherFormsOfJOSE(t *testing.T) {
	w := newWorld(t)
	parts := strings.Split(w.token(w.claims()), ".")
	jsonForm := object{"protected": parts[0], "payload": parts[1], "signature": parts[2]}
	for name, token := range map[string]string{
		"flattened JSON":     jsonForm.json(),
		"general JSON":       object{"payload": parts[1], "signatures": []object{jsonForm}}.json(),
		"JWE":                strings.Join(append(parts, "AA", "AA"), "."),
		"JWE with alg dir":   b64(`{"alg":"dir","enc":"A128GCM"}`) + "..AAAA.AAAA.AAAA",
		"enc in three parts": sign("ES256", p256Pair(), ecHeader.with("enc", "A128GCM").json(), w.claims().json()),
		"zip":                sign("ES256", p256Pair(), ecHeader.with("zip", "DEF").json(), w.claims().json()),
		"detached":           parts[0] + ".." + parts[2],
		"four parts":         strings.Join(append(parts[:3:3], ""), "."),
		"JSON in base64":     b64(jsonForm.json()),
		"an array as header": sign("ES256", p256Pair(), "["+ecHeader.json()+"]", w.claims().json()),
		"an array as claims": sign("ES256", p256Pair(), ecHeader.json(), "["+w.claims().json()+"]"),
		"a text as claims":   sign("ES256", p256Pair(), ecHeader.json(), `"claims"`),
		"no claims":          sign("ES256", p256Pair(), ecHeader.json(), ""),
		"null":               sign("ES256", p256Pair(), ecHeader.json(), "null"),
	} {
		t.Run(name, func(t *testing.T) { w.out(token, "") })
	}
}

func TestNestedJWT(t *testing.T) {
	w := newWorld(t)
	inner := w.token(w.claims())
	w.out(sign("ES256", p256Pair(), ecHeader.with("cty", "JWT").json(), inner), "cty")
	for _, cty := range []any{"JWT", "jwt", "application/jwt", "Application/JWT", 7, nil, []string{"JWT"}} {
		w.out(sign("ES256", p256Pair(), ecHeader.with("cty", cty).json(), w.claims().json()), "cty")
	}
	w.out(sign("ES256", p256Pair(), ecHeader.json(), inner), "JSON")
	w.out(sign("ES256", p256Pair(), ecHeader.json(), `"`+inner+`"`), "JSON")
	w.in(sign("ES256", p256Pair(), ecHeader.with("cty", "twilio-fpa;v=1").json(), w.claims().json()))
}

// TestKeysThatATokenBrings: signed by the attacker's key, which is inside or
// where the token says. Nothing is fetched, not even our own keys.
func TestKeysThatATokenBrings(t *testing.T) {
	w := newWorld(t)
	const evil = "https://evil.example.com/keys"
	w.site.serve(evil, jwks(public("evil", otherP256())))
	for name, value := range map[string]any{
		"jwk": public("evil", otherP256()), "jku": evil, "x5u": evil, "x5c": []string{"MIIB"},
	} {
		for _, h := range []object{ecHeader, ecHeader.with("kid", "evil"), ecHeader.without("kid")} {
			w.out(sign("ES256", otherP256(), h.with(name, value).json(), w.claims().json()), name)
		}
		w.out(sign("ES256", p256Pair(), ecHeader.with(name, nil).json(), w.claims().json()), name)
	}
	if w.site.count(evil) != 0 || w.site.count(keysURL) != 0 {
		t.Error("something was fetched")
	}
	w.in(sign("ES256", p256Pair(), ecHeader.with("x5t", "AA").with("x5t#S256", "AA").json(), w.claims().json()))
}

func TestCritAndB64(t *testing.T) {
	w := newWorld(t)
	claims := w.claims().json()
	for name, h := range map[string]object{
		"crit":             ecHeader.with("crit", []string{"exp"}),
		"crit of nothing":  ecHeader.with("crit", []string{}),
		"crit is null":     ecHeader.with("crit", nil),
		"crit with b64":    ecHeader.with("crit", []string{"b64"}).with("b64", false),
		"b64 false":        ecHeader.with("b64", false),
		"b64 true as well": ecHeader.with("b64", true),
	} {
		t.Run(name, func(t *testing.T) { w.out(sign("ES256", p256Pair(), h.json(), claims), "header has") })
	}
	t.Run("a payload that is not encoded", func(t *testing.T) {
		h := ecHeader.with("b64", false).with("crit", []string{"b64"})
		input := b64(h.json()) + "." + claims
		w.out(input+"."+b64(string(signature("ES256", p256Pair(), input))), "")
	})
}

// TestDeepNesting: it is refused at once, and long before a stack could grow.
func TestDeepNesting(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{strictjson.MaxDepth + 1, 5000} {
		for name, deep := range map[string]string{
			"lists": strings.Repeat("[", n) + strings.Repeat("]", n), "objects": strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n), "open lists": strings.Repeat("[", n),
		} {
			if len(deep) > 10_000 {
				deep = deep[:10_000]
			}
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				w.out(sign("ES256", p256Pair(), `{"alg":"ES256","x":`+deep+`}`, w.claims().json()), "deep")
				w.out(sign("ES256", p256Pair(), ecHeader.json(), `{"x":`+deep+`}`), "deep")
				w.out(sign("ES256", p256Pair(), deep, w.claims().json()), "")
			})
		}
	}
	for _, open := range []string{"[", `{"a":`, `[{"a":`} {
		deep := strings.Repeat(open, 100_000)
		w.out(sign("ES256", p256Pair(), `{"x":`+deep, w.claims().json()), "too long")
		w.out(sign("ES256", p256Pair(), ecHeader.json(), `{"x":`+deep), "too long")
		if _, err := strictjson.Object(`{"x":` + deep); err != strictjson.ErrDeep {
			t.Error(err)
		}
	}
	ok := strings.Repeat("[", strictjson.MaxDepth-1) + strings.Repeat("]", strictjson.MaxDepth-1)
	w.in(sign("ES256", p256Pair(), ecHeader.json(), w.claims().json()[:len(w.claims().json())-1]+`,"x":`+ok+`}`))
}

// TestDuplicateMembers: where two parsers may take one each, there is no token.
func TestDuplicateMembers(t *testing.T) {
	w := newWorld(t)
	claims, head := w.claims().json(), ecHeader.json()
	add := func(doc, more string) string { return doc[:len(doc)-1] + "," + more + "}" }
	for name, token := range map[string]string{
		"alg":                   sign("ES256", p256Pair(), add(head, `"alg":"none"`), claims),
		"alg, the same":         sign("ES256", p256Pair(), add(head, `"alg":"ES256"`), claims),
		"kid, escaped":          sign("ES256", p256Pair(), add(head, `"\u006bid":"rsa"`), claims),
		"sub":                   sign("ES256", p256Pair(), head, add(claims, `"sub":"admin"`)),
		"sub, escaped":          sign("ES256", p256Pair(), head, add(claims, `"s\u0075b":"admin"`)),
		"aud":                   sign("ES256", p256Pair(), head, add(claims, `"aud":"x"`)),
		"inside of another":     sign("ES256", p256Pair(), head, add(claims, `"realm_access":{"roles":[],"roles":["admin"]}`)),
		"inside of a list":      sign("ES256", p256Pair(), head, add(claims, `"x":[[{"a":1,"a":1}]]`)),
		"an empty name":         sign("ES256", p256Pair(), head, add(claims, `"":1,"":2`)),
		"by a lone surrogate":   sign("ES256", p256Pair(), head, add(claims, `"\ud800":1,"\ufffd":2`)),
		"by bytes of no letter": sign("ES256", p256Pair(), head, add(claims, "\"\xff\":1,\"\xfe\":2")),
	} {
		t.Run(name, func(t *testing.T) { w.out(token, "JSON") })
	}
	t.Run("names that differ in case are different", func(t *testing.T) {
		if id := w.in(sign("ES256", p256Pair(), head, add(claims, `"SUB":"admin","Roles":["root"]`))); id.Subject != "u-1" || len(id.Roles) != 2 {
			t.Error(id)
		}
	})
}

func TestInvalidUTF8(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80", "\xe2\x82"} {
		w.out(sign("ES256", p256Pair(), ecHeader.json(), strings.Replace(w.claims().json(), "u-1", bad, 1)), "Unicode")
		w.out(sign("ES256", p256Pair(), strings.Replace(ecHeader.json(), `"ec"`, `"`+bad+`"`, 1), w.claims().json()), "Unicode")
	}
}

// TestWeakRSAKey: an issuer whose key can be broken has no key.
func TestWeakRSAKey(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	w := newWorld(t)
	w.site.serve(keysURL, jwks(public("weak", weak), public("ec", p256Pair())))
	w.out(sign("RS256", weak, object{"alg": "RS256", "kid": "weak", "typ": "at+jwt"}.json(), w.claims().json()), "kid names no key")
	w.out(sign("RS256", weak, object{"alg": "RS256", "typ": "at+jwt"}.json(), w.claims().json()), "kid names no key")
}

// TestUnsupportedCurves: what has no algorithm here is no key, and its algorithm
// is none that could be allowed.
func TestUnsupportedCurves(t *testing.T) {
	w := newWorld(t)
	w.site.serve(keysURL, jwks(public("448", edPair()).with("crv", "Ed448"), public("k1", p256Pair()).with("crv", "secp256k1"), public("ec", p256Pair())))
	w.out(sign("EdDSA", edPair(), object{"alg": "EdDSA", "kid": "448", "typ": "at+jwt"}.json(), w.claims().json()), "kid names no key")
	w.out(sign("ES256", p256Pair(), ecHeader.with("kid", "k1").json(), w.claims().json()), "kid names no key")
	for _, alg := range []string{"ES256K", "Ed448", "Ed25519", "ESP256", "RS1", "HS1", "ECDH-ES", "RSA-OAEP", "A128KW", "dir"} {
		w.out(sign("ES256", p256Pair(), ecHeader.with("alg", alg).json(), w.claims().json()), "algorithm")
	}
}

// TestTokensWithoutKID tries only keys that fit, and only a few.
func TestTokensWithoutKID(t *testing.T) {
	w := newWorld(t)
	var keys []object
	for n := range 10 {
		pair := otherP256()
		if n == 9 {
			pair = p256Pair()
		}
		keys = append(keys, public(fmt.Sprint("k", n), pair))
	}
	w.site.serve(keysURL, jwks(keys...))
	w.out(sign("ES256", p256Pair(), ecHeader.without("kid").json(), w.claims().json()), "signature")
	set := w.source.known.Load().set
	if keys, settled := set.candidates("", "ES256"); len(keys) != maxTries || settled {
		t.Error(len(keys), settled)
	}
	if keys, _ := set.candidates("", "RS256"); len(keys) != 0 {
		t.Error("keys that do not fit")
	}
	w.in(sign("ES256", p256Pair(), ecHeader.with("kid", "k9").json(), w.claims().json()))
}

// FuzzToken: no value makes the verifier panic, and none gets in that was not
// signed as it is.
func FuzzToken(f *testing.F) {
	w := newWorld(f, func(o *Options) {
		o.Issuers[0].Types = []string{"at+jwt", "JWT"}
		o.Issuers = append(o.Issuers, Issuer{Name: "joe", Issuer: "joe", Audiences: []string{"x"}, Secret: testSecret, Types: []string{"JWT"}})
	})
	signed := map[string]bool{}
	for _, token := range []string{
		w.token(w.claims()), w.token(w.claims().without("jti")),
		sign("RS256", rsaPair(), object{"alg": "RS256"}.json(), w.claims().json()),
		sign("EdDSA", edPair(), object{"alg": "EdDSA", "kid": "ed", "typ": "JWT"}.json(), w.claims().json()),
		sign("HS256", testSecret, object{"alg": "HS256"}.json(), w.claims().with("iss", "joe").with("aud", "x").json()),
	} {
		w.in(token)
		signed[token[:strings.LastIndexByte(token, '.')]] = true
		f.Add(token)
	}
	for _, token := range []string{"", ".", "..", "....", a1Token, a2Token, a3Token, edToken, "e30.e30.", "eyJhbGciOiJub25lIn0." + joe + ".", "gh_x", "\x00"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := w.Identify(t.Context(), token)
		if (id == nil) == (err == nil) {
			t.Fatal(id, err)
		}
		if err == nil && !signed[token[:strings.LastIndexByte(token, '.')]] {
			t.Fatalf("%q lets %s in", token, id.Subject)
		}
		if d, err := w.Describe(token); err == nil && d.JTI == "" && d.TokenHash == "" {
			t.Fatalf("%q cannot be revoked", token)
		}
	})
}
