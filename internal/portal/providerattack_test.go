package portal

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

// Mallory begins a login, stops before the callback and has alice's browser go
// there: alice would be signed in as mallory, and write into her account.
func TestLoginCSRF(t *testing.T) {
	h := newSSO(t, "acme", "globex")
	h.places["acme"].op.Put(optest.Account{Subject: "mallory-1", Claims: map[string]any{"preferred_username": "mallory"}})
	h.knob("acme", func(k *optest.Knobs) { k.Account = "mallory-1" })
	mallory, alice := h.browser(), h.browser()
	callback := mallory.there(mallory.start("acme"), "acme")
	nobody(t, alice, alice.come(callback), http.StatusBadRequest)
	// With a login of her own under way it is no better.
	alice.start("acme")
	nobody(t, alice, alice.come(callback), http.StatusBadRequest)
	alice.start("globex")
	nobody(t, alice, alice.come(callback), http.StatusBadRequest)
	wantRedirect(t, mallory.come(callback), "/") // it was not used up by that
}

// The state of one browser with the cookie of another's, under any name.
func TestStateOfAnotherBrowser(t *testing.T) {
	h := newSSO(t, "acme")
	mallory, alice := h.browser(), h.browser()
	hers := alice.there(alice.start("acme"), "acme")
	his := mallory.there(mallory.start("acme"), "acme")
	for _, name := range mallory.logins() {
		mallory.cookies[name] = alice.cookies[alice.logins()[0]] // stolen, even so
	}
	nobody(t, mallory, mallory.come(his), http.StatusBadRequest)
	renamed := h.browser()
	renamed.cookies[alice.logins()[0]] = "" // the name alone
	nobody(t, renamed, renamed.come(hers), http.StatusBadRequest)
}

// A code of alice's (from a log, say) is put into mallory's own login.
func TestCodeInjection(t *testing.T) {
	h := newSSO(t, "acme")
	mallory, alice := h.browser(), h.browser()
	code := ""
	query(t, alice.there(alice.start("acme"), "acme"), func(q url.Values) { code = q.Get("code") })
	his := query(t, mallory.there(mallory.start("acme"), "acme"), func(q url.Values) { q.Set("code", code) })
	w := mallory.come(his)
	if w.Code < 400 {
		t.Fatalf("status %d", w.Code)
	}
	nobody(t, mallory, w, w.Code)
}

// The answer of one provider is taken for another's (RFC 9207).
func TestMixUp(t *testing.T) {
	h := newSSO(t, "acme", "globex")
	b := h.browser()
	callback := b.there(b.start("acme", "return_to", "/x"), "acme")
	nobody(t, b, b.come(strings.Replace(callback, "/acme/", "/globex/", 1)), http.StatusBadRequest, "What came back from Globex does not fit")
	if len(h.places["globex"].op.Asked("token")) != 0 {
		t.Error("the code of one provider was sent to the other")
	}
	nobody(t, b, b.come(query(t, callback, func(q url.Values) { q.Set("iss", "https://globex.example") })), http.StatusBadRequest, "does not fit")
	if len(h.places["acme"].op.Asked("token")) != 0 {
		t.Error("the code was sent")
	}
	if h.audited(`"action":"login_failed"`) != 2 {
		t.Errorf("the audit trail: %s", h.log)
	}
}

// A whole callback, recorded with its cookies, comes again.
func TestReplayedCallback(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	callback := b.there(b.start("acme", "return_to", "/x"), "acme")
	recorded := maps.Clone(b.cookies)
	b.come(callback)
	thief := h.browser()
	thief.cookies = recorded
	w := thief.come(callback)
	to(t, w, "acme") // it begins anew, and the thief has to sign in himself
	if _, given := thief.cookies[host.Session()]; given || len(h.places["acme"].op.Asked("token")) != 1 {
		t.Error("it counted")
	}
	h.later(pendingLife + 6*time.Minute) // when nobody remembers the state
	thief = h.browser()
	thief.cookies = recorded
	thief.come(callback)
	if _, given := thief.cookies[host.Session()]; given || len(h.places["acme"].op.Asked("token")) != 1 {
		t.Error("it counted later")
	}
}

