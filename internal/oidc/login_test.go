package oidc

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

// asks begins a login and returns what it asks for.
func (w *world) asks(r Request) (url.Values, *Pending) {
	w.t.Helper()
	if r.RedirectURL == "" {
		r.RedirectURL = testCallback
	}
	address, pending, err := w.Begin(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.Query(), pending
}

func TestAuthorizationRequest(t *testing.T) {
	w := newWorld(t)
	q, pending := w.asks(Request{})
	sum := sha256.Sum256([]byte(pending.Verifier))
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "client", "redirect_uri": testCallback, "scope": "openid email profile", "state": pending.State,
		"nonce": pending.Nonce, "code_challenge_method": "S256", "code_challenge": b64url(sum[:]),
	} {
		if len(q[name]) != 1 || q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q[name], want)
		}
		delete(q, name)
	}
	if len(q) != 0 {
		t.Error("what nobody asked for:", q)
	}
	for _, s := range []string{pending.State, pending.Nonce, pending.Verifier} {
		if len(s) != 43 {
			t.Errorf("%q has not 256 bits", s)
		}
	}
	if pending.State == pending.Nonce || pending.State == pending.Verifier || pending.Nonce == pending.Verifier {
		t.Error("one secret serves twice")
	}
}

func TestWhatALoginAsksFor(t *testing.T) {
	minute, second, none, negative, long := time.Minute, 90*time.Second+time.Millisecond, time.Duration(0), -time.Second, time.Hour
	w := newWorld(t, func(o *Options) {
		o.MaxAge, o.Prompt, o.ACRValues, o.Offline = 5*time.Minute, "select_account", []string{"mfa", "pwd"}, true
	})
	for name, c := range map[string]struct {
		r    Request
		want map[string]string // "": not asked
	}{
		"the options":                 {Request{}, map[string]string{"max_age": "300", "prompt": "select_account", "acr_values": "mfa pwd", "scope": "openid email profile offline_access", "login_hint": "", "ui_locales": ""}},
		"the stricter age":            {Request{MaxAge: &minute}, map[string]string{"max_age": "60"}},
		"a laxer age":                 {Request{MaxAge: &long}, map[string]string{"max_age": "300"}},
		"whole seconds":               {Request{MaxAge: &second}, map[string]string{"max_age": "90"}},
		"now":                         {Request{MaxAge: &none}, map[string]string{"max_age": "0"}},
		"a negative age":              {Request{MaxAge: &negative}, map[string]string{"max_age": "0"}},
		"the request's own":           {Request{Prompt: "login", ACRValues: []string{"hwk"}}, map[string]string{"prompt": "login", "acr_values": "hwk"}},
		"a hint and languages":        {Request{LoginHint: "alice@example.com", UILocales: []string{"de", "en"}}, map[string]string{"login_hint": "alice@example.com", "ui_locales": "de en"}},
		"hint with line break":        {Request{LoginHint: "alice\r\nx"}, map[string]string{"login_hint": ""}},
		"a long hint":                 {Request{LoginHint: strings.Repeat("a", 321)}, map[string]string{"login_hint": ""}},
		"long languages":              {Request{UILocales: []string{strings.Repeat("a", 321)}}, map[string]string{"ui_locales": ""}},
		"a hint that injects nothing": {Request{LoginHint: "a&prompt=none&scope=x#"}, map[string]string{"login_hint": "a&prompt=none&scope=x#", "prompt": "select_account"}},
	} {
		t.Run(name, func(t *testing.T) {
			q, _ := w.asks(c.r)
			for name, want := range c.want {
				if q.Get(name) != want || want == "" && q.Has(name) {
					t.Errorf("%s is %q, want %q", name, q[name], want)
				}
			}
		})
	}
	if _, _, err := w.Begin(t.Context(), Request{RedirectURL: testCallback, ACRValues: []string{"a b"}}); err == nil {
		t.Error("one acr value becomes two")
	}
	later := newWorld(t, func(*Options) {})
	if q, _ := later.asks(Request{}); q.Get("scope") != "openid email profile" {
		t.Error(q.Get("scope"))
	}
	later.AskOffline()
	if q, _ := later.asks(Request{}); q.Get("scope") != "openid email profile offline_access" {
		t.Error(q.Get("scope"))
	}
	said := newWorld(t, func(o *Options) { o.Scopes, o.Offline = []string{"openid", "offline_access"}, true })
	if q, _ := said.asks(Request{}); q.Get("scope") != "openid offline_access" {
		t.Error(q.Get("scope"))
	}
	w.knob(func(k *optest.Knobs) { k.Metadata = object{"scopes_supported": []any{"openid"}} })
	w.clock.pass(2 * time.Hour)
	if err := w.settle(); err != nil {
		t.Error(err)
	}
	if q, _ := w.asks(Request{}); q.Get("scope") != "openid email profile" {
		t.Error(q.Get("scope"))
	}
}

