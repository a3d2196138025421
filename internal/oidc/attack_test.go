package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

// two providers, of which the second is the attacker's.
func twoProviders(t *testing.T) (honest, evil *world) {
	t.Helper()
	honest = newWorld(t, func(o *Options) { o.Name = "honest" })
	op := optest.New("https://evil.example.com")
	evil = join(t, op, op.Transport(), func(o *Options) { o.Name = "evil" })
	evil.op.Client.RedirectURLs, honest.op.Client.RedirectURLs = nil, nil
	return honest, evil
}

// A code of one provider must never reach another (RFC 9700 section 4.4): else
// the attacker's provider collects the codes of the honest one.
func TestMixedUpProviders(t *testing.T) {
	honest, evil := twoProviders(t)
	t.Run("a response of another provider", func(t *testing.T) {
		pending, _ := evil.start(Request{})
		_, params := honest.start(Request{})
		params.Set("state", pending.State)
		l, err := evil.Finish(t.Context(), pending, params)
		evil.refused(l, err, ErrInvalid, "of another issuer")
	})
	t.Run("a login of another provider", func(t *testing.T) {
		pending, params := honest.start(Request{})
		l, err := evil.Finish(t.Context(), pending, params)
		evil.refused(l, err, ErrInvalid, "belongs to no login")
	})
	t.Run("without iss, which both always send", func(t *testing.T) {
		pending, params := honest.start(Request{})
		params.Del("iss")
		l, err := honest.Finish(t.Context(), pending, params)
		honest.refused(l, err, ErrInvalid, "does not name its issuer")
	})
	t.Run("an error without iss, or with another", func(t *testing.T) {
		for _, iss := range []string{"", "https://evil.example.com"} {
			pending, _ := honest.start(Request{})
			params := url.Values{"state": {pending.State}, "error": {"access_denied"}}
			if iss != "" {
				params.Set("iss", iss)
			}
			l, err := honest.Finish(t.Context(), pending, params)
			honest.refused(l, err, ErrInvalid, "iss")
		}
	})
	t.Run("an ID token of another provider", func(t *testing.T) {
		honest.knob(func(k *optest.Knobs) { k.Token = object{"id_token": evil.in().Tokens.ID} })
		honest.out("iss is another")
	})
	t.Run("an iss that differs a little", func(t *testing.T) {
		for _, iss := range []string{testIssuer + "/", "", "https://op.example.com.evil.example.com", testIssuer + "\x00", strings.ToUpper(testIssuer)} {
			pending, params := honest.start(Request{})
			params.Set("iss", iss)
			l, err := honest.Finish(t.Context(), pending, params)
			honest.refused(l, err, ErrInvalid, "of another issuer")
		}
	})
	if n := len(evil.op.Asked("token")); n != 1 { // that of evil.in()
		t.Errorf("%d codes reached the attacker's token endpoint", n)
	}
}

// Where metadata do not promise iss it may be left out, but never be another's.
func TestProviderWithoutIss(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.Metadata = object{"authorization_response_iss_parameter_supported": nil}
		k.Callback = func(q url.Values) { q.Del("iss") }
	})
	w.in()
	w.knob(func(k *optest.Knobs) { k.Callback = func(q url.Values) { q.Set("iss", "https://evil.example.com") } })
	w.out("of another issuer")
}

func TestStateThatIsNotOurs(t *testing.T) {
	w := newWorld(t)
	other, _ := w.start(Request{})
	for name, state := range map[string][]string{
		"another login's": {other.State}, "none": nil, "empty": {""}, "a part": {other.State[:42]}, "two": {"", ""}, "with more": {other.State + "x"},
	} {
		t.Run(name, func(t *testing.T) {
			pending, params := w.start(Request{})
			params["state"] = state
			l, err := w.Finish(t.Context(), pending, params)
			w.refused(l, err, ErrInvalid, "")
		})
	}
	if len(w.op.Asked("token")) != 0 {
		t.Error("a code was redeemed")
	}
}

func TestDoubledParameters(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"state", "code", "iss", "error", "session_state", "x"} {
		pending, params := w.start(Request{})
		params[name] = []string{params.Get(name), params.Get(name)}
		l, err := w.Finish(t.Context(), pending, params)
		w.refused(l, err, ErrInvalid, "twice")
	}
}

func TestOddCallbacks(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(url.Values){
		"no code":               func(q url.Values) { q.Del("code") },
		"an empty code":         func(q url.Values) { q.Set("code", "") },
		"a code of two lines":   func(q url.Values) { q.Set("code", "a\r\nb") },
		"a huge code":           func(q url.Values) { q.Set("code", strings.Repeat("a", maxParameter)) },
		"a huge name":           func(q url.Values) { q.Set(strings.Repeat("a", maxParameter+1), "") },
		"an error and a code":   func(q url.Values) { q.Set("error", "access_denied") },
		"an empty error":        func(q url.Values) { q.Set("error", "") },
		"nothing":               func(q url.Values) { clear(q) },
		"a token in the answer": func(q url.Values) { q.Del("code"); q.Set("id_token", "x"); q.Set("access_token", "x") },
	} {
		t.Run(name, func(t *testing.T) {
			pending, params := w.start(Request{})
			change(params)
			l, err := w.Finish(t.Context(), pending, params)
			w.refused(l, err, ErrInvalid, "")
		})
	}
	if len(w.op.Asked("token")) != 0 {
		t.Error("a code was redeemed")
	}
}

