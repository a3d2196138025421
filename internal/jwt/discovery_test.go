package jwt

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestDiscovery(t *testing.T) {
	const host = "https://id.example.com"
	doc := func(issuer, at string) string { return object{"issuer": issuer, "jwks_uri": at, "x": 1}.json() }
	for name, c := range map[string]struct {
		issuer string
		pages  map[string]string
	}{
		"OpenID":              {host, map[string]string{host + "/.well-known/openid-configuration": doc(host, keysURL)}},
		"OpenID with a path":  {testIssuer, map[string]string{testIssuer + "/.well-known/openid-configuration": doc(testIssuer, keysURL)}},
		"with a slash behind": {host + "/", map[string]string{host + "/.well-known/openid-configuration": doc(host+"/", keysURL)}},
		"OAuth":               {host, map[string]string{host + "/.well-known/oauth-authorization-server": doc(host, keysURL)}},
		"OAuth with a path":   {testIssuer, map[string]string{host + "/.well-known/oauth-authorization-server/realms/a": doc(testIssuer, keysURL)}},
		"OAuth, slash behind": {testIssuer + "/", map[string]string{host + "/.well-known/oauth-authorization-server/realms/a": doc(testIssuer+"/", keysURL)}},
		"OAuth on the host":   {host + "/", map[string]string{host + "/.well-known/oauth-authorization-server": doc(host+"/", keysURL)}},
		"keys on another host": {host, map[string]string{
			host + "/.well-known/openid-configuration": doc(host, "https://keys.example.net/k"), "https://keys.example.net/k": everyKey(),
		}},
		"a local issuer": {"http://localhost:9000", map[string]string{
			"http://localhost:9000/.well-known/openid-configuration": doc("http://localhost:9000", "http://127.0.0.1:9001/k"), "http://127.0.0.1:9001/k": everyKey(),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *bubble) {
				for at, page := range c.pages {
					w.site.serve(at, page)
				}
				if set, err := w.source(SourceOptions{Issuer: c.issuer}).current(t.Context()); err != nil || len(set.keys) != 5 {
					t.Error(err, w.site.asked)
				}
			})
		})
	}
	const configuration = host + "/.well-known/openid-configuration"
	for name, page := range map[string]string{
		"another issuer":           doc("https://evil.example.com", keysURL),
		"a slash more":             doc(host+"/", keysURL),
		"another case":             doc("https://ID.example.com", keysURL),
		"no issuer":                object{"jwks_uri": keysURL}.json(),
		"the issuer is a list":     object{"issuer": []string{host}, "jwks_uri": keysURL}.json(),
		"the issuer twice":         `{"issuer":"` + host + `","issuer":"` + host + `","jwks_uri":"` + keysURL + `"}`,
		"no keys":                  object{"issuer": host}.json(),
		"keys by http":             doc(host, "http://id.example.com/keys"),
		"keys on this machine":     doc(host, "http://127.0.0.1:2019/config/"),
		"keys on localhost":        doc(host, "http://localhost:2019/config/"),
		"keys in a file":           doc(host, "file:///etc/passwd"),
		"keys with a password":     doc(host, "https://u:p@id.example.com/keys"),
		"keys at no URL":           doc(host, "keys"),
		"keys is a number":         object{"issuer": host, "jwks_uri": 7}.json(),
		"keys at a very long URL":  doc(host, keysURL+"?"+strings.Repeat("x", 3000)),
		"the keys inside":          object{"issuer": host, "jwks": object{"keys": []object{public("ec", p256Pair())}}}.json(),
		"HTML":                     "<html>",
		"huge":                     doc(host, keysURL) + strings.Repeat(" ", maxAnswer),
		"keys that are not there":  doc(host, host+"/nowhere"),
		"an answer that is nested": strings.Repeat(`{"issuer":`, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *bubble) {
				w.site.serve(configuration, page)
				s := w.source(SourceOptions{Issuer: host})
				if _, err := s.current(t.Context()); !errors.Is(err, ErrNoKeys) || len(err.Error()) > 300 {
					t.Error(err)
				}
				for at := range w.site.asked {
					if !strings.HasPrefix(at, host+"/") {
						t.Error("it asked", at)
					}
				}
			})
		})
	}
	t.Run("only 404 leads to the other address", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			w.site.set(configuration, func(*http.Request) (*http.Response, error) { return reply(500, ""), nil })
			w.site.serve(host+"/.well-known/oauth-authorization-server", doc(host, keysURL))
			if _, err := w.source(SourceOptions{Issuer: host}).current(t.Context()); !errors.Is(err, ErrNoKeys) {
				t.Error(err)
			}
		})
	})
}

