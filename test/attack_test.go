package test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// witness is an app that remembers what really reached it, byte by byte as the
// proxy sent it. On some paths it is hostile.
type witness struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func newWitness(t *testing.T) *witness {
	w := &witness{}
	w.Server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(func() {
		w.CloseClientConnections()
		w.Close()
	})
	return w
}

func (w *witness) serve(rw http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // trailers come after it
	w.mu.Lock()
	w.seen = append(w.seen, r)
	w.mu.Unlock()
	switch {
	case r.Header.Get("Upgrade") == "h2c":
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	case r.URL.Path == "/events":
		rw.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			if _, err := io.WriteString(rw, "data: secret\n\n"); err != nil {
				return
			}
			_ = http.NewResponseController(rw).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	case r.URL.Path == "/evil":
		h := rw.Header()
		h.Set("Link", "</a.css>; rel=preload")
		h.Add("Set-Cookie", "__Host-gatehouse=planted; Path=/; Secure")
		rw.WriteHeader(http.StatusEarlyHints)
		h["Trailer"] = []string{"Set-Cookie"}
		h["Clear-Site-Data"] = []string{`"*"`}
		h["Set-Cookie"] = []string{"__host-gatehouse=planted", "=__Host-gatehouse=planted", "mine=1"}
		rw.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(rw, "body")
		h["Set-Cookie"] = []string{"__Host-gatehouse=planted"}
	default:
		fmt.Fprintf(rw, "app saw %s %s", r.Method, r.RequestURI)
	}
}

// arrived returns what came since it was asked last.
func (w *witness) arrived() []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// attackSites are gates of several kinds before one witness.
const attackSites = `{
	admin localhost:{ADMIN}
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	gatehouse {
		policies {DIR}/rego
	}
}
http://localhost:{PORT}, https://localhost:{TLS} {
	bind 127.0.0.1
	gatehouse {
		allow anyone path /public/* /evil
		allow signed_in
		deny method DELETE
	}
	reverse_proxy {WITNESS}
}
http://parts.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse
	gatehouse /named/* {
		headers {
			X-Who {http.auth.user.username}
		}
	}
	reverse_proxy {WITNESS}
}
http://policies.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse /tenant/* {
		policy tenants
	}
	gatehouse /plain/*
	handle /inner/* {
		gatehouse
		reverse_proxy {WITNESS}
	}
	reverse_proxy {WITNESS}
}
:{ERRORS} {
	bind 127.0.0.1
	gatehouse
	reverse_proxy 127.0.0.1:1
	handle_errors {
		gatehouse
		reverse_proxy {WITNESS}
	}
}
`

// attack is a running gate with what attackers need.
type attack struct {
	*server
	app           *witness
	tls, failing  int    // ports: HTTPS, and a site whose app is down
	cookie        string // bob's, who is signed in
	bob, stranger *visitor
}

func newAttack(t *testing.T) *attack {
	a := &attack{app: newWitness(t), tls: freePort(t), failing: freePort(t), bob: newVisitor(t), stranger: newVisitor(t)}
	a.server = newServerFile(t, strings.NewReplacer("{WITNESS}", a.app.Listener.Addr().String(),
		"{TLS}", fmt.Sprint(a.tls), "{ERRORS}", fmt.Sprint(a.failing)).Replace(attackSites))
	a.writeFile("rego/tenants.rego", `package tenants

allow if input.identity.authenticated

headers := {"X-Tenant": "t1"} if allow
`)
	a.start()
	a.addUser("bob")
	a.bob.login(a.server, "bob")
	a.cookie = "__Host-gatehouse=" + a.bob.cookies["__Host-gatehouse"]
	return a
}

// wire sends bytes and returns all that comes back until the other end closes.
// {PORT} is the port, {COOKIE} bob's session.
func (a *attack) wire(t *testing.T, port int, request string) string {
	t.Helper()
	a.app.arrived()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	request = strings.NewReplacer("{PORT}", fmt.Sprint(port), "{COOKIE}", a.cookie).Replace(request)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(conn)
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() && len(out) == 0 {
		t.Fatalf("no answer to %q", request)
	}
	return string(out)
}

