package portal

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

func TestKeysOff(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Keys = nil })
	h.person("alice", withScopes)
	_, k := h.makeKey("alice")
	b := h.browser()
	b.signIn("alice", secret)
	for _, path := range []string{keysPath, rotatePath, revokePath} {
		wantStatus(t, b.get(path+"?id="+k.ID), http.StatusNotFound)
		wantStatus(t, b.post(path, "id", k.ID, "scope", "admin", "current", secret), http.StatusNotFound)
		wantStatus(t, b.json(path, `{"id":"`+k.ID+`"}`), http.StatusNotFound)
	}
	if body := b.get("/_gatehouse/account").Body.String(); strings.Contains(body, "key") {
		t.Error("the page tells of keys")
	}
	b.header.Set("Accept", "application/json")
	if body := b.get("/_gatehouse/account").Body.String(); strings.Contains(body, "keys") {
		t.Error("the JSON tells of keys")
	}
	h.onlyKey("alice")
}

// A script of the app has our origin, and the session with it, but not the
// password.
func TestStolenSessionMintsNoKey(t *testing.T) {
	for name, rotate := range map[string]bool{"making": false, "rotating": true} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.person("alice", withScopes)
			_, k := h.makeKey("alice")
			thief := h.browser()
			thief.signIn("alice", secret)
			path, field, value, body := keysPath, "scope", "admin", `{"scope":["admin"],"current":"`+secret+`"}`
			if rotate {
				path, field, value, body = rotatePath, "id", k.ID, `{"id":"`+k.ID+`","current":"`+secret+`"}`
			}
			h.logins = nil
			wantStatus(t, thief.post(path, field, value, "current", "guess"), http.StatusUnprocessableEntity)
			code := 0
			for range 40 {
				code = thief.post(path, field, value, "current", "guess").Code
			}
			if code != http.StatusTooManyRequests {
				t.Errorf("status %d after 40 guesses", code)
			}
			// The right one comes too late, too, and by JSON.
			w := thief.json(path, body)
			if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
				t.Errorf("JSON: %d, %v", w.Code, w.Header())
			}
			if got := h.onlyKey("alice"); !got.Rotated.IsZero() {
				t.Error("the key was rotated")
			}
			if h.logins[0] != "password wrong" || h.logins[len(h.logins)-1] != "password throttled" {
				t.Errorf("told of %v", h.logins)
			}
			for _, action := range []string{`"login_failed"`, `"login_throttled"`} {
				if !strings.Contains(h.log.String(), action) {
					t.Errorf("no %s in the audit trail", action)
				}
			}
			// Guesses here count at the login page, too.
			wantStatus(t, thief.post("/_gatehouse/login", "username", "alice", "password", secret), http.StatusTooManyRequests)
		})
	}
}

// A form may be changed before it is sent: only what the record says counts.
func TestSmuggledScope(t *testing.T) {
	h := newHouse(t)
	h.person("bob", func(n *user.New) { n.Scopes = []string{"reports:read"} })
	b := h.browser()
	b.signIn("bob", secret)
	if strings.Contains(b.get("/_gatehouse/account").Body.String(), `value="admin"`) {
		t.Fatal("admin is offered")
	}
	for _, scopes := range [][]string{{"admin"}, {"reports:read", "admin"}, {"reports:read admin"}, {"reports:read,admin"}, {"Reports:read"}, {""}, {"*"}} {
		fields := []string{"current", secret}
		for _, s := range scopes {
			fields = append(fields, "scope", s)
		}
		w := b.post(keysPath, fields...)
		wantStatus(t, w, http.StatusUnprocessableEntity)
		wantWords(t, w, "You may choose only from the scopes that you have yourself.")
	}
	for _, field := range []string{"owner", "scopes", "networks", "rate", "id", "username2"} {
		wantStatus(t, b.post(keysPath, "scope", "reports:read", "current", secret, field, "admin"), http.StatusBadRequest)
	}
	wantStatus(t, b.post(keysPath, append([]string{"current", secret}, many("scope", "reports:read", 65)...)...), http.StatusBadRequest)
	// The name in the form is for password managers: it makes nobody else's key.
	h.person("alice", withScopes)
	wantStatus(t, b.post(keysPath, "username", "alice", "scope", "reports:read", "current", secret), http.StatusCreated)
	if h.onlyKey("bob").Owner != "bob" || len(h.keysOf("alice")) != 0 {
		t.Error("the key is another's")
	}
	// Package key refuses what a role lost since the page was made.
	if _, ok := wrongKey(&key.InvalidError{Field: "scopes", Reason: "hold x, which the owner does not have"})["scope"]; !ok {
		t.Error("the reason is not beside the scopes")
	}
}

