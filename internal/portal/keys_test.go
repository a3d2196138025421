package portal

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

const (
	keysPath   = "/_gatehouse/account/keys"
	rotatePath = "/_gatehouse/account/keys/rotate"
	revokePath = "/_gatehouse/account/keys/revoke"
)

// keysOf lists the keys under a name, as the store has them.
func (h *house) keysOf(name string) []*key.Key {
	h.t.Helper()
	all, err := h.keys.List(h.t.Context(), name, "", 0)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func (h *house) onlyKey(name string) *key.Key {
	h.t.Helper()
	all := h.keysOf(name)
	if len(all) != 1 {
		h.t.Fatalf("%s has %d keys, want 1", name, len(all))
	}
	return all[0]
}

// makeKey makes a key as an administrator does.
func (h *house) makeKey(owner string, change ...func(*key.New)) (text string, k *key.Key) {
	h.t.Helper()
	n := key.New{Owner: owner, Scopes: []string{"reports:read"}, Description: "nightly report"}
	for _, c := range change {
		c(&n)
	}
	text, k, err := h.keys.Create(h.t.Context(), n)
	if err != nil {
		h.t.Fatal(err)
	}
	return text, k
}

// session signs somebody in who has no password, as a provider does.
func (h *house) session(name string) string {
	h.t.Helper()
	u, err := h.users.Get(h.t.Context(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	token, _, err := h.sessions.Create(h.t.Context(), session.Login{Username: u.Username, UserID: u.ID, Epoch: u.Epoch})
	if err != nil {
		h.t.Fatal(err)
	}
	return token
}

// use presents a key at the gate.
func (h *house) use(text string) (*identity.Identity, error) {
	id, _, err := h.keys.Identify(h.t.Context(), text, netip.MustParseAddr("203.0.113.9"))
	return id, err
}

var keyText = regexp.MustCompile(`gh_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}`)

// shown is the one key that an answer shows.
func shown(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	found := keyText.FindAllString(w.Body.String(), -1)
	if len(found) != 1 {
		t.Fatalf("the answer holds %d keys, want one: %s", len(found), words(w))
	}
	return found[0]
}

func withScopes(n *user.New) { n.Scopes = []string{"admin", "reports:read", "reports:write"} }

func TestMakingAKey(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	b := h.browser()
	b.signIn("alice", secret)
	wantWords(t, b.get("/_gatehouse/account"), "API keys", "You have no keys.", "Make a key", "reports:read", "reports:write", "90 days", "365 days")
	w := b.post(keysPath, "username", "alice", "description", "nightly report", "scope", "reports:write", "scope", "reports:read",
		"days", "30", "current", secret)
	wantStatus(t, w, http.StatusCreated)
	wantWords(t, w, "Your new key", "It is shown this once", "nightly report", "Authorization: Bearer", "23 Dec 2026, 12:00 UTC")
	if strings.Contains(words(w), "The old key") {
		t.Error("a new key has no old one")
	}
	text := shown(t, w)
	id, err := h.use(text)
	if err != nil || id.Username != "alice" || !slices.Equal(id.Scopes, []string{"reports:read", "reports:write"}) {
		t.Fatalf("the key is %v, %v", id, err)
	}
	w = b.get("/_gatehouse/account")
	wantWords(t, w, "nightly report", h.onlyKey("alice").ID, "Created 23 Nov 2026, 12:00 UTC", "Expires 23 Dec 2026, 12:00 UTC",
		"Last used 23 Nov 2026, 12:00 UTC , used once", "Rotate", "Revoke")
	wantRedirect(t, b.get(keysPath), "/_gatehouse/account")

	t.Run("the form sent again makes another key", func(t *testing.T) {
		w := b.post(keysPath, "scope", "admin", "current", secret)
		if again := shown(t, w); again == text {
			t.Error("the same key was shown twice")
		}
		if n := len(h.keysOf("alice")); n != 2 {
			t.Errorf("%d keys", n)
		}
	})
	t.Run("once expired", func(t *testing.T) {
		h.later(31 * day)
		b := h.browser()
		b.signIn("alice", secret)
		wantWords(t, b.get("/_gatehouse/account"), "nightly report expired", "Expired 23 Dec 2026, 12:00 UTC")
	})
}

func TestKeyFormRefused(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	b := h.browser()
	b.signIn("alice", secret)
	for name, c := range map[string]struct {
		fields []string
		says   string
	}{
		"no scope":             {[]string{"current", secret}, "Choose at least one"},
		"another's scope":      {[]string{"scope", "admin", "scope", "root", "current", secret}, "only from the scopes that you have yourself"},
		"no days":              {[]string{"scope", "admin", "days", "0", "current", secret}, "Choose 1 to 365 whole days."},
		"more than a year":     {[]string{"scope", "admin", "days", "366", "current", secret}, "Choose 1 to 365 whole days."},
		"a time before now":    {[]string{"scope", "admin", "days", "-1", "current", secret}, "Choose 1 to 365 whole days."},
		"half a day":           {[]string{"scope", "admin", "days", "0.5", "current", secret}, "Choose 1 to 365 whole days."},
		"very many days":       {[]string{"scope", "admin", "days", "99999999999999999999", "current", secret}, "Choose 1 to 365 whole days."},
		"a long description":   {[]string{"description", strings.Repeat("x", 257), "scope", "admin", "current", secret}, "It is longer than 256 bytes."},
		"a turned description": {[]string{"description", "a\u202eb", "scope", "admin", "current", secret}, "It contains a control or direction-changing character."},
		"no password":          {[]string{"scope", "admin"}, "That is not your password."},
		"a wrong password":     {[]string{"scope", "admin", "current", "wrong"}, "That is not your password."},
	} {
		t.Run(name, func(t *testing.T) {
			w := b.post(keysPath, c.fields...)
			wantStatus(t, w, http.StatusUnprocessableEntity)
			wantWords(t, w, "Error: Your account", "No key was made.", c.says)
			if strings.Contains(w.Body.String(), secret) {
				t.Error("the password is in the page")
			}
		})
	}
	t.Run("what was chosen stays chosen", func(t *testing.T) {
		page := b.post(keysPath, "description", "my job", "scope", "reports:read", "days", "7", "current", "wrong").Body.String()
		for _, part := range []string{`value="my job"`, `value="reports:read" checked`, `<option value="7" selected>`} {
			if !strings.Contains(page, part) {
				t.Errorf("no %s", part)
			}
		}
		if strings.Count(page, " checked") != 1 || strings.Count(page, " selected") != 1 {
			t.Error("something was chosen that nobody chose")
		}
	})
	if n := len(h.keysOf("alice")); n != 0 {
		t.Errorf("%d keys were made", n)
	}
}

func TestKeyLifetimes(t *testing.T) {
	for most, want := range map[time.Duration]string{
		0: "7 30 90* 365", 365 * day: "7 30 90* 365", 400 * day: "7 30 90* 365", 90 * day: "7 30 90*", 45 * day: "7 30 45*",
		30*day + time.Hour: "7 30*", 3 * day: "3*", day: "1*", 12 * time.Hour: "12 hours*",
	} {
		h := newHouse(t, func(o *Options) { o.KeyLifetime = most })
		var got []string
		for _, l := range h.portal.lifetimes("") {
			text := strings.TrimSuffix(strings.TrimSuffix(l.Text, " days"), " day")
			if l.Chosen {
				text += "*"
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("up to %s: %v, want %s", most, got, want)
		}
	}
	t.Run("the longest is less than a day", func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.KeyLifetime = 12 * time.Hour })
		h.person("alice", withScopes)
		b := h.browser()
		b.signIn("alice", secret)
		w := b.post(keysPath, "scope", "admin", "days", "1", "current", secret)
		wantStatus(t, w, http.StatusUnprocessableEntity)
		wantWords(t, w, "A key lives 12 hours at most.")
		wantStatus(t, b.post(keysPath, "scope", "admin", "days", "", "current", secret), http.StatusCreated)
	})
	t.Run("package key has the last word", func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.KeyLifetime = 1000 * day })
		h.person("alice", withScopes)
		b := h.browser()
		b.signIn("alice", secret)
		w := b.post(keysPath, "scope", "admin", "days", "1000", "current", secret)
		wantStatus(t, w, http.StatusUnprocessableEntity)
		wantWords(t, w, "It is longer than the maximum of 365 days.")
	})
}

