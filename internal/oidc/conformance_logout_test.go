package oidc

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

// The RP-initiated, back-channel and front-channel logout plans.

// endSession sends the browser to the provider, and returns what it brings back.
func (w *world) endSession(l *Login, state string) url.Values {
	w.t.Helper()
	address, ok := w.EndSessionURL(l.Tokens.ID, "https://app.example.com/bye", state)
	if !ok {
		w.t.Fatal("there is nowhere to go")
	}
	return w.visit(address)
}

func TestOIDCCClientTestRPInitLogout(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	back := w.endSession(l, "state-1")
	asked := w.op.Asked("end_session")
	if len(asked) != 1 || asked[0].Form.Get("id_token_hint") != l.Tokens.ID || asked[0].Form.Get("client_id") != "client" || asked[0].Form.Get("post_logout_redirect_uri") != "https://app.example.com/bye" {
		t.Error(asked)
	}
	if !LoggedOut(back, "state-1") || len(w.op.Sessions("alice-1")) != 0 {
		t.Error(back, w.op.Sessions("alice-1"))
	}
}

// The session here has ended before: all that is left is a plain page.
func TestOIDCCClientTestRPInitLogoutOtherState(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.PostLogout = func(q url.Values) { q.Set("state", "another") } })
	if LoggedOut(w.endSession(w.in(), "state-1"), "state-1") {
		t.Error("another state counts")
	}
	w.knob(func(k *optest.Knobs) { k.PostLogout = func(q url.Values) { q.Add("state", "state-1") } })
	if LoggedOut(w.endSession(w.in(), "state-1"), "state-1") {
		t.Error("a doubled state counts")
	}
}

func TestOIDCCClientTestRPInitLogoutNoState(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.PostLogout = func(q url.Values) { q.Del("state") } })
	back := w.endSession(w.in(), "state-1")
	if LoggedOut(back, "state-1") || LoggedOut(back, "") || LoggedOut(url.Values{"state": {""}}, "") {
		t.Error("no state counts")
	}
}

func TestOIDCCClientTestRPInitLogoutOtherParams(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.PostLogout = func(q url.Values) { q.Set("foo", "bar"); q.Set("error", "<script>") }
	})
	if !LoggedOut(w.endSession(w.in(), "state-1"), "state-1") {
		t.Error("other parameters matter")
	}
}

// backChannel serves the logout endpoint as a caller would.
func (w *world) backChannel(heard *[]*Logout) string {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		l, err := w.LogoutToken(r.Context(), r.PostFormValue("logout_token"))
		if err != nil {
			http.Error(rw, "bad", http.StatusBadRequest)
			return
		}
		*heard = append(*heard, l)
	}))
	w.t.Cleanup(server.Close)
	return server.URL
}

func TestOIDCCClientTestRPBackchannelRPInitLogout(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	var heard []*Logout
	w.op.Client.BackChannelURL = w.backChannel(&heard)
	if !LoggedOut(w.endSession(l, "state-1"), "state-1") {
		t.Error("it did not come back")
	}
	if len(heard) != 1 || heard[0].Issuer != testIssuer || heard[0].Subject != l.Subject || heard[0].SID != l.SID || heard[0].ID == "" || !heard[0].Until.After(w.clock.now) {
		t.Errorf("%+v", heard)
	}
}

// badLogout sends logout tokens with one thing wrong each.
func badLogout(t *testing.T, reason string, knobs ...func(*optest.Knobs)) {
	t.Helper()
	for _, knob := range knobs {
		w := newWorld(t)
		l := w.in()
		w.knob(knob)
		var heard []*Logout
		status, err := w.op.SendLogout(t.Context(), w.backChannel(&heard), l.Subject, l.SID)
		if err != nil || status != http.StatusBadRequest || len(heard) != 0 {
			t.Errorf("status %d, %v, %+v", status, err, heard)
		}
		out, err := w.LogoutToken(t.Context(), w.op.LogoutToken(l.Subject, l.SID))
		if out != nil {
			t.Errorf("%+v", out)
		}
		w.refused(nil, err, ErrInvalid, reason)
	}
}

func claims(c object) func(*optest.Knobs) {
	return func(k *optest.Knobs) { k.LogoutToken = c }
}

func TestOIDCCClientTestRPBackchannelRPInitLogoutAlgNone(t *testing.T) {
	badLogout(t, "alg is not one", func(k *optest.Knobs) { k.LogoutTokenAlg = "none" })
}

