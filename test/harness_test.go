// Package test holds the end-to-end tests: a real Caddy binary, real Redis, a
// real browser. Nothing here imports the code under test.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// caddyBinary is built once for all tests.
var caddyBinary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gatehouse-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		caddyBinary = filepath.Join(dir, "caddy")
		args := []string{"build", "-tags", "nobadger,nomysql,nopgx"}
		if os.Getenv("GATEHOUSE_TEST_RACE") != "" {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "-o", caddyBinary, "../cmd/caddy")...)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building the binary under test:", err)
			return 1
		}
		return m.Run()
	}())
}

// ports that were handed out, so that two servers of one test never share one.
var (
	portsMu sync.Mutex
	ports   = map[int]bool{}
)

// freePort returns a loopback port that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if !ports[port] {
			ports[port] = true
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// server is one running Caddy with Gatehouse.
type server struct {
	t     testing.TB
	dir   string
	port  int // the protected site, http://localhost:port
	app   int // the app behind it
	admin int
	cmd   *exec.Cmd
	log   *logBuffer
	done  chan error
}

// logBuffer is what a server wrote, readable while it writes.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// echoApp is an app that answers with the request it saw, as JSON.
const echoApp = `
http://localhost:{APP} {
	bind 127.0.0.1
	header Content-Type application/json
	templates {
		mime application/json
	}
	respond ` + "`" + `{"path": {{.OriginalReq.URL.Path | toJson}}, "uri": {{.OriginalReq.RequestURI | toJson}}, "host": {{.Host | toJson}}, "headers": {{.Req.Header | toJson}}}` + "`" + `
}
`

// newServer prepares a server whose protected site runs the given directive
// block in front of echoApp. {PORT}, {APP}, {ADMIN} and {DIR} are replaced.
func newServer(t testing.TB, global, directive string) *server {
	t.Helper()
	return newServerFile(t, fmt.Sprintf(`{
	admin localhost:{ADMIN}
	persist_config off
	%s
}
http://localhost:{PORT} {
	bind 127.0.0.1
	%s
	reverse_proxy localhost:{APP}
}
%s`, global, directive, echoApp))
}

func newServerFile(t testing.TB, caddyfile string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), port: freePort(t), app: freePort(t), admin: freePort(t)}
	s.writeConfig(caddyfile)
	return s
}

func (s *server) fill(text string) string {
	return strings.NewReplacer("{PORT}", fmt.Sprint(s.port), "{APP}", fmt.Sprint(s.app),
		"{ADMIN}", fmt.Sprint(s.admin), "{DIR}", s.dir).Replace(text)
}

func (s *server) writeConfig(caddyfile string) {
	s.t.Helper()
	s.writeFile("Caddyfile", s.fill(caddyfile))
}

