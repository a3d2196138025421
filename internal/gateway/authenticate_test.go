package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// bearer is an authenticator of Authorization: Bearer.
type bearer struct{}

func (bearer) Authenticate(_ context.Context, r *http.Request, _ Caller) (Result, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		return Result{Outcome: Absent, Challenge: `Bearer realm="api"`}, nil
	case token == "good":
		return Result{Outcome: Good, Header: "Authorization", Identity: &identity.Identity{Method: identity.JWT, Subject: "robot"}}, nil
	}
	return Result{Header: "Authorization"}, nil
}

func withBearer(s *scene) *scene {
	s.options.Authenticators = append([]Authenticator{bearer{}}, s.options.Authenticators...)
	return s
}

func TestOneCredentialPerRequest(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []string
		status  int
		user    string // "" with 200: nobody
	}{
		{"nothing", nil, 200, ""},
		{"good cookie", []string{"Cookie", "__Host-gatehouse=" + goodToken}, 200, "alice"},
		{"good token", []string{"Authorization", "Bearer good"}, 200, "robot"},
		{"token wins over cookie", []string{"Authorization", "Bearer good", "Cookie", "__Host-gatehouse=" + goodToken}, 200, "robot"},
		{"bad token", []string{"Authorization", "Bearer bad"}, 401, ""},
		{"bad token does not fall through to a good cookie", []string{"Authorization", "Bearer bad", "Cookie", "__Host-gatehouse=" + goodToken}, 401, ""},
		{"unclaimed scheme", []string{"Authorization", "Digest x"}, 401, ""},
		{"unclaimed scheme beside a good cookie", []string{"Authorization", "Digest x", "Cookie", "__Host-gatehouse=" + goodToken}, 401, ""},
		{"empty Authorization", []string{"Authorization", ""}, 401, ""},
		{"two Authorization headers, first good", []string{"Authorization", "Bearer good", "Authorization", "Bearer bad"}, 401, ""},
		{"two Authorization headers, both good", []string{"Authorization", "Bearer good", "Authorization", "Bearer good"}, 401, ""},
		{"malformed cookie is nobody", []string{"Cookie", "__Host-gatehouse="}, 200, ""},
		{"the cookie twice with different values is nobody", []string{"Cookie", "__Host-gatehouse=x; __Host-gatehouse=" + goodToken}, 200, ""},
		{"cookie of another name", []string{"Cookie", "gatehouse=" + goodToken}, 200, ""},
		{"cookie name in other case", []string{"Cookie", "__host-gatehouse=" + goodToken}, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := withBearer(newScene())
			s.options.Decider = deciderFunc(allowAll)
			res := s.do(t, get("/", c.headers...))
			if res.StatusCode != c.status {
				t.Fatalf("status %d, want %d", res.StatusCode, c.status)
			}
			if c.status == 401 {
				if got := res.Header.Get("WWW-Authenticate"); got != `Bearer realm="app.example.com", error="invalid_token"` {
					t.Errorf("WWW-Authenticate: %q", got)
				}
				if s.record(t).Verdict != BadCredential {
					t.Errorf("verdict %q", s.record(t).Verdict)
				}
				return
			}
			h := s.last(t).Header
			if h.Get("Remote-User") != c.user {
				t.Errorf("Remote-User = %q, want %q", h.Get("Remote-User"), c.user)
			}
			if h["Authorization"] != nil {
				t.Errorf("the credential reached the app: %q", h["Authorization"])
			}
			if strings.Contains(strings.Join(h["Cookie"], ";"), goodToken) {
				t.Errorf("the cookie reached the app: %q", h["Cookie"])
			}
		})
	}
}

func TestUnclaimedAuthorizationIsPassedOnlyWhenTheSiteSaysSo(t *testing.T) {
	s := withBearer(newScene())
	s.options.PassAuthorization = true
	s.do(t, getAs("/", "Authorization", "Digest x"))
	if h := s.last(t).Header; h.Get("Authorization") != "Digest x" || h.Get("Remote-User") != "alice" {
		t.Errorf("the app got %v", h)
	}
	if res := s.do(t, getAs("/", "Authorization", "Bearer bad")); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a claimed and bad credential got %d", res.StatusCode)
	}
}

func TestStaleCookieIsClearedOnEveryAnswer(t *testing.T) {
	const cleared = "__Host-gatehouse=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"
	stale := func(path string) *http.Request { return get(path, "Cookie", "__Host-gatehouse=gone; theme=dark") }
	t.Run("on the app's answer to a stranger", func(t *testing.T) {
		s := newScene()
		s.options.Decider = deciderFunc(allowAll)
		s.app = func(w http.ResponseWriter, _ *http.Request) { w.Header().Add("Set-Cookie", "theme=light") }
		res := s.do(t, stale("/"))
		if got := res.Header.Values("Set-Cookie"); len(got) != 2 || got[0] != "theme=light" || got[1] != cleared {
			t.Errorf("Set-Cookie: %q", got)
		}
		if got := s.last(t).Header.Get("Cookie"); got != "theme=dark" {
			t.Errorf("the app's own cookie became %q", got)
		}
	})
	t.Run("on the way to the login page", func(t *testing.T) {
		res := newScene().do(t, asPerson(stale("/")))
		if got := res.Header.Values("Set-Cookie"); res.StatusCode != 302 || len(got) != 1 || got[0] != cleared {
			t.Errorf("%d, Set-Cookie: %q", res.StatusCode, got)
		}
	})
	t.Run("on a 401", func(t *testing.T) {
		res := newScene().do(t, stale("/"))
		if got := res.Header.Values("Set-Cookie"); res.StatusCode != 401 || len(got) != 1 || got[0] != cleared {
			t.Errorf("%d, Set-Cookie: %q", res.StatusCode, got)
		}
	})
}

