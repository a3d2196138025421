package federation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// bubble tells a story in a time of its own: a Sleep takes none, and Wait knows
// when everybody in the background is done.
func bubble(t *testing.T, name string, story func(t *testing.T, w *world), change ...func(*Entry)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { story(t, newWorld(t, change...)) })
	})
}

// settle lets the background come to its end, with the short waits of writers who
// meet.
func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// took says how long something took in the bubble's time.
func took(t *testing.T, want time.Duration, do func()) {
	t.Helper()
	start := time.Now()
	do()
	if got := time.Since(start); got != want {
		t.Errorf("it took %v, want %v", got, want)
	}
}

func (p *provider) called(t *testing.T, want int) {
	t.Helper()
	if got := p.count(); got != want {
		t.Errorf("the provider was asked %d times, want %d", got, want)
	}
}

func TestRecheck(t *testing.T) {
	bubble(t, "nobody is asked before four fifths of the time", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck/5*4 - time.Second)
		if got := w.roles(token); got != "role-1" {
			t.Error(got)
		}
		synctest.Wait()
		w.provider.called(t, 0)
	})
	bubble(t, "from then on in the background", func(t *testing.T, w *world) {
		w.provider.slowly(time.Second)
		token, _ := w.signIn()
		time.Sleep(recheck / 5 * 4)
		took(t, 0, func() {
			if got := w.roles(token); got != "role-1" {
				t.Error(got)
			}
		})
		time.Sleep(2 * time.Second)
		if got := w.roles(token); got != "role-2" {
			t.Error(got)
		}
		w.provider.called(t, 1)
		time.Sleep(recheck/5*4 - 3*time.Second) // from the last answer on
		w.in(token)
		synctest.Wait()
		w.provider.called(t, 1)
	})
	bubble(t, "who comes too late waits for the answer", func(t *testing.T, w *world) {
		w.provider.slowly(time.Second)
		token, s := w.signIn()
		time.Sleep(recheck)
		took(t, time.Second, func() {
			id := w.in(token)
			if strings.Join(id.Roles, " ") != "role-2" || fmt.Sprint(id.Claims["n"]) != "2" || id.Subject != "1001" || id.SessionID != s.ID {
				t.Errorf("%+v", id)
			}
		})
		if got := w.leases(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "again and again, with the tokens of the last time", func(t *testing.T, w *world) {
		token, s := w.signIn()
		for i := range 10 {
			time.Sleep(recheck + time.Minute)
			if got, want := w.roles(token), fmt.Sprint("role-", i+2); got != want {
				t.Fatalf("%q, want %q", got, want)
			}
		}
		w.provider.called(t, 10)
		if got, err := w.sessions.Get(t.Context(), s.ID); err != nil || !got.Expires.Equal(s.Expires) || !got.AuthTime.Equal(s.AuthTime) {
			t.Errorf("%+v %v", got, err)
		}
	})
	bubble(t, "a provider that tells nothing new leaves the roles as they were", func(t *testing.T, w *world) {
		w.provider.do(func(_ context.Context, _ int, l *oidc.Login) (*oidc.Login, error) {
			l.Tokens.Access = "new"
			return l, nil
		})
		token, s := w.signIn()
		for range 3 {
			time.Sleep(recheck)
			id := w.in(token)
			if strings.Join(id.Roles, " ") != "role-1" || id.Claims == nil {
				t.Errorf("%+v", id)
			}
		}
		w.provider.called(t, 3)
		k, _ := session.SealKey(token)
		now, err := w.sessions.Get(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := w.tokens(k, now); err != nil || got.Access != "new" || got.Refresh != "refresh-secret-1" || got.ID != "id-1" {
			t.Errorf("%+v %v", got, err)
		}
	})
	bubble(t, "a clock that was set back makes nobody younger", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		w.clock = func() time.Time { return time.Now().Add(-2 * recheck) }
		if got := w.roles(token); got != "role-2" {
			t.Error(got)
		}
	})
	bubble(t, "without a recheck nobody is asked", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(11 * time.Hour)
		w.alive(w.in(token), true)
		synctest.Wait()
		w.provider.called(t, 0)
	}, func(e *Entry) { e.Recheck = 0 })
	bubble(t, "nor without anybody to ask", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck)
		w.in(token)
	}, func(e *Entry) { e.Refresher = nil })
	bubble(t, "nor about who signed in with a password", func(t *testing.T, w *world) {
		u, err := w.users.Add(t.Context(), user.New{Username: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := w.sessions.Create(t.Context(), session.Login{Username: u.Username, UserID: u.ID, Epoch: u.Epoch})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Hour)
		id := w.in(token)
		w.alive(id, true)
		if _, err := w.AccessToken(t.Context(), id.SessionID); !errors.Is(err, ErrNoToken) {
			t.Error(err)
		}
		w.provider.called(t, 0)
	})
	bubble(t, "a provider that is not configured any more has let its people go", func(t *testing.T, w *world) {
		token, s := w.signIn()
		id := w.in(token)
		other := w.another(func(e *Entry) { e.Name = "other" })
		other.out(token)
		other.alive(id, false)
		if _, err := other.AccessToken(t.Context(), s.ID); err == nil {
			t.Error("a token")
		}
		w.in(token)
	})
}