func TestPendingThatIsNone(t *testing.T) {
	w := newWorld(t)
	good, params := w.start(Request{})
	for name, change := range map[string]func(*Pending){
		"empty":       func(p *Pending) { *p = Pending{} },
		"no state":    func(p *Pending) { p.State = "" },
		"no verifier": func(p *Pending) { p.Verifier = "" },
		"no nonce":    func(p *Pending) { p.Nonce = "" },
		"too old":     func(p *Pending) { p.Started = p.Started.Add(-PendingLife - time.Second) },
		"no time":     func(p *Pending) { p.Started = time.Time{} },
		"the future":  func(p *Pending) { p.Started = p.Started.Add(2 * time.Minute) },
	} {
		bad := *good
		change(&bad)
		if name == "no state" {
			params = url.Values{"code": {"x"}, "iss": {testIssuer}, "state": {""}}
		}
		l, err := w.Finish(t.Context(), &bad, params)
		w.refused(l, err, ErrInvalid, "login")
	}
	l, err := w.Finish(t.Context(), nil, params)
	w.refused(l, err, ErrInvalid, "login")
}

// A callback that comes twice: the provider gives no second token.
func TestDoubledCallback(t *testing.T) {
	w := newWorld(t)
	pending, params := w.start(Request{})
	if _, err := w.Finish(t.Context(), pending, params); err != nil {
		t.Fatal(err)
	}
	l, err := w.Finish(t.Context(), pending, params)
	if p := (*ProviderError)(nil); l != nil || !errors.As(err, &p) || p.Code != "invalid_grant" || !strings.Contains(p.Meaning(), "Start again") {
		t.Error(err)
	}
}

// A code that somebody stole is worth nothing in another login: it is bound to
// the verifier, and the ID token to the nonce.
func TestInjectedCode(t *testing.T) {
	w := newWorld(t)
	_, victim := w.start(Request{})
	pending, params := w.start(Request{})
	params.Set("code", victim.Get("code"))
	l, err := w.Finish(t.Context(), pending, params)
	if p := (*ProviderError)(nil); l != nil || !errors.As(err, &p) {
		t.Error(l, err)
	}
}

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

// Without keys nothing is known: the provider is to send it again.
func TestLogoutTokenWhileTheKeysAreOut(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) { k.Broken = map[string]http.HandlerFunc{"jwks": status(503)} })
	l, err := w.LogoutToken(t.Context(), w.op.LogoutToken("alice-1", ""))
	if l != nil || !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid) {
		t.Error(l, err)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<script>alert(1)</script>", code) }
}

func text(kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	}
}

// What a provider says, or somebody in its place, is one clean short line.
func TestErrorResponses(t *testing.T) {
	for name, c := range map[string]struct{ code, description, want, said string }{
		"plain":          {"access_denied", "The user said no.", "access_denied", "The user said no."},
		"none":           {"login_required", "", "login_required", ""},
		"markup":         {"access_denied", `<script>alert("x")</script> & 'more' ` + "`", "access_denied", "scriptalert(x)/script more"},
		"lines":          {"server_error", "AADSTS1:\r\n\tTrace ID:  7\x00\x1b[31m", "server_error", "AADSTS1: Trace ID: 7 [31m"},
		"invisible":      {"access_denied", "a\u202eb\u200bc\ufeffd\u2028e", "access_denied", "abcd e"},
		"broken text":    {"access_denied", "a\xffb", "access_denied", "ab"},
		"long":           {"access_denied", strings.Repeat("ä", 500), "access_denied", strings.Repeat("ä", 199) + "…"},
		"unknown":        {"made_up", "why", CodeOther, "made_up why"},
		"markup as code": {"<img src=x onerror=alert(1)>", "", CodeOther, "img src=x onerror=alert(1)"},
		"other language": {"access_denied", "Der Zugriff wurde verweigert: ü 日本", "access_denied", "Der Zugriff wurde verweigert: ü 日本"},
		"another's name": {"redirect_uri_mismatch", "", "invalid_request", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.knob(func(k *optest.Knobs) { k.AuthorizeError, k.AuthorizeDescription = c.code, c.description })
			l, err := w.login(Request{})
			var p *ProviderError
			if l != nil || !errors.As(err, &p) {
				t.Fatal(l, err)
			}
			if p.Code != c.want || p.Description != c.said || p.Meaning() == "" {
				t.Errorf("%q %q %q", p.Code, p.Description, p.Meaning())
			}
			if n := len([]rune(p.Description)); n > 200 || strings.ContainsAny(err.Error(), "<>\x1b\r\n") {
				t.Errorf("%d: %v", n, err)
			}
			if temporary := c.code == "server_error"; errors.Is(err, ErrUnavailable) != temporary {
				t.Error("whether it is the provider's own problem")
			}
		})
	}
}

func TestMeanings(t *testing.T) {
	for _, code := range append([]string{CodeOther, ""}, codes...) {
		if m := (&ProviderError{Code: code}).Meaning(); !strings.HasSuffix(m, ".") {
			t.Error(code, m)
		}
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
		w.refused(l, err, ErrUnavailable, "larger than 1048576 bytes")
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
				if took := time.Since(began); took != patience {
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
