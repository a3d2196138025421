package policy

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// files is a policy folder by path.
type files map[string]string

// folder writes files into a new folder.
func folder(t testing.TB, fs files) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{} {
		_ = name
	}
	for name, text := range maps.All(fs) {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// load makes an engine over one folder and loads it.
func load(t testing.TB, o Options, fs files) *Engine {
	t.Helper()
	o.Dirs = append(o.Dirs, folder(t, fs))
	e := NewEngine(o)
	t.Cleanup(e.Close)
	if err := e.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	return e
}

func entry(t testing.TB, e *Engine, pkg string) *Entry {
	t.Helper()
	n, err := e.Entry(pkg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var noon = time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC)

// question is a GET by alice, who has one role and one group.
func question(path string) *decision.Question {
	return &decision.Question{
		Request: decision.Request{
			ID: "01J", Method: "GET", Scheme: "https", Host: "app.example.com", Port: 443,
			Path: path, Segments: []string{"x"}, RawPath: path, Protocol: "HTTP/2.0",
			ClientIP: netip.MustParseAddr("203.0.113.9"),
			Header:   map[string][]string{"Content-Type": {"text/plain"}, "Cookie": {"a=b"}},
		},
		Identity: &identity.Identity{
			Method: identity.Session, Provider: identity.Local, ID: "usr_1", Username: "alice",
			Roles: []string{"editor"}, Groups: []string{"finance"}, AMR: []string{"pwd"},
			AuthTime: noon.Add(-time.Hour),
		},
		Time: noon,
		Site: decision.Site{Host: "app.example.com", Policy: "app"},
	}
}

func decide(t testing.TB, n *Entry, q *decision.Question) decision.Answer {
	t.Helper()
	a, err := n.Decide(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDecide(t *testing.T) {
	e := load(t, Options{}, files{"app.rego": `package app
allow if "editor" in input.identity.roles
deny contains "closed" if input.request.path == "/closed"
`})
	n := entry(t, e, "app")
	for range 3 {
		if a := decide(t, n, question("/x")); !a.Pass() || a.Revision == "" {
			t.Errorf("%+v", a)
		}
	}
	if a := decide(t, n, question("/closed")); a.Pass() || len(a.Reasons) != 1 {
		t.Errorf("%+v", a)
	}
}
