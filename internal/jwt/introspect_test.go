package jwt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

const askURL = "https://id.example.com/introspect"

// introspecting is a world whose issuer is asked about opaque tokens: answers
// has what it says of each, what is not there is not active.
type introspecting struct {
	*world
	*Introspector
	mu      sync.Mutex
	answers map[string]string
	asked   map[string]int
	results []string
}

func newIntrospecting(t testing.TB, change ...func(*Options, *IntrospectorOptions)) *introspecting {
	t.Helper()
	w := &introspecting{world: newWorld(t), answers: map[string]string{}, asked: map[string]int{}}
	w.site.set(askURL, w.answer)
	o := IntrospectorOptions{URL: askURL, ClientID: "gate:house", ClientSecret: "s+e c/ret", Client: w.site.client(), OnFetch: func(r string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.results = append(w.results, r)
	}}
	for _, fn := range change {
		fn(&w.options, &o)
	}
	w.Introspector = must(NewIntrospector(o))
	t.Cleanup(w.Introspector.Close)
	w.options.Issuers[0].Introspection = w.Introspector
	w.Verifier = must(New(w.options))
	return w
}

func (w *introspecting) answer(r *http.Request) (*http.Response, error) {
	id, secret, ok := r.BasicAuth()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if !ok || err != nil || r.Method != "POST" || id != "gate%3Ahouse" || secret != "s%2Be+c%2Fret" || form.Get("token_type_hint") != "access_token" || len(form) != 2 ||
		r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Accept") != "application/json" {
		return reply(401, ""), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[form.Get("token")]++
	if a := w.answers[form.Get("token")]; a != "" {
		return reply(200, a), nil
	}
	return reply(200, `{"active":false}`), nil
}

func (w *introspecting) set(token, answer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[token] = answer
}

func (w *introspecting) count(token string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[token]
}

func (w *introspecting) active() object {
	return w.claims().without("jti").with("active", true).with("token_type", "Bearer")
}

func TestOpaqueToken(t *testing.T) {
	w := newIntrospecting(t)
	for _, token := range []string{"simple", "2YotnFZFEjr1zCsicMWpAA", "ory_at_abc.def", "a-._~+/==", strings.Repeat("x", maxOpaque), "eyJhbGciOiJFUzI1NiJ9"} {
		w.set(token, w.active().json())
		id := w.in(token)
		if id.Method != identity.JWT || id.Provider != "corp" || id.Issuer != testIssuer || id.Subject != "u-1" || id.Email != "alice@example.com" || len(id.Roles) != 2 || len(id.Scopes) != 2 ||
			!strings.HasPrefix(id.Credential, "opaque:") || strings.Contains(id.Credential, token) || id.Claims["active"] != nil || id.Claims["client_id"] != "c" {
			t.Errorf("%+v", id)
		}
		if w.in(token) != id || w.count(token) != 1 {
			t.Error("it is not remembered")
		}
	}
	w.in(w.token(w.claims())) // and JWTs are as before
}

func TestWhatIsNeverIntrospected(t *testing.T) {
	w := newIntrospecting(t)
	token := w.token(w.claims())
	for _, bad := range []string{
		"", "=", "==", "a b", "a\nb", "a\x00", "ü", "a=b", "a,b", `"a"`, "{}", "a!", "a%20b", "<a>", "a:b", "gh_1a2b3c", strings.Repeat("x", maxOpaque+1), strings.Repeat("x", maxToken+1),
		// Everything in the form of a JWT, however broken.
		"a.b.c", "..", "a..b", "a.b.c.d", "a.b.c.d.e", "a.b.c.d.e.f", token + "=", token + "A", "x" + token, token[:len(token)-1], token + ".", token + "+", "." + token,
		sign("ES256", otherP256(), ecHeader.json(), w.claims().json()), sign("ES256", p256Pair(), ecHeader.with("alg", "none").json(), w.claims().json()),
		w.token(w.claims().with("iss", "https://unknown.example.com")),
	} {
		w.out(bad, "")
	}
	if n := w.site.count(askURL); n != 0 {
		t.Errorf("%d questions: %v", n, w.asked)
	}
	plain := newWorld(t)
	plain.out("opaque", "")
}

