package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/federation"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

func TestLogoutAtTheProvider(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	b.signInAt("acme")
	dead := b.token()
	wantWords(t, b.get("/_gatehouse/logout"), "ends your session in this browser, and at Acme")
	w := b.post("/_gatehouse/logout")
	wantStatus(t, w, http.StatusOK) // and no redirect: see leave
	wantWords(t, w, "Signing out at Acme", "You are signed out here")
	if _, err := h.sessions.Identify(t.Context(), dead); err == nil || b.token() != "" {
		t.Error("the session lives on")
	}
	u := to(t, w, "acme")
	q := u.Query()
	if u.Path != "/end_session" || q.Get("post_logout_redirect_uri") != site+"/_gatehouse/logout" || q.Get("id_token_hint") == "" || q.Get("state") == "" {
		t.Errorf("it leads to %s", u)
	}
	back := b.there(w, "acme")
	if len(h.places["acme"].op.Sessions("alice-1")) != 0 {
		t.Error("the session at the provider lives on")
	}
	w = b.come(back)
	wantStatus(t, w, http.StatusOK)
	wantWords(t, w, "You are signed out", "and the one at Acme")
	checkHTML(t, w.Body.String())
	if strings.Contains(h.log.String(), q.Get("id_token_hint")) || h.audited(`"action":"logout","outcome":"success","actor":"alice"`) != 1 {
		t.Errorf("the log: %s", h.log)
	}
	t.Run("a link that anybody made says less", func(t *testing.T) {
		state := q.Get("state")
		for _, s := range []string{"", "x", state + "A", strings.Repeat("A", 4000), state[:10]} {
			w := h.browser().get("/_gatehouse/logout?state=" + url.QueryEscape(s))
			if strings.Contains(words(w), "Acme") {
				t.Errorf("%q is believed", s)
			}
		}
		h.later(farewellLife + time.Second)
		if strings.Contains(words(h.browser().get("/_gatehouse/logout?state="+url.QueryEscape(state))), "Acme") {
			t.Error("an old one is believed")
		}
	})
	t.Run("as JSON", func(t *testing.T) {
		b := h.browser()
		b.signInAt("acme")
		var reply logoutReply
		if err := json.Unmarshal(b.json("/_gatehouse/logout", `{}`).Body.Bytes(), &reply); err != nil || !strings.HasPrefix(reply.LogoutURL, "https://acme.example/end_session?") || b.token() != "" {
			t.Errorf("%+v %v", reply, err)
		}
	})
	t.Run("where it is not wanted", func(t *testing.T) {
		h := newSSOWith(t, []string{"acme"}, func(w *Provider) { w.LogoutThere = false })
		b := h.browser()
		b.signInAt("acme")
		wantRedirect(t, b.post("/_gatehouse/logout"), "/_gatehouse/login?done=logout")
		wantWords(t, b.get("/_gatehouse/login?done=logout"), "You are signed out.")
	})
	t.Run("of a provider that is not configured any more", func(t *testing.T) {
		h := newSSO(t, "acme", "globex")
		b := h.browser()
		b.signInAt("acme")
		h.portal.o.Providers = h.portal.o.Providers[1:]
		wantRedirect(t, b.post("/_gatehouse/logout"), "/_gatehouse/login?done=logout")
	})
	t.Run("the provider cannot", func(t *testing.T) {
		h := newSSOWith(t, []string{"acme"}, func(w *Provider) { w.Client = noEnd{w.Client} })
		b := h.browser()
		b.signInAt("acme")
		wantRedirect(t, b.post("/_gatehouse/logout"), "/_gatehouse/login?done=logout")
	})
	t.Run("a fault of the store signs nobody out", func(t *testing.T) {
		b := h.browser()
		b.signInAt("acme")
		h.store.breakWhen(func(op, key string) bool { return op == "take" })
		wantStatus(t, b.post("/_gatehouse/logout"), http.StatusServiceUnavailable)
		h.store.breakWhen(nil)
		if b.signedIn() != "alice" || len(h.places["acme"].op.Sessions("alice-1")) == 0 {
			t.Error("half signed out")
		}
	})
}

// noEnd is a provider without an end_session_endpoint.
type noEnd struct{ Client }

func (noEnd) EndSessionURL(string, string, string) (string, bool) { return "", false }