// settle waits until the metadata that are due have been fetched.
func (w *world) settle() error {
	if flight := w.begin(); flight != nil {
		<-flight
	}
	return w.Ready(w.t.Context())
}

// The query of an endpoint stays (RFC 6749 section 3.1).
func TestEndpointsWithQuery(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.Metadata = object{"authorization_endpoint": testIssuer + "/authorize?realm=a", "end_session_endpoint": testIssuer + "/end_session?realm=a"}
	})
	l := w.in()
	if asked := w.op.Asked("authorize"); asked[0].Form.Get("realm") != "a" || len(asked[0].Form["client_id"]) != 1 {
		t.Error(asked)
	}
	w.endSession(l, "")
	if asked := w.op.Asked("end_session"); asked[0].Form.Get("realm") != "a" || asked[0].Form.Has("state") {
		t.Error(asked)
	}
}

func TestBadCallbackAddress(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{"", "/callback", "http://app.example.com/callback", "https://a@app.example.com/", "javascript:alert(1)", testCallback + "#x", "https:///x", testCallback + "\n", testCallback + "\u0085", "https:app.example.com/cb"} {
		if address, pending, err := w.Begin(t.Context(), Request{RedirectURL: bad}); err == nil || address != "" || pending != nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// The token endpoint is told exactly the callback of this login.
func TestOneProviderForManySites(t *testing.T) {
	w := newWorld(t)
	w.op.Client.RedirectURLs = nil
	for _, callback := range []string{"https://a.example.com/cb", "https://b.example.net/cb?x=%2F", "http://localhost:8080/cb"} {
		if _, err := w.login(Request{RedirectURL: callback}); err != nil {
			t.Errorf("%s: %v", callback, err)
		}
	}
	pending, params := w.start(Request{RedirectURL: "https://a.example.com/cb"})
	pending.RedirectURL = "https://b.example.net/cb"
	if l, err := w.Finish(t.Context(), pending, params); l != nil || err == nil {
		t.Error("a code of one site is good at another")
	}
}

func TestPendingIsSmallAndWhole(t *testing.T) {
	w := newWorld(t)
	age := time.Minute
	pending, params := w.start(Request{MaxAge: &age, ACRValues: []string{"mfa"}})
	raw, err := json.Marshal(pending)
	if err != nil || len(raw) > 400 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	var back Pending
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	l, err := w.Finish(t.Context(), &back, params)
	if err != nil || l.ACR != "mfa" {
		t.Error(l, err)
	}
}

func TestNoRandomNumbers(t *testing.T) {
	for _, given := range []int{0, 31, 32, 95} {
		w := newWorld(t, func(o *Options) { o.Rand = bytes.NewReader(make([]byte, given)) })
		if address, pending, err := w.Begin(t.Context(), Request{RedirectURL: testCallback}); err == nil || address != "" || pending != nil {
			t.Errorf("%d bytes are enough", given)
		}
	}
}

func TestFreshness(t *testing.T) {
	age, now := 5*time.Minute, time.Duration(0)
	for name, c := range map[string]struct {
		knobs  func(*optest.Knobs)
		age    *time.Duration
		reason string
	}{
		"the provider asks again":          {func(k *optest.Knobs) { k.AuthAge = time.Hour }, &age, ""},
		"fresh enough":                     {func(k *optest.Knobs) { k.AuthAge = 4 * time.Minute }, &age, ""},
		"now means now":                    {func(k *optest.Knobs) { k.AuthAge = time.Hour }, &now, ""},
		"the provider does not care":       {func(k *optest.Knobs) { k.AuthAge, k.IgnoreMaxAge = time.Hour, true }, &age, "longer ago than max_age"},
		"nor about now":                    {func(k *optest.Knobs) { k.AuthAge, k.IgnoreMaxAge = 2*time.Minute, true }, &now, "longer ago than max_age"},
		"auth_time is missing":             {func(k *optest.Knobs) { k.IDToken = object{"auth_time": nil} }, &age, "no auth_time"},
		"auth_time is text":                {func(k *optest.Knobs) { k.IDToken = object{"auth_time": "now"} }, &age, "auth_time is no number"},
		"auth_time is null":                {func(k *optest.Knobs) { k.IDToken = object{"auth_time": null} }, nil, "auth_time is no number"},
		"auth_time is in the future":       {func(k *optest.Knobs) { k.AuthAge = -2 * time.Minute }, nil, "in the future"},
		"auth_time is far in the future":   {func(k *optest.Knobs) { k.IDToken = object{"auth_time": 1e300} }, nil, "in the future"},
		"nobody asked, so nothing matters": {func(k *optest.Knobs) { k.AuthAge = 1000 * time.Hour }, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.knob(c.knobs)
			l, err := w.login(Request{MaxAge: c.age})
			if c.reason == "" && err != nil {
				t.Error(err)
			}
			if c.reason != "" {
				w.refused(l, err, ErrInvalid, c.reason)
			}
		})
	}
	// Signing in there takes its time: what counts is the moment we asked.
	w := newWorld(t)
	pending, params := w.start(Request{MaxAge: &now})
	w.clock.pass(9 * time.Minute)
	if _, err := w.Finish(t.Context(), pending, params); err != nil {
		t.Error(err)
	}
}

func TestACR(t *testing.T) {
	for name, c := range map[string]struct {
		acr any
		ok  bool
	}{"the first": {"mfa", true}, "the second": {"hwk", true}, "another": {"pwd", false}, "none": {nil, false}, "empty": {"", false}, "a list": {[]any{"mfa"}, false}, "a number": {1, false}, "both": {"mfa hwk", false}} {
		w := newWorld(t, func(o *Options) { o.ACRValues = []string{"mfa", "hwk"} })
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"acr": c.acr} })
		if l, err := w.login(Request{}); c.ok && err != nil || !c.ok && (l != nil || !errors.Is(err, ErrInvalid)) {
			t.Errorf("%s: %v %v", name, l, err)
		}
	}
}