// TestIssuerOfOpaqueTokensOnly: a JWT of an issuer without keys is refused, and
// not asked about either.
func TestIssuerOfOpaqueTokensOnly(t *testing.T) {
	w := newIntrospecting(t, func(o *Options, _ *IntrospectorOptions) { o.Issuers[0].Keys = nil })
	w.set("opaque", w.active().json())
	w.in("opaque")
	w.out(w.token(w.claims()), "signs no tokens")
	if n := w.site.count(askURL); n != 1 {
		t.Errorf("%d questions", n)
	}
}

func TestAnswersThatRefuse(t *testing.T) {
	w := newIntrospecting(t)
	now := w.clock.Now().Unix()
	for name, c := range map[string]struct {
		answer object
		reason string
	}{
		"not active":              {object{"active": false}, "does not know"},
		"not active, with claims": {w.active().with("active", false), "does not know"},
		"another issuer":          {w.active().with("iss", "https://evil.example.com"), "issuer"},
		"the issuer is no text":   {w.active().with("iss", []string{testIssuer}), "issuer"},
		"the issuer is null":      {w.active().with("iss", nil), "issuer"},
		"no audience":             {w.active().without("aud"), "audience"},
		"another audience":        {w.active().with("aud", "x"), "audience"},
		"expired":                 {w.active().with("exp", now-31), "expired"},
		"exp is a text":           {w.active().with("exp", fmt.Sprint(now+60)), "exp"},
		"exp is null":             {w.active().with("exp", nil), "exp"},
		"not yet":                 {w.active().with("nbf", now+31), "not count yet"},
		"nbf is a text":           {w.active().with("nbf", "0"), "nbf"},
		"of the future":           {w.active().with("iat", now+31), "future"},
		"no subject":              {w.active().without("sub"), "sub"},
		"an empty subject":        {w.active().with("sub", ""), "sub"},
		"a DPoP token":            {w.active().with("token_type", "DPoP"), "token_type"},
		"a token of no type":      {w.active().with("token_type", ""), "token_type"},
		"the type is no text":     {w.active().with("token_type", true), "token_type"},
		"bound to a key":          {w.active().with("cnf", object{"jkt": "x"}), "bound"},
		"a refresh token":         {w.active().with("token_use", "refresh_token"), "refresh"},
		"an ID token":             {w.active().with("typ", "ID"), "refresh"},
		"a role that is none":     {w.active().with("roles", 7), "wrong type"},
		"verified by a text":      {w.active().with("email_verified", "true"), "wrong type"},
	} {
		t.Run(name, func(t *testing.T) {
			token := strings.ReplaceAll(name, " ", "_")
			token = strings.ReplaceAll(token, ",", "")
			w.set(token, c.answer.json())
			r := w.out(token, c.reason)
			if known := c.answer["active"] == true; known != (r.Who != "") {
				t.Errorf("who: %q", r.Who)
			}
		})
	}
	for name, good := range map[string]object{
		"small_letters": w.active().with("token_type", "bearer"), "no_type": w.active().without("token_type"), "no_issuer": w.active().without("iss"),
		"no_exp": w.active().without("exp"), "no_iat": w.active().without("iat"), "Hydra": w.active().with("token_use", "access_token"), "several": w.active().with("aud", []string{"x", "second"}),
	} {
		w.set(name, good.json())
		w.in(name)
	}
}

