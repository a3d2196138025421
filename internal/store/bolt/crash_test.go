package bolt

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// childEnv names the file on which the test binary, started again by a test,
// works until it is killed; childJob says what it does there.
const (
	childEnv = "GATEHOUSE_TEST_BOLT_FILE"
	childJob = "GATEHOUSE_TEST_BOLT_JOB"
)

func TestMain(m *testing.M) {
	path := os.Getenv(childEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	switch os.Getenv(childJob) {
	case "hold":
		childHold(path)
	case "write":
		childWrite(path)
	}
	os.Exit(3)
}

func child(path, job string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path, childJob+"="+job)
	cmd.Stderr = os.Stderr
	return cmd
}

const (
	crashWriters = 6
	crashKeys    = 24 // of each writer, which nobody else writes to
)

// childWrite changes keys until it is killed. A line "b key n" says that the
// change number n of key begins, "a" that it was acknowledged.
func childWrite(path string) {
	s, err := Open(context.Background(), path, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	start := uint64(time.Now().UnixNano())
	for w := range crashWriters {
		go func() {
			ctx := context.Background()
			rnd := rand.New(rand.NewPCG(start, uint64(w)))
			for {
				key := fmt.Sprintf("k/%d/%d", w, rnd.IntN(crashKeys))
				n := int(rnd.Uint32()>>1) + 1
				say(fmt.Sprintf("b %s %d\n", key, n))
				var err error
				switch {
				case removes(n) && n%2 == 0:
					_, err = s.Delete(ctx, key)
				case removes(n):
					_, _, err = s.Take(ctx, key)
				case n%7 == 0: // by way of Create or Swap
					old, found, _ := s.Get(ctx, key)
					if found {
						_, err = s.Swap(ctx, key, old, crashValue(n), time.Hour)
					} else {
						_, err = s.Create(ctx, key, crashValue(n), 0)
					}
				default:
					err = s.Put(ctx, key, crashValue(n), time.Duration(n%2)*time.Hour)
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				say(fmt.Sprintf("a %s %d\n", key, n))
			}
		}()
	}
	select {}
}

// say writes a line in one go: shorter than a pipe's buffer, it is never mixed.
func say(line string) { _, _ = os.Stdout.WriteString(line) }

func removes(n int) bool { return n%5 == 0 }

// crashValue is a value that only the change number n writes: none, small, or
// large enough for pages of its own.
func crashValue(n int) []byte {
	size := []int{0, 40, 300, 1500, 9000}[n%11%5]
	return []byte(fmt.Sprintf("%d:%s", n, strings.Repeat(fmt.Sprint(n), size/8)))
}

// change is what is known of a key: the last acknowledged change, and one that
// had begun when the process was killed (0: none).
type change struct{ acked, begun int }

// TestKill kills a writing process, again and again, and looks for every
// change that was acknowledged.
func TestKill(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	rnd := rand.New(rand.NewPCG(1, 2))
	state := map[string]change{}
	acked := 0
	for round := range rounds {
		acked += killedRun(t, path, state, time.Duration(rnd.IntN(120))*time.Millisecond)
		s, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for key, c := range state {
			state[key] = change{acked: surviving(t, s, round, key, c)}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d rounds, %d acknowledged changes, none lost", rounds, acked)
	if acked < rounds {
		t.Errorf("only %d changes in %d rounds: the test tests nothing", acked, rounds)
	}
}

// killedRun lets a process write for a while after its first line, kills it and
// notes what it had said.
func killedRun(t *testing.T, path string, state map[string]change, after time.Duration) (acked int) {
	t.Helper()
	cmd := child(path, "write")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		once.Do(func() { time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) })
		var what, key string
		var n int
		if got, _ := fmt.Sscanf(lines.Text(), "%s %s %d", &what, &key, &n); got != 3 {
			continue // cut off by the kill
		}
		c := state[key]
		if what == "a" {
			c = change{acked: n}
			acked++
		} else {
			c.begun = n
		}
		state[key] = c
	}
	_ = cmd.Wait()
	return acked
}

// surviving returns which change of key the file holds: the acknowledged one or
// the one that was on its way, nothing else.
func surviving(t *testing.T, s *Store, round int, key string, c change) int {
	t.Helper()
	v, found, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{c.acked, c.begun} {
		gone := n == 0 || removes(n)
		if n == 0 && n == c.begun && c.acked != 0 {
			continue // nothing was on its way
		}
		if gone && !found || !gone && found && string(v) == string(crashValue(n)) {
			return n
		}
	}
	t.Errorf("round %d: %s holds %.30q (found %v), but change %d was acknowledged and %d had begun", round, key, v, found, c.acked, c.begun)
	return 0
}

// childHold opens the file and keeps it.
func childHold(path string) {
	if _, err := Open(context.Background(), path, Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	say("open\n")
	select {}
}

func TestSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	cmd := child(path, "hold")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatal(line, err)
	}
	start := time.Now()
	_, err = Open(t.Context(), path, Options{})
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("the error took %v", took)
	}
	if err == nil || !strings.Contains(err.Error(), "is in use by another process") || !strings.Contains(err.Error(), path) {
		t.Errorf("error: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start = time.Now()
	if _, err := Open(ctx, path, Options{}); err == nil || time.Since(start) > 700*time.Millisecond {
		t.Errorf("with a context of 100 ms: %v after %v", err, time.Since(start))
	}
	// A restart: the other one goes away while we wait.
	time.AfterFunc(300*time.Millisecond, func() { _ = cmd.Process.Kill() })
	if s, err := Open(t.Context(), path, Options{}); err != nil {
		t.Errorf("after the other process has gone: %v", err)
	} else {
		_ = s.Close()
	}
}
