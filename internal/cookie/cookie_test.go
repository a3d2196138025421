package cookie

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNamesCarryTheStrictestPrefix(t *testing.T) {
	for _, c := range []struct {
		jar                    Jar
		session, device, check string
	}{
		{Jar{}, "__Host-gatehouse", "__Host-gatehouse-device", "__Host-gatehouse-check"},
		{Jar{Domain: "example.com"}, "__Secure-gatehouse", "__Secure-gatehouse-device", "__Secure-gatehouse-check"},
	} {
		if c.jar.Session() != c.session || c.jar.Device() != c.device || c.jar.Check() != c.check {
			t.Errorf("%+v: %s, %s, %s", c.jar, c.jar.Session(), c.jar.Device(), c.jar.Check())
		}
		for _, name := range []string{c.session, c.device, c.check} {
			if !Ours(name) {
				t.Errorf("%s is not taken for ours", name)
			}
		}
	}
}

func TestNamesAreKnownInEverySpelling(t *testing.T) {
	for _, jar := range []Jar{{}, {Domain: "example.com"}} {
		for _, name := range []string{jar.Session(), jar.Device(), jar.Check(), jar.Choice(), jar.Arrival(), jar.Begun("aB3-_xyz"), jar.Begun("")} {
			bare := strings.TrimPrefix(strings.TrimPrefix(name, "__Host-"), "__Secure-")
			for _, spelling := range []string{name, strings.ToUpper(name), strings.ToLower(name), bare, ` "` + name + `" `, "__Http-" + bare} {
				if !Ours(spelling) {
					t.Errorf("%q is not taken for ours", spelling)
				}
			}
			if Ours("x"+bare) || name != jar.Begun("") && Ours(name+"x") && !strings.Contains(name, "-login-") {
				t.Errorf("what only resembles %q is taken for ours", name)
			}
		}
	}
	for _, name := range []string{"gatehous", "gatehouse-", "gatehouse-login", "gatehouse_login-x", "gatehouse-devic", "gatehouse-device-x", ""} {
		if Ours(name) {
			t.Errorf("%q is taken for ours", name)
		}
	}
	if (Jar{Domain: "example.com"}).HostOnly().Begun("x") != "__Host-gatehouse-login-x" {
		t.Error("HostOnly shares")
	}
}

func TestLogins(t *testing.T) {
	const name = "__Host-gatehouse-login-"
	flood := make([]string, 200)
	for i := range flood {
		flood[i] = name + strings.Repeat("x", i%30) + string(rune('A'+i/30)) + "=v"
	}
	for _, c := range []struct {
		name  string
		lines []string
		want  []Login
	}{
		{"none", []string{"a=1; __Host-gatehouse=t"}, nil},
		{"two between others", []string{"a=1; " + name + "one=x; b=2", name + "two=y"}, []Login{{"one", "x"}, {"two", "y"}}},
		{"twice the same", []string{name + "one=x; " + name + "one=x"}, []Login{{"one", "x"}}},
		{"twice, differing", []string{name + "one=x; " + name + "one=evil; " + name + "one=x"}, []Login{{"one", ""}}},
		{"over-long", []string{name + "one=" + strings.Repeat("x", MaxLogin+1)}, []Login{{"one", ""}}},
		{"as long as can be", []string{name + "one=" + strings.Repeat("x", MaxLogin)}, []Login{{"one", strings.Repeat("x", MaxLogin)}}},
		{"a name that is none of ours", []string{name + strings.Repeat("x", 60) + "=v"}, nil},
		{"other prefix", []string{"__Secure-gatehouse-login-one=x; gatehouse-login-two=y"}, nil},
		{"without a value", []string{name + "one"}, []Login{{"one", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (Jar{}).Logins(http.Header{"Cookie": c.lines}); !slices.Equal(got, c.want) {
				t.Errorf("Logins = %q, want %q", got, c.want)
			}
		})
	}
	if got := (Jar{}).Logins(http.Header{"Cookie": {strings.Join(flood, "; ")}}); len(got) != maxLogins {
		t.Errorf("a flood gave %d", len(got))
	}
}

func TestSetAndClear(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(w http.ResponseWriter)
		want string
	}{
		{"until the browser closes", func(w http.ResponseWriter) { Jar{}.Set(w, "n", "v", 0) },
			"n=v; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"for an hour", func(w http.ResponseWriter) { Jar{}.Set(w, "n", "v", time.Hour) },
			"n=v; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"},
		{"for all sub-domains", func(w http.ResponseWriter) { Jar{Domain: "example.com"}.Set(w, "n", "v", 0) },
			"n=v; Path=/; Domain=example.com; HttpOnly; Secure; SameSite=Lax"},
		{"cleared", func(w http.ResponseWriter) { Jar{}.Clear(w, "n") },
			"n=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			c.do(w)
			if got := w.Header().Values("Set-Cookie"); !slices.Equal(got, []string{c.want}) {
				t.Errorf("Set-Cookie: %q, want %q", got, c.want)
			}
		})
	}
}

