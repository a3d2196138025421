package portal

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

func TestSigningInAtAProvider(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	w := b.start("acme", "return_to", "/reports?year=2026&q=ü", "login_hint", "alice@example.com")
	u := to(t, w, "acme")
	q := u.Query()
	for name, want := range map[string]string{
		"redirect_uri": site + "/_gatehouse/oidc/acme/callback", "login_hint": "alice@example.com", "response_type": "code",
		"code_challenge_method": "S256", "prompt": "", "max_age": "", "acr_values": "",
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	name := host.Begun(pendingID(q.Get("state")))
	c := findCookie(t, w, name)
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 3600 || len(c.Value) > 1536 {
		t.Errorf("the cookie of the login: %+v, %d bytes", c, len(c.Value))
	}
	for _, secret := range []string{q.Get("state"), q.Get("nonce"), "reports", "acme"} {
		if strings.Contains(c.Value, secret) {
			t.Errorf("the cookie shows %q", secret)
		}
	}

	w = b.come(b.there(w, "acme"))
	wantRedirect(t, w, "/reports?year=2026&q=%C3%BC")
	if b.signedIn() != "alice" {
		t.Fatalf("signed in as %q: %s", b.signedIn(), h.log)
	}
	if c := findCookie(t, w, "__Host-gatehouse"); !c.Secure || !c.HttpOnly || c.MaxAge != 0 || c.Domain != "" {
		t.Errorf("the session cookie: %+v", c)
	}
	if c := findCookie(t, w, "__Host-gatehouse-choice"); c.Value != "acme" || c.MaxAge < 300*24*3600 {
		t.Errorf("the choice: %+v", c)
	}
	id, err := h.sessions.Identify(t.Context(), b.token())
	if err != nil || id.Provider != "acme" || id.Issuer != "https://acme.example" || id.Subject != "alice-1" || id.Email != "alice@example.com" || !id.EmailVerified {
		t.Errorf("identity %+v, %v", id, err)
	}
	s, err := h.sessions.Get(t.Context(), id.SessionID)
	if err != nil || s.ProviderSID == "" || len(s.Sealed) == 0 || s.ClientIP != "203.0.113.9" || !strings.Contains(s.UserAgent, "Firefox") {
		t.Errorf("session %+v, %v", s, err)
	}
	if alice, err := h.users.Get(t.Context(), "alice"); err != nil || alice.LastLogin.IsZero() {
		t.Errorf("last login not noted: %+v %v", alice, err)
	}
	if !slices.Equal(h.logins, []string{"oidc success"}) {
		t.Errorf("counted %v", h.logins)
	}
	if h.audited(`"action":"login","outcome":"success","actor":"alice"`) != 1 || h.audited(`"session_id":"`+id.SessionID+`","provider":"acme"}`) != 1 {
		t.Errorf("the audit trail: %s", h.log)
	}
	for _, secret := range []string{b.token(), q.Get("state"), "code=", "eyJ"} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	wantWords(t, b.get("/_gatehouse/account"), "Signs in with Acme", "with Acme")
}

// Until a login comes back there is nothing of it here.
func TestBegunLoginsCostNothing(t *testing.T) {
	h := newSSO(t, "acme")
	h.store.breakWhen(func(string, string) bool { t.Error("the store was asked"); return true })
	for range 1000 {
		to(t, h.browser().start("acme", "return_to", "/x"), "acme")
	}
}

func TestTheOnlyProviderIsUsedDirectly(t *testing.T) {
	h := newSSO(t, "acme")
	to(t, h.browser().get("/_gatehouse/login?return_to=/x"), "acme")
	t.Run("and leads back", func(t *testing.T) {
		b := h.browser()
		wantRedirect(t, b.come(b.there(b.get("/_gatehouse/login?return_to=/x"), "acme")), "/x")
	})
	stays := func(name string, w *httptest.ResponseRecorder) {
		t.Run(name, func(t *testing.T) {
			wantStatus(t, w, http.StatusOK)
			if w.Header().Get("Location") != "" || w.Header().Get("Refresh") != "" {
				t.Error("it leads on")
			}
		})
	}
	stays("not after a logout", h.browser().get("/_gatehouse/login?done=logout"))
	stays("not after an error", h.browser().get("/_gatehouse/login?choose=1"))
	signedIn := h.browser()
	signedIn.signInAt("acme")
	stays("not of who is signed in", signedIn.get("/_gatehouse/login?return_to=/x"))
	stays("not to prove it again", signedIn.get("/_gatehouse/login?step=reauth"))
	stays("not for a second factor", signedIn.get("/_gatehouse/login?step=mfa"))
	if got := to(t, signedIn.get("/_gatehouse/login?step=switch"), "acme").Query().Get("prompt"); got != "login" {
		t.Errorf("another account: prompt is %q", got)
	}
	stays("not for HEAD", h.browser().do(httptest.NewRequest(http.MethodHead, site+"/_gatehouse/login", nil)))
	framed := h.browser()
	framed.header.Set("Sec-Fetch-Site", "cross-site")
	framed.header.Set("Sec-Fetch-Dest", "iframe")
	stays("not in a frame", framed.get("/_gatehouse/login"))
	h.places["acme"].down.Store(true)
	w := h.browser().get("/_gatehouse/login")
	stays("not while it is down", w)
	wantWords(t, w, "Acme does not answer right now", "Try again")
	checkHTML(t, w.Body.String())
	h.places["acme"].down.Store(false)
	r := httptest.NewRequest(http.MethodGet, site+"/_gatehouse/login?return_to=/x", nil)
	r.Header.Set("Accept", "application/json")
	stays("not for programs", h.browser().do(r))
	if newBoth(t, "acme").browser().get("/_gatehouse/login").Code != http.StatusOK {
		t.Error("it leads on although there are passwords")
	}
}

func TestChooser(t *testing.T) {
	h := newSSO(t, "acme", "globex", "initech")
	b := h.browser()
	order := func(w *httptest.ResponseRecorder) (names []string) {
		t.Helper()
		wantStatus(t, w, http.StatusOK)
		for _, part := range strings.Split(w.Body.String(), "Sign in with ")[1:] {
			name, _, _ := strings.Cut(part, "<")
			names = append(names, name)
		}
		return names
	}
	w := b.get("/_gatehouse/login?return_to=/x%3Fa%3Db&login_hint=al%40x.org")
	if got := order(w); !slices.Equal(got, []string{"Acme", "Globex", "Initech"}) {
		t.Errorf("in the order %v", got)
	}
	if !strings.Contains(w.Body.String(), `href="/_gatehouse/oidc/globex/login?login_hint=al%40x.org&amp;return_to=%2Fx%3Fa%3Db"`) {
		t.Errorf("hint and way back are lost: %s", w.Body)
	}
	t.Run("the last one used comes first", func(t *testing.T) {
		b.signInAt("globex")
		b.post("/_gatehouse/logout")
		if got := order(b.get("/_gatehouse/login")); !slices.Equal(got, []string{"Globex", "Acme", "Initech"}) {
			t.Errorf("in the order %v", got)
		}
		b.cookies[host.Choice()] = `"><script>`
		checkHTML(t, b.get("/_gatehouse/login").Body.String())
	})
	t.Run("one that is down says so, and the others work", func(t *testing.T) {
		h.places["globex"].down.Store(true)
		defer h.places["globex"].down.Store(false)
		w := h.browser().get("/_gatehouse/login")
		wantWords(t, w, "Globex does not answer right now")
		checkHTML(t, w.Body.String())
		if strings.Contains(w.Body.String(), "/oidc/globex/") || !strings.Contains(w.Body.String(), `type="button" disabled aria-describedby="down-globex"`) {
			t.Error("its button is not disabled")
		}
		wantRedirect(t, h.browser().signInAt("initech"), "/")
	})
	t.Run("beside the password form", func(t *testing.T) {
		w := newBoth(t, "acme").browser().get("/_gatehouse/login")
		if !strings.Contains(w.Body.String(), `type="password"`) || !strings.Contains(w.Body.String(), "/oidc/acme/login") {
			t.Error("one of the two is missing")
		}
	})
	t.Run("as JSON", func(t *testing.T) {
		h.places["initech"].down.Store(true)
		defer h.places["initech"].down.Store(false)
		r := httptest.NewRequest(http.MethodGet, site+"/_gatehouse/login?return_to=/x", nil)
		r.Header.Set("Accept", "application/json")
		var got loginReply
		if err := json.Unmarshal(h.browser().do(r).Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := []wayReply{
			{"acme", "Sign in with Acme", "/_gatehouse/oidc/acme/login?return_to=%2Fx", true},
			{"globex", "Sign in with Globex", "/_gatehouse/oidc/globex/login?return_to=%2Fx", true},
			{"initech", "Sign in with Initech", "/_gatehouse/oidc/initech/login?return_to=%2Fx", false},
		}
		if !slices.Equal(got.Providers, want) || got.Passwords || got.ReturnTo != "/x" {
			t.Errorf("%+v", got)
		}
	})
}

func TestEmailTellsTheProvider(t *testing.T) {
	domains := map[string][]string{"acme": {"acme.com", "acme.org"}, "globex": {"globex.com"}}
	h := newSSOWith(t, []string{"acme", "globex"}, func(w *Provider) { w.Entry.AllowEmailDomain = domains[w.name()] })
	b := h.browser()
	w := b.get("/_gatehouse/login?return_to=/x")
	wantWords(t, w, "Your e-mail address")
	checkHTML(t, w.Body.String())
	for address, name := range map[string]string{"al@acme.com": "acme", "AL@ACME.ORG": "acme", "b@globex.com": "globex", " b@globex.com ": "globex"} {
		w := b.post("/_gatehouse/login", "email", address, "return_to", "/x")
		wantStatus(t, w, http.StatusOK)
		checkHTML(t, w.Body.String())
		next := strings.TrimPrefix(w.Header().Get("Refresh"), "0; url=")
		if !strings.HasPrefix(next, "/_gatehouse/oidc/"+name+"/login?") {
			t.Errorf("%q leads to %q", address, next)
			continue
		}
		q := to(t, b.get(next), name).Query()
		if q.Get("login_hint") != strings.TrimSpace(address) {
			t.Errorf("%q: login_hint is %q", address, q.Get("login_hint"))
		}
	}
	for address, text := range map[string]string{
		"al@evil.acme.com": "No provider here is for such an address", "al@acme.com.evil": "No provider here is for such an address", "al@x.org": "No provider here is for such an address",
		"al": "no e-mail address", "": "no e-mail address", "@acme.com": "no e-mail address", "al@": "no e-mail address", "a b@acme.com": "no e-mail address",
		"al@acme.com\nx": "no e-mail address", `"><script>@acme.com.x`: "No provider here",
	} {
		w := b.post("/_gatehouse/login", "email", address, "return_to", "/x")
		wantStatus(t, w, http.StatusUnprocessableEntity)
		wantWords(t, w, text)
		checkHTML(t, w.Body.String())
	}
	w = b.json("/_gatehouse/login", `{"email":"al@acme.com","return_to":"/x"}`)
	if want := `{"url":"/_gatehouse/oidc/acme/login?login_hint=al%40acme.com\u0026return_to=%2Fx"}` + "\n"; w.Body.String() != want {
		t.Errorf("as JSON: %s", w.Body)
	}
	wantStatus(t, b.json("/_gatehouse/login", `{"email":"al@x"}`), http.StatusUnprocessableEntity)
	if w := b.get("/_gatehouse/login?step=switch"); !strings.Contains(w.Body.String(), `name="step" value="switch"`) {
		t.Error("with another account the address forgets that")
	}
	if next := b.post("/_gatehouse/login", "email", "al@acme.com", "step", "switch").Header().Get("Refresh"); !strings.Contains(next, "step=switch") {
		t.Errorf("another account: %q", next)
	}
	first := b.get("/_gatehouse/login?login_hint=b%40globex.com").Body.String()
	if strings.Index(first, "Globex") > strings.Index(first, "Acme") {
		t.Error("the provider of a hint does not come first")
	}
	if strings.Contains(newSSO(t, "acme", "globex").browser().get("/_gatehouse/login").Body.String(), `type="email"`) {
		t.Error("an address is asked for although it tells nothing")
	}
	t.Run("who lets everybody in is for the others", func(t *testing.T) {
		h := newSSOWith(t, []string{"any", "acme"}, func(w *Provider) { w.Entry.AllowEmailDomain = domains[w.name()] })
		for address, name := range map[string]string{"al@acme.com": "acme", "al@x.org": "any"} {
			if next := h.browser().post("/_gatehouse/login", "email", address).Header().Get("Refresh"); !strings.Contains(next, "/oidc/"+name+"/") {
				t.Errorf("%s leads to %q", address, next)
			}
		}
	})
}

// After a form the browser holds form-action against all redirects; so there are
// none.
func TestStartByForm(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	w := b.post("/_gatehouse/oidc/acme/login", "return_to", "/x")
	wantStatus(t, w, http.StatusOK)
	wantWords(t, w, "Going on to Acme")
	if w.Header().Get("Content-Security-Policy") != policy {
		t.Error("another policy")
	}
	wantRedirect(t, b.come(b.there(w, "acme")), "/x")
	w = b.json("/_gatehouse/oidc/acme/login", `{"return_to":"/y"}`)
	var reply begunReply
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || !strings.HasPrefix(reply.URL, "https://acme.example/authorize?") {
		t.Errorf("as JSON: %s", w.Body)
	}
}

func TestReauthAtTheProvider(t *testing.T) {
	h := newSSO(t, "acme", "globex")
	b := h.browser()
	b.signInAt("acme")
	h.later(30 * time.Minute)
	w := b.get("/_gatehouse/login?step=reauth&return_to=/pay")
	wantWords(t, w, "Confirm that it is you", "You are alice", "Sign in with Acme")
	if strings.Contains(w.Body.String(), "Globex") || strings.Contains(w.Body.String(), `type="password"`) {
		t.Error("another way is offered")
	}
	checkHTML(t, w.Body.String())
	before := b.token()
	again := func() *httptest.ResponseRecorder {
		w := b.start("acme", "step", "reauth", "return_to", "/pay")
		q := to(t, w, "acme").Query()
		if q.Get("prompt") != "login" || q.Get("max_age") != "0" {
			t.Errorf("asked with %v", q)
		}
		return b.come(b.there(w, "acme"))
	}
	t.Run("the provider does not ask", func(t *testing.T) {
		h.knob("acme", func(k *optest.Knobs) { k.IgnoreMaxAge, k.AuthAge = true, 10*time.Minute })
		w := again()
		wantStatus(t, w, http.StatusForbidden)
		wantWords(t, w, "You were not asked again", "You are signed in as before")
		if b.token() != before || b.signedIn() != "alice" {
			t.Error("the session was touched")
		}
	})
	t.Run("the provider does not say when", func(t *testing.T) {
		h.knob("acme", func(k *optest.Knobs) { *k = optest.Knobs{IDToken: map[string]any{"auth_time": nil}} })
		wantWords(t, again(), "You were not asked again")
	})
	t.Run("it is somebody else", func(t *testing.T) {
		h.places["acme"].op.Put(optest.Account{Subject: "mallory-1", Claims: map[string]any{"preferred_username": "mallory"}})
		h.knob("acme", func(k *optest.Knobs) { *k = optest.Knobs{Account: "mallory-1"} })
		w := again()
		wantStatus(t, w, http.StatusConflict)
		wantWords(t, w, "That was another account", "Use another account")
		if b.token() != before || b.signedIn() != "alice" {
			t.Error("what alice was about to do became somebody else's")
		}
	})
	t.Run("it is proved", func(t *testing.T) {
		h.knob("acme", func(k *optest.Knobs) { *k = optest.Knobs{} })
		wantRedirect(t, again(), "/pay")
		id, err := h.sessions.Identify(t.Context(), b.token())
		if err != nil || b.token() == before || id.AuthTime.Unix() != h.now.Load() {
			t.Errorf("no new proof: %+v %v", id, err)
		}
	})
	t.Run("with nobody signed in it is a login", func(t *testing.T) {
		q := to(t, h.browser().start("acme", "step", "reauth"), "acme").Query()
		if q.Get("prompt") != "" || q.Has("max_age") {
			t.Errorf("asked with %v", q)
		}
	})
	t.Run("local people prove it with their password", func(t *testing.T) {
		h := newBoth(t, "acme")
		h.person("bob")
		b := h.browser()
		b.signIn("bob", secret)
		w := b.get("/_gatehouse/login?step=reauth")
		if strings.Contains(w.Body.String(), "/oidc/") || !strings.Contains(w.Body.String(), `type="password"`) {
			t.Error("not the password form alone")
		}
		from := h.browser()
		from.signInAt("acme")
		w = from.get("/_gatehouse/login?step=reauth")
		if !strings.Contains(w.Body.String(), "/oidc/acme/") || strings.Contains(w.Body.String(), `type="password"`) {
			t.Error("not the provider alone")
		}
	})
}

// What every login asks of the provider, a step asks, too.
func TestStepsKeepWhatEveryLoginAsksFor(t *testing.T) {
	h := &house{acr: []string{"urn:high"}, maxAge: time.Hour}
	h.build(t, withProviders(t, h, []string{"acme"}, nil))
	b := h.browser()
	b.signInAt("acme")
	before := b.token()
	h.knob("acme", func(k *optest.Knobs) { k.ACR = "urn:low" })
	for _, step := range []string{"", stepReauth, stepSwitch} {
		w := b.come(b.there(b.start("acme", "step", step), "acme"))
		wantStatus(t, w, http.StatusBadRequest)
	}
	h.knob("acme", func(k *optest.Knobs) { *k = optest.Knobs{IgnoreMaxAge: true, AuthAge: 2 * time.Hour} })
	for _, step := range []string{"", stepMFA, stepSwitch} {
		w := b.come(b.there(b.start("acme", "step", step), "acme"))
		wantStatus(t, w, http.StatusBadRequest)
	}
	if b.token() != before {
		t.Error("the session was touched")
	}
}

// noStepUp is a provider that knows no fresh logins, as GitHub.
type noStepUp struct{ *place }

func (noStepUp) CanStepUp() bool { return false }

func TestSecondFactorAtTheProvider(t *testing.T) {
	h := newSSOWith(t, []string{"acme", "plain"}, func(w *Provider) {
		if w.name() == "plain" {
			w.MFAValues = nil
		}
	})
	b := h.browser()
	b.signInAt("acme")
	w := b.get("/_gatehouse/login?step=mfa&return_to=/pay")
	wantWords(t, w, "A second factor is needed", "You are alice", "Sign in with Acme")
	if strings.Contains(w.Body.String(), "Plain") {
		t.Error("a provider without a second factor is offered")
	}
	checkHTML(t, w.Body.String())
	before := b.token()
	for name, k := range map[string]optest.Knobs{
		"it was not given":    {ACR: "urn:password"},
		"nothing is said":     {IDToken: map[string]any{"acr": nil}},
		"nearly the same":     {ACR: "urn:mfa "},
		"nearly the same too": {ACR: "URN:MFA"},
	} {
		t.Run(name, func(t *testing.T) {
			h.knob("acme", func(now *optest.Knobs) { *now = k })
			w := b.start("acme", "step", "mfa", "return_to", "/pay")
			if got := to(t, w, "acme").Query().Get("acr_values"); got != "urn:mfa" {
				t.Errorf("acr_values %q", got)
			}
			w = b.come(b.there(w, "acme"))
			wantStatus(t, w, http.StatusForbidden)
			wantWords(t, w, "The second factor was not given")
			if b.token() != before {
				t.Error("the session was touched")
			}
		})
	}
	t.Run("it was given", func(t *testing.T) {
		h.knob("acme", func(k *optest.Knobs) { *k = optest.Knobs{} })
		wantRedirect(t, b.signInAt("acme", "step", "mfa", "return_to", "/pay"), "/pay")
		id, err := h.sessions.Identify(t.Context(), b.token())
		if err != nil || !slices.Equal(id.AMR, []string{"pwd", "mfa"}) {
			t.Errorf("identity %+v %v", id, err)
		}
	})
	t.Run("a class that was not asked for is none", func(t *testing.T) {
		h.knob("acme", func(k *optest.Knobs) { *k = optest.Knobs{} })
		other := h.browser()
		other.signInAt("acme")
		if id, err := h.sessions.Identify(t.Context(), other.token()); err != nil || slices.Contains(id.AMR, "mfa") {
			t.Errorf("identity %+v %v", id, err)
		}
	})
	t.Run("a provider that has none", func(t *testing.T) {
		b := h.browser()
		b.signInAt("plain")
		w := b.start("plain", "step", "mfa")
		wantStatus(t, w, http.StatusForbidden)
		wantWords(t, w, "A second factor cannot be given")
	})
	t.Run("nobody has one", func(t *testing.T) {
		h := newSSOWith(t, []string{"github"}, func(w *Provider) { w.Client = noStepUp{w.Client.(*place)} })
		b := h.browser()
		b.signInAt("github")
		for step, text := range map[string]string{"mfa": "cannot be given where you signed in", "reauth": "nobody can be asked for one"} {
			w := b.get("/_gatehouse/login?step=" + step)
			wantStatus(t, w, http.StatusOK)
			wantWords(t, w, text, "Use another account")
			checkHTML(t, w.Body.String())
			wantStatus(t, b.start("github", "step", step), http.StatusForbidden)
		}
		if got := to(t, b.start("github", "step", "switch"), "github").Query().Get("prompt"); got != "select_account" {
			t.Errorf("prompt %q", got)
		}
	})
}

// What stands for a second factor counts whoever asked for it.
func TestAMR(t *testing.T) {
	at := &Provider{MFAValues: []string{"urn:mfa", ""}}
	for _, c := range []struct {
		acr  string
		amr  []string
		want []string
	}{
		{"urn:mfa", nil, []string{"mfa"}}, {"urn:mfa", []string{"pwd"}, []string{"pwd", "mfa"}}, {"urn:mfa", []string{"mfa"}, []string{"mfa"}},
		{"", []string{"pwd"}, []string{"pwd"}}, {"urn:other", nil, nil},
	} {
		if got := amr(at, &oidc.Login{ACR: c.acr, AMR: c.amr}); !slices.Equal(got, c.want) {
			t.Errorf("%q and %v: %v, want %v", c.acr, c.amr, got, c.want)
		}
	}
}

// At the root of a portal host, too, every address is right.
func TestProvidersAtTheRoot(t *testing.T) {
	h := newSSOWith(t, []string{"acme", "globex"}, nil, func(o *Options) { o.Root = true })
	b := h.browser()
	w := b.get("/login?return_to=/account")
	if body := w.Body.String(); !strings.Contains(body, `href="/oidc/acme/login?return_to=%2Faccount"`) || strings.Contains(body, "_gatehouse") {
		t.Errorf("the page: %s", body)
	}
	w = b.start("acme", "return_to", "/account")
	if got := to(t, w, "acme").Query().Get("redirect_uri"); got != site+"/oidc/acme/callback" {
		t.Errorf("redirect_uri %q", got)
	}
	wantRedirect(t, b.come(b.there(w, "acme")), "/account")
	w = b.get("/account")
	wantStatus(t, w, http.StatusOK)
	if strings.Contains(w.Body.String(), "_gatehouse") {
		t.Error("an address on the page is of another place")
	}
	wantRedirect(t, b.get("/"), "/account")
	for _, raw := range []string{"/login", "/logout", "/oidc/acme/login", "/oidc/acme/callback?code=x", "/OIDC/acme/login", "/x/../oidc/acme/login"} {
		if got := h.portal.returnTo(raw); got != "/" {
			t.Errorf("returnTo(%q) = %q", raw, got)
		}
	}
	u, err := url.Parse(strings.TrimPrefix(b.post("/logout").Header().Get("Refresh"), "0; url="))
	if err != nil || u.Query().Get("post_logout_redirect_uri") != site+"/logout" {
		t.Errorf("the way back from a logout: %v %v", u, err)
	}
	if p, err := New(Options{Users: h.users, Sessions: h.sessions, Audit: h.portal.o.Audit, Root: true, Base: "/x"}); err == nil {
		t.Errorf("a base at the root: %v", p)
	}
}

// What an app calls login is its own.
func TestReturnToAppPages(t *testing.T) {
	h := newSSO(t, "acme")
	for raw, want := range map[string]string{
		"/login": "/login", "/oidc/acme/callback?code=x": "/oidc/acme/callback?code=x", "/_gatehouse/oidc/acme/login": "/",
		"/_gatehouse/oidc/acme/callback?state=x": "/", "/_gatehouse/account": "/_gatehouse/account",
	} {
		if got := h.portal.returnTo(raw); got != want {
			t.Errorf("returnTo(%q) = %q, want %q", raw, got, want)
		}
	}
}

// People without a password have no form to change it, and none to make keys.
func TestAccountOfSomebodyFromAProvider(t *testing.T) {
	h := newBoth(t, "acme")
	b := h.browser()
	b.signInAt("acme")
	w := b.get("/_gatehouse/account")
	checkHTML(t, w.Body.String())
	if strings.Contains(w.Body.String(), `name="current"`) {
		t.Error("a password is asked for that alice does not have")
	}
	wantWords(t, w, "Signs in with Acme", "with Acme")
	if strings.Contains(w.Body.String(), "unlink") {
		t.Error("unlinking is offered")
	}
	r := httptest.NewRequest(http.MethodGet, site+"/_gatehouse/account", nil)
	r.Header.Set("Accept", "application/json")
	var got accountReply
	if err := json.Unmarshal(b.do(r).Body.Bytes(), &got); err != nil || got.Password || len(got.Sessions) != 1 || got.Sessions[0].Provider != "acme" {
		t.Errorf("as JSON: %+v, %v", got, err)
	}
	h.person("bob")
	bob := h.browser()
	bob.signIn("bob", secret)
	if _, err := h.users.LinkFederated(t.Context(), "bob", user.FederatedID{Provider: "gone", Issuer: "https://gone.example", Subject: "b"}); err != nil {
		t.Fatal(err)
	}
	wantWords(t, bob.get("/_gatehouse/account"), "Signs in with a password gone", "with a password")
	if strings.Contains(newHouse(t).browser().get("/_gatehouse/login").Body.String(), "Signs in with") {
		t.Error("said where there is only one way")
	}
}
