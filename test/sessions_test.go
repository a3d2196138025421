package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestReloadKeepsSessions also changes how long sessions live.
func TestReloadKeepsSessions(t *testing.T) {
	s := newServer(t, "gatehouse {\n sessions {\n lifetime 2h\n }\n}", "gatehouse").start()
	s.addUser("alice")
	v := newVisitor(t)
	v.login(s, "alice")
	before := s.sessions("alice")
	reload := func(change func(string) string) {
		t.Helper()
		s.writeConfig(change(mustRead(t, s.dir+"/Caddyfile")))
		if out, err := s.caddy("", "reload", "--config", "Caddyfile", "--address", fmt.Sprintf("localhost:%d", s.admin)); err != nil {
			t.Fatal(err, out)
		}
	}
	reload(func(c string) string {
		return strings.Replace(c, "bind 127.0.0.1", "bind 127.0.0.1\n\theader X-Again 1", 1)
	})
	a := v.get(s.url("/x"))
	a.echo(t)
	if after := s.sessions("alice"); a.Header.Get("X-Again") != "1" || len(after) != 1 || after[0].ID != before[0].ID {
		t.Fatalf("X-Again %q, sessions %+v, were %+v", a.Header.Get("X-Again"), after, before)
	}
	// Tighter limits hold for sessions that are there; looser ones give nothing.
	reload(func(c string) string { return strings.Replace(c, "lifetime 2h", "lifetime 10m", 1) })
	v.get(s.url("/x")).echo(t)
	if end := v.whoamiEnd(s); end > 10*time.Minute {
		t.Errorf("the session lives for %s more, though sessions last 10m now", end)
	}
	eventually(t, 5*time.Second, "an audit line config_loaded for each of 3 configurations", func() bool {
		return strings.Count(s.log.String(), "config_loaded") == 3
	})
	s.waitLog(`gatehouse\.audit.*"action":\s*"config_loaded".*"outcome":\s*"success".*"actor":\s*"gatehouse".*"store":\s*"bolt".*"gates":\s*1`, time.Second)
}

// adminSession is what these tests read of a session in the admin API.
type adminSession struct {
	ID       string    `json:"id"`
	Username string    `json:"username"`
	Expires  time.Time `json:"expires"`
}

func (s *server) sessions(name string) []adminSession {
	s.t.Helper()
	var page struct{ Sessions []adminSession }
	a := s.api(http.MethodGet, "/sessions?user="+name, "")
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.StatusCode != http.StatusOK {
		s.t.Fatalf("%d %v %s", a.StatusCode, err, a.body)
	}
	return page.Sessions
}

// whoamiEnd is how long the session lives on at most, by the account page.
func (v *visitor) whoamiEnd(s *server) time.Duration {
	v.t.Helper()
	var page struct{ Sessions []adminSession }
	a := v.get(s.url("/_gatehouse/account"), "Accept", "application/json")
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || len(page.Sessions) != 1 {
		v.t.Fatalf("%d %v %s", a.StatusCode, err, a.body)
	}
	return time.Until(page.Sessions[0].Expires)
}

// api calls the admin API below /gatehouse.
func (s *server) api(method, path, body string) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, fmt.Sprintf("http://localhost:%d/gatehouse%s", s.admin, path), strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp, string(text)}
}
