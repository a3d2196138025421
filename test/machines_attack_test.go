package test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// machineSites are places at which keys and tokens meet gates, apps and each other.
// On the first one both gates of a path must agree, the outer one in the order in
// which they are written.
const machineSites = `{
	admin localhost:{ADMIN}
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	servers {
		expected_underscore_headers X_Odd_Key
	}
	gatehouse {
		keys {
			header X-Odd-Key
		}
	}
}
http://localhost:{PORT}, https://localhost:{TLS} {
	bind 127.0.0.1
	route {
		gatehouse {
			allow anyone path /open/*
			allow scope x
			allow role admin
		}
		gatehouse /people/* {
			methods session
		}
		gatehouse /programs/* {
			methods key
		}
		reverse_proxy {WITNESS}
	}
}
http://part.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse /api/* {
		allow scope x
	}
	handle /inner/* {
		gatehouse {
			allow scope x
		}
		reverse_proxy {WITNESS}
	}
	reverse_proxy {WITNESS}
}
http://pass.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse {
		methods session
		authorization pass
		allow anyone
	}
	reverse_proxy {WITNESS}
}
http://failing.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse {
		allow scope x
	}
	reverse_proxy 127.0.0.1:1
	handle_errors {
		gatehouse {
			methods session
			allow signed_in
		}
		reverse_proxy {WITNESS}
	}
}
`

// machineAttack is an attack with keys: alice's, who is an administrator, and that
// of a service.
type machineAttack struct {
	*attack
	alice, service keyMade
}

func newMachineAttack(t *testing.T) *machineAttack {
	a := &attack{app: newWitness(t), tls: freePort(t), bob: newVisitor(t), stranger: newVisitor(t)}
	a.server = newServerFile(t, strings.NewReplacer("{WITNESS}", a.app.Listener.Addr().String(), "{TLS}", fmt.Sprint(a.tls)).Replace(machineSites))
	a.start()
	m := &machineAttack{attack: a}
	a.addUser("alice", "--role", "admin", "--scope", "x")
	a.mustCLI("", "service", "add", "robot", "--scope", "x")
	m.alice, m.service = a.addKey("alice", "--scope", "x"), a.addKey("robot", "--scope", "x")
	a.bob.login(a.server, "alice")
	a.cookie = "__Host-gatehouse=" + a.bob.cookies["__Host-gatehouse"]
	return m
}

// send makes a request of these header lines, in which {KEY} is alice's key.
func (m *machineAttack) send(t *testing.T, host, path, lines string) string {
	t.Helper()
	lines = strings.NewReplacer("{KEY}", m.alice.Key, "{BASIC}", b64std("x:"+m.alice.Key)).Replace(lines)
	return m.wire(t, m.port, "GET "+path+" HTTP/1.1\r\nHost: "+host+":{PORT}\r\nConnection: close\r\n"+lines+"\r\n")
}

func TestMachineAttacks(t *testing.T) {
	m := newMachineAttack(t)
	t.Run("two gates on one path", m.twoGates)
	t.Run("one credential, whatever else comes", m.oneCredential)
	t.Run("keys where nobody asks for them", m.keysAroundGates)
	t.Run("an app that is down", m.failingApp)
	t.Run("HTTP/2", m.http2)
	t.Run("an upgrade", m.upgrade)
	t.Run("floods", m.floods)
	t.Run("no log has held a key", func(t *testing.T) {
		for _, k := range []keyMade{m.alice, m.service} {
			for line := range strings.SplitSeq(m.log.String(), "\n") {
				if strings.Contains(line, k.Key[16:]) {
					t.Errorf("logged: %s", line)
				}
			}
		}
	})
}

// The second gate takes the word of the first for who somebody is, and not for how
// they may prove it.
func (m *machineAttack) twoGates(t *testing.T) {
	for _, c := range []struct{ path, lines, status string }{
		{"/people/1", "Authorization: Bearer {KEY}\r\n", "401"},
		{"/people/1", "Authorization: Basic {BASIC}\r\n", "401"},
		{"/people/1", "X-Odd_Key: {KEY}\r\n", "401"},
		{"/people/1", "Authorization: Bearer {KEY}\r\nCookie: {COOKIE}\r\n", "401"},
		{"/people/1", "Cookie: {COOKIE}\r\n", "200"},
		{"/programs/1", "Cookie: {COOKIE}\r\n", "401"},
		{"/programs/1", "Authorization: Bearer {KEY}\r\n", "200"},
		{"/programs/1", "", "401"},
	} {
		out := m.send(t, "localhost", c.path, c.lines)
		if !strings.HasPrefix(out, "HTTP/1.1 "+c.status) {
			t.Errorf("%s %q: %.60q, want %s", c.path, c.lines, out, c.status)
		}
		for _, r := range m.app.arrived() {
			if c.status != "200" || r.Header.Get("Remote-User") != "alice" {
				t.Errorf("%s %q: the app got %v", c.path, c.lines, r.Header)
			}
		}
	}
}

