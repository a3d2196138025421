package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<script>alert(1)</script>", code) }
}

func text(kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	}
}

// garbage is what an endpoint may answer with, and never may.
var garbage = map[string]http.HandlerFunc{
	"nothing": text("application/json", ""), "HTML": text("text/html", "<html><script>alert(1)</script>"), "text": text("text/plain", "access_token=x&token_type=bearer"),
	"a list": text("application/json", "[]"), "null": text("application/json", "null"), "a number": text("application/json", "1"), "half": text("application/json", `{"access_token":"x"`),
	"two": text("application/json", `{}{}`), "deep": text("application/json", strings.Repeat("[", 5000)), "binary": text("application/json", "\x00\xff\xfe"), "a BOM": text("application/json", "\ufeff{}"),
	"empty": text("application/json", "{}"), "500": status(500), "503": status(503), "404": status(404), "429": status(429), "418": status(418), "401": status(401), "403": status(403), "204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
	"members twice": text("application/json", `{"access_token":"x","access_token":"y","token_type":"Bearer","sub":"alice-1","sub":"alice-1","issuer":"https://op.example.com","issuer":"https://op.example.com"}`),
}

func TestGarbage(t *testing.T) {
	for _, endpoint := range []string{"token", "userinfo", ".well-known/openid-configuration", "jwks"} {
		for name, answer := range garbage {
			t.Run(endpoint+" "+name, func(t *testing.T) {
				w := newWorld(t)
				if endpoint != ".well-known/openid-configuration" {
					if err := w.Ready(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				w.knob(func(k *optest.Knobs) { k.ThinIDToken, k.Broken = true, map[string]http.HandlerFunc{endpoint: answer} })
				address, pending, err := w.Begin(t.Context(), Request{RedirectURL: testCallback})
				var l *Login
				if err == nil {
					l, err = w.Finish(t.Context(), pending, w.visit(address))
				}
				// Keys that are no keys can only say that a signature is wrong, and
				// answers about nobody are about another person.
				nobody := endpoint == "jwks" || endpoint == "userinfo" && name == "empty"
				if l != nil || !errors.Is(err, ErrUnavailable) && !(nobody && errors.Is(err, ErrInvalid)) {
					t.Errorf("%v %v", l, err)
				}
				noSecrets(t, fmt.Sprint(err), w.log.String())
			})
		}
	}
}

// A token endpoint that sends us on would get the code, and our secret.
func TestRedirectingEndpoints(t *testing.T) {
	for _, endpoint := range []string{"token", "userinfo", "revoke"} {
		for _, code := range []int{301, 302, 303, 307, 308} {
			w := newWorld(t)
			w.knob(func(k *optest.Knobs) {
				k.ThinIDToken = true
				k.Broken = map[string]http.HandlerFunc{endpoint: func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Location", testIssuer+"/elsewhere")
					rw.WriteHeader(code)
				}}
			})
			if endpoint == "revoke" {
				if err := w.Revoke(t.Context(), Tokens{Access: "x", Refresh: "y"}); !errors.Is(err, ErrUnavailable) {
					t.Error(err)
				}
			} else {
				l, err := w.login(Request{})
				w.refused(l, err, ErrUnavailable, "redirects, which it must not")
			}
			if len(w.op.Asked("elsewhere")) != 0 {
				t.Errorf("%s was followed with %d", endpoint, code)
			}
		}
	}
}

// Metadata may move on the same host, and nowhere else.
func TestRedirectingMetadata(t *testing.T) {
	for to, ok := range map[string]bool{
		"/moved": true, "https://evil.example.com/x": false, "http://op.example.com/x": false, "https://a@op.example.com/x": false, "/.well-known/openid-configuration": false,
	} {
		w := newWorld(t)
		w.knob(func(k *optest.Knobs) {
			k.Broken = map[string]http.HandlerFunc{
				".well-known/openid-configuration": func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Location", to)
					rw.WriteHeader(302)
				},
				"moved": text("application/json", metadataText(nil)),
			}
		})
		if err := w.Ready(t.Context()); (err == nil) != ok || err != nil && !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func metadataText(over object) string {
	doc := object{"issuer": testIssuer, "authorization_endpoint": testIssuer + "/authorize", "token_endpoint": testIssuer + "/token", "jwks_uri": testIssuer + "/jwks"}
	for name, v := range over {
		doc[name] = v
	}
	return string(must(json.Marshal(doc)))
}

// Metadata must not send browsers, codes or secrets to places that are not safe.
func TestEndpointsThatCannotBeUsed(t *testing.T) {
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint", "revocation_endpoint"} {
		for _, bad := range []any{
			"http://op.example.com/x", "http://localhost/x", "http://127.0.0.1:2019/load", "javascript:alert(1)", "//op.example.com/x", "/x", "https://a:b@op.example.com/x",
			"https://op.example.com/x#y", "https://op.example.com/\nx", "file:///etc/passwd", "https://" + strings.Repeat("a", 2048), 1, []any{}, true,
		} {
			w := newWorld(t)
			w.knob(func(k *optest.Knobs) { k.Metadata = object{name: bad} })
			if err := w.Ready(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s %v: %v", name, bad, err)
			}
		}
	}
	for name, bad := range map[string]any{"authorization_response_iss_parameter_supported": "true", "token_endpoint_auth_methods_supported": 1, "scopes_supported": []any{1}} {
		w := newWorld(t)
		w.knob(func(k *optest.Knobs) { k.Metadata = object{name: bad} })
		if err := w.Ready(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri"} {
		for _, none := range []any{nil, null, ""} {
			w := newWorld(t)
			w.knob(func(k *optest.Knobs) { k.Metadata = object{name: none} })
			if err := w.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// endless is a body that never ends, and notes how much was read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}
func (*endless) Close() error { return nil }

// instead answers for some paths, and lets others through.
type instead struct {
	http.RoundTripper
	paths map[string]func(*http.Request) (*http.Response, error)
}

func (i instead) RoundTrip(r *http.Request) (*http.Response, error) {
	if f := i.paths[r.URL.Path]; f != nil {
		return f(r)
	}
	return i.RoundTripper.RoundTrip(r)
}

func TestEndlessAnswers(t *testing.T) {
	for _, path := range []string{"/token", "/userinfo", "/.well-known/openid-configuration", "/jwks"} {
		body := &endless{}
		op := optest.New(testIssuer)
		op.Set(func(k *optest.Knobs) { k.ThinIDToken = true })
		w := join(t, op, instead{op.Transport(), map[string]func(*http.Request) (*http.Response, error){
			path: func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Request: r}, nil
			},
		}})
		address, pending, err := w.Begin(t.Context(), Request{RedirectURL: testCallback})
		var l *Login
		if err == nil {
			l, err = w.Finish(t.Context(), pending, w.visit(address))
		}
		w.refused(l, err, ErrUnavailable, "larger than")
		if body.read > 2<<20 {
			t.Errorf("%s: %d bytes were read", path, body.read)
		}
	}
}

// slow never answers, or never ends its answer, but heeds the context.
type slow struct{ ctx context.Context }

func (s slow) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}
func (slow) Close() error { return nil }

func TestSlowAnswers(t *testing.T) {
	for _, path := range []string{"/token", "/userinfo", "/.well-known/openid-configuration", "/jwks"} {
		for _, headers := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				op := optest.New(testIssuer)
				op.Set(func(k *optest.Knobs) { k.ThinIDToken = true })
				w := join(t, op, instead{op.Transport(), map[string]func(*http.Request) (*http.Response, error){
					path: func(r *http.Request) (*http.Response, error) {
						if headers {
							return &http.Response{StatusCode: 200, Body: slow{r.Context()}, Request: r}, nil
						}
						<-r.Context().Done()
						return nil, r.Context().Err()
					},
				}})
				began := time.Now()
				address, pending, err := w.Begin(t.Context(), Request{RedirectURL: testCallback})
				var l *Login
				if err == nil {
					l, err = w.Finish(t.Context(), pending, w.visit(address))
				}
				w.refused(l, err, ErrUnavailable, "")
				want := patience
				if path == "/jwks" { // whose patience is its own
					want = 5 * time.Second
				}
				if took := time.Since(began); took != want {
					t.Errorf("%s: it took %s", path, took)
				}
			})
		}
	}
}