func TestProviderSaysNo(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		reason string
	}{
		"the login is revoked":               {fmt.Errorf("x: %w", oidc.ErrRevoked), "stand by"},
		"the person may not sign in anymore": {&oidc.DeniedError{Reason: "You are in no allowed organisation."}, "no allowed organisation"},
	} {
		bubble(t, name+", and a request waits for that", func(t *testing.T, w *world) {
			token, s := w.signIn()
			id := w.in(token)
			time.Sleep(recheck)
			w.provider.fails(c.err)
			w.out(token)
			w.alive(id, false)
			got := w.ended.list()
			if len(got) != 1 || got[0].SessionID != s.ID || got[0].Username != "alice" || got[0].Provider != "id" || !strings.Contains(got[0].Reason, c.reason) {
				t.Errorf("%+v", got)
			}
			if _, err := w.sessions.Get(t.Context(), s.ID); !errors.Is(err, session.ErrNotFound) {
				t.Error(err)
			}
			if got := w.leases(); len(got) != 0 {
				t.Errorf("%+v", got)
			}
		})
		bubble(t, name+", in the background", func(t *testing.T, w *world) {
			token, _ := w.signIn()
			time.Sleep(recheck / 5 * 4)
			w.provider.fails(c.err)
			w.in(token)
			synctest.Wait()
			w.out(token)
		})
		bubble(t, name+", and an open connection ends", func(t *testing.T, w *world) {
			token, _ := w.signIn()
			id := w.in(token)
			w.provider.fails(c.err)
			time.Sleep(recheck / 5 * 4)
			w.alive(id, true)
			synctest.Wait()
			w.alive(id, false)
		})
	}
	bubble(t, "only this login of the person ends", func(t *testing.T, w *world) {
		one, _ := w.signIn()
		time.Sleep(recheck / 2)
		two, _ := w.signIn()
		time.Sleep(recheck / 2)
		w.provider.fails(oidc.ErrRevoked)
		w.out(one)
		w.provider.do(nil)
		w.in(two)
	})
	bubble(t, "an end that cannot be stored lets nobody in", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck)
		w.provider.fails(oidc.ErrRevoked)
		w.store.hook(away("take", "session/"))
		if id, err := w.Identify(t.Context(), token); id != nil || !errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown) {
			t.Error(id, err)
		}
		w.store.hook(nil)
		w.out(token)
		if got := w.ended.list(); len(got) != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestDisabledHere(t *testing.T) {
	bubble(t, "is out at once, and nobody is asked", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		id := w.in(token)
		if _, err := w.users.Update(t.Context(), "alice", func(u *user.User) error { u.Disabled = true; return nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(recheck)
		w.out(token)
		w.alive(id, false)
		w.provider.called(t, 0)
	})
	bubble(t, "while the provider is asked: its yes is worth nothing", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck)
		w.provider.slowly(time.Second)
		go func() {
			time.Sleep(time.Second / 2)
			if _, err := w.users.Update(t.Context(), "alice", func(u *user.User) error { u.Disabled = true; return nil }); err != nil {
				t.Error(err)
			}
		}()
		w.out(token)
	})
	bubble(t, "revoked while the provider is asked: its yes brings nobody back", func(t *testing.T, w *world) {
		token, s := w.signIn()
		time.Sleep(recheck)
		w.provider.slowly(time.Second)
		go func() {
			time.Sleep(time.Second / 2)
			if err := w.sessions.Revoke(t.Context(), s.ID); err != nil {
				t.Error(err)
			}
		}()
		w.out(token)
		if _, found, err := w.store.Get(t.Context(), "session/"+s.ID); found || err != nil {
			t.Error("it is in the store again", err)
		}
	})
}