// A bad credential, or two, is the end, also where anybody may pass.
func (m *machineAttack) oneCredential(t *testing.T) {
	bad := m.alice.Key[:len(m.alice.Key)-1] + "_"
	for _, lines := range []string{
		"Authorization: Bearer " + bad + "\r\n",
		"Authorization: Bearer " + bad + "\r\nCookie: {COOKIE}\r\n",
		"Authorization: Bearer {KEY}\r\nAuthorization: Bearer {KEY}\r\n",
		"Authorization: Bearer {KEY}\r\nauthorization: Bearer " + bad + "\r\n",
		"Authorization: Bearer {KEY}, Bearer {KEY}\r\n",
		"Authorization: Bearer {KEY} x\r\n",
		"Authorization: Bearer\t{KEY}\r\n",
		"Authorization: Bearer " + strings.ToUpper(m.alice.Key) + "\r\n",
		"Authorization: Bearer " + strings.ReplaceAll(m.alice.Key, "gh_", "GH_") + "\r\n",
		"Authorization: {KEY}\r\n",
		"Authorization: Bearer\r\n",
		"Authorization:\r\n",
		"Authorization: Negotiate {KEY}\r\nCookie: {COOKIE}\r\n",
		"Authorization: Basic {KEY}\r\nCookie: {COOKIE}\r\n",
		"Authorization: Basic " + b64std(m.alice.Key+":") + "\r\n",
		"Authorization: Basic " + b64std(m.alice.Key) + "\r\n",
		"Authorization: Basic " + b64std("x:"+bad) + "\r\nCookie: {COOKIE}\r\n",
		"Authorization: Basic " + strings.TrimRight(b64std("x:"+m.alice.Key), "=") + "\r\n",
		strings.Repeat("Authorization: Bearer {KEY}\r\n", 100),
	} {
		for _, path := range []string{"/open/1", "/x"} {
			out := m.send(t, "localhost", path, lines)
			if !strings.HasPrefix(out, "HTTP/1.1 401") || !strings.Contains(out, "Www-Authenticate: B") || strings.Contains(out, m.alice.Key[16:]) {
				t.Errorf("%s %.100q: %.200q", path, lines, out)
			}
			m.unseen(t, lines)
		}
	}
	for name, lines := range map[string]string{
		"spaces":                "Authorization:   bEARER   {KEY}  \r\n",
		"named in Connection":   "Authorization: Bearer {KEY}\r\nConnection: Authorization, close\r\n",
		"beside a stale cookie": "Authorization: Bearer {KEY}\r\nCookie: __Host-gatehouse=" + strings.Repeat("A", 43) + "\r\n",
	} {
		m.send(t, "localhost", "/x", lines)
		if h := m.one(t, name).Header; h.Get("Remote-User") != "alice" || h.Get("Authorization") != "" {
			t.Errorf("%s: the app got %v", name, h)
		}
	}
}

