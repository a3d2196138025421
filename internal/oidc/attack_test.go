package oidc

import (
	"errors"
	"net/url"
	"strings"
	"testing"
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

// A callback after a restart, while the provider is down.
func TestCallbackOfAProviderThatIsUnknown(t *testing.T) {
	w := newWorld(t)
	pending, params := w.start(Request{})
	w.down()
	again := join(t, w.op, w.op.Transport())
	l, err := again.Finish(t.Context(), pending, params)
	again.refused(l, err, ErrUnavailable, "metadata")
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
