package test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// witness is an app that tells what really reached it, as the proxy sent it.
type witness struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	body []string
}

func newWitness(t *testing.T, answer http.HandlerFunc) *witness {
	w := &witness{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		w.seen, w.body = append(w.seen, r), append(w.body, string(body))
		w.mu.Unlock()
		if answer != nil {
			answer(rw, r)
			return
		}
		fmt.Fprintf(rw, "app saw %s %s as %q", r.Method, r.RequestURI, r.Header.Get("Remote-User"))
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *witness) addr() string { return w.Listener.Addr().String() }

// taken returns what arrived since the last call.
func (w *witness) taken() []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen, w.body = nil, nil
	return seen
}

var _ = bufio.NewReader
var _ = tls.Dial
var _ = net.Dial
var _ = time.Now
var _ = strings.Cut

func TestScratch(t *testing.T) {
	app := newWitness(t, nil)
	p2 := freePort(t)
	s := newServerFile(t, strings.NewReplacer("UP", app.addr(), "{P2}", fmt.Sprint(p2)).Replace(`{
	admin localhost:{ADMIN}
	persist_config off
	gatehouse {
		policies {DIR}/rego
	}
}
http://localhost:{PORT} {
	bind 127.0.0.1
	@private not path /public/*
	gatehouse @private
	reverse_proxy UP
}
http://a.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse /admin/* {
		allow role admin
		headers {
			X-Who {http.auth.user.username}
		}
	}
	gatehouse
	reverse_proxy UP
}
http://b.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse /admin/* {
		policy site
	}
	gatehouse /b/*
	handle /c/* {
		gatehouse
		reverse_proxy UP
	}
	reverse_proxy UP
}
http://c.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse {
		allow signed_in
		deny method DELETE
	}
	reverse_proxy UP
}
:{APP} {
	bind 127.0.0.1
	gatehouse
	reverse_proxy 127.0.0.1:1
	handle_errors {
		reverse_proxy UP
	}
}
:{P2} {
	bind 127.0.0.1
	gatehouse
	reverse_proxy 127.0.0.1:1
	handle_errors {
		gatehouse
		reverse_proxy UP
	}
}
`))
	s.writeFile("rego/site.rego", `package site
import rego.v1
allow if input.identity.authenticated
headers := {"X-Tenant": "t1"} if allow
`)
	s.start()
	s.addUser("bob")
	bob := newVisitor(t)
	bob.login(s, "bob")
	cookie := "Cookie: __Host-gatehouse=" + bob.cookies["__Host-gatehouse"] + "\r\n"
	try := func(name string, port int, req string) {
		app.taken()
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
		io.WriteString(conn, req)
		out, _ := io.ReadAll(conn)
		line, _, _ := strings.Cut(string(out), "\r\n")
		t.Logf("%-30s -> %s", name, line)
		for _, r := range app.taken() {
			t.Logf("      APP SAW %s %s host=%s %v", r.Method, r.RequestURI, r.Host, r.Header)
		}
	}
	p := s.port
	for _, path := range []string{"/public/..;/admin", "/public/%2e%2e/admin", "/public/%252e%252e/admin", "/public/..%2fadmin", "/public/;/../admin", "/public/..%5cadmin", "/public\\..\\admin", "/_gatehouse/..;/admin", "/_gatehouse/%2e%2e/admin", "//_gatehouse/login", "/_GATEHOUSE/x", "/_gatehouse%2f..%2fx", "/_gatehouse;/x", "/_gatehouse"} {
		try(path, p, "GET "+path+" HTTP/1.1\r\nHost: localhost:"+fmt.Sprint(p)+"\r\nConnection: close\r\n\r\n")
	}
	try("sibling X-Who", p, "GET /x HTTP/1.1\r\nHost: a.localhost:"+fmt.Sprint(p)+"\r\nConnection: close\r\nX-Who: root\r\nX-Tenant: evil\r\n"+cookie+"\r\n")
	try("policy header outside", p, "GET /x HTTP/1.1\r\nHost: b.localhost:"+fmt.Sprint(p)+"\r\nConnection: close\r\nX-Who: root\r\nX-Tenant: evil\r\n"+cookie+"\r\n")
	try("policy header sibling", p, "GET /b/x HTTP/1.1\r\nHost: b.localhost:"+fmt.Sprint(p)+"\r\nConnection: close\r\nX-Who: root\r\nX-Tenant: evil\r\n"+cookie+"\r\n")
	try("nested gate", p, "GET /c/x HTTP/1.1\r\nHost: b.localhost:"+fmt.Sprint(p)+"\r\nConnection: close\r\n"+cookie+"\r\n")
	try("delete", p, "DELETE /x HTTP/1.1\r\nHost: c.localhost:"+fmt.Sprint(p)+"\r\nConnection: close\r\n"+cookie+"\r\n")
	try("lower delete", p, "delete /x HTTP/1.1\r\nHost: c.localhost:"+fmt.Sprint(p)+"\r\nConnection: close\r\n"+cookie+"\r\n")
	try("override delete", p, "POST /x HTTP/1.1\r\nHost: c.localhost:"+fmt.Sprint(p)+"\r\nConnection: close\r\nX-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n"+cookie+"\r\n")
	for _, q := range []int{s.app, p2} {
		try("err: empty host", q, "GET /admin HTTP/1.1\r\nHost:\r\nConnection: close\r\nRemote-User: root\r\n\r\n")
		try("err: dots host", q, "GET /admin HTTP/1.1\r\nHost: ...\r\nConnection: close\r\nRemote-User: root\r\n\r\n")
		try("err: long method", q, strings.Repeat("G", 33)+" /admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRemote-User: root\r\n\r\n")
		try("err: plain stranger", q, "GET /admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRemote-User: root\r\n\r\n")
		try("err: bob", q, "GET /admin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nRemote-User: root\r\n"+cookie+"\r\n")
	}
	for name, req := range map[string]string{
		"CL+TE": "POST /public/x HTTP/1.1\r\nHost: localhost:P\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: localhost:P\r\nConnection: close\r\n\r\n",
		"TE obf": "POST /public/x HTTP/1.1\r\nHost: localhost:P\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"TE two": "POST /public/x HTTP/1.1\r\nHost: localhost:P\r\nTransfer-Encoding: chunked, identity\r\nConnection: close\r\n\r\n0\r\n\r\n",
		"pipelined": "GET /public/x HTTP/1.1\r\nHost: localhost:P\r\n"+cookie+"\r\nGET /admin HTTP/1.1\r\nHost: localhost:P\r\nConnection: close\r\n\r\n",
		"obs-fold": "GET /public/x HTTP/1.1\r\nHost: localhost:P\r\nX-A: b\r\n Remote-User: root\r\nConnection: close\r\n\r\n",
		"space colon": "GET /public/x HTTP/1.1\r\nHost: localhost:P\r\nRemote-User : root\r\nConnection: close\r\n\r\n",
		"bare LF": "GET /public/x HTTP/1.1\nHost: localhost:P\nRemote-User: root\nConnection: close\n\n",
		"CR in value": "GET /public/x HTTP/1.1\r\nHost: localhost:P\r\nX-A: b\rRemote-User: root\r\nConnection: close\r\n\r\n",
		"absolute": "GET http://localhost:P/admin HTTP/1.1\r\nHost: c.localhost:P\r\nConnection: close\r\n\r\n",
		"absolute other": "GET http://c.localhost:P/public/x HTTP/1.1\r\nHost: localhost:P\r\nConnection: close\r\n\r\n",
		"HTTP/1.0": "GET /admin HTTP/1.0\r\nHost: localhost:P\r\nRemote-User: root\r\n\r\n",
		"continue": "POST /admin HTTP/1.1\r\nHost: localhost:P\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nabc",
		"connect": "CONNECT app:80 HTTP/1.1\r\nHost: localhost:P\r\nConnection: close\r\n\r\n",
		"connect path": "CONNECT /public/x HTTP/1.1\r\nHost: localhost:P\r\nConnection: close\r\n\r\n",
		"options *": "OPTIONS * HTTP/1.1\r\nHost: localhost:P\r\nConnection: close\r\n\r\n",
		"get *": "GET * HTTP/1.1\r\nHost: localhost:P\r\nConnection: close\r\n\r\n",
		"opaque": "GET http:admin HTTP/1.1\r\nHost: localhost:P\r\nConnection: close\r\n\r\n",
		"preflight": "OPTIONS /admin HTTP/1.1\r\nHost: localhost:P\r\nOrigin: https://evil\r\nAccess-Control-Request-Method: GET\r\nConnection: close\r\n\r\n",
		"head": "HEAD /admin HTTP/1.1\r\nHost: localhost:P\r\nConnection: close\r\n\r\n",
		"range": "GET /admin HTTP/1.1\r\nHost: localhost:P\r\nRange: bytes=0-1\r\nConnection: close\r\n\r\n",
		"h2c upgrade": "GET /public/x HTTP/1.1\r\nHost: localhost:P\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
		"h2c prior": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		try(name, p, strings.ReplaceAll(req, "localhost:P", fmt.Sprint("localhost:", p)))
	}
}
