package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

const google = "https://accounts.google.com"

// provided is a login of alice's at a provider.
func provided(change ...func(*Login)) Login {
	l := Login{
		Username: "alice", UserID: "usr_1", Epoch: 1, Provider: "google", AMR: []string{"pwd", "otp"}, ACR: "urn:mfa",
		ProviderIssuer: google, ProviderSubject: "1001", ProviderSID: "sid-1",
		Roles: []string{"editor", "clerk"}, Groups: []string{"finance"},
		Claims: map[string]any{"hd": "example.com", "level": json.Number("9007199254740993"), "deep": map[string]any{"x": []any{true, nil}}},
		Tokens: []byte(`{"a":"access-secret","r":"refresh-secret"}`),
	}
	for _, fn := range change {
		fn(&l)
	}
	return l
}

func (w *world) create(l Login) (token string, s *Session) {
	w.t.Helper()
	token, s, err := w.Create(context.Background(), l)
	if err != nil {
		w.t.Fatal(err)
	}
	return token, s
}

func TestPeopleFromProviders(t *testing.T) {
	w := newWorld(t, Options{})
	token, s := w.create(provided(func(l *Login) { l.AuthTime = w.clock.Now().Add(-time.Hour) }))
	t.Run("they are who the provider says, and what the record says", func(t *testing.T) {
		id := w.in(token, true)
		if id.Method != identity.Session || id.Provider != "google" || id.Issuer != google || id.Subject != "1001" || id.ID != "usr_1" ||
			id.Username != "alice" || id.Email != "alice@example.com" || id.SessionID != s.ID ||
			!slices.Equal(id.Roles, []string{"clerk", "editor"}) || !slices.Equal(id.Groups, []string{"finance"}) ||
			!slices.Equal(id.AMR, []string{"pwd", "otp"}) || !id.AuthTime.Equal(w.clock.Now().Add(-time.Hour)) {
			t.Errorf("%+v", id)
		}
		if id.Claims["hd"] != "example.com" || id.Claims["level"] != json.Number("9007199254740993") {
			t.Errorf("claims: %#v", id.Claims)
		}
		if again := w.in(token, true); again != id {
			t.Error("the identity was built anew though nothing changed")
		}
	})
	t.Run("Lookup says the same, and which session it is", func(t *testing.T) {
		got, id, err := w.Lookup(t.Context(), token)
		if err != nil || got.ID != s.ID || id != w.in(token, true) || got.ACR != "urn:mfa" || got.ProviderSID != "sid-1" || !got.Checked.Equal(s.Created) {
			t.Errorf("%+v %v", got, err)
		}
		if got, id, err := w.Lookup(t.Context(), strings.Repeat("A", 43)); got != nil || id != nil || !errors.Is(err, identity.ErrUnknown) {
			t.Error(got, id, err)
		}
	})
	t.Run("a new role of the record joins, the provider's stay", func(t *testing.T) {
		w.accounts.change(func(u *identity.Account) { u.Roles = []string{"zeta", "editor"}; u.Groups = []string{"all"} })
		if id := w.in(token, true); !slices.Equal(id.Roles, []string{"clerk", "editor", "zeta"}) || !slices.Equal(id.Groups, []string{"all", "finance"}) {
			t.Errorf("%+v", id)
		}
	})
	t.Run("disabled here, they are out", func(t *testing.T) {
		w.accounts.change(func(u *identity.Account) { u.Disabled = true })
		w.in(token, false)
		w.accounts.change(func(u *identity.Account) { u.Disabled = false })
	})
	t.Run("who signed in with a password has nothing of that", func(t *testing.T) {
		local, s := w.login()
		if id := w.in(local, true); id.Provider != identity.Local || id.Subject != "usr_1" || id.Issuer != "" || id.Claims != nil || !id.AuthTime.Equal(s.Created) {
			t.Errorf("%+v", id)
		}
		raw, _, err := w.store.Get(t.Context(), "session/"+s.ID)
		if err != nil || strings.Contains(string(raw), "provider_") || strings.Contains(string(raw), "checked") || strings.Contains(string(raw), "claims") {
			t.Errorf("%s %v", raw, err)
		}
	})
}