func TestAnswersThatTellNothing(t *testing.T) {
	for name, c := range map[string]struct {
		page   func(*http.Request) (*http.Response, error)
		result string
	}{
		"no connection":        {func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }, ResultUnreachable},
		"no answer":            {hang, ResultUnreachable},
		"our secret is wrong":  {func(*http.Request) (*http.Response, error) { return reply(401, `{"active":true}`), nil }, ResultRefused},
		"500":                  {func(*http.Request) (*http.Response, error) { return reply(500, `{"active":true}`), nil }, ResultRefused},
		"201":                  {func(*http.Request) (*http.Response, error) { return reply(201, `{"active":true}`), nil }, ResultRefused},
		"a redirect":           {redirect(307), ResultRefused},
		"a redirect by GET":    {redirect(302), ResultRefused},
		"empty":                {body(""), ResultInvalid},
		"HTML":                 {body("<html>"), ResultInvalid},
		"a list":               {body("[]"), ResultInvalid},
		"nothing":              {body("{}"), ResultInvalid},
		"active as a text":     {body(`{"active":"true","sub":"u","aud":"second"}`), ResultInvalid},
		"active as a number":   {body(`{"active":1,"sub":"u","aud":"second"}`), ResultInvalid},
		"active is null":       {body(`{"active":null}`), ResultInvalid},
		"active twice":         {body(`{"active":false,"active":true,"sub":"u","aud":"second"}`), ResultInvalid},
		"Active":               {body(`{"Active":true,"sub":"u","aud":"second"}`), ResultInvalid},
		"a JWT (RFC 9701)":     {body(b64("{}") + ".e30.AA"), ResultInvalid},
		"deep":                 {body(`{"active":true,"x":` + strings.Repeat("[", 100_000)), ResultInvalid},
		"huge":                 {body(`{"active":true}` + strings.Repeat(" ", maxAnswer)), ResultInvalid},
		"a number of no range": {body(`{"active":true,"sub":"u","aud":"second","exp":1e400}`), ResultInvalid},
		"a broken transfer": {func(*http.Request) (*http.Response, error) {
			r := reply(200, "")
			r.Body = io.NopCloser(broken{})
			return r, nil
		}, ResultUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			everyKey()
			synctest.Test(t, func(t *testing.T) {
				w := newIntrospecting(t)
				w.set("before", w.active().json())
				w.in("before")
				w.site.set(askURL, c.page)
				begin := time.Now()
				w.fault("opaque", ErrIntrospection)
				if time.Since(begin) > patience {
					t.Error(time.Since(begin))
				}
				if len(w.results) != 2 || w.results[0] != ResultOK || w.results[1] != c.result {
					t.Error(w.results)
				}
				w.in("before")
				w.clock.pass(time.Minute)
				w.fault("before", ErrIntrospection) // never on the strength of an old answer
				w.site.set(askURL, w.answer)
				w.set("opaque", w.active().json())
				w.in("opaque")
				w.in("before")
			})
		})
	}
}

func body(s string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return reply(200, s), nil }
}

func redirect(status int) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		if r.URL.String() != askURL {
			panic("the redirect was followed")
		}
		res := reply(status, `{"active":true}`)
		res.Header.Set("Location", askURL+"/other")
		return res, nil
	}
}

// TestErrorsHoldNoSecret: neither the token nor ours.
func TestErrorsHoldNoSecret(t *testing.T) {
	w := newIntrospecting(t)
	for _, page := range []func(*http.Request) (*http.Response, error){hangUp, body("opaque-value"), redirect(302)} {
		w.site.set(askURL, page)
		_, err := w.Identify(t.Context(), "opaque-value")
		for _, secret := range []string{"opaque-value", "s+e c/ret", "s%2Be", w.basic} {
			if strings.Contains(err.Error(), secret) {
				t.Error(err)
			}
		}
	}
}

func hangUp(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }

