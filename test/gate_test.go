package test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	s := newServer(t, "", `gatehouse {
		allow role admin
		allow path /public/*
		deny path /public/secret/*
	}`).start()
	s.addUser("alice", "--role", "admin", "--group", "finance", "--email", "alice@example.com", "--name", "Alice")
	s.addUser("bob")
	alice, bob, nobody := newVisitor(t), newVisitor(t), newVisitor(t)
	alice.login(s, "alice")
	bob.login(s, "bob")

	t.Run("the app learns who is signed in", func(t *testing.T) {
		e := alice.get(s.url("/reports?q=1")).echo(t)
		for name, want := range map[string]string{
			"Remote-User": "alice", "Remote-Email": "alice@example.com", "Remote-Name": "Alice",
			"Remote-Groups": "finance", "Remote-Roles": "admin",
		} {
			if got := strings.Join(e.Headers[name], "|"); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if len(e.Headers["X-Request-Id"]) != 1 || len(e.Headers["X-Request-Id"][0]) != 26 {
			t.Errorf("X-Request-Id = %v", e.Headers["X-Request-Id"])
		}
		if c := e.Headers["Cookie"]; len(c) != 0 {
			t.Errorf("the app got our cookies: %v", c)
		}
	})

	t.Run("the app's own cookies pass untouched", func(t *testing.T) {
		alice.cookies["theme"] = `"dark"`
		defer delete(alice.cookies, "theme")
		if got := alice.get(s.url("/")).echo(t).Headers["Cookie"]; len(got) != 1 || got[0] != `theme="dark"` {
			t.Errorf("Cookie = %q", got)
		}
	})

	t.Run("nobody is sent to the login and back", func(t *testing.T) {
		a := nobody.navigate(s.url("/reports?q=a%20b&x=1"))
		to, err := url.Parse(a.Header.Get("Location"))
		if a.StatusCode != http.StatusFound || err != nil || to.Path != "/_gatehouse/login" || to.Query().Get("return_to") != "/reports?q=a%20b&x=1" {
			t.Fatalf("%d %s", a.StatusCode, a.Header.Get("Location"))
		}
		v := newVisitor(t)
		v.navigate(s.url(to.String()))
		back := v.do(http.MethodPost, s.url("/_gatehouse/login"), url.Values{
			"username": {"ALICE"}, "password": {aPassword}, "return_to": {to.Query().Get("return_to")},
		})
		if back.StatusCode != http.StatusSeeOther || back.Header.Get("Location") != "/reports?q=a%20b&x=1" {
			t.Fatalf("%d %s %s", back.StatusCode, back.Header.Get("Location"), back.body)
		}
	})

	t.Run("a program gets a problem document", func(t *testing.T) {
		a := nobody.get(s.url("/reports"))
		if a.StatusCode != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" ||
			a.Header.Get("Content-Type") != "application/problem+json" || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v", a.StatusCode, a.Header)
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(a.body), &doc); err != nil || doc["request_id"] == nil || doc["status"] != 401.0 {
			t.Fatalf("%v %s", err, a.body)
		}
	})

	t.Run("a user without the role sees the reason and the decision id", func(t *testing.T) {
		a := bob.navigate(s.url("/"))
		if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "needs role admin") {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		var doc struct {
			RequestID string   `json:"request_id"`
			Reasons   []string `json:"reasons"`
		}
		j := bob.get(s.url("/"))
		if err := json.Unmarshal([]byte(j.body), &doc); err != nil || len(doc.Reasons) == 0 || doc.RequestID == "" {
			t.Fatalf("%v %s", err, j.body)
		}
		s.waitLog(`gatehouse\.decision.*"id":"?`+doc.RequestID+`.*"verdict":"?deny`, 5*time.Second)
	})

	t.Run("a public path needs nobody, its secret part lets nobody", func(t *testing.T) {
		e := nobody.get(s.url("/public/x")).echo(t)
		if len(e.Headers["Remote-User"]) != 0 {
			t.Errorf("Remote-User for nobody: %v", e.Headers["Remote-User"])
		}
		for _, path := range []string{
			"/public/secret/x", "/public//secret/x", "/public/%73ecret/x", "/public/./secret/x", "/public/y/../secret/x",
			"/public/secret%2fx", "/public/;a=b/secret/x", "/public/SECRET/x", "/public/%2e/secret/x", "/public/x%2f..%2fsecret%2fx",
			"/public/%252e%252e/public/secret/x",
		} {
			if a := alice.get(s.url(path)); a.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %d", path, a.StatusCode)
			}
		}
		for _, path := range []string{"/public/../admin", "/public/%2e%2e/admin", "/public%2f..%2fadmin", "/public/..;/admin", "/public/..%2fadmin", "//admin"} {
			if a := nobody.get(s.url(path)); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
			}
		}
		for _, path := range []string{"/public/%00", "/public/%5c..%5cadmin", "/public/%0a", "/public/%ff"} {
			if a := nobody.get(s.url(path)); a.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %d", path, a.StatusCode)
			}
		}
	})

	t.Run("what the client claims about itself never arrives", func(t *testing.T) {
		raw := rawRequest(t, s, "GET /public/x HTTP/1.1\r\nHost: localhost\r\nConnection: close, Remote-User, remote_user\r\n"+
			"Remote-User: root\r\nremote-user: root\r\nREMOTE_USER: root\r\nRemote.User: root\r\nRemote-Groups: wheel\r\n"+
			"X-Gatehouse-Assertion: forged\r\nX-Request-Id: chosen\r\n\r\n")
		for _, lie := range []string{"root", "wheel", "forged", "chosen"} {
			if strings.Contains(raw, lie) {
				t.Errorf("%q reached the app: %s", lie, raw)
			}
		}
		raw = rawRequest(t, s, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close, Remote-User\r\nCookie: __Host-gatehouse="+
			alice.cookies["__Host-gatehouse"]+"\r\n\r\n")
		if !strings.Contains(raw, `"Remote-User":["alice"]`) && !strings.Contains(raw, `"Remote-User": ["alice"]`) {
			t.Errorf("Connection made the identity vanish: %s", raw)
		}
	})

	t.Run("a trailer cannot name an identity", func(t *testing.T) {
		raw := rawRequest(t, s, "POST /public/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Remote-User\r\n\r\n"+
			"3\r\nabc\r\n0\r\nRemote-User: root\r\n\r\n")
		if strings.Contains(raw, "root") {
			t.Errorf("the trailer reached the app: %s", raw)
		}
	})

	t.Run("a credential nobody asked for is refused", func(t *testing.T) {
		for _, value := range []string{"Basic YWxpY2U6eA==", "Bearer x", "Nonsense"} {
			a := alice.get(s.url("/"), "Authorization", value)
			if a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %d", value, a.StatusCode)
			}
		}
	})

	t.Run("a session cookie that stands for nobody is cleared and counts as none", func(t *testing.T) {
		v := newVisitor(t)
		v.cookies["__Host-gatehouse"] = strings.Repeat("A", 43)
		a := v.get(s.url("/public/x"))
		a.echo(t)
		if _, still := v.cookies["__Host-gatehouse"]; still {
			t.Errorf("not cleared: %v", a.Header["Set-Cookie"])
		}
	})

	t.Run("log-out ends the session everywhere", func(t *testing.T) {
		v := newVisitor(t)
		v.login(s, "alice")
		kept := v.cookies["__Host-gatehouse"]
		if a := v.do(http.MethodPost, s.url("/_gatehouse/logout"), url.Values{}); a.StatusCode != http.StatusSeeOther {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		v.cookies["__Host-gatehouse"] = kept // a copy that somebody took
		if a := v.get(s.url("/")); a.StatusCode != http.StatusUnauthorized {
			t.Fatalf("the old cookie still works: %d", a.StatusCode)
		}
	})

	t.Run("a cross-site form cannot sign anybody in or out", func(t *testing.T) {
		for _, path := range []string{"login", "logout"} {
			a := newVisitor(t).do(http.MethodPost, s.url("/_gatehouse/"+path), url.Values{"username": {"alice"}, "password": {aPassword}},
				"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
			if a.StatusCode != http.StatusForbidden || len(a.Header["Set-Cookie"]) != 0 {
				t.Errorf("%s: %d %v", path, a.StatusCode, a.Header["Set-Cookie"])
			}
		}
	})

	t.Run("what an administrator changes is in force on the next request", func(t *testing.T) {
		s.addUser("carol", "--role", "admin")
		v := newVisitor(t)
		v.login(s, "carol")
		v.get(s.url("/")).echo(t)
		s.mustCLI("", "user", "set", "carol", "--remove-role", "admin")
		if a := v.get(s.url("/")); a.StatusCode != http.StatusForbidden {
			t.Errorf("without the role: %d", a.StatusCode)
		}
		s.mustCLI("", "user", "set", "carol", "--add-role", "admin")
		v.get(s.url("/")).echo(t)
		s.mustCLI("", "user", "disable", "carol")
		if a := v.get(s.url("/")); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("disabled: %d", a.StatusCode)
		}
		s.mustCLI("", "user", "enable", "carol")
		if a := v.get(s.url("/")); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("the session from before the disabling is back: %d", a.StatusCode)
		}
		v.login(s, "carol")
		s.mustCLI("a wholly different sentence\n", "user", "passwd", "carol")
		if a := v.get(s.url("/")); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("after a new password: %d", a.StatusCode)
		}
		v.tryLogin(s, "carol", "a wholly different sentence")
		v.get(s.url("/")).echo(t)
		s.mustCLI("", "user", "delete", "carol")
		if a := v.get(s.url("/")); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("deleted: %d", a.StatusCode)
		}
	})

	t.Run("whoami", func(t *testing.T) {
		var who map[string]any
		a := alice.get(s.url("/_gatehouse/whoami"))
		if err := json.Unmarshal([]byte(a.body), &who); err != nil || who["username"] != "alice" || who["method"] != "session" {
			t.Fatalf("%d %v %s", a.StatusCode, err, a.body)
		}
		if a := nobody.get(s.url("/_gatehouse/whoami")); a.StatusCode != http.StatusUnauthorized {
			t.Fatalf("nobody: %d", a.StatusCode)
		}
	})

	t.Run("no secret is in the log", func(t *testing.T) {
		log := s.log.String()
		for _, secret := range []string{aPassword, alice.cookies["__Host-gatehouse"], bob.cookies["__Host-gatehouse"]} {
			if secret == "" || strings.Contains(log, secret) {
				t.Errorf("the log holds %q", secret)
			}
		}
	})

	t.Run("the metrics have closed labels", func(t *testing.T) {
		a := nobody.get(fmt.Sprintf("http://localhost:%d/metrics", s.admin))
		for _, want := range []string{
			`caddy_gatehouse_requests_total{method="session",result="allow"}`, `caddy_gatehouse_requests_total{method="none",result="login"}`,
			"caddy_gatehouse_decision_duration_seconds_count", `caddy_gatehouse_login_total{method="password",result="success"}`,
			"caddy_gatehouse_sessions ", "caddy_gatehouse_policy_revision_info{revision=",
		} {
			if !strings.Contains(a.body, want) {
				t.Errorf("no %s in the metrics", want)
			}
		}
		if strings.Contains(a.body, "alice") {
			t.Error("a metric holds a user's name")
		}
	})
}

