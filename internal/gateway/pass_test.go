package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

func TestIdentityHeaders(t *testing.T) {
	s := newScene()
	s.do(t, getAs("/"))
	h := s.last(t).Header
	for name, want := range map[string]string{
		"Remote-User": "alice", "Remote-Email": "alice@example.com", "Remote-Name": "Alice",
		"Remote-Groups": "finance", "Remote-Roles": "admin,dev", "X-Request-Id": s.record(t).ID,
	} {
		if got := h[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if h["Cookie"] != nil {
		t.Errorf("our cookie reached the app: %q", h["Cookie"])
	}
}

func TestIdentityHeadersDoNotShareTheirEnds(t *testing.T) {
	h := http.Header{}
	if err := new(headerTable).set(h, alice()); err != nil {
		t.Fatal(err)
	}
	h.Add("Remote-User", "x") // the lines share an array: growing one must not write into the next
	if got := h.Get("Remote-Email"); got != "alice@example.com" {
		t.Errorf("Remote-Email became %q", got)
	}
}

func TestStrangersGetNoIdentityHeaders(t *testing.T) {
	s := newScene()
	s.options.Decider = deciderFunc(allowAll)
	s.do(t, get("/"))
	h := s.last(t).Header
	if len(h) != 1 || h.Get("X-Request-Id") == "" {
		t.Errorf("the app got %v", h)
	}
}

func TestSubjectStandsInForTheUsername(t *testing.T) {
	s := newScene()
	s.sessions.known[goodToken] = &identity.Identity{Method: identity.Session, Subject: "robot-7"}
	s.do(t, getAs("/"))
	if got := s.last(t).Header.Get("Remote-User"); got != "robot-7" {
		t.Errorf("Remote-User: %q", got)
	}
}

func TestNamesThatAreNotASCIIPassAsUTF8(t *testing.T) {
	s := newScene()
	s.sessions.known[goodToken].Name = "Zoë Ångström"
	s.raw(t, "GET / HTTP/1.1\nHost: app.example.com\nCookie: __Host-gatehouse="+goodToken+"\n\n")
	if got := s.last(t).Header.Get("Remote-Name"); got != "Zoë Ångström" {
		t.Errorf("Remote-Name: %q", got)
	}
}

func TestIdentityThatDoesNotFitIntoHeadersIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*identity.Identity){
		"comma in a role":          func(i *identity.Identity) { i.Roles = []string{"user,admin"} },
		"comma in a group":         func(i *identity.Identity) { i.Groups = []string{"a", "b,c"} },
		"empty role":               func(i *identity.Identity) { i.Roles = []string{"a", ""} },
		"line break in the name":   func(i *identity.Identity) { i.Name = "Al\r\nRemote-Roles: admin" },
		"NUL in the username":      func(i *identity.Identity) { i.Username = "alice\x00" },
		"invalid UTF-8":            func(i *identity.Identity) { i.Name = "\xff" },
		"space at the end":         func(i *identity.Identity) { i.Username = "alice " },
		"neither name nor subject": func(i *identity.Identity) { i.Username, i.Subject = "", "" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			spoil(s.sessions.known[goodToken])
			res := s.do(t, getAs("/"))
			if res.StatusCode != http.StatusForbidden || len(s.seen) != 0 {
				t.Errorf("status %d, the app was called %d times", res.StatusCode, len(s.seen))
			}
			if s.record(t).Verdict != Deny || s.log.Len() == 0 {
				t.Errorf("verdict %q, log %q", s.record(t).Verdict, s.log)
			}
		})
	}
}

func TestTheSitesOwnHeaders(t *testing.T) {
	s := newScene()
	s.options.Headers = []HeaderRule{
		{Name: "x-user", Value: func(i *identity.Identity) (string, error) { return i.Username, nil }},
		{Name: "X-Empty", Value: func(*identity.Identity) (string, error) { return "", nil }},
	}
	s.do(t, getAs("/", "X_User", "forged", "X-Empty", "forged", "Remote-User", "forged"))
	h := s.last(t).Header
	if h.Get("X-User") != "alice" || h["Remote-User"] != nil || h["X-Empty"] != nil || len(h) != 2 {
		t.Errorf("the app got %v", h)
	}

	s.options.Headers[0].Value = func(*identity.Identity) (string, error) { return "", errors.New("no such claim") }
	if res := s.do(t, getAs("/")); res.StatusCode != http.StatusForbidden || !strings.Contains(s.log.String(), "no such claim") {
		t.Errorf("status %d, log %q", res.StatusCode, s.log)
	}
	s.options.Headers[0].Value = func(*identity.Identity) (string, error) { return "a\nb", nil }
	if res := s.do(t, getAs("/")); res.StatusCode != http.StatusForbidden {
		t.Errorf("a line break passed with %d", res.StatusCode)
	}
}

func TestSiteThatTellsTheAppNothing(t *testing.T) {
	s := newScene()
	s.options.NoHeaders = true
	s.do(t, getAs("/", "Remote_User", "forged"))
	if h := s.last(t).Header; len(h) != 1 || h.Get("X-Request-Id") == "" {
		t.Errorf("the app got %v", h)
	}
}

func TestPolicyHeaders(t *testing.T) {
	s := newScene()
	s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) {
		return decision.Answer{Allow: true, Headers: map[string]string{"x-area": "north", "X-None": ""}}, nil
	})
	s.do(t, get("/", "X_Area", "forged", "X-None", "forged"))
	h := s.last(t).Header
	if h.Get("X-Area") != "north" || h["X-None"] != nil || h["X_area"] != nil {
		t.Errorf("the app got %v", h)
	}

	s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) {
		return decision.Answer{Allow: true, Headers: map[string]string{"X-Area": "a\r\nRemote-User: root"}}, nil
	})
	if res := s.do(t, get("/")); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a line break passed with %d", res.StatusCode)
	}
}

func TestSpansAreEnded(t *testing.T) {
	var log []string
	s := newScene()
	s.options.Span = func(ctx context.Context, name string) (context.Context, func()) {
		log = append(log, name)
		return ctx, func() { log = append(log, "end "+name) }
	}
	s.do(t, getAs("/"))
	if want := []string{"gatehouse.authenticate", "end gatehouse.authenticate", "gatehouse.decide", "end gatehouse.decide"}; !slices.Equal(log, want) {
		t.Errorf("spans %q", log)
	}
}

func TestRequestIDsAreUniqueAndSorted(t *testing.T) {
	s := newScene()
	h := s.handler(t)
	seen := make(map[string]bool)
	for range 500 {
		h.ServeHTTP(discard{http.Header{}}, getAs("/"))
	}
	for i, r := range s.records {
		if seen[r.ID] {
			t.Fatalf("id %s twice", r.ID)
		}
		seen[r.ID] = true
		if i > 0 && r.ID[:10] < s.records[i-1].ID[:10] {
			t.Fatalf("%s comes after %s", r.ID, s.records[i-1].ID)
		}
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