func TestMemoryOfAnswers(t *testing.T) {
	t.Run("a good one for a minute, and the identity stays the same", func(t *testing.T) {
		w := newIntrospecting(t)
		w.set("opaque", w.active().json())
		id := w.in("opaque")
		w.clock.pass(time.Minute - 1)
		w.in("opaque")
		if w.count("opaque") != 1 {
			t.Error(w.count("opaque"))
		}
		w.clock.pass(1)
		if w.in("opaque") != id || w.count("opaque") != 2 {
			t.Error("another identity", w.count("opaque"))
		}
		w.set("opaque", w.active().with("roles", []string{"other"}).json())
		w.clock.pass(time.Minute)
		if again := w.in("opaque"); again == id || again.Roles[0] != "other" {
			t.Error("the same identity")
		}
	})
	t.Run("for as long as configured", func(t *testing.T) {
		w := newIntrospecting(t, func(_ *Options, o *IntrospectorOptions) { o.Cache = time.Hour })
		w.set("opaque", w.active().without("exp").json())
		w.in("opaque")
		w.clock.pass(time.Hour - 1)
		w.in("opaque")
		if w.count("opaque") != 1 {
			t.Error(w.count("opaque"))
		}
	})
	t.Run("never beyond its exp", func(t *testing.T) {
		w := newIntrospecting(t)
		w.set("opaque", w.active().with("exp", w.clock.Now().Unix()+10).json())
		w.in("opaque")
		w.set("opaque", `{"active":false}`)
		w.clock.pass(10*time.Second - 1)
		w.in("opaque")
		w.clock.pass(1)
		w.out("opaque", "does not know")
	})
	t.Run("revoked at its issuer, it ends with the memory", func(t *testing.T) {
		w := newIntrospecting(t)
		w.set("opaque", w.active().json())
		id := w.in("opaque")
		w.set("opaque", "")
		w.clock.pass(time.Minute)
		w.out("opaque", "does not know")
		w.out("opaque", "does not know")
		if w.count("opaque") != 2 || w.opaque.granted.cache.Len() != 0 {
			t.Error(w.count("opaque"), w.opaque.granted.cache.Len())
		}
		if alive, err := w.Alive(t.Context(), id); alive || err != nil {
			t.Error(alive, err)
		}
	})
	t.Run("a bad one for 10 seconds", func(t *testing.T) {
		w := newIntrospecting(t)
		for range 5 {
			w.out("opaque", "does not know")
		}
		if w.count("opaque") != 1 {
			t.Error(w.count("opaque"))
		}
		w.clock.pass(10 * time.Second)
		w.set("opaque", w.active().json())
		w.in("opaque")
	})
	t.Run("bad ones do not push out good ones", func(t *testing.T) {
		w := newIntrospecting(t, func(o *Options, _ *IntrospectorOptions) { o.CacheSize = 4 })
		w.set("opaque", w.active().json())
		w.in("opaque")
		for n := range 5000 {
			w.out(fmt.Sprint("bad", n), "does not know")
		}
		w.in("opaque")
		if w.count("opaque") != 1 || w.opaque.refusals.cache.Len() > maxRefused {
			t.Error(w.count("opaque"), w.opaque.refusals.cache.Len())
		}
	})
	t.Run("large answers are remembered in smaller number", func(t *testing.T) {
		w := newIntrospecting(t, func(o *Options, _ *IntrospectorOptions) { o.CacheSize = 64 })
		for n := range 20 {
			token := fmt.Sprint("t", n)
			w.set(token, w.active().with("pad", strings.Repeat("x", 20_000)).json())
			w.in(token)
			w.clock.pass(time.Minute)
			w.in(token)
		}
		if n := w.opaque.granted.cache.Len(); n > 3 || n < 2 || w.opaque.granted.weight.Load() > 64*perToken {
			t.Error(n, w.opaque.granted.weight.Load())
		}
	})
	t.Run("one token of two issuers is two things", func(t *testing.T) {
		a, b := &opaque{issuer: &issuer{name: "a"}}, &opaque{issuer: &issuer{name: "b"}}
		if a.key(digest{1}) == b.key(digest{1}) || a.key(digest{1}) == a.key(digest{2}) {
			t.Error("they share a key")
		}
	})
}

