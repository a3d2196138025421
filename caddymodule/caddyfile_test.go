package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/gatehouse-proxy/gatehouse/config"
)

var update = flag.Bool("update", false, "rewrite the expected part of testdata/*.caddyfiletest")

const divider = "\n----------\n"

// TestAdapt holds every file below testdata to what stands in it after the
// line of dashes: the JSON that Caddy runs, or the error that a user reads.
func TestAdapt(t *testing.T) {
	for _, kind := range []string{"good", "broken"} {
		files, err := filepath.Glob("testdata/" + kind + "/*.caddyfiletest")
		if err != nil || len(files) < 15 {
			t.Fatalf("%d files in %s: %v", len(files), kind, err)
		}
		for _, file := range files {
			t.Run(kind+"/"+strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				source, want, _ := strings.Cut(string(raw), divider)
				got, err := adapt(source)
				if kind == "broken" {
					if err == nil {
						t.Fatalf("accepted:\n%s", got)
					}
					got = here(t, err)
					if strings.Contains(got, "hunter2") {
						t.Error("the error tells a secret")
					}
				} else if err != nil {
					t.Fatal(err)
				} else {
					loads(t, got)
				}
				if *update {
					write(t, file, source+divider+got+"\n")
					return
				}
				if want = strings.TrimSuffix(want, "\n"); got != want {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			})
		}
	}
}

// TestGuide holds the reference to the truth: every example in it is accepted.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile("../docs/guide/caddyfile.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(text), "```caddyfile\n")[1:]
	if len(examples) < 5 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, e := range examples {
		source, _, _ := strings.Cut(e, "\n```")
		if _, err := adapt(source); err != nil {
			t.Errorf("%v in\n%s", err, source)
		}
	}
}

// adapt translates a Caddyfile as `caddy adapt` does, twice, since the same file
// must always give the same JSON: Caddy compares it to see what changed.
func adapt(source string) (string, error) {
	var out [2]bytes.Buffer
	for i := range out {
		result, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(source+"\n"), map[string]any{"filename": "testdata/Caddyfile"})
		if err != nil {
			return "", err
		}
		if len(warnings) > 0 {
			return "", unstable("a warning: " + warnings[0].String())
		}
		if err := json.Indent(&out[i], result, "", "\t"); err != nil {
			return "", err
		}
	}
	if out[0].String() != out[1].String() {
		return "", unstable("two different results:\n" + out[0].String() + "\n" + out[1].String())
	}
	return out[0].String(), nil
}

// here takes the folder from the file names in an error.
func here(t *testing.T, err error) string {
	t.Helper()
	dir, absErr := filepath.Abs("testdata")
	if absErr != nil {
		t.Fatal(absErr)
	}
	text := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")
	return strings.ReplaceAll(text, "testdata/", "")
}

type unstable string

func (u unstable) Error() string { return string(u) }

// loads checks that what was written is read again by Caddy's strict decoder,
// which refuses unknown fields, and that it is valid and unchanged.
func loads(t *testing.T, text string) {
	t.Helper()
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	var app config.App
	apps := doc.(map[string]any)["apps"].(map[string]any)
	if raw, found := apps["gatehouse"]; found {
		again(t, raw, &app)
		if err := app.Validate(); err != nil {
			t.Errorf("the app: %v", err)
		}
	}
	handlers := find(apps["http"])
	if len(handlers) == 0 {
		t.Error("no gatehouse handler in the result")
	}
	for _, raw := range handlers {
		var site config.Site
		delete(raw, "handler")
		again(t, raw, &site)
		if err := site.Validate(); err != nil {
			t.Errorf("the site: %v", err)
		}
		if err := app.CheckSite(&site); err != nil {
			t.Errorf("the site: %v", err)
		}
	}
}

func again(t *testing.T, raw any, into any) {
	t.Helper()
	before, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.StrictUnmarshalJSON(before, into); err != nil {
		t.Fatalf("%s: %v", before, err)
	}
	after, err := json.Marshal(into)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(before, &a) != nil || json.Unmarshal(after, &b) != nil {
		t.Fatal("no JSON")
	}
	a1, _ := json.Marshal(a)
	b1, _ := json.Marshal(b)
	if !bytes.Equal(a1, b1) {
		t.Errorf("reading and writing changes it:\n%s\n%s", a1, b1)
	}
}

// find returns all gatehouse handlers in a document.
func find(doc any) (found []map[string]any) {
	switch v := doc.(type) {
	case map[string]any:
		if v["handler"] == "gatehouse" {
			return []map[string]any{v}
		}
		for _, inner := range v {
			found = append(found, find(inner)...)
		}
	case []any:
		for _, inner := range v {
			found = append(found, find(inner)...)
		}
	}
	return found
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
