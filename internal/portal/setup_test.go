package portal

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func (h *house) link() string {
	h.t.Helper()
	token, err := h.setup.Issue(h.t.Context())
	if err != nil || len(token) != 43 {
		h.t.Fatalf("token %q, %v", token, err)
	}
	return token
}

func TestSetup(t *testing.T) {
	t.Run("from link to administrator", func(t *testing.T) {
		h := newHouse(t)
		token, b := h.link(), h.browser()
		w := b.get("/_gatehouse/setup?token=" + token)
		wantStatus(t, w, http.StatusOK)
		wantWords(t, w, "Set up Gatehouse", "At least 15 characters")
		w = b.post("/_gatehouse/setup", "token", token, "username", "Root", "name", "Ruth Ott", "email", "ruth@example.com",
			"password", secret, "repeat", secret)
		wantRedirect(t, w, "/")
		u, err := h.users.Get(t.Context(), "root")
		if err != nil || !slices.Equal(u.Roles, []string{"admin"}) || u.Name != "Ruth Ott" || u.Email != "ruth@example.com" {
			t.Fatalf("made %+v, %v", u, err)
		}
		if b.signedIn() != "root" {
			t.Errorf("signed in as %q", b.signedIn())
		}
		if strings.Contains(h.log.String(), token) {
			t.Error("the token is in the log")
		}
		for _, again := range []string{token, "anything"} {
			w = h.browser().get("/_gatehouse/setup?token=" + again)
			wantStatus(t, w, http.StatusGone)
			wantWords(t, w, "Set-up is done")
		}
		if next, err := h.setup.Issue(t.Context()); next != "" || err != nil {
			t.Errorf("another link was made: %q %v", next, err)
		}
	})
	t.Run("by JSON", func(t *testing.T) {
		h := newHouse(t)
		token, b := h.link(), h.browser()
		w := b.json("/_gatehouse/setup", `{"token":"`+token+`","username":"root","password":"short"}`)
		wantStatus(t, w, http.StatusUnprocessableEntity)
		if !strings.Contains(w.Body.String(), `"password: It has 5 characters`) {
			t.Errorf("no reason: %s", w.Body)
		}
		wantStatus(t, b.json("/_gatehouse/setup", `{"token":"`+token+`","username":"root","password":"`+secret+`"}`), http.StatusOK)
		if b.signedIn() != "root" {
			t.Error("not signed in")
		}
	})
	t.Run("mistakes do not use the link up", func(t *testing.T) {
		h := newHouse(t)
		token, b := h.link(), h.browser()
		b.get("/_gatehouse/setup?token=" + token)
		for name, c := range map[string]struct {
			fields []string
			says   string
		}{
			"a weak password":             {[]string{"username", "root", "password", "password"}, "use at least 15"},
			"the user name as password":   {[]string{"username", "rootrootrootroot", "password", "rootrootrootroot"}, "It "},
			"two different passwords":     {[]string{"username", "root", "password", secret, "repeat", other}, "not the same"},
			"the repeat left empty":       {[]string{"username", "root", "password", secret, "repeat", ""}, "not the same"},
			"a name that is none":         {[]string{"username", "a b", "password", secret}, "may not contain spaces"},
			"no name":                     {[]string{"username", "", "password", secret}, "is empty"},
			"an address that is none":     {[]string{"username", "root", "email", "nowhere", "password", secret}, "name@example.com"},
			"a display name with control": {[]string{"username", "root", "name", "a\x00b", "password", secret}, "control"},
		} {
			w := b.post("/_gatehouse/setup", append(c.fields, "token", token)...)
			if w.Code != http.StatusUnprocessableEntity {
				t.Errorf("%s: status %d", name, w.Code)
			}
			wantWords(t, w, "Error: ", c.says)
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s: the password is in the page", name)
			}
			if err := h.setup.Valid(t.Context(), token); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	})
	t.Run("a link that is unknown", func(t *testing.T) {
		h := newHouse(t)
		h.link()
		for _, token := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 5000), "claim", "../user/x"} {
			w := h.browser().get("/_gatehouse/setup?token=" + token)
			wantStatus(t, w, http.StatusNotFound)
			wantWords(t, w, "This set-up link does not work")
			w = h.browser().post("/_gatehouse/setup", "token", token, "username", "root", "password", secret)
			wantStatus(t, w, http.StatusNotFound)
		}
	})
	t.Run("a link of yesterday", func(t *testing.T) {
		h := newHouse(t)
		token := h.link()
		h.later(25 * time.Hour)
		wantStatus(t, h.browser().get("/_gatehouse/setup?token="+token), http.StatusNotFound)
	})
	t.Run("only a hash is stored", func(t *testing.T) {
		h := newHouse(t)
		token := h.link()
		all, err := h.store.Scan(t.Context(), "setup/", "", 10)
		if err != nil || len(all) != 1 || strings.Contains(all[0].Key, token) {
			t.Errorf("stored %v, %v", all, err)
		}
	})
	t.Run("the store goes away while the user is made", func(t *testing.T) {
		h := newHouse(t)
		token, b := h.link(), h.browser()
		b.get("/_gatehouse/setup?token=" + token)
		h.store.breakWhen(func(op, key string) bool { return op == "create" && strings.HasPrefix(key, "user/") })
		w := b.post("/_gatehouse/setup", "token", token, "username", "root", "password", secret)
		wantStatus(t, w, http.StatusServiceUnavailable)
		h.store.breakWhen(nil)
		wantRedirect(t, b.post("/_gatehouse/setup", "token", token, "username", "root", "password", secret), "/")
	})
	t.Run("passwords off", func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.Passwords = false })
		wantStatus(t, h.browser().get("/_gatehouse/setup?token="+h.link()), http.StatusNotFound)
	})
}

// Two links of two instances, used in the same moment, make one administrator.
func TestSetupRace(t *testing.T) {
	h := newHouse(t)
	second := NewSetup(h.store, h.users)
	for range 5 {
		var made atomic.Int32
		var ready, all sync.WaitGroup
		users := &anybody{}
		a, b := NewSetup(h.store, users), NewSetup(second.store, users)
		ready.Add(1)
		for _, s := range []*Setup{a, b, a, b} {
			token, err := s.Issue(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				all.Go(func() {
					ready.Wait()
					err := s.Use(t.Context(), token, func() error {
						made.Add(1)
						users.yes.Store(true)
						return nil
					})
					if err != nil && !errors.Is(err, ErrSetupDone) && !errors.Is(err, ErrSetupUnknown) {
						t.Error(err)
					}
				})
			}
		}
		ready.Done()
		all.Wait()
		if made.Load() != 1 {
			t.Fatalf("%d administrators were made", made.Load())
		}
	}
}

type anybody struct{ yes atomic.Bool }

func (a *anybody) Any(context.Context) (bool, error) { return a.yes.Load(), nil }
