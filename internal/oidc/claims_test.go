package oidc

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

// with signs somebody in whose claims, in the ID token alone, are these.
func (w *world) with(claims object) (*Login, error) {
	w.t.Helper()
	w.op.Put(optest.Account{Subject: "alice-1", Claims: claims})
	return w.login(Request{})
}

// "false" is a text, and a text is not true (this became an advisory elsewhere).
func TestEmailVerifiedIsABoolean(t *testing.T) {
	w := newWorld(t)
	for _, odd := range []any{"true", "false", "1", 1, 0, []any{true}, object{"x": true}, "TRUE", "yes"} {
		l, err := w.with(object{"email": "alice@example.com", "email_verified": odd})
		if err != nil || l.EmailVerified || l.Email != "alice@example.com" {
			t.Errorf("%v: %v", odd, err)
		}
	}
	if n := w.log.count("is no boolean"); n != 1 {
		t.Errorf("it was told %d times", n)
	}
	for value, want := range map[any]bool{true: true, false: false, nil: false} {
		l, err := w.with(object{"email": "alice@example.com", "email_verified": value})
		if err != nil || l.EmailVerified != want {
			t.Errorf("%v: %v", value, err)
		}
	}
	if l, err := w.with(object{"email_verified": true}); err != nil || l.EmailVerified {
		t.Error("no address is verified:", err)
	}
}

// A flag that UserInfo tells is about UserInfo's address.
func TestVerifiedNeverMovesToAnotherAddress(t *testing.T) {
	for name, c := range map[string]struct {
		id, info object
		email    string
		verified bool
	}{
		"another address":      {object{"email": "victim@example.com", "email_verified": nil}, object{"email": "mallory@example.com", "email_verified": true}, "victim@example.com", false},
		"the same":             {object{"email": "a@example.com", "email_verified": nil}, object{"email": "a@example.com", "email_verified": true}, "a@example.com", true},
		"the flag alone":       {object{"email": "a@example.com", "email_verified": nil}, object{"email": nil, "email_verified": true}, "a@example.com", false},
		"the address alone":    {object{"email": nil, "email_verified": true}, object{"email": "mallory@example.com", "email_verified": nil}, "mallory@example.com", false},
		"denied, then claimed": {object{"email": "a@example.com", "email_verified": false, "name": nil}, object{"email": "a@example.com", "email_verified": true}, "a@example.com", false},
		"all from UserInfo":    {object{"email": nil, "email_verified": nil}, object{"email": "a@example.com", "email_verified": true}, "a@example.com", true},
	} {
		w := newWorld(t)
		w.knob(func(k *optest.Knobs) { k.IDToken, k.UserInfo = c.id, c.info })
		l, err := w.login(Request{})
		if err != nil || l.Email != c.email || l.EmailVerified != c.verified {
			t.Errorf("%s: %+v %v", name, l, err)
		}
	}
}

func TestClaimsThatDoNotFit(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for field, bad := range map[string][]any{
		"preferred_username": {1, true, []any{"alice"}, object{}, "a\nb", "a\x00", long, "a\u0085"},
		"email":              {1, []any{"a@example.com"}, object{}, "a@example.com\r\nBcc: x", long},
		"name":               {1.5, false, object{"first": "A"}, "\x1b[2J", long},
		"roles":              {1, true, object{"admin": true}, []any{1}, []any{"a", nil}, []any{[]any{"admin"}}, []any{"a\nb"}, []any{object{"name": "admin"}}, "a\nb", []any{strings.Repeat("x", maxEntry+1)}},
		"groups":             {0, false, object{}, []any{true}, many(maxEntries + 1)},
	} {
		for _, v := range bad {
			w := newWorld(t)
			l, err := w.with(object{field: v})
			w.refused(l, err, ErrInvalid, "of the wrong type")
		}
	}
}

func TestClaimsThatFit(t *testing.T) {
	for name, c := range map[string]struct {
		groups any
		want   []string
	}{
		"a list": {[]any{"b", "a"}, []string{"b", "a"}}, "one with spaces": {"Domain Admins", []string{"Domain Admins"}}, "none": {[]any{}, nil}, "null": {null, nil}, "absent": {nil, nil},
		"empty entries": {[]any{"", "a"}, []string{"a"}}, "an empty text": {"", nil},
	} {
		w := newWorld(t)
		claims := object{}
		if c.groups != nil {
			claims["groups"] = c.groups
		}
		if l, err := w.with(claims); err != nil || !slices.Equal(l.Groups, c.want) {
			t.Errorf("%s: %+v %v", name, l, err)
		}
	}
}

func TestMappedClaims(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Claims = map[string]string{"username": "upn", "roles": "resource_access.app.roles", "groups": "https://example.com/groups", "email": "mail", "email_verified": "mail_ok", "name": "displayName"}
	})
	l, err := w.with(object{
		"upn": "alice@corp", "resource_access": object{"app": object{"roles": []any{"admin"}}, "other": object{"roles": []any{"root"}}}, "https://example.com/groups": []any{"g"},
		"mail": "alice@corp.example", "mail_ok": true, "displayName": "Alice A.", "roles": []any{"root"}, "groups": []any{"wheel"}, "email": "mallory@example.com", "name": 1,
	})
	if err != nil || l.Username != "alice@corp" || !slices.Equal(l.Roles, []string{"admin"}) || !slices.Equal(l.Groups, []string{"g"}) || l.Email != "alice@corp.example" || !l.EmailVerified || l.Name != "Alice A." {
		t.Errorf("%+v %v", l, err)
	}
	for _, odd := range []any{"admin", []any{}, nil, object{"app": []any{"roles"}}, object{"app": object{"roles.x": 1}}} {
		l, err := w.with(object{"resource_access": odd})
		if err != nil || l.Roles != nil {
			t.Errorf("%v: %+v %v", odd, l, err)
		}
	}
	l, err = w.with(object{"resource_access": object{"app": object{"roles": object{}}}})
	w.refused(l, err, ErrInvalid, "roles is of the wrong type")
}

