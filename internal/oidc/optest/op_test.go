package optest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

const callback = "https://app.example.com/cb"

func ask(o http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	o.ServeHTTP(w, r)
	return w
}

func authorize(o *OP, change func(url.Values)) *httptest.ResponseRecorder {
	q := url.Values{
		"client_id": {"client"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
		"code_challenge_method": {"S256"}, "code_challenge": {s256("verifier")},
	}
	change(q)
	return ask(o, httptest.NewRequest(http.MethodGet, "/authorize?"+q.Encode(), nil))
}

func token(o *OP, form url.Values, secret string) map[string]any {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("client", secret)
	var answer map[string]any
	if err := json.Unmarshal(ask(o, r).Body.Bytes(), &answer); err != nil {
		return map[string]any{"error": err.Error()}
	}
	return answer
}

// A client that does its part badly must fail here, or the tests that use the
// provider prove nothing.
func TestProviderIsStrict(t *testing.T) {
	o := New("https://op.example.com")
	o.Client.RedirectURLs = []string{callback}
	for name, change := range map[string]func(url.Values){
		"an unknown client":    func(q url.Values) { q.Set("client_id", "x") },
		"an unknown callback":  func(q url.Values) { q.Set("redirect_uri", callback+"/") },
		"a callback that none": func(q url.Values) { q.Del("redirect_uri") },
	} {
		if w := authorize(o, change); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	for name, change := range map[string]func(url.Values){
		"no PKCE": func(q url.Values) { q.Del("code_challenge") }, "plain PKCE": func(q url.Values) { q.Set("code_challenge_method", "plain") },
		"no openid": func(q url.Values) { q.Set("scope", "email") }, "another flow": func(q url.Values) { q.Set("response_type", "id_token") },
	} {
		back, err := authorize(o, change).Result().Location()
		if err != nil || back.Query().Get("error") == "" || back.Query().Has("code") || back.Query().Get("state") != "s" {
			t.Errorf("%s: %v", name, back)
		}
	}
	code := func() string {
		back, err := authorize(o, func(url.Values) {}).Result().Location()
		if err != nil {
			t.Fatal(err)
		}
		return back.Query().Get("code")
	}
	good := func() url.Values {
		return url.Values{"grant_type": {"authorization_code"}, "code": {code()}, "redirect_uri": {callback}, "code_verifier": {"verifier"}}
	}
	for name, c := range map[string]struct {
		name, value, secret, want string
	}{
		"another callback": {"redirect_uri", callback + "/", "secret", "invalid_grant"}, "another verifier": {"code_verifier", "x", "secret", "invalid_grant"},
		"a made-up code": {"code", "x", "secret", "invalid_grant"}, "another grant": {"grant_type", "password", "secret", "unsupported_grant_type"},
		"another secret": {"x", "x", "wrong", "invalid_client"}, "two credentials": {"client_secret", "secret", "secret", "invalid_client"},
	} {
		form := good()
		form.Set(c.name, c.value)
		if got := token(o, form, c.secret); got["error"] != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	form := good()
	first := token(o, form, "secret")
	if first["id_token"] == nil {
		t.Fatal(first)
	}
	if again := token(o, form, "secret"); again["error"] != "invalid_grant" {
		t.Error("a code counts twice")
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first["refresh_token"].(string)}}
	if got := token(o, refresh, "secret"); got["error"] != "invalid_grant" {
		t.Error("the tokens of a code that came twice live on")
	}
	next := token(o, good(), "secret")
	refresh.Set("refresh_token", next["refresh_token"].(string))
	rotated := token(o, refresh, "secret")
	if got := token(o, refresh, "secret"); rotated["refresh_token"] == nil || got["error"] != "invalid_grant" {
		t.Error("a refresh token counts twice")
	}
	refresh.Set("refresh_token", rotated["refresh_token"].(string))
	if got := token(o, refresh, "secret"); got["error"] != "invalid_grant" {
		t.Error("the family of a refresh token that came twice lives on")
	}
}

func TestPrompts(t *testing.T) {
	o := New("https://op.example.com")
	o.Put(Account{Subject: "bob-1", Claims: map[string]any{"email": "bob@example.com"}})
	o.Set(func(k *Knobs) { k.SignedOut = true })
	back, err := authorize(o, func(q url.Values) { q.Set("prompt", "none") }).Result().Location()
	if err != nil || back.Query().Get("error") != "login_required" || back.Query().Get("iss") != o.Issuer {
		t.Error(back, err)
	}
	if authorize(o, func(q url.Values) { q.Set("login_hint", "bob@example.com") }); len(o.Sessions("bob-1")) != 1 || len(o.Sessions("alice-1")) != 0 {
		t.Error("the hint does not count")
	}
	o.Set(func(k *Knobs) { k.Account = "alice-1" })
	if authorize(o, func(q url.Values) { q.Set("login_hint", "bob@example.com") }); len(o.Sessions("alice-1")) != 1 {
		t.Error("the knob does not count")
	}
}

func TestPageAfterALogout(t *testing.T) {
	o := New("https://op.example.com")
	o.Client.FrontChannelURL, o.Client.PostLogoutURLs = "https://app.example.com/fc", []string{"https://app.example.com/bye"}
	back, err := authorize(o, func(url.Values) {}).Result().Location()
	if err != nil {
		t.Fatal(err)
	}
	got := token(o, url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {callback}, "code_verifier": {"verifier"}}, "secret")
	end := func(to string) *httptest.ResponseRecorder {
		q := url.Values{"id_token_hint": {got["id_token"].(string)}, "post_logout_redirect_uri": {to}}
		return ask(o, httptest.NewRequest(http.MethodGet, "/end_session?"+q.Encode(), nil))
	}
	page := end("https://app.example.com/bye").Body.String()
	sid, _ := Claims(got["id_token"].(string))["sid"].(string)
	if !strings.Contains(page, "https://app.example.com/fc?iss=https%3A%2F%2Fop.example.com&amp;sid="+sid) || !strings.Contains(page, `href="https://app.example.com/bye"`) || len(o.Sessions("alice-1")) != 0 {
		t.Error(page)
	}
	if page := end("https://evil.example.com/").Body.String(); strings.Contains(page, "evil") {
		t.Error("it sends people anywhere")
	}
	o.Client.FrontChannelURL = ""
	if w := end("https://app.example.com/bye"); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "https://app.example.com/bye" {
		t.Error(w.Code, w.Header())
	}
}