// The app learns no key where the gate is not asked, or does not take it.
func (m *machineAttack) keysAroundGates(t *testing.T) {
	for _, lines := range []string{
		"Authorization: Bearer {KEY}\r\n", "Authorization: Basic {BASIC}\r\n", "X_Odd_Key: {KEY}\r\n", "Connection: X-Odd-Key\r\nX_Odd_Key: {KEY}\r\n",
	} {
		m.send(t, "part.localhost", "/open", lines)
		m.keyless(t, "past a gate, "+lines, m.one(t, lines))
		out := m.send(t, "pass.localhost", "/", lines)
		for _, r := range m.app.arrived() {
			m.keyless(t, "at a gate that takes no keys, "+lines, r)
		}
		if strings.HasPrefix(lines, "Authorization") && !strings.HasPrefix(out, "HTTP/1.1 401") {
			t.Errorf("%s: %.60q", lines, out)
		}
	}
	for _, host := range []string{"part.localhost", "pass.localhost", "localhost"} {
		if out := m.send(t, host, "/open/1?key="+m.alice.Key, ""); !strings.HasPrefix(out, "HTTP/1.1 401") || !strings.Contains(out, `error="invalid_request"`) {
			t.Errorf("in the address of %s: %.200q", host, out)
		}
		m.unseen(t, "in the address of "+host)
	}
	m.send(t, "part.localhost", "/inner/1", "Authorization: Bearer {KEY}\r\n")
	if r := m.one(t, "a gate behind the way past another"); r.Header.Get("Remote-User") != "alice" {
		t.Errorf("the app got %v", r.Header)
	} else {
		m.keyless(t, "inner gate", r)
	}
	m.wire(t, m.port, "POST /open/1 HTTP/1.1\r\nHost: localhost:{PORT}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization, X_Odd_Key\r\n\r\n"+
		"1\r\na\r\n0\r\nAuthorization: Bearer "+m.alice.Key+"\r\nX_Odd_Key: "+m.alice.Key+"\r\nX-Odd-Key: "+m.alice.Key+"\r\n\r\n")
	if r := m.one(t, "trailers"); strings.Contains(fmt.Sprint(r.Trailer), m.alice.Key) {
		t.Errorf("the app got the trailers %v", r.Trailer)
	}
	m.send(t, "pass.localhost", "/", "Authorization: Basic Ym9iOmFwcA==\r\n")
	if r := m.one(t, "the app's own"); r.Header.Get("Authorization") != "Basic Ym9iOmFwcA==" {
		t.Errorf("the app got %v", r.Header)
	}
}

func (m *machineAttack) keyless(t *testing.T, what string, r *http.Request) {
	t.Helper()
	for name, values := range r.Header {
		for _, v := range values {
			if strings.Contains(v, m.alice.Key[16:]) || strings.Contains(v, b64std("x:"+m.alice.Key)) {
				t.Errorf("%s: the app got %s: %s", what, name, v)
			}
		}
	}
}

// handle_errors has a gate of its own, which lets in whom the first one let in by a
// way that counts there.
func (m *machineAttack) failingApp(t *testing.T) {
	if out := m.send(t, "failing.localhost", "/x", "Authorization: Bearer {KEY}\r\n"); !strings.HasPrefix(out, "HTTP/1.1 401") {
		t.Errorf("%.100q", out)
	}
	m.unseen(t, "a key at a gate for sessions")
	if out := m.send(t, "failing.localhost", "/x", "Authorization: Bearer "+m.alice.Key[:52]+"_\r\n"); !strings.HasPrefix(out, "HTTP/1.1 401") {
		t.Errorf("%.100q", out)
	}
	m.unseen(t, "a bad key")
}

func (m *machineAttack) http2(t *testing.T) {
	request := func(path string, more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "https", ":authority", fmt.Sprintf("localhost:%d", m.tls), ":path", path}, more...)
	}
	good := "Bearer " + m.alice.Key
	if status := m.frames(t, nil, request("/x", "authorization", good)...); status != "200" || m.one(t, "a key").Header.Get("Remote-User") != "alice" {
		t.Fatal(status)
	}
	for name, fields := range map[string][]string{
		"twice":                request("/open/1", "authorization", good, "authorization", good),
		"a bad one after":      request("/open/1", "authorization", good, "authorization", "Bearer gh_x"),
		"empty":                request("/open/1", "authorization", ""),
		"a bad one, a cookie":  request("/x", "authorization", "Bearer gh_x", "cookie", m.cookie),
		"at a gate for people": request("/people/1", "authorization", good, "cookie", m.cookie),
	} {
		if status := m.frames(t, nil, fields...); status != "401" {
			t.Errorf("%s: %q", name, status)
		}
		m.unseen(t, name)
	}
	post := append([]string{":method", "POST"}, request("/open/1", "trailer", "x-odd-key, x_odd_key")[2:]...)
	m.frames(t, []string{"x-odd-key", m.alice.Key, "x_odd_key", m.alice.Key}, post...)
	for name, values := range m.one(t, "a key as a trailer").Trailer {
		if strings.Contains(strings.Join(values, ""), m.alice.Key) {
			t.Errorf("the app got the trailer %s", name)
		}
	}
}