func TestOIDCCClientTestRPBackchannelRPInitLogoutWrongAlg(t *testing.T) {
	badLogout(t, "alg is not one", func(k *optest.Knobs) { k.LogoutTokenAlg = "HS256" })
}

func TestOIDCCClientTestRPBackchannelRPInitLogoutWrongAud(t *testing.T) {
	badLogout(t, "another audience", claims(object{"aud": "another"}), claims(object{"aud": nil}), claims(object{"aud": []any{}}))
}

func TestOIDCCClientTestRPBackchannelRPInitLogoutWrongIss(t *testing.T) {
	badLogout(t, "iss is another", claims(object{"iss": "https://evil.example.com"}), claims(object{"iss": nil}))
}

const event = "http://schemas.openid.net/event/backchannel-logout"

func TestOIDCCClientTestRPBackchannelRPInitLogoutNoEvent(t *testing.T) {
	badLogout(t, "events do not say", claims(object{"events": nil}), claims(object{"events": object{}}), claims(object{"events": event}), claims(object{"events": []any{event}}))
}

func TestOIDCCClientTestRPBackchannelRPInitLogoutWrongEvent(t *testing.T) {
	badLogout(t, "events do not say",
		claims(object{"events": object{"http://schemas.openid.net/event/other": object{}}}), claims(object{"events": object{event: true}}),
		claims(object{"events": object{event: nil}}), claims(object{"events": object{event: ""}}), claims(object{"events": object{event: []any{}}}),
	)
}

func TestOIDCCClientTestRPBackchannelRPInitLogoutWithNonce(t *testing.T) {
	badLogout(t, "nonce", claims(object{"nonce": "x"}), claims(object{"nonce": ""}), claims(object{"nonce": null}))
}

func TestOIDCCClientTestRPBackchannelRPInitLogoutMissingIat(t *testing.T) {
	badLogout(t, "no iat", claims(object{"iat": nil}), claims(object{"iat": "now"}))
	badLogout(t, "in the future", claims(object{"iat": time.Date(2026, 11, 20, 12, 2, 0, 0, time.UTC).Unix()}))
	badLogout(t, "too long ago", claims(object{"iat": time.Date(2026, 11, 20, 11, 48, 0, 0, time.UTC).Unix()}))
}

func TestOIDCCClientTestRPBackchannelRPInitLogoutMissingExp(t *testing.T) {
	badLogout(t, "no exp", claims(object{"exp": nil}), claims(object{"exp": "never"}))
	badLogout(t, "expired", claims(object{"exp": time.Date(2026, 11, 20, 11, 59, 0, 0, time.UTC).Unix()}))
}

func TestOIDCCClientTestRPBackchannelRPInitLogoutMissingSubAndSid(t *testing.T) {
	badLogout(t, "neither whose", claims(object{"sub": nil, "sid": nil}))
	badLogout(t, "no plain text", claims(object{"sub": ""}), claims(object{"sid": 1}), claims(object{"sub": strings.Repeat("s", 256)}), claims(object{"sid": "a\nb"}), claims(object{"sub": object{}}))
}

func TestOIDCCClientTestRPBackchannelRPInitLogoutMissingJti(t *testing.T) {
	badLogout(t, "jti", claims(object{"jti": nil}), claims(object{"jti": ""}), claims(object{"jti": 1}))
}

func TestOIDCCClientTestRPFrontchannelRPInitLogout(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	if sid, ok := w.FrontChannel(url.Values{"iss": {testIssuer}, "sid": {l.SID}}); !ok || sid != l.SID {
		t.Error(sid, ok)
	}
}

func TestOIDCCClientTestRPFrontchannelOPInitLogout(t *testing.T) {
	w := newWorld(t)
	for name, q := range map[string]url.Values{
		"no sid": {"iss": {testIssuer}}, "no iss": {"sid": {"s"}}, "neither": {}, "another iss": {"iss": {"https://evil.example.com"}, "sid": {"s"}},
		"two sids": {"iss": {testIssuer}, "sid": {"s", "t"}}, "two iss": {"iss": {testIssuer, testIssuer}, "sid": {"s"}}, "empty sid": {"iss": {testIssuer}, "sid": {""}},
		"empty iss": {"iss": {""}, "sid": {"s"}}, "control characters": {"iss": {testIssuer}, "sid": {"s\n"}},
	} {
		if sid, ok := w.FrontChannel(q); ok {
			t.Errorf("%s: %q", name, sid)
		}
	}
}
