package portal

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

func TestOneLogin(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	w := s.enter(one, "/reports?x=1", "")
	wantStatus(t, w, http.StatusOK)
	wantWords(t, w, "one.example")
	s.fillIn("alice")
	s.wantAt(one + "/reports?x=1")
	if got := s.who(one); got != "alice" {
		t.Fatalf("the site takes the browser for %q", got)
	}
	if s.at[one].cookies[sessionCookie] == s.at[auth].cookies[sessionCookie] {
		t.Error("site and portal share a cookie")
	}

	t.Run("the second site asks for nothing", func(t *testing.T) {
		s.enter(two, "/", "")
		s.wantAt(two + "/")
		if got := s.who(two); got != "alice" {
			t.Errorf("%q", got)
		}
	})
	t.Run("who is signed in goes straight back", func(t *testing.T) {
		s.enter(one, "/deep/page", "")
		s.wantAt(one + "/deep/page")
		if len(s.hops) != 1 {
			t.Errorf("over %q", s.hops)
		}
	})
	t.Run("the account is at the portal", func(t *testing.T) {
		wantRedirect(t, s.at[one].get("/_gatehouse/account?x=1"), auth+"/account?x=1")
		wantStatus(t, s.at[one].post("/_gatehouse/account/password"), http.StatusNotFound)
	})
	t.Run("signing out of one is signing out of all", func(t *testing.T) {
		w := s.at[two].post("/_gatehouse/logout")
		wantStatus(t, w, http.StatusOK)
		s.follow(w, two+"/_gatehouse/logout")
		s.wantAt(auth + "/login?done=logout")
		for _, at := range []string{one, two, auth} {
			if got := s.who(at); got != "" {
				t.Errorf("%s still takes the browser for %q", at, got)
			}
		}
	})
}

func TestStepsAtThePortal(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")

	t.Run("a fresh login is not asked for again", func(t *testing.T) {
		s.enter(one, "/pay", stepReauth)
		s.wantAt(one + "/pay")
	})
	t.Run("one is that a gate with its clock ahead calls old", func(t *testing.T) {
		r.later(4*time.Minute + time.Second)
		s.enter(one, "/pay", stepReauth)
		if !strings.HasPrefix(s.url, auth+"/login") {
			t.Errorf("sent back to %s, which may send it here again", s.url)
		}
		r.later(-4*time.Minute - time.Second)
	})
	t.Run("an old one is", func(t *testing.T) {
		r.later(6 * time.Minute)
		w := s.enter(one, "/pay", stepReauth)
		wantWords(t, w, "Confirm that it is you")
		s.fillIn("alice")
		s.wantAt(one + "/pay")
		id, err := r.sessions.Identify(t.Context(), s.at[one].token())
		if err != nil || r.portal.o.Clock().Sub(id.AuthTime) > time.Minute {
			t.Errorf("the site's session is of a login at %v: %v", id, err)
		}
	})
	t.Run("the site's word for the step can be cut out, and gains nothing", func(t *testing.T) {
		r.later(6 * time.Minute)
		to := s.begin(one, stepReauth)
		q := to.Query()
		q.Del("step")
		to.RawQuery = q.Encode()
		s.open(to.String())
		s.wantAt(one + "/reports")
		id, err := r.sessions.Identify(t.Context(), s.at[one].token())
		if err != nil || r.portal.o.Clock().Sub(id.AuthTime) < 5*time.Minute {
			t.Errorf("an old login became a fresh one: %v, %v", id, err)
		}
	})
	t.Run("nobody is led in a circle for a second factor", func(t *testing.T) {
		w := s.enter(one, "/pay", stepMFA)
		if !strings.HasPrefix(s.url, auth+"/login") {
			t.Fatalf("at %s: %s", s.url, words(w))
		}
		q, _ := url.Parse(s.url)
		w = s.open(auth + q.Query().Get("return_to"))
		wantStatus(t, w, http.StatusForbidden)
		wantWords(t, w, "That is not enough for the site")
	})
	t.Run("another account", func(t *testing.T) {
		r.person("bob")
		s.enter(one, "/pay", stepSwitch)
		s.fillIn("bob")
		s.wantAt(one + "/pay")
		if got := s.who(one); got != "bob" {
			t.Errorf("%q", got)
		}
	})
}

// TestFreshLoginOfAClockThatIsAhead: portal and gate measure alike, or a browser
// would go from one to the other without end.
func TestFreshLoginOfAClockThatIsAhead(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")
	r.later(-10 * time.Minute)
	s.enter(one, "/pay", stepReauth)
	if !strings.HasPrefix(s.url, auth+"/login") {
		t.Errorf("a login of the future counts as fresh; it led to %s", s.url)
	}
}

func TestPortalSessionEndsOnAnotherInstance(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")
	s.in(two, "alice")
	if err := r.other().Revoke(t.Context(), session.ID(s.at[auth].token())); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{one, two, auth} {
		if got := s.who(at); got != "" {
			t.Errorf("%s still takes the browser for %q", at, got)
		}
	}
}

func TestSiteAfterThePortalChangedHands(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	r.person("bob")
	s := r.surfer()
	s.in(one, "alice")
	s.open(auth + "/login?step=switch&return_to=%2Faccount")
	s.fillIn("bob")
	if got := s.who(one); got != "" {
		t.Errorf("the site still takes the browser for %q", got)
	}
	s.in(one, "bob")
	if got := s.who(one); got != "bob" {
		t.Errorf("the site takes the browser for %q", got)
	}
}