func many(name, value string, n int) (fields []string) {
	for range n {
		fields = append(fields, name, value)
	}
	return fields
}

func TestAnothersKey(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	h.person("mallory", withScopes)
	text, k := h.makeKey("alice")
	thief := h.browser()
	thief.signIn("mallory", secret)
	for _, id := range []string{k.ID, "", "x", "000000000000", k.ID + "x", "../" + k.ID, strings.Repeat("a", 9000), "\x00", k.ID + "/../" + k.ID} {
		none := func(send func(id string) *httptest.ResponseRecorder) {
			t.Helper()
			w := send(id)
			wantStatus(t, w, http.StatusNotFound)
			if body := send("zzzzzzzzzzzz").Body.String(); w.Body.String() != body {
				t.Errorf("%q: the answer tells that the key exists", id)
			}
		}
		none(func(id string) *httptest.ResponseRecorder { return thief.post(revokePath, "id", id) })
		none(func(id string) *httptest.ResponseRecorder { return thief.post(rotatePath, "id", id, "current", secret) })
		none(func(id string) *httptest.ResponseRecorder {
			return thief.post(rotatePath, "id", id, "current", "wrong")
		})
	}
	for _, path := range []string{rotatePath, revokePath} {
		w := thief.get(path + "?id=" + k.ID)
		wantStatus(t, w, http.StatusNotFound)
		if w.Body.String() != thief.get(path+"?id=zzzzzzzzzzzz").Body.String() {
			t.Error("the page tells that the key exists")
		}
	}
	if strings.Contains(thief.get("/_gatehouse/account").Body.String(), k.ID) {
		t.Error("mallory sees alice's key")
	}
	if _, err := h.use(text); err != nil || !h.onlyKey("alice").Rotated.IsZero() {
		t.Errorf("alice's key was changed: %v", err)
	}
}

// Whoever makes keys without number would have everybody's store read them all,
// each time they look at their account.
func TestKeysWithoutNumber(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	b := h.browser()
	b.signIn("alice", secret)
	var last string
	for range mostOwn {
		_, k := h.makeKey("alice")
		last = k.ID
	}
	w := b.post(keysPath, "scope", "admin", "current", secret)
	wantStatus(t, w, http.StatusUnprocessableEntity)
	wantWords(t, w, "No key was made. You have 100 keys already: revoke some first.")
	if n := len(h.keysOf("alice")); n != mostOwn {
		t.Errorf("%d keys", n)
	}
	wantStatus(t, b.post(revokePath, "id", last), http.StatusSeeOther)
	wantStatus(t, b.post(keysPath, "scope", "admin", "current", secret), http.StatusCreated)
}