// What is not a way back on this site is none at any step.
func TestOpenRedirectThroughAProvider(t *testing.T) {
	h := newSSO(t, "acme")
	for _, evil := range []string{
		"https://evil.example", "//evil.example", `/\evil.example`, `\\evil.example`, "/%2fevil.example", "/\t/evil.example", "/.//evil.example",
		"javascript:alert(1)", "/\r\nSet-Cookie: a=b", "@evil.example", "/_gatehouse/login", "/_gatehouse/oidc/acme/callback?x",
	} {
		b := h.browser()
		wantRedirect(t, b.signInAt("acme", "return_to", evil), "/")
		b = h.browser()
		wantRedirect(t, b.come(b.there(b.get("/_gatehouse/login?return_to="+url.QueryEscape(evil)), "acme")), "/")
		b = h.browser()
		wantRedirect(t, b.come(b.there(b.post("/_gatehouse/oidc/acme/login", "return_to", evil), "acme")), "/")
		// Added to the callback, where it means nothing.
		b = h.browser()
		callback := query(t, b.there(b.start("acme"), "acme"), func(q url.Values) { q.Set("return_to", evil) })
		wantRedirect(t, b.come(callback), "/")
		// And where a failure or a late answer leads.
		b = h.browser()
		callback = b.there(b.start("acme", "return_to", evil), "acme")
		b.come(callback)
		wantRedirect(t, b.come(callback), "/")
	}
	w := h.browser().post("/_gatehouse/login", "email", "x", "return_to", "//evil.example")
	if strings.Contains(w.Body.String(), "evil") {
		t.Error("the page holds the foreign address")
	}
	// A way back that was sealed before a rule changed is checked again.
	b := h.browser()
	callback := b.there(b.start("acme"), "acme")
	seal, err := h.portal.sealer(t.Context(), sealLogin)
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimPrefix(b.logins()[0], host.Begun(""))
	p, ok := seal.openPending(id, b.cookies[host.Begun(id)])
	if !ok {
		t.Fatal("the cookie cannot be opened")
	}
	p.back = "//evil.example"
	if b.cookies[host.Begun(id)], err = seal.sealPending(id, p); err != nil {
		t.Fatal(err)
	}
	wantRedirect(t, b.come(callback), "/")
}

// A session value that somebody planted is worth nothing after a login.
func TestSessionFixationThroughAProvider(t *testing.T) {
	h := newSSO(t, "acme")
	h.places["acme"].op.Put(optest.Account{Subject: "mallory-1", Claims: map[string]any{"preferred_username": "mallory"}})
	attacker, victim := h.browser(), h.browser()
	h.knob("acme", func(k *optest.Knobs) { k.Account = "mallory-1" })
	attacker.signInAt("acme")
	h.knob("acme", func(k *optest.Knobs) { k.Account = "" })
	planted := attacker.token()
	victim.cookies[host.Session()] = planted
	victim.signInAt("acme")
	if victim.token() == planted || victim.signedIn() != "alice" {
		t.Errorf("the planted value was kept, by %q", victim.signedIn())
	}
	if attacker.signedIn() != "" {
		t.Errorf("the planted session is still %q", attacker.signedIn())
	}
}

