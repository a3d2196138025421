package oidc

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

func (w *world) again(l *Login) (*Login, Tokens, error) {
	w.t.Helper()
	return w.Refresh(w.t.Context(), l.Issuer, l.Subject, l.Tokens)
}

func TestDisabledPersonIsOut(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	w.op.Put(optest.Account{Subject: l.Subject, Disabled: true})
	got, kept, err := w.again(l)
	if got != nil || !errors.Is(err, ErrRevoked) || errors.Is(err, ErrUnavailable) || kept != l.Tokens {
		t.Error(got, err)
	}
	noSecrets(t, err.Error())
}

func TestWhatTheProviderSaysNow(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	w.op.Put(optest.Account{Subject: l.Subject, Claims: object{"email": "new@example.com", "email_verified": true, "name": "Alice B.", "preferred_username": "aliceb", "groups": []any{"sales"}}})
	got, _, err := w.again(l)
	if err != nil || got.Email != "new@example.com" || got.Name != "Alice B." || got.Username != "aliceb" || !slices.Equal(got.Groups, []string{"sales"}) || got.Roles != nil || got.SID != l.SID {
		t.Errorf("%+v %v", got, err)
	}
}

// A refusal that is about us, or the moment, signs nobody out.
func TestRefusalsOfARefresh(t *testing.T) {
	for code, revoked := range map[string]bool{
		"invalid_grant": true, "access_denied": true, "interaction_required": true, "login_required": true, "consent_required": true, "bad_refresh_token": true,
		"invalid_client": false, "unauthorized_client": false, "invalid_request": false, "invalid_scope": false, "unsupported_grant_type": false, "server_error": false,
		"temporarily_unavailable": false, "made_up": false,
	} {
		w := newWorld(t)
		l := w.in()
		w.knob(func(k *optest.Knobs) { k.RefreshError = code })
		got, kept, err := w.again(l)
		if got != nil || errors.Is(err, ErrRevoked) != revoked || errors.Is(err, ErrUnavailable) == revoked || kept != l.Tokens {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// Slow, failing and garbled answers say nothing about the person, and no ID token
// that is no good does.
func TestRefreshAtABrokenProvider(t *testing.T) {
	broken := map[string]func(*optest.Knobs){
		"a bad signature":            func(k *optest.Knobs) { k.BadSignature = true },
		"no token":                   func(k *optest.Knobs) { k.Token = object{"id_token": "x"} },
		"expired":                    func(k *optest.Knobs) { k.RefreshIDToken = object{"exp": 1} },
		"issued long ago":            func(k *optest.Knobs) { k.RefreshIDToken = object{"iat": 1} },
		"algorithm none":             func(k *optest.Knobs) { k.IDTokenAlg = "none" },
		"no sub":                     func(k *optest.Knobs) { k.RefreshIDToken = object{"sub": nil} },
		"groups that are none":       func(k *optest.Knobs) { k.RefreshIDToken = object{"groups": object{}} },
		"UserInfo that does not fit": func(k *optest.Knobs) { k.NoRefreshID, k.UserInfo = true, object{"groups": object{}} },
		"UserInfo forbidden": func(k *optest.Knobs) {
			k.NoRefreshID = true
			k.Broken = map[string]http.HandlerFunc{"userinfo": func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
				rw.WriteHeader(http.StatusForbidden)
			}}
		},
		"at_hash": func(k *optest.Knobs) { k.RefreshIDToken = object{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"} },
		"UserInfo down": func(k *optest.Knobs) {
			k.ThinIDToken, k.Broken = true, map[string]http.HandlerFunc{"userinfo": status(503)}
		},
		"keys are down": func(k *optest.Knobs) {
			k.RotateBeforeSigning, k.Broken = true, map[string]http.HandlerFunc{"jwks": status(503)}
		},
	}
	// A proxy before the provider may say anything.
	for _, code := range []int{404, 418, 429, 500, 502, 503} {
		broken[fmt.Sprint("token: refusal with status ", code)] = func(k *optest.Knobs) {
			k.Broken = map[string]http.HandlerFunc{"token": func(rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(code)
				_, _ = rw.Write([]byte(`{"error":"invalid_grant"}`))
			}}
		}
	}
	for name, answer := range garbage {
		broken["token: "+name] = func(k *optest.Knobs) { k.Broken = map[string]http.HandlerFunc{"token": answer} }
	}
	for name, knob := range broken {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			l := w.in()
			w.knob(knob)
			got, kept, err := w.again(l)
			if got != nil || !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrRevoked) {
				t.Fatal(got, err)
			}
			noSecrets(t, err.Error())
			w.op.Reset()
			w.clock.pass(time.Minute)
			if _, _, err := w.Refresh(t.Context(), l.Issuer, l.Subject, kept); err != nil {
				t.Errorf("the tokens that were kept are no good: %v", err)
			}
		})
	}
}

func TestRefusalWithOtherStatuses(t *testing.T) {
	for _, code := range []int{200, 400, 401, 403} {
		w := newWorld(t)
		l := w.in()
		w.knob(func(k *optest.Knobs) {
			k.Broken = map[string]http.HandlerFunc{"token": func(rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(code)
				_, _ = rw.Write([]byte(`{"error":"invalid_grant"}`))
			}}
		})
		if got, _, err := w.again(l); got != nil || !errors.Is(err, ErrRevoked) {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// The new refresh token is not lost when something fails after it came: the old
// one counts once.
func TestRotatedTokenSurvivesAFailure(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	w.knob(func(k *optest.Knobs) {
		k.NoRefreshID, k.Broken = true, map[string]http.HandlerFunc{"userinfo": status(502)}
	})
	_, kept, err := w.again(l)
	if !errors.Is(err, ErrUnavailable) || kept.Refresh == l.Tokens.Refresh || kept.ID != l.Tokens.ID || kept.Nonce != l.Tokens.Nonce {
		t.Error(err)
	}
	w.op.Reset()
	if _, _, err := w.Refresh(t.Context(), l.Issuer, l.Subject, kept); err != nil {
		t.Error(err)
	}
	if _, _, err := w.again(l); !errors.Is(err, ErrRevoked) {
		t.Errorf("the provider took the old one again: %v", err)
	}
}

func TestRefreshWithoutANewRefreshToken(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	w.knob(func(k *optest.Knobs) { k.KeepRefresh = true })
	for range 3 {
		got, kept, err := w.again(l)
		if err != nil || kept.Refresh != l.Tokens.Refresh || kept.Access == l.Tokens.Access {
			t.Fatal(err)
		}
		l = got
	}
}

func TestRefreshWithoutAnIDToken(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	w.knob(func(k *optest.Knobs) { k.NoRefreshID = true })
	got, kept, err := w.again(l)
	if err != nil || got.Subject != l.Subject || got.Name != "Alice" || !got.EmailVerified || kept.ID != l.Tokens.ID || got.Claims["iss"] != testIssuer {
		t.Fatalf("%+v %v", got, err)
	}
	w.knob(func(k *optest.Knobs) { k.UserInfo = object{"sub": "mallory-1"} })
	got, kept, err = w.again(got)
	w.refused(got, err, ErrInvalid, "about another person")
	// At the next one the provider takes the access token back at once.
	w.knob(func(k *optest.Knobs) {
		k.UserInfo = nil
		k.Broken = map[string]http.HandlerFunc{"userinfo": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="user disabled"`)
			rw.WriteHeader(http.StatusUnauthorized)
		}}
	})
	got, kept, err = w.Refresh(t.Context(), l.Issuer, l.Subject, kept)
	w.refused(got, err, ErrRevoked, "refuses the access token")

	w = newWorld(t)
	w.knob(func(k *optest.Knobs) { k.NoRefreshID, k.Metadata = true, object{"userinfo_endpoint": nil} })
	l = w.in()
	if got, kept, err = w.again(l); err != nil || got.Claims != nil || got.Subject != l.Subject || kept.Refresh == l.Tokens.Refresh {
		t.Errorf("%+v %v", got, err)
	}
}

// OpenID Connect Core section 12.2: a nonce should not be there, and if it is, it
// is that of the login.
func TestNonceOfARefresh(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	for _, none := range []bool{true, false, true} { // the nonce of the login is not forgotten
		w.knob(func(k *optest.Knobs) {
			k.RefreshIDToken = object{}
			if none {
				k.RefreshIDToken = object{"nonce": nil}
			}
		})
		got, _, err := w.again(l)
		if err != nil {
			t.Fatal(err)
		}
		l = got
	}
	for _, nonce := range []any{"another", "", null, 1} {
		w := newWorld(t)
		l := w.in()
		w.knob(func(k *optest.Knobs) { k.RefreshIDToken = object{"nonce": nonce} })
		got, _, err := w.again(l)
		w.refused(got, err, ErrInvalid, "nonce is another")
	}
	for _, nonce := range []any{"another", "", 1} { // without one at the login there can be none now
		w := newWorld(t)
		l := w.in()
		l.Tokens.Nonce = ""
		w.knob(func(k *optest.Knobs) { k.RefreshIDToken = object{"nonce": nonce} })
		got, _, err := w.again(l)
		w.refused(got, err, ErrInvalid, "nonce is another")
	}
}

func TestRefreshOfAnotherLogin(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	got, _, err := w.Refresh(t.Context(), "https://evil.example.com", l.Subject, l.Tokens)
	w.refused(got, err, ErrInvalid, "iss is another than at the login")
	l = w.in()
	got, _, err = w.Refresh(t.Context(), l.Issuer, "bob-1", l.Tokens)
	w.refused(got, err, ErrInvalid, "sub is another than at the login")
	for _, missing := range [][2]string{{"", l.Subject}, {l.Issuer, ""}} {
		got, _, err = w.Refresh(t.Context(), missing[0], missing[1], w.in().Tokens)
		w.refused(got, err, ErrInvalid, "not said whose login")
	}
}

func TestNoRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.NoRefreshToken = true })
	got, _, err := w.again(w.in())
	w.refused(got, err, ErrNoRefresh, "")
}

func TestRefreshWhileTheProviderIsUnknown(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.Broken = map[string]http.HandlerFunc{".well-known/openid-configuration": status(503)}
	})
	old := Tokens{Refresh: "x"}
	got, kept, err := w.Refresh(t.Context(), testIssuer, "alice-1", old)
	w.refused(got, err, ErrUnavailable, "metadata")
	if kept != old {
		t.Error("the tokens are lost")
	}
}

func TestRevoke(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	if err := w.Revoke(t.Context(), l.Tokens); err != nil {
		t.Fatal(err)
	}
	asked := w.op.Asked("revoke")
	if len(asked) != 2 || asked[0].Form.Get("token") != l.Tokens.Refresh || asked[0].Form.Get("token_type_hint") != "refresh_token" || asked[1].Form.Get("token") != l.Tokens.Access {
		t.Error("not what it should be told")
	}
	if _, _, err := w.again(l); !errors.Is(err, ErrRevoked) {
		t.Error(err)
	}
	if err := w.Revoke(t.Context(), Tokens{}); err != nil || len(w.op.Asked("revoke")) != 2 {
		t.Error(err)
	}
	w.knob(func(k *optest.Knobs) { k.Broken = map[string]http.HandlerFunc{"revoke": status(503)} })
	if err := w.Revoke(t.Context(), l.Tokens); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "script") {
		t.Error(err)
	}
	w = newWorld(t)
	w.knob(func(k *optest.Knobs) { k.Metadata = object{"revocation_endpoint": nil} })
	if err := w.Revoke(t.Context(), l.Tokens); err != nil || len(w.op.Asked("revoke")) != 0 {
		t.Error(err)
	}
}

func TestEndSessionURL(t *testing.T) {
	w := newWorld(t)
	if address, ok := w.EndSessionURL("x", "https://app.example.com/", ""); ok {
		t.Error("before anything is known:", address)
	}
	l := w.in()
	huge := strings.Repeat("x", longestHint+1)
	for name, c := range map[string]struct{ id, back, state, want string }{
		"all":           {"x", "https://app.example.com/bye", "s", testIssuer + "/end_session?client_id=client&id_token_hint=x&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2Fbye&state=s"},
		"nowhere to go": {"x", "", "s", testIssuer + "/end_session?client_id=client&id_token_hint=x"},
		"no token":      {"", "https://app.example.com/bye", "", testIssuer + "/end_session?client_id=client&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2Fbye"},
		"a huge token":  {huge, "", "", testIssuer + "/end_session?client_id=client"},
	} {
		if address, ok := w.EndSessionURL(c.id, c.back, c.state); !ok || address != c.want {
			t.Errorf("%s: %q", name, address)
		}
	}
	w.knob(func(k *optest.Knobs) { k.Metadata = object{"end_session_endpoint": nil} })
	w.clock.pass(2 * time.Hour)
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	if address, ok := w.EndSessionURL(l.Tokens.ID, "", ""); ok {
		t.Error(address)
	}
}