func TestTimesOfTokens(t *testing.T) {
	at := func(d time.Duration) int64 { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).Add(d).Unix() }
	for name, c := range map[string]struct {
		claims object
		reason string
	}{
		"expired within the leeway": {object{"exp": at(-59 * time.Second)}, ""},
		"expired":                   {object{"exp": at(-time.Minute)}, "expired"},
		"expired long ago":          {object{"exp": -1e300}, "expired"},
		"exp is missing":            {object{"exp": nil}, "no exp"},
		"exp is null":               {object{"exp": null}, "no exp"},
		"exp is text":               {object{"exp": "9999999999"}, "no exp"},
		"exp beyond all times":      {object{"exp": json.Number("99999999999999999999999")}, "malformed"},
		"issued in the future":      {object{"iat": at(61 * time.Second)}, "in the future"},
		"issued a little early":     {object{"iat": at(time.Minute)}, ""},
		"issued long ago":           {object{"iat": at(-11*time.Minute - time.Second)}, "too long ago"},
		"issued not too long ago":   {object{"iat": at(-11 * time.Minute)}, ""},
		"issued with fractions":     {object{"iat": float64(at(0)) + 0.5}, ""},
		"not yet":                   {object{"nbf": at(61 * time.Second)}, "nbf"},
		"from now":                  {object{"nbf": at(time.Minute)}, ""},
		"nbf is text":               {object{"nbf": "x"}, "nbf"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.knob(func(k *optest.Knobs) { k.IDToken = c.claims })
			if c.reason == "" {
				w.in()
			} else {
				w.out(c.reason)
			}
		})
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	w := newWorld(t)
	l := w.in()
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "tokens", l.Tokens)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "tokens", l.Tokens, "login", *l)
	fmt.Fprintf(&b, "%v %+v %s %+v", l.Tokens, l.Tokens, l.Tokens, l)
	for _, secret := range []string{l.Tokens.Access, l.Tokens.Refresh, l.Tokens.ID} {
		if strings.Contains(b.String(), secret) {
			t.Error("a token is in", b.String())
		}
	}
}