func TestQuestionsAtOnce(t *testing.T) {
	everyKey()
	slowly := func(w *introspecting) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(time.Second):
				return w.answer(r)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
	}
	t.Run("about one token are one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newIntrospecting(t)
			w.site.set(askURL, slowly(w))
			w.set("good", w.active().json())
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() { w.in("good") })
				all.Go(func() { w.out("bad", "does not know") })
			}
			all.Wait()
			if w.count("good") != 1 || w.count("bad") != 1 {
				t.Error(w.count("good"), w.count("bad"))
			}
			if len(w.opaque.calls) != 0 {
				t.Error("calls left behind")
			}
		})
	})
	t.Run("who hangs up does not answer for the others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newIntrospecting(t)
			w.site.set(askURL, slowly(w))
			w.set("good", w.active().json())
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			all.Go(func() {
				if _, err := w.Identify(ctx, "good"); !errors.Is(err, context.Canceled) || errors.Is(err, identity.ErrUnknown) {
					t.Error(err)
				}
			})
			synctest.Wait()
			for range 10 {
				all.Go(func() { w.in("good") })
			}
			all.Go(func() { // waits for another's answer, and not for longer than it can
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if _, err := w.Identify(ctx, "good"); !errors.Is(err, ErrIntrospection) || !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
			synctest.Wait()
			time.Sleep(500 * time.Millisecond)
			cancel()
			all.Wait()
			if w.count("good") != 1 {
				t.Error(w.count("good"))
			}
		})
	})
	t.Run("about different tokens are 64 at most", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newIntrospecting(t)
			w.site.set(askURL, slowly(w))
			w.set("good", w.active().json())
			w.in("good")
			var all sync.WaitGroup
			for n := range atOnce {
				all.Go(func() { w.out(fmt.Sprint("bad", n), "does not know") })
			}
			synctest.Wait()
			w.fault("one-more", ErrIntrospection)
			w.in("good") // remembered ones are not hindered
			all.Wait()
			w.out("one-more", "does not know")
			if w.results[1] != ResultBusy {
				t.Error(w.results)
			}
		})
	})
	t.Run("about tokens that strangers make up leave room for those that were good", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newIntrospecting(t)
			w.site.set(askURL, slowly(w))
			for n := range kept {
				w.set(fmt.Sprint("good", n), w.active().json())
				w.in(fmt.Sprint("good", n))
			}
			w.clock.pass(61 * time.Second) // all of them have to be asked about again
			var all sync.WaitGroup
			for n := range atOnce {
				all.Go(func() { w.out(fmt.Sprint("bad", n), "does not know") })
			}
			synctest.Wait()
			w.fault("one-more", ErrIntrospection)
			for n := range kept {
				all.Go(func() { w.in(fmt.Sprint("good", n)) })
			}
			all.Wait()
		})
	})
}

// TestKeyIsNoTokenToRevoke: whoever takes a leaked key for a token must not be told
// that it is refused from now on.
func TestKeyIsNoTokenToRevoke(t *testing.T) {
	w := newIntrospecting(t)
	for _, key := range []string{"gh_1a2b3c", "gh_AAAAAAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		if d, err := w.Describe(key); !errors.Is(err, identity.ErrUnknown) || d != (Description{}) {
			t.Errorf("%+v %v", d, err)
		}
	}
}

func TestAliveOfOpaqueTokens(t *testing.T) {
	w := newIntrospecting(t)
	r := revocable(t, w.clock.Now)
	w.options.Revocations = r
	w.Verifier = must(New(w.options))
	alive := func(id *identity.Identity) bool {
		t.Helper()
		ok, err := w.Alive(t.Context(), id)
		if err != nil {
			t.Error(err)
		}
		return ok
	}
	w.set("opaque", w.active().without("exp").json())
	w.set("other", w.active().without("exp").with("jti", "o-1").json())
	id, other := w.in("opaque"), w.in("other")
	for range 10 {
		if !alive(id) {
			t.Fatal("it is dead")
		}
		w.clock.pass(30 * time.Second)
	}
	if w.count("opaque") != 5 {
		t.Errorf("asked %d times in 5 minutes", w.count("opaque"))
	}
	t.Run("its issuer cannot be asked", func(t *testing.T) {
		w.clock.pass(time.Minute)
		w.site.down(askURL)
		if ok, err := w.Alive(t.Context(), id); ok || !errors.Is(err, ErrIntrospection) {
			t.Error(ok, err)
		}
		w.site.set(askURL, w.answer)
	})
	t.Run("revoked here", func(t *testing.T) {
		d, err := w.Describe("opaque")
		if err != nil || d.Issuer != testIssuer || d.JTI != "" {
			t.Fatal(d, err)
		}
		add(t, r, d.Revocation())
		if alive(id) {
			t.Error("it is alive")
		}
		w.out("opaque", "revoked")
		if !alive(other) {
			t.Error("the other died too")
		}
		add(t, r, Revocation{Issuer: testIssuer, JTI: "o-1"})
		if alive(other) {
			t.Error("it is alive")
		}
	})
	t.Run("of a verifier that never saw the token", func(t *testing.T) {
		v := must(New(w.options))
		if ok, err := v.Alive(t.Context(), id); ok || err != nil {
			t.Error(ok, err)
		}
		for _, c := range []string{"opaque:", "opaque:x", "opaque:" + strings.Repeat("A", 44)} {
			odd := *id
			odd.Credential = c
			if ok, err := v.Alive(t.Context(), &odd); ok || err != nil {
				t.Error(c, ok, err)
			}
		}
	})
	if _, err := w.Describe("a b"); !errors.Is(err, identity.ErrUnknown) {
		t.Error(err)
	}
}

