package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// variant is one Caddy with one configuration.
type variant struct {
	name   string
	global string // "quiet": no decision log; "log": Caddy's access log
	site   string // in the site's block
	policy string // Rego put into the policy folder
	redis  bool

	// Of a program's requests: what it brings as Authorization: Bearer in its nth
	// request, more lines of the gatehouse option, and the answer it gets [200].
	machine bool
	bearer  func(v *variant) (func(n int) string, error)
	token   func(n int) string
	options string
	status  int
	sent    atomic.Int64

	port, admin int
	cmd         *exec.Cmd
	redisCmd    *exec.Cmd
	cookie      string
	perRequest  []float64
}

func variants() []*variant {
	roles, err := os.ReadFile("bench/policy/roles.rego")
	if err != nil {
		log.Fatal("run this at the root of the repository: ", err)
	}
	gate := "gatehouse {\n policy bench\n}"
	return []*variant{
		{name: "bare"},
		{name: "bare-access-log", global: "log"},
		{name: "bolt", site: gate, policy: string(roles)},
		{name: "bolt-quiet", site: gate, policy: string(roles), global: "quiet"},
		{name: "bolt-10-rules", site: gate, policy: manyRules(10)},
		{name: "bolt-1000-rules", site: gate, policy: manyRules(1000)},
		{name: "redis", site: gate, policy: string(roles), redis: true},
		{name: "redis-quiet", site: gate, policy: string(roles), redis: true, global: "quiet"},
	}
}

// manyRules is a policy of n indexed rules, of which the last one matches.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("package bench\n\ndefault allow := false\n")
	for i := range n {
		path := fmt.Sprintf("/area%d", i)
		if i == n-1 {
			path = "/reports/2026"
		}
		fmt.Fprintf(&b, "\nallow if {\n\t\"viewer\" in input.identity.roles\n\tinput.request.path == %q\n}\n", path)
	}
	return b.String()
}

func (v *variant) start(binary, dir, app string) error {
	if err := os.MkdirAll(filepath.Join(dir, "policy"), 0o700); err != nil {
		return err
	}
	v.port, v.admin = freePort(), freePort()
	store := "store bolt " + filepath.Join(dir, "gatehouse.db")
	if v.redis {
		port := freePort()
		v.redisCmd = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--save", "", "--appendonly", "no", "--dir", dir)
		if err := v.redisCmd.Start(); err != nil {
			return fmt.Errorf("redis-server (Debian package redis-server): %w", err)
		}
		store = fmt.Sprintf("store redis redis://127.0.0.1:%d", port)
	}
	global, logs, site := "", "", v.site
	if v.global == "log" {
		site = "log"
	}
	if v.site != "" {
		global = fmt.Sprintf("gatehouse {\n%s\npolicies %s\n%s\n}", store, filepath.Join(dir, "policy"), v.options)
		if v.global == "quiet" {
			logs = "log {\nexclude gatehouse.decision\n}"
		}
		if err := os.WriteFile(filepath.Join(dir, "policy", "bench.rego"), []byte(v.policy), 0o600); err != nil {
			return err
		}
	}
	file := filepath.Join(dir, "Caddyfile")
	text := fmt.Sprintf("{\nadmin localhost:%d\npersist_config off\n%s\n%s\n}\nhttp://localhost:%d {\nbind 127.0.0.1\n%s\nreverse_proxy %s\n}\n",
		v.admin, logs, global, v.port, site, app)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	v.cmd = exec.Command("taskset", "-c", caddyCore, binary, "run", "--config", file)
	v.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "GOMAXPROCS=1")
	v.cmd.Stderr = out // decision lines go to a file, as in real use
	if err := v.cmd.Start(); err != nil {
		return err
	}
	if err := v.await(); err != nil {
		return err
	}
	switch {
	case v.machine:
		v.token, err = v.bearer(v)
		return err
	case v.site == "":
		return nil
	}
	return v.signIn()
}

func (v *variant) await() error {
	for range 500 {
		resp, err := http.Get(fmt.Sprintf("http://localhost:%d/", v.port))
		if err == nil {
			resp.Body.Close()
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("it does not answer")
}

// signIn makes a user with the role that the policies ask for, and a session.
func (v *variant) signIn() error {
	const password = "a bench needs no comfort at all"
	body, err := json.Marshal(map[string]any{"username": "alice", "password": password, "roles": []string{"viewer"}})
	if err != nil {
		return err
	}
	for try := 0; ; try++ { // Redis may still be starting
		resp, err := http.Post(fmt.Sprintf("http://localhost:%d/gatehouse/users", v.admin), "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusCreated {
			break
		}
		if try == 50 {
			return fmt.Errorf("adding a user: %s %s", resp.Status, text)
		}
		time.Sleep(100 * time.Millisecond)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.PostForm(fmt.Sprintf("http://localhost:%d/_gatehouse/login", v.port), url.Values{"username": {"alice"}, "password": {password}})
	if err != nil {
		return err
	}
	resp.Body.Close()
	for _, c := range resp.Cookies() {
		if c.Name == "__Host-gatehouse" {
			v.cookie = c.Name + "=" + c.Value
			return nil
		}
	}
	return fmt.Errorf("no session after login: %s", resp.Status)
}

func (v *variant) stop() {
	for _, cmd := range []*exec.Cmd{v.cmd, v.redisCmd} {
		if cmd != nil && cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
}

// load sends n requests over the connections and reads every answer. It speaks
// raw HTTP/1.1, so that the sender leaves the cores to Caddy.
func (v *variant) load(n int) {
	if v.machine {
		v.loadAs(n, func() []byte {
			return fmt.Appendf(nil, "GET /reports/2026 HTTP/1.1\r\nHost: localhost:%d\r\nUser-Agent: export/1.4\r\nAccept: application/json\r\n"+
				"Accept-Encoding: gzip\r\nAuthorization: Bearer %s\r\n\r\n", v.port, v.token(int(v.sent.Add(1))))
		})
		return
	}
	// The headers are those of a Chromium that opens a page.
	request := fmt.Sprintf("GET /reports/2026 HTTP/1.1\r\nHost: localhost:%d\r\nConnection: keep-alive\r\n"+
		"sec-ch-ua: \"Chromium\";v=\"156\", \"Not)A;Brand\";v=\"8\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n"+
		"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n"+
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"+
		"Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n"+
		"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n", v.port)
	cookie := v.cookie
	if cookie == "" { // bare Caddy gets as many bytes
		cookie = "__Host-something=" + strings.Repeat("x", 43)
	}
	request += "Cookie: theme=dark; " + cookie + "\r\n"
	request += "\r\n"
	v.loadAs(n, func() []byte { return []byte(request) })
}

func (v *variant) loadAs(n int, request func() []byte) {
	var wg sync.WaitGroup
	for range *conns {
		wg.Go(func() {
			if err := v.send(request, n / *conns); err != nil {
				log.Fatalf("%s: %v", v.name, err)
			}
		})
	}
	wg.Wait()
}

func (v *variant) send(request func() []byte, n int) error {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", v.port))
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for range n {
		if _, err := conn.Write(request()); err != nil {
			return err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		if resp.StatusCode != max(v.status, http.StatusOK) {
			return fmt.Errorf("the app was not reached: %s", resp.Status)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
	}
	return nil
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