// Whoever gets a name that was somebody's before does not get their keys.
func TestKeysOfAnEarlierUser(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	_, k := h.makeKey("alice")
	if err := h.users.Delete(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	h.person("alice", withScopes)
	b := h.browser()
	b.signIn("alice", secret)
	wantWords(t, b.get("/_gatehouse/account"), "You have no keys.")
	wantStatus(t, b.post(revokePath, "id", k.ID), http.StatusNotFound)
	wantStatus(t, b.post(rotatePath, "id", k.ID, "current", secret), http.StatusNotFound)
	h.onlyKey("alice")
}

// An administrator's reset, in the moment after the old password was checked,
// must not leave a key behind that was made with it.
func TestKeyRacingReset(t *testing.T) {
	for name, change := range map[string]func(h *house){
		"a reset": func(h *house) {
			_, err := h.users.Update(h.t.Context(), "alice", func(u *user.User) error { u.PasswordHash = "reset"; return nil })
			if err != nil {
				h.t.Fatal(err)
			}
		},
		"another user of that name": func(h *house) {
			if err := h.users.Delete(h.t.Context(), "alice"); err != nil {
				h.t.Fatal(err)
			}
			h.person("alice", withScopes)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.person("alice", withScopes)
			_, old := h.makeKey("alice")
			v := &visit{w: httptest.NewRecorder(), r: h.browser().form(keysPath)}
			proved, err := h.portal.prove(v, "alice", secret)
			if err != nil {
				t.Fatal(err)
			}
			change(h)
			text, k, err := h.portal.makeKey(v, proved, key.New{Owner: "alice", Scopes: []string{"admin"}})
			if err == nil || text != "" || k != nil {
				t.Errorf("made %v, %v", k, err)
			}
			if n := len(h.keysOf("alice")); n != 1 {
				t.Errorf("%d keys are left, want the old one", n)
			}
			text, k, rotateErr := h.portal.rotateKey(t.Context(), proved, old)
			if !errors.Is(rotateErr, errChanged) || text != "" || k != nil || !h.onlyKey("alice").Rotated.IsZero() {
				t.Errorf("rotated %v, %v", k, rotateErr)
			}
			w := httptest.NewRecorder()
			h.portal.failedKey(&visit{w: w, r: v.r}, err)
			wantStatus(t, w, http.StatusConflict)
			wantWords(t, w, "Your account has just changed")
		})
	}
}

// The one answer is the only place that a key is ever in.
func TestKeyIsShownOnce(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	b := h.browser()
	b.signIn("alice", secret)
	made := b.post(keysPath, "scope", "admin", "current", secret)
	first := shown(t, made)
	id := h.onlyKey("alice").ID
	rotated := b.post(rotatePath, "id", id, "current", secret)
	second := shown(t, rotated)
	for _, w := range []*httptest.ResponseRecorder{made, rotated} {
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Location") != "" || len(w.Result().Cookies()) != 0 {
			t.Errorf("headers %v", w.Header())
		}
		for name, values := range w.Header() {
			if strings.Contains(strings.Join(values, " "), first[16:]) || strings.Contains(strings.Join(values, " "), second[16:]) {
				t.Errorf("the key is in the header %s", name)
			}
		}
	}
	b.post(revokePath, "id", id)
	wantAudit := []string{`"key_created"`, `"key_rotated"`, `"key_revoked"`, `"credential_id":"key:` + id + `"`, `"actor":"alice"`, `"subject":"alice"`}
	for _, part := range wantAudit {
		if !strings.Contains(h.log.String(), part) {
			t.Errorf("no %s in the audit trail: %s", part, h.log)
		}
	}
	later := b.get("/_gatehouse/account?done=key").Body.String() + b.get(keysPath).Body.String() +
		b.get(rotatePath+"?id="+id).Body.String() + b.get("/_gatehouse/whoami").Body.String()
	for _, kind := range []string{"key/", "keyof/", "keyuse/", "user/", "session/", "session-of/", "device/", "guess/"} {
		entries, err := h.store.Scan(t.Context(), kind, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			later += e.Key + string(e.Value)
		}
	}
	if !strings.Contains(later, "usr_") {
		t.Fatal("nothing was read of the store")
	}
	for _, text := range []string{first, second} {
		_, rest, _ := strings.Cut(text[3:], "_")
		if strings.Contains(later, rest) {
			t.Error("the key is shown or kept")
		}
		if strings.Contains(h.log.String(), rest) {
			t.Error("the key is in the log")
		}
	}
	if strings.Contains(h.log.String(), secret) {
		t.Error("the password is in the log")
	}
}

func TestGETChangesNoKey(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	text, k := h.makeKey("alice")
	b := h.browser()
	b.signIn("alice", secret)
	for _, path := range []string{
		rotatePath + "?id=" + k.ID, revokePath + "?id=" + k.ID, revokePath + "?id=" + k.ID + "&confirm=1",
		keysPath + "?scope=admin&current=" + strings.ReplaceAll(secret, " ", "+"), "/_gatehouse/account?done=key",
	} {
		b.get(path)
		b.do(httptest.NewRequest(http.MethodHead, site+path, nil))
	}
	if _, err := h.use(text); err != nil || !h.onlyKey("alice").Rotated.IsZero() {
		t.Errorf("a GET changed a key: %v", err)
	}
}

func TestMarkupInKeysIsEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script></textarea>`
	const scope = `<b>x</b>`
	h := newHouse(t)
	h.person("alice", func(n *user.New) { n.Scopes = []string{scope} })
	b := h.browser()
	b.signIn("alice", secret)
	made := b.post(keysPath, "description", evil, "scope", scope, "current", secret)
	wantStatus(t, made, http.StatusCreated)
	id := h.onlyKey("alice").ID
	for name, w := range map[string]*httptest.ResponseRecorder{
		"made": made, "listed": b.get("/_gatehouse/account"), "rotate": b.get(rotatePath + "?id=" + id),
		"revoke":   b.get(revokePath + "?id=" + id),
		"refused":  b.post(keysPath, "description", evil, "scope", scope, "days", evil, "current", evil),
		"scope":    b.post(keysPath, "scope", evil),
		"field":    b.post(keysPath, evil, evil),
		"id":       b.get(revokePath + "?id=%22%3E%3Cscript%3E"),
		"rotated":  b.post(rotatePath, "id", id, "current", secret),
		"rotate 2": b.post(rotatePath, "id", id, "current", evil),
	} {
		body := w.Body.String()
		checkHTML(t, body)
		if strings.Contains(body, "<script") || strings.Contains(body, "<b>") || strings.Contains(body, evil) {
			t.Errorf("%s: markup came through", name)
		}
	}
}

// While the store is away nothing about keys is guessed, and nothing is told of
// why.
func TestKeysWithoutAStore(t *testing.T) {
	for name, c := range map[string]struct{ op, prefix string }{
		"reading": {"get", "key/"}, "listing": {"scan", "keyof/"}, "listing before": {"put", "keyof/"},
		"writing": {"create", "key/"}, "taking": {"take", "key/"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.person("alice", withScopes)
			_, k := h.makeKey("alice")
			b := h.browser()
			b.signIn("alice", secret)
			h.store.breakWhen(func(op, key string) bool { return op == c.op && strings.HasPrefix(key, c.prefix) })
			failed := 0
			for _, w := range []*httptest.ResponseRecorder{
				b.get("/_gatehouse/account"), b.post(keysPath, "scope", "admin", "current", secret),
				b.post(rotatePath, "id", k.ID, "current", secret), b.post(revokePath, "id", k.ID),
			} {
				switch w.Code {
				case http.StatusServiceUnavailable:
					failed++
					if strings.Contains(w.Body.String(), "secret-host") || keyText.MatchString(w.Body.String()) {
						t.Errorf("the answer tells too much: %s", words(w))
					}
				case http.StatusOK, http.StatusCreated, http.StatusSeeOther:
				default:
					t.Errorf("status %d: %s", w.Code, words(w))
				}
			}
			if failed == 0 || b.signedIn() != "alice" {
				t.Errorf("%d answers failed, signed in %q", failed, b.signedIn())
			}
		})
	}
}

// A session that has ended, or whose owner is disabled, reaches no key.
func TestKeysAreForTheSignedIn(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withScopes)
	text, k := h.makeKey("alice")
	b := h.browser()
	b.signIn("alice", secret)
	if err := h.sessions.Revoke(t.Context(), session.ID(b.token())); err != nil {
		t.Fatal(err)
	}
	stale := b.token()
	for _, send := range []func() *httptest.ResponseRecorder{
		func() *httptest.ResponseRecorder { return b.post(keysPath, "scope", "admin", "current", secret) },
		func() *httptest.ResponseRecorder { return b.post(rotatePath, "id", k.ID, "current", secret) },
		func() *httptest.ResponseRecorder { return b.post(revokePath, "id", k.ID) },
	} {
		b.cookies["__Host-gatehouse"] = stale
		wantStatus(t, send(), http.StatusUnauthorized)
	}
	// A key opens no account page: it cannot make itself another.
	delete(b.cookies, "__Host-gatehouse")
	r := b.form(keysPath, "scope", "admin", "current", secret)
	r.Header.Set("Authorization", "Bearer "+text)
	wantStatus(t, b.do(r), http.StatusUnauthorized)
	if _, err := h.use(text); err != nil || !h.onlyKey("alice").Rotated.IsZero() {
		t.Errorf("the key was changed: %v", err)
	}
}