func TestPolicyFaultClearsNoCookie(t *testing.T) {
	s := newScene()
	s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) { return decision.Answer{}, errors.New("timeout") })
	res := s.do(t, get("/", "Cookie", "__Host-gatehouse=gone"))
	if res.StatusCode != http.StatusServiceUnavailable || res.Header["Set-Cookie"] != nil {
		t.Errorf("%d, Set-Cookie: %q", res.StatusCode, res.Header["Set-Cookie"])
	}
}

func TestStoreFaultIsNeverAPassAndClearsNoCookie(t *testing.T) {
	s := newScene()
	s.options.Decider = deciderFunc(allowAll)
	s.sessions.err = errors.New("dial tcp 10.0.0.7:6379: secret detail")
	res := s.do(t, getAs("/"))
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	if res.Header["Set-Cookie"] != nil {
		t.Errorf("a cookie was cleared: %q", res.Header["Set-Cookie"])
	}
	if strings.Contains(string(body), "secret detail") {
		t.Errorf("internal error text went out: %s", body)
	}
	id := s.record(t).ID
	if log := s.log.String(); !strings.Contains(log, "secret detail") || !strings.Contains(log, id) {
		t.Errorf("the log does not tell the cause under the request id: %s", log)
	}
	if len(s.seen) != 0 {
		t.Error("the app was called")
	}
}

func TestAuthenticatorThatVouchesForNobody(t *testing.T) {
	for name, id := range map[string]*identity.Identity{"nil": nil, "zero": {}, "method none": {Method: identity.None}} {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			s.options.Decider = deciderFunc(allowAll)
			s.options.Authenticators = []Authenticator{authFunc(func() (Result, error) { return Result{Outcome: Good, Identity: id}, nil })}
			if res := s.do(t, get("/")); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("status %d, want 401", res.StatusCode)
			}
		})
	}
}

type authFunc func() (Result, error)

func (f authFunc) Authenticate(context.Context, *http.Request, Caller) (Result, error) { return f() }

func TestRateLimitUsedUp(t *testing.T) {
	s := newScene()
	robot := &identity.Identity{Method: identity.Key, Subject: "svc_1", Username: "robot"}
	s.options.Authenticators = []Authenticator{authFunc(func() (Result, error) {
		return Result{}, &identity.ThrottledError{
			Retry: 2500 * time.Millisecond, Who: robot,
			Quota: identity.Quota{Rate: identity.Rate{Requests: 100, Per: time.Minute}, Reset: 59*time.Second + time.Millisecond},
		}
	})}
	res := s.do(t, get("/"))
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "3" || res.Header.Get("RateLimit") != `"key";r=0;t=60` ||
		res.Header.Get("RateLimit-Policy") != `"key";q=100;w=60` {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if r := s.record(t); r.Verdict != Throttled || r.Identity != robot {
		t.Errorf("recorded %+v", r)
	}
}

// FuzzAuthorization checks that no Authorization header, however it looks, is
// both ignored and followed by a pass on the strength of the cookie.
func FuzzAuthorization(f *testing.F) {
	for _, v := range []string{"", " ", "Bearer good", "bearer bad", "Basic x", "Bearer", "\tBearer good", "Bearer good, Bearer bad", "Négocier"} {
		f.Add(v, false)
		f.Add(v, true)
	}
	f.Fuzz(func(t *testing.T, value string, twice bool) {
		s := withBearer(newScene())
		r := getAs("/")
		r.Header["Authorization"] = []string{value}
		if twice {
			r.Header["Authorization"] = []string{value, "Bearer good"}
		}
		res := s.do(t, r)
		if twice && res.StatusCode != http.StatusUnauthorized {
			t.Fatalf("two Authorization headers passed with %d", res.StatusCode)
		}
		if res.StatusCode == http.StatusOK && s.last(t).Header.Get("Remote-User") != "robot" {
			t.Fatalf("%q beside a good cookie passed as %v", value, s.last(t).Header)
		}
	})
}

// A decider that fails names the policy that did, and whatever else it says is
// no pass.
func TestFaultTellsTheRevisionAndNothingElse(t *testing.T) {
	s := newScene()
	var told Record
	s.options.Recorder = recorderFunc(func(r Record) { told = r })
	s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) {
		return decision.Answer{Allow: true, Revision: "r7", Reasons: []string{"x"}}, errors.New("timeout")
	})
	if res := s.do(t, get("/")); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", res.StatusCode)
	}
	if told.Verdict != Fault || told.Revision != "r7" || told.Reasons != nil {
		t.Errorf("recorded %+v", told)
	}
}

type recorderFunc func(Record)

func (f recorderFunc) Decided(_ context.Context, r Record) { f(r) }

// TestSessionOfAnotherSite: a session that one site was given for itself is none at
// any other, nor at another port or scheme of the same.
func TestSessionOfAnotherSite(t *testing.T) {
	for _, c := range []struct {
		site string
		good bool
	}{
		{"http://app.example.com", true}, {"", true},
		{"https://app.example.com", false}, {"http://app.example.com:8080", false}, {"http://other.example.com", false}, {"http://app.example.com.", false},
	} {
		s := newScene()
		who := alice()
		who.Site = c.site
		s.sessions.known[goodToken] = who
		r := getAs("/")
		r.Host = "App.Example.com"
		if res := s.do(t, r); (res.StatusCode == http.StatusOK) != c.good {
			t.Errorf("a session of %q: status %d", c.site, res.StatusCode)
		}
		if !c.good && len(s.seen) > 0 {
			t.Errorf("a session of %q reached the app", c.site)
		}
	}
}
