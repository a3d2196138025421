package federation

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func (w *world) logout(l oidc.Logout, want int) {
	w.t.Helper()
	if l.Issuer == "" {
		l.Issuer = issuer
	}
	if n, err := w.Logout(context.Background(), w.entry(), &l); n != want || err != nil {
		w.t.Errorf("%d ended, %v; want %d", n, err, want)
	}
}

func TestLogout(t *testing.T) {
	sid := func(s string) func(*oidc.Login) { return func(l *oidc.Login) { l.SID = s } }
	bubble(t, "of one session at the provider", func(t *testing.T, w *world) {
		one, parent := w.signIn(sid("sid-1"))
		site := w.onSite(one, parent, true)
		two, _ := w.signIn(sid("sid-2"))
		none, _ := w.signIn()
		id := w.in(site)
		w.logout(oidc.Logout{SID: "sid-1", Subject: "1001", ID: "j1"}, 1)
		w.out(one)
		w.out(site)
		w.alive(id, false)
		w.in(two)
		w.in(none)
	})
	bubble(t, "of all of a person's, and of nobody else's", func(t *testing.T, w *world) {
		one, _ := w.signIn(sid("sid-1"))
		two, _ := w.signIn()
		other, err := w.SignIn(t.Context(), w.entry(), w.provider.login("2002"))
		if err != nil {
			t.Fatal(err)
		}
		login, err := w.Session(w.entry(), other, w.provider.login("2002"))
		if err != nil {
			t.Fatal(err)
		}
		theirs, _, err := w.sessions.Create(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		w.logout(oidc.Logout{Subject: "1001", ID: "j1"}, 2)
		w.out(one)
		w.out(two)
		w.in(theirs)
		again, _ := w.signIn() // at once
		w.in(again)
	})
	bubble(t, "of what is not there", func(t *testing.T, w *world) {
		token, _ := w.signIn(sid("sid-1"))
		w.logout(oidc.Logout{SID: "sid-9", ID: "j1"}, 0)
		w.logout(oidc.Logout{Subject: "9999", ID: "j2"}, 0)
		w.logout(oidc.Logout{SID: "sid-1", Issuer: "https://other.example", ID: "j3"}, 0)
		w.logout(oidc.Logout{Subject: "1001", Issuer: "https://other.example", ID: "j4"}, 0)
		// A session that is named and unknown is not all of them.
		w.logout(oidc.Logout{SID: "sid-9", Subject: "1001", ID: "j5"}, 0)
		w.in(token)
	})
	bubble(t, "a token counts once", func(t *testing.T, w *world) {
		w.signIn()
		l := oidc.Logout{Issuer: issuer, Subject: "1001", ID: "j1", Until: time.Now().Add(13 * time.Minute)}
		w.logout(l, 1)
		token, _ := w.signIn()
		other := w.another()
		for range 13 { // for as long as it is accepted
			for _, i := range []*instance{w.instance, other} {
				if n, err := i.Logout(t.Context(), i.entry(), &l); n != 0 || !errors.Is(err, ErrReplayed) {
					t.Error(n, err)
				}
			}
			time.Sleep(time.Minute)
		}
		w.in(token)
		// One of the same name from another issuer is another.
		w.logout(oidc.Logout{Issuer: "https://other.example", Subject: "1001", ID: "j1"}, 0)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if entries, err := w.store.Scan(t.Context(), jtiPrefix, "", 10); err != nil || len(entries) != 1 {
			t.Error("marks that are kept for ever:", entries, err)
		}
	})
	bubble(t, "many copies at once: one is heard", func(t *testing.T, w *world) {
		w.signIn()
		l := oidc.Logout{Issuer: issuer, Subject: "1001", ID: "j1"}
		heard := make(chan error, 20)
		for range cap(heard) {
			go func() { _, err := w.Logout(t.Context(), w.entry(), &l); heard <- err }()
		}
		good := 0
		for range cap(heard) {
			switch err := <-heard; {
			case err == nil:
				good++
			case !errors.Is(err, ErrReplayed):
				t.Error(err)
			}
		}
		if good != 1 {
			t.Errorf("%d were heard", good)
		}
	})
	bubble(t, "what fails may come again", func(t *testing.T, w *world) {
		token, _ := w.signIn(sid("sid-1"))
		for _, l := range []oidc.Logout{{SID: "sid-1", ID: "j1"}, {Subject: "1001", ID: "j2"}} {
			l.Issuer = issuer
			w.store.hook(away("take", "session/"))
			if _, err := w.Logout(t.Context(), w.entry(), &l); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, ErrReplayed) {
				t.Error(err)
			}
			w.store.hook(nil)
			w.in(token)
		}
		w.logout(oidc.Logout{SID: "sid-1", ID: "j1"}, 1)
		w.out(token)
		w.store.hook(away("create", jtiPrefix))
		l := oidc.Logout{Issuer: issuer, Subject: "1001", ID: "j3"}
		if n, err := w.Logout(t.Context(), w.entry(), &l); n != 0 || !errors.Is(err, store.ErrUnavailable) {
			t.Error(n, err)
		}
	})
	bubble(t, "what says nothing", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		for _, l := range []*oidc.Logout{
			nil, {}, {Issuer: issuer, Subject: "1001"}, {Issuer: issuer, ID: "j"}, {Subject: "1001", ID: "j"}, {SID: "sid", ID: "j"},
		} {
			if n, err := w.Logout(t.Context(), w.entry(), l); n != 0 || err == nil {
				t.Error(n, err)
			}
		}
		w.in(token)
	})
	bubble(t, "names without end make no long keys", func(t *testing.T, w *world) {
		long := strings.Repeat("x", 1<<16)
		w.logout(oidc.Logout{Subject: long, ID: long}, 0)
		w.logout(oidc.Logout{SID: long, ID: long + "y"}, 0)
	})
	bubble(t, "while the provider is asked: its yes brings nobody back", func(t *testing.T, w *world) {
		token, _ := w.signIn(sid("sid-1"))
		time.Sleep(recheck)
		w.provider.slowly(time.Second)
		go func() {
			time.Sleep(time.Second / 2)
			w.logout(oidc.Logout{SID: "sid-1", ID: "j1"}, 1)
		}()
		w.out(token)
	})
}