func (s *server) writeFile(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// env keeps every server's data apart from the machine's.
func (s *server) env() []string {
	return append(os.Environ(), "HOME="+s.dir, "XDG_DATA_HOME="+filepath.Join(s.dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(s.dir, "config"))
}

// start runs the server and waits until its site answers.
func (s *server) start() *server {
	s.t.Helper()
	s.spawn()
	deadline := time.Now().Add(60 * time.Second)
	for {
		select {
		case err := <-s.done:
			s.t.Fatalf("the server ended: %v\n%s", err, s.log)
		default:
		}
		resp, err := http.Get(s.url("/_gatehouse/whoami"))
		if err == nil {
			resp.Body.Close()
			return s
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the server does not answer: %v\n%s", err, s.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *server) spawn() {
	s.t.Helper()
	s.log, s.done = &logBuffer{}, make(chan error, 1)
	cmd := exec.Command(caddyBinary, "run", "--config", "Caddyfile")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env(), s.log, s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = cmd
	go func(done chan error) { done <- cmd.Wait() }(s.done)
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if s.t.Failed() {
			s.t.Logf("log of the server on port %d:\n%s", s.port, s.log)
		}
		if strings.Contains(s.log.String(), "DATA RACE") {
			s.t.Errorf("data race in the server:\n%s", s.log)
		}
	})
}

// kill ends the server as a power cut would.
func (s *server) kill() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.done
}

func (s *server) url(path string) string { return fmt.Sprintf("http://localhost:%d%s", s.port, path) }

// cli runs `caddy gatehouse args…` against the server; stdin may be "".
func (s *server) cli(stdin string, args ...string) (out string, err error) {
	return s.caddy(stdin, append([]string{"gatehouse", "--address", fmt.Sprintf("localhost:%d", s.admin)}, args...)...)
}

func (s *server) caddy(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, caddyBinary, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = s.dir, s.env(), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *server) mustCLI(stdin string, args ...string) string {
	s.t.Helper()
	out, err := s.cli(stdin, args...)
	if err != nil {
		s.t.Fatalf("gatehouse %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// aPassword meets the rules.
const aPassword = "otters drink from seven rivers"

func (s *server) addUser(name string, args ...string) {
	s.t.Helper()
	s.mustCLI(aPassword+"\n", append([]string{"user", "add", name}, args...)...)
}

// waitLog waits for a log line that matches and returns its submatches.
func (s *server) waitLog(pattern string, within time.Duration) []string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		if m := re.FindStringSubmatch(s.log.String()); m != nil {
			return m
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("no log line matches %s\n%s", pattern, s.log)
		}
	}
}

// visitor is a browser without a screen: it keeps cookies and follows nothing.
// Go's own cookie jar does not send Secure cookies to http://localhost, which
// browsers do.
type visitor struct {
	t       testing.TB
	cookies map[string]string
	header  http.Header
	client  *http.Client
}

func newVisitor(t testing.TB) *visitor {
	return &visitor{t: t, cookies: map[string]string{}, header: http.Header{}, client: &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{MaxIdleConnsPerHost: 8},
	}}
}

// answer is a response that was read.
type answer struct {
	*http.Response
	body string
}

func (v *visitor) do(method, target string, form url.Values, header ...string) answer {
	v.t.Helper()
	a, err := v.try(method, target, form, header...)
	if err != nil {
		v.t.Fatal(err)
	}
	return a
}

func (v *visitor) try(method, target string, form url.Values, header ...string) (answer, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, target, body)
	if err != nil {
		return answer{}, err
	}
	for k, vs := range v.header {
		req.Header[k] = vs
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	for name, value := range v.cookies {
		req.Header.Add("Cookie", name+"="+value)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		} else {
			v.cookies[c.Name] = c.Value
		}
	}
	return answer{resp, string(text)}, nil
}

func (v *visitor) get(target string, header ...string) answer {
	v.t.Helper()
	return v.do(http.MethodGet, target, nil, header...)
}

// navigate asks as a browser's address bar does.
func (v *visitor) navigate(target string) answer {
	v.t.Helper()
	return v.get(target, "Sec-Fetch-Mode", "navigate", "Accept", "text/html")
}

// login signs in through the form; it fails the test if that does not work.
func (v *visitor) login(s *server, name string) {
	v.t.Helper()
	a := v.tryLogin(s, name, aPassword)
	if a.StatusCode != http.StatusSeeOther {
		v.t.Fatalf("login of %s: %d\n%s", name, a.StatusCode, a.body)
	}
}

func (v *visitor) tryLogin(s *server, name, password string) answer {
	v.t.Helper()
	v.navigate(s.url("/_gatehouse/login"))
	return v.do(http.MethodPost, s.url("/_gatehouse/login"), url.Values{"username": {name}, "password": {password}})
}

// echo is what echoApp saw of a request.
type echo struct {
	Path    string              `json:"path"`
	URI     string              `json:"uri"`
	Host    string              `json:"host"`
	Headers map[string][]string `json:"headers"`
}

func (a answer) echo(t testing.TB) echo {
	t.Helper()
	var e echo
	if a.StatusCode != http.StatusOK {
		t.Fatalf("the app was not reached: %d %s", a.StatusCode, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return e
}

// eventually waits until check holds.
func eventually(t testing.TB, within time.Duration, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !check(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}
