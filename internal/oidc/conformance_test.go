package oidc

import (
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

// The tests of the OpenID Foundation's relying-party plans, each by its name
// there: oidcc-client-test-invalid-iss is TestOIDCCClientTestInvalidIss. Here are
// the basic, configuration and refresh token plans, and those of the others that
// are about what this client does.

func TestOIDCCClientTest(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	if l.Provider != "test" || l.Issuer != testIssuer || l.Subject != "alice-1" || l.Username != "alice" || l.Name != "Alice" ||
		l.Email != "alice@example.com" || !l.EmailVerified || len(l.AMR) != 1 || l.AMR[0] != "pwd" || l.SID == "" || !l.AuthTime.Equal(w.clock.now) ||
		len(l.Groups) != 1 || l.Groups[0] != "finance" || len(l.Roles) != 1 || l.Roles[0] != "reader" {
		t.Errorf("%+v", l)
	}
	if l.Tokens.Access == "" || l.Tokens.Refresh == "" || l.Tokens.ID == "" || l.Tokens.Type != "Bearer" || l.Tokens.Nonce == "" || !l.Tokens.Expires.After(w.clock.now) {
		t.Error("tokens are missing")
	}
	if l.Claims["email"] != "alice@example.com" || l.Claims["nonce"] != nil || l.Claims["at_hash"] != nil {
		t.Error(l.Claims)
	}
}

func TestOIDCCClientTestInvalidIss(t *testing.T) {
	w := newWorld(t)
	for _, iss := range []any{testIssuer + "/", "https://evil.example.com", "", nil, 1, []any{testIssuer}, strings.ToUpper(testIssuer)} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"iss": iss} })
		w.out("iss is another")
	}
}

func TestOIDCCClientTestMissingSub(t *testing.T) {
	w := newWorld(t)
	for _, sub := range []any{nil, "", 1, true, object{}, []any{"alice-1"}, strings.Repeat("x", 256), "a\nb", "a\x00"} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"sub": sub} })
		w.out("no sub")
	}
}

func TestOIDCCClientTestInvalidAud(t *testing.T) {
	w := newWorld(t)
	for _, aud := range []any{"another", []any{"another"}, []any{}, "", []any{"client", 1}, []any{[]any{"client"}}, 1, object{"client": true}, "client "} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"aud": aud} })
		w.out("for another audience")
	}
}

func TestOIDCCClientTestMissingAud(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.IDToken = object{"aud": nil} })
	w.out("for another audience")
}

func TestOIDCCClientTestMissingIat(t *testing.T) {
	w := newWorld(t)
	for _, iat := range []any{nil, "1795426800", true, []any{1}} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"iat": iat} })
		w.out("no iat")
	}
}

func TestOIDCCClientTestKidAbsentSingleJwks(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.IDTokenHeader = object{"kid": nil} })
	w.in()
	w.knob(func(k *optest.Knobs) { k.OmitKIDs = true })
	w.in()
	for _, kid := range []any{null, "", 1, strings.Repeat("k", 513)} {
		w.knob(func(k *optest.Knobs) { k.IDTokenHeader = object{"kid": kid} })
		w.out("kid")
	}
}

// Of several keys, the one that fits is found by trying.
func TestOIDCCClientTestKidAbsentMultipleJwks(t *testing.T) {
	w := newWorld(t)
	w.op.Rotate("RS256", true)
	w.knob(func(k *optest.Knobs) { k.IDTokenHeader = object{"kid": nil} })
	w.in()
	w.knob(func(k *optest.Knobs) { k.BadSignature = true })
	w.out("signature is wrong")
}

func TestOIDCCClientTestIgnoresUnparseableKeyInJwks(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.ExtraKeys = []map[string]any{{"kty": "AKP", "alg": "ML-DSA-1", "kid": "pq", "pub": "AA"}, {"kty": "made-up", "kid": "odd"}}
	})
	w.in()
}

func TestOIDCCClientTestIDTokenSigRS256(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.IDTokenAlg = "RS256" })
	w.in()
}

