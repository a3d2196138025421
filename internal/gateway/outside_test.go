package gateway

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

func TestAroundAGateWhatIsOursStaysOurs(t *testing.T) {
	o := NewOutside("X-Tenant")
	for name, app := range map[string]http.HandlerFunc{
		"writes":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"writes nothing": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			r := getAs("/", "Remote_User", "forged", "X_Tenant", "forged", "Connection", "Remote-User", "Accept", "a")
			rec := httptest.NewRecorder()
			p := o.Clean(rec, r)
			w := p.Writer
			if len(r.Header) != 1 || r.Header.Get("Accept") != "a" {
				t.Errorf("the app got %v", r.Header)
			}
			w.Header()["Set-Cookie"] = []string{"a=1", "__Host-gatehouse=evil"}
			app(w, r)
			p.Close()
			if got := rec.Result().Header.Values("Set-Cookie"); !slices.Equal(got, []string{"a=1"}) {
				t.Errorf("Set-Cookie: %q", got)
			}
			if got := rec.Result().Header["Cache-Control"]; got != nil {
				t.Errorf("Cache-Control: %q", got)
			}
		})
	}
}

// A gate around another one's part: the inner gate still finds the session and
// may clear a stale cookie.
func TestEnteringAGateFromOutside(t *testing.T) {
	r := getAs("/", "Cookie", "a=1; __Host-gatehouse=token")
	rec := httptest.NewRecorder()
	p := NewOutside().Clean(rec, r)
	if got := r.Header.Get("Cookie"); got != "a=1" {
		t.Fatalf("outside: %q", got)
	}
	p.Enter(r)
	if got := r.Header.Get("Cookie"); got != "a=1; __Host-gatehouse=token" {
		t.Errorf("at the gate: %q", got)
	}
	p.Writer.Header().Add("Set-Cookie", "__Host-gatehouse=; Max-Age=0")
	p.Writer.WriteHeader(http.StatusOK)
	p.Close()
	if len(rec.Result().Cookies()) != 1 {
		t.Error("the inner gate could not clear the cookie")
	}
}

func TestNewIDsDiffer(t *testing.T) {
	if a, b := NewID(), NewID(); a == b || len(a) != 26 {
		t.Errorf("%q, %q", a, b)
	}
}
