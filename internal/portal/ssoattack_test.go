package portal

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// ssoURL is the address by which a site sends people to the portal.
func ssoURL(site, challenge, state string) string {
	return auth + "/sso?" + url.Values{"site": {site}, "challenge": {challenge}, "state": {state}}.Encode()
}

var some43 = strings.Repeat("A", 43)

// TestCodeOfAnotherSite: what came to somebody is worth nothing to anybody else.
func TestCodeOfAnotherSite(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(two, "alice")
	callback, err := url.Parse(s.stop(one))
	if err != nil {
		t.Fatal(err)
	}
	delete(s.at[two].cookies, sessionCookie)
	s.at[two].drop("arrival")
	mine, err := url.Parse(s.stop(two))
	if err != nil {
		t.Fatal(err)
	}
	q := mine.Query()
	q.Set("code", callback.Query().Get("code"))
	w := s.ask(http.MethodGet, two+sitePath+"?"+q.Encode())
	wantOnceMore(t, w) // once more, not in
	if got := s.who(two); got != "" {
		t.Errorf("a code for %s opened %s to %q", one, two, got)
	}
}

func TestCodeOfAnotherBrowser(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	victim, thief := r.surfer(), r.surfer()
	victim.in(two, "alice")
	stolen, _ := url.Parse(victim.stop(one))
	state := thief.begin(one, "").Query().Get("state")
	w := thief.ask(http.MethodGet, one+sitePath+"?"+url.Values{"code": stolen.Query()["code"], "state": {state}}.Encode())
	wantOnceMore(t, w)
	if got := thief.who(one); got != "" {
		t.Errorf("the thief is %q", got)
	}
}

func TestSiteStateOfAnotherBrowser(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	victim, thief := r.surfer(), r.surfer()
	victim.in(two, "alice")
	callback := victim.stop(one)
	w := thief.ask(http.MethodGet, callback)
	wantStatus(t, w, http.StatusBadRequest)
	wantWords(t, w, "without the cookie")
	if got := thief.who(one); got != "" {
		t.Errorf("the thief is %q", got)
	}
}

// TestCodeStolenFromALog: the thief begins the login, so that the verifier is
// theirs, has somebody signed in go on with it, and reads the code where it is
// written down. By then the browser that brought it has used it up.
func TestCodeStolenFromALog(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	victim, thief := r.surfer(), r.surfer()
	victim.in(two, "alice")
	begun := thief.begin(one, "")
	w := victim.open(begun.String())
	wantStatus(t, w, http.StatusBadRequest)
	thief.ask(http.MethodGet, victim.url)
	if got := thief.who(one); got != "" {
		t.Errorf("the thief is %q", got)
	}
	if got := victim.who(one); got != "" {
		t.Errorf("the victim was signed in by another: %q", got)
	}
}

func TestReplayedCode(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(two, "alice")
	w := s.ask(http.MethodGet, one+"/_gatehouse/login")
	kept := map[string]string{}
	for name, value := range s.at[one].cookies {
		kept[name] = value
	}
	w = s.ask(http.MethodGet, w.Header().Get("Location"))
	callback := w.Header().Get("Location")
	s.open(callback)
	s.wantAt(one + "/")
	again := r.surfer()
	again.at[one].cookies = kept
	w = again.ask(http.MethodGet, callback)
	wantOnceMore(t, w)
	if got := again.who(one); got != "" {
		t.Errorf("a code counted twice, for %q", got)
	}
}

func TestStaleCode(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(two, "alice")
	callback := s.stop(one)
	r.later(2 * time.Minute)
	w := s.ask(http.MethodGet, callback)
	if got := s.who(one); got != "" {
		t.Errorf("a code of two minutes ago counts, for %q", got)
	}
	s.hops = nil
	s.follow(w, callback)
	s.wantAt(one + "/reports")
	if n := len(s.hops); n != 3 {
		t.Errorf("over %d: %q", n, s.hops)
	}
}