// A credential that a WebSocket began with is as good as any, and a bad one too.
func (m *machineAttack) upgrade(t *testing.T) {
	const handshake = "Connection: Upgrade, Authorization\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, lines := range []string{"Authorization: Bearer gh_x\r\n", "Authorization: Bearer {KEY}\r\nAuthorization: Bearer {KEY}\r\n", ""} {
		if out := m.send(t, "localhost", "/x", handshake+lines); !strings.HasPrefix(out, "HTTP/1.1 401") {
			t.Errorf("%q: %.60q", lines, out)
		}
		m.unseen(t, lines)
	}
}

// Whatever strangers send as credentials, valid callers do not notice.
func (m *machineAttack) floods(t *testing.T) {
	wrong := m.alice.Key[:16] + m.service.Key[16:]
	for name, lines := range map[string]string{
		"long bearer":   "Authorization: Bearer " + strings.Repeat("a", 15000) + "\r\n",
		"long key":      "Authorization: Bearer gh_" + strings.Repeat("a", 15000) + "\r\n",
		"long Basic":    "Authorization: Basic " + b64std(strings.Repeat("a:", 5000)) + "\r\n",
		"parts":         "Authorization: " + strings.Repeat("a ", 7000) + "\r\n",
		"dots":          "Authorization: Bearer " + strings.Repeat(".", 15000) + "\r\n",
		"wrong secret":  "Authorization: Bearer " + wrong + "\r\n",
		"many headers":  strings.Repeat("Authorization: Bearer x\r\n", 600),
		"other schemes": "Authorization: " + strings.Repeat("Digest,", 2000) + "\r\n",
	} {
		for range 20 {
			if out := m.send(t, "localhost", "/open/1", lines); !strings.HasPrefix(out, "HTTP/1.1 4") {
				t.Fatalf("%s: %.100q", name, out)
			}
		}
		m.unseen(t, name)
	}
	began := time.Now()
	m.send(t, "localhost", "/x", "Authorization: Bearer {KEY}\r\n")
	if m.one(t, "alice's program").Header.Get("Remote-User") != "alice" || time.Since(began) > 2*time.Second {
		t.Errorf("after the floods: %s", time.Since(began))
	}
}

// TestKeyOnTheCommandLine: who hands a whole key to a command means its id, and the
// rest is not to be written anywhere.
func TestKeyOnTheCommandLine(t *testing.T) {
	s := newServer(t, "", "gatehouse {\n allow scope x\n}").start()
	s.mustCLI("", "service", "add", "robot", "--scope", "x")
	k := s.addKey("robot", "--scope", "x")
	if out := s.mustCLI("", "--json", "key", "show", k.Key); !strings.Contains(out, k.ID) {
		t.Error(out)
	}
	if out, err := s.cli("", "key", "revoke", k.Key[:len(k.Key)-1]); err == nil || strings.Contains(out, k.Key[16:40]) {
		t.Errorf("%v %s", err, out)
	}
	if out := s.mustCLI("", "key", "revoke", k.Key); strings.Contains(out, k.Key[16:]) || !strings.Contains(out, k.ID) {
		t.Error(out)
	}
	if a := newVisitor(t).get(s.url("/"), bearer(k.Key)...); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d", a.StatusCode)
	}
	// By the API directly, which Caddy logs the address of; our own trail does not.
	other := s.addKey("robot", "--scope", "x")
	s.api(http.MethodDelete, "/keys/"+other.Key, "")
	for line := range strings.SplitSeq(s.log.String(), "\n") {
		if strings.Contains(line, k.Key[16:40]) || strings.Contains(line, other.Key[16:40]) && strings.Contains(line, "gatehouse.audit") {
			t.Errorf("logged: %s", line)
		}
	}
}

// twoAuthorities are two sites on one port, each with authorities of its own, and
// with error routes that lead to the app.
const twoAuthorities = `{
	admin localhost:{ADMIN}
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	gatehouse {
		certificates {
			username san_uri
		}
	}
}
(site) {
	bind 127.0.0.1
	tls internal {
		client_auth {
			mode verify_if_given
			trust_pool file {args[0]}.pem
		}
	}
	gatehouse {
		allow provider certificate
	}
	reverse_proxy {WITNESS}
	handle_errors {
		gatehouse {
			allow provider certificate
		}
		reverse_proxy {WITNESS}
	}
}
https://localhost:{PORT} {
	import site a
}
https://b.localhost:{PORT} {
	import site b
}
`

