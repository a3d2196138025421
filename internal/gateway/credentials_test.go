package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// vault knows one key, "gh_good", of a robot, and "gh_busy", whose store is down.
type vault struct{ asked []string }

func (v *vault) Looks(text string) bool { return strings.HasPrefix(text, "gh_") }

func (v *vault) Identify(_ context.Context, key string, from netip.Addr) (*identity.Identity, *identity.Quota, error) {
	v.asked = append(v.asked, key+" from "+from.String())
	switch key {
	case "gh_good":
		return robot, &identity.Quota{Rate: identity.Rate{Requests: 10, Per: time.Minute}, Remaining: 9, Reset: 5500 * time.Millisecond}, nil
	case "gh_busy":
		return nil, nil, errors.New("the store is down")
	}
	return nil, nil, &identity.Refusal{Reason: "it is unknown", Who: "nobody"}
}

var robot = &identity.Identity{Method: identity.Key, ID: "svc_1", Subject: "svc_1", Username: "robot", Scopes: []string{"reports:read"}}

// mint knows one token.
type mint struct{}

func (mint) Identify(_ context.Context, token string) (*identity.Identity, error) {
	switch token {
	case "a.good.token":
		return &identity.Identity{Method: identity.JWT, Subject: "client-7"}, nil
	case "a.late.token":
		return nil, errors.New("the issuer is down")
	}
	return nil, identity.ErrUnknown
}

// machines is a site that takes keys, tokens and sessions.
func machines() (*scene, *vault) {
	s, v := newScene(), &vault{}
	s.options.KeyHeader = "X-Api-Key"
	s.options.IsKey = func(text string) bool { return text == "gh_good" || text == "gh_other" }
	s.options.Authenticators = []Authenticator{
		AuthorizationAuthenticator(v, mint{}, "app.example.com"),
		KeyHeaderAuthenticator(v, "X-Api-Key"),
		SessionAuthenticator(s.sessions, cookie.Jar{}),
	}
	return s, v
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestWaysToPresentAKeyOrToken(t *testing.T) {
	const bad = `Bearer realm="app.example.com", error="invalid_token"`
	const basicAgain = `Basic realm="app.example.com", charset="UTF-8"`
	for _, c := range []struct {
		name      string
		headers   []string
		status    int
		user      string // "" with 200: nobody
		challenge string // with 401
	}{
		{"key as Bearer", []string{"Authorization", "Bearer gh_good"}, 200, "robot", ""},
		{"scheme in another case, two spaces", []string{"Authorization", "bEARER  gh_good"}, 200, "robot", ""},
		{"key as Basic password", []string{"Authorization", basic("anything", "gh_good")}, 200, "robot", ""},
		{"key as Basic password without a user", []string{"Authorization", basic("", "gh_good")}, 200, "robot", ""},
		{"key in its header", []string{"X-Api-Key", "gh_good"}, 200, "robot", ""},
		{"token", []string{"Authorization", "Bearer a.good.token"}, 200, "client-7", ""},

		{"bad key", []string{"Authorization", "Bearer gh_bad"}, 401, "", bad},
		{"bad key as Basic password", []string{"Authorization", basic("x", "gh_bad")}, 401, "", basicAgain},
		{"bad key in its header", []string{"X-Api-Key", "gh_bad"}, 401, "", `Bearer realm="app.example.com", error="invalid_token"`},
		{"empty key header", []string{"X-Api-Key", ""}, 401, "", `Bearer realm="app.example.com", error="invalid_token"`},
		{"key header twice, both good", []string{"X-Api-Key", "gh_good", "X-Api-Key", "gh_good"}, 401, "", `Bearer realm="app.example.com", error="invalid_token"`},
		{"something else in the key header", []string{"X-Api-Key", "a.good.token"}, 401, "", `Bearer realm="app.example.com", error="invalid_token"`},
		{"bad token", []string{"Authorization", "Bearer a.bad.token"}, 401, "", bad},
		{"no token", []string{"Authorization", "Bearer"}, 401, "", bad},
		{"token with a space in it", []string{"Authorization", "Bearer a.good.token x"}, 401, "", bad},
		{"key as Basic user", []string{"Authorization", basic("gh_good", "")}, 401, "", `Bearer realm="app.example.com", error="invalid_token"`},
		{"another password", []string{"Authorization", basic("alice", "secret")}, 401, "", `Bearer realm="app.example.com", error="invalid_token"`},
		{"Basic that is no base64", []string{"Authorization", "Basic %%%"}, 401, "", `Bearer realm="app.example.com", error="invalid_token"`},

		{"a bad key does not fall through to a good cookie", []string{"Authorization", "Bearer gh_bad", "Cookie", "__Host-gatehouse=" + goodToken}, 401, "", bad},
		{"a bad key header does not fall through to a good cookie", []string{"X-Api-Key", "gh_bad", "Cookie", "__Host-gatehouse=" + goodToken}, 401, "", `Bearer realm="app.example.com", error="invalid_token"`},
		{"Authorization comes before the key header", []string{"Authorization", "Bearer gh_bad", "X-Api-Key", "gh_good"}, 401, "", bad},
		{"an unclaimed Authorization beside a good key", []string{"Authorization", "Digest x", "X-Api-Key", "gh_good"}, 401, "", `Bearer realm="app.example.com", error="invalid_token"`},
		{"a key beside a cookie", []string{"X-Api-Key", "gh_good", "Cookie", "__Host-gatehouse=" + goodToken}, 200, "robot", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := machines()
			s.options.Decider = deciderFunc(allowAll)
			r := get("/")
			for i := 0; i < len(c.headers); i += 2 {
				r.Header.Add(c.headers[i], c.headers[i+1])
			}
			res := s.do(t, r)
			if res.StatusCode != c.status || res.Header.Get("WWW-Authenticate") != c.challenge {
				t.Fatalf("status %d, challenge %q; want %d, %q", res.StatusCode, res.Header.Get("WWW-Authenticate"), c.status, c.challenge)
			}
			if c.status != 200 {
				if rec := s.record(t); rec.Verdict != BadCredential || rec.Refusal == nil {
					t.Errorf("recorded %+v", rec)
				}
				return
			}
			h := s.last(t).Header
			if h.Get("Remote-User") != c.user {
				t.Errorf("the app was told %q", h.Get("Remote-User"))
			}
			if h.Get("Authorization") != "" || h.Get("X-Api-Key") != "" || h.Get("Cookie") != "" {
				t.Errorf("a credential reached the app: %v", h)
			}
		})
	}
}