// rawRequest sends bytes that no client library would and returns the whole
// answer.
func rawRequest(t *testing.T, s *server, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, strings.Replace(request, "Host: localhost\r\n", fmt.Sprintf("Host: localhost:%d\r\n", s.port), 1)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestGatesOfParts(t *testing.T) {
	s := newServer(t, "", `gatehouse /admin/* {
		allow role admin
	}
	gatehouse {
		allow signed_in
	}`).start()
	part := newServer(t, "gatehouse {\n store bolt {DIR}/state.db\n}", `gatehouse /admin/* {
		allow role admin
		headers {
			X-Who {http.auth.user.username}
		}
	}
	gatehouse /staff/*`).start()
	for _, srv := range []*server{s, part} {
		srv.addUser("alice", "--role", "admin")
		srv.addUser("bob")
	}
	alice, bob, nobody := newVisitor(t), newVisitor(t), newVisitor(t)
	alice.login(s, "alice")
	bob.login(s, "bob")
	t.Run("both gates must agree, and one sign-in serves both", func(t *testing.T) {
		if e := alice.get(s.url("/admin/x")).echo(t); strings.Join(e.Headers["Remote-User"], "") != "alice" {
			t.Errorf("%v", e.Headers)
		}
		if a := bob.get(s.url("/admin/x")); a.StatusCode != http.StatusForbidden {
			t.Errorf("bob: %d", a.StatusCode)
		}
		if e := bob.get(s.url("/x")).echo(t); strings.Join(e.Headers["Remote-User"], "") != "bob" {
			t.Errorf("%v", e.Headers)
		}
		if a := nobody.get(s.url("/x")); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("nobody: %d", a.StatusCode)
		}
	})
	alice, bob = newVisitor(t), newVisitor(t)
	alice.login(part, "alice")
	bob.login(part, "bob")
	t.Run("nobody forges an identity around the gates", func(t *testing.T) {
		e := alice.get(part.url("/open"), "Remote-User", "root", "X_Who", "root", "X-Who", "root").echo(t)
		for _, name := range []string{"Remote-User", "X_who", "X-Who", "Cookie"} {
			if len(e.Headers[name]) != 0 {
				t.Errorf("%s: %v", name, e.Headers[name])
			}
		}
	})
	t.Run("another reading of a path does not lead around the gates", func(t *testing.T) {
		for _, path := range []string{
			"/open/..;/admin/x", "/open/%252e%252e/admin/x", "/open/;/../admin/x", "/open/..%5cadmin", "/open%2f..%2fadmin/x", "//admin/x",
		} {
			// What Caddy's matcher takes for /admin/ meets the gate there (403).
			if a := bob.get(part.url(path)); a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %d", path, a.StatusCode)
			}
		}
		if a := newVisitor(t).navigate(part.url("/open/..;/admin/x")); a.StatusCode != http.StatusBadRequest || !strings.Contains(a.body, "<html") {
			t.Errorf("no page: %d", a.StatusCode)
		}
		alice.get(part.url("/open/")).echo(t)
	})
	t.Run("each part has its own rules and headers", func(t *testing.T) {
		if e := alice.get(part.url("/admin/x")).echo(t); strings.Join(e.Headers["X-Who"], "") != "alice" || len(e.Headers["Remote-User"]) != 0 {
			t.Errorf("%v", e.Headers)
		}
		if e := bob.get(part.url("/staff/x")).echo(t); strings.Join(e.Headers["Remote-User"], "") != "bob" {
			t.Errorf("%v", e.Headers)
		}
		if a := bob.get(part.url("/admin/x")); a.StatusCode != http.StatusForbidden {
			t.Errorf("bob: %d", a.StatusCode)
		}
		if a := newVisitor(t).navigate(part.url("/staff/x")); a.StatusCode != http.StatusFound {
			t.Errorf("nobody: %d", a.StatusCode)
		}
	})
}