func TestWhoCanMakeKeys(t *testing.T) {
	t.Run("nobody without scopes", func(t *testing.T) {
		h := newHouse(t)
		h.person("bob")
		b := h.browser()
		b.signIn("bob", secret)
		w := b.get("/_gatehouse/account")
		wantWords(t, w, "API keys", "You have no keys.", "You have no scopes", "Ask an administrator")
		if strings.Contains(w.Body.String(), "Make a key") {
			t.Error("there is a form that nobody can use")
		}
		wantStatus(t, b.post(keysPath, "scope", "admin", "current", secret), http.StatusUnprocessableEntity)
	})
	t.Run("who lost their scopes sees what became of the key", func(t *testing.T) {
		h := newHouse(t)
		h.person("alice", withScopes)
		h.makeKey("alice")
		if _, err := h.users.Update(t.Context(), "alice", func(u *user.User) error { u.Scopes = nil; return nil }); err != nil {
			t.Fatal(err)
		}
		b := h.browser()
		b.signIn("alice", secret)
		w := b.get("/_gatehouse/account")
		wantWords(t, w, "nightly report", "reports:read (no longer yours)", "Revoke", "You have no scopes")
	})
	without := func(t *testing.T, h *house, b *browser, id string) {
		t.Helper()
		w := b.get("/_gatehouse/account")
		wantWords(t, w, "nightly report", "Revoke", "made by an administrator")
		if body := w.Body.String(); strings.Contains(body, "Make a key") || strings.Contains(body, rotatePath) {
			t.Error("there is a form that asks for a password")
		}
		for _, w := range []*httptest.ResponseRecorder{
			b.post(keysPath, "scope", "reports:read"), b.post(rotatePath, "id", id), b.get(rotatePath + "?id=" + id),
		} {
			wantStatus(t, w, http.StatusForbidden)
			wantWords(t, w, "An administrator makes your keys")
		}
		wantRedirect(t, b.post(revokePath, "id", id), "/_gatehouse/account?done=key")
		if n := len(h.keysOf("alice")); n != 0 {
			t.Errorf("%d keys", n)
		}
	}
	t.Run("nobody where passwords are off", func(t *testing.T) {
		h := newHouse(t)
		h.person("alice", withScopes)
		_, k := h.makeKey("alice")
		b := h.browser()
		b.signIn("alice", secret)
		h.portal.o.Passwords = false
		without(t, h, b, k.ID)
	})
	t.Run("nobody who has no password", func(t *testing.T) {
		h := newHouse(t)
		h.person("alice", withScopes)
		_, k := h.makeKey("alice")
		if _, err := h.users.Update(t.Context(), "alice", func(u *user.User) error { u.PasswordHash = ""; return nil }); err != nil {
			t.Fatal(err)
		}
		b := h.browser()
		b.cookies["__Host-gatehouse"] = h.session("alice")
		without(t, h, b, k.ID)
	})
	t.Run("nobody who has a thousand", func(t *testing.T) {
		h := newHouse(t)
		h.person("alice", withScopes)
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				err := h.store.Put(t.Context(), fmt.Sprintf("keyof/alice/%012d", i), []byte("2026-11-23T12:00:00Z"), time.Hour)
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		b := h.browser()
		b.signIn("alice", secret)
		w := b.post(keysPath, "scope", "admin", "current", secret)
		wantStatus(t, w, http.StatusUnprocessableEntity)
		wantWords(t, w, "No key was made. Your account has 1000 keys already, and may have no more: revoke some.")
		w = b.json(keysPath, `{"scope":["admin"],"current":"`+secret+`"}`)
		wantStatus(t, w, http.StatusUnprocessableEntity)
		wantWords(t, w, "account: Your account has 1000 keys already")
	})
}