func TestTokensAreTakenBack(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	b.signInAt("acme")
	b.post("/_gatehouse/logout")
	h.portal.Close() // waits
	asked := h.places["acme"].op.Asked("revoke")
	var kinds []string
	for _, a := range asked {
		kinds = append(kinds, a.Form.Get("token_type_hint"))
	}
	if !slices.Equal(kinds, []string{"refresh_token", "access_token"}) {
		t.Errorf("revoked %v", kinds)
	}
	// Nothing is begun after the end, and signing out works without.
	b.signInAt("acme")
	b.post("/_gatehouse/logout")
	h.portal.Close()
	if len(h.places["acme"].op.Asked("revoke")) != 2 || b.token() != "" {
		t.Error("an errand after the end")
	}
	if !strings.Contains(h.log.String(), "are not revoked") {
		t.Error("nobody is told")
	}
}

func TestErrandsAreBounded(t *testing.T) {
	var e errands
	hold := make(chan struct{})
	begun := 0
	for range 2 * maxErrands {
		if e.run(func(ctx context.Context) {
			if _, limited := ctx.Deadline(); !limited {
				t.Error("an errand may take for ever")
			}
			<-hold
		}) {
			begun++
		}
	}
	close(hold)
	e.close()
	if begun != maxErrands {
		t.Errorf("%d at once", begun)
	}
	if e.run(func(context.Context) { t.Error("run") }) {
		t.Error("one was begun after the end")
	}
}

// tell posts a logout token, as a provider's server does.
func (h *house) tell(fields ...string) *httptest.ResponseRecorder {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, site+"/_gatehouse/oidc/acme/backchannel-logout", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.portal.ServeHTTP(w, r, caller)
	return w
}

// refusedToken checks an answer as OpenID Connect Back-Channel Logout section 2.8
// has it.
func refusedToken(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var doc logoutError
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != http.StatusBadRequest || doc.Error != "invalid_request" || doc.Description == "" {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", w.Header())
	}
}

func TestBackChannelLogout(t *testing.T) {
	h := newSSO(t, "acme")
	op := h.places["acme"].op
	one, two := h.browser(), h.browser()
	one.signInAt("acme")
	two.signInAt("acme")
	sid := func(b *browser) string {
		s, err := h.sessions.Get(t.Context(), session.ID(b.token()))
		if err != nil {
			t.Fatal(err)
		}
		return s.ProviderSID
	}
	token := op.LogoutToken("", sid(one))
	w := h.tell("logout_token", token, "something", "else")
	wantStatus(t, w, http.StatusOK)
	if w.Header().Get("Cache-Control") != "no-store" || w.Body.Len() != 0 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("headers %v", w.Header())
	}
	if one.signedIn() != "" || two.signedIn() != "alice" {
		t.Errorf("left: %q and %q", one.signedIn(), two.signedIn())
	}
	if h.audited(`"action":"logout","outcome":"success","actor":"gatehouse"`) != 1 || h.audited(`"provider":"acme","sessions":1`) != 1 {
		t.Errorf("the audit trail: %s", h.log)
	}
	t.Run("replayed", func(t *testing.T) { refusedToken(t, h.tell("logout_token", token)) })
	t.Run("of a person", func(t *testing.T) {
		wantStatus(t, h.tell("logout_token", op.LogoutToken("alice-1", "")), http.StatusOK)
		if two.signedIn() != "" {
			t.Error("a session lives on")
		}
	})
	t.Run("without a session it is well, too", func(t *testing.T) {
		wantStatus(t, h.tell("logout_token", op.LogoutToken("nobody", "")), http.StatusOK)
		wantStatus(t, h.tell("logout_token", op.LogoutToken("", "none")), http.StatusOK)
	})
	t.Run("on another instance", func(t *testing.T) {
		one.signInAt("acme")
		h.portal = h.elsewhere()
		wantStatus(t, h.tell("logout_token", op.LogoutToken("", sid(one))), http.StatusOK)
		if one.signedIn() != "" {
			t.Error("the session lives on")
		}
	})
}