func TestPlainHTTPGetsCookiesOnlyAtHome(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:8080": true, "app.localhost": true, "127.0.0.1:80": true, "127.9.9.9": true, "[::1]:80": true, "[::1]": true,
		"app.example.com": false, "localhost.example.com": false, "notlocalhost": false, "10.0.0.1": false, "192.168.1.1:80": false,
		"127.0.0.1.example.com": false, "[::ffff:10.0.0.1]": false, "": false,
	} {
		t.Run(host, func(t *testing.T) {
			r := &http.Request{Host: host}
			if got := Allowed(r); got != want {
				t.Errorf("Allowed = %t over HTTP", got)
			}
			r.TLS = &tls.ConnectionState{}
			if !Allowed(r) {
				t.Error("not allowed over TLS")
			}
		})
	}
}

func TestRead(t *testing.T) {
	const name = "__Host-gatehouse"
	for _, c := range []struct {
		name  string
		lines []string
		value string
		sent  bool
	}{
		{"none", nil, "", false},
		{"alone", []string{name + "=tok"}, "tok", true},
		{"between others", []string{"a=1; " + name + "=tok; b=2"}, "tok", true},
		{"on a second line", []string{"a=1", name + "=tok"}, "tok", true},
		{"twice the same", []string{name + "=tok; " + name + "=tok"}, "tok", true},
		{"twice, differing", []string{name + "=tok; " + name + "=evil"}, "", true},
		{"empty and good", []string{name + "=; " + name + "=tok"}, "", true},
		{"three times", []string{name + "=tok; " + name + "=evil; " + name + "=tok"}, "", true},
		{"empty", []string{name + "="}, "", true},
		{"no value at all", []string{name}, "", true},
		{"over-long", []string{name + "=" + strings.Repeat("x", 513)}, "", true},
		{"other case", []string{"__host-gatehouse=tok"}, "", false},
		{"other prefix", []string{"__Secure-gatehouse=tok"}, "", false},
		{"longer name", []string{name + "x=tok"}, "", false},
		{"inside a value", []string{"a=" + name + "=tok"}, "", false},
		{"value with an equals sign", []string{name + "=a=b"}, "a=b", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			value, sent := Read(http.Header{"Cookie": c.lines}, name)
			if value != c.value || sent != c.sent {
				t.Errorf("Read = %q, %t; want %q, %t", value, sent, c.value, c.sent)
			}
		})
	}
}

func TestStripKeepsTheBytesOfOtherCookies(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want []string
	}{
		{"none of ours", []string{"a=1;  b=\"2\" ;c"}, []string{"a=1;  b=\"2\" ;c"}},
		{"first", []string{"__Host-gatehouse=t; a=1; b=2"}, []string{"a=1; b=2"}},
		{"middle", []string{"a=1; __Host-gatehouse=t;  b=2"}, []string{"a=1;  b=2"}},
		{"last", []string{"a=1; __Host-gatehouse=t"}, []string{"a=1"}},
		{"alone", []string{"__Host-gatehouse=t"}, nil},
		{"one of several lines", []string{"a=1", "__Host-gatehouse=t", "b=2"}, []string{"a=1", "b=2"}},
		{"device and check", []string{"__Host-gatehouse-device=d; a=1; __Secure-gatehouse-check=c"}, []string{"a=1"}},
		{"the prefix before a change of cookie_domain", []string{"__Secure-gatehouse=t; a=1"}, []string{"a=1"}},
		{"other case and spaces", []string{"__HOST-Gatehouse =t; a=1"}, []string{"a=1"}},
		{"nameless", []string{"=__Host-gatehouse=t; a=1"}, []string{"a=1"}},
		{"quotes and odd values stay", []string{"a=\"x, y\"; __Host-gatehouse=t; b=ü=%00"}, []string{"a=\"x, y\"; b=ü=%00"}},
		{"names that only look alike", []string{"xgatehouse=1; gatehouse2=2; my-gatehouse=3"}, []string{"xgatehouse=1; gatehouse2=2; my-gatehouse=3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{"Cookie": slices.Clone(c.in), "Accept": {"a"}}
			Strip(h)
			if !slices.Equal(h["Cookie"], c.want) || h.Get("Accept") != "a" {
				t.Errorf("Cookie: %q, want %q", h["Cookie"], c.want)
			}
			if _, there := h["Cookie"]; there && len(c.want) == 0 {
				t.Error("an empty Cookie header was left")
			}
		})
	}
}