func TestRotatingAKey(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	old, k := h.makeKey("alice", func(n *key.New) { n.Lifetime = 30 * day })
	b := h.browser()
	b.signIn("alice", secret)
	h.later(time.Hour)

	wantWords(t, b.get(rotatePath+"?id="+k.ID), "Rotate this key", "The old key goes on working for 24 hours", "nightly report", "Current password", "revoke it instead.")
	w := b.post(rotatePath, "id", k.ID, "current", "wrong")
	wantStatus(t, w, http.StatusUnprocessableEntity)
	wantWords(t, w, "The key was not rotated.", "That is not your password.", "nightly report")
	if h.onlyKey("alice").Rotated != (time.Time{}) {
		t.Fatal("rotated without the password")
	}
	w = b.post(rotatePath, "username", "alice", "id", k.ID, "current", secret)
	wantStatus(t, w, http.StatusOK)
	wantWords(t, w, "Your key is rotated", "The old key works, too, until 24 Nov 2026, 13:00 UTC", "23 Dec 2026, 13:00 UTC")
	text := shown(t, w)
	for _, works := range []string{old, text} {
		if _, err := h.use(works); err != nil {
			t.Errorf("in the grace: %v", err)
		}
	}
	wantWords(t, b.get("/_gatehouse/account"), "the old key works until 24 Nov 2026, 13:00 UTC", "used 2 times")
	for range 4 {
		wantStatus(t, b.post(rotatePath, "id", k.ID, "current", secret), http.StatusOK)
	}
	w = b.post(rotatePath, "id", k.ID, "current", secret)
	wantStatus(t, w, http.StatusConflict)
	wantWords(t, w, "This key was rotated too often")

	h.later(31 * day)
	b = h.browser()
	b.signIn("alice", secret)
	wantWords(t, b.get(rotatePath+"?id="+k.ID), "The old key stays expired.")
	w = b.post(rotatePath, "id", k.ID, "current", secret)
	wantStatus(t, w, http.StatusOK)
	if strings.Contains(words(w), "The old key") {
		t.Error("an expired key is said to work")
	}
	if _, err := h.use(shown(t, w)); err != nil {
		t.Error(err)
	}
}