func TestCredentialFaultIsNeverAPass(t *testing.T) {
	for _, token := range []string{"gh_busy", "a.late.token"} {
		s, _ := machines()
		s.options.Decider = deciderFunc(allowAll)
		r := getAs("/")
		r.Header.Set("Authorization", "Bearer "+token)
		res := s.do(t, r)
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", token, res.StatusCode, res.Header)
		}
	}
}

func TestQuotaIsToldWhateverTheAnswer(t *testing.T) {
	for _, decide := range []deciderFunc{allowAll, func(*decision.Question) (decision.Answer, error) { return decision.Answer{}, nil }} {
		s, v := machines()
		s.options.Decider = decide
		r := get("/")
		r.Header.Set("Authorization", "Bearer gh_good")
		res := s.do(t, r)
		if res.Header.Get("RateLimit") != `"key";r=9;t=6` || res.Header.Get("RateLimit-Policy") != `"key";q=10;w=60` {
			t.Errorf("%d: %v", res.StatusCode, res.Header)
		}
		if len(v.asked) != 1 || v.asked[0] != "gh_good from 203.0.113.9" {
			t.Errorf("asked %v", v.asked)
		}
	}
}

func TestKeyInTheAddressIsRefusedAndSaysWhy(t *testing.T) {
	for _, query := range []string{
		"key=gh_good", "gh_good", "gh_good=1", "a=1;key=gh_good", "key=%67h%5Fgood", "a=%zz&key=gh_good", "key=+gh_good+", "x=1&x=gh_good",
	} {
		t.Run(query, func(t *testing.T) {
			s, v := machines()
			s.options.Decider = deciderFunc(allowAll)
			r := getAs("/")
			r.URL.RawQuery = query
			r.Header.Set("Authorization", "Bearer gh_good")
			w := s.do(t, r)
			body := make([]byte, 4096)
			n, _ := w.Body.Read(body)
			if w.StatusCode != 401 || !strings.Contains(w.Header.Get("WWW-Authenticate"), `error="invalid_request"`) ||
				!strings.Contains(string(body[:n]), "Authorization: Bearer") || strings.Contains(string(body[:n]), "gh_good") {
				t.Errorf("%d %v %s", w.StatusCode, w.Header, body[:n])
			}
			if len(v.asked) > 0 {
				t.Errorf("the key was tried: %v", v.asked)
			}
			if rec := s.record(t); rec.Verdict != BadCredential || rec.Tried != identity.Key {
				t.Errorf("recorded %+v", rec)
			}
		})
	}
	for _, query := range []string{"", "q=gh_", "q=the+gh_goods", "page_size=3", "%5f", url.Values{"q": {"gh_ood"}}.Encode()} {
		s, _ := machines()
		s.options.Decider = deciderFunc(allowAll)
		r := getAs("/")
		r.URL.RawQuery = query
		if res := s.do(t, r); res.StatusCode != 200 {
			t.Errorf("%q: %d", query, res.StatusCode)
		}
	}
}