// unseen fails the test when a request reached the app.
func (a *attack) unseen(t *testing.T, what string) {
	t.Helper()
	for _, r := range a.app.arrived() {
		t.Errorf("%s: the app got %s %s %v", what, r.Method, r.RequestURI, r.Header)
	}
}

// one returns the one request that must have reached the app.
func (a *attack) one(t *testing.T, what string) *http.Request {
	t.Helper()
	got := a.app.arrived()
	if len(got) != 1 {
		for _, r := range got {
			t.Logf("%s %s", r.Method, r.RequestURI)
		}
		t.Fatalf("%s: the app got %d requests, want 1", what, len(got))
	}
	return got[0]
}

func TestAttacks(t *testing.T) {
	a := newAttack(t)
	t.Run("raw HTTP/1.1 of a stranger", a.rawBytes)
	t.Run("bodies that end twice", a.smuggling)
	t.Run("upgrade to another HTTP", a.upgradeToHTTP2)
	t.Run("paths of the portal", a.portalPaths)
	t.Run("method overrides", a.methodOverrides)
	t.Run("HTTP/2", a.http2)
	t.Run("requests that fail before the gate", a.failBeforeTheGate)
	t.Run("forged headers between gates", a.betweenGates)
	t.Run("an app that reaches for our cookies", a.hostileApp)
	t.Run("a stream nobody asked for", a.stream)
	t.Run("floods", a.floods)
}

// Each of these is a way to have one request read as another, or as none.
func (a *attack) rawBytes(t *testing.T) {
	for name, request := range map[string]string{
		"plain":                  "GET /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"HTTP/1.0":               "GET /admin HTTP/1.0\r\nHost: localhost:{PORT}\r\n",
		"bare line feeds":        "GET /admin HTTP/1.1\nHost: localhost:{PORT}\n",
		"HEAD":                   "HEAD /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"range":                  "GET /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nRange: bytes=0-9\r\n",
		"CORS preflight":         "OPTIONS /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n",
		"100-continue":           "POST /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nExpect: 100-continue\r\nContent-Length: 0\r\n",
		"absolute form":          "GET http://localhost:{PORT}/admin HTTP/1.1\r\nHost: elsewhere\r\n",
		"opaque form":            "GET http:admin HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"asterisk form":          "GET * HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"authority form":         "CONNECT localhost:{PORT} HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"CONNECT with a path":    "CONNECT /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"TRACE":                  "TRACE /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"small letters":          "get /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"two hosts":              "GET /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nHost: other\r\n",
		"space before the colon": "GET /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nRemote-User : root\r\n",
		"CR in a value":          "GET /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nX-A: b\rRemote-User: root\r\n",
		"NUL in a value":         "GET /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nX-A: b\x00\r\n",
		"bare number sign":       "GET /public/#/../admin HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"backslash":              "GET /public\\..\\admin HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"escaped backslash":      "GET /public/..%5cadmin HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"X-Original-URL":         "GET /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nX-Original-URL: /public/x\r\n",
		"X-Forwarded-*":          "GET /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nX-Forwarded-Uri: /public/x\r\nX-Forwarded-Host: a\r\nX-Forwarded-For: 127.0.0.1\r\n",
		"User-Agent":             "GET /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nUser-Agent: kube-probe/1.30\r\n",
		"query":                  "GET /admin?/public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\n",
		"cookie of 600 bytes":    "GET /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nCookie: __Host-gatehouse=" + strings.Repeat("A", 600) + "\r\n",
		"two sessions":           "GET /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nCookie: {COOKIE}; __Host-gatehouse=" + strings.Repeat("A", 43) + "\r\n",
		"the other prefix":       "GET /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nCookie: " + strings.Replace(a.cookie, "__Host-", "__Secure-", 1) + "\r\n",
		"session as a bearer":    "GET /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nAuthorization: Bearer " + strings.TrimPrefix(a.cookie, "__Host-gatehouse=") + "\r\n",
	} {
		end := "\r\n"
		if !strings.Contains(request, "\r\n") {
			end = "\n"
		}
		out := a.wire(t, a.port, request+"Connection: close"+end+end)
		if !strings.HasPrefix(out, "HTTP/1.") || strings.Contains(out, "app saw") {
			t.Errorf("%s: %.200q", name, out)
		}
		a.unseen(t, name)
	}
	a.wire(t, a.port, "GET /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nX-A: b\r\n Remote-User: root\r\nConnection: close\r\n\r\n")
	if h := a.one(t, "folded header").Header; len(h["Remote-User"]) > 0 {
		t.Errorf("a folded line became a header: %v", h)
	}
}

