package oidc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

func TestSeveralAudiences(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		claims object
		reason string
	}{
		"without azp":               {object{"aud": []any{"client", "api"}, "azp": nil}, "does not say who asked"},
		"with us as azp":            {object{"aud": []any{"client", "api"}, "azp": "client"}, ""},
		"with another azp":          {object{"aud": []any{"client", "api"}, "azp": "api"}, "another client asked"},
		"one, and another azp":      {object{"aud": "client", "azp": "api"}, "another client asked"},
		"one in a list without azp": {object{"aud": []any{"client"}, "azp": nil}, ""},
		"azp is null":               {object{"azp": null}, "another client asked"},
		"azp is a list":             {object{"azp": []any{"client"}}, "another client asked"},
		"azp is empty":              {object{"azp": ""}, "another client asked"},
	} {
		t.Run(name, func(t *testing.T) {
			w.knob(func(k *optest.Knobs) { k.IDToken = c.claims })
			if c.reason == "" {
				w.in()
			} else {
				w.out(c.reason)
			}
		})
	}
}

func TestTokensOfAnotherKind(t *testing.T) {
	w := newWorld(t)
	for _, typ := range []string{"at+jwt", "application/at+jwt", "logout+jwt", "JOSE", "dpop+jwt", "secevent+jwt"} {
		w.knob(func(k *optest.Knobs) { k.IDTokenHeader = object{"typ": typ} })
		w.out("typ is not that of an ID token")
	}
	for _, typ := range []any{nil, "JWT", "jwt", "application/jwt"} {
		w.knob(func(k *optest.Knobs) { k.IDTokenHeader = object{"typ": typ} })
		w.in()
	}
	for _, typ := range []any{null, "", 1} {
		w.knob(func(k *optest.Knobs) { k.IDTokenHeader = object{"typ": typ} })
		w.out("typ in its header")
	}
	w.op.Reset()
	w.knob(func(k *optest.Knobs) { k.IDToken = object{"events": object{event: object{}}} })
	w.out("logout token")
}

// A header must not say by which key, or how, a token is to be checked.
func TestHeadersThatChooseTheirKey(t *testing.T) {
	w := newWorld(t)
	key := optest.FirstKey().JWK(true)
	for name, v := range map[string]any{
		"jwk": key, "jku": "https://evil.example.com/jwks", "x5u": "https://evil.example.com/x5u", "x5c": []any{"MII"}, "crit": []any{"exp"}, "b64": false, "zip": "DEF", "enc": "A256GCM",
	} {
		w.knob(func(k *optest.Knobs) { k.IDTokenHeader = object{name: v} })
		w.out("header has " + name)
	}
}

func TestMalformedTokens(t *testing.T) {
	w := newWorld(t)
	good := w.in().Tokens.ID
	parts := strings.Split(good, ".")
	duplicate := b64url([]byte(`{"iss":"` + testIssuer + `","iss":"` + testIssuer + `"}`))
	header := func(s string) string { return b64url([]byte(s)) + "." + parts[1] + "." + parts[2] }
	for name, c := range map[string]string{
		"two parts": parts[0] + "." + parts[1], "four parts": good + ".", "encrypted": good + "..", "dots": "..", "a dot": ".", "padding": good + "==", "words": "hello",
		"JSON serialisation":  `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"a line break inside": parts[0] + "." + parts[1] + "." + parts[2][:10] + "\n" + parts[2][10:],
		"a member twice":      parts[0] + "." + duplicate + "." + parts[2], "a list": parts[0] + "." + b64url([]byte(`[]`)) + "." + parts[2], "no JSON": parts[0] + "." + b64url([]byte(`x`)) + "." + parts[2],
		"alg twice": header(`{"alg":"RS256","alg":"none"}`), "no header": header(``), "header is a list": header(`[]`), "no alg": header(`{}`), "alg null": header(`{"alg":null}`),
		"deep":              parts[0] + "." + b64url([]byte(strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40))) + "." + parts[2],
		"no UTF-8":          parts[0] + "." + b64url([]byte("{\"a\":\"\xff\"}")) + "." + parts[2],
		"long":              parts[0] + "." + strings.Repeat("A", maxJWT) + "." + parts[2],
		"signature of none": parts[0] + "." + parts[1] + ".",
	} {
		t.Run(name, func(t *testing.T) {
			w.knob(func(k *optest.Knobs) { k.Token = object{"id_token": c} })
			l, err := w.login(Request{})
			if l != nil || !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v", err)
			}
			noSecrets(t, err.Error())
			if out, err := w.LogoutToken(t.Context(), c); out != nil || !errors.Is(err, ErrInvalid) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A token is not made good by being replayed: its nonce is another login's.
func TestReplayedIDToken(t *testing.T) {
	w := newWorld(t)
	old := w.in().Tokens
	w.knob(func(k *optest.Knobs) { k.Token = object{"id_token": old.ID, "access_token": old.Access} })
	w.out("nonce is another")
}

func TestParseToken(t *testing.T) {
	head, body := b64url([]byte(`{"alg":"RS256"}`)), b64url([]byte(`{"iss":"x"}`))
	if got, err := parseToken(head + "." + body + ".AA"); err != nil || got.alg != "RS256" || got.typ != "" || got.claims["iss"] != "x" {
		t.Error(got, err)
	}
	for raw, reason := range map[string]string{
		"": "empty or too long", strings.Repeat("a", maxJWT+1): "empty or too long", "a.b": "three parts", "a.b.c.d.e": "encrypted", "a.b.c.d": "three parts",
		head + "." + body + ".AB": "in its only form", head + "." + body + ".A": "in its only form", head + "." + body + ".A-/": "in its only form", head + "." + body + ".AA=": "in its only form",
		head + "." + body + ".A\nA": "not base64url", head + "." + body[:4] + "\r\n" + body[4:] + ".AA": "not base64url",
		b64url([]byte(`{"alg":1,"alg":2}`)) + "." + body + ".AA": "its header: a JSON object has the same member twice", "." + body + ".AA": "its header: it is not the JSON",
		head + "." + b64url([]byte(`{"iss":1,"iss":2}`)) + ".AA": "the same member twice", head + "..AA": "not the JSON",
	} {
		if got, err := parseToken(raw); got != nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%.40q: %v", raw, err)
		}
	}
}

// keysOf is a key set that answers as it is told.
type keysOf func(context.Context, string) ([]byte, error)

func (k keysOf) VerifySignature(ctx context.Context, raw string) ([]byte, error) { return k(ctx, raw) }

func TestOddKeySets(t *testing.T) {
	with := func(k keysOf) *world {
		return newWorld(t, func(o *Options) { o.Keys = func(string) KeySet { return k } })
	}
	w := with(func(context.Context, string) ([]byte, error) { return []byte(`{"sub":"mallory-1"}`), nil })
	w.out("signature is wrong") // the payload that was signed is another
	w = with(func(context.Context, string) ([]byte, error) { return nil, nil })
	w.out("signature is wrong")
	w = with(func(context.Context, string) ([]byte, error) { return nil, fmt.Errorf("eyJ <script>") })
	w.out("signature is wrong")
	synctest.Test(t, func(t *testing.T) { // one that waits for ever, and does not know what it means that it ends
		op := optest.New(testIssuer)
		w := join(t, op, op.Transport(), func(o *Options) {
			o.Keys = func(string) KeySet {
				return keysOf(func(ctx context.Context, _ string) ([]byte, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				})
			}
		})
		l, err := w.login(Request{})
		w.refused(l, err, ErrUnavailable, "deadline exceeded")
	})
}