// TestSessionOfASiteIsNothingElsewhere: the cookie of one site opens neither
// another nor the portal.
func TestSessionOfASiteIsNothingElsewhere(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(one, "alice")
	stolen := s.at[one].token()
	for _, at := range []string{two, auth} {
		thief := r.surfer()
		thief.at[at].cookies[sessionCookie] = stolen
		if got := thief.who(at); got != "" {
			t.Errorf("at %s the cookie of %s stands for %q", at, one, got)
		}
	}
	thief := r.surfer()
	thief.at[auth].cookies[sessionCookie] = stolen
	thief.enter(two, "/", "")
	if !strings.HasPrefix(thief.url, auth+"/login") {
		t.Errorf("the cookie of a site leads on from the portal to %s", thief.url)
	}
	if got := s.who(one); got != "alice" {
		t.Error("trying has ended the session")
	}
}

func TestSSOAsJSON(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	w := s.at[one].json("/_gatehouse/login", "{}")
	wantStatus(t, w, http.StatusMethodNotAllowed)
	s.at[one].header.Set("Accept", "application/json")
	w = s.at[one].get("/_gatehouse/login?return_to=%2Fx")
	wantStatus(t, w, http.StatusOK)
	var reply begunReply
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || !strings.HasPrefix(reply.URL, auth+"/sso?") {
		t.Fatalf("%s, %v", w.Body, err)
	}
	s.at[one].header.Set("Accept", "text/html")
	s.open(reply.URL)
	s.fillIn("alice")
	s.wantAt(one + "/x")
	s.at[one].header.Set("Accept", "application/json")
	w = s.at[one].json("/_gatehouse/logout", "{}")
	wantStatus(t, w, http.StatusOK)
	for _, at := range []string{one, auth} {
		if got := s.who(at); got != "" {
			t.Errorf("%s still takes the browser for %q", at, got)
		}
	}
}

// TestDoubledCallbackEndsWhereItShould, also once the login is long over.
func TestDoubledCallbackEndsWhereItShould(t *testing.T) {
	r := newRealm(t)
	r.person("alice")
	s := r.surfer()
	s.in(two, "alice")
	callback := s.stop(one)
	before := len(r.log.String())
	for range 2 {
		s.open(callback)
		s.wantAt(one + "/reports")
	}
	if n := strings.Count(r.log.String()[before:], "site_entered"); n != 1 {
		t.Errorf("%d sessions for one login", n)
	}
	t.Run("of a browser that has signed out since", func(t *testing.T) {
		s.at[one].post("/_gatehouse/logout")
		s.open(callback)
		if !strings.HasPrefix(s.url, auth+"/login") {
			t.Errorf("at %s", s.url)
		}
	})
}

// TestOneLoginAtAProvider is the whole way with the provider behind the portal: in,
// and out again everywhere.
func TestOneLoginAtAProvider(t *testing.T) {
	r := newRealm(t, "acme")
	op := r.places["acme"].op
	s := r.surfer()
	s.in(one, "alice")
	s.in(two, "alice")
	if n := len(op.Asked("authorize")); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	for _, at := range []string{one, two} {
		if id, err := r.portal.o.Federation.Identify(t.Context(), s.at[at].token()); err != nil || id.Provider != "acme" || id.Subject != "alice-1" {
			t.Errorf("%s: %+v, %v", at, id, err)
		}
		wantStatus(t, s.at[at].get("/_gatehouse/oidc/acme/login"), http.StatusNotFound)
	}
	wantWords(t, s.at[one].get("/_gatehouse/logout"), "at Acme")
	w := s.at[one].post("/_gatehouse/logout")
	wantWords(t, w, "Signing out at Acme", "on all sites")
	u := to(t, w, "acme")
	if q := u.Query(); u.Path != "/end_session" || q.Get("post_logout_redirect_uri") != auth+"/logout" || q.Get("id_token_hint") == "" {
		t.Errorf("it leads to %s", u)
	}
	w = s.follow(w, one)
	wantWords(t, w, "You are signed out", "and the one at Acme")
	if !strings.HasPrefix(s.url, auth+"/logout?") {
		t.Errorf("at %s", s.url)
	}
	for _, at := range []string{one, two, auth} {
		if got := s.who(at); got != "" {
			t.Errorf("%s still takes the browser for %q", at, got)
		}
	}
	if left := op.Sessions("alice-1"); len(left) != 0 {
		t.Errorf("sessions at the provider live on: %q", left)
	}
	r.portal.Close()
	r.houses[one].portal.Close()
	if n := len(op.Asked("revoke")); n == 0 {
		t.Error("the provider's tokens were not taken back")
	}
}

func TestLogoutByTheProviderEndsTheSites(t *testing.T) {
	r := newRealm(t, "acme")
	s := r.surfer()
	s.in(one, "alice")
	s.in(two, "alice")
	token := r.places["acme"].op.LogoutToken("alice-1", "")
	q := s.at[auth].form("/oidc/acme/backchannel-logout", "logout_token", token)
	q.Header.Set("Sec-Fetch-Site", "")
	wantStatus(t, s.at[auth].do(q), http.StatusOK)
	for _, at := range []string{one, two, auth} {
		if got := s.who(at); got != "" {
			t.Errorf("%s still takes the browser for %q", at, got)
		}
	}
	t.Run("a site takes none itself", func(t *testing.T) {
		wantStatus(t, s.at[one].post("/_gatehouse/oidc/acme/backchannel-logout", "logout_token", token), http.StatusNotFound)
	})
}