// A request in the body, or behind the session of another on one connection.
func (a *attack) smuggling(t *testing.T) {
	inner := "GET /admin HTTP/1.1\r\nHost: localhost:{PORT}\r\nRemote-User: root\r\nConnection: close\r\n\r\n"
	for name, request := range map[string]string{
		"CL.TE":             "POST /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"TE.CL":             "POST /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1\r\nZ\r\n0\r\n\r\n" + inner,
		"unknown coding":    "POST /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nTransfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n" + inner,
		"two codings":       "POST /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + inner,
		"two lengths":       "POST /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nContent-Length: 0\r\nContent-Length: 90\r\n\r\n" + inner,
		"length with sign":  "POST /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nContent-Length: +0\r\n\r\n" + inner,
		"chunk extension":   "POST /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nTransfer-Encoding: chunked\r\n\r\n0;a=\n\r\n\r\n" + inner,
		"chunk size folded": "POST /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + inner,
		"pipelined":         "GET /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nCookie: {COOKIE}\r\n\r\n" + inner,
		"GET with a body":   "GET /public/x HTTP/1.1\r\nHost: localhost:{PORT}\r\nContent-Length: 0\r\n\r\n" + inner,
	} {
		a.wire(t, a.port, request)
		time.Sleep(20 * time.Millisecond) // what is refused half-way may still be on its way to the app
		for _, r := range a.app.arrived() {
			if r.URL.Path != "/public/x" || r.Header.Get("Remote-User") == "root" {
				t.Errorf("%s: the app got %s %s %v", name, r.Method, r.RequestURI, r.Header)
			}
		}
	}
}

// An app that agrees to h2c would make the proxy a pipe for requests that no
// gate sees.
func (a *attack) upgradeToHTTP2(t *testing.T) {
	for _, upgrade := range []string{"h2c", "H2C", "websocket, h2c"} {
		for _, connection := range []string{"Upgrade", "Upgrade, HTTP2-Settings"} {
			out := a.wire(t, a.port, "GET /public/upgrade HTTP/1.1\r\nHost: localhost:{PORT}\r\nConnection: close, "+connection+"\r\nUpgrade: "+upgrade+
				"\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n")
			if h := a.one(t, upgrade).Header; strings.Contains(out, " 101 ") || len(h["Upgrade"]) > 0 || len(h["Http2-Settings"]) > 0 {
				t.Errorf("%s: the app got %v and said %.60q", upgrade, h, out)
			}
		}
	}
}

func (a *attack) portalPaths(t *testing.T) {
	for _, path := range []string{
		"/_gatehouse/..;/admin", "/_gatehouse/%2e%2e/admin", "/_gatehouse/../admin", "/_gatehouse%2f..%2fadmin", "/_gatehouse/x/../../admin",
		"//_gatehouse/login", "/_GATEHOUSE/login", "/_gatehouse;/admin", "/_gatehouse./admin", "/_gatehouse//admin", "/%5fgatehouse/admin",
		"/./_gatehouse/../admin", "/_gatehouse/assets/../../admin", "/_gatehouse/whoami/%2e%2e/%2e%2e/admin",
	} {
		for _, cookie := range []string{"", "Cookie: {COOKIE}\r\n"} {
			a.wire(t, a.port, "GET "+path+" HTTP/1.1\r\nHost: localhost:{PORT}\r\nRemote-User: root\r\nX-Original-URL: /admin\r\n"+cookie+"Connection: close\r\n\r\n")
			for _, r := range a.app.arrived() {
				if cookie == "" || strings.HasPrefix(r.URL.Path, "/_gatehouse/") || r.Header.Get("Remote-User") != "bob" || r.Header.Get("X-Original-Url") != "" {
					t.Errorf("%s: the app got %s %v", path, r.RequestURI, r.Header)
				}
			}
		}
	}
}

