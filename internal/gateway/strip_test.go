package gateway

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

func TestForgedIdentityHeadersNeverReachTheApp(t *testing.T) {
	for _, name := range []string{
		"Remote-User", "remote-user", "REMOTE-USER", "Remote_User", "remote_user", "Remote.User", "Remote-Email",
		"Remote-Name", "Remote-Groups", "Remote_Groups", "Remote-Roles", "REMOTE_ROLES", "Remote~User", "Remote!User",
		"X-Gatehouse-Assertion", "X_Gatehouse.Assertion", "X_Request_Id", "X-Original-URL", "X-Rewrite-Url",
		"X-Tenant", "x_tenant", "X-Policy-Level", "X.Policy.Level",
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			s.options.Decider = deciderFunc(allowAll)
			s.options.Headers = []HeaderRule{{Name: "X-Tenant", Value: func(*identity.Identity) (string, error) { return "", nil }}}
			names := []string{"X-Policy-Level"}
			s.options.PolicyHeaders = func() []string { return names }
			res := s.raw(t, "GET / HTTP/1.1\nHost: app.example.com\n"+name+": forged\n"+name+": forged\nAccept: a\n\n")
			if res.StatusCode != http.StatusOK {
				t.Fatalf("status %d", res.StatusCode)
			}
			for k, v := range s.last(t).Header {
				if slices.Contains(v, "forged") {
					t.Errorf("%s: %q reached the app", k, v)
				}
			}
			if got := s.last(t).Header.Get("Accept"); got != "a" {
				t.Errorf("an innocent header was lost: Accept = %q", got)
			}
		})
	}
}

func TestAbsentAttributeDoesNotLetTheClientsHeaderThrough(t *testing.T) {
	s := newScene()
	s.sessions.known[goodToken] = &identity.Identity{Method: identity.Session, Username: "bob", Subject: "usr_2"}
	s.do(t, getAs("/", "Remote-Email", "boss@example.com", "Remote-Groups", "finance"))
	h := s.last(t).Header
	if h.Get("Remote-User") != "bob" || h["Remote-Email"] != nil || h["Remote-Groups"] != nil {
		t.Errorf("the app got %v", h)
	}
}

func TestConnectionHeaderCannotDropTheIdentity(t *testing.T) {
	for _, c := range []struct{ sent, want string }{
		{"Remote-User", ""},
		{"close, Remote-User", "close"},
		{"remote_user,close", "close"},
		{"REMOTE.GROUPS , Keep-Alive,X-Request-Id", "Keep-Alive"},
		{"close", "close"},
		{"close, X-Other", "close, X-Other"},
	} {
		t.Run(c.sent, func(t *testing.T) {
			s := newScene()
			s.raw(t, "GET / HTTP/1.1\nHost: app.example.com\nCookie: __Host-gatehouse="+goodToken+
				"\nConnection: "+c.sent+"\nConnection: Remote_Email\n\n")
			if got := strings.Join(s.last(t).Header["Connection"], "|"); got != c.want {
				t.Errorf("the app got Connection: %q, want %q", got, c.want)
			}
		})
	}
}