// TestLoginIsForcedOnABrowser: a victim's browser is sent to a site's callback with
// the attacker's code and state.
func TestLoginIsForcedOnABrowser(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	r.person("mallory")
	attacker, victim := r.surfer(), r.surfer()
	attacker.in(two, "mallory")
	victim.in(one, "alice")
	callback, _ := url.Parse(attacker.stop(one))
	wantStatus(t, victim.ask(http.MethodGet, callback.String()), http.StatusBadRequest)
	if got := victim.who(one); got != "alice" {
		t.Errorf("the victim is %q now", got)
	}
	t.Run("with a state of the victim's own", func(t *testing.T) {
		victim.ask(http.MethodGet, one+"/_gatehouse/login?step=reauth&return_to=%2Fx")
		state := victim.begin(one, stepReauth).Query().Get("state")
		code, _ := url.Parse(attacker.stop(one))
		victim.ask(http.MethodGet, one+sitePath+"?"+url.Values{"code": code.Query()["code"], "state": {state}}.Encode())
		if got := victim.who(one); got != "alice" {
			t.Errorf("the victim is %q now", got)
		}
	})
}

func TestSitesThatGetNobody(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")
	for name, site := range map[string]string{
		"not announced": "https://evil.example", "below a site": "https://x.one.example", "beside": "https://evilone.example",
		"http": "http://one.example", "user info": "https://one.example@evil.example", "password": "https://a:b@one.example",
		"backslash": `https://evil.example\one.example`, "backslash at the end": `https://one.example\.evil.example`,
		"path": "https://one.example/", "query": "https://one.example?x", "fragment": "https://one.example#", "no scheme": "one.example",
		"relative": "//one.example", "script": "javascript:alert(1)//one.example", "data": "data://one.example",
		"ideographic full stop": "https://one。example", "full-width letters": "https://ｏne.example", "escaped": "https://one%2eexample",
		"dot at the end": "https://one.example.", "empty label": "https://one..example", "port of letters": "https://one.example:x", "bare colon": "https://one.example:",
		"line feed": "https://one.example\n.evil.example", "space": "https://one.example .evil.example", "tab": "https://one\t.example", "NUL": "https://one.example\x00.evil.example",
		"empty": "", "two hosts": "https://one.example,evil.example", "the portal": auth, "long": "https://" + strings.Repeat("a", 400) + ".example",
	} {
		w := s.ask(http.MethodGet, ssoURL(site, some43, some43))
		if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
			t.Errorf("%s: status %d, to %q", name, w.Code, w.Header().Get("Location"))
		}
		if strings.Contains(w.Body.String(), "evil") {
			t.Errorf("%s: the page shows what was sent", name)
		}
	}
	for name, site := range map[string]string{"mixed case": "hTTps://oNe.Example", "its own port": "https://one.example:443"} {
		w := s.ask(http.MethodGet, ssoURL(site, some43, some43))
		if !strings.HasPrefix(w.Header().Get("Location"), one+sitePath+"?code=") {
			t.Errorf("%s: status %d, to %q", name, w.Code, w.Header().Get("Location"))
		}
	}
	t.Run("twice", func(t *testing.T) {
		w := s.ask(http.MethodGet, ssoURL(one, some43, some43)+"&site=https%3A%2F%2Fevil.example")
		if to := w.Header().Get("Location"); to != "" && !strings.HasPrefix(to, one+"/") {
			t.Errorf("to %q", to)
		}
	})
}

// TestCodeForAnotherPort: the code is for the port that it was asked for.
func TestCodeForAnotherPort(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(two, "alice")
	state := s.begin(one, "").Query()
	w := s.ask(http.MethodGet, ssoURL(one+":8443", state.Get("challenge"), state.Get("state")))
	u, _ := url.Parse(w.Header().Get("Location"))
	if u.Host != "one.example:8443" {
		t.Fatalf("to %s", u)
	}
	wantOnceMore(t, s.ask(http.MethodGet, one+u.RequestURI()))
	if got := s.who(one); got != "" {
		t.Errorf("a code for another port opened the site to %q", got)
	}
}

func TestAddressesThatAreNotWhole(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")
	for _, bad := range [][2]string{{"", some43}, {some43, ""}, {"A", some43}, {some43, "A"}, {some43 + "A", some43}, {some43, "x\r\nSet-Cookie: a=b" + some43[16:]}, {some43[:42] + "B", some43}} {
		w := s.ask(http.MethodGet, ssoURL(one, bad[0], bad[1]))
		if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
			t.Errorf("%q: status %d", bad, w.Code)
		}
	}
}

