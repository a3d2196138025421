package gateway

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

func TestReadings(t *testing.T) {
	for _, c := range []struct {
		name, escaped string
		want          []string // path, and "=> a|b" for its segments where they matter
	}{
		{"root", "/", []string{"/"}},
		{"plain", "/reports/2026", []string{"/reports/2026 => reports|2026"}},
		{"trailing slash", "/reports/", []string{"/reports/ => reports"}},
		{"hidden file", "/.well-known/x", []string{"/.well-known/x"}},
		{"three dots", "/.../x", []string{"/.../x"}},
		{"escaped letters", "/%61dmin", []string{"/admin"}},
		{"umlaut", "/z%C3%BCrich", []string{"/zürich"}},
		{"percent sign", "/100%25", []string{"/100%"}},
		{"encoded slash", "/a%2fb/c", []string{"/a/b/c => a/b|c", "/a/b/c => a|b|c"}},
		{"encoded slash in capitals", "/a%2Fb", []string{"/a/b => a/b", "/a/b => a|b"}},
		{"doubled slash", "//admin", []string{"//admin => |admin", "/admin => admin"}},
		{"doubled slash inside", "/a//b", []string{"/a//b", "/a/b"}},
		{"tripled slash at the end", "/a///", []string{"/a///", "/a/"}},
		{"parent", "/public/../admin", []string{"/public/../admin", "/admin"}},
		{"encoded parent", "/public/%2e%2E/admin", []string{"/public/../admin", "/admin"}},
		{"parent behind an encoded slash", "/public%2f..%2fadmin", []string{
			"/public/../admin => public/../admin", "/public/../admin => public|..|admin", "/admin => admin"}},
		{"climbing above the root", "/../../etc", []string{"/../../etc", "/etc"}},
		{"dot", "/./admin", []string{"/./admin", "/admin"}},
		{"dot at the end", "/a/.", []string{"/a/.", "/a/"}},
		{"parent at the end", "/a/..", []string{"/a/..", "/"}},
		{"params", "/admin;x=1/y", []string{"/admin;x=1/y", "/admin/y"}},
		{"parent with params", "/public/..;/admin", []string{"/public/..;/admin", "/public/../admin", "/admin"}},
		{"dot with params", "/.;x/admin", []string{"/.;x/admin", "/./admin", "/admin"}},
		{"encoded semicolon", "/public/..%3bx/admin", []string{"/public/..;x/admin", "/public/../admin", "/admin"}},
		{"decoded twice", "/%2561dmin", []string{"/%61dmin", "/admin"}},
		{"slash decoded twice", "/public%252f..%252fadmin", []string{
			"/public%2f..%2fadmin", "/public/../admin => public/../admin", "/public/../admin => public|..|admin", "/admin"}},
		{"question mark decoded", "/admin%3fx.css", []string{"/admin?x.css", "/admin"}},
		{"number sign decoded", "/admin%23x", []string{"/admin#x", "/admin"}},
		{"slashes hiding a parent", "/a//../admin", []string{"/a//../admin", "/a/admin", "/a/../admin", "/admin"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			readings, err := Readings(c.escaped)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range readings {
				got := r.Path + " => " + strings.Join(r.Segments, "|")
				if i < len(c.want) && (got == c.want[i] || !strings.Contains(c.want[i], " => ") && r.Path == c.want[i]) {
					continue
				}
				t.Errorf("reading %d is %q; want all of %q", i, got, c.want)
			}
			if len(readings) != len(c.want) {
				t.Errorf("%d readings, want %d: %q", len(readings), len(c.want), c.want)
			}
		})
	}
}