func TestFilterLeavesTheAppsSlicesAlone(t *testing.T) {
	lines := []string{"a=1", "__Host-gatehouse=evil", "b=2"}
	h := http.Header{"Set-Cookie": lines}
	FilterResponse(h)
	if !slices.Equal(h["Set-Cookie"], []string{"a=1", "b=2"}) {
		t.Errorf("Set-Cookie: %q", h["Set-Cookie"])
	}
	if lines[1] != "__Host-gatehouse=evil" {
		t.Errorf("the app's own slice was changed: %q", lines)
	}
}

func TestFilterAnnouncedTrailers(t *testing.T) {
	h := http.Header{"Trailer": {"X-Sum, set-cookie, Clear-Site-Data", "Set-Cookie"}, "Trailer:Set-Cookie": {"__Host-gatehouse=evil", "a=1"}}
	FilterResponse(h)
	if !slices.Equal(h["Trailer"], []string{"X-Sum"}) || !slices.Equal(h["Trailer:Set-Cookie"], []string{"a=1"}) {
		t.Errorf("%q", h)
	}
}

// FuzzStrip checks that nothing is left which we, or net/http, would read as our
// cookie, and that all other cookies stay in their order.
func FuzzStrip(f *testing.F) {
	for _, s := range []string{"a=1; __Host-gatehouse=t; b=2", "__Host-gatehouse", "=__Host-gatehouse=x", ";;=;", "\"__Host-gatehouse\"=t", "__secure-GATEHOUSE-check=1;a", " ; __Host-gatehouse=t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Cookie": {line}}
		before := (&http.Request{Header: h.Clone()}).Cookies()
		Strip(h)
		for _, jar := range []Jar{{}, {Domain: "example.com"}} {
			for _, name := range []string{jar.Session(), jar.Device(), jar.Check()} {
				if value, sent := Read(h, name); sent {
					t.Fatalf("%q: %s=%q is still there: %q", line, name, value, h["Cookie"])
				}
			}
		}
		var want, got []string
		for _, c := range before {
			if !Ours(c.Name) {
				want = append(want, c.Name+"="+c.Value)
			}
		}
		for _, c := range (&http.Request{Header: h}).Cookies() {
			got = append(got, c.Name+"="+c.Value)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q: the app's cookies became %q, were %q", line, got, want)
		}
		again := h.Clone()
		Strip(again)
		if !slices.Equal(again["Cookie"], h["Cookie"]) {
			t.Fatalf("%q: stripping twice makes a difference: %q, %q", line, h["Cookie"], again["Cookie"])
		}
	})
}

// FuzzSetCookie checks that what net/http would store as one of our cookies never
// gets through, and that cookies of other names do.
func FuzzSetCookie(f *testing.F) {
	for _, s := range []string{"__Host-gatehouse=x; Path=/", "a=1", "=__Host-gatehouse=x", "__HOST-gatehouse =x", ";", "gatehouse-device=1;x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Set-Cookie": {line}}
		FilterResponse(h)
		parsed, err := http.ParseSetCookie(line)
		switch kept := len(h["Set-Cookie"]) == 1; {
		case kept && strings.HasPrefix(strings.ToLower(strings.TrimLeft(line, " \t=")), "__host-gatehouse="):
			t.Fatalf("%q got through", line)
		case err == nil && kept == Ours(parsed.Name):
			t.Fatalf("%q: kept %t, name %q", line, kept, parsed.Name)
		}
	})
}