func TestProviderIsSlow(t *testing.T) {
	bubble(t, "a request waits five seconds, the next ones not at all", func(t *testing.T, w *world) {
		w.provider.slowly(20 * time.Second)
		token, _ := w.signIn()
		time.Sleep(recheck)
		took(t, 5*time.Second, func() { w.in(token) })
		took(t, 0, func() {
			for range 50 {
				w.in(token)
			}
		})
		w.provider.called(t, 1)
		time.Sleep(16 * time.Second)
		if got := w.roles(token); got != "role-2" { // it came in the end, and was kept
			t.Error(got)
		}
		w.provider.called(t, 1)
	})
	bubble(t, "whoever comes in between waits for what is left of them", func(t *testing.T, w *world) {
		w.provider.slowly(20 * time.Second)
		token, _ := w.signIn()
		time.Sleep(recheck / 5 * 4)
		w.in(token) // begins
		time.Sleep(4 * time.Second)
		w.clock = func() time.Time { return time.Now().Add(recheck) }
		took(t, time.Second, func() { w.in(token) })
	})
	bubble(t, "one that never answers is given up", func(t *testing.T, w *world) {
		w.provider.slowly(time.Hour)
		token, _ := w.signIn()
		time.Sleep(recheck)
		took(t, 5*time.Second, func() { w.in(token) })
		time.Sleep(callWithin - 6*time.Second)
		w.provider.called(t, 1)
		time.Sleep(2 * time.Second)
		took(t, 0, func() { w.in(token) }) // and not tried again at once
		synctest.Wait()
		w.provider.called(t, 1)
		time.Sleep(firstPause)
		took(t, 0, func() { w.in(token) })
		synctest.Wait()
		w.provider.called(t, 2)
	})
	bubble(t, "a caller who hangs up does not end it", func(t *testing.T, w *world) {
		w.provider.slowly(2 * time.Second)
		token, _ := w.signIn()
		time.Sleep(recheck)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if id, err := w.Identify(ctx, token); id != nil || err == nil || errors.Is(err, identity.ErrUnknown) {
			t.Error(id, err)
		}
		time.Sleep(2 * time.Second)
		if got := w.roles(token); got != "role-2" {
			t.Error(got)
		}
		w.provider.called(t, 1)
	})
}

