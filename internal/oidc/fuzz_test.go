package oidc

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

// fuzzWorld is a provider for many rounds. T is of the round.
func fuzzWorld(f *testing.F) (*optest.OP, *Provider, *clock) {
	f.Helper()
	op := optest.New(testIssuer)
	c := &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	op.Clock = c.Now
	p, err := New(Options{
		Name: "test", Issuer: testIssuer, ClientID: "client", ClientSecret: "secret",
		Keys: keysBy(f, op.Transport(), c.Now), Transport: op.Transport(), Clock: c.Now,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(p.Close)
	if err := p.Ready(f.Context()); err != nil {
		f.Fatal(err)
	}
	return op, p, c
}

// oneOfOurs checks that a failure is of the kinds that callers know, and clean.
func oneOfOurs(t *testing.T, err error) {
	t.Helper()
	var refused *ProviderError
	var no *DeniedError
	if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrRevoked) && !errors.As(err, &refused) && !errors.As(err, &no) {
		t.Fatalf("an error of no kind: %v", err)
	}
	if strings.ContainsAny(err.Error(), "<>\x00\x1b\r\n") {
		t.Fatalf("it is not clean: %q", err)
	}
}

// FuzzCallback: only the one response of the provider to this login gets a token.
func FuzzCallback(f *testing.F) {
	op, p, _ := fuzzWorld(f)
	f.Add("code=CODE&state=STATE&iss=https%3A%2F%2Fop.example.com")
	f.Add("error=access_denied&error_description=%3Cscript%3E&state=STATE&iss=https%3A%2F%2Fop.example.com")
	f.Add("code=CODE&state=STATE&state=STATE")
	f.Add("code=CODE&state=STATE&iss=https%3A%2F%2Fevil.example.com")
	f.Add("code=x&state=&iss=")
	f.Fuzz(func(t *testing.T, query string) {
		address, pending, err := p.Begin(t.Context(), Request{RedirectURL: testCallback})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		op.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
		back, err := w.Result().Location()
		if err != nil {
			t.Fatal(err)
		}
		good := back.Query()
		query = strings.NewReplacer("CODE", good.Get("code"), "STATE", good.Get("state")).Replace(query)
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		l, err := p.Finish(t.Context(), pending, q)
		if err != nil {
			oneOfOurs(t, err)
			return
		}
		for _, name := range []string{"code", "state", "iss"} {
			if len(q[name]) != 1 || q.Get(name) != good.Get(name) {
				t.Fatalf("%q signed %s in", query, l.Subject)
			}
		}
	})
}

// FuzzTokenResponse: whatever the token endpoint says, only a token of ours that
// is signed signs somebody in.
func FuzzTokenResponse(f *testing.F) {
	op, p, c := fuzzWorld(f)
	f.Add(200, `{"access_token":"x","token_type":"Bearer","id_token":"TOKEN"}`)
	f.Add(200, `{"access_token":"x","token_type":"Bearer","id_token":"TOKEN","expires_in":3600,"refresh_token":"y"}`)
	f.Add(400, `{"error":"invalid_grant","error_description":"<b>"}`)
	f.Add(200, `access_token=x&token_type=bearer`)
	f.Add(503, `<html>`)
	f.Fuzz(func(t *testing.T, code int, body string) {
		if code < 200 || code > 599 {
			return
		}
		pending := &Pending{Provider: "test", State: "s", Nonce: "n", Verifier: "v", RedirectURL: testCallback, Started: c.Now()}
		token := op.Sign("RS256", nil, object{
			"iss": testIssuer, "aud": "client", "sub": "alice-1", "iat": c.Now().Unix(), "exp": c.Now().Add(time.Minute).Unix(), "nonce": "n",
			"email": "a", "email_verified": true, "name": "A",
		})
		body = strings.ReplaceAll(body, "TOKEN", token)
		op.Set(func(k *optest.Knobs) {
			k.Broken = map[string]http.HandlerFunc{"token": func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(code)
				_, _ = w.Write([]byte(body))
			}}
		})
		l, err := p.Finish(t.Context(), pending, url.Values{"state": {"s"}, "code": {"c"}, "iss": {testIssuer}})
		if err != nil {
			oneOfOurs(t, err)
		} else if code != 200 || !strings.Contains(body, token) || l.Subject != "alice-1" || l.Tokens.Access == "" {
			t.Fatalf("%d %q signed %+v in", code, body, l)
		}
		_, kept, err := p.Refresh(t.Context(), testIssuer, "alice-1", Tokens{Refresh: "r", Nonce: "n"})
		if err != nil {
			oneOfOurs(t, err)
		}
		if kept.Refresh == "" {
			t.Fatal("the refresh token was lost")
		}
	})
}

// FuzzLogoutToken: what the provider did not sign ends nothing.
func FuzzLogoutToken(f *testing.F) {
	op, p, _ := fuzzWorld(f)
	signed := op.LogoutToken("alice-1", "sid-1")
	f.Add(signed)
	op.Set(func(k *optest.Knobs) { k.LogoutTokenAlg = "none" })
	f.Add(op.LogoutToken("alice-1", ""))
	op.Set(func(k *optest.Knobs) { k.LogoutTokenAlg = "HS256" })
	f.Add(op.LogoutToken("alice-1", ""))
	op.Reset()
	head, rest, _ := strings.Cut(signed, ".")
	f.Add(head + "." + b64url([]byte(`{"iss":"https://op.example.com","aud":"client"}`)) + "." + rest)
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		l, err := p.LogoutToken(t.Context(), raw)
		switch {
		case err != nil && !errors.Is(err, ErrInvalid):
			t.Fatalf("an error of no kind: %v", err)
		case err == nil && (raw != signed || l.Subject != "alice-1"):
			t.Fatalf("%q counts: %+v", raw, l)
		}
	})
}

// FuzzUserInfo: an answer is about the person of the ID token, or there is none;
// and what it says of the person is plain.
func FuzzUserInfo(f *testing.F) {
	op, p, _ := fuzzWorld(f)
	f.Add("application/json", `{"sub":"alice-1","name":"Alice","email":"a@example.com","email_verified":true,"groups":["a"]}`)
	f.Add("application/json", `{"sub":"mallory","sub":"alice-1"}`)
	f.Add("application/json", `{"sub":"alice-1","email_verified":"true","iss":"x","acr":"y"}`)
	f.Add("application/jwt", `a.b.c`)
	f.Fuzz(func(t *testing.T, kind, body string) {
		op.Set(func(k *optest.Knobs) {
			k.Broken = map[string]http.HandlerFunc{"userinfo": func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{kind}
				_, _ = w.Write([]byte(body))
			}}
		})
		k := p.known.Load()
		l, err := p.login(t.Context(), k.meta, object{"iss": testIssuer, "sub": "alice-1"}, Tokens{Access: "x"})
		if err != nil {
			oneOfOurs(t, err)
			return
		}
		doc, err := strictjson.Object(body)
		if err != nil || doc["sub"] != "alice-1" || l.Subject != "alice-1" || l.Issuer != testIssuer || l.ACR != "" || l.SID != "" {
			t.Fatalf("%q is about %+v", body, l)
		}
		if l.EmailVerified && doc["email_verified"] != true {
			t.Fatalf("%q verifies an address", body)
		}
		for _, s := range append(append([]string{l.Username, l.Email, l.Name}, l.Roles...), l.Groups...) {
			if !plain(s) {
				t.Fatalf("%q is not plain", s)
			}
		}
	})
}