// TestRedirects goes over real connections.
func TestRedirects(t *testing.T) {
	var evilAsked, hops atomic.Int64
	evil := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		evilAsked.Add(1)
		fmt.Fprint(w, everyKey())
	}))
	defer evil.Close()
	plainHTTP := httptest.NewServer(evil.Config.Handler)
	defer plainHTTP.Close()
	mux := http.NewServeMux()
	issuer := httptest.NewUnstartedServer(mux)
	issuer.Config.ErrorLog = log.New(io.Discard, "", 0)
	issuer.StartTLS()
	defer issuer.Close()
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			t.Error("a cookie")
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		fmt.Fprint(w, everyKey())
	})
	to := func(at string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			hops.Add(1)
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			http.Redirect(w, r, at, http.StatusFound)
		}
	}
	mux.HandleFunc("/same", to("/keys"))
	mux.HandleFunc("/two", to("/same"))
	mux.HandleFunc("/three", to("/two"))
	mux.HandleFunc("/four", to("/three"))
	mux.HandleFunc("/loop", to("/loop"))
	mux.HandleFunc("/evil", to(evil.URL+"/keys"))
	mux.HandleFunc("/down", to(plainHTTP.URL+"/keys"))
	mux.HandleFunc("/http", to(strings.Replace(issuer.URL, "https:", "http:", 1)+"/keys"))
	mux.HandleFunc("/user", to(strings.Replace(issuer.URL, "https://", "https://u:p@", 1)+"/keys"))
	mux.HandleFunc("/file", to("file:///etc/passwd"))
	mux.HandleFunc("/late", to("/evil"))
	jar := must(cookiejar.New(nil))
	client := issuer.Client()
	client.Jar = jar
	for path, good := range map[string]bool{
		"/keys": true, "/same": true, "/two": true, "/three": true,
		"/four": false, "/loop": false, "/evil": false, "/down": false, "/http": false, "/user": false, "/file": false, "/late": false,
	} {
		s, err := NewSource(SourceOptions{Issuer: "x", JWKSURL: issuer.URL + path, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		before := hops.Load()
		set, err := s.current(t.Context())
		if good != (err == nil) || good != (set != nil) {
			t.Errorf("%s: %v", path, err)
		}
		if n := hops.Load() - before; n > 4 {
			t.Errorf("%s: %d redirects", path, n)
		}
		if !good && resultOf(s.Status().Err) != ResultRefused && path != "/file" {
			t.Errorf("%s: %v", path, s.Status().Err)
		}
		s.Close()
	}
	if evilAsked.Load() != 0 {
		t.Error("another place was asked")
	}
	if s, err := NewSource(SourceOptions{Issuer: "x", JWKSURL: issuer.URL + "/keys"}); err != nil {
		t.Error(err)
	} else {
		if _, err := s.current(t.Context()); !errors.Is(err, ErrNoKeys) || !strings.Contains(err.Error(), "certificate") {
			t.Error("a certificate that nobody vouches for:", err)
		}
		s.Close()
	}
}

// TestRedirectToPlainHTTP: the same host by http is another place, since anybody
// on the way may answer for it.
func TestRedirectToPlainHTTP(t *testing.T) {
	inBubble(t, func(t *testing.T, w *bubble) {
		const plain = "http://id.example.com/keys"
		w.site.serve(plain, everyKey())
		w.site.set(keysURL, func(*http.Request) (*http.Response, error) {
			r := reply(302, "")
			r.Header.Set("Location", plain)
			return r, nil
		})
		if _, err := w.current(t.Context()); !errors.Is(err, ErrNoKeys) || w.site.count(plain) != 0 {
			t.Error(err, w.site.count(plain))
		}
	})
}

// TestHugeAnswer goes over a real connection: no more is read than allowed.
func TestHugeAnswer(t *testing.T) {
	var sent atomic.Int64
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := []byte(strings.Repeat(" ", 64<<10))
		for sent.Load() < 1<<30 {
			if _, err := w.Write(block); err != nil || r.Context().Err() != nil {
				return
			}
			sent.Add(int64(len(block)))
		}
	}))
	s, err := NewSource(SourceOptions{Issuer: "x", JWKSURL: issuer.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.current(t.Context()); !errors.Is(err, ErrNoKeys) || resultOf(s.Status().Err) != ResultInvalid {
		t.Error(err)
	}
	s.Close()
	issuer.CloseClientConnections()
	issuer.Close()
	if n := sent.Load(); n >= 1<<30 {
		t.Error("all of it was taken")
	}
}

// TestCloseEndsASlowFetch goes over a real connection, which trickles for ever.
func TestCloseEndsASlowFetch(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		close(asked)
		<-r.Context().Done()
		close(gone)
	}))
	defer issuer.Close()
	s, err := NewSource(SourceOptions{Issuer: "x", JWKSURL: issuer.URL})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	<-asked
	s.Close()
	<-gone
	if _, err := s.current(t.Context()); !errors.Is(err, ErrNoKeys) {
		t.Error(err)
	}
}