func TestForgedLogoutTokens(t *testing.T) {
	h := newSSO(t, "acme", "globex")
	op := h.places["acme"].op
	b := h.browser()
	b.signInAt("acme")
	good := op.LogoutToken("alice-1", "")
	cases := map[string][]string{
		"no token": {}, "an empty one": {"logout_token", ""}, "two": {"logout_token", good, "logout_token", good}, "no JWT": {"logout_token", "x"},
		"a spoilt signature":    {"logout_token", good[:len(good)-8] + "AAAAAAAA"},
		"of another provider":   {"logout_token", h.places["globex"].op.LogoutToken("alice-1", "")},
		"without a signature":   {"logout_token", good[:strings.LastIndex(good, ".")+1]},
		"far too long":          {"logout_token", strings.Repeat("x", 200<<10)},
		"in the wrong field":    {"token", good},
		"with a name in markup": {"<script>", good},
	}
	for name, knobs := range map[string]optest.Knobs{
		"with a nonce":        {LogoutToken: map[string]any{"nonce": "n"}},
		"of another audience": {LogoutToken: map[string]any{"aud": "other"}},
		"without events":      {LogoutToken: map[string]any{"events": nil}},
		"without jti":         {LogoutToken: map[string]any{"jti": nil}},
		"alg none":            {LogoutTokenAlg: "none"},
		"with our secret":     {LogoutTokenAlg: "HS256"},
		"too old":             {LogoutToken: map[string]any{"iat": 1, "exp": 2}},
	} {
		op.Set(func(k *optest.Knobs) { *k = knobs })
		cases[name] = []string{"logout_token", op.LogoutToken("alice-1", "")}
	}
	op.Reset()
	for name, fields := range cases {
		t.Run(name, func(t *testing.T) { refusedToken(t, h.tell(fields...)) })
	}
	for name, spoil := range map[string]func(*http.Request){
		"as JSON":          func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
		"without a type":   func(r *http.Request) { r.Header.Del("Content-Type") },
		"compressed":       func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") },
		"as a broken form": func(r *http.Request) { r.Body = http.NoBody },
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, site+"/_gatehouse/oidc/acme/backchannel-logout", strings.NewReader("logout_token="+good))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			spoil(r)
			w := httptest.NewRecorder()
			h.portal.ServeHTTP(w, r, caller)
			refusedToken(t, w)
		})
	}
	t.Run("in the query", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, site+"/_gatehouse/oidc/acme/backchannel-logout?logout_token="+good, http.NoBody)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.portal.ServeHTTP(w, r, caller)
		refusedToken(t, w)
	})
	if b.signedIn() != "alice" {
		t.Fatal("a forged token signed somebody out")
	}
	if log := h.log.String(); strings.Contains(log, "eyJ") || strings.Contains(log, "<script") {
		t.Error("a token is in the log")
	}
	wantStatus(t, h.tell("logout_token", good), http.StatusOK)
}

// deafFederation cannot end sessions for a while.
type deafFederation struct {
	Federation
	err error
}

func (d deafFederation) Logout(context.Context, federation.Entry, *oidc.Logout) (int, error) {
	return 0, d.err
}

// keyless is a provider whose keys are not to be had.
type keyless struct{ Client }

func (keyless) LogoutToken(context.Context, string) (*oidc.Logout, error) {
	return nil, oidc.ErrUnavailable
}

// What is broken on our side is said, so that the provider tries again.
func TestBackChannelLogoutFaults(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"the store": func(o *Options) { o.Federation = deafFederation{o.Federation, errors.New("secret-host")} },
		"the keys":  func(o *Options) { o.Providers[0].Client = keyless{o.Providers[0].Client} },
	} {
		t.Run(name, func(t *testing.T) {
			h := newSSOWith(t, []string{"acme"}, nil, change)
			w := h.tell("logout_token", h.places["acme"].op.LogoutToken("alice-1", ""))
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "secret-host") {
				t.Errorf("status %d, %v: %s", w.Code, w.Header(), w.Body)
			}
		})
	}
	h := newSSO(t, "acme")
	b := h.browser()
	b.signInAt("acme")
	token := h.places["acme"].op.LogoutToken("alice-1", "")
	h.store.breakWhen(func(op, key string) bool { return op == "take" })
	wantStatus(t, h.tell("logout_token", token), http.StatusServiceUnavailable)
	h.store.breakWhen(nil)
	wantStatus(t, h.tell("logout_token", token), http.StatusOK)
	if b.signedIn() != "" {
		t.Error("the second try ended nothing")
	}
}

