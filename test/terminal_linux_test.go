package test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: the test is the person before it.
type terminal struct {
	t      *testing.T
	person *os.File // what is typed and seen
	line   *os.File // the program's end
	seen   *logBuffer
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	raw, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	number := -1
	err = raw.Control(func(fd uintptr) {
		if unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0) == nil {
			number, _ = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || number < 0 {
		t.Fatalf("no pseudo-terminal: %v", err)
	}
	line, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { line.Close() })
	term := &terminal{t: t, person: person, line: line, seen: &logBuffer{}}
	go func() {
		buf := make([]byte, 1024)
		for {
			n, err := person.Read(buf)
			_, _ = term.seen.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return term
}

// shows waits for text on the screen, and for the program to have turned the
// echo off as it should before it asks.
func (term *terminal) shows(text string) {
	term.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if strings.Contains(term.seen.String(), text) && !term.echoes() {
			return
		}
		if time.Now().After(deadline) {
			term.t.Fatalf("%q is not asked, or what is typed would show; the screen: %q", text, term.seen)
		}
	}
}

func (term *terminal) echoes() bool {
	state, err := unix.IoctlGetTermios(int(term.line.Fd()), unix.TCGETS)
	if err != nil {
		term.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func (term *terminal) types(text string) {
	term.t.Helper()
	if _, err := term.person.WriteString(text + "\n"); err != nil {
		term.t.Fatal(err)
	}
}

// TestTerminal runs the commands as a person does: they ask, and what is typed
// does not show.
func TestTerminal(t *testing.T) {
	s := newServer(t, "", "gatehouse").start()
	const fresh = "a wholly different sentence"
	run := func(t *testing.T, first, second string, args ...string) (screen string, err error) {
		t.Helper()
		term := newTerminal(t)
		cmd := exec.Command(caddyBinary, append([]string{"gatehouse", "--address", fmt.Sprintf("localhost:%d", s.admin)}, args...)...)
		cmd.Dir, cmd.Env = s.dir, s.env()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = term.line, term.line, term.line
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		term.shows("New password: ")
		term.types(first)
		term.shows("Once more: ")
		term.types(second)
		select {
		case err = <-ended:
		case <-time.After(30 * time.Second):
			t.Fatalf("it does not end; the screen: %q", term.seen)
		}
		if !term.echoes() {
			t.Error("the terminal was left without echo")
		}
		// What the program wrote last may still be on its way to the screen.
		eventually(t, 5*time.Second, "a last line", func() bool {
			return strings.HasSuffix(term.seen.String(), "\n") && strings.Count(term.seen.String(), "\n") >= 3
		})
		for _, secret := range []string{first, second} {
			if secret != "" && strings.Contains(term.seen.String(), secret) {
				t.Errorf("the screen shows %q: %q", secret, term.seen)
			}
		}
		return term.seen.String(), err
	}
	t.Run("two that differ", func(t *testing.T) {
		if screen, err := run(t, aPassword, fresh, "user", "add", "alice"); err == nil || !strings.Contains(screen, "the two passwords differ") {
			t.Errorf("%v %q", err, screen)
		}
	})
	t.Run("none", func(t *testing.T) {
		if screen, err := run(t, "", "", "user", "add", "alice"); err == nil || !strings.Contains(screen, "the password is empty") {
			t.Errorf("%v %q", err, screen)
		}
	})
	t.Run("a new user", func(t *testing.T) {
		if screen, err := run(t, aPassword, aPassword, "user", "add", "alice"); err != nil || !strings.Contains(screen, "Added alice.") {
			t.Fatalf("%v %q", err, screen)
		}
		newVisitor(t).login(s, "alice")
	})
	t.Run("a new password", func(t *testing.T) {
		if screen, err := run(t, fresh, fresh, "user", "passwd", "alice"); err != nil || !strings.Contains(screen, "Password of alice changed") {
			t.Fatalf("%v %q", err, screen)
		}
		if a := newVisitor(t).tryLogin(s, "alice", fresh); a.StatusCode != 303 {
			t.Errorf("the new password: %d", a.StatusCode)
		}
	})
}