func TestPathsThatAreRefused(t *testing.T) {
	for name, escaped := range map[string]string{
		"empty":                           "",
		"asterisk":                        "*",
		"no slash":                        "admin",
		"NUL":                             "/a%00.png",
		"NUL decoded twice":               "/a%2500.png",
		"control character":               "/a%0ab",
		"raw control character":           "/a\x01b",
		"control character, third time":   "/a%25250ab",
		"DEL":                             "/a%7f",
		"C1 control":                      "/a%C2%85b",
		"backslash":                       `/public\..\admin`,
		"encoded backslash":               "/public%5c..%5cadmin",
		"backslash decoded twice":         "/a%255cb",
		"invalid UTF-8":                   "/a%ff",
		"overlong slash":                  "/a%c0%afb",
		"invalid UTF-8 decoded twice":     "/a%25ff",
		"surrogate":                       "/%ed%a0%80",
		"too long":                        "/" + strings.Repeat("a", maxPath),
		"more readings than anyone means": "/a;x/..%252f.%25252f//b;y/%3f%2f..;//c",
		"encoded over and over":           "/%" + strings.Repeat("25", 40) + "41",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Readings(escaped); !errors.Is(err, errPath) {
				t.Errorf("Readings = %v, %v; want it refused", got, err)
			}
		})
	}
}

// publicOnly is a policy that lets everybody into /public and nobody elsewhere,
// deciding by the path as a string, as people do.
func publicOnly(q *decision.Question) (decision.Answer, error) {
	p := q.Request.Path
	return decision.Answer{Allow: p == "/public" || strings.HasPrefix(p, "/public/")}, nil
}

func TestPathTricksOverTheWire(t *testing.T) {
	for _, c := range []struct {
		name, target string
		status       int
	}{
		{"plain", "/public/x", 200},
		{"dot inside", "/public/./x", 200},
		{"admin", "/admin", 401},
		{"parent", "/public/../admin", 401},
		{"encoded slash and parent", "/public%2f..%2fadmin", 401},
		{"encoded parent", "/public/%2e%2e/admin", 401},
		{"parent with params", "/public/..;/admin", 401},
		{"double slash", "//public/x", 401},
		{"double encoding", "/public/%252e%252e/admin", 401},
		{"backslash", `/public\..\admin`, 400},
		{"encoded backslash", "/public/..%5cadmin", 400},
		{"NUL", "/public/%00", 400},
		{"bare number sign in the path", "/public#/../admin", 400},
		{"bare number sign in the query", "/public?a#b", 400},
		{"encoded number sign", "/public/a%23b", 200},
		{"invalid UTF-8", "/public/%ff", 400},
		{"absolute form", "http://other.example.com/public/x", 200},
		{"absolute form without a path", "http://other.example.com", 400},
		{"thousands of parameters", "/public?" + strings.Repeat("a&", maxParameters), 400},
	} {
		t.Run("HTTP/1.1 "+c.name, func(t *testing.T) {
			s := newScene()
			s.options.Decider = deciderFunc(publicOnly)
			if res := s.raw(t, "GET "+c.target+" HTTP/1.1\nHost: app.example.com\n\n"); res.StatusCode != c.status {
				t.Errorf("GET %.60s: %d, want %d", c.target, res.StatusCode, c.status)
			}
			if want := map[int]Verdict{200: Allow, 401: Login, 400: BadRequest}[c.status]; s.record(t).Verdict != want {
				t.Errorf("verdict %q, want %q", s.record(t).Verdict, want)
			}
		})
		if strings.HasPrefix(c.target, "http:") {
			continue
		}
		t.Run("HTTP/2 "+c.name, func(t *testing.T) {
			s := newScene()
			s.options.Decider = deciderFunc(publicOnly)
			res := s.http2(t, func(base string) *http.Request {
				r, err := http.NewRequest(http.MethodGet, base, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.URL.Opaque = c.target // sent as :path, as it is
				if strings.HasPrefix(c.target, "//") {
					r.URL.Opaque = "https://" + r.URL.Host + c.target
				}
				return r
			})
			if res.StatusCode != c.status {
				t.Errorf("GET %.60s: %d, want %d", c.target, res.StatusCode, c.status)
			}
		})
	}
}

func TestRequestsWithoutAPath(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"OPTIONS *": {Method: "OPTIONS", RequestURI: "*", URL: &url.URL{Path: "*"}},
		"CONNECT":   {Method: "CONNECT", RequestURI: "db:5432", URL: &url.URL{Host: "db:5432"}},
		"opaque":    {Method: "GET", RequestURI: "mailto:x", URL: &url.URL{Scheme: "mailto", Opaque: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			s.options.Decider = deciderFunc(allowAll)
			r.Header, r.Body = http.Header{}, http.NoBody
			if res := s.do(t, r); res.StatusCode != http.StatusBadRequest {
				t.Errorf("status %d, want 400", res.StatusCode)
			}
		})
	}
}