func TestWebSocket(t *testing.T) {
	app := webSocketApp(t)
	s := newServerFile(t, fmt.Sprintf(`{
	admin localhost:{ADMIN}
	persist_config off
}
http://localhost:{PORT} {
	bind 127.0.0.1
	gatehouse
	reverse_proxy %s
}`, app)).start()
	s.addUser("alice")
	v := newVisitor(t)
	v.login(s, "alice")

	t.Run("nobody gets 401, not a redirect", func(t *testing.T) {
		_, status := dialWebSocket(t, s, "")
		if !strings.Contains(status, "401") {
			t.Fatal(status)
		}
	})
	t.Run("a signed-in caller talks, and is cut off when the session ends", func(t *testing.T) {
		conn, status := dialWebSocket(t, s, v.cookies["__Host-gatehouse"])
		if !strings.Contains(status, "101") {
			t.Fatal(status)
		}
		if _, err := conn.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "ping" {
			t.Fatalf("%v %q", err, buf)
		}
		began := time.Now()
		s.mustCLI("", "session", "revoke", "--user", "alice")
		if _, err := conn.Read(buf); err == nil {
			t.Fatal("the socket still gives data")
		} else if strings.Contains(err.Error(), "timeout") {
			t.Fatal("the socket outlived the session")
		}
		t.Logf("cut %s after the revocation began", time.Since(began).Round(time.Millisecond))
	})
}

// webSocketApp upgrades and echoes bytes; frames do not matter to the gate.
func webSocketApp(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"+
			"Set-Cookie: __Host-gatehouse=planted; Path=/; Secure\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		_, _ = io.Copy(conn, rw)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}

func dialWebSocket(t *testing.T, s *server, cookie string) (net.Conn, string) {
	t.Helper()
	return dialWebSocketWith(t, s, "Cookie: __Host-gatehouse="+cookie)
}

// dialWebSocketWith asks for a socket with one more header line, and returns the
// status line of the answer.
func dialWebSocketWith(t *testing.T, s *server, header string) (net.Conn, string) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: localhost:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n\r\n", s.port, header)
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(conn)
	status, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			break
		}
		if strings.Contains(line, "planted") {
			t.Error("the app set our cookie on the upgrade's answer")
		}
	}
	return conn, status
}
