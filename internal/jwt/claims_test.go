package jwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

// raw is a good token with one member set to a piece of JSON.
func (w *world) raw(name, value string) string {
	doc := w.claims().without(name).json()
	return sign("ES256", p256Pair(), ecHeader.json(), doc[:len(doc)-1]+`,"`+name+`":`+value+"}")
}

func TestTimes(t *testing.T) {
	w := newWorld(t)
	now := w.clock.Now().Unix()
	for _, c := range []struct{ name, value, reason string }{ // reason "": it gets in
		{"exp", fmt.Sprint(now + 1), ""},
		{"exp", fmt.Sprint(now - 29), ""}, // within the leeway
		{"exp", fmt.Sprint(now - 30), "expired"},
		{"exp", fmt.Sprint(now-30) + ".5", ""},
		{"exp", fmt.Sprint(now-31) + ".5", "expired"},
		{"exp", fmt.Sprintf("%de-1", (now+5)*10), ""},
		{"exp", "0", "expired"},
		{"exp", "-1", "expired"},
		{"exp", "-0", "expired"},
		{"exp", "-1e300", "expired"},
		{"exp", "1e-300", "expired"},
		{"exp", "-9223372036854775808", "expired"},
		{"exp", "9223372036854775807", ""},
		{"exp", "99999999999999999999999999", ""},
		{"exp", "1e300", ""}, // a number, and for ever
		{"exp", "1e400", "out of range"},
		{"exp", "-1e400", "out of range"},
		{"exp", strings.Repeat("9", 400), "out of range"},
		{"exp", `"NaN"`, "no exp"},
		{"exp", `"Infinity"`, "no exp"},
		{"exp", "NaN", "JSON"},
		{"exp", "Infinity", "JSON"},
		{"exp", `"` + fmt.Sprint(now+300) + `"`, "no exp"},
		{"exp", "null", "no exp"},
		{"exp", "true", "no exp"},
		{"exp", fmt.Sprintf("[%d]", now+300), "no exp"},
		{"exp", "{}", "no exp"},
		{"nbf", fmt.Sprint(now), ""},
		{"nbf", fmt.Sprint(now + 30), ""},
		{"nbf", fmt.Sprint(now + 31), "not count yet"},
		{"nbf", "1e300", "not count yet"},
		{"nbf", "-1e300", ""},
		{"nbf", `"0"`, "nbf or iat"},
		{"nbf", "null", "nbf or iat"},
		{"nbf", "false", "nbf or iat"},
		{"iat", fmt.Sprint(now + 30), ""},
		{"iat", fmt.Sprint(now + 31), "future"},
		{"iat", "1e300", "future"},
		{"iat", "0", ""},
		{"iat", `"0"`, "nbf or iat"},
		{"iat", "null", "nbf or iat"},
	} {
		t.Run(c.name+" "+fmt.Sprintf("%.30s", c.value), func(t *testing.T) {
			if c.reason == "" {
				w.in(w.raw(c.name, c.value))
			} else {
				w.out(w.raw(c.name, c.value), c.reason)
			}
		})
	}
	w.out(w.token(w.claims().without("exp")), "no exp")
	t.Run("the leeway is as configured", func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Issuers[0].Leeway = time.Second })
		w.out(w.token(w.claims().with("exp", w.clock.Now().Unix()-1)), "expired")
		w.in(w.token(w.claims().with("exp", w.clock.Now().Unix())))
	})
	t.Run("a token that starts to count", func(t *testing.T) {
		w := newWorld(t)
		token := w.token(w.claims().with("nbf", w.clock.Now().Unix()+60))
		w.out(token, "not count yet")
		w.clock.pass(30 * time.Second)
		w.in(token)
	})
	for _, v := range []any{math.NaN(), math.Inf(1), math.Inf(-1), json.Number("x"), json.Number("1e999"), "1", nil, 7} {
		if got, ok := numericDate(v); ok {
			t.Errorf("%v is %v", v, got)
		}
	}
}

func TestAudienceConfusion(t *testing.T) {
	w := newWorld(t)
	for _, good := range []string{`"second"`, `["second"]`, `["x","` + testAudience + `"]`, `["` + testAudience + `","` + testAudience + `"]`} {
		w.in(w.raw("aud", good))
	}
	for _, bad := range []string{
		`"https://other.example.com"`, `""`, `[]`, `[""]`, `null`, `true`, `7`, `{}`, `{"` + testAudience + `":true}`,
		`"` + testAudience + `/"`, `"` + strings.ToUpper(testAudience) + `"`, `" second"`, `"second "`, `"second,other"`, `"other second"`,
		`["other second"]`, `[["second"]]`, `["second",7]`, `[null,"second"]`, `["second",{}]`, `"sec"`, `"secondary"`, `"*"`, `["*"]`, `"second\u0000"`,
	} {
		w.out(w.raw("aud", bad), "audience")
	}
	w.out(w.token(w.claims().without("aud")), "audience")
}