func TestEveryReadingIsDecided(t *testing.T) {
	var asked []string
	s := newScene()
	s.options.Decider = deciderFunc(func(q *decision.Question) (decision.Answer, error) {
		asked = append(asked, q.Request.Path+" => "+strings.Join(q.Request.Segments, "|"))
		if len(q.Request.Segments) == 2 {
			return decision.Answer{Reasons: []string{"two segments"}, Require: []decision.Step{decision.MFA}}, nil
		}
		return decision.Answer{Allow: true, Reasons: []string{"slash inside"}}, nil
	})
	res := s.do(t, getAs("/a%2fb"))
	if want := []string{"/a/b => a/b", "/a/b => a|b"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if got := s.record(t).Reasons; res.StatusCode != 403 || !slices.Equal(got, []string{"slash inside", "two segments"}) {
		t.Errorf("%d with reasons %q", res.StatusCode, got)
	}
}

func TestStepOfOneReadingIsRequiredOfAll(t *testing.T) {
	s := newScene()
	s.options.Decider = deciderFunc(func(q *decision.Question) (decision.Answer, error) {
		a := decision.Answer{Allow: true, Require: []decision.Step{decision.Login}}
		if len(q.Request.Segments) == 2 {
			a.Require = []decision.Step{decision.MFA}
		}
		return a, nil
	})
	if res := s.do(t, getAs("/a%2fb")); res.StatusCode != http.StatusUnauthorized || s.record(t).Verdict != StepUp {
		t.Errorf("%d, verdict %q", res.StatusCode, s.record(t).Verdict)
	}
}

func TestNumberSignBeforeARewrite(t *testing.T) {
	s := newScene()
	s.options.Decider = deciderFunc(allowAll)
	r := get("/public")
	r.RequestURI = "/public#/../admin" // the server rewrote the URL since
	if res := s.do(t, r); res.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d, want 400", res.StatusCode)
	}
}

func TestReadingsMustAgreeAboutHeaders(t *testing.T) {
	s := newScene()
	s.options.Decider = deciderFunc(func(q *decision.Question) (decision.Answer, error) {
		return decision.Answer{Allow: true, Headers: map[string]string{"X-Area": strings.Join(q.Request.Segments, "|")}}, nil
	})
	if res := s.do(t, getAs("/a%2fb")); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", res.StatusCode)
	}
}

func TestReadingsAreDecidedByOneRevision(t *testing.T) {
	for _, c := range []struct {
		name      string
		revisions []string
		status    int
	}{
		{"swapped once in between", []string{"r1", "r2", "r2", "r2"}, 200},
		{"swapped all the time", []string{"r1", "r2", "r3", "r4", "r5", "r6"}, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			s := newScene()
			s.options.Decider = deciderFunc(func(*decision.Question) (decision.Answer, error) {
				n++
				return decision.Answer{Allow: true, Revision: c.revisions[n-1]}, nil
			})
			if res := s.do(t, getAs("/a//b")); res.StatusCode != c.status {
				t.Errorf("status %d, want %d", res.StatusCode, c.status)
			}
		})
	}
}

