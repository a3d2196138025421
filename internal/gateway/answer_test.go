package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// page is a Pages that says which page it would show.
type page struct{}

func (page) Problem(w http.ResponseWriter, _ *http.Request, p problem.Problem) {
	p.Headers(w.Header())
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(p.Status)
	_, _ = io.WriteString(w, "page "+string(p.Kind)+" "+strings.Join(p.Reasons, ","))
}

func TestAnswers(t *testing.T) {
	no := decision.Answer{Revision: "r1"}
	denied := decision.Answer{Allow: true, Reasons: []string{"finance only"}}
	require := func(steps ...decision.Step) decision.Answer { return decision.Answer{Allow: true, Require: steps} }
	fresh := alice()
	fresh.AuthTime, fresh.AMR = time.Now().Add(-time.Minute), []string{"pwd", "otp", "mfa"}
	robot := &identity.Identity{Method: identity.Basic, Subject: "r", AuthTime: time.Now().Add(-time.Hour)}
	future := alice()
	future.AuthTime = time.Now().Add(time.Hour)
	const insufficient = `Bearer error="insufficient_user_authentication"`

	for _, c := range []struct {
		name       string
		identity   *identity.Identity // nil: nobody
		answer     decision.Answer
		err        error
		person     int    // status for a navigation
		location   string // of a 302
		program    int    // status for anything else
		challenge  string // for programs
		verdict    Verdict
		pageOrKind problem.Kind
	}{
		{"stranger, allowed", nil, decision.Answer{Allow: true}, nil, 200, "", 200, "", Allow, ""},
		{"stranger, not allowed", nil, no, nil, 302, "/_gatehouse/login?return_to=%2Fr%3Fa%3D1", 401, `Bearer realm="app.example.com"`, Login, problem.NotSignedIn},
		{"stranger, login required", nil, require(decision.Login), nil, 302, "/_gatehouse/login?return_to=%2Fr%3Fa%3D1", 401, `Bearer realm="app.example.com"`, Login, problem.NotSignedIn},
		{"stranger, second factor required", nil, require(decision.MFA), nil, 302, "/_gatehouse/login?return_to=%2Fr%3Fa%3D1", 401, `Bearer realm="app.example.com"`, Login, problem.NotSignedIn},
		{"stranger, allowed but for a reason", nil, denied, nil, 403, "", 403, "", Deny, problem.Forbidden},
		{"known, allowed", alice(), decision.Answer{Allow: true}, nil, 200, "", 200, "", Allow, ""},
		{"known, not allowed", alice(), no, nil, 403, "", 403, "", Deny, problem.Forbidden},
		{"known, denied with a reason", alice(), denied, nil, 403, "", 403, "", Deny, problem.Forbidden},
		{"a reason beats a step", alice(), decision.Answer{Allow: true, Reasons: []string{"x"}, Require: []decision.Step{decision.Reauth}}, nil, 403, "", 403, "", Deny, problem.Forbidden},
		{"a step alone does not allow", fresh, decision.Answer{Require: []decision.Step{decision.Login}}, nil, 403, "", 403, "", Deny, problem.Forbidden},
		{"login met", alice(), require(decision.Login), nil, 200, "", 200, "", Allow, ""},
		{"old login, fresh one required", alice(), require(decision.Reauth), nil, 302, "/_gatehouse/login?return_to=%2Fr%3Fa%3D1&step=reauth", 401, insufficient + `, max_age="300"`, StepUp, problem.StepUp},
		{"fresh login", fresh, require(decision.Reauth), nil, 200, "", 200, "", Allow, ""},
		{"login in the future is not fresh", future, require(decision.Reauth), nil, 302, "/_gatehouse/login?return_to=%2Fr%3Fa%3D1&step=reauth", 401, insufficient + `, max_age="300"`, StepUp, problem.StepUp},
		{"no session to renew", robot, require(decision.Reauth), nil, 401, "", 401, insufficient + `, max_age="300"`, StepUp, problem.StepUp},
		{"second factor met", fresh, require(decision.MFA), nil, 200, "", 200, "", Allow, ""},
		{"second factor missing", alice(), require(decision.MFA, decision.Reauth), nil, 403, "", 401, insufficient, StepUp, problem.StepUp},
		{"unknown step is never met", fresh, require("retina"), nil, 403, "", 401, insufficient, StepUp, problem.StepUp},
		{"policy fault", alice(), decision.Answer{Allow: true}, errors.New("undefined function f"), 503, "", 503, "", Fault, problem.Unavailable},
		{"policy fault, stranger", nil, decision.Answer{Allow: true}, errors.New("timeout"), 503, "", 503, "", Fault, problem.Unavailable},
		{"zero answer", alice(), decision.Answer{}, nil, 403, "", 403, "", Deny, problem.Forbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, person := range []bool{true, false} {
				s := newScene()
				s.options.Pages = page{}
				s.sessions.known[goodToken] = c.identity
				s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) { return c.answer, c.err })
				r, want := get("/r?a=1"), c.program
				if c.identity != nil {
					r = getAs("/r?a=1")
				}
				if person {
					r, want = asPerson(r), c.person
				}
				res := s.do(t, r)
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				if res.StatusCode != want {
					t.Fatalf("person %t: status %d, want %d", person, res.StatusCode, want)
				}
				rec := s.record(t)
				if rec.Verdict != c.verdict {
					t.Errorf("person %t: verdict %q, want %q", person, rec.Verdict, c.verdict)
				}
				if res.StatusCode == http.StatusOK {
					continue
				}
				checkOurs(t, res, rec)
				switch {
				case res.StatusCode == http.StatusFound:
					if got := res.Header.Get("Location"); got != c.location {
						t.Errorf("Location: %q, want %q", got, c.location)
					}
				case person:
					if want := "page " + string(c.pageOrKind) + " " + strings.Join(c.answer.Reasons, ","); c.err == nil && string(body) != want {
						t.Errorf("the page is %q, want %q", body, want)
					}
				default:
					checkDocument(t, res, body, rec, c.pageOrKind)
					if got := res.Header.Get("WWW-Authenticate"); got != c.challenge {
						t.Errorf("WWW-Authenticate: %q, want %q", got, c.challenge)
					}
				}
				if c.err != nil && (strings.Contains(string(body), c.err.Error()) || !strings.Contains(s.log.String(), c.err.Error())) {
					t.Errorf("the cause belongs in the log alone; body %q, log %q", body, s.log)
				}
			}
		})
	}
}

