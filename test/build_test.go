package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// xcaddy is the builder, by version; nothing of it is linked.
const xcaddy = "github.com/caddyserver/xcaddy/cmd/xcaddy@v0.4.5"

// TestXcaddy builds Caddy with this module as a plugin, as the README says.
func TestXcaddy(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/caddyserver/caddy/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	proxies, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "caddy")
	cmd := exec.Command("go", "run", xcaddy, "build", strings.TrimSpace(string(version)),
		"--output", out, "--with", module+"="+root)
	// xcaddy asks for our published versions although the folder replaces them. An
	// empty proxy behind the first one answers "none" where that one refuses.
	first, _, _ := strings.Cut(strings.TrimSpace(string(proxies)), ",")
	cmd.Env = append(os.Environ(), "GOPROXY="+first+"|file://"+t.TempDir(), "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	modules, err := exec.Command(out, "list-modules").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"admin.api.gatehouse", "\ngatehouse\n", "http.handlers.gatehouse"} {
		if !strings.Contains("\n"+string(modules)+"\n", id) {
			t.Errorf("no module %q", strings.TrimSpace(id))
		}
	}
}

// TestCaddyCommands tries what an operator does with the file before it runs.
func TestCaddyCommands(t *testing.T) {
	s := newServerFile(t, mustRead(t, "../Caddyfile"))
	out, err := s.caddy("", "validate", "--config", "Caddyfile")
	if err != nil || !strings.Contains(out, "Valid configuration") {
		t.Errorf("validate: %v %s", err, out)
	}
	if out, err := s.caddy("", "adapt", "--config", "Caddyfile"); err != nil || !strings.Contains(out, `"handler":"gatehouse"`) {
		t.Errorf("adapt: %v %s", err, out)
	}
	if out, err := s.caddy("", "fmt", "--diff", "Caddyfile"); err != nil {
		t.Errorf("the quick start is not formatted: %s", out)
	}
	if out, err := s.caddy("", "gatehouse", "--help"); err != nil || !strings.Contains(out, "session") {
		t.Errorf("help: %v %s", err, out)
	}
	for name, broken := range map[string]string{
		"Caddyfile:3": "localhost\ngatehouse {\n\talow role admin\n}",
		"broken.rego": "{\n\tgatehouse {\n\t\tpolicies ./rego\n\t}\n}\nlocalhost\ngatehouse {\n\tpolicy app\n}",
	} {
		s.writeConfig(broken)
		s.writeFile("rego/broken.rego", "package app\n\nallow if {")
		if out, err := s.caddy("", "validate", "--config", "Caddyfile"); err == nil || !strings.Contains(out, name) {
			t.Errorf("validate does not name %s: %v %s", name, err, out)
		}
	}
}
