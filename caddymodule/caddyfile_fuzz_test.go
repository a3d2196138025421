package caddymodule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/gatehouse-proxy/gatehouse/config"
)

// FuzzCaddyfile puts random text into both blocks. Neither may panic; what is
// accepted must be valid, and must be read again by the strict decoder.
func FuzzCaddyfile(f *testing.F) {
	for _, kind := range []string{"good", "broken"} {
		files, err := filepath.Glob("testdata/" + kind + "/*.caddyfiletest")
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds: %v", err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			source, _, _ := strings.Cut(string(raw), divider)
			if at := strings.Index(source, "gatehouse"); at >= 0 {
				f.Add(source[at:])
			}
		}
	}
	f.Add("gatehouse {\n\tallow role \"}\"\n\theaders {\n\t\tX-A `{`\n\t}\n}")
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := caddyfile.Tokenize([]byte(text), "Caddyfile")
		if err != nil || len(tokens) == 0 {
			return
		}
		if v, err := parseGlobal(caddyfile.NewDispenser(tokens), nil); err == nil {
			var app config.App
			valid(t, v.(httpcaddyfile.App).Value, &app, app.Validate)
		}
		var site config.Site
		d := caddyfile.NewDispenser(tokens)
		d.Next()
		if err := readSite(httpcaddyfile.Helper{Dispenser: d}, &site); err == nil {
			raw, err := json.Marshal(site)
			if err != nil {
				t.Fatal(err)
			}
			var again config.Site
			valid(t, raw, &again, again.Validate)
		}
	})
}

func valid(t *testing.T, raw []byte, into any, validate func() error) {
	t.Helper()
	if err := caddy.StrictUnmarshalJSON(raw, into); err != nil {
		t.Errorf("%s: %v", raw, err)
	}
	if err := validate(); err != nil {
		t.Errorf("%s: %v", raw, err)
	}
}