func TestPolicySeesNoKeyHeader(t *testing.T) {
	s, _ := machines()
	s.options.Decider = deciderFunc(func(q *decision.Question) (decision.Answer, error) {
		if len(q.Request.Header["X-Api-Key"])+len(q.Request.Header["Authorization"]) > 0 {
			t.Errorf("the policy sees %v", q.Request.Header)
		}
		return decision.Answer{Allow: true}, nil
	})
	r := getAs("/")
	r.Header.Set("X-Api-Key", "gh_good")
	s.do(t, r)
	if got := s.last(t).Header.Get("X-Api-Key"); got != "" {
		t.Errorf("the app sees %q", got)
	}
}

// The app keeps its own Authorization only where the site says so, and never one
// that is ours.
func TestAuthorizationOfTheAppBesideKeys(t *testing.T) {
	for _, c := range []struct {
		sent   string
		tokens Tokens
		status int
		app    string
	}{
		{"Basic " + base64.StdEncoding.EncodeToString([]byte("bob:app's own")), nil, 200, "Basic Ym9iOmFwcCdzIG93bg=="},
		{"Bearer of-the-app", nil, 200, "Bearer of-the-app"},
		{"Bearer of-the-app", mint{}, 401, ""},
		{"Bearer gh_bad", nil, 401, ""},
		{basic("x", "gh_bad"), nil, 401, ""},
		{"Bearer gh_good", nil, 200, ""},
	} {
		s, v := machines()
		s.options.PassAuthorization = true
		s.options.Decider = deciderFunc(allowAll)
		s.options.Authenticators[0] = AuthorizationAuthenticator(v, c.tokens, "app.example.com")
		r := get("/")
		r.Header.Set("Authorization", c.sent)
		res := s.do(t, r)
		if res.StatusCode != c.status {
			t.Errorf("%q: status %d, want %d", c.sent, res.StatusCode, c.status)
			continue
		}
		if c.status == 200 && s.last(t).Header.Get("Authorization") != c.app {
			t.Errorf("%q reached the app as %q", c.sent, s.last(t).Header.Get("Authorization"))
		}
	}
}

