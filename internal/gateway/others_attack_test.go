package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// One app stands behind several gates: what one of them tells it must not come
// from the client through another.
func TestHeadersOfOtherGatesAreNotTheClients(t *testing.T) {
	forged := func() *http.Request {
		return getAs("/", "X-Who", "root", "x_who", "root", "X-Tenant", "root", "Connection", "X-Tenant", "Accept", "a")
	}
	var policies = []string{"Authorization", "X-Mine", "X-Tenant"}
	scene := func() *scene {
		s := newScene()
		s.options.OtherHeaders = []string{"X-Who"}
		s.options.OtherPolicies = func() []string { return policies }
		return s
	}
	t.Run("through this gate", func(t *testing.T) {
		s := scene()
		s.do(t, forged())
		if h := s.last(t).Header; h.Get("X-Who") != "" || h.Get("x_who") != "" || h.Get("X-Tenant") != "" || h.Get("Connection") != "" || h.Get("Accept") != "a" {
			t.Errorf("the app got %v", h)
		}
	})
	t.Run("behind the gate that set them they stay", func(t *testing.T) {
		s := scene()
		g, err := New(s.options)
		if err != nil {
			t.Fatal(err)
		}
		p, ok := g.Admit(httptest.NewRecorder(), forged(), Caller{ClientIP: netip.MustParseAddr("203.0.113.9"), Behind: true})
		if !ok || p.Request.Header.Get("X-Who") != "root" {
			t.Error("another gate's header is gone")
		}
	})
	t.Run("what this gate's policy sets arrives", func(t *testing.T) {
		s := scene()
		mine := []string{"X-Mine"}
		s.options.PolicyHeaders = func() []string { return mine }
		s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) {
			return decision.Answer{Allow: true, Revision: "r1", Headers: map[string]string{"X-Mine": "1"}}, nil
		})
		s.do(t, forged())
		if h := s.last(t).Header; h.Get("X-Mine") != "1" {
			t.Errorf("the app got %v", h)
		}
	})
	t.Run("credentials are each gate's own matter", func(t *testing.T) {
		s := scene()
		s.options.PassAuthorization = true
		r := forged()
		r.Header.Set("Authorization", "Basic eDp5")
		s.do(t, r)
		if h := s.last(t).Header; h.Get("Authorization") != "Basic eDp5" {
			t.Errorf("the app got %v", h)
		}
	})
	t.Run("a new policy's names count at once, also while one request is decided", func(t *testing.T) {
		s := scene()
		s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) {
			policies = []string{"X-New"}
			return decision.Answer{Allow: true, Revision: "r1"}, nil
		})
		r := forged()
		r.Header.Set("X-New", "root")
		s.do(t, r)
		if h := s.last(t).Header; h.Get("X-New") != "" {
			t.Errorf("the app got %v", h)
		}
	})
	t.Run("past the gates", func(t *testing.T) {
		policies = []string{"X-Tenant"}
		r := forged()
		NewOutside("X-Who").Policies(func() []string { return policies }).Clean(httptest.NewRecorder(), r).Close()
		if h := r.Header; len(h) != 1 || h.Get("Accept") != "a" {
			t.Errorf("the app got %v", h)
		}
	})
}

// Two gates of parts leave two ways past them: a gate further in still finds the
// session, and may clear its cookie.
func TestEnteringAGateFromOutsideTwo(t *testing.T) {
	r := getAs("/", "Cookie", "a=1")
	want := r.Header.Values("Cookie")
	rec := httptest.NewRecorder()
	one := NewOutside().Clean(rec, r)
	two := NewOutside().Clean(one.Writer, r)
	two.After(one)
	two.Enter(r)
	if got := r.Header.Values("Cookie"); len(got) != len(want) {
		t.Errorf("at the gate: %q, want %q", got, want)
	}
	two.Writer.Header().Add("Set-Cookie", "__Host-gatehouse=; Max-Age=0")
	two.Writer.WriteHeader(http.StatusOK)
	two.Close()
	one.Close()
	if len(rec.Result().Cookies()) != 1 {
		t.Error("the inner gate could not clear the cookie")
	}
}