// TestTextOfAStrangerOnTheLoginPage: whoever makes up a way back does not write on
// the page.
func TestTextOfAStrangerOnTheLoginPage(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	for _, site := range []string{"Your password is out of date. Call 0800 123", "https://bank.example", "https://evil.example/one.example"} {
		back := strings.TrimPrefix(ssoURL(site, some43, some43), auth)
		w := s.open(auth + "/login?" + url.Values{"return_to": {back}}.Encode())
		wantStatus(t, w, http.StatusOK)
		for _, text := range []string{"0800", "bank.example", "evil.example"} {
			if strings.Contains(words(w), text) {
				t.Errorf("the page says %q", text)
			}
		}
		w = s.fillIn("alice")
		wantStatus(t, w, http.StatusBadRequest)
		s.at[auth].post("/logout")
	}
}

func TestWaysBackThatLeaveTheSite(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(two, "alice")
	for _, back := range []string{
		"https://evil.example", "//evil.example", `/\evil.example`, "/%2f/evil.example", "/.//evil.example", "/\t/evil.example", "evil",
		"/_gatehouse/sso/callback?code=x&state=y", "/_gatehouse/SSO/Callback", "/x/../_gatehouse/sso/callback", "/_gatehouse/login?return_to=/", "/_gatehouse/logout",
	} {
		s.enter(one, back, "")
		s.wantAt(one + "/")
		s.at[one].cookies = map[string]string{}
	}
	// At the portal a way back may lead to /sso, once: it leads nowhere that a link could not.
	s.at[auth].cookies = map[string]string{}
	s.open(auth + "/login?return_to=" + url.QueryEscape("/sso?site=https://evil.example&challenge="+some43+"&state="+some43))
	wantStatus(t, s.fillIn("alice"), http.StatusBadRequest)
}

func TestLoginsUnderWayAtASiteAreBounded(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	for i := range 100 {
		s.ask(http.MethodGet, fmt.Sprintf("%s/_gatehouse/login?return_to=%%2F%d%s", one, i, strings.Repeat("x", 1500)))
		r.later(time.Second)
	}
	size := 0
	for name, value := range s.at[one].cookies {
		size += len(name) + len(value)
	}
	if n := len(s.at[one].logins()); n > maxPending || size > 9000 {
		t.Errorf("%d logins, %d bytes of cookies", n, size)
	}
	s.in(one, "alice")
}

func TestCookiesThatAnotherSiteSealed(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(two, "alice")
	callback, _ := url.Parse(s.stop(one))
	for name, value := range s.at[one].cookies {
		s.at[two].cookies[name] = value
	}
	delete(s.at[two].cookies, sessionCookie)
	wantStatus(t, s.ask(http.MethodGet, two+callback.RequestURI()), http.StatusBadRequest)
	if got := s.who(two); got != "" {
		t.Errorf("%q", got)
	}
}

func TestBrowserThatKeepsNoCookiesOfASite(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(two, "alice")
	callback := s.stop(one)
	s.at[one].cookies = map[string]string{}
	w := s.open(callback)
	wantStatus(t, w, http.StatusBadRequest)
	wantWords(t, w, "without the cookie __Host-gatehouse-login-", "Cookies may be blocked")

	t.Run("or not the session's", func(t *testing.T) {
		s.open(s.stop(one))
		delete(s.at[one].cookies, sessionCookie)
		w := s.enter(one, "/", "")
		wantStatus(t, w, http.StatusBadRequest)
		wantWords(t, w, "did not keep our cookie")
	})
}

// TestSessionsThatEndAtOnce: whatever ends them, the browser does not circle.
func TestSessionsThatEndAtOnce(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")
	for range 6 {
		if err := r.sessions.Revoke(t.Context(), session.ID(s.at[one].token())); err != nil {
			t.Fatal(err)
		}
		w := s.enter(one, "/", "")
		if w.Code == http.StatusBadRequest {
			wantWords(t, w, "Signing in does not help")
			return
		}
		s.wantAt(one + "/")
	}
	t.Error("it goes on and on")
}