func TestWhenSomebodyProvedWhoTheyAre(t *testing.T) {
	w := newWorld(t, Options{})
	now := w.clock.Now()
	for name, c := range map[string]struct{ told, want time.Time }{
		"as the provider tells":            {now.Add(-time.Hour), now.Add(-time.Hour)},
		"never in the future":              {now.Add(time.Hour), now},
		"unknown when it is not told":      {time.Time{}, time.Time{}},
		"in whatever zone, without a part": {now.Add(-time.Minute).In(time.FixedZone("x", 3600)), now.Add(-time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			token, s := w.create(provided(func(l *Login) { l.AuthTime = c.told }))
			if id := w.in(token, true); !id.AuthTime.Equal(c.want) || !s.AuthTime.Equal(c.want) || id.AuthTime.IsZero() != c.want.IsZero() {
				t.Errorf("%v, want %v", id.AuthTime, c.want)
			}
		})
	}
}

func TestOddProviderLogins(t *testing.T) {
	w := newWorld(t, Options{})
	for name, c := range map[string]struct {
		change func(*Login)
		want   error // nil: any
	}{
		"no issuer":              {func(l *Login) { l.ProviderIssuer = "" }, nil},
		"no subject":             {func(l *Login) { l.ProviderSubject = "" }, nil},
		"no provider":            {func(l *Login) { l.Provider = "" }, nil},
		"the provider local":     {func(l *Login) { l.Provider = identity.Local }, nil},
		"tokens without end":     {func(l *Login) { l.Tokens = bytes.Repeat([]byte("x"), maxSealed+1) }, ErrTooLarge},
		"roles without end":      {func(l *Login) { l.Roles = []string{strings.Repeat("x", maxLabels+1)} }, ErrTooLarge},
		"more groups than sense": {func(l *Login) { l.Groups = make([]string, maxLabels/16+1) }, ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			token, s, err := w.Create(t.Context(), provided(c.change))
			if token != "" || s != nil || err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Error(token, s, err)
			}
		})
	}
	if list, err := w.List(t.Context(), "", "", 10); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
}

func TestClaimsAreBounded(t *testing.T) {
	for name, claims := range map[string]map[string]any{
		"too many":         {"x": strings.Repeat("a", maxClaims)},
		"many by escaping": {"x": strings.Repeat("<", maxClaims/5)},
		"no JSON":          {"x": math.NaN()},
		"a number too far": {"x": json.Number("1e")},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(bytes.Buffer)
			w := newWorld(t, Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
			token, s := w.create(provided(func(l *Login) { l.Claims = claims }))
			if id := w.in(token, true); id.Claims != nil || !slices.Equal(id.Groups, []string{"finance"}) {
				t.Errorf("%.100v", id)
			}
			if !strings.Contains(log.String(), s.ID) || strings.Contains(log.String(), "aaaa") {
				t.Errorf("%.500s", log)
			}
		})
	}
	t.Run("as many as fit", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, _ := w.create(provided(func(l *Login) { l.Claims = map[string]any{"x": strings.Repeat("a", maxClaims-20)} }))
		if id := w.in(token, true); len(id.Claims) != 1 {
			t.Error("left out")
		}
	})
}

