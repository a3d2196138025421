package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestReload reloads two hundred times under load: no request fails, nobody is
// signed out, and the process does not grow.
func TestReload(t *testing.T) {
	app := plainApp(t)
	s := newServer(t, "", "gatehouse").start()
	s.addUser("alice")
	v := newVisitor(t)
	v.login(s, "alice")

	reload := func(i int) {
		s.t.Helper()
		// Something must differ, or Caddy skips the reload. Connections to the app
		// that Caddy's old proxies keep open would hide what we
		// keep, so they are short-lived, and one that ends under a request is tried
		// again by Caddy.
		s.writeConfig(fmt.Sprintf(`{
	admin localhost:{ADMIN}
	persist_config off
}
http://localhost:{PORT} {
	bind 127.0.0.1
	header X-Round %d
	gatehouse
	reverse_proxy %s {
		lb_try_duration 2s
		transport http {
			keepalive 1s
		}
	}
}`, i, app))
		if out, err := s.caddy("", "reload", "--config", "Caddyfile", "--address", fmt.Sprintf("localhost:%d", s.admin)); err != nil {
			t.Fatalf("reload %d: %v\n%s", i, err, out)
		}
	}
	reload(-1) // to the app outside Caddy
	var failed, served, again atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			w := newVisitor(t)
			w.cookies["__Host-gatehouse"] = v.cookies["__Host-gatehouse"]
			for {
				select {
				case <-stop:
					return
				default:
				}
				a, err := w.try(http.MethodGet, s.url("/x"), nil)
				if err != nil {
					// Caddy closes idle connections at a reload, ours or not: a
					// request that meets that is sent again, as browsers do
					// (RFC 9110 section 9.2.2), and must then succeed.
					again.Add(1)
					a, err = w.try(http.MethodGet, s.url("/x"), nil)
				}
				if err != nil || a.StatusCode != http.StatusOK {
					failed.Add(1)
					t.Errorf("during reloads: %v %d %s", err, a.statusCode(), a.body)
					return
				}
				served.Add(1)
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	for i := range 20 { // warm up
		reload(i)
	}
	before := s.vitals()
	for i := range 180 {
		reload(100 + i)
	}
	after := s.vitals()
	close(stop)
	wg.Wait()
	t.Logf("%d requests, %d sent again, %d failed; before %+v, after %+v", served.Load(), again.Load(), failed.Load(), before, after)
	if after.goroutines > before.goroutines+30 {
		t.Errorf("goroutines grew from %d to %d", before.goroutines, after.goroutines)
	}
	if after.files > before.files+20 {
		t.Errorf("open files grew from %d to %d", before.files, after.files)
	}
	if after.heap > before.heap*2+32<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before.heap, after.heap)
	}
	if a := v.get(s.url("/x")); a.StatusCode != http.StatusOK {
		t.Errorf("the session is lost: %d", a.StatusCode)
	}
}