func TestForgedTrailers(t *testing.T) {
	t.Run("HTTP/1.1, declared and undeclared", func(t *testing.T) {
		s := newScene()
		s.raw(t, "POST / HTTP/1.1\nHost: app.example.com\nCookie: __Host-gatehouse="+goodToken+"\nConnection: close\n"+
			"Transfer-Encoding: chunked\nTrailer: X-Sum, Remote-User\n\n"+
			"3\nabc\n0\nX-Sum: 7\nRemote-User: forged\nremote_groups: forged\nCookie: forged\nAuthorization: forged\n\n")
		checkTrailer(t, s)
	})
	t.Run("HTTP/2", func(t *testing.T) {
		s := newScene()
		s.http2(t, func(url string) *http.Request {
			r, err := http.NewRequest(http.MethodPost, url, io.NopCloser(strings.NewReader("abc")))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Cookie", "__Host-gatehouse="+goodToken)
			r.Trailer = http.Header{
				"X-Sum": {"7"}, "Remote-User": {"forged"}, "Remote_groups": {"forged"},
			}
			return r
		})
		checkTrailer(t, s)
	})
	t.Run("none declared, over HTTP/1.1 to a handler on the server's own request", func(t *testing.T) {
		s := newScene()
		s.raw(t, "POST / HTTP/1.1\nHost: app.example.com\nCookie: __Host-gatehouse="+goodToken+"\nConnection: close\n"+
			"Transfer-Encoding: chunked\n\n3\nabc\n0\nX-Sum: 7\nRemote_User: forged\n\n")
		checkTrailer(t, s)
	})
	t.Run("copied before the body was read, as reverse_proxy does", func(t *testing.T) {
		set := &stripSet{nameSet: newNameSet(defaultNames)}
		trailer := http.Header{"X-Sum": nil, "Remote-User": nil}
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Trailer, r.ContentLength = trailer, -1
		r.Body = io.NopCloser(&endReader{at: func() {
			trailer["Remote-User"] = []string{"forged"}
			trailer["X-Sum"] = []string{"7"}
		}})
		strip(r, set)
		copied := r.WithContext(t.Context())
		if _, err := io.ReadAll(copied.Body); err != nil {
			t.Fatal(err)
		}
		if copied.Trailer.Get("X-Sum") != "7" || copied.Trailer["Remote-User"] != nil {
			t.Errorf("trailers after the body: %v", copied.Trailer)
		}
	})
}

// endReader calls at when it reports its end.
type endReader struct{ at func() }

func (r *endReader) Read([]byte) (int, error) { r.at(); return 0, io.EOF }

func checkTrailer(t *testing.T, s *scene) {
	t.Helper()
	s.last(t)
	got := s.trailer[0]
	if got.Get("X-Sum") != "7" {
		t.Errorf("an innocent trailer was lost: %v", got)
	}
	for k, v := range got {
		if slices.Contains(v, "forged") {
			t.Errorf("trailer %s: %q reached the app", k, v)
		}
	}
}

func TestPolicyIsSwappedWhileARequestIsDecided(t *testing.T) {
	s := newScene()
	before, after := []string{"X-Old"}, []string{"X-New"}
	current := before
	s.options.PolicyHeaders = func() []string { return current }
	s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) {
		current = after
		return decision.Answer{Allow: true, Headers: map[string]string{"X-Third": "policy"}}, nil
	})
	s.do(t, getAs("/", "X_Old", "forged", "X_New", "forged", "X_Third", "forged", "Connection", "X-New"))
	h := s.last(t).Header
	for k, v := range h {
		if slices.Contains(v, "forged") {
			t.Errorf("%s: %q reached the app", k, v)
		}
	}
	if h.Get("X-Third") != "policy" || h["Connection"] != nil {
		t.Errorf("the app got %v", h)
	}
}

func TestPolicyMayNotSetIdentityHeaders(t *testing.T) {
	for _, name := range []string{"Remote-User", "remote_user", "Connection", "Host", "Cookie", "Transfer-Encoding", "Bad Name", ""} {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) {
				return decision.Answer{Allow: true, Headers: map[string]string{name: "x"}}, nil
			})
			if res := s.do(t, getAs("/")); res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("status %d, want 503", res.StatusCode)
			}
			if s.record(t).Verdict != Fault {
				t.Errorf("verdict %q", s.record(t).Verdict)
			}
		})
	}
}