// UserInfo adds what is missing, never what an ID token alone can say.
func TestUserInfoOverridesNothing(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.IDToken = object{"name": nil, "roles": []any{"reader"}, "acr": nil, "department": "a"}
		k.UserInfo = object{
			"iss": "https://evil.example.com", "aud": "evil", "azp": "evil", "acr": "mfa", "amr": []any{"hwk"}, "auth_time": 1, "sid": "evil", "exp": 1, "nonce": "x",
			"roles": []any{"admin"}, "department": "b", "country": "de", "events": object{},
		}
	})
	l := w.in()
	if l.Issuer != testIssuer || l.ACR != "" || l.AMR[0] != "pwd" || !l.AuthTime.Equal(w.clock.now) || l.SID == "evil" || l.Roles[0] != "reader" || l.Name != "Alice" {
		t.Errorf("%+v", l)
	}
	c := l.Claims
	if c["iss"] != testIssuer || c["aud"] != "client" || c["azp"] != "client" || c["department"] != "a" || c["country"] != "de" || c["acr"] != nil || c["nonce"] != nil || c["events"] != nil {
		t.Error(c)
	}
}

func TestWhenUserInfoIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		knobs  func(*optest.Knobs)
		asked  int
	}{
		"all is there":                      {nil, nil, 0},
		"the name is missing":               {nil, func(k *optest.Knobs) { k.IDToken = object{"name": nil} }, 1},
		"the flag is missing":               {nil, func(k *optest.Knobs) { k.IDToken = object{"email_verified": nil} }, 1},
		"groups that nobody mapped":         {nil, func(k *optest.Knobs) { k.IDToken = object{"groups": nil} }, 0},
		"groups that somebody mapped":       {func(o *Options) { o.Claims = map[string]string{"groups": "groups"} }, func(k *optest.Knobs) { k.IDToken = object{"groups": nil} }, 1},
		"no such scope":                     {func(o *Options) { o.Scopes = []string{"openid", "email"} }, nil, 0},
		"the provider has no such endpoint": {nil, func(k *optest.Knobs) { k.ThinIDToken, k.Metadata = true, object{"userinfo_endpoint": nil} }, 0},
	} {
		w := newWorld(t)
		if c.change != nil {
			w = newWorld(t, c.change)
		}
		if c.knobs != nil {
			w.knob(c.knobs)
		}
		if w.in(); len(w.op.Asked("userinfo")) != c.asked {
			t.Errorf("%s: asked %d times", name, len(w.op.Asked("userinfo")))
		}
	}
}

func TestUserInfoThatFails(t *testing.T) {
	w := newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.ThinIDToken = true
		k.Broken = map[string]http.HandlerFunc{"userinfo": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			rw.WriteHeader(http.StatusUnauthorized)
		}}
	})
	l, err := w.login(Request{})
	w.refused(l, err, ErrUnavailable, "refuses the access token")
	w.op.Reset()
	w.knob(func(k *optest.Knobs) { k.ThinIDToken, k.UserInfo = true, object{"name": 1} })
	w.out("name is of the wrong type")
	for _, kind := range []string{"text/html", "application/jwt", "application/json/x", "text/plain; charset=utf-8", ";"} {
		w.knob(func(k *optest.Knobs) { k.UserInfo, k.UserInfoType = nil, kind })
		l, err = w.login(Request{})
		w.refused(l, err, ErrUnavailable, "application/json")
	}
	w.knob(func(k *optest.Knobs) { k.UserInfoType = "Application/JSON; charset=utf-8" })
	w.in()
}

func many(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = "g"
	}
	return list
}

// What only a claim of a strange type would say is not said.
func TestOddClaimsOfTheLogin(t *testing.T) {
	w := newWorld(t)
	for _, sid := range []any{1, []any{"s"}, "a\nb", strings.Repeat("s", 256)} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"sid": sid} })
		w.out("sid")
	}
	for _, acr := range []any{1, []any{"mfa"}, object{}, "a\nb"} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"acr": acr} })
		w.out("acr is no text")
	}
	for _, amr := range []any{1, object{}, []any{1}, nil, null, []any{"a\n"}} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"amr": amr} })
		if l := w.in(); l.AMR != nil {
			t.Error(amr, l.AMR)
		}
	}
	for _, at := range []any{0, -1} {
		w.knob(func(k *optest.Knobs) { k.IDToken = object{"auth_time": at} })
		if l := w.in(); !l.AuthTime.IsZero() {
			t.Error(l.AuthTime)
		}
	}
}

func TestNumbersOfClaims(t *testing.T) {
	w := newWorld(t)
	l, err := w.with(object{"level": 3, "big": json.Number("12345678901234567890"), "part": 0.5})
	if err != nil || l.Claims["level"] != json.Number("3") || l.Claims["big"] != json.Number("12345678901234567890") || l.Claims["part"] != 0.5 {
		t.Errorf("%+v %v", l, err)
	}
	_, err = w.with(object{"level": json.Number("1e999")})
	if !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}