func TestPagesThatAreNotOpened(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")
	// site two has no session yet
	for name, header := range map[string][2]string{
		"prefetch": {"Sec-Purpose", "prefetch;prerender"}, "frame": {"Sec-Fetch-Dest", "iframe"}, "image": {"Sec-Fetch-Mode", "no-cors"}, "fetch": {"Sec-Fetch-Mode", "cors"},
	} {
		for _, address := range []string{ssoURL(one, some43, some43), two + "/_gatehouse/login"} {
			origin, page := splitURL(t, address)
			q := httptest.NewRequest(http.MethodGet, origin+page, nil)
			q.Header.Set("Sec-Fetch-Site", "cross-site")
			q.Header.Set("Sec-Fetch-Dest", "document")
			q.Header.Set(header[0], header[1])
			w := s.at[origin].do(q)
			if w.Code < 400 || w.Header().Get("Location") != "" {
				t.Errorf("%s of %s: status %d, to %q", name, address, w.Code, w.Header().Get("Location"))
			}
			if w.Header().Get("X-Frame-Options") != "DENY" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
				t.Errorf("%s of %s may be framed", name, address)
			}
		}
	}
	if n := len(s.at[two].logins()); n != 0 {
		t.Errorf("%d logins were begun in secret", n)
	}
}

func TestOtherMethodsOfSSO(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(two, "alice")
	callback := s.stop(one)
	for _, address := range []string{ssoURL(one, some43, some43), callback, one + "/_gatehouse/login"} {
		for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodPut, http.MethodOptions} {
			w := s.ask(method, address)
			if w.Code != http.StatusMethodNotAllowed || len(w.Result().Cookies()) > 0 || w.Header().Get("Location") != "" {
				t.Errorf("%s %s: status %d", method, address, w.Code)
			}
		}
	}
	s.open(callback)
	s.wantAt(one + "/reports") // nothing was used up
}

func TestSiteIsNotSignedOutByAnother(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")
	q := s.at[one].form("/_gatehouse/logout")
	q.Header.Set("Sec-Fetch-Site", "cross-site")
	q.Header.Set("Origin", "https://evil.example")
	wantStatus(t, s.at[one].do(q), http.StatusForbidden)
	wantStatus(t, s.at[one].get("/_gatehouse/logout"), http.StatusOK)
	if got := s.who(one); got != "alice" {
		t.Errorf("%q", got)
	}
}

// TestSSOLeavesNoSecret: neither log nor store holds what would open something.
func TestSSOLeavesNoSecret(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")
	callback, _ := url.Parse(s.stop(two))
	var secrets []string
	for _, b := range s.at {
		for name, value := range b.cookies {
			if len(value) > 8 && !strings.HasSuffix(name, "-arrival") {
				secrets = append(secrets, value)
			}
		}
	}
	secrets = append(secrets, callback.Query().Get("code"), callback.Query().Get("state"))
	var all []store.Entry
	for _, kind := range []string{"session/", "session-of/", "sso_code/", "sso_site/", "provider_sid/", "provider_out/", "once/", "lease/", "user/", "device/"} {
		found, err := r.store.Store.Scan(t.Context(), kind, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	if len(all) < 6 {
		t.Fatalf("only %d records", len(all))
	}
	for _, secret := range secrets {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log holds %.8s…", secret)
		}
		for _, e := range all {
			if strings.Contains(e.Key, secret) || strings.Contains(string(e.Value), secret) {
				t.Errorf("the record %.20s holds %.8s…", e.Key, secret)
			}
		}
	}
}

// TestSignOutOfASiteWhoseSessionIsOver: nobody is told that they are signed out of
// where they are not.
func TestSignOutOfASiteWhoseSessionIsOver(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")
	s.in(two, "alice")
	if err := r.houses[one].sessions.Revoke(t.Context(), session.ID(s.at[one].token())); err != nil {
		t.Fatal(err)
	}
	w := s.at[one].post("/_gatehouse/logout")
	if text := words(w); strings.Contains(text, "all sites") || !strings.Contains(text, "At the portal you may still be") {
		t.Errorf("it says %q", text)
	}
	wantWords(t, s.follow(w, one), "alice")
	if s.url != auth+"/logout" || s.who(two) != "alice" {
		t.Errorf("at %s, and %q at the other site", s.url, s.who(two))
	}
	wantWords(t, s.open(one+"/_gatehouse/logout"), "alice")
	s.follow(s.at[auth].post("/logout"), auth)
	if got := s.who(two); got != "" {
		t.Errorf("still %q", got)
	}
}