func (a *attack) methodOverrides(t *testing.T) {
	for name, head := range map[string]string{
		"plain":               "DELETE /x HTTP/1.1\r\n",
		"small letters":       "delete /x HTTP/1.1\r\n",
		"override":            "POST /x HTTP/1.1\r\nX-HTTP-Method-Override: DELETE\r\n",
		"another override":    "POST /x HTTP/1.1\r\nX-Method-Override: delete\r\n",
		"two overrides":       "POST /x HTTP/1.1\r\nX-HTTP-Method: PUT\r\nX-HTTP-Method: DELETE\r\n",
		"small with override": "post /x HTTP/1.1\r\nX-HTTP-Method-Override: DELETE\r\n",
	} {
		out := a.wire(t, a.port, head+"Host: localhost:{PORT}\r\nCookie: {COOKIE}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(out, "HTTP/1.1 403") {
			t.Errorf("%s: %.60q", name, out)
		}
		a.unseen(t, name)
	}
	a.wire(t, a.port, "POST /x HTTP/1.1\r\nHost: localhost:{PORT}\r\nCookie: {COOKIE}\r\nX-HTTP-Method-Override: PUT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	if got := a.one(t, "an override that is allowed").Header.Get("X-Http-Method-Override"); got != "PUT" {
		t.Errorf("the override became %q", got)
	}
}

// frames sends the fields of one HTTP/2 request as they are, which no client
// library would, and returns the status; "" when the stream was reset.
func (a *attack) frames(t *testing.T, trailer []string, fields ...string) string {
	t.Helper()
	a.app.arrived()
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a.tls), &tls.Config{
		ServerName: "localhost", NextProtos: []string{"h2"}, InsecureSkipVerify: true, // the CA was made for this run
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, http2.ClientPreface)
	f := http2.NewFramer(conn, bufio.NewReader(conn))
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	head := func(fields []string, end bool) {
		block.Reset()
		for i := 0; i+1 < len(fields); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
	}
	_ = f.WriteSettings()
	head(fields, trailer == nil)
	if trailer != nil {
		_ = f.WriteData(1, false, []byte("abc"))
		head(trailer, true)
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return ""
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		}
	}
}

func (a *attack) http2(t *testing.T) {
	host := fmt.Sprintf("localhost:%d", a.tls)
	request := func(method, path string, more ...string) []string {
		return append([]string{":method", method, ":scheme", "https", ":authority", host, ":path", path}, more...)
	}
	if status := a.frames(t, nil, request("GET", "/x", "cookie", a.cookie)...); status != "200" || a.one(t, "bob").Header.Get("Remote-User") != "bob" {
		t.Fatalf("bob: %q", status)
	}
	for name, fields := range map[string][]string{
		"stranger":                  request("GET", "/admin"),
		"forged header":             request("GET", "/admin", "remote-user", "root"),
		"Host of another":           request("GET", "/admin", "host", "elsewhere"),
		"extended CONNECT":          append(request("CONNECT", "/admin", "remote-user", "root"), ":protocol", "websocket"),
		"extended CONNECT in order": append([]string{":protocol", "websocket"}, request("CONNECT", "/admin")...),
		"CONNECT":                   {":method", "CONNECT", ":authority", host},
		"asterisk":                  request("GET", "*"),
		"path without slash":        request("GET", "admin"),
		"path of another host":      request("GET", "https://"+host+"/admin"),
		"empty path":                request("GET", ""),
		"path with a space":         request("GET", "/public/ HTTP/1.1\r\nX: y"),
		"path twice":                request("GET", "/public/x", ":path", "/admin"),
		"line break in a value":     request("GET", "/public/x", "x-a", "b\r\nremote-user: root"),
		"capital name":              request("GET", "/public/x", "Remote-User", "root"),
		"connection":                request("GET", "/public/x", "connection", "remote-user"),
		"transfer-encoding":         request("GET", "/public/x", "transfer-encoding", "chunked"),
		"http scheme":               {":method", "GET", ":scheme", "http", ":authority", host, ":path", "/admin"},
	} {
		if status := a.frames(t, nil, fields...); status == "200" && name != "http scheme" {
			t.Errorf("%s: passed", name)
		}
		a.unseen(t, name)
	}
	a.frames(t, nil, request("GET", "/public/x", "remote-user", "root", "remote_user", "root", "x-request-id", "mine")...)
	if h := a.one(t, "forged").Header; len(h["Remote-User"]) > 0 || len(h["Remote_user"]) > 0 || h.Get("X-Request-Id") == "mine" {
		t.Errorf("the app got %v", h)
	}
	a.frames(t, []string{"remote-user", "root", "x-checksum", "1"}, request("POST", "/public/x", "trailer", "remote-user, x-checksum")...)
	if r := a.one(t, "trailers"); len(r.Trailer["Remote-User"]) > 0 || r.Trailer.Get("X-Checksum") != "1" {
		t.Errorf("the app got the trailers %v", r.Trailer)
	}
	// The session may come in crumbs (RFC 9113 section 8.2.3), and still not reach the app.
	a.frames(t, nil, request("GET", "/x", "cookie", "a=1", "cookie", a.cookie, "cookie", "b=2")...)
	if h := a.one(t, "crumbs").Header; h.Get("Remote-User") != "bob" || strings.Contains(strings.Join(h["Cookie"], ";"), "gatehouse") {
		t.Errorf("the app got %v", h)
	}
}

