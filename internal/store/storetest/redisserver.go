package storetest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// RedisServer is a real redis-server of one test, on a free loopback port. It
// keeps nothing on disk unless it was started with arguments that say so, and
// is killed when the test ends.
type RedisServer struct {
	Addr string // host:port

	port   string
	dir    string
	args   []string
	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	log    *bytes.Buffer
}

// Redis starts a redis-server with more command-line arguments (such as
// "--maxmemory-policy", "allkeys-lru"). The test fails when redis-server is not
// installed: a store that was not tested is not a store that works.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("this test needs redis-server: apt-get install redis-server")
	}
	r := &RedisServer{dir: t.TempDir(), args: args}
	t.Cleanup(r.Stop)
	var err error
	for range 5 { // a port that was free a moment ago may be taken now
		r.port = FreePort(t)
		r.Addr = net.JoinHostPort("127.0.0.1", r.port)
		if err = r.start(); err == nil {
			return r
		}
	}
	t.Fatalf("starting redis-server: %v", err)
	return nil
}

// URL is the store URL of database 0 of the server.
func (r *RedisServer) URL() string { return "redis://" + r.Addr + "/0" }

// Port is the port of Addr.
func (r *RedisServer) Port() string { return r.port }

// Stop kills the server at once, as a crash would. Stopping it twice is fine.
func (r *RedisServer) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	<-r.exited
	r.cmd = nil
}

// Restart starts a stopped server again on the same port, or stops it first.
func (r *RedisServer) Restart(t testing.TB) {
	t.Helper()
	r.Stop()
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := r.start()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("starting redis-server again: %v", err)
		}
	}
}

// Pause freezes the server: connections stay open and are accepted by the
// kernel, but nothing is answered.
func (r *RedisServer) Pause(t testing.TB) { r.signal(t, syscall.SIGSTOP) }

// Resume ends a Pause.
func (r *RedisServer) Resume(t testing.TB) { r.signal(t, syscall.SIGCONT) }

func (r *RedisServer) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		t.Fatal("redis-server is not running")
	}
	if err := r.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// Command sends one command on a connection of its own and returns the reply
// as text: the elements of a list are joined by newlines. An error reply fails
// the test.
func (r *RedisServer) Command(t testing.TB, args ...string) string {
	t.Helper()
	reply, err := command(r.Addr, args...)
	if err != nil {
		t.Fatalf("redis %s: %v", strings.Join(args, " "), err)
	}
	return reply
}

func (r *RedisServer) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	args := append([]string{
		"--bind", "127.0.0.1", "--port", r.port, "--dir", r.dir,
		"--save", "", "--appendonly", "no",
	}, r.args...)
	if len(r.args) > 0 && r.args[0] == "--sentinel" {
		// Sentinel rewrites its file, which therefore comes first and holds all.
		args = []string{filepath.Join(r.dir, "sentinel.conf"), "--sentinel"}
		conf := "port " + r.port + "\nbind 127.0.0.1\ndir " + r.dir + "\n" + strings.Join(r.args[1:], "\n") + "\n"
		if err := os.WriteFile(args[0], []byte(conf), 0o600); err != nil {
			return err
		}
	}
	r.log = &bytes.Buffer{}
	cmd := exec.Command("redis-server", args...)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	r.cmd, r.exited = cmd, exited
	deadline := time.Now().Add(10 * time.Second)
	for {
		reply, err := command(r.Addr, "PING")
		if err == nil && reply == "PONG" || err != nil && strings.HasPrefix(err.Error(), "NOAUTH") {
			return nil
		}
		select {
		case <-exited:
			r.cmd = nil
			return errors.New("redis-server ended at once: " + r.log.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			<-exited
			r.cmd = nil
			return errors.New("redis-server did not answer within 10 s: " + r.log.String())
		}
	}
}

// FreePort returns a loopback TCP port that nothing listens on now.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// command speaks just enough of the Redis protocol (RESP2) for tests, so that
// this package needs no driver.
func command(addr string, args ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return "", err
	}
	return reply(bufio.NewReader(conn))
}

func reply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	kind, rest := line[0], line[1:]
	switch kind {
	case '+', ':':
		return rest, nil
	case '-':
		return "", errors.New(rest)
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < 0 {
		return "", err
	}
	if kind == '$' {
		buf := make([]byte, n+2)
		_, err := io.ReadFull(r, buf)
		return string(buf[:n]), err
	}
	parts := make([]string, n)
	for i := range parts {
		if parts[i], err = reply(r); err != nil {
			return "", err
		}
	}
	return strings.Join(parts, "\n"), nil
}