// TestCertificateAtAnotherSite: a certificate counts where its authority does, also
// in the error routes that Caddy runs when TLS was made for another site.
func TestCertificateAtAnotherSite(t *testing.T) {
	app, a, b := newWitness(t), newAuthority(t), newAuthority(t)
	s := newServerFile(t, strings.ReplaceAll(twoAuthorities, "{WITNESS}", app.Listener.Addr().String()))
	s.writeFile("a.pem", a.pem)
	s.writeFile("b.pem", b.pem)
	s.startTLS()
	ask := func(ca *authority, sni, host, proto string) string {
		t.Helper()
		app.arrived()
		v, _ := ca.client("spiffe://example.org/root")
		config := v.client.Transport.(*http.Transport).TLSClientConfig.Clone()
		config.ServerName, config.NextProtos = sni, []string{proto}
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port), config)
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "GET /secret HTTP/1.1\r\nHost: %s:%d\r\nRemote-User: root\r\nConnection: close\r\n\r\n", host, s.port)
		out, err := io.ReadAll(bufio.NewReader(conn))
		if err != nil && len(out) == 0 {
			return err.Error()
		}
		return string(out)
	}
	if out := ask(a, "localhost", "localhost", "http/1.1"); !strings.Contains(out, "app saw") {
		t.Fatalf("at its own site: %s", out)
	}
	for name, out := range map[string]string{
		"TLS for its own site, Host of the other": ask(a, "localhost", "b.localhost", "http/1.1"),
		"the other way round":                     ask(b, "b.localhost", "localhost", "http/1.1"),
		"TLS for no site":                         ask(a, "", "localhost", "http/1.1"),
		"Host of no site":                         ask(a, "localhost", "c.localhost", "http/1.1"),
		"Host with a dot at its end":              ask(a, "localhost", "b.localhost.", "http/1.1"),
		"TLS for the other site":                  ask(a, "b.localhost", "b.localhost", "http/1.1"),
	} {
		if strings.Contains(out, "app saw") || len(app.arrived()) > 0 {
			t.Errorf("%s: %.300s", name, out)
		}
	}
}

// TestCertificateOfWhoIsGone: with its owner deleted a certificate is refused, and
// not what it would be if nobody had ever bound it.
func TestCertificateOfWhoIsGone(t *testing.T) {
	ca := newAuthority(t)
	s := mutualServer(t, "verify_if_given")
	s.writeFile("ca.pem", ca.pem)
	s.startTLS()
	v, text := ca.client("spiffe://example.org/exporter")
	s.writeFile("exporter.pem", text)
	for _, by := range []string{"spiffe://example.org/exporter", "exporter.pem"} {
		s.mustCLI("", "service", "add", "exporter", "--role", "exporter")
		s.mustCLI("", "certificate", "bind", "exporter", by)
		v.get(s.tlsURL("/export")).echo(t)
		s.mustCLI("", "service", "delete", "exporter")
		if a := v.get(s.tlsURL("/machines/1")); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("bound by %s, its owner deleted: %d %s", by, a.StatusCode, a.body)
		}
		s.mustCLI("", "service", "add", "exporter", "--role", "exporter")
		if a := v.get(s.tlsURL("/export")); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("bound by %s, another has the name: %d", by, a.StatusCode)
		}
		// The one who has the name now can have it, once it is taken from the one before.
		if out, err := s.cli("", "certificate", "bind", "exporter", by); err == nil {
			t.Error(out)
		}
		s.mustCLI("", "certificate", "unbind", "exporter", by)
		s.mustCLI("", "certificate", "bind", "exporter", by)
		v.get(s.tlsURL("/export")).echo(t)
		s.mustCLI("", "certificate", "unbind", "exporter", by)
		s.mustCLI("", "service", "delete", "exporter")
	}
}