// Not of the plan: the other algorithms that are allowed by default.
func TestOIDCCClientTestIDTokenSigOthers(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA", "PS256"} {
		w := newWorld(t)
		w.knob(func(k *optest.Knobs) { k.IDTokenAlg = alg })
		w.in()
		w.knob(func(k *optest.Knobs) { k.BadSignature = true })
		w.out("signature is wrong")
	}
}

func TestOIDCCClientTestIDTokenSigNone(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.IDTokenAlg = "none" })
	w.out("alg is not one")
	for _, alg := range []any{"None", "NONE", "nOnE", "", nil, 1, []any{"RS256"}} {
		w.knob(func(k *optest.Knobs) { k.IDTokenHeader = object{"alg": alg} })
		w.out("alg is not one")
	}
}

func TestOIDCCClientTestInvalidSigRS256(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.BadSignature = true })
	w.out("signature is wrong")
}

func TestOIDCCClientTestInvalidSigES256(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.IDTokenAlg, k.BadSignature = "ES256", true })
	w.out("signature is wrong")
}

// The client's secret is no key, also if the signature is right.
func TestOIDCCClientTestInvalidSigHS256(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.IDTokenAlg = "HS256" })
	w.out("alg is not one")
	w.knob(func(k *optest.Knobs) { k.BadSignature = true })
	w.out("alg is not one")
}

func TestOIDCCClientTestUserInfoInvalidSub(t *testing.T) {
	w := newWorld(t)
	for _, sub := range []any{"mallory-1", nil, "", 1, "alice-1 ", "ALICE-1"} {
		w.knob(func(k *optest.Knobs) { k.ThinIDToken, k.UserInfo = true, object{"sub": sub} })
		w.out("it is about another person")
	}
}

func TestOIDCCClientTestNonce(t *testing.T) {
	w := newWorld(t)
	first, _ := w.start(Request{})
	second, _ := w.start(Request{})
	if len(first.Nonce) != 43 || first.Nonce == second.Nonce {
		t.Errorf("%q %q", first.Nonce, second.Nonce)
	}
}

func TestOIDCCClientTestNonceInvalid(t *testing.T) {
	w := newWorld(t)
	for _, nonce := range []any{"another", nil, "", 1, []any{}} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"nonce": nonce} })
		w.out("nonce is another")
	}
}

func TestOIDCCClientTestScopeUserInfoClaims(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.ThinIDToken = true })
	l := w.in()
	if l.Email != "alice@example.com" || !l.EmailVerified || l.Name != "Alice" || l.Username != "alice" || len(l.Groups) != 1 || l.Claims["name"] != "Alice" {
		t.Errorf("%+v", l)
	}
	if len(w.op.Asked("userinfo")) != 1 {
		t.Error("UserInfo was not asked")
	}
	w = newWorld(t, func(o *Options) { o.Scopes = []string{"openid"} })
	if l := w.in(); l.Email != "" || l.Name != "" || l.Subject != "alice-1" || len(w.op.Asked("userinfo")) != 0 {
		t.Errorf("%+v, asked %d times", l, len(w.op.Asked("userinfo")))
	}
}

func TestOIDCCClientTestUserInfoBearerHeader(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.ThinIDToken = true })
	w.in()
	asked := w.op.Asked("userinfo")
	if len(asked) != 1 || !strings.HasPrefix(asked[0].Header.Get("Authorization"), "Bearer ") || len(asked[0].Form) != 0 {
		t.Error(asked)
	}
}

// Nobody asked for signed answers, and whoever could sign them is not checked.
func TestOIDCCClientTestUserInfoSigned(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.ThinIDToken, k.UserInfoType = true, "application/jwt" })
	l, err := w.login(Request{})
	w.refused(l, err, ErrUnavailable, "not of type application/json")
}

func TestOIDCCClientTestClientSecretBasic(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Auth = "client_secret_basic" })
	w.in()
	asked := w.op.Asked("token")
	if len(asked) != 1 || asked[0].Header.Get("Authorization") == "" || asked[0].Form.Has("client_secret") || asked[0].Form.Has("client_id") {
		t.Error(asked)
	}
}

