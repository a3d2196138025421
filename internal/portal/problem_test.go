package portal

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

func TestProblemPages(t *testing.T) {
	h := newHouse(t)
	page := func(pr problem.Problem, target string, cookies ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, site+target, nil)
		for _, c := range cookies {
			r.Header.Add("Cookie", c)
		}
		w := httptest.NewRecorder()
		h.portal.Problem(w, r, pr)
		return w
	}
	t.Run("refused, with reasons and the decision id", func(t *testing.T) {
		w := page(problem.Problem{
			Status: 403, Kind: problem.Forbidden, Reasons: []string{"office hours are over", "not in finance"},
			RequestID: "01ABC", DecisionID: "01ABC",
		}, "/reports?year=1", "__Host-gatehouse=x")
		wantStatus(t, w, http.StatusForbidden)
		wantWords(t, w, "You may not go in here", "office hours are over", "not in finance", "Decision id 01ABC", "Sign out", "Use another account")
		if !strings.Contains(w.Body.String(), `/_gatehouse/login?return_to=%2Freports%3Fyear%3D1&amp;step=switch`) {
			t.Error("the other account would not come back here")
		}
		if strings.Contains(words(w), "Request id") {
			t.Error("one id is shown twice")
		}
	})
	t.Run("refused without a session", func(t *testing.T) {
		w := page(problem.Problem{Status: 403, Kind: problem.Forbidden}, "/")
		wantWords(t, w, "Sign in")
		if strings.Contains(words(w), "Sign out") {
			t.Error("nobody can sign out here")
		}
	})
	t.Run("nobody", func(t *testing.T) {
		w := page(problem.Problem{Status: 401, Kind: problem.NotSignedIn, Challenge: "Bearer"}, "/x")
		wantStatus(t, w, http.StatusUnauthorized)
		wantWords(t, w, "Sign in to go on")
		if w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Error("the challenge is lost")
		}
	})
	t.Run("a bad credential", func(t *testing.T) {
		wantWords(t, page(problem.Problem{Status: 401, Kind: problem.BadCredential, Challenge: "Bearer"}, "/x"), "Your credential was not accepted")
	})
	t.Run("where a login does not help", func(t *testing.T) {
		for _, pr := range []problem.Problem{
			{Status: 401, Kind: problem.NoCredential, Challenge: "Bearer", NoLogin: true},
			{Status: 401, Kind: problem.BadCredential, Challenge: "Bearer", NoLogin: true},
			{Status: 403, Kind: problem.Forbidden, NoLogin: true},
		} {
			w := page(pr, "/x", "__Host-gatehouse=x")
			wantStatus(t, w, pr.Status)
			if strings.Contains(w.Body.String(), "/login") {
				t.Errorf("%s offers a login", pr.Kind)
			}
		}
	})
	t.Run("too many", func(t *testing.T) {
		w := page(problem.Problem{Status: 429, Kind: problem.TooMany, RetryAfter: 200 * time.Second}, "/x")
		wantWords(t, w, "You can try again in 4 minutes, at 12:03:21 UTC")
		if w.Header().Get("Retry-After") != "200" {
			t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
		}
	})
	t.Run("the zero problem is a fault", func(t *testing.T) {
		w := page(problem.Problem{}, "/x?y=z")
		wantStatus(t, w, http.StatusServiceUnavailable)
		wantWords(t, w, "Not available right now", "Try again")
		if w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `href="/x?y=z"`) {
			t.Error("no way to try again")
		}
	})
	t.Run("words of the gateway come first", func(t *testing.T) {
		w := page(problem.Problem{Status: 400, Kind: problem.BadRequest, Title: "Bad path", Detail: "It has a NUL."}, "/x")
		wantStatus(t, w, http.StatusBadRequest)
		wantWords(t, w, "Bad path", "It has a NUL.")
	})
	t.Run("HEAD", func(t *testing.T) {
		w := httptest.NewRecorder()
		h.portal.Problem(w, httptest.NewRequest(http.MethodHead, site+"/x", nil), problem.Problem{Status: 403})
		if w.Code != 403 || w.Body.Len() != 0 {
			t.Errorf("%d with %d bytes", w.Code, w.Body.Len())
		}
	})
	t.Run("markup in what strangers choose", func(t *testing.T) {
		const evil = `"><script>alert(1)</script>`
		w := page(problem.Problem{
			Status: 403, Title: evil, Detail: evil, Reasons: []string{evil}, DecisionID: evil, RequestID: evil + "2",
		}, "/"+`%22%3E%3Cscript%3E?q="><script>`, "__Host-gatehouse=x")
		if body := w.Body.String(); strings.Contains(body, "<script") || strings.Contains(body, `"">`) {
			t.Errorf("markup came through: %s", body)
		}
	})
	t.Run("the way back is what the browser shows", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodGet, site+"/inner", nil)
		r.RequestURI = "/outer/inner?q"
		w := httptest.NewRecorder()
		h.portal.Problem(w, r, problem.Problem{})
		if !strings.Contains(w.Body.String(), `href="/outer/inner?q"`) {
			t.Errorf("another way back: %s", w.Body)
		}
	})
	t.Run("a path that leads away is no link", func(t *testing.T) {
		for _, target := range []string{"//evil.example/x", "/%2fevil.example", "/\\evil.example"} {
			r := httptest.NewRequest(http.MethodGet, site+"/", nil)
			r.RequestURI = target
			w := httptest.NewRecorder()
			h.portal.Problem(w, r, problem.Problem{})
			if strings.Contains(w.Body.String(), "evil") {
				t.Errorf("%s: the page links to it", target)
			}
		}
	})
}

func TestInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1 second", time.Second: "1 second", 1500 * time.Millisecond: "2 seconds", 90 * time.Second: "90 seconds",
		91 * time.Second: "2 minutes", time.Hour: "60 minutes", 2 * time.Hour: "2 hours", 25 * time.Hour: "25 hours",
	} {
		if got := inWords(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