func TestSessionsOfASessionAtTheProvider(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, Options{})
	first, _ := w.create(provided())
	second, _ := w.create(provided())
	other, _ := w.create(provided(func(l *Login) { l.ProviderSID = "sid-2" }))
	elsewhere, _ := w.create(provided(func(l *Login) { l.ProviderIssuer = "https://other.example" }))
	local, _ := w.login()
	w.in(first, true)
	t.Run("they end together, and no others", func(t *testing.T) {
		n, err := w.RevokeProviderSession(ctx, google, "sid-1")
		if n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		w.in(first, false)
		w.in(second, false)
		w.in(other, true)
		w.in(elsewhere, true)
		w.in(local, true)
	})
	t.Run("once", func(t *testing.T) {
		if n, err := w.RevokeProviderSession(ctx, google, "sid-1"); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("none is not all", func(t *testing.T) {
		none, _ := w.create(provided(func(l *Login) { l.ProviderSID = "" }))
		for _, c := range [][2]string{{google, ""}, {"", "sid-2"}, {"", ""}, {google + "\x00sid-2", ""}, {google, "sid"}} {
			if n, err := w.RevokeProviderSession(ctx, c[0], c[1]); n != 0 || err != nil {
				t.Errorf("%q: %d, %v", c, n, err)
			}
		}
		w.in(none, true)
		w.in(other, true)
	})
	t.Run("revoked in another way, nothing stays listed", func(t *testing.T) {
		if n, err := w.RevokeUser(ctx, "alice"); n != 4 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if entries, err := w.store.Scan(ctx, sidPrefix, "", 10); err != nil || len(entries) != 0 {
			t.Error(entries, err)
		}
	})
	t.Run("a login under way when its session there ends makes none", func(t *testing.T) {
		w.store.onCreate = func(key string) {
			if strings.HasPrefix(key, keyPrefix) {
				w.store.onCreate = nil
				if n, err := w.RevokeProviderSession(ctx, google, "sid-3"); n != 0 || err != nil {
					t.Error(n, err)
				}
			}
		}
		token, s, err := w.Create(ctx, provided(func(l *Login) { l.ProviderSID = "sid-3" }))
		if token != "" || s != nil || !errors.Is(err, ErrEnded) {
			t.Error(token, s, err)
		}
		if list, err := w.List(ctx, "", "", 10); err != nil || len(list) != 0 {
			t.Error(list, err)
		}
		w.clock.pass(underWay + time.Second)
		token, _ = w.create(provided(func(l *Login) { l.ProviderSID = "sid-3" })) // a provider that gives the name once more
		w.in(token, true)
	})
	t.Run("nor when nobody can tell whether it has ended", func(t *testing.T) {
		w.store.onGet = func(key string) error {
			if strings.HasPrefix(key, outPrefix) {
				return store.ErrUnavailable
			}
			return nil
		}
		token, s, err := w.Create(ctx, provided(func(l *Login) { l.ProviderSID = "sid-4" }))
		w.store.onGet = nil
		if token != "" || s != nil || !errors.Is(err, store.ErrUnavailable) {
			t.Error(token, s, err)
		}
		if n, err := w.RevokeProviderSession(ctx, google, "sid-4"); n != 0 || err != nil {
			t.Error("it is there nevertheless:", n, err)
		}
	})
}

func TestSessionsOfASubject(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, Options{})
	w.accounts.set(identity.Account{ID: "usr_2", Username: "bob", Epoch: 1})
	mine, s := w.create(provided())
	site, _ := w.create(Login{Username: "alice", UserID: "usr_1", Epoch: 1, Parent: s.ID, Site: "https://a.example"})
	other, _ := w.create(provided(func(l *Login) { l.ProviderSubject = "1002" }))
	foreign, _ := w.create(provided(func(l *Login) { l.ProviderIssuer = "https://other.example" }))
	bobs, _ := w.create(provided(func(l *Login) { l.Username, l.UserID = "bob", "usr_2" }))
	local, _ := w.login()
	damaged, d := w.create(provided())
	if err := w.store.Put(ctx, keyPrefix+d.ID, []byte("{"), 0); err != nil {
		t.Fatal(err)
	}
	if n, err := w.RevokeProviderSubject(ctx, "alice", google, "1001"); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, token := range []string{mine, site, damaged} {
		w.in(token, false)
	}
	for _, token := range []string{other, foreign, bobs, local} {
		w.in(token, true)
	}
	t.Run("a store that fails is no success", func(t *testing.T) {
		w.store.onGet = func(string) error { return store.ErrUnavailable }
		defer func() { w.store.onGet = nil }()
		if _, err := w.RevokeProviderSubject(ctx, "alice", google, "1002"); !errors.Is(err, store.ErrUnavailable) {
			t.Error(err)
		}
	})
}