// Caddy refuses some requests before any route, and runs handle_errors for them:
// with a gate in there, too, no one gets past it that way.
func (a *attack) failBeforeTheGate(t *testing.T) {
	for name, head := range map[string]string{
		"empty Host":  "GET /admin HTTP/1.1\r\nHost:\r\n",
		"dots":        "GET /admin HTTP/1.1\r\nHost: ...\r\n",
		"long method": strings.Repeat("G", 33) + " /admin HTTP/1.1\r\nHost: localhost\r\n",
		"plain":       "GET /admin HTTP/1.1\r\nHost: localhost\r\n",
	} {
		out := a.wire(t, a.failing, head+"Remote-User: root\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(out, "HTTP/1.1 401") {
			t.Errorf("%s: %.60q", name, out)
		}
		a.unseen(t, name)
	}
	a.wire(t, a.failing, "GET /x HTTP/1.1\r\nHost: localhost\r\nRemote-User: root\r\nCookie: {COOKIE}\r\nConnection: close\r\n\r\n")
	if got := a.one(t, "bob, whose app is down").Header["Remote-User"]; strings.Join(got, "|") != "bob" {
		t.Errorf("Remote-User: %q", got)
	}
}

// What one gate tells the app, nobody may send it through another, or past all.
func (a *attack) betweenGates(t *testing.T) {
	for name, target := range map[string]string{
		"a gate with other headers":     "parts.localhost /x",
		"a gate of another policy":      "policies.localhost /plain/x",
		"past the gate of a policy":     "policies.localhost /open",
		"past a gate with headers":      "policies.localhost /open2",
		"the gate of the policy itself": "policies.localhost /tenant/x",
		"the gate of the headers":       "parts.localhost /named/x",
	} {
		host, path, _ := strings.Cut(target, " ")
		a.wire(t, a.port, "GET "+path+" HTTP/1.1\r\nHost: "+host+":{PORT}\r\nX-Who: root\r\nX-Tenant: root\r\nRemote-User: root\r\nCookie: {COOKIE}\r\nConnection: close\r\n\r\n")
		for header, values := range a.one(t, name).Header {
			if strings.Contains(strings.Join(values, ""), "root") {
				t.Errorf("%s: the app got %s: %q", name, header, values)
			}
		}
	}
	out := a.wire(t, a.port, "GET /inner/x HTTP/1.1\r\nHost: policies.localhost:{PORT}\r\nCookie: {COOKIE}\r\nConnection: close\r\n\r\n")
	if got := a.app.arrived(); len(got) != 1 || got[0].Header.Get("Remote-User") != "bob" {
		t.Errorf("behind two gates of parts, the inner gate does not know bob: %.60q", out)
	}
}