func TestTheQuestion(t *testing.T) {
	var q decision.Question
	var header http.Header
	s := newScene()
	s.options.Decider = deciderFunc(func(asked *decision.Question) (decision.Answer, error) {
		if header == nil { // the first one is about the method as it was sent
			q, header = *asked, http.Header(asked.Request.Header).Clone()
			q.Request.Segments = slices.Clone(asked.Request.Segments)
		}
		return decision.Answer{Allow: true}, nil
	})
	r := httptest.NewRequest("get", "https://APP.example.com:8443/a/b?x=1;y=2&z=%zz&x=3", nil)
	for k, v := range map[string]string{
		"Cookie": "theme=dark; __Host-gatehouse=" + goodToken, "Proxy-Authorization": "secret", "X-A": "1",
	} {
		r.Header.Set(k, v)
	}
	s.do(t, r)
	got := q.Request
	if got.Method != "get" || got.Host != "app.example.com" || got.Port != 443 || got.Scheme != "https" || got.Path != "/a/b" ||
		got.RawPath != "/a/b" || !slices.Equal(got.Segments, []string{"a", "b"}) || got.ID == "" || got.Protocol != "HTTP/1.1" {
		t.Errorf("the policy was asked %+v", got)
	}
	if want := (url.Values{"x": {"1;y=2", "1", "3"}, "y": {"2"}, "z": {"%zz"}}); got.Query.Encode() != want.Encode() {
		t.Errorf("query %v, want %v", got.Query, want)
	}
	if len(header) != 1 || header.Get("X-A") != "1" {
		t.Errorf("the policy saw the headers %v", header)
	}
	if q.Identity == nil || q.Identity.Username != "alice" || q.Time.Location().String() != "UTC" {
		t.Errorf("identity %+v at %s", q.Identity, q.Time)
	}
	if h := s.last(t).Header; h.Get("Cookie") != "theme=dark" || h.Get("Proxy-Authorization") != "secret" {
		t.Errorf("headers were lost on the way: %v", h)
	}
}

func TestHostname(t *testing.T) {
	for in, want := range map[string]string{
		"App.Example.com": "app.example.com", "app:80": "app", "[::1]:80": "::1", "[::1]": "::1", "": "",
	} {
		if got := hostname(in); got != want {
			t.Errorf("hostname(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzReadings checks what must hold for every path: the plain decoding comes
// first, nothing dangerous is in any reading, what other libraries make of the
// path is among them, each reading's own readings are too, and the fast path
// says nothing else.
func FuzzReadings(f *testing.F) {
	for _, s := range []string{
		"/", "/a/b", "//admin", "/a/../b", "/a%2f..%2fb", "/a;x/b", "/..;/b", "/%2561", "/a%00", "/a\\b", "/.%2e/", "/%3f/../x",
		"/a//../b", "/100%25", "/%C3%BC", "/a/.", "/..", "/%252e%252e%252f", "*", "/a b", "/%zz",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Scheme != "" || u.Host != "" {
			return
		}
		readings, err := Readings(u.EscapedPath())
		if err != nil {
			if plainPath(u) {
				t.Fatalf("%q is refused (%v) but plain", target, err)
			}
			return
		}
		if readings[0].Path != u.Path {
			t.Fatalf("the first reading of %q is %q, net/url reads %q", target, readings[0].Path, u.Path)
		}
		if plainPath(u) && (len(readings) != 1 || !slices.Equal(readings[0].Segments, segments(nil, u.Path[1:], "/"))) {
			t.Fatalf("%q is plain but has the readings %q", target, readings)
		}
		var paths []string
		for _, r := range readings {
			paths = append(paths, r.Path)
			if !utf8.ValidString(r.Path) || strings.ContainsFunc(r.Path, unicode.IsControl) || strings.Contains(r.Path, `\`) {
				t.Fatalf("%q has the reading %q", target, r.Path)
			}
			if joined := "/" + strings.Join(r.Segments, "/"); joined != r.Path && joined+"/" != r.Path {
				t.Fatalf("%q: segments %q do not make %q", target, r.Segments, r.Path)
			}
		}
		has := func(p string) bool { return slices.Contains(paths, p) || slices.Contains(paths, p+"/") }
		for _, r := range readings {
			if clean := path.Clean(r.Path); !has(clean) {
				t.Fatalf("%q: reading %q cleans to %q, which is not among %q", target, r.Path, clean, paths)
			}
			if again, err := url.PathUnescape(r.Path); err == nil && !has(again) {
				t.Fatalf("%q: reading %q decodes to %q, which is not among %q", target, r.Path, again, paths)
			}
		}
	})
}

// FuzzQuery checks that the policy sees every pair that net/url sees, and never
// fewer when it is read loosely.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "a=1&b=2", "a=1;b=2", "a=%zz", "a+b=c+d", "%3b=%26", ";;&&", "a=1&a=2;a=3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := parseQuery(raw)
		want, _ := url.ParseQuery(raw) // what it could read, whatever it complains about
		for k, values := range want {
			for _, v := range values {
				if !slices.Contains(got[k], v) {
					t.Fatalf("%q: %q=%q is missing in %v", raw, k, v, got)
				}
			}
		}
	})
}
