package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// TestKeyInAnotherSpellingOfItsHeader: where a server lets X_Api_Key through, an app
// behind CGI reads it as X-Api-Key, and so would a policy that takes a prefix.
func TestKeyInAnotherSpellingOfItsHeader(t *testing.T) {
	for _, name := range []string{"X_Api_Key", "X.Api.Key", "X-Api_Key", "x-api-key", "X!Api~Key"} {
		t.Run(name, func(t *testing.T) {
			s, v := machines()
			s.options.Decider = deciderFunc(func(q *decision.Question) (decision.Answer, error) {
				if len(q.Request.Header[name]) > 0 {
					t.Errorf("the policy sees %v", q.Request.Header)
				}
				return decision.Answer{Allow: true}, nil
			})
			r := get("/")
			r.Header[name] = []string{"gh_good"}
			s.do(t, r)
			if h := s.last(t).Header; len(h[name]) > 0 {
				t.Errorf("the app sees %v", h)
			}
			if len(v.asked) > 0 {
				t.Errorf("it was taken for the header: %v", v.asked)
			}
		})
	}
}

// TestKeyAsATrailer: what comes after the body reaches the app, unless it is ours.
func TestKeyAsATrailer(t *testing.T) {
	s, _ := machines()
	s.options.Decider = deciderFunc(allowAll)
	s.raw(t, "POST / HTTP/1.1\nHost: app.example.com\nTransfer-Encoding: chunked\nTrailer: X-Api-Key, X-Sum\n\n1\na\n0\nX-Api-Key: gh_good\nX-Sum: 1\n\n")
	if got := s.trailer[0]; len(got["X-Api-Key"]) > 0 || got.Get("X-Sum") != "1" {
		t.Errorf("the app got the trailers %v", got)
	}
}

// TestConnectionNamesTheKeyHeader: hop by hop or not, the key counts, and goes no
// further.
func TestConnectionNamesTheKeyHeader(t *testing.T) {
	s, _ := machines()
	s.options.Decider = deciderFunc(signedIn)
	s.do(t, get("/", "X-Api-Key", "gh_good", "Connection", "X-Api-Key, close"))
	if h := s.last(t).Header; h.Get("Remote-User") != "robot" || h.Get("X-Api-Key") != "" || h.Get("Connection") != "close" {
		t.Errorf("the app got %v", h)
	}
}

// TestKeyIsNeverLeftForTheApp: a key that this site does not take is refused rather
// than shown to an app that keeps an Authorization of its own. It may be good
// elsewhere.
func TestKeyIsNeverLeftForTheApp(t *testing.T) {
	for _, sent := range []string{"Bearer gh_good", "bearer  gh_good ", basic("x", "gh_good"), "Token gh_good", "gh_good", basic("gh_good", ""), "Basic gh_good"} {
		t.Run(sent, func(t *testing.T) {
			s, _ := machines()
			s.options.PassAuthorization = true
			s.options.Decider = deciderFunc(allowAll)
			s.options.Authenticators = []Authenticator{SessionAuthenticator(s.sessions, cookie.Jar{})}
			for _, r := range []*http.Request{get("/", "Authorization", sent), getAs("/", "Authorization", sent)} {
				s.records = nil
				if res := s.do(t, r); res.StatusCode != http.StatusUnauthorized {
					t.Fatalf("%d", res.StatusCode)
				}
				if rec := s.record(t); rec.Verdict != BadCredential || rec.Refusal == nil {
					t.Errorf("%+v", rec)
				}
			}
			if len(s.seen) > 0 {
				t.Errorf("the app got %v", s.seen[0].Header)
			}
		})
	}
}

// TestKeysAroundAGate: past the gate of a part, nobody asks for the key, and yet the
// app must not get it; a gate further in does.
func TestKeysAroundAGate(t *testing.T) {
	isKey := func(text string) bool { return text == "gh_good" }
	for name, headers := range map[string][]string{
		"header": {"X-Api-Key", "gh_good"}, "header in another spelling": {"X_Api_Key", "gh_good"}, "Bearer": {"Authorization", "Bearer gh_good"},
		"Basic": {"Authorization", basic("x", "gh_good")},
	} {
		t.Run(name, func(t *testing.T) {
			r := get("/")
			r.Header[headers[0]] = []string{headers[1]}
			p := NewOutside().Keys("X-Api-Key", isKey).Clean(httptest.NewRecorder(), r)
			if len(r.Header) > 0 {
				t.Errorf("the app got %v", r.Header)
			}
			p.Enter(r)
			if got := r.Header[headers[0]]; !strings.Contains(headers[0], "_") && (len(got) != 1 || got[0] != headers[1]) {
				t.Errorf("the inner gate got %v", r.Header)
			}
		})
	}
	t.Run("in the address", func(t *testing.T) {
		o := NewOutside().Keys("", isKey)
		for target, want := range map[string]bool{"/x?key=gh_good": true, "/?gh%5Fgood": true, "/gh_good": false, "/?q=gh_": false, "/": false} {
			if got := o.KeyInAddress(get(target)); got != want {
				t.Errorf("%s: %v", target, got)
			}
		}
		if NewOutside().KeyInAddress(get("/?key=gh_good")) {
			t.Error("where there are no keys")
		}
	})
	t.Run("from one way past into another", func(t *testing.T) {
		r := get("/", "X-Api-Key", "gh_good")
		o := NewOutside().Keys("X-Api-Key", isKey)
		first := o.Clean(httptest.NewRecorder(), r)
		second := o.Clean(first.Writer, r)
		second.After(first)
		second.Enter(r)
		if r.Header.Get("X-Api-Key") != "gh_good" {
			t.Errorf("the inner gate got %v", r.Header)
		}
	})
	t.Run("the app's own Authorization stays", func(t *testing.T) {
		r := get("/", "Authorization", "Bearer of-the-app")
		NewOutside().Keys("X-Api-Key", isKey).Clean(httptest.NewRecorder(), r)
		if r.Header.Get("Authorization") != "Bearer of-the-app" {
			t.Errorf("the app got %v", r.Header)
		}
	})
}