func TestOIDCCClientTestInvalidAtHash(t *testing.T) {
	w := newWorld(t)
	for _, hash := range []any{"AAAAAAAAAAAAAAAAAAAAAA", "", "another", b64url(make([]byte, 32))} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"at_hash": hash} })
		w.out("at_hash is not that")
	}
	for _, hash := range []any{1, true, []any{}, object{}} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"at_hash": hash} })
		w.out("malformed")
	}
}

// In the code flow it may be left out (OpenID Connect Core section 3.1.3.6).
func TestOIDCCClientTestMissingAtHash(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.IDToken = object{"at_hash": nil} })
	w.in()
}

// Claims that are only pointed at are not fetched; who depends on them is out.
func TestOIDCCClientTestDistributedClaims(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.IDToken = object{
			"_claim_names":   object{"groups": "src1", "age": "src1"},
			"_claim_sources": object{"src1": object{"endpoint": "https://op.example.com/claims", "access_token": "x"}}, "groups": nil,
		}
	})
	l, err := w.login(Request{})
	if who := (*DeniedError)(nil); l != nil || !errors.As(err, &who) || !strings.Contains(who.Reason, "all of your groups") {
		t.Errorf("%v %v", l, err)
	}
	w.knob(func(k *optest.Knobs) { k.IDToken["groups"] = []any{"finance"} })
	if l := w.in(); l.Groups[0] != "finance" || len(w.op.Asked("claims")) != 0 {
		t.Error(l.Groups)
	}
}

func TestOIDCCClientTestAggregatedClaims(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.IDToken = object{"_claim_names": object{"roles": "src1"}, "_claim_sources": object{"src1": object{"JWT": "x.y.z"}}, "roles": nil}
	})
	l, err := w.login(Request{})
	if who := (*DeniedError)(nil); l != nil || !errors.As(err, &who) {
		t.Errorf("%v %v", l, err)
	}
}

func TestOIDCCClientTestMTLSEndpointAliases(t *testing.T) {
	server, certificate := mutualTLS(t)
	server.op.Set(func(k *optest.Knobs) {
		k.ThinIDToken = true
		k.Metadata = object{
			"token_endpoint": "https://wrong.example.com/token", "userinfo_endpoint": "https://wrong.example.com/userinfo",
			"mtls_endpoint_aliases": object{"token_endpoint": server.op.Issuer + "/token", "userinfo_endpoint": server.op.Issuer + "/userinfo"},
		}
	})
	w := server.join(func(o *Options) { o.ClientSecret, o.ClientCertificate = "", certificate })
	if l := w.in(); l.Name != "Alice" {
		t.Errorf("%+v", l)
	}
	if _, err := x509.ParseCertificate(certificate.Certificate[0]); err != nil || len(w.op.Asked("token")) != 1 || w.op.Asked("token")[0].Form.Get("client_id") != "client" {
		t.Error(err, w.op.Asked("token"))
	}
}

func TestOIDCCClientTestDiscoveryOpenIDConfig(t *testing.T) {
	w := newWorld(t)
	if ready, err := w.Status(); ready && err != nil {
		t.Error(ready, err)
	}
	if err := w.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ready, err := w.Status(); !ready || err != nil || len(w.op.Asked(".well-known/openid-configuration")) != 1 {
		t.Error(ready, err)
	}
	address, _, err := w.Begin(t.Context(), Request{RedirectURL: testCallback})
	if err != nil || !strings.HasPrefix(address, testIssuer+"/authorize?") {
		t.Error(address, err)
	}
}

func TestOIDCCClientTestDiscoveryJwksURIKeys(t *testing.T) {
	w := newWorld(t)
	w.in()
	if len(w.op.Asked("jwks")) != 1 {
		t.Error("keys were not asked for")
	}
}

