package test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCLI runs the scripts as shell sessions, each beside a server of its own.
func TestCLI(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "scripts",
		Setup: func(env *testscript.Env) error {
			s := newServer(env.T().(testing.TB), "", "gatehouse {\n allow role admin\n}").start()
			env.Setenv("PATH", filepath.Dir(caddyBinary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("ADMIN", fmt.Sprintf("localhost:%d", s.admin))
			env.Setenv("SITE", s.url(""))
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}