// TestRecordsFromBefore: sessions that were stored before people came from
// providers go on.
func TestRecordsFromBefore(t *testing.T) {
	w := newWorld(t, Options{})
	token, s := w.login()
	now := w.clock.Now().Format(time.RFC3339)
	raw := fmt.Sprintf(`{"id":%q,"username":"alice","user_id":"usr_1","epoch":1,"created":%q,"auth_time":%q,"last_seen":%q,`+
		`"expires":"2026-11-24T12:00:00Z","idle_ns":3600000000000,"amr":["pwd"],"provider":"local"}`, s.ID, now, now, now)
	if err := w.store.Put(t.Context(), keyPrefix+s.ID, []byte(raw), time.Hour); err != nil {
		t.Fatal(err)
	}
	if id := w.in(token, true); id.Provider != identity.Local || id.Subject != "usr_1" {
		t.Errorf("%+v", id)
	}
	w.clock.pass(2 * time.Minute)
	w.in(token, true) // touched
	if got, err := w.Get(t.Context(), s.ID); err != nil || !got.LastSeen.Equal(w.clock.Now()) || got.Parent != "" || !got.Checked.IsZero() {
		t.Errorf("%+v %v", got, err)
	}
}

func TestDamagedProviderRecords(t *testing.T) {
	w := newWorld(t, Options{})
	token, s := w.create(provided())
	whole, _, err := w.store.Get(t.Context(), keyPrefix+s.ID)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"claims that are no object":    {`"claims":{`, `"claims":[],"x":{`},
		"claims as text":               {`"claims":{`, `"claims":"{}","x":{`},
		"no subject":                   {`"provider_subject"`, `"x"`},
		"no issuer":                    {`"provider_issuer"`, `"x"`},
		"a parent that is no session":  {`"checked"`, `"parent":"../user/alice","checked"`},
		"roles that are no list":       {`"roles":["editor"`, `"roles":"admin","x":["editor"`},
		"a seal that is no base64":     {`"sealed":"`, `"sealed":"!`},
		"a time of check that is none": {`"checked":"2026`, `"checked":"soon`},
	} {
		t.Run(name, func(t *testing.T) {
			raw := strings.Replace(string(whole), change[0], change[1], 1)
			if raw == string(whole) {
				t.Fatal("nothing was damaged: ", raw)
			}
			if err := w.store.Put(t.Context(), keyPrefix+s.ID, []byte(raw), 0); err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{
				"Identify": second(w.Identify(t.Context(), token)), "Get": second(w.Get(t.Context(), s.ID)), "Recall": second(w.Recall(t.Context(), s.ID)),
				"Update": second(w.Update(t.Context(), s.ID, func(*Session) error { return nil })),
			} {
				if err == nil || errors.Is(err, identity.ErrUnknown) || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), s.ID) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"id":"ses_x","username":"alice","user_id":"usr_1","provider":"google","provider_issuer":"i","provider_subject":"s","claims":{"a":[1,2.5,{"b":null}]},"sealed":"AAAA"}`))
	f.Add([]byte(`{"claims":null,"parent":"ses_"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := unmarshal(raw)
		if err != nil {
			return
		}
		// What was read can be written, and is the same when read again: else a
		// touch would change or lose a session.
		once, err := marshal(s)
		if err != nil {
			t.Fatalf("%s cannot be written: %v", raw, err)
		}
		again, err := unmarshal(once)
		if err != nil {
			t.Fatalf("%s cannot be read back: %v", once, err)
		}
		if twice, err := marshal(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s\n%s\n%v", once, twice, err)
		}
	})
}