// TestProviderGivesNoAnswer: nobody is out before the session's own end.
func TestProviderGivesNoAnswer(t *testing.T) {
	answers := map[string]func(context.Context, int, *oidc.Login) (*oidc.Login, error){
		"it is down": func(context.Context, int, *oidc.Login) (*oidc.Login, error) { return nil, oidc.ErrUnavailable },
		"it answers what cannot be believed": func(context.Context, int, *oidc.Login) (*oidc.Login, error) {
			return nil, fmt.Errorf("x: %w", oidc.ErrInvalid)
		},
		"some other fault": func(context.Context, int, *oidc.Login) (*oidc.Login, error) { return nil, errors.New("boom") },
		"an answer and no answer": func(context.Context, int, *oidc.Login) (*oidc.Login, error) {
			return nil, nil //nolint:nilnil // what must not be
		},
		"it answers about another person": func(_ context.Context, _ int, l *oidc.Login) (*oidc.Login, error) {
			return &oidc.Login{Issuer: l.Issuer, Subject: "9999", Roles: []string{"admin"}, Claims: map[string]any{}, Tokens: l.Tokens}, nil
		},
		"it answers as another issuer": func(_ context.Context, _ int, l *oidc.Login) (*oidc.Login, error) {
			return &oidc.Login{Issuer: "https://evil.example", Subject: l.Subject, Roles: []string{"admin"}, Claims: map[string]any{}, Tokens: l.Tokens}, nil
		},
	}
	for name, answer := range answers {
		bubble(t, name, func(t *testing.T, w *world) {
			token, s := w.signIn()
			id := w.in(token)
			w.provider.do(answer)
			asked := 0
			for minute := range 2 * 60 { // a request each minute
				time.Sleep(time.Minute)
				took(t, 0, func() {
					if got := w.roles(token); got != "role-1" {
						t.Fatalf("after %d minutes: %q", minute, got)
					}
				})
				w.alive(id, true)
				synctest.Wait()
				asked = w.provider.count()
			}
			// From the eighth minute on: after 30 s, a minute, two, then every 2.5.
			if asked < 30 || asked > 50 {
				t.Errorf("it was asked %d times in two hours", asked)
			}
			if !strings.Contains(w.log.String(), "no usable answer") || !strings.Contains(w.log.String(), s.ID) {
				t.Error("not logged")
			}
			for _, secret := range []string{token, "refresh-secret", "access-secret"} {
				if strings.Contains(w.log.String(), secret) {
					t.Errorf("the log holds %s", secret)
				}
			}
			// Back again, everybody is checked.
			w.provider.do(nil)
			time.Sleep(recheck / 4)
			w.in(token)
			settle()
			if got := w.roles(token); got != "role-2" {
				t.Error(got)
			}
			if got := w.leases(); len(got) != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	bubble(t, "the session's own end is the end", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		w.provider.fails(oidc.ErrUnavailable)
		for range 23 {
			time.Sleep(time.Hour)
			w.in(token)
		}
		time.Sleep(time.Hour)
		w.out(token)
	})
	bubble(t, "the pauses grow, up to a quarter of the time", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck)
		w.provider.fails(oidc.ErrUnavailable)
		w.in(token)
		last := time.Now()
		for i, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, recheck / 4, recheck / 4} {
			for before := w.provider.count(); w.provider.count() == before; {
				time.Sleep(time.Second)
				took(t, 0, func() { w.in(token) })
				synctest.Wait()
			}
			if got := time.Since(last); got != want {
				t.Errorf("pause %d was %v, want %v", i, got, want)
			}
			last = time.Now()
		}
	})
	bubble(t, "it is logged once that a provider is away, and once that it is back", func(t *testing.T, w *world) {
		var tokens []string
		for range 5 {
			token, _ := w.signIn()
			tokens = append(tokens, token)
		}
		time.Sleep(recheck)
		w.provider.fails(oidc.ErrUnavailable)
		for _, token := range tokens {
			w.in(token)
		}
		w.provider.do(nil)
		time.Sleep(time.Minute)
		for _, token := range tokens {
			w.in(token)
		}
		synctest.Wait()
		if log := w.log.String(); strings.Count(log, "level=WARN") != 1 || strings.Count(log, "level=INFO") != 1 {
			t.Error(log)
		}
	})
	if got := pause(&entry{}, 1); got != firstPause {
		t.Error(got)
	}
	if got := pause(&entry{}, 1000); got != lastPause {
		t.Error(got)
	}
}

// TestTokensThatCameWithoutAnAnswer: the old ones may be used up.
func TestTokensThatCameWithoutAnAnswer(t *testing.T) {
	rotated := func(w *world, err error) {
		w.provider.do(func(_ context.Context, calls int, l *oidc.Login) (*oidc.Login, error) {
			l, refused := w.provider.rotate(l.Issuer, l.Subject, l.Tokens)
			if refused != nil || calls > 1 {
				return l, refused
			}
			return l, err
		})
	}
	bubble(t, "are kept, and asked with", func(t *testing.T, w *world) {
		token, s := w.signIn()
		time.Sleep(recheck)
		rotated(w, oidc.ErrUnavailable)
		if got := w.roles(token); got != "role-1" {
			t.Error(got)
		}
		w.access(w.in(token), "access-secret-2")
		if got, err := w.sessions.Get(t.Context(), s.ID); err != nil || !got.Checked.Equal(s.Checked) {
			t.Error("the login counts as checked:", got, err)
		}
		time.Sleep(firstPause + time.Second)
		w.in(token)
		settle()
		if got := w.roles(token); got != "role-3" {
			t.Error(got)
		}
	})
	for name, err := range map[string]error{"what is not to be believed": oidc.ErrInvalid, "an answer about another": nil} {
		bubble(t, "are not, with "+name+": they may be another person's", func(t *testing.T, w *world) {
			token, _ := w.signIn()
			id := w.in(token)
			time.Sleep(recheck)
			w.provider.do(func(context.Context, int, *oidc.Login) (*oidc.Login, error) {
				return &oidc.Login{Issuer: issuer, Subject: "2002", Tokens: oidc.Tokens{Access: "bobs"}}, err
			})
			w.in(token)
			w.access(id, "access-secret-1")
		})
	}
	bubble(t, "a store that does not take them", func(t *testing.T, w *world) {
		token, s := w.signIn()
		time.Sleep(recheck)
		rotated(w, oidc.ErrUnavailable)
		w.store.hook(away("swap", "session/"))
		w.in(token)
		time.Sleep(time.Minute)
		if log := w.log.String(); !strings.Contains(log, "were not kept") || !strings.Contains(log, s.ID) || strings.Contains(log, "secret") {
			t.Error(log)
		}
	})
}