// A person who goes away while we wait says nothing about the provider.
func TestImpatientPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := optest.New(testIssuer)
		w := join(t, op, instead{op.Transport(), map[string]func(*http.Request) (*http.Response, error){
			"/.well-known/openid-configuration": func(r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(5 * time.Second):
					return op.Transport().RoundTrip(r)
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			},
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Ready(ctx); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := w.Ready(t.Context()); err != nil {
			t.Error("the fetch did not go on:", err)
		}
	})
}

// The provider's answers set no cookies that are sent again.
func TestNoCookies(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.Broken = map[string]http.HandlerFunc{".well-known/openid-configuration": func(rw http.ResponseWriter, _ *http.Request) {
			http.SetCookie(rw, &http.Cookie{Name: "a", Value: "b", Path: "/"})
			text("application/json", metadataText(nil))(rw, nil)
		}}
	})
	w.knob(func(k *optest.Knobs) { k.Callback = nil })
	w.in()
	for _, asked := range w.op.Asked("token") {
		if asked.Header.Get("Cookie") != "" {
			t.Error("a cookie was kept")
		}
	}
}

func TestTokenAnswers(t *testing.T) {
	w := newWorld(t)
	for name, over := range map[string]object{
		"no token_type": {"token_type": nil}, "another token_type": {"token_type": "mac"}, "DPoP": {"token_type": "DPoP"}, "token_type is a list": {"token_type": []any{"Bearer"}},
		"no access_token": {"access_token": nil}, "an empty one": {"access_token": ""}, "access_token is a number": {"access_token": 1}, "with spaces": {"access_token": "a b"},
		"of two lines": {"access_token": "a\r\nX: y"}, "not ASCII": {"access_token": "ä"}, "a huge one": {"access_token": strings.Repeat("a", maxToken+1)},
		"no id_token": {"id_token": nil}, "id_token is null": {"id_token": null}, "id_token is an object": {"id_token": object{}}, "a huge id_token": {"id_token": strings.Repeat("a", maxJWT+1)},
		"refresh_token is a number": {"refresh_token": 1}, "a bad refresh_token": {"refresh_token": "a\nb"}, "a huge refresh_token": {"refresh_token": strings.Repeat("a", maxToken+1)},
		"expires_in is text": {"expires_in": "3600"}, "negative": {"expires_in": -1}, "with a fraction": {"expires_in": 1.5}, "huge": {"expires_in": json.Number("99999999999999999999")},
	} {
		t.Run(name, func(t *testing.T) {
			w.knob(func(k *optest.Knobs) { k.Token = over })
			l, err := w.login(Request{})
			w.refused(l, err, ErrUnavailable, "")
		})
	}
	for name, over := range map[string]object{
		"bearer": {"token_type": "bearer"}, "BEARER": {"token_type": "BEARER"}, "no refresh_token": {"refresh_token": nil}, "null": {"refresh_token": null, "expires_in": null, "scope": null},
		"for ever": {"expires_in": 1 << 60}, "over at once": {"expires_in": 0}, "more": {"x": []any{1}},
	} {
		w.knob(func(k *optest.Knobs) { k.Token = over })
		if l, err := w.login(Request{}); err != nil || l.Tokens.Type != "Bearer" || l.Tokens.Expires.After(w.clock.now.AddDate(2, 0, 0)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.knob(func(k *optest.Knobs) { k.Token = object{"error": "invalid_grant", "error_description": "<b>"} })
	l, err := w.login(Request{}) // with status 200
	if p := (*ProviderError)(nil); l != nil || !errors.As(err, &p) || p.Code != "invalid_grant" || p.Description != "b" {
		t.Error(err)
	}
}
