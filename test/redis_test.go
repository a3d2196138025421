package test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// redisServer is a real redis-server on a port that stays the same over
// restarts.
type redisServer struct {
	t    testing.TB
	port int
	dir  string
	args []string
	cmd  *exec.Cmd
}

func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	r := &redisServer{t: t, port: freePort(t), dir: t.TempDir(), args: args}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *redisServer) start() {
	r.t.Helper()
	r.cmd = exec.Command("redis-server", append([]string{
		"--bind", "127.0.0.1", "--port", fmt.Sprint(r.port), "--dir", r.dir, "--save", "", "--appendonly", "yes",
	}, r.args...)...)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatalf("redis-server is missing (Debian package redis-server): %v", err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port)); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal("redis-server does not listen")
		}
	}
}

// stop kills it; what was written is in its append-only file.
func (r *redisServer) stop() {
	if r.cmd != nil {
		_ = r.cmd.Process.Signal(syscall.SIGCONT)
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

func (r *redisServer) url() string { return fmt.Sprintf("redis://127.0.0.1:%d", r.port) }

// gateOn starts a gate whose state lives in r.
func gateOn(t testing.TB, r *redisServer) *server {
	t.Helper()
	return newServer(t, "gatehouse {\n store redis "+r.url()+"\n}", "gatehouse {\n allow role admin\n}").start()
}

func TestTwoInstances(t *testing.T) {
	r := startRedis(t)
	a, b := gateOn(t, r), gateOn(t, r)
	a.addUser("alice", "--role", "admin")
	v := newVisitor(t)
	v.login(a, "alice")

	t.Run("a session works on both", func(t *testing.T) {
		v.get(a.url("/")).echo(t)
		v.get(b.url("/")).echo(t)
	})
	within := func(what string, want int) {
		t.Helper()
		began := time.Now()
		eventually(t, time.Second, what, func() bool { return v.get(b.url("/")).StatusCode == want })
		t.Logf("%s: heard after %s", what, time.Since(began).Round(time.Millisecond))
	}
	t.Run("a change on one is in force on the other within a second", func(t *testing.T) {
		a.mustCLI("", "user", "set", "alice", "--remove-role", "admin")
		within("the role is gone", http.StatusForbidden)
		a.mustCLI("", "user", "set", "alice", "--add-role", "admin")
		within("the role is back", http.StatusOK)
		a.mustCLI("", "session", "revoke", "--user", "alice")
		within("the session is revoked", http.StatusUnauthorized)
		v.login(a, "alice")
		v.get(b.url("/")).echo(t)
		v.do(http.MethodPost, a.url("/_gatehouse/logout"), map[string][]string{})
		v.cookies["__Host-gatehouse"] = "" // the visitor dropped it; b would refuse the old one too
		v.login(a, "alice")
		v.get(b.url("/")).echo(t)
		a.mustCLI("", "user", "disable", "alice")
		within("the user is disabled", http.StatusUnauthorized)
		a.mustCLI("", "user", "enable", "alice")
	})
	t.Run("guesses are counted over both", func(t *testing.T) {
		stranger := newVisitor(t)
		refused := 0
		for i := range 40 {
			srv := []*server{a, b}[i%2]
			if stranger.tryLogin(srv, "alice", "not the password").StatusCode == http.StatusTooManyRequests {
				refused++
			}
		}
		if refused < 20 {
			t.Errorf("only %d of 40 guesses were throttled", refused)
		}
	})
}

func TestRedisFaults(t *testing.T) {
	r := startRedis(t)
	s := gateOn(t, r)
	s.addUser("alice", "--role", "admin")
	v := newVisitor(t)
	v.login(s, "alice")
	v.get(s.url("/")).echo(t)
	cookie := v.cookies["__Host-gatehouse"]

	down := func(t *testing.T) {
		t.Helper()
		eventually(t, 3*time.Second, "503 while Redis is away", func() bool { return v.get(s.url("/")).StatusCode == http.StatusServiceUnavailable })
		a := v.get(s.url("/"))
		if a.Header.Get("Retry-After") == "" || len(a.Header["Set-Cookie"]) != 0 || v.cookies["__Host-gatehouse"] != cookie {
			t.Errorf("%d %v", a.StatusCode, a.Header)
		}
		if page := v.navigate(s.url("/")); page.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page.body, "<html") {
			t.Errorf("no page: %d", page.StatusCode)
		}
		if a := v.tryLogin(s, "alice", aPassword); a.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("login: %d", a.StatusCode)
		}
	}
	up := func(t *testing.T) {
		t.Helper()
		eventually(t, 20*time.Second, "it recovers by itself", func() bool { return v.get(s.url("/")).StatusCode == http.StatusOK })
	}
	t.Run("gone and back", func(t *testing.T) {
		r.stop()
		down(t)
		r.start()
		up(t)
	})
	t.Run("hung and back", func(t *testing.T) {
		_ = r.cmd.Process.Signal(syscall.SIGSTOP)
		down(t)
		_ = r.cmd.Process.Signal(syscall.SIGCONT)
		up(t)
	})
	t.Run("gone at start", func(t *testing.T) {
		r.stop()
		late := newServer(t, "gatehouse {\n store redis "+r.url()+"\n}", "gatehouse {\n allow role admin\n}").start()
		if a := v.get(late.url("/")); a.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%d", a.StatusCode)
		}
		r.start()
		eventually(t, 20*time.Second, "it recovers by itself", func() bool { return v.get(late.url("/")).StatusCode == http.StatusOK })
	})
	t.Run("the password of the URL is never printed", func(t *testing.T) {
		s := newServer(t, "gatehouse {\n store redis redis://gate:hunter2hunter2@127.0.0.1:1\n}", "gatehouse").start()
		newVisitor(t).get(s.url("/"))
		time.Sleep(500 * time.Millisecond)
		if strings.Contains(s.log.String(), "hunter2") {
			t.Errorf("the log holds the password:\n%s", s.log)
		}
	})
}

func TestRedisWarnings(t *testing.T) {
	r := startRedis(t, "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "no")
	s := gateOn(t, r)
	s.waitLog(`(?i)evict|allkeys-lru`, 10*time.Second)
	s.waitLog(`keeps nothing on disk`, 10*time.Second)
}