func TestSubject(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{`""`, `null`, `7`, `true`, `["u-1"]`, `{}`, `"a\nb"`, `"a\u0000"`, `"\u007f"`, `"\u0085"`} {
		w.out(w.raw("sub", bad), "sub")
	}
	w.out(w.token(w.claims().without("sub")), "sub")
	if id := w.in(w.raw("sub", `"Ünïcode|x y"`)); id.Subject != "Ünïcode|x y" {
		t.Error(id.Subject)
	}
}

// TestTokensOfOtherKinds: tokens that the same issuer signs by the same key, for
// another purpose.
func TestTokensOfOtherKinds(t *testing.T) {
	strict := newWorld(t)
	lax := newWorld(t, func(o *Options) { o.Issuers[0].Types = []string{"JWT"} })
	both := newWorld(t, func(o *Options) { o.Issuers[0].Types = []string{"at+jwt", "jwt"} })
	make1 := func(w *world, typ any, claims object) string {
		h := ecHeader.with("typ", typ)
		if typ == nil {
			h = h.without("typ")
		}
		return sign("ES256", p256Pair(), h.json(), claims.json())
	}
	t.Run("by typ", func(t *testing.T) {
		for _, typ := range []any{"at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"} {
			strict.in(make1(strict, typ, strict.claims()))
			both.in(make1(both, typ, both.claims()))
			lax.out(make1(lax, typ, lax.claims()), "typ")
		}
		for _, typ := range []any{nil, "JWT", "jwt", "application/jwt"} {
			strict.out(make1(strict, typ, strict.claims()), "typ")
			lax.in(make1(lax, typ, lax.claims()))
			both.in(make1(both, typ, both.claims()))
		}
		for _, typ := range []any{"logout+jwt", "secevent+jwt", "dpop+jwt", "id_token+jwt", "JOSE", "JWS", "application/", "at+jwt ", "at", "text/at+jwt", "", 7, true, []string{"at+jwt"}, object{}} {
			for _, w := range []*world{strict, lax, both} {
				w.out(make1(w, typ, w.claims()), "typ")
			}
		}
		strict.out(sign("ES256", p256Pair(), ecHeader.with("typ", nil).json(), strict.claims().json()), "typ")
	})
	t.Run("by what they say, when typ says nothing", func(t *testing.T) {
		for name, more := range map[string]object{
			"ID token of a login":               {"nonce": "n"},
			"ID token with an access token":     {"at_hash": "h"},
			"ID token with a code":              {"c_hash": "h"},
			"ID token with a state":             {"s_hash": "h"},
			"logout token":                      {"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}}},
			"ID token of Keycloak":              {"typ": "ID"},
			"refresh token of Keycloak":         {"typ": "Refresh"},
			"offline token of Keycloak":         {"typ": "Offline"},
			"logout token of Keycloak":          {"typ": "Logout"},
			"typ in another case":               {"typ": "bearer"},
			"typ is no text":                    {"typ": []string{"Bearer"}},
			"typ is null":                       {"typ": nil},
			"ID token of Cognito":               {"token_use": "id"},
			"refresh token of Hydra":            {"token_use": "refresh_token"},
			"token_use is no text":              {"token_use": true},
			"a null nonce":                      {"nonce": nil},
			"ID token that says it is a Bearer": {"typ": "Bearer", "nonce": "n"},
		} {
			t.Run(name, func(t *testing.T) {
				for _, typ := range []any{nil, "JWT"} {
					claims := lax.claims()
					for k, v := range more {
						claims = claims.with(k, v)
					}
					lax.out(make1(lax, typ, claims), "ID, refresh or logout")
					both.out(make1(both, typ, claims), "ID, refresh or logout")
				}
			})
		}
		lax.in(make1(lax, "JWT", lax.claims().with("typ", "Bearer").with("azp", "c")))
		lax.in(make1(lax, "JWT", lax.claims().with("token_use", "access")))
	})
	t.Run("an access token that says what it is may say more", func(t *testing.T) {
		strict.in(make1(strict, "at+jwt", strict.claims().with("nonce", "n")))
	})
}

// TestSenderConstrainedTokens: bound to a key by mTLS or DPoP (RFC 8705, RFC
// 9449), a stolen one must be worth nothing to the thief.
func TestSenderConstrainedTokens(t *testing.T) {
	for _, types := range [][]string{nil, {"JWT", "at+jwt"}} {
		w := newWorld(t, func(o *Options) { o.Issuers[0].Types = types })
		for _, cnf := range []string{`{"jkt":"x"}`, `{"x5t#S256":"x"}`, `{"jwk":{}}`, `{}`, `null`, `"x"`, `false`} {
			w.out(w.raw("cnf", cnf), "bound to a key")
		}
	}
}

func TestClaimsToFields(t *testing.T) {
	paths := map[string]string{
		"username": "preferred_username", "email": "mail.primary", "email_verified": "mail.ok", "name": "https://example.com/name",
		"roles": "realm_access.roles", "groups": "https://example.com/groups", "scopes": "scp",
	}
	w := newWorld(t, func(o *Options) {
		o.Issuers[0].Claims = paths
		o.Normalize = func(s string) (string, error) {
			if s == "root" {
				return "", errors.New("root is not allowed")
			}
			return strings.ToLower(s), nil
		}
	})
	id := w.in(w.token(w.claims().with("preferred_username", "Alice").with("mail", object{"primary": "a@example.com", "ok": true}).
		with("https://example.com/name", "Al").with("realm_access", object{"roles": []string{"r1", "r2"}}).
		with("https://example.com/groups", []string{"g"}).with("scp", " a  b ")))
	if id.Username != "alice" || id.Email != "a@example.com" || !id.EmailVerified || id.Name != "Al" ||
		!slices.Equal(id.Roles, []string{"r1", "r2"}) || !slices.Equal(id.Groups, []string{"g"}) || !slices.Equal(id.Scopes, []string{"a", "b"}) {
		t.Errorf("%+v", id)
	}
	t.Run("what the paths do not name is not taken", func(t *testing.T) {
		if id := w.in(w.token(w.claims())); id.Username != "" || id.Email != "" || id.Name != "" || id.Roles != nil || id.Groups != nil || id.Scopes != nil || id.EmailVerified {
			t.Errorf("%+v", id)
		}
	})
	t.Run("the whole path as a name comes first", func(t *testing.T) {
		id := w.in(w.token(w.claims().with("realm_access.roles", []string{"literal"}).with("realm_access", object{"roles": []string{"nested"}})))
		if !slices.Equal(id.Roles, []string{"literal"}) {
			t.Error(id.Roles)
		}
	})
	t.Run("a path that leads nowhere is absent", func(t *testing.T) {
		for _, v := range []any{nil, "x", 7, []string{"roles"}, object{}, object{"Roles": []string{"x"}}, []object{{"roles": []string{"x"}}}} {
			if id := w.in(w.token(w.claims().with("realm_access", v))); id.Roles != nil {
				t.Error(v, id.Roles)
			}
		}
	})
	t.Run("a username that is not allowed", func(t *testing.T) {
		r := w.out(w.token(w.claims().with("preferred_username", "root")), "username")
		if r.Who != "corp:u-1" || strings.Contains(r.Reason, "root") {
			t.Error(r)
		}
	})
	for field, bad := range map[string][]string{
		"preferred_username":         {`null`, `7`, `true`, `["a"]`, `{}`, `"a\nb"`},
		"https://example.com/name":   {`null`, `7`, `["a"]`, `"\u0000"`},
		"mail":                       {`{"primary":7}`, `{"primary":null}`, `{"primary":["a"]}`, `{"ok":"true"}`, `{"ok":"false"}`, `{"ok":1}`, `{"ok":null}`, `{"ok":["x"]}`},
		"realm_access":               {`{"roles":7}`, `{"roles":null}`, `{"roles":{}}`, `{"roles":true}`, `{"roles":["a",7]}`, `{"roles":[["a"]]}`, `{"roles":[null]}`, `{"roles":["a\nb"]}`, `{"roles":"a\u0000"}`},
		"https://example.com/groups": {`7`, `{"a":true}`, `[{"name":"g"}]`, `["g",false]`, `null`},
		"scp":                        {`7`, `null`, `[7]`, `{}`, `"a\tb"`},
	} {
		for _, v := range bad {
			t.Run(field+" "+v, func(t *testing.T) { w.out(w.raw(field, v), "wrong type") })
		}
	}
	for _, v := range []string{`""`, `"   "`, `[]`, `[""]`, `["",""]`} {
		if id := w.in(w.raw("scp", v)); id.Scopes != nil {
			t.Errorf("%s: %q", v, id.Scopes)
		}
	}
	if id := w.in(w.raw("preferred_username", `""`)); id.Username != "" {
		t.Error("an empty username")
	}
}

// TestEmailVerifiedIsABoolean: "false" is a text, and was taken for true before.
func TestEmailVerifiedIsABoolean(t *testing.T) {
	w := newWorld(t)
	for _, v := range []string{`"false"`, `"true"`, `""`, `0`, `1`, `null`, `[]`, `{}`} {
		w.out(w.raw("email_verified", v), "email_verified")
	}
	if id := w.in(w.raw("email_verified", "false")); id.EmailVerified {
		t.Error("false is true")
	}
	if id := w.in(w.token(w.claims().without("email_verified"))); id.EmailVerified {
		t.Error("absent is true")
	}
}

// TestScpIsNotGuessed: only scope has a meaning by itself.
func TestScpIsNotGuessed(t *testing.T) {
	w := newWorld(t)
	id := w.in(w.token(w.claims().without("scope").with("scp", "admin").with("permissions", []string{"x"}).with("preferred_username", "root").with("upn", "root")))
	if id.Scopes != nil || id.Username != "" {
		t.Errorf("%+v", id)
	}
}

func TestAMRAndAuthTime(t *testing.T) {
	w := newWorld(t)
	for _, v := range []string{`"mfa"`, `null`, `7`, `["mfa",7]`, `[""]`, `[]`, `["a\nb"]`, `{"mfa":true}`} {
		if id := w.in(w.raw("amr", v)); id.AMR != nil {
			t.Errorf("%s: %q", v, id.AMR)
		}
	}
	for _, v := range []string{`"1"`, `null`, `0`, `-5`, `true`} {
		if id := w.in(w.raw("auth_time", v)); !id.AuthTime.IsZero() {
			t.Errorf("%s: %v", v, id.AuthTime)
		}
	}
}

// FuzzClaims: whatever an issuer signs, what comes out keeps its promises.
func FuzzClaims(f *testing.F) {
	w := newWorld(f, func(o *Options) {
		o.Issuers[0].Claims = map[string]string{"username": "preferred_username", "roles": "realm_access.roles"}
		o.Issuers[0].Types = []string{"JWT", "at+jwt"}
	})
	i, now := w.byName["corp"], w.clock.Now()
	f.Add(w.claims().json())
	for name, value := range map[string]string{
		"exp": "1e400", "aud": `["second",7]`, "cnf": `{}`, "realm_access": `{"roles":["a"]}`, "scope": `["a","b"]`, "email_verified": `"false"`,
		"amr": `["otp"]`, "auth_time": "1.5", "nbf": "-1e300", "preferred_username": `"a"`, "nonce": `"n"`, "jti": `"ü"`, "sid": "7",
	} {
		doc := w.claims().without(name).json()
		f.Add(doc[:len(doc)-1] + `,"` + name + `":` + value + "}")
	}
	f.Fuzz(func(t *testing.T, payload string) {
		claims, err := strictjson.Object(payload)
		if err != nil {
			return
		}
		tok := &token{input: payload, payload: payload, claims: claims}
		if i.checkType(tok) != nil {
			return
		}
		g, err := i.accept(tok, now, nil)
		if err != nil {
			return
		}
		id := g.identity
		if !id.Authenticated() || id.Method != identity.JWT || id.Provider != "corp" || id.Issuer != testIssuer || id.Subject == "" || id.Subject != claims["sub"] || id.Credential == "" || id.SessionID != "" {
			t.Fatalf("%+v", id)
		}
		if !now.Before(g.until) || now.Before(g.from) || claims["cnf"] != nil {
			t.Fatalf("%v", g.span)
		}
		if aud := fmt.Sprint(claims["aud"]); !strings.Contains(aud, testAudience) && !strings.Contains(aud, "second") {
			t.Fatal(aud)
		}
		for _, list := range [][]string{id.Roles, id.Groups, id.Scopes, id.AMR} {
			if list != nil && len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return s == "" || !plain(s) }) {
				t.Fatalf("%q", list)
			}
		}
		if id.EmailVerified && claims["email_verified"] != any(true) {
			t.Fatal("it was guessed that the address is verified")
		}
		var again map[string]any // what policies and pages do with it
		if err := json.Unmarshal(must(json.Marshal(id.Claims)), &again); err != nil || len(again) != len(claims) {
			t.Fatal(err)
		}
		if reread, err := strictjson.Object(payload); err != nil || !reflect.DeepEqual(reread, claims) {
			t.Fatal("reading it changed it")
		}
	})
}