func TestPolicyMayReplaceAuthorization(t *testing.T) {
	names := []string{"Authorization"}
	s := newScene()
	s.options.PolicyHeaders = func() []string { return names }
	s.options.PassAuthorization = true
	s.options.Decider = deciderFunc(func(q *decision.Question) (decision.Answer, error) {
		a := decision.Answer{Allow: true}
		if q.Request.Path == "/legacy" {
			a.Headers = map[string]string{"Authorization": "Basic c2hhcmVk"}
		}
		return a, nil
	})
	s.do(t, getAs("/legacy", "Authorization", "Custom forged"))
	if got := s.last(t).Header["Authorization"]; !slices.Equal(got, []string{"Basic c2hhcmVk"}) {
		t.Errorf("Authorization = %q", got)
	}
	s.do(t, getAs("/other", "Authorization", "Custom forged"))
	if got := s.last(t).Header["Authorization"]; got != nil {
		t.Errorf("a header that the policy may set came from the client: %q", got)
	}
}

func TestLongHeaderNames(t *testing.T) {
	long := "X-" + strings.Repeat("Long-", 20) + "Name"
	set := newNameSet([]string{long})
	if !set.has(strings.ReplaceAll(long, "-", "_")) || set.has(long+"r") || set.has("X-Long") {
		t.Error("long names are not compared in full")
	}
}

// FuzzStrip checks that no spelling of a header of ours survives, and that no
// other header is lost.
func FuzzStrip(f *testing.F) {
	for _, s := range []string{"Remote-User", "remote_user", "REMOTE.ROLES", "X-Request-Id", "Accept", "Remote--User", "Remote-Userx", "x_gatehouse_assertion"} {
		f.Add(s, s+", close")
	}
	set := &stripSet{nameSet: newNameSet(defaultNames)}
	same := func(a, b string) bool { // by the definition, not by the table
		if len(a) != len(b) {
			return false
		}
		sign := func(c rune) rune {
			if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' {
				return c
			}
			return '_'
		}
		lower := func(c rune) rune {
			if c >= 'A' && c <= 'Z' {
				return c + 32
			}
			return c
		}
		return strings.Map(sign, strings.Map(lower, a)) == strings.Map(sign, strings.Map(lower, b))
	}
	f.Fuzz(func(t *testing.T, name, connection string) {
		if !validName(name) {
			return
		}
		r := &http.Request{Header: http.Header{name: {"v"}, "Connection": {connection}}, Trailer: http.Header{name: {"v"}}}
		ours := slices.ContainsFunc(defaultNames, func(n string) bool { return same(n, name) })
		strip(r, set)
		if _, there := r.Header[name]; there == ours && !strings.EqualFold(name, "Connection") {
			t.Errorf("%q: ours %t, still there %t", name, ours, there)
		}
		if _, there := r.Trailer[name]; there && ours {
			t.Errorf("trailer %q survived", name)
		}
		for _, line := range r.Header["Connection"] {
			for token := range strings.SplitSeq(line, ",") {
				if slices.ContainsFunc(defaultNames, func(n string) bool { return same(n, strings.Trim(token, " \t")) }) {
					t.Errorf("Connection: %q still names %q", line, token)
				}
			}
		}
	})
}

func TestNewRefusesHalfAGate(t *testing.T) {
	value := func(*identity.Identity) (string, error) { return "", nil }
	for name, spoil := range map[string]func(*Options){
		"no host":              func(o *Options) { o.Site.Host = "" },
		"no authenticators":    func(o *Options) { o.Authenticators = nil },
		"no decider":           func(o *Options) { o.Decider = nil },
		"no watch over logins": func(o *Options) { o.Alive = nil },
		"hop-by-hop header":    func(o *Options) { o.Headers = []HeaderRule{{Name: "Connection", Value: value}} },
		"bad header name":      func(o *Options) { o.Headers = []HeaderRule{{Name: "Remote User", Value: value}} },
		"header without value": func(o *Options) { o.Headers = []HeaderRule{{Name: "X-User"}} },
	} {
		t.Run(name, func(t *testing.T) {
			o := newScene().options
			spoil(&o)
			if g, err := New(o); err == nil || g != nil {
				t.Errorf("New = %v, %v; want an error", g, err)
			}
		})
	}
}

func TestNoRandomnessNoPass(t *testing.T) {
	s := newScene()
	s.options.Rand = brokenReader{}
	if res := s.do(t, getAs("/")); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", res.StatusCode)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("no entropy") }