func b64std(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// certificateSites is a configuration in which certificates count; {SITES} follow.
const certificateSites = `{
	admin localhost:{ADMIN}
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	gatehouse {
		certificates {
			username san_uri
		}
	}
}
(verified) {
	tls internal {
		client_auth {
			mode verify_if_given
			trust_pool file ca.pem
		}
	}
}
(believing) {
	tls internal {
		client_auth {
			mode verify_if_given
		}
	}
}
&(gate) {
	gatehouse
}
{SITES}
`

// TestValidateRefusesUnverifiedCertificates: wherever the gate stands, and however
// the site is written, nobody may make himself a certificate.
func TestValidateRefusesUnverifiedCertificates(t *testing.T) {
	ca := newAuthority(t)
	validate := func(t *testing.T, sites string) (string, error) {
		t.Helper()
		s := newServerFile(t, strings.Replace(certificateSites, "{SITES}", sites, 1))
		s.writeFile("ca.pem", ca.pem)
		return s.caddy("", "validate", "--config", "Caddyfile")
	}
	for name, sites := range map[string]string{
		"every authority by name":   "https://localhost:{PORT} {\n tls internal {\n client_auth {\n mode verify_if_given\n trust_pool system\n }\n }\n gatehouse\n}",
		"every authority, required": "https://localhost:{PORT} {\n tls internal {\n client_auth {\n mode require_and_verify\n trust_pool system\n }\n }\n gatehouse\n}",
		"two addresses":             "https://a.localhost:{PORT}, https://b.localhost:{PORT} {\n import believing\n gatehouse\n}",
		"a wildcard":                "https://*.localhost:{PORT} {\n import believing\n gatehouse\n}",
		"every host, beside one that verifies": "https://a.localhost:{PORT} {\n import verified\n gatehouse\n}\n" +
			"https://:{PORT} {\n import believing\n gatehouse\n}",
		"every host, before one that verifies": "https://:{PORT} {\n import believing\n gatehouse\n}\n" +
			"https://a.localhost:{PORT} {\n import verified\n gatehouse\n}",
		"in a handle":           "https://localhost:{PORT} {\n import believing\n handle /x/* {\n gatehouse\n }\n}",
		"in a route":            "https://localhost:{PORT} {\n tls internal\n route /x/* {\n gatehouse /y\n }\n}",
		"in error routes":       "https://localhost:{PORT} {\n import believing\n handle_errors {\n gatehouse\n }\n}",
		"with a matcher":        "https://localhost:{PORT} {\n tls internal\n gatehouse /x/* {\n methods certificate\n }\n}",
		"a named route":         "https://localhost:{PORT} {\n import believing\n invoke gate\n}",
		"a named route, no TLS": "http://localhost:{PORT} {\n invoke gate\n}",
		"a named route, beside a site that verifies": "https://a.localhost:{PORT} {\n import verified\n gatehouse\n}\n" +
			"https://b.localhost:{PORT} {\n import believing\n invoke gate\n}",
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := validate(t, sites); err == nil || !strings.Contains(out, "certificate: ") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	for name, sites := range map[string]string{
		"one site":        "https://localhost:{PORT} {\n import verified\n gatehouse\n}",
		"two addresses":   "https://a.localhost:{PORT}, https://b.localhost:{PORT} {\n import verified\n gatehouse\n}",
		"a wildcard":      "https://*.localhost:{PORT} {\n import verified\n gatehouse\n}",
		"every host":      "https://:{PORT} {\n import verified\n gatehouse\n}",
		"a named route":   "https://localhost:{PORT} {\n import verified\n invoke gate\n}",
		"in error routes": "https://localhost:{PORT} {\n import verified\n handle_errors {\n gatehouse\n }\n}",
		"beside a site without certificates": "https://a.localhost:{PORT} {\n import verified\n gatehouse\n}\n" +
			"https://b.localhost:{PORT} {\n tls internal\n gatehouse {\n methods session\n }\n}",
	} {
		t.Run("may be: "+name, func(t *testing.T) {
			if out, err := validate(t, sites); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestValidateRefusesUnverifiedCertificatesInJSON: there a gate's name is what its
// author likes, and says nothing about hosts.
func TestValidateRefusesUnverifiedCertificatesInJSON(t *testing.T) {
	ca := newAuthority(t)
	verified := `"client_authentication":{"mode":"verify_if_given","ca":{"provider":"file","pem_files":["ca.pem"]}}`
	for name, c := range map[string]struct {
		name, policies, more string
		ok                   bool
	}{
		"any name, verified":              {"public", `{` + verified + `}`, "", true},
		"no name, verified":               {"", `{"match":{"sni":["a.localhost"]},` + verified + `}`, "", true},
		"another site believes everybody": {"public", `{"match":{"sni":["a.localhost"]},"client_authentication":{"mode":"verify_if_given"}},{` + verified + `}`, "", false},
		"the name of a site that does":    {"a.localhost", `{"match":{"sni":["a.localhost"]},` + verified + `},{"client_authentication":{"mode":"require_and_verify"}}`, "", false},
		"every authority by name":         {"", `{"client_authentication":{"ca":{"provider":"system"}}}`, "", false},
		"verifiers alone":                 {"", `{"client_authentication":{"verifiers":[{"verifier":"leaf","leaf_certs_loaders":[]}]}}`, "", false},
		"nothing asked":                   {"", `{}`, "", false},
		"an empty client_authentication":  {"", `{"client_authentication":{}}`, "", false},
		"no policies":                     {"", ``, "", false},
		"Host may differ from the name":   {"", `{` + verified + `}`, `"strict_sni_host":false,`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, "", "")
			s.writeFile("ca.pem", ca.pem)
			s.writeFile("caddy.json", s.fill(`{"admin":{"listen":"localhost:{ADMIN}","config":{"persist":false}},"apps":{
				"gatehouse":{"certificates":{"username":"san_uri"}},
				"http":{"servers":{"s":{"listen":["127.0.0.1:{PORT}"],`+c.more+`"automatic_https":{"disable":true},
					"tls_connection_policies":[`+c.policies+`],
					"routes":[{"handle":[{"handler":"gatehouse","name":"`+c.name+`"},{"handler":"static_response"}]}]}}}}}`))
			out, err := s.caddy("", "validate", "--config", "caddy.json")
			if (err == nil) != c.ok || err != nil && !strings.Contains(out, "certificate: ") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestKeyInTheLogOfFailures: when the app does not answer, Caddy logs the request as
// it came, also without an access log.
func TestKeyInTheLogOfFailures(t *testing.T) {
	const sites = `{
	admin localhost:{ADMIN}
	persist_config off
	gatehouse {
		keys {
			header X-API-Key
		}
	}
	log {
		format filter {
			request>headers>X-Api-Key delete
		}
	}
}
http://localhost:{PORT}, http://b.localhost:{PORT} {
	bind 127.0.0.1
	{LOG}
	gatehouse {
		allow scope x
	}
	reverse_proxy 127.0.0.1:1
}
`
	s := newServerFile(t, strings.Replace(sites, "{LOG}", "", 1))
	if out, err := s.caddy("", "validate", "--config", "Caddyfile"); err != nil || strings.Contains(out, "keys in clear") {
		t.Errorf("%v\n%s", err, out)
	}
	s.start()
	s.mustCLI("", "service", "add", "robot", "--scope", "x")
	k := s.addKey("robot", "--scope", "x")
	for _, header := range [][]string{{"X-API-Key", k.Key}, bearer(k.Key), basicAuth("x", k.Key)} {
		if a := newVisitor(t).get(s.url("/"), header...); a.StatusCode != http.StatusBadGateway {
			t.Errorf("%d", a.StatusCode)
		}
	}
	s.waitLog(`"logger":"http.log.error`, 5*time.Second)
	if log := s.log.String(); strings.Contains(log, k.Key[16:]) || strings.Contains(log, b64std("x:"+k.Key)) {
		t.Error("a key was logged")
	}
	t.Run("a log of the site's second host", func(t *testing.T) {
		s := newServerFile(t, strings.Replace(sites, "{LOG}", "log {\n\t\thostnames b.localhost\n\t\toutput file b.log\n\t}", 1))
		if out, err := s.caddy("", "validate", "--config", "Caddyfile"); err != nil || !strings.Contains(out, "keys in clear") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestRevokedTokenAfterReload: another name for the issuer's block brings no token
// back.
func TestRevokedTokenAfterReload(t *testing.T) {
	idp := startIssuer(t)
	s := reportsGate(t, idp.url, "").start()
	v := newVisitor(t)
	leaked, old := idp.token(nil), idp.token(map[string]any{"sub": "dave", "iat": time.Now().Add(-5 * time.Second).Unix()})
	s.mustCLI(leaked+"\n", "token", "revoke")
	s.mustCLI("", "token", "revoke", "--subject", "dave", "--issuer", "id")
	s.writeFile("Caddyfile", strings.Replace(mustRead(t, s.dir+"/Caddyfile"), "jwt id {", "jwt renamed {", 1))
	if out, err := s.caddy("", "reload", "--config", "Caddyfile", "--address", fmt.Sprintf("localhost:%d", s.admin)); err != nil {
		t.Fatal(out)
	}
	for _, token := range []string{leaked, old} {
		if a := v.get(s.url("/"), bearer(token)...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d", a.StatusCode)
		}
	}
	v.get(s.url("/"), bearer(idp.token(nil))...).echo(t)
	if out := s.mustCLI("", "token", "list"); !strings.Contains(out, "All tokens of dave issued before") || !strings.Contains(out, "from renamed") {
		t.Error(out)
	}
}

// TestNamesFromElsewhere: a token may call its bearer what it likes, and is not the
// user, the service or the session of that name.
func TestNamesFromElsewhere(t *testing.T) {
	idp := startIssuer(t)
	s := newServer(t, `gatehouse {
		jwt id {
			issuer `+idp.url+`
			audience https://reports.example.com
		}
	}`, "gatehouse {\n allow user alice robot\n allow provider local\n allow email alice@example.com\n}").start()
	s.addUser("alice", "--email", "alice@example.com", "--scope", "x")
	s.mustCLI("", "service", "add", "robot", "--scope", "x")
	v := newVisitor(t)
	for name, claims := range map[string]map[string]any{
		"subject of a user":      {"sub": "alice"},
		"subject of a service":   {"sub": "robot"},
		"user name not asked":    {"username": "alice", "preferred_username": "alice", "name": "alice"},
		"address not verified":   {"email": "alice@example.com"},
		"address as text":        {"email": "alice@example.com", "email_verified": "true"},
		"provider of its own":    {"provider": "local", "method": "session"},
		"the claims of a key":    {"key_id": "AAAAAAAAAAAA", "id": "usr_1"},
		"line break in its name": {"sub": "alice\r\nRemote-Roles: admin"},
	} {
		if a := v.get(s.url("/"), bearer(idp.token(claims))...); a.StatusCode != http.StatusForbidden && a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	for _, owner := range []string{"alice", "robot"} {
		k := s.addKey(owner, "--scope", "x")
		if e := v.get(s.url("/"), bearer(k.Key)...).echo(t); e.Headers["Remote-User"][0] != owner {
			t.Errorf("%v", e.Headers)
		}
		// A user is no service, and the other way round, to whoever manages them.
		for _, args := range [][]string{{"user", "disable"}, {"service", "disable"}} {
			out, err := s.cli("", append(args, owner)...)
			if wrong := (args[0] == "user") != (owner == "alice"); wrong != (err != nil) {
				t.Errorf("%v %s: %v %s", args, owner, err, out)
			}
		}
		if a := v.get(s.url("/"), bearer(k.Key)...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("the key of %s, who is disabled: %d", owner, a.StatusCode)
		}
	}
}

// TestMadeUpKids: strangers' tokens make the gate ask their issuer no more than once,
// and hold up nobody whose key is known.
func TestMadeUpKids(t *testing.T) {
	idp := startIssuer(t)
	s := reportsGate(t, idp.url, "").start()
	good := bearer(idp.token(nil))
	newVisitor(t).get(s.url("/"), good...).echo(t)
	parts := strings.Split(good[1], ".")
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			v := newVisitor(t)
			for i := range 50 {
				token := "Bearer " + b64([]byte(fmt.Sprintf(`{"alg":"ES256","typ":"at+jwt","kid":"%d-%d"}`, n, i))) + "." + parts[1] + "." + parts[2]
				if a, err := v.try(http.MethodGet, s.url("/"), nil, "Authorization", token); err != nil || a.StatusCode != http.StatusUnauthorized {
					t.Errorf("%d %v", a.StatusCode, err)
				}
			}
		})
	}
	for range 50 {
		if a, err := newVisitor(t).try(http.MethodGet, s.url("/"), nil, good...); err != nil || a.StatusCode != http.StatusOK {
			t.Errorf("a good token: %d %v", a.StatusCode, err)
		}
	}
	all.Wait()
	idp.mu.Lock()
	defer idp.mu.Unlock()
	if idp.fetches > 2 {
		t.Errorf("the issuer was asked for its keys %d times", idp.fetches)
	}
}