// A hundred tabs do not fill the header, and the last ones work.
func TestCookieFlood(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	long := "/" + strings.Repeat("x", 2000)
	for i := range 100 {
		back := "/x"
		if i%3 == 0 {
			back = long
		}
		h.later(time.Second)
		to(t, b.start("acme", "return_to", back), "acme")
		size := 0
		for _, name := range b.logins() {
			size += len(b.cookies[name])
		}
		if len(b.logins()) > maxPending || size > pendingRoom {
			t.Fatalf("after %d logins there are %d cookies of %d bytes", i+1, len(b.logins()), size)
		}
	}
	var callbacks []string
	for range maxPending {
		h.later(time.Second)
		callbacks = append(callbacks, b.there(b.start("acme", "return_to", "/x"), "acme"))
	}
	for _, callback := range callbacks {
		wantRedirect(t, b.come(callback), "/x")
	}
	t.Run("the oldest goes first", func(t *testing.T) {
		b := h.browser()
		first := b.there(b.start("acme"), "acme")
		h.later(time.Second)
		second := b.there(b.start("acme"), "acme")
		for range maxPending - 1 {
			h.later(time.Second)
			b.start("acme")
		}
		nobody(t, b, b.come(first), http.StatusBadRequest, "several others in other tabs")
		wantRedirect(t, b.come(second), "/")
	})
	t.Run("planted ones go", func(t *testing.T) {
		b := h.browser()
		for i := range 200 {
			b.cookies[fmt.Sprintf("%s%d", host.Begun(""), i)] = "zzzzzz.planted"
		}
		w := b.start("acme")
		to(t, w, "acme")
		if cleared := len(w.Result().Cookies()); cleared > 64+3 {
			t.Errorf("%d cookies were answered", cleared)
		}
	})
}

func TestOversizedCookie(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	callback := b.there(b.start("acme"), "acme")
	name := b.logins()[0]
	good := b.cookies[name]
	for _, value := range []string{good + strings.Repeat("A", 1<<20), strings.Repeat("A", 1<<20), good + "A", good[:len(good)-1], "." + good, good + "=", ""} {
		b := h.browser()
		b.cookies[name] = value
		nobody(t, b, b.come(callback), http.StatusBadRequest)
	}
	// A way back that is as long as one may be still fits, and ends there.
	b = h.browser()
	long := "/x?q=" + strings.Repeat("y", 2043)
	w := b.start("acme", "return_to", long)
	if c := findCookie(t, w, b.logins()[0]); len(c.Name)+len(c.Value) > 4096 {
		t.Errorf("a cookie of %d bytes, which browsers do not keep", len(c.Name)+len(c.Value))
	}
	wantRedirect(t, b.come(b.there(w, "acme")), long)
}

// What a provider or a person says is text on every page.
func TestMarkupFromProviders(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	h := newSSOWith(t, []string{"acme", "globex"}, func(w *Provider) { w.Label = "Sign in with " + evil })
	h.places["acme"].op.Put(optest.Account{Subject: "evil-1", Claims: map[string]any{
		"preferred_username": evil, "name": evil, "email": `"><script>@example.com`, "email_verified": true, "groups": []any{evil}, "roles": []any{evil},
	}})
	h.knob("acme", func(k *optest.Knobs) { k.Account = "evil-1" })
	b := h.browser()
	signIn := b.come(b.there(b.start("acme"), "acme"))
	wantStatus(t, signIn, http.StatusSeeOther)
	pages := map[string]*httptest.ResponseRecorder{
		"login page": h.browser().get("/_gatehouse/login?login_hint=" + url.QueryEscape(evil)), "account": b.get("/_gatehouse/account"),
		"logout": b.get("/_gatehouse/logout"), "signed in": b.get("/_gatehouse/login"), "again": b.get("/_gatehouse/login?step=reauth"),
	}
	h.knob("acme", func(k *optest.Knobs) { k.AuthorizeError, k.AuthorizeDescription = evil, evil })
	pages["error"] = b.come(b.there(b.start("acme"), "acme"))
	pages["state"] = b.come("/_gatehouse/oidc/acme/callback?state=" + url.QueryEscape(evil))
	pages["bare error"] = b.come("/_gatehouse/oidc/acme/callback?error=" + url.QueryEscape("odd<b>") + "&error_description=" + url.QueryEscape("odd<b>"))
	for name, w := range pages {
		body := w.Body.String()
		if strings.Contains(body, "<script") || strings.Contains(body, "<img") || w.Code == http.StatusInternalServerError {
			t.Errorf("%s: markup came through: %s", name, body)
		}
		if w.Code != http.StatusSeeOther {
			checkHTML(t, body)
		}
	}
	if strings.Contains(pages["bare error"].Body.String(), "odd") {
		t.Error("an error that belongs to no login is reflected")
	}
}

