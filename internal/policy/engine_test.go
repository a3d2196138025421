package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
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
	for name, text := range fs {
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

// patient is a budget that a busy machine does not use up.
const patient = time.Minute

// load makes an engine over one folder and loads it. Unless told otherwise it is
// patient.
func load(t testing.TB, o Options, fs files) *Engine {
	t.Helper()
	o.Dirs = append(o.Dirs, folder(t, fs))
	if o.Budget == 0 {
		o.Budget = patient
	}
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

func TestLoadErrors(t *testing.T) {
	for name, c := range map[string]struct {
		fs   files
		want []string
	}{
		"syntax error":       {files{"a.rego": "package a\n\nallow if {\n"}, []string{"a.rego:4:1: rego_parse_error"}},
		"unsafe variable":    {files{"sub/a.rego": "package a\nallow if x == y\n"}, []string{"sub/a.rego:2:10: rego_unsafe_var_error"}},
		"old Rego":           {files{"a.rego": "package a\nallow { true }\n"}, []string{"a.rego:2:"}},
		"empty file":         {files{"a.rego": ""}, []string{"a.rego", "empty module"}},
		"broken test file":   {files{"a.rego": "package a\nallow := true\n", "a_test.rego": "package a_test\ntest_x if data.a.allow == nope\n"}, []string{"a_test.rego:2:"}},
		"broken JSON":        {files{"data.json": "{\n \"a\": 1,\n}"}, []string{"data.json:3:1"}},
		"cut-off JSON":       {files{"data.json": "{\"a\": [1, 2"}, []string{"data.json:1:"}},
		"broken YAML":        {files{"data.yaml": "a: [1\nb: 2"}, []string{"data.yaml", "line"}},
		"empty data":         {files{"data.yaml": "\n"}, []string{"data.yaml", "empty"}},
		"data is a list":     {files{"data.json": "[1]"}, []string{"data.json", "must be an object"}},
		"data twice":         {files{"x/data.json": `{"a": {"b": 1}}`, "x/data.yaml": "a: {b: 2}"}, []string{"x/data.json", "x/data.yaml", "data.x.a.b"}},
		"data over a rule":   {files{"x/data.json": `{"allow": true}`, "x.rego": "package x\nallow := true\n"}, []string{"x.rego:2:", "conflict"}},
		"two complete rules": {files{"a.rego": "package a\ndefault allow := false\ndefault allow := true\n"}, []string{"a.rego:1:1", "a.rego:3", "default"}},
		"both broken":        {files{"a.rego": "package a\nallow if", "b.rego": "package b\nallow if"}, []string{"a.rego:2:", "b.rego:2:"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, c.fs)
			e := NewEngine(Options{Dirs: []string{dir}, Budget: patient})
			defer e.Close()
			err := e.Load(context.Background())
			if err == nil {
				t.Fatal("it loaded")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not say %q:\n%v", want, err)
				}
			}
			if _, err := (&Entry{engine: e, pkg: "a"}).Decide(context.Background(), question("/")); !errors.Is(err, ErrNotLoaded) {
				t.Errorf("an engine that never loaded answers %v", err)
			}
			if s := e.Status(); s.Err == nil || s.Revision != "" {
				t.Errorf("status %+v", s)
			}
		})
	}
}