func TestNothingToAskWith(t *testing.T) {
	mute := func(l *oidc.Login) { l.Tokens.Refresh = "" }
	noRefresh := func(w *world) { w.provider.fails(oidc.ErrNoRefresh) }
	bubble(t, "the login ends when it would have to be vouched for, not before", func(t *testing.T, w *world) {
		noRefresh(w)
		token, _ := w.signIn(mute)
		for range 9 {
			time.Sleep(time.Minute)
			w.in(token)
			synctest.Wait()
		}
		if got := w.leases(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Minute - time.Second)
		w.in(token)
		synctest.Wait()
		time.Sleep(time.Second)
		w.out(token)
		if got := w.ended.list(); len(got) != 1 || !strings.Contains(got[0].Reason, "no refresh token") {
			t.Errorf("%+v", got)
		}
		if strings.Contains(w.log.String(), "no usable answer") {
			t.Error(w.log)
		}
	})
	bubble(t, "nor is it for a session without any tokens", func(t *testing.T, w *world) {
		l := w.provider.login("1001")
		u, err := w.SignIn(t.Context(), w.entry(), l)
		if err != nil {
			t.Fatal(err)
		}
		login, err := w.Session(w.entry(), u, l)
		if err != nil {
			t.Fatal(err)
		}
		login.Tokens = nil
		token, _, err := w.sessions.Create(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		id := w.in(token)
		if _, err := w.AccessToken(t.Context(), id.SessionID); !errors.Is(err, ErrNoToken) {
			t.Error(err)
		}
		time.Sleep(recheck)
		w.out(token)
		w.provider.called(t, 0)
	})
}

func TestAddressLeavesTheDomain(t *testing.T) {
	only := func(e *Entry) { e.AllowEmailDomain = []string{"example.com"} }
	for name, change := range map[string]func(*oidc.Login){
		"another domain":   func(l *oidc.Login) { l.Email = "alice@other.example" },
		"not verified now": func(l *oidc.Login) { l.EmailVerified = false },
		"no address now":   func(l *oidc.Login) { l.Email, l.EmailVerified = "", false },
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			token, _ := w.signIn()
			time.Sleep(recheck)
			w.provider.do(func(_ context.Context, _ int, l *oidc.Login) (*oidc.Login, error) {
				l, err := w.provider.rotate(l.Issuer, l.Subject, l.Tokens)
				change(l)
				return l, err
			})
			w.out(token)
		}, only)
	}
	bubble(t, "nothing told is nothing changed", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck)
		w.provider.do(func(_ context.Context, _ int, l *oidc.Login) (*oidc.Login, error) { return l, nil })
		w.in(token)
	}, only)
	bubble(t, "more than a session can hold", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck)
		w.provider.do(func(_ context.Context, _ int, l *oidc.Login) (*oidc.Login, error) {
			l.Claims, l.Groups = map[string]any{}, []string{strings.Repeat("x", 1<<20)}
			return l, nil
		})
		w.out(token)
	})
}