func TestFrontChannelLogout(t *testing.T) {
	h := newSSO(t, "acme", "globex")
	one, two := h.browser(), h.browser()
	one.signInAt("acme")
	two.signInAt("acme")
	s, err := h.sessions.Get(t.Context(), session.ID(one.token()))
	if err != nil {
		t.Fatal(err)
	}
	// In the provider's frame, without our cookies.
	frame := func(query url.Values) *httptest.ResponseRecorder {
		b := h.browser()
		b.header.Set("Sec-Fetch-Site", "cross-site")
		b.header.Set("Sec-Fetch-Dest", "iframe")
		return b.get("/_gatehouse/oidc/acme/frontchannel-logout?" + query.Encode())
	}
	for name, q := range map[string]url.Values{
		"nothing": {}, "no sid": {"iss": {"https://acme.example"}}, "no iss": {"sid": {s.ProviderSID}},
		"another issuer": {"iss": {"https://globex.example"}, "sid": {s.ProviderSID}}, "sid twice": {"iss": {"https://acme.example"}, "sid": {s.ProviderSID, "x"}},
		"an empty sid": {"iss": {"https://acme.example"}, "sid": {""}}, "a monstrous sid": {"iss": {"https://acme.example"}, "sid": {strings.Repeat("x", 9999)}},
		"markup": {"iss": {"https://acme.example"}, "sid": {"\x00<script>"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := frame(q)
			if w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "<script") {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
		})
	}
	t.Run("a made-up sid", func(t *testing.T) {
		wantStatus(t, frame(url.Values{"iss": {"https://acme.example"}, "sid": {"made-up"}}), http.StatusOK)
	})
	if one.signedIn() != "alice" || two.signedIn() != "alice" {
		t.Fatal("a foreign page signed somebody out")
	}
	w := frame(url.Values{"iss": {"https://acme.example"}, "sid": {s.ProviderSID}})
	wantStatus(t, w, http.StatusOK)
	if one.signedIn() != "" || two.signedIn() != "alice" {
		t.Errorf("left: %q and %q", one.signedIn(), two.signedIn())
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.HasSuffix(csp, "frame-ancestors https://acme.example") || w.Header().Get("X-Frame-Options") != "" {
		t.Errorf("frames: %q, %q", csp, w.Header().Get("X-Frame-Options"))
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("headers %v", w.Header())
	}
	if strings.Contains(two.get("/_gatehouse/login").Header().Get("Content-Security-Policy"), "acme") {
		t.Error("other pages can be framed, too")
	}
	t.Run("where the cookie comes along, it is cleared", func(t *testing.T) {
		s, err := h.sessions.Get(t.Context(), session.ID(two.token()))
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, two.get("/_gatehouse/oidc/acme/frontchannel-logout?"+url.Values{"iss": {"https://acme.example"}, "sid": {s.ProviderSID}}.Encode()), http.StatusOK)
		if two.token() != "" {
			t.Error("the dead cookie is still there")
		}
	})
	t.Run("a fault of the store", func(t *testing.T) {
		h.store.breakWhen(func(string, string) bool { return true })
		w := frame(url.Values{"iss": {"https://acme.example"}, "sid": {"x"}})
		if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret-host") {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
	t.Run("without an issuer no page may frame it", func(t *testing.T) {
		h := newSSOWith(t, []string{"acme"}, func(w *Provider) { w.Issuer = "" })
		w := h.browser().get("/_gatehouse/oidc/acme/frontchannel-logout?iss=https://acme.example&sid=x")
		if w.Header().Get("Content-Security-Policy") != policy || w.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("headers %v", w.Header())
		}
	})
}

func TestOrigin(t *testing.T) {
	for address, want := range map[string]string{
		"https://op.example/realms/x": "https://op.example", "https://op.example:8443": "https://op.example:8443", "http://localhost:9000/": "http://localhost:9000",
		"": "", "op.example": "", "javascript:alert(1)": "", "https://": "", "https://a b/": "", "//op.example": "",
	} {
		if got := origin(address); got != want {
			t.Errorf("origin(%q) = %q, want %q", address, got, want)
		}
	}
}

// TestMadeUpSIDsWriteNothing: anybody can ask for the page of front-channel logout.
func TestMadeUpSIDsWriteNothing(t *testing.T) {
	h := newSSO(t, "acme")
	var writes atomic.Int64
	h.store.breakWhen(func(op, _ string) bool {
		if op != "get" && op != "scan" {
			writes.Add(1)
		}
		return false
	})
	for i := range 20 {
		q := url.Values{"iss": {"https://acme.example"}, "sid": {fmt.Sprint("made-up-", i)}}
		wantStatus(t, h.browser().get("/_gatehouse/oidc/acme/frontchannel-logout?"+q.Encode()), http.StatusOK)
	}
	if n := writes.Load(); n != 0 {
		t.Errorf("the store was written to %d times", n)
	}
}