func checkOurs(t *testing.T, res *http.Response, rec Record) {
	t.Helper()
	if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("X-Request-Id") != rec.ID || len(rec.ID) != 26 {
		t.Errorf("headers %v for the request %q", res.Header, rec.ID)
	}
	if res.StatusCode == 503 && res.Header.Get("Retry-After") == "" {
		t.Error("a 503 without Retry-After")
	}
	if res.StatusCode == 401 && res.Header.Get("WWW-Authenticate") == "" {
		t.Error("a 401 without WWW-Authenticate")
	}
}

func checkDocument(t *testing.T, res *http.Response, body []byte, rec Record, kind problem.Kind) {
	t.Helper()
	var doc struct {
		Type      string   `json:"type"`
		Title     string   `json:"title"`
		Status    int      `json:"status"`
		RequestID string   `json:"request_id"`
		Reasons   []string `json:"reasons"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if res.Header.Get("Content-Type") != "application/problem+json" || doc.Type != "urn:gatehouse:problem:"+string(kind) ||
		doc.Status != res.StatusCode || doc.RequestID != rec.ID || doc.Title == "" || len(doc.Reasons) != len(rec.Reasons) {
		t.Errorf("document %s", body)
	}
}

func TestReturnToLeadsBackToThisSiteOnly(t *testing.T) {
	for _, c := range []struct{ name, target, want string }{
		{"page with a query", "/a/b?c=d&e=f", "/a/b?c=d&e=f"},
		{"protocol relative", "//evil.example/x", ""},
		{"absolute form", "http://evil.example/x?y=1", "/x?y=1"},
		{"encoded slashes", "/%2fevil.example", ""},
		{"dot segment", "/.//evil.example", ""},
		{"URL inside a query", "/go?to=//evil.example", "/go?to=//evil.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene()
			res := s.raw(t, "GET "+c.target+" HTTP/1.1\nHost: app.example.com\nSec-Fetch-Mode: navigate\n\n")
			to, err := url.Parse(res.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != 302 || to.Host != "" || to.Path != "/_gatehouse/login" || to.Query().Get("return_to") != c.want {
				t.Errorf("%d to %q, want return_to %q", res.StatusCode, to, c.want)
			}
		})
	}
}

func TestHeadIsANavigationWithoutABody(t *testing.T) {
	s := newScene()
	res := s.raw(t, "HEAD / HTTP/1.1\nHost: app.example.com\nAccept: text/html\n\n")
	if res.StatusCode != 302 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestLowerCaseGetIsNoNavigation(t *testing.T) {
	s := newScene()
	r := httptest.NewRequest("get", "/", nil)
	if res := s.do(t, asPerson(r)); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", res.StatusCode)
	}
}

func TestChallengesOfAllAuthenticators(t *testing.T) {
	s := withBearer(newScene())
	res := s.do(t, get("/"))
	if got := res.Header.Get("WWW-Authenticate"); got != `Bearer realm="api"` {
		t.Errorf("WWW-Authenticate: %q", got)
	}
}

func TestRecordTellsTheDecision(t *testing.T) {
	s := newScene()
	s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) {
		return decision.Answer{Allow: true, Revision: "r7", Cached: true, Log: map[string]any{"k": 1}}, nil
	})
	s.do(t, getAs("/x"))
	r := s.record(t)
	if r.Site != "app.example.com" || r.Method != "GET" || r.Path != "/x" || r.Identity.ID != "usr_1" || r.Revision != "r7" ||
		!r.Cached || r.Log["k"] != 1 || r.Duration <= 0 || r.ClientIP.String() != "203.0.113.9" {
		t.Errorf("record %+v", r)
	}
	if got := s.last(t).Header.Get("X-Request-Id"); got != r.ID {
		t.Errorf("the app heard of %q, the log of %q", got, r.ID)
	}
}