func TestDamagedSessions(t *testing.T) {
	damage := func(t *testing.T, w *world, s *session.Session, change func(*session.Session) error) {
		t.Helper()
		if _, err := w.sessions.Update(t.Context(), s.ID, change); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(w *world, token string) func(*session.Session) error{
		"a seal that does not open": func(*world, string) func(*session.Session) error {
			return func(s *session.Session) error { s.Sealed[20] ^= 1; return nil }
		},
		"tokens that are none": func(w *world, token string) func(*session.Session) error {
			return func(s *session.Session) error {
				k, _ := session.SealKey(token)
				return w.sessions.Reseal(k, s, []byte(`refresh-secret-in-no-json`))
			}
		},
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			token, s := w.signIn()
			id := w.in(token)
			damage(t, w, s, change(w, token))
			w.in(token) // nobody needs them yet
			time.Sleep(recheck)
			for range 3 {
				got, err := w.Identify(t.Context(), token)
				if got != nil || err == nil || errors.Is(err, identity.ErrUnknown) || !strings.Contains(err.Error(), s.ID) || strings.Contains(err.Error(), "refresh-secret") {
					t.Error(got, err)
				}
			}
			if alive, err := w.Alive(t.Context(), id); alive || err == nil {
				t.Error(alive, err)
			}
			if _, err := w.AccessToken(t.Context(), s.ID); err == nil || errors.Is(err, ErrNoToken) {
				t.Error(err)
			}
			w.provider.called(t, 0)
		})
	}
	bubble(t, "a lease that is none", func(t *testing.T, w *world) {
		token, s := w.signIn()
		time.Sleep(recheck)
		if err := w.store.Put(t.Context(), leasePrefix+s.ID, []byte("{"), time.Minute); err != nil {
			t.Fatal(err)
		}
		if id, err := w.Identify(t.Context(), token); id != nil || err == nil || errors.Is(err, identity.ErrUnknown) || !strings.Contains(err.Error(), s.ID) {
			t.Error(id, err)
		}
		time.Sleep(time.Minute)
		w.in(token)
	})
}

// TestStoreAway: never a pass, and never an end.
func TestStoreAway(t *testing.T) {
	for name, fault := range map[string]func(op, key string) error{
		"no lease":                     away("create", leasePrefix),
		"the session cannot be read":   away("get", "session/"),
		"nor what becomes of the wait": away("get", leasePrefix),
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			token, s := w.signIn()
			w.in(token)
			time.Sleep(recheck)
			if name == "nor what becomes of the wait" {
				if err := w.store.Put(t.Context(), leasePrefix+s.ID, []byte(`{"owner":"x"}`), leaseFor); err != nil {
					t.Fatal(err)
				}
			}
			w.store.hook(fault)
			if id, err := w.Identify(t.Context(), token); id != nil || !errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown) {
				t.Error(id, err)
			}
			w.store.hook(nil)
			w.provider.called(t, 0)
			time.Sleep(leaseFor)
			w.in(token)
			w.provider.called(t, 1)
		})
	}
	bubble(t, "an answer that cannot be stored at first is not lost", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck)
		var n atomic.Int32
		w.store.hook(func(op, key string) error {
			if op == "swap" && strings.HasPrefix(key, "session/") && n.Add(1) <= 3 {
				return store.ErrUnavailable
			}
			return nil
		})
		if got := w.roles(token); got != "role-2" {
			t.Error(got)
		}
		w.provider.called(t, 1)
	})
	bubble(t, "one that cannot be stored for minutes is stored before the used-up tokens are tried again", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck)
		w.store.hook(away("swap", "session/"))
		took(t, 5*time.Second, func() { w.in(token) }) // as slow as a slow provider
		time.Sleep(time.Minute)
		took(t, 5*time.Second, func() { w.in(token) })
		time.Sleep(time.Minute)
		w.store.hook(nil)
		if got := w.roles(token); got != "role-2" {
			t.Error(got)
		}
		w.provider.called(t, 1)
		time.Sleep(recheck)
		if got := w.roles(token); got != "role-3" {
			t.Error(got)
		}
		w.provider.called(t, 2)
	})
	bubble(t, "one that could not be stored for longer than recheck counts no more, but its tokens do", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck)
		w.store.hook(away("swap", "session/"))
		w.in(token)
		time.Sleep(recheck)
		w.store.hook(nil)
		if got := w.roles(token); got != "role-3" {
			t.Error(got)
		}
		w.provider.called(t, 2)
	})
	bubble(t, "tokens that came with no answer and cannot be stored are used for the next question", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		time.Sleep(recheck)
		w.store.hook(away("swap", "session/"))
		w.provider.do(func(_ context.Context, _ int, l *oidc.Login) (*oidc.Login, error) {
			rotated, err := w.provider.rotate(l.Issuer, l.Subject, l.Tokens)
			if err != nil {
				return nil, err
			}
			return rotated, oidc.ErrUnavailable
		})
		w.in(token)
		time.Sleep(2 * time.Minute)
		w.store.hook(nil)
		w.provider.do(nil)
		for range 3 {
			time.Sleep(5 * time.Minute)
			w.in(token)
		}
		if got := w.roles(token); got == "role-1" {
			t.Error(got)
		}
	})
	bubble(t, "an open connection hears that it cannot be checked", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		id := w.in(token)
		time.Sleep(recheck)
		w.store.hook(away("create", leasePrefix))
		w.alive(id, true) // it is only now that anybody tries
		settle()
		if alive, err := w.Alive(t.Context(), id); alive || !errors.Is(err, store.ErrUnavailable) {
			t.Error(alive, err)
		}
		w.store.hook(nil)
		settle()
		_, _ = w.Alive(t.Context(), id) // tried once more
		settle()
		w.alive(id, true)
	})
}

