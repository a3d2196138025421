package oidc

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

// What nobody signed costs no look for keys.
func TestForgedLogoutTokensAreCheap(t *testing.T) {
	w := newWorld(t)
	w.in()
	asked := len(w.op.Asked("jwks"))
	evil := optest.New("https://evil.example.com")
	evil.Clock = w.clock.Now
	if out, err := w.LogoutToken(t.Context(), evil.LogoutToken("alice-1", "")); out != nil || !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if len(w.op.Asked("jwks")) != asked {
		t.Error("keys were fetched for a token of another issuer")
	}
	evil.Issuer = testIssuer // says that it is the honest one
	evil.Rotate("RS256", false)
	l, err := w.LogoutToken(t.Context(), evil.LogoutToken("alice-1", ""))
	if l != nil {
		t.Error("a forged logout token counts")
	}
	w.refused(nil, err, ErrInvalid, "signature is wrong")
}

// A replayed logout token has the same name, by which the caller knows it, until
// it is refused for its age.
func TestReplayedLogoutToken(t *testing.T) {
	for life, until := range map[time.Duration]time.Duration{2 * time.Minute: 3 * time.Minute, 24 * time.Hour: 11*time.Minute + time.Second} {
		w := newWorld(t)
		w.knob(func(k *optest.Knobs) { k.LogoutToken = object{"exp": w.clock.now.Add(life).Unix()} })
		raw := w.op.LogoutToken("alice-1", "sid-1")
		first, err := w.LogoutToken(t.Context(), raw)
		second, err2 := w.LogoutToken(t.Context(), raw)
		if err != nil || err2 != nil || first.ID == "" || first.ID != second.ID || !first.Until.Equal(w.clock.now.Add(until)) {
			t.Errorf("%+v %v %v", first, err, err2)
		}
		w.clock.pass(until)
		if l, err := w.LogoutToken(t.Context(), raw); l != nil || !errors.Is(err, ErrInvalid) {
			t.Errorf("it counts when its name is forgotten: %v", err)
		}
	}
}

// An ID token, also one from a refresh, which has no nonce, ends no session.
func TestIDTokenAsLogoutToken(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	w.knob(func(k *optest.Knobs) { k.RefreshIDToken = object{"nonce": nil} })
	_, kept, err := w.Refresh(t.Context(), l.Issuer, l.Subject, l.Tokens)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{l.Tokens.ID, kept.ID, l.Tokens.Access, ""} {
		if out, err := w.LogoutToken(t.Context(), raw); out != nil || !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	}
}

func TestLogoutTokensOfOtherKinds(t *testing.T) {
	w := newWorld(t)
	for _, typ := range []string{"at+jwt", "secevent+jwt", "id_token+jwt"} {
		w.knob(func(k *optest.Knobs) { k.LogoutTokenHeader = object{"typ": typ} })
		_, err := w.LogoutToken(t.Context(), w.op.LogoutToken("alice-1", ""))
		w.refused(nil, err, ErrInvalid, "typ is not that of a logout token")
	}
	for _, typ := range []any{"logout+jwt", "application/logout+jwt", "Logout+JWT", "JWT", nil} {
		w.knob(func(k *optest.Knobs) { k.LogoutTokenHeader = object{"typ": typ} })
		l, err := w.LogoutToken(t.Context(), w.op.LogoutToken("alice-1", ""))
		if err != nil || l.Subject != "alice-1" || l.SID != "" {
			t.Error(typ, l, err)
		}
	}
}

// Either is enough: whose sessions ended, or which.
func TestWhatALogoutTokenNames(t *testing.T) {
	w := newWorld(t)
	for _, c := range [][2]string{{"alice-1", ""}, {"", "sid-1"}, {"alice-1", "sid-1"}, {strings.Repeat("s", 255), ""}} {
		l, err := w.LogoutToken(t.Context(), w.op.LogoutToken(c[0], c[1]))
		if err != nil || l.Subject != c[0] || l.SID != c[1] || l.Issuer != testIssuer {
			t.Errorf("%q: %+v %v", c, l, err)
		}
	}
}

// Without keys nothing is known: the provider is to send it again.
func TestLogoutTokenWhileTheKeysAreOut(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.Broken = map[string]http.HandlerFunc{discovery: status(503)} })
	if l, err := w.LogoutToken(t.Context(), w.op.LogoutToken("alice-1", "")); l != nil || !errors.Is(err, ErrUnavailable) {
		t.Error(l, err)
	}
	w = newWorld(t)
	w.knob(func(k *optest.Knobs) { k.Broken = map[string]http.HandlerFunc{"jwks": status(503)} })
	l, err := w.LogoutToken(t.Context(), w.op.LogoutToken("alice-1", ""))
	if l != nil || !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid) {
		t.Error(l, err)
	}
}

// An assertion that reaches a revocation endpoint is of no use at the token
// endpoint that the same metadata name.
func TestAssertionIsForOneEndpoint(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.ClientSecret, o.PrivateKey = "", ecKey() })
	w.op.Client.Auth, w.op.Client.PublicKey = "private_key_jwt", ecKey().Public()
	if err := w.Revoke(t.Context(), w.in().Tokens); err != nil {
		t.Fatal(err)
	}
	for endpoint, want := range map[string]string{"revoke": testIssuer + "/revoke", "token": testIssuer + "/token"} {
		for _, asked := range w.op.Asked(endpoint) {
			if claims := optest.Claims(asked.Form.Get("client_assertion")); claims["aud"] != want {
				t.Errorf("%s is sent an assertion for %v", endpoint, claims["aud"])
			}
		}
	}
}
