package outgoing

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestURL(t *testing.T) {
	for address, good := range map[string]bool{
		"https://issuer.example":             true,
		"https://issuer.example:8443/a?b=c":  true,
		"http://localhost:8080":              true,
		"http://idp.localhost":               true,
		"http://127.0.0.1/x":                 true,
		"http://[::1]:80":                    true,
		"http://issuer.example":              false,
		"http://localhost.example":           false,
		"http://127.0.0.1.example":           false,
		"http://10.0.0.1":                    false,
		"ftp://issuer.example":               false,
		"https://user@issuer.example":        false,
		"https://user:secret@issuer.example": false,
		"https://issuer.example/#fragment":   false,
		"https://issuer.example/#":           false,
		"https://":                           false,
		"https://:443":                       false,
		"https:issuer.example":               false,
		"issuer.example":                     false,
		"":                                   false,
		"https://issuer.example/\x7f":        false,
	} {
		if u, err := URL(address); (err == nil) != good || good && u.Host == "" {
			t.Errorf("%q: %v, %v", address, u, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{"/once": "/here", "/again": "/again", "/away": other.URL, "/as": "http://user@" + r.Host + "/here"}[r.URL.Path]
		if to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}))
	defer srv.Close()
	transport := Transport(time.Second)
	defer transport.CloseIdleConnections()
	same := &http.Client{Transport: transport, CheckRedirect: SameHost}
	for path, good := range map[string]bool{"/here": true, "/once": true, "/again": false, "/away": false, "/as": false} {
		res, err := same.Get(srv.URL + path)
		if err == nil {
			res.Body.Close()
		}
		if (err == nil) != good || !good && !errors.Is(err, ErrRedirect) {
			t.Errorf("%s: %v", path, err)
		}
	}
	none := &http.Client{Transport: transport, CheckRedirect: NoRedirect}
	res, err := none.Get(srv.URL + "/away")
	if err != nil || res.StatusCode != http.StatusFound {
		t.Fatalf("%v, %v", res, err)
	}
	res.Body.Close()
}