func TestFolderErrors(t *testing.T) {
	dir := folder(t, files{"a.rego": "package a\nallow := true\n", "in/b.rego": "package b\nallow := true\n"})
	for name, c := range map[string]struct {
		dirs []string
		want string
	}{
		"no such folder":     {[]string{filepath.Join(dir, "nope")}, "does not exist"},
		"a file":             {[]string{filepath.Join(dir, "a.rego")}, "is a file"},
		"one in another":     {[]string{dir, filepath.Join(dir, "in")}, "overlap"},
		"another in one":     {[]string{filepath.Join(dir, "in"), dir}, "overlap"},
		"a dangling link":    {[]string{dangling(t)}, "gone.rego"},
		"far too much":       {[]string{huge(t)}, "64 MiB"},
		"the same one twice": {[]string{dir, dir}, "overlap"},
	} {
		t.Run(name, func(t *testing.T) {
			e := NewEngine(Options{Dirs: c.dirs})
			defer e.Close()
			if err := e.Load(context.Background()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func dangling(t *testing.T) string {
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "gone.rego")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// huge is a folder whose data file has no end worth reading to; it takes no disk.
func huge(t *testing.T) string {
	dir := folder(t, files{"data.json": "{}"})
	if err := os.Truncate(filepath.Join(dir, "data.json"), maxBytes+1); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Opening a pipe would wait for a writer for ever.
func TestPipeIsNotOpened(t *testing.T) {
	dir := folder(t, files{"a.rego": "package a\nallow := true\n"})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.rego"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := NewEngine(Options{Dirs: []string{dir}, Budget: patient})
	defer e.Close()
	if err := e.Load(context.Background()); err != nil {
		t.Error(err)
	}
}

// What a test file adds to a package is not served.
func TestTestFilesDoNotDecide(t *testing.T) {
	e := load(t, Options{}, files{
		"app.rego":      "package app\nallow if input.identity.username == \"root\"\n",
		"app_test.rego": "package app\nallow if true\nheaders[\"X-Test\"] := \"1\"\ntest_it if allow\n",
	})
	n := entry(t, e, "app")
	if a := decide(t, n, question("/")); a.Pass() || len(a.Headers) > 0 || len(n.StaticHeaders()) > 0 {
		t.Errorf("%+v", a)
	}
}

func TestOddAllowIsLoggedOnceForEachRevision(t *testing.T) {
	dir := folder(t, files{"data.json": `{"answer": "yes"}`})
	log := &notes{}
	e := NewEngine(Options{Dirs: []string{dir}, Budget: patient, Logger: slog.New(slog.NewTextHandler(log, nil))})
	defer e.Close()
	for i := 1; i <= 2; i++ {
		write(t, filepath.Join(dir, "app.rego"), fmt.Sprintf("package app\nallow := data.answer # %d\n", i))
		if err := e.Load(context.Background()); err != nil {
			t.Fatal(err)
		}
		n := entry(t, e, "app")
		for path := range 5 {
			decide(t, n, question(fmt.Sprint("/", path)))
		}
		if got := strings.Count(log.String(), "not a boolean"); got != i {
			t.Errorf("logged %d times after %d revisions", got, i)
		}
	}
}

func TestWhatIsRead(t *testing.T) {
	dir := folder(t, files{
		"app.rego":              "package app\nallow if data.teams.red.lead == input.identity.username\nallow if data.top == 1\n",
		"teams/red/data.yaml":   "lead: alice\n",
		"data.json":             `{"top": 2}`,
		".git/x.rego":           "not rego",
		".app.rego.swp":         "not rego",
		"app.rego~":             "not rego",
		"#app.rego":             "not rego",
		"users.json":            "not json",
		"notes.txt":             "not rego",
		"..2026_11/hidden.rego": "not rego",
	})
	// As Kubernetes mounts a ConfigMap: links to a hidden folder that is a link.
	if err := os.MkdirAll(filepath.Join(dir, "..v1"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "..v1", "mapped.rego"), "package mapped\nallow := true\n")
	for link, to := range map[string]string{"..data": "..v1", "mapped.rego": "..data/mapped.rego", "loop": "."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	e := NewEngine(Options{Dirs: []string{dir}, Budget: patient})
	defer e.Close()
	if err := e.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if a := decide(t, entry(t, e, "app"), question("/")); !a.Pass() {
		t.Errorf("data by folder is not seen: %+v", a)
	}
	if a := decide(t, entry(t, e, "mapped"), question("/")); !a.Pass() {
		t.Errorf("linked file is not seen: %+v", a)
	}
	if s := e.Status(); s.Files != 4 || strings.Join(s.Packages, " ") != "app mapped" {
		t.Errorf("status %+v", s)
	}
}

func TestEntries(t *testing.T) {
	e := load(t, Options{}, files{
		"app.rego":   "package app.web\nallow := true\n",
		"other.rego": "package other\nhelper := true\n",
		"dots.rego":  "package other[\"a-b\"]\nallow := true\n",
		"ref.rego":   "package flat\nnested.allow := true\n",
	})
	if a := decide(t, entry(t, e, `other["a-b"]`), question("/")); !a.Pass() {
		t.Error("a package with a dash does not decide")
	}
	if a := decide(t, entry(t, e, "flat.nested"), question("/")); !a.Pass() {
		t.Error("a rule with a dotted name does not decide")
	}
	for _, pkg := range []string{"nope", "other", "app"} {
		_, err := e.Entry(pkg)
		if err == nil || !strings.Contains(err.Error(), "app.web") {
			t.Errorf("%s: error %v does not list what there is", pkg, err)
		}
	}
	for _, pkg := range []string{"", "a b", "a.", "data[", "x[input.y]", "a-b", "a\nallow := true"} {
		if _, err := e.Entry(pkg); err == nil {
			t.Errorf("%q is taken for a package", pkg)
		}
		if err := e.AddRules(pkg, nil, nil); err == nil {
			t.Errorf("%q is taken for a package of rules", pkg)
		}
	}
	before := NewEngine(Options{Dirs: []string{folder(t, files{"a.rego": "package a\nallow := true\n"})}})
	defer before.Close()
	if _, err := before.Entry("missing"); err != nil {
		t.Fatal(err)
	}
	if err := before.Load(context.Background()); err == nil || !strings.Contains(err.Error(), "package missing") {
		t.Errorf("a set without the wanted entry loads: %v", err)
	}
}

func TestBuiltinPackages(t *testing.T) {
	shipped := fstest.MapFS{
		"gatehouse/rbac.rego":      {Data: []byte("package gatehouse.rbac\nrole(r) if r in input.identity.roles\n")},
		"gatehouse/rbac_test.rego": {Data: []byte("this is not read")},
		"README.md":                {Data: []byte("nor is this")},
	}
	app := "package app\nimport data.gatehouse.rbac\nallow if rbac.role(\"editor\")\n"
	e := load(t, Options{Builtin: shipped}, files{"app.rego": app})
	if a := decide(t, entry(t, e, "app"), question("/")); !a.Pass() {
		t.Error("the shipped package is not there")
	}
	e = load(t, Options{Builtin: shipped}, files{"app.rego": app,
		"policies/rbac.rego": "package gatehouse.rbac\nrole(r) if r == \"nobody\"\n"})
	if a := decide(t, entry(t, e, "app"), question("/")); a.Pass() {
		t.Error("the user's own package does not replace the shipped one")
	}
}

func TestSiteRules(t *testing.T) {
	e := load(t, Options{}, files{"taken.rego": "package taken\nallow := true\n"})
	editors := []Line{{{Kind: "role", Values: []string{"editor"}}}}
	if err := e.AddRules("taken", editors, nil); err == nil || !strings.Contains(err.Error(), "taken.rego") {
		t.Errorf("lines join a package of files, and could widen it: %v", err)
	}
	before := e.Revision()
	if err := e.AddRules("gatehouse.sites.app", editors, nil); err != nil {
		t.Fatal(err)
	}
	if e.Revision() == before {
		t.Error("new lines leave the revision as it was")
	}
	if err := e.AddRules("gatehouse.sites.app", editors, nil); err == nil {
		t.Error("a second set of lines for one package is taken")
	}
	n := entry(t, e, "gatehouse.sites.app")
	if a := decide(t, n, question("/")); !a.Pass() {
		t.Errorf("%+v", a)
	}
	q := question("/")
	q.Identity = nil
	if a := decide(t, n, q); a.Pass() {
		t.Errorf("%+v", a)
	}
	text, err := e.Show("gatehouse.sites.app")
	if err != nil || !strings.Contains(text, "package gatehouse.sites.app") || !strings.Contains(text, "editor") {
		t.Errorf("show: %v\n%s", err, text)
	}
	if _, err := e.Show("nope"); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("show of an unknown package: %v", err)
	}
}

// However many sites a configuration has, it is told of once: when it begins to
// watch. Nobody hears of the revisions on the way there.
func TestOneConfigurationIsToldOfOnce(t *testing.T) {
	for name, fs := range map[string]files{"with a folder": {"app.rego": "package app\nallow := true\n"}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			var told []string
			o := Options{Budget: patient, OnRevision: func(rev string, err error) { told = append(told, fmt.Sprint(rev, " ", err)) }}
			if fs != nil {
				o.Dirs = []string{folder(t, fs)}
			}
			e := NewEngine(o)
			defer e.Close()
			if err := e.Load(context.Background()); err != nil {
				t.Fatal(err)
			}
			for _, site := range []string{"one", "two", "three"} {
				if err := e.AddRules("sites."+site, nil, nil); err != nil {
					t.Fatal(err)
				}
				entry(t, e, "sites."+site)
			}
			if err := e.AddRules("sites.one", nil, nil); err == nil {
				t.Error("the same lines twice")
			}
			if len(told) > 0 {
				t.Errorf("before Watch: %q", told)
			}
			if err := e.Watch(); err != nil {
				t.Fatal(err)
			}
			if len(told) != 1 || told[0] != e.Revision()+" <nil>" {
				t.Errorf("after Watch: %q, in force is %s", told, e.Revision())
			}
			if err := e.Watch(); err == nil || len(told) != 1 {
				t.Errorf("after another Watch: %q, %v", told, err)
			}
		})
	}
}

func TestFirstLoadFailsByItsErrorAlone(t *testing.T) {
	dir := folder(t, files{"app.rego": "package app\nallow if"})
	var told []string
	e := NewEngine(Options{Dirs: []string{dir}, OnRevision: func(rev string, err error) { told = append(told, fmt.Sprint(rev, " ", err)) }})
	defer e.Close()
	if err := e.Load(context.Background()); err == nil {
		t.Fatal("it loaded")
	}
	if len(told) > 0 || e.Status().Err == nil {
		t.Errorf("told %q, status %+v", told, e.Status())
	}
}

func TestRevisionIsTheContents(t *testing.T) {
	fs := files{"a.rego": "package a\nallow := true\n", "x/data.json": `{"k": 1}`}
	one, two := load(t, Options{}, fs), load(t, Options{}, fs)
	if one.Revision() == "" || one.Revision() != two.Revision() {
		t.Errorf("the same files are %q and %q", one.Revision(), two.Revision())
	}
	for name, fs := range map[string]files{
		"other data": {"a.rego": fs["a.rego"], "x/data.json": `{"k": 2}`},
		"moved data": {"a.rego": fs["a.rego"], "y/data.json": `{"k": 1}`},
		"other rule": {"a.rego": "package a\nallow := false\n", "x/data.json": `{"k": 1}`},
	} {
		if load(t, Options{}, fs).Revision() == one.Revision() {
			t.Errorf("%s: the revision is the same", name)
		}
	}
}

// Each answer belongs to one revision as a whole, however fast they change.
func TestReloadUnderLoad(t *testing.T) {
	dir := folder(t, files{})
	set := func(i int) {
		write(t, filepath.Join(dir, "app.rego"), fmt.Sprintf("package app\nallow := data.n == %d\nlog := {\"rego\": %d, \"data\": data.n}\n", i, i))
		write(t, filepath.Join(dir, "data.json"), fmt.Sprintf(`{"n": %d}`, i))
	}
	var known, seen sync.Map // revisions
	e := NewEngine(Options{Dirs: []string{dir}, Budget: patient})
	defer e.Close()
	set(0)
	if err := e.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	known.Store(e.Revision(), true)
	n := entry(t, e, "app")
	ctx, cancel := context.WithCancel(context.Background())
	var askers sync.WaitGroup
	var asked atomic.Int64
	for range 4 {
		askers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				a, err := n.Decide(context.Background(), question(fmt.Sprint("/", i%7)))
				if err != nil || !a.Pass() || fmt.Sprint(a.Log["rego"]) != fmt.Sprint(a.Log["data"]) {
					t.Errorf("mixed or missing answer: %+v, %v", a, err)
					return
				}
				seen.Store(a.Revision, true)
				asked.Add(1)
			}
		})
	}
	for i := 1; i <= 30; i++ {
		set(i)
		if err := e.Load(context.Background()); err != nil {
			t.Error(err)
		}
		known.Store(e.Revision(), true)
	}
	cancel()
	askers.Wait()
	seen.Range(func(rev, _ any) bool {
		if _, ok := known.Load(rev); !ok {
			t.Errorf("revision %s was never in force", rev)
		}
		return true
	})
	if asked.Load() < 30 {
		t.Errorf("only %d answers", asked.Load())
	}
	if a := decide(t, n, question("/0")); fmt.Sprint(a.Log["rego"]) != "30" {
		t.Errorf("an old answer is remembered: %+v", a)
	}
}

func TestReloadThatLosesAnEntryIsRefused(t *testing.T) {
	dir := folder(t, files{"app.rego": "package app\nallow := true\n"})
	e := NewEngine(Options{Dirs: []string{dir}, Budget: patient})
	defer e.Close()
	if err := e.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	n, rev := entry(t, e, "app"), e.Revision()
	write(t, filepath.Join(dir, "app.rego"), "package renamed\nallow := true\n")
	if err := e.Load(context.Background()); err == nil || !strings.Contains(err.Error(), "renamed") {
		t.Errorf("error %v", err)
	}
	if a := decide(t, n, question("/")); !a.Pass() || a.Revision != rev {
		t.Errorf("the last good set is not kept: %+v", a)
	}
}