func TestClose(t *testing.T) {
	bubble(t, "an answer under way is waited for", func(t *testing.T, w *world) {
		w.provider.slowly(3 * time.Second)
		token, s := w.signIn()
		time.Sleep(recheck / 5 * 4)
		w.in(token)
		synctest.Wait()
		took(t, 3*time.Second, w.Close)
		if got, err := w.sessions.Get(t.Context(), s.ID); err != nil || got.Roles[0] != "role-2" {
			t.Error(got, err)
		}
		w.Close()
	})
	bubble(t, "one that comes too late is stored all the same", func(t *testing.T, w *world) {
		token, s := w.signIn()
		time.Sleep(recheck / 5 * 4)
		w.provider.do(func(_ context.Context, _ int, l *oidc.Login) (*oidc.Login, error) {
			time.Sleep(6 * time.Second) // whatever its context says
			return w.provider.rotate(l.Issuer, l.Subject, l.Tokens)
		})
		w.in(token)
		synctest.Wait()
		took(t, 6*time.Second, w.Close)
		if got, err := w.sessions.Get(t.Context(), s.ID); err != nil || got.Roles[0] != "role-2" {
			t.Error(got, err)
		}
	})
	bubble(t, "but not for ever, and the next configuration may ask at once", func(t *testing.T, w *world) {
		w.provider.slowly(time.Hour)
		token, _ := w.signIn()
		time.Sleep(recheck / 5 * 4)
		w.in(token)
		synctest.Wait()
		took(t, 5*time.Second, w.Close)
		w.provider.do(nil)
		next := w.another()
		next.in(token)
		settle()
		if got := next.roles(token); got != "role-2" {
			t.Error(got)
		}
		if strings.Contains(w.log.String(), "WARN") {
			t.Error(w.log)
		}
	})
	bubble(t, "afterwards it answers, and asks nobody", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		id := w.in(token)
		w.Close()
		w.in(token)
		w.alive(id, true)
		time.Sleep(recheck / 5 * 4)
		w.in(token)
		w.alive(id, true)
		time.Sleep(recheck)
		if got, err := w.Identify(t.Context(), token); got != nil || err == nil || errors.Is(err, identity.ErrUnknown) {
			t.Error(got, err)
		}
		w.alive(id, false)
		w.provider.called(t, 0)
		w.another().in(token) // what comes next has not forgotten them
	})
}

// TestTooManyQuestions: a provider that hangs costs no more than a fixed number
// of goroutines.
func TestTooManyQuestions(t *testing.T) {
	bubble(t, "at once", func(t *testing.T, w *world) {
		w.provider.slowly(time.Minute)
		tokens := make([]string, atOnce+20)
		for i := range tokens {
			tokens[i], _ = w.signIn()
		}
		time.Sleep(recheck)
		var all sync.WaitGroup
		for _, token := range tokens {
			all.Go(func() { w.in(token) })
		}
		synctest.Wait()
		w.provider.called(t, atOnce)
		took(t, 5*time.Second, all.Wait)
	})
}