func TestRevokingAKey(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	text, k := h.makeKey("alice")
	b := h.browser()
	b.signIn("alice", secret)
	w := b.get(revokePath + "?id=" + k.ID)
	wantWords(t, w, "Revoke this key?", "nightly report", "it cannot be brought back", "Keep it")
	wantRedirect(t, b.post(revokePath, "id", k.ID), "/_gatehouse/account?done=key")
	wantWords(t, b.get("/_gatehouse/account?done=key"), "The key is revoked.", "You have no keys.")
	if _, err := h.use(text); err == nil {
		t.Error("the key still works")
	}
	w = b.post(revokePath, "id", k.ID)
	wantStatus(t, w, http.StatusNotFound)
	wantWords(t, w, "There is no such key")
}

func TestKeysAsJSON(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	b := h.browser()
	b.signIn("alice", secret)
	b.header.Set("Accept", "application/json")
	list := func() (page struct{ Keys []map[string]any }) {
		t.Helper()
		if err := json.Unmarshal(b.get("/_gatehouse/account").Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		return page
	}
	if page := list(); page.Keys == nil || len(page.Keys) != 0 {
		t.Errorf("no keys are %v", page.Keys)
	}
	w := b.json(keysPath, `{"description":"ci","scope":["reports:read","admin"],"days":30,"current":"`+secret+`"}`)
	wantStatus(t, w, http.StatusCreated)
	var made keyReply
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	if _, err := h.use(made.Key); err != nil || made.ID != h.onlyKey("alice").ID || made.Description != "ci" ||
		!slices.Equal(made.Scopes, []string{"admin", "reports:read"}) || !made.Expires.Equal(made.Created.Add(30*day)) {
		t.Errorf("%+v, %v", made, err)
	}
	page := list()
	if len(page.Keys) != 1 || page.Keys[0]["id"] != made.ID || page.Keys[0]["uses"] != 1.0 || page.Keys[0]["key"] != nil ||
		page.Keys[0]["rotated"] != nil || page.Keys[0]["last_used"] == nil {
		t.Errorf("%v", page.Keys)
	}
	for _, path := range []string{rotatePath, revokePath} {
		if w := b.get(path + "?id=" + made.ID); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"id":"`+made.ID+`"`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for body, says := range map[string]string{
		`{"current":"` + secret + `"}`:                                            "scope: Choose at least one",
		`{"scope":["root"],"current":"` + secret + `"}`:                           "scope: You may choose only",
		`{"scope":["admin"],"days":1e3,"current":"` + secret + `"}`:               "days: Choose 1 to 365 whole days.",
		`{"scope":["admin"],"current":"wrong"}`:                                   "current: That is not your password.",
		`{"scope":["admin"]}`:                                                     "current: That is not your password.",
		`{"scope":["admin"],"days":true,"current":"` + secret + `"}`:              "days: Choose",
		`{"scope":["admin","admin ","x"],"current":"` + secret + `"}`:             "scope: You may choose only",
		`{"scope":["admin"],"description":"a\u0000b","current":"` + secret + `"}`: "description: It contains",
	} {
		w := b.json(keysPath, body)
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	for _, body := range []string{
		`{"scope":"admin","current":"` + secret + `"}`, `{"scope":["admin"],"owner":"bob","current":"` + secret + `"}`,
		`{"scopes":["admin"],"current":"` + secret + `"}`, `{"scope":["admin"],"scope":["admin"],"current":"` + secret + `"}`,
	} {
		wantStatus(t, b.json(keysPath, body), http.StatusBadRequest)
	}
	wantStatus(t, b.json(rotatePath, `{"id":"`+made.ID+`","current":"wrong"}`), http.StatusUnprocessableEntity)
	w = b.json(rotatePath, `{"id":"`+made.ID+`","current":"`+secret+`"}`)
	wantStatus(t, w, http.StatusOK)
	if shown(t, w) == made.Key || !strings.Contains(w.Body.String(), `"grace_ends":"2026-11-24T12:00:00Z"`) {
		t.Errorf("%s", w.Body)
	}
	wantStatus(t, b.json(revokePath, `{"id":"`+made.ID+`"}`), http.StatusNoContent)
	wantStatus(t, b.json(revokePath, `{"id":"`+made.ID+`"}`), http.StatusNotFound)
	if n := len(h.keysOf("alice")); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}