func TestOIDCCClientTestDiscoveryIssuerMismatch(t *testing.T) {
	for _, issuer := range []any{testIssuer + "/", "https://evil.example.com", "", nil, 1, "https://OP.example.com"} {
		w := newWorld(t)
		w.knob(func(k *optest.Knobs) { k.Metadata = object{"issuer": issuer} })
		err := w.Ready(t.Context())
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "the same to the letter") {
			t.Errorf("%v: %v", issuer, err)
		}
		if ready, err := w.Status(); ready || err == nil {
			t.Error(ready, err)
		}
		if _, _, err := w.Begin(t.Context(), Request{RedirectURL: testCallback}); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	}
}

func TestOIDCCClientTestSigningKeyRotation(t *testing.T) {
	w := newWorld(t)
	w.in()
	w.op.Rotate("RS256", false)
	w.in()
	if len(w.op.Asked("jwks")) != 2 {
		t.Error(len(w.op.Asked("jwks")))
	}
}

func TestOIDCCClientTestSigningKeyRotationJustBeforeSigning(t *testing.T) {
	w := newWorld(t)
	w.in()
	w.knob(func(k *optest.Knobs) { k.RotateBeforeSigning = true })
	w.in()
}

// The old suite's rp-key-rotation-op-sign-key: both keys are published for a
// while, and the older one may have signed.
func TestOIDCCClientTestSigningKeyRolloverOPSigningKey(t *testing.T) {
	w := newWorld(t)
	pending, callback := w.start(Request{})
	w.op.Rotate("RS256", true)
	if _, err := w.Finish(t.Context(), pending, callback); err != nil {
		t.Error(err)
	}
	w.in()
}

func TestOIDCCClientTestRefreshToken(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	again, kept, err := w.Refresh(t.Context(), l.Issuer, l.Subject, l.Tokens)
	if err != nil {
		t.Fatal(err)
	}
	if again.Subject != l.Subject || again.Email != l.Email || kept.Access == l.Tokens.Access || kept.Refresh == l.Tokens.Refresh || kept.ID == l.Tokens.ID || kept != again.Tokens {
		t.Errorf("%+v", again)
	}
	if !again.AuthTime.IsZero() || again.ACR != "" || again.AMR != nil {
		t.Error("a refresh proves nothing about the person")
	}
	if _, _, err := w.Refresh(t.Context(), l.Issuer, l.Subject, kept); err != nil {
		t.Error(err)
	}
}

func TestOIDCCClientTestRefreshTokenInvalidIssuer(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	w.knob(func(k *optest.Knobs) { k.RefreshIDToken = object{"iss": "https://evil.example.com"} })
	got, _, err := w.Refresh(t.Context(), l.Issuer, l.Subject, l.Tokens)
	w.refused(got, err, ErrInvalid, "iss is another")
}

func TestOIDCCClientTestRefreshTokenInvalidSub(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	w.knob(func(k *optest.Knobs) { k.RefreshIDToken = object{"sub": "mallory-1"} })
	got, _, err := w.Refresh(t.Context(), l.Issuer, l.Subject, l.Tokens)
	w.refused(got, err, ErrInvalid, "sub is another than at the login")
}

func TestOIDCCClientTestRefreshTokenInvalidAud(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	w.knob(func(k *optest.Knobs) { k.RefreshIDToken = object{"aud": "another"} })
	got, _, err := w.Refresh(t.Context(), l.Issuer, l.Subject, l.Tokens)
	w.refused(got, err, ErrInvalid, "another audience")
}

func TestOIDCCClientTestRefreshTokenInvalidAzp(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	w.knob(func(k *optest.Knobs) { k.RefreshIDToken = object{"azp": "another"} })
	got, _, err := w.Refresh(t.Context(), l.Issuer, l.Subject, l.Tokens)
	w.refused(got, err, ErrInvalid, "azp")
}

// 3rd-party-init-login needs nothing of this package but a start without more:
// the issuer is compared by the caller.
func TestOIDCCClientTest3rdPartyInitLogin(t *testing.T) {
	w := newWorld(t)
	address, _, err := w.Begin(t.Context(), Request{RedirectURL: testCallback, LoginHint: "alice@example.com"})
	u, err2 := url.Parse(address)
	if err != nil || err2 != nil || u.Query().Get("login_hint") != "alice@example.com" {
		t.Error(address, err, err2)
	}
}