// A proxy in handle_errors that no gate guards is reachable by whoever can make a
// request fail: the log says so.
func TestErrorsThatGoAroundTheGate(t *testing.T) {
	for name, c := range map[string]struct {
		routes string
		warned bool
	}{
		"a proxy":              {"reverse_proxy localhost:{APP}", true},
		"a proxy in a handle":  {"handle /x* {\n reverse_proxy localhost:{APP}\n }", true},
		"a gate for a part":    {"gatehouse /x/* {\n allow anyone\n }\n reverse_proxy localhost:{APP}", true},
		"a gate and a proxy":   {"gatehouse\n reverse_proxy localhost:{APP}", false},
		"a gate in the handle": {"handle /x* {\n gatehouse\n reverse_proxy localhost:{APP}\n }", false},
		"a text":               {"respond \"{err.status_code}\"", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, "", "gatehouse\n handle_errors {\n "+c.routes+"\n }").start()
			s.waitLog("serving initial configuration", 10*time.Second)
			if got := strings.Contains(s.log.String(), "around the gate"); got != c.warned {
				t.Errorf("warned: %t, want %t", got, c.warned)
			}
		})
	}
	t.Run("of a site without a gate", func(t *testing.T) {
		s := newServer(t, "", "gatehouse")
		config, err := os.ReadFile(filepath.Join(s.dir, "Caddyfile"))
		if err != nil {
			t.Fatal(err)
		}
		s.writeConfig(string(config) + "http://open.localhost:{PORT} {\n bind 127.0.0.1\n handle_errors {\n reverse_proxy localhost:{APP}\n }\n}\n")
		s.start().waitLog("serving initial configuration", 10*time.Second)
		if strings.Contains(s.log.String(), "around the gate") {
			t.Error("warned")
		}
	})
}

func (a *attack) hostileApp(t *testing.T) {
	out := a.wire(t, a.port, "GET /evil HTTP/1.1\r\nHost: localhost:{PORT}\r\nCookie: {COOKIE}\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n")
	if strings.Contains(out, "planted") || strings.Contains(out, `"cookies"`) || strings.Contains(out, `"*"`) || !strings.Contains(out, "mine=1") {
		t.Errorf("the browser got %s", out)
	}
	if c := a.one(t, "evil").Header["Cookie"]; len(c) > 0 {
		t.Errorf("the app got %q", c)
	}
}

// Streams are watched also when the client did not say that it wants one.
func (a *attack) stream(t *testing.T) {
	a.addUser("eve")
	eve := newVisitor(t)
	eve.login(a.server, "eve")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, a.url("/events"), nil)
	req.Header.Set("Cookie", "__Host-gatehouse="+eve.cookies["__Host-gatehouse"])
	resp, err := eve.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	a.mustCLI("", "user", "disable", "eve")
	began := time.Now()
	for err = nil; err == nil && time.Since(began) < 5*time.Second; {
		_, err = resp.Body.Read(make([]byte, 512))
	}
	if err == nil {
		t.Error("the stream outlived the user")
	}
}

// What a stranger sends in plenty leaves the gate with its wits, and its speed.
func (a *attack) floods(t *testing.T) {
	long := "GET /%s HTTP/1.1\r\nHost: localhost:{PORT}\r\n%sConnection: close\r\n\r\n"
	for name, request := range map[string]string{
		"segments":   fmt.Sprintf(long, strings.Repeat("a/", 4000), ""),
		"readings":   fmt.Sprintf(long, strings.Repeat("a;x/./", 1300)+"%252f//..", ""),
		"headers":    fmt.Sprintf(long, "x", strings.Repeat("X-A: b\r\n", 20000)),
		"cookies":    fmt.Sprintf(long, "x", "Cookie: "+strings.Repeat("a=b; ", 100000)+"\r\n"),
		"parameters": fmt.Sprintf(long, "x?"+strings.Repeat("a&", 100000), ""),
		"connection": fmt.Sprintf(long, "x", "Connection: "+strings.Repeat("remote-user,", 50000)+"\r\n"),
	} {
		for range 20 {
			if out := a.wire(t, a.port, request); !strings.HasPrefix(out, "HTTP/1.1 4") {
				t.Fatalf("%s: %.100q", name, out)
			}
		}
		a.unseen(t, name)
	}
	if log := a.log.String(); strings.Contains(log, "panic") {
		t.Error("a request made the server panic")
	}
	began := time.Now()
	if got := a.bob.get(a.url("/x")); got.StatusCode != http.StatusOK || time.Since(began) > time.Second {
		t.Errorf("bob, after the floods: %d in %s", got.StatusCode, time.Since(began))
	}
}
