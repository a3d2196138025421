package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCLI runs the scripts as shell sessions, each beside a server of its own.
func TestCLI(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "scripts",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			s := newServer(env.T().(testing.TB), `gatehouse {
		jwt jobs {
			issuer jobs
			audience app
			secret 0123456789abcdef0123456789abcdef
		}
		certificates {
			username san_email
		}
	}`, "gatehouse {\n allow role admin\n methods session key jwt\n}").start()
			env.Setenv("PATH", filepath.Dir(caddyBinary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("ADMIN", fmt.Sprintf("localhost:%d", s.admin))
			env.Setenv("SITE", s.url(""))
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}

// exits is `exits STATUS PROGRAM ARGS…`: the program must end with that status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var ended *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &ended):
		got = ended.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}