func TestIntrospectorOptions(t *testing.T) {
	good := IntrospectorOptions{URL: askURL, ClientID: "c", ClientSecret: "very-secret"}
	for name, change := range map[string]func(*IntrospectorOptions){
		"no URL": func(o *IntrospectorOptions) { o.URL = "" }, "http": func(o *IntrospectorOptions) { o.URL = "http://id.example.com" },
		"a user": func(o *IntrospectorOptions) { o.URL = "https://u:p@id.example.com" }, "no client": func(o *IntrospectorOptions) { o.ClientID = "" },
		"no secret": func(o *IntrospectorOptions) { o.ClientSecret = "" }, "negative": func(o *IntrospectorOptions) { o.Cache = -1 },
	} {
		o := good
		change(&o)
		if i, err := NewIntrospector(o); err == nil || i != nil || strings.Contains(err.Error(), "very-secret") {
			t.Error(name, err)
		}
	}
}

// TestIntrospectionOverTheNetwork goes over a real connection.
func TestIntrospectionOverTheNetwork(t *testing.T) {
	w := newWorld(t)
	claims := w.claims().with("active", true).json()
	issuer := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if r.URL.Path != "/introspect" || r.FormValue("token") != "opaque" || id != "c" || secret != "s" {
			http.Redirect(rw, r, "/introspect", http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(rw, claims)
	}))
	defer issuer.Close()
	for path, good := range map[string]bool{"/introspect": true, "/elsewhere": false} {
		i := must(NewIntrospector(IntrospectorOptions{URL: issuer.URL + path, ClientID: "c", ClientSecret: "s", Client: issuer.Client()}))
		w.options.Issuers[0].Introspection = i
		w.Verifier = must(New(w.options))
		if good {
			w.in("opaque")
		} else {
			w.fault("opaque", ErrIntrospection)
		}
		i.Close()
	}
}

// FuzzIntrospection: whatever an issuer answers, only a clear yes lets in.
func FuzzIntrospection(f *testing.F) {
	w := newIntrospecting(f)
	f.Add(w.active().json())
	for name, value := range map[string]string{"active": `"true"`, "aud": `["second"]`, "exp": "1e308", "iss": "null", "token_type": `"dpop"`, "cnf": "{}", "sub": `""`, "scope": `["a"]`, "token_use": `"refresh_token"`} {
		doc := w.active().without(name).json()
		f.Add(doc[:len(doc)-1] + `,"` + name + `":` + value + "}")
	}
	f.Add(`{"active":false}`)
	f.Add(`{"active":true,"active":false}`)
	f.Fuzz(func(t *testing.T, answer string) {
		claims, err := parseAnswer(answer)
		if err != nil {
			if claims != nil || resultOf(err) != ResultInvalid {
				t.Fatal(claims, err)
			}
			return
		}
		now := w.clock.Now()
		g, err := w.opaque.accept(claims, "opaque", digest{}, now)
		if err != nil {
			if g != nil || !errors.Is(err, identity.ErrUnknown) {
				t.Fatal(g, err)
			}
			return
		}
		if !strings.Contains(answer, "true") || !g.identity.Authenticated() || g.identity.Subject == "" || g.identity.Provider != "corp" || g.covers(now) != nil {
			t.Fatalf("%q lets %+v in", answer, g.identity)
		}
		if g.fresh.After(now.Add(time.Minute)) || !g.until.IsZero() && g.fresh.After(g.until) {
			t.Fatalf("%q is believed until %v", answer, g.fresh)
		}
	})
}