// Another site can lead somebody to a login, openly. It cannot begin them in
// secret, and so push out the ones that are under way.
func TestLoginsBegunInSecret(t *testing.T) {
	h := newSSO(t, "acme")
	for name, header := range map[string]http.Header{
		"a picture":        {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}},
		"a frame":          {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}},
		"a script":         {"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}},
		"a prefetch":       {"Sec-Fetch-Site": {"none"}, "Sec-Purpose": {"prefetch;prerender"}},
		"another's object": {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"object"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := h.browser()
			maps.Copy(b.header, header)
			for _, w := range []*httptest.ResponseRecorder{b.start("acme"), b.get("/_gatehouse/login")} {
				if w.Code != http.StatusForbidden && w.Code != http.StatusOK || len(b.logins()) != 0 || w.Header().Get("Location") != "" {
					t.Errorf("status %d, cookies %v", w.Code, b.logins())
				}
			}
		})
	}
	b := h.browser()
	maps.Copy(b.header, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}})
	to(t, b.start("acme"), "acme")
	b.header.Set("Sec-Fetch-Site", "cross-site")
	wantStatus(t, b.post("/_gatehouse/oidc/acme/login"), http.StatusForbidden)
}

// The callback is for the address that the login began on, byte for byte.
func TestCallbackOnAnotherAddress(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	b.site = "http://localhost:8080"
	callback := b.there(b.start("acme"), "acme")
	b.site = "http://localhost:8081" // cookies do not tell ports apart
	nobody(t, b, b.come(callback), http.StatusBadRequest, "This sign-in began elsewhere")
	if len(h.places["acme"].op.Asked("token")) != 0 {
		t.Error("the code was sent")
	}
}

// Each parameter counts once, and only in the query.
func TestCallbackParameters(t *testing.T) {
	h := newSSO(t, "acme")
	for name, change := range map[string]func(url.Values){
		"code twice":       func(q url.Values) { q.Add("code", "other") },
		"code and error":   func(q url.Values) { q.Set("error", "access_denied") },
		"no code":          func(q url.Values) { q.Del("code") },
		"no iss":           func(q url.Values) { q.Del("iss") },
		"iss twice":        func(q url.Values) { q.Add("iss", "https://acme.example") },
		"a monstrous code": func(q url.Values) { q.Set("code", strings.Repeat("x", 1<<17)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := h.browser()
			callback := query(t, b.there(b.start("acme"), "acme"), change)
			nobody(t, b, b.come(callback), http.StatusBadRequest)
		})
	}
	b := h.browser()
	path, raw, _ := strings.Cut(b.there(b.start("acme"), "acme"), "?")
	values, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for name := range values {
		fields = append(fields, name, values.Get(name))
	}
	wantStatus(t, b.post(path, fields...), http.StatusMethodNotAllowed)
}

// The cookies of logins stay ours.
func TestCookiesOfLoginsAreOurs(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	b.signInAt("acme")
	for name := range b.cookies {
		if !cookie.Ours(name) {
			t.Errorf("the app would see %s", name)
		}
	}
	if names := slices.Sorted(maps.Keys(b.cookies)); len(names) != 4 {
		t.Errorf("cookies %v", names)
	}
}

// TestStartedLoginsAreKeptNowhere: who begins logins without end, from browsers
// that keep nothing, costs us no memory and nothing in the store.
func TestStartedLoginsAreKeptNowhere(t *testing.T) {
	const n = 100_000
	h := newSSO(t, "acme")
	to(t, h.browser().start("acme"), "acme")
	written := 0
	defer h.store.Watch(func(string) { written++ })()
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range n {
		h.browser().start("acme", "return_to", "/x")
	}
	if grown := heap() - before; grown > n*100 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if written > 0 {
		t.Errorf("%d writes to the store", written)
	}
}
