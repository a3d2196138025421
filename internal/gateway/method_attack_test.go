package gateway

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// The app may do another thing than the request line says.
func TestEveryMethodIsDecided(t *testing.T) {
	for name, c := range map[string]struct {
		request *http.Request
		status  int
	}{
		"plain POST":          {withMethod("POST"), 200},
		"plain DELETE":        {withMethod("DELETE"), 403},
		"small letters":       {withMethod("delete"), 403},
		"small POST":          {withMethod("post"), 200},
		"override":            {withMethod("POST", "X-HTTP-Method-Override", "DELETE"), 403},
		"small override":      {withMethod("POST", "X-Http-Method-Override", " delete "), 403},
		"another framework's": {withMethod("POST", "X-Method-Override", "DELETE"), 403},
		"OData's":             {withMethod("POST", "X-HTTP-Method", "DELETE"), 403},
		"as CGI spells it":    {withMethod("POST", "X_HTTP_Method_Override", "DELETE"), 403},
		"harmless override":   {withMethod("POST", "X-HTTP-Method-Override", "PATCH"), 200},
		"list":                {withMethod("POST", "X-HTTP-Method-Override", "PATCH, DELETE"), 400},
		"twice":               {withMethod("POST", "X-HTTP-Method-Override", "PATCH", "X-HTTP-Method-Override", "DELETE"), 403},
		"too many":            {withMethod("POST", "X-HTTP-Method-Override", "PATCH", "X-Method-Override", "PUT", "X-HTTP-Method", "LOCK"), 400},
		"empty":               {withMethod("POST", "X-HTTP-Method-Override", ""), 400},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			s.options.Decider = deciderFunc(func(q *decision.Question) (decision.Answer, error) {
				return decision.Answer{Allow: q.Request.Method != "DELETE", Revision: "r1"}, nil
			})
			if got := s.do(t, c.request).StatusCode; got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
		})
	}
}

// The proxy turns it into a GET, so it is decided as one, and only so: rules for
// WebSockets say GET.
func TestExtendedConnectIsDecidedAsTheGetThatItBecomes(t *testing.T) {
	h2 := withMethod("CONNECT", "Accept", "a")
	h2.ProtoMajor = 2
	h2.Header[":protocol"] = []string{"websocket"}
	h3 := withMethod("CONNECT")
	h3.ProtoMajor, h3.Proto = 3, "websocket"
	other := withMethod("CONNECT")
	other.ProtoMajor, other.Proto = 3, "connect-udp"
	for want, r := range map[string]*http.Request{"GET 2": h2, "GET 3": h3, "CONNECT": other} {
		s := newScene()
		var asked []string
		s.options.Decider = deciderFunc(func(q *decision.Question) (decision.Answer, error) {
			asked = append(asked, q.Request.Method)
			return decision.Answer{Allow: true, Revision: "r1"}, nil
		})
		s.do(t, r)
		if want, _, _ := strings.Cut(want, " "); !slices.Equal(asked, []string{want}) {
			t.Errorf("asked about %v, want %s", asked, want)
		}
	}
}

// "h2c smuggling": an upgrade that the app agrees to makes the proxy a pipe.
func TestNoUpgradeToAnotherHTTP(t *testing.T) {
	for _, upgrade := range []string{"h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.3, HTTP/1.1", " h2 ", "h2c/1"} {
		s := newScene()
		s.do(t, getAs("/", "Connection", "Upgrade, HTTP2-Settings", "Upgrade", upgrade, "HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"))
		if h := s.last(t).Header; len(h["Upgrade"]) > 0 || len(h["Http2-Settings"]) > 0 {
			t.Errorf("%q reached the app: %v", upgrade, h)
		}
		r := get("/", "Connection", "Upgrade", "Upgrade", upgrade)
		p := NewOutside().Clean(httptest.NewRecorder(), r)
		p.Close()
		if len(r.Header["Upgrade"]) > 0 {
			t.Errorf("%q passed by the gate", upgrade)
		}
	}
	for _, upgrade := range []string{"websocket", "WebSocket", "SPDY/3.1", "tcp"} {
		s := newScene()
		s.do(t, getAs("/", "Connection", "Upgrade", "Upgrade", upgrade))
		if got := s.last(t).Header.Get("Upgrade"); got != upgrade {
			t.Errorf("%q became %q", upgrade, got)
		}
	}
}

func withMethod(method string, headers ...string) *http.Request {
	r := getAs("/x", headers...)
	r.Method = method
	return r
}
