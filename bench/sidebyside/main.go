// Command sidebyside measures what the gate costs: the CPU time of the Caddy
// process per proxied request, bare and with the gate, in turn on one machine.
//
//	go run ./bench/sidebyside
//
// It starts an app, one Caddy for each variant and a redis-server, all on
// loopback, sends the same bounded number of requests to each variant round by
// round, and prints the median and the spread of each variant's ratio to bare
// Caddy of the same round. Wall time is not judged.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	rounds   = flag.Int("rounds", 40, "rounds; each variant once a round")
	requests = flag.Int("requests", 5000, "requests of one variant in one round")
	conns    = flag.Int("conns", 16, "connections")
	only     = flag.String("only", "", "comma-separated variants; bare always runs")
	machines = flag.Bool("machines", false, "programs with keys and tokens instead of browsers with sessions")
	profile  = flag.String("profile", "", "write a CPU profile of each variant into this folder, in one more round")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	if err := pinSelf(); err != nil {
		log.Fatal(err)
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// Caddy gets one core for itself, and all else shares the other ones: on cores
// that both sides share, the figures say more about the scheduler than about the
// work.
const caddyCore = "0"

// pinSelf starts this program again on the cores that are not Caddy's.
func pinSelf() error {
	const pinned = "SIDEBYSIDE_PINNED"
	if os.Getenv(pinned) != "" {
		return nil
	}
	if runtime.NumCPU() < 2 {
		return errors.New("this needs two cores: one for Caddy, one for the rest")
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return fmt.Errorf("this needs taskset (Debian package util-linux): %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	others := fmt.Sprintf("1-%d", runtime.NumCPU()-1)
	return syscall.Exec(taskset, append([]string{"taskset", "-c", others, self}, os.Args[1:]...), append(os.Environ(), pinned+"=1"))
}

func run() error {
	dir, err := os.MkdirTemp("", "gatehouse-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "caddy")
	build := exec.Command("go", "build", "-tags", "nobadger,nomysql,nopgx", "-o", binary, "./cmd/caddy")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("run this at the root of the repository: %w", err)
	}
	app, err := startApp()
	if err != nil {
		return err
	}
	var running []*variant
	defer func() {
		for _, v := range running {
			v.stop()
		}
	}()
	chosen := variants
	if *machines {
		chosen = machineVariants
	}
	for _, v := range chosen() {
		if *only != "" && v.name != "bare" && !slices.Contains(strings.Split(*only, ","), v.name) {
			continue
		}
		running = append(running, v)
		if err := v.start(binary, filepath.Join(dir, v.name), app); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	awake, err := keepAwake()
	if err != nil {
		return err
	}
	defer awake()
	measure(running)
	return profiles(running)
}

// keepAwake keeps the other cores from going to sleep: on a virtual machine,
// waking one costs the waker microseconds, which would be counted as Caddy's,
// and more of them the slower Caddy is. The loop yields to all real work and
// ends by itself.
func keepAwake() (stop func(), err error) {
	idle := exec.Command("nice", "-n", "19", "timeout", "1800", "sh", "-c", "while :; do :; done")
	if err := idle.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = idle.Process.Signal(syscall.SIGTERM)
		_ = idle.Wait()
	}, nil
}

// startApp is the app behind: 1 KB for every request.
func startApp() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	body := []byte(strings.Repeat("x", 1024))
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
	return l.Addr().String(), nil
}

func measure(running []*variant) {
	allocated := map[*variant][2]float64{}
	for _, v := range running { // warm up: connections, caches, the heap's size
		v.load(*requests / 2)
		bytes, objects := v.allocations()
		v.load(*requests)
		bytes2, objects2 := v.allocations()
		n := float64(*requests)
		allocated[v] = [2]float64{(bytes2 - bytes) / n, (objects2 - objects) / n}
	}
	for round := range *rounds {
		// Each round begins with another variant, so that none always runs on a
		// machine that the one before has warmed or slowed.
		for i := range running {
			v := running[(i+round)%len(running)]
			before := v.cpu()
			v.load(*requests)
			v.perRequest = append(v.perRequest, (v.cpu()-before).Seconds()*1e6/float64(*requests))
		}
	}
	fmt.Printf("%d rounds of %d requests on %d connections, HTTP/1.1, 1 KB; CPU of the Caddy process\n\n", *rounds, *requests, *conns)
	fmt.Printf("%-24s %10s  %-24s %10s %8s\n", "variant", "µs/request", "ratio to bare (min…max)", "B/request", "objects")
	bare := running[0].perRequest
	for _, v := range running {
		ratios := make([]float64, len(bare))
		for i := range bare {
			ratios[i] = v.perRequest[i] / bare[i]
		}
		fmt.Printf("%-24s %10.1f  %-24s %10.0f %8.0f\n", v.name, median(v.perRequest),
			fmt.Sprintf("%.2f (%.2f…%.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios)), allocated[v][0], allocated[v][1])
	}
}

func median(of []float64) float64 {
	s := slices.Sorted(slices.Values(of))
	return s[len(s)/2]
}

func profiles(running []*variant) error {
	if *profile == "" {
		return nil
	}
	if err := os.MkdirAll(*profile, 0o700); err != nil {
		return err
	}
	for _, v := range running {
		var wg sync.WaitGroup
		var done atomic.Bool
		wg.Go(func() {
			for !done.Load() {
				v.load(1000)
			}
		})
		data, err := v.cpuProfile()
		done.Store(true)
		wg.Wait()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(*profile, v.name+".prof"), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// cpuProfile is ten seconds of the process at work.
func (v *variant) cpuProfile() ([]byte, error) {
	resp, err := http.Get(fmt.Sprintf("http://localhost:%d/debug/pprof/profile?seconds=10", v.admin))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// cpu is the CPU time that the process used so far, user and system.
func (v *variant) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", v.cmd.Process.Pid))
	if err != nil {
		log.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}

// allocations are the bytes and objects that the process has allocated so far.
func (v *variant) allocations() (bytes, objects float64) {
	resp, err := http.Get(fmt.Sprintf("http://localhost:%d/metrics", v.admin))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		f, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "go_memstats_alloc_bytes_total":
			bytes = f
		case "go_memstats_mallocs_total":
			objects = f
		}
	}
	return bytes, objects
}
