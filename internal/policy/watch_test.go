package policy

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// notes collects log lines; it is safe for concurrent use.
type notes struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

// watched is an engine that watches a folder with one policy, which answers with
// a number in its log field.
type watched struct {
	*Engine
	t    *testing.T
	dir  string
	n    *Entry
	log  *notes
	mu   sync.Mutex
	told []string // what OnRevision heard
}

func numbered(i int) string {
	return fmt.Sprintf("package app\nallow := true\nlog := {\"n\": %d}\n", i)
}

func watch(t *testing.T, dir string) *watched {
	t.Helper()
	w := &watched{t: t, dir: dir, log: &notes{}}
	w.Engine = NewEngine(Options{
		Dirs: []string{dir}, Budget: patient, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
		OnRevision: func(rev string, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, fmt.Sprintf("%s %v", rev, err))
		},
	})
	t.Cleanup(w.Close)
	if err := w.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.n = entry(t, w.Engine, "app")
	if err := w.Watch(); err != nil {
		t.Fatal(err)
	}
	return w
}

// now is the number that the policy in force answers with.
func (w *watched) now() string {
	a, err := w.n.Decide(context.Background(), question("/"))
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(a.Log["n"])
}

// until waits for something to become true.
func (w *watched) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s does not come; the answer is %s, the status %+v, the log\n%s", what, w.now(), w.Status(), w.log)
		}
	}
}

func (w *watched) becomes(n string) {
	w.t.Helper()
	w.until("answer "+n, func() bool { return w.now() == n })
}

func TestWatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policies")
	app := filepath.Join(dir, "app.rego")
	write(t, app, numbered(1))
	w := watch(t, dir)
	if got := w.now(); got != "1" {
		t.Fatal(got)
	}
	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"written in place", func() { write(t, app, numbered(2)) }, "2"},
		{"written in two halves", func() {
			whole := numbered(3)
			write(t, app, whole[:20])
			time.Sleep(20 * time.Millisecond)
			write(t, app, whole)
		}, "3"},
		{"renamed over", func() {
			write(t, app+".new", numbered(4))
			rename(t, app+".new", app)
		}, "4"},
		{"replaced by a file of the same size and time", func() {
			info, err := os.Stat(app)
			if err != nil {
				t.Fatal(err)
			}
			write(t, app+".new", numbered(3))
			if err := os.Chtimes(app+".new", info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
			rename(t, app+".new", app)
		}, "3"},
		{"moved away and written anew", func() {
			rename(t, app, app+"~")
			time.Sleep(30 * time.Millisecond)
			write(t, app, numbered(5))
		}, "5"},
		{"data in a new folder", func() {
			write(t, app, "package app\nallow := true\nlog := {\"n\": data.deep.er.n}\n")
			write(t, filepath.Join(dir, "deep", "er", "data.json"), `{"n": 6}`)
		}, "6"},
		{"data changed in that folder", func() { write(t, filepath.Join(dir, "deep", "er", "data.json"), `{"n": 7}`) }, "7"},
		{"the whole folder replaced", func() {
			write(t, filepath.Join(dir+".next", "app.rego"), numbered(8))
			rename(t, dir, dir+".old")
			rename(t, dir+".next", dir)
		}, "8"},
		{"changed after that", func() { write(t, app, numbered(9)) }, "9"},
		{"folder removed and made again", func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			time.Sleep(400 * time.Millisecond)
			if got := w.now(); got != "9" {
				t.Errorf("without its folder the policy answers %s", got)
			}
			write(t, app, numbered(10))
		}, "10"},
		{"changed after that, too", func() { write(t, app, numbered(11)) }, "11"},
	}
	for _, step := range steps {
		step.do()
		w.becomes(step.want)
		t.Log(step.name)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// A Kubernetes ConfigMap changes by moving one link.
func TestWatchKubernetesMount(t *testing.T) {
	dir := t.TempDir()
	version := func(i int) string {
		name := fmt.Sprintf("..2026_%d", i)
		write(t, filepath.Join(dir, name, "app.rego"), numbered(i))
		return name
	}
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(version(1), "..data")
	link("..data/app.rego", "app.rego")
	w := watch(t, dir)
	link(version(2), "..data_tmp")
	rename(t, filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data"))
	w.becomes("2")
}

func TestBrokenPolicyNeverOpensTheGate(t *testing.T) {
	good := "package app\nallow if input.identity.username == \"alice\"\ndeny contains \"no\" if input.request.path == \"/no\"\nlog := {\"n\": 1}\n"
	for name, broken := range map[string]struct{ file, text string }{
		"syntax":        {"app.rego", "package app\nallow := true\ndeny contains"},
		"half written":  {"app.rego", good[:60]},
		"emptied":       {"app.rego", ""},
		"removed name":  {"app.rego", "package app\nallow if http.send({\"url\": \"http://x\", \"method\": \"GET\"})"},
		"no allow":      {"app.rego", "package app\nx := true\n"},
		"bad test":      {"app_test.rego", "package app_test\ntest_x if nope(1)\n"},
		"bad data":      {"data.json", "{"},
		"clashing data": {"data.json", `{"app": {"allow": true}}`},
		"wrong type":    {"more.rego", "package app\ndeny := true if input.request.path == \"/no\"\n"},
		"bad header":    {"more.rego", "package app\nheaders[\"Remote-User\"] := \"root\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, files{"app.rego": good})
			w := watch(t, dir)
			rev := w.Revision()
			write(t, filepath.Join(dir, broken.file), broken.text)
			w.until("the error", func() bool { return w.Status().Err != nil && strings.Contains(w.log.String(), "broken") })
			said := w.Status().Err.Error() // names the file, or the package that lost its rule
			if !strings.Contains(said, broken.file) && !strings.Contains(said, "app") || w.Revision() != rev {
				t.Errorf("status %+v", w.Status())
			}
			stranger := question("/")
			stranger.Identity = nil
			for path, pass := range map[string]bool{"/": true, "/no": false} {
				if a := decide(t, w.n, question(path)); a.Pass() != pass || a.Revision != rev {
					t.Errorf("%s: %+v", path, a)
				}
			}
			if a := decide(t, w.n, stranger); a.Pass() {
				t.Error("a stranger passes")
			}
			time.Sleep(2 * quiet)
			if n := strings.Count(w.log.String(), "broken"); n != 1 {
				t.Errorf("logged %d times:\n%s", n, w.log)
			}
			if broken.file != "app.rego" {
				if err := os.Remove(filepath.Join(dir, broken.file)); err != nil {
					t.Fatal(err)
				}
			}
			write(t, filepath.Join(dir, "app.rego"), strings.ReplaceAll(good, "1}", "2}"))
			w.becomes("2")
			w.until("the good news", func() bool { return w.Status().Err == nil && w.Revision() != rev })
			w.mu.Lock()
			defer w.mu.Unlock()
			refused := 0
			for _, line := range w.told {
				if strings.HasPrefix(line, rev+" ") && !strings.HasSuffix(line, "<nil>") {
					refused++
				}
			}
			if w.told[0] != rev+" <nil>" || w.told[len(w.told)-1] != w.Revision()+" <nil>" || refused == 0 {
				t.Errorf("OnRevision heard %q", w.told)
			}
		})
	}
}

func TestBackToTheGoodWordsIsRecovery(t *testing.T) {
	dir := folder(t, files{"app.rego": numbered(1)})
	w := watch(t, dir)
	rev := w.Revision()
	write(t, filepath.Join(dir, "app.rego"), "package app\nallow if")
	w.until("the error", func() bool { return w.Status().Err != nil })
	write(t, filepath.Join(dir, "app.rego"), numbered(1))
	w.until("recovery", func() bool { return w.Status().Err == nil && strings.Contains(w.log.String(), "whole again") })
	if w.Revision() != rev {
		t.Error("the same words have another revision")
	}
}

// A file system that tells of no changes is polled.
func TestPollWithoutNotices(t *testing.T) {
	dir := folder(t, files{"app.rego": numbered(1)})
	w := watch(t, dir)
	for _, path := range w.watcher.notify.WatchList() {
		if err := w.watcher.notify.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "app.rego"), numbered(2))
	w.becomes("2")
}

func TestWatchTwiceAndAfterClose(t *testing.T) {
	w := watch(t, folder(t, files{"app.rego": numbered(1)}))
	if err := w.Watch(); err == nil {
		t.Error("it watches twice")
	}
	w.Close()
	w.Close()
	if err := w.Watch(); err == nil {
		t.Error("it watches after Close")
	}
	if err := w.Load(context.Background()); err == nil {
		t.Error("it loads after Close")
	}
}