// plainApp is an app outside Caddy, which reloads do not touch.
func plainApp(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func (a answer) statusCode() int {
	if a.Response == nil {
		return 0
	}
	return a.StatusCode
}

type vitals struct{ goroutines, files, heap int }

// vitals reads the live heap (after a collection), goroutines and open files.
func (s *server) vitals() vitals {
	s.t.Helper()
	time.Sleep(8 * time.Second) // net/http keeps new connections of a stopped server for 5 s
	v := newVisitor(s.t)
	admin := fmt.Sprintf("http://localhost:%d", s.admin)
	v.get(admin + "/debug/pprof/heap?gc=1")
	var out vitals
	for line := range strings.Lines(v.get(admin + "/metrics").body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		f, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "go_goroutines":
			out.goroutines = int(f)
		case "go_memstats_heap_alloc_bytes":
			out.heap = int(f)
		}
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	out.files = len(fds)
	return out
}

func TestReloadKeepsThrottle(t *testing.T) {
	s := newServer(t, "", "gatehouse").start()
	s.addUser("alice")
	stranger := newVisitor(t)
	throttled := func() bool {
		return stranger.tryLogin(s, "alice", "not the password").StatusCode == http.StatusTooManyRequests
	}
	eventually(t, 60*time.Second, "guesses are throttled", throttled)
	s.writeConfig(strings.Replace(mustRead(t, s.dir+"/Caddyfile"), "bind 127.0.0.1", "bind 127.0.0.1\n\theader X-Again 1", 1))
	if out, err := s.caddy("", "reload", "--config", "Caddyfile", "--address", fmt.Sprintf("localhost:%d", s.admin)); err != nil {
		t.Fatal(err, out)
	}
	if !throttled() {
		t.Error("a reload forgot the guesses")
	}
	s.kill()
	s.start()
	if !throttled() {
		t.Error("a restart forgot the guesses")
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	return mustReadTB(t, path)
}

func mustReadTB(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestKillLosesNothing(t *testing.T) {
	s := newServer(t, "", "gatehouse").start()
	for i := range 5 {
		name := fmt.Sprintf("user%d", i)
		s.addUser(name)
		v := newVisitor(t)
		v.login(s, name)
		s.kill()
		s.start()
		if a := v.get(s.url("/")); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: the session did not survive: %d", name, a.StatusCode)
		}
	}
	if out := s.mustCLI("", "user", "list"); strings.Count(out, "user") < 5 {
		t.Errorf("users are missing:\n%s", out)
	}
}

func TestValidateBesideLiveServer(t *testing.T) {
	s := newServer(t, "gatehouse {\n store bolt {DIR}/state.db\n}", "gatehouse").start()
	if out, err := s.caddy("", "validate", "--config", "Caddyfile"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("a second server on the same file is told so within two seconds", func(t *testing.T) {
		second := newServer(t, "gatehouse {\n store bolt "+s.dir+"/state.db\n}", "gatehouse")
		second.spawn()
		began := time.Now()
		select {
		case <-second.done:
			t.Logf("ended after %s", time.Since(began).Round(time.Millisecond))
			if !strings.Contains(second.log.String(), "state.db") || !strings.Contains(second.log.String(), "in use") {
				t.Errorf("unclear: %s", second.log)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the second server runs on the first one's file")
		}
	})
	t.Run("a damaged file is an error and stays as it was", func(t *testing.T) {
		broken := newServer(t, "gatehouse {\n store bolt {DIR}/state.db\n}", "gatehouse")
		broken.writeFile("state.db", strings.Repeat("this is no store ", 4000))
		broken.spawn()
		select {
		case <-broken.done:
		case <-time.After(10 * time.Second):
			t.Fatal("it runs")
		}
		if log := broken.log.String(); strings.Contains(log, "panic") || !strings.Contains(log, "state.db") {
			t.Errorf("unclear: %s", log)
		}
		if mustRead(t, broken.dir+"/state.db") != strings.Repeat("this is no store ", 4000) {
			t.Error("the file was changed")
		}
	})
}

// TestLoginStorm sends five hundred logins at once from as many addresses: the
// excess is refused with 503, other routes go on, and memory stays.
func TestLoginStorm(t *testing.T) {
	s := newServer(t, "servers {\n trusted_proxies static 127.0.0.0/8\n}", "gatehouse").start()
	s.addUser("alice")
	v := newVisitor(t)
	v.login(s, "alice")
	before := s.vitals()
	var counts sync.Map
	var wg sync.WaitGroup
	var slowest atomic.Int64
	stop := make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			if a := v.get(s.url("/x")); a.StatusCode != http.StatusOK {
				t.Errorf("another route: %d", a.StatusCode)
				return
			}
			slowest.Store(max(slowest.Load(), time.Since(began).Milliseconds()))
		}
	})
	for i := range 500 {
		wg.Go(func() {
			w := newVisitor(t)
			w.client.Timeout = 2 * time.Minute
			w.header.Set("X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", 100+i/250, 1+i%250))
			a, err := w.try(http.MethodPost, s.url("/_gatehouse/login"), map[string][]string{"username": {fmt.Sprintf("nobody%d", i)}, "password": {aPassword}})
			if err != nil {
				t.Errorf("login %d: %v", i, err)
				return
			}
			n, _ := counts.LoadOrStore(a.StatusCode, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
		})
	}
	wg.Wait()
	close(stop)
	other.Wait()
	after := s.vitals()
	told := map[int]int64{}
	counts.Range(func(k, n any) bool { told[k.(int)] = n.(*atomic.Int64).Load(); return true })
	t.Logf("answers %v; slowest other request %d ms; before %+v, after %+v", told, slowest.Load(), before, after)
	if told[http.StatusServiceUnavailable] == 0 {
		t.Error("none was refused for the load")
	}
	if n := told[http.StatusServiceUnavailable]; told[http.StatusUnauthorized]+n != 500 {
		t.Errorf("answers other than %d and 503: %v", http.StatusUnauthorized, told)
	}
	if slowest.Load() > 3000 {
		t.Errorf("another route waited %d ms", slowest.Load())
	}
	if after.heap > before.heap+64<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before.heap, after.heap)
	}
}