func TestPeopleAreNotSentToALoginThatDoesNotHelp(t *testing.T) {
	s, _ := machines()
	s.options.NoLogin = true
	r := get("/")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	res := s.do(t, r)
	if res.StatusCode != 401 || res.Header.Get("Location") != "" || res.Header.Get("WWW-Authenticate") != `Bearer realm="app.example.com"` {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestTokensForTheApp(t *testing.T) {
	for _, c := range []struct {
		name   string
		value  string
		err    error
		status int
		want   string
	}{
		{"a token", "abc", nil, 200, "abc"},
		{"none", "", nil, 200, ""},
		{"it cannot be had now", "", errors.New("the provider is down"), 503, ""},
		{"asking for it ended the session", "", fmt.Errorf("the token: %w", identity.ErrUnknown), 401, ""},
		{"one that ends its line", "abc\r\nRemote-User: root", nil, 503, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene()
			s.options.Decider = deciderFunc(allowAll)
			s.options.Tokens = []TokenHeader{{Name: "x-provider-token", Value: func(_ context.Context, id *identity.Identity) (string, error) {
				if id.Username != "alice" {
					t.Errorf("asked for %+v", id)
				}
				return c.value, c.err
			}}}
			r := getAs("/")
			r.Header.Set("X-Provider-Token", "forged")
			alias := strings.ReplaceAll("X-Provider-Token", "-", "_")
			r.Header[alias] = []string{"forged"}
			if res := s.do(t, r); res.StatusCode != c.status {
				t.Fatalf("status %d", res.StatusCode)
			}
			if c.status != 200 {
				return
			}
			if h := s.last(t).Header; h.Get("X-Provider-Token") != c.want || len(h[alias]) > 0 {
				t.Errorf("the app got %v", h)
			}
			s.do(t, func() *http.Request { r := get("/"); r.Header.Set("X-Provider-Token", "forged"); return r }())
			if got := s.last(t).Header.Get("X-Provider-Token"); got != "" {
				t.Errorf("a stranger's reached the app: %q", got)
			}
		})
	}
}

func TestSecondFactorThatCanBeGiven(t *testing.T) {
	s := newScene()
	s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) {
		return decision.Answer{Allow: true, Require: []decision.Step{decision.MFA}}, nil
	})
	s.options.CanGiveMFA = func(id *identity.Identity) bool { return id.Username == "alice" }
	r := getAs("/pay?x=1")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if res := s.do(t, r); res.StatusCode != 302 || res.Header.Get("Location") != "/_gatehouse/login?return_to=%2Fpay%3Fx%3D1&step=mfa" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res := s.do(t, getAs("/pay")); res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != `Bearer error="insufficient_user_authentication"` {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// registry takes every certificate whose common name is "good".
type registry struct{}

func (registry) Identify(_ context.Context, chain []*x509.Certificate) (*identity.Identity, error) {
	if chain[0].Subject.CommonName == "good" {
		return &identity.Identity{Method: identity.Certificate, Subject: "good"}, nil
	}
	return nil, &identity.Refusal{Reason: "it is revoked"}
}

func TestClientCertificates(t *testing.T) {
	cert := func(name string) *x509.Certificate {
		c := new(x509.Certificate)
		c.Subject.CommonName = name
		return c
	}
	good, revoked := cert("good"), cert("revoked")
	for _, c := range []struct {
		name   string
		tls    *tls.ConnectionState
		cookie bool
		status int
		user   string
	}{
		{"plain HTTP", nil, false, 200, ""},
		{"no certificate", &tls.ConnectionState{}, false, 200, ""},
		{"verified", &tls.ConnectionState{ServerName: "example.com", PeerCertificates: []*x509.Certificate{good}, VerifiedChains: [][]*x509.Certificate{{good}}}, false, 200, "good"},
		{"sent, and not verified", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{good}}, false, 401, ""},
		{"an empty chain", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{good}, VerifiedChains: [][]*x509.Certificate{{}}}, false, 401, ""},
		{"revoked", &tls.ConnectionState{ServerName: "example.com", PeerCertificates: []*x509.Certificate{revoked}, VerifiedChains: [][]*x509.Certificate{{revoked}}}, false, 401, ""},
		{"a cookie comes before it", &tls.ConnectionState{ServerName: "example.com", PeerCertificates: []*x509.Certificate{good}, VerifiedChains: [][]*x509.Certificate{{good}}}, true, 200, "alice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := machines()
			s.options.Decider = deciderFunc(allowAll)
			s.options.Authenticators = append(s.options.Authenticators, CertificateAuthenticator(registry{}))
			r := get("/")
			if c.cookie {
				r = getAs("/")
			}
			r.TLS = c.tls
			if res := s.do(t, r); res.StatusCode != c.status {
				t.Fatalf("status %d, want %d", res.StatusCode, c.status)
			}
			if c.status == 200 && s.last(t).Header.Get("Remote-User") != c.user {
				t.Errorf("the app was told %q", s.last(t).Header.Get("Remote-User"))
			}
		})
	}
}

// FuzzCredentials checks that nothing but the one good key and token gets in, by
// whichever header it comes.
func FuzzCredentials(f *testing.F) {
	for _, v := range []string{"Bearer gh_good", "Bearer gh_good ", "basic eDpnaF9nb29k", "Basic gh_good", "Bearer a.good.token", "Bearer\tgh_good", "gh_good", "Bearer gh_good, Bearer x", "Bearer a.good.token="} {
		f.Add(v, "")
		f.Add("", v)
	}
	f.Fuzz(func(t *testing.T, authorization, header string) {
		s, v := machines()
		r := get("/")
		if authorization != "" {
			r.Header["Authorization"] = []string{authorization}
		}
		if header != "" {
			r.Header["X-Api-Key"] = []string{header}
		}
		res := s.do(t, r)
		if res.StatusCode != 200 {
			return
		}
		for _, asked := range v.asked {
			if !strings.HasPrefix(asked, "gh_good from ") {
				t.Fatalf("%q and %q passed, having asked for %q", authorization, header, v.asked)
			}
		}
		if len(v.asked) == 0 && !strings.Contains(authorization, "a.good.token") {
			t.Fatalf("%q and %q passed without a credential", authorization, header)
		}
	})
}
