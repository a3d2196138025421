package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// wellUsed returns a file that many changes went through, and its content.
func wellUsed(t testing.TB, changes int) (file []byte, content map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	s := open(t, path, Options{})
	rnd := rand.New(rand.NewPCG(3, 4))
	content = map[string]string{}
	ctx := t.Context()
	for i := range changes {
		key := fmt.Sprintf("%s/%d", []string{"user", "session"}[rnd.IntN(2)], rnd.IntN(200))
		var err error
		switch v := string(crashValue(i + 1)); {
		case i%6 == 5:
			_, err = s.Delete(ctx, key)
			delete(content, key)
		default:
			err = s.Put(ctx, key, []byte(v), time.Duration(i%2)*24*time.Hour)
			content[key] = v
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			if _, err := s.Charge(ctx, key, store.Limit{Burst: 5, Every: time.Hour}, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file, content
}

// tryOpen opens a file with these bytes. If that is refused, the file must be
// as it was, and the error clear; if not, all of the content must be there.
func tryOpen(t *testing.T, dir string, file []byte, content map[string]string) (refused bool) {
	t.Helper()
	path := filepath.Join(dir, "gatehouse.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "it was left as it is") {
			t.Errorf("error: %v", err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(after, file) {
			t.Error("the refused file was changed")
		}
		return true
	}
	defer s.Close()
	for key, want := range content {
		if v, found, err := s.Get(t.Context(), key); err != nil || !found || string(v) != want {
			t.Fatalf("%s: %.20q, %v, %v", key, v, found, err)
		}
	}
	if err := s.Put(t.Context(), "user/new", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	return false
}

func TestDamagedFile(t *testing.T) {
	file, content := wellUsed(t, 600)
	m, err := readMeta(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	file = file[:min(len(file), int(m.pages+2)*int(m.pageSize))] // the rest is room to grow
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(5, 6))

	t.Run("sound", func(t *testing.T) {
		if tryOpen(t, dir, file, content) {
			t.Error("a sound file was refused")
		}
	})
	t.Run("one bit", func(t *testing.T) {
		refused, tries := 0, 1500
		for i := range tries {
			at := rnd.IntN(len(file))
			if i%3 == 0 { // more of page headers and elements, where it hurts
				at = at/int(m.pageSize)*int(m.pageSize) + rnd.IntN(120)
			}
			bad := bytes.Clone(file)
			bad[at] ^= 1 << rnd.IntN(8)
			if tryOpen(t, dir, bad, content) {
				refused++
			}
			if t.Failed() {
				t.Fatalf("with a bit of byte %d flipped", at)
			}
		}
		t.Logf("%d of %d were refused, the others hit free space", refused, tries)
		if refused < tries/4 {
			t.Error("too few were noticed")
		}
	})
	t.Run("a page of something else", func(t *testing.T) {
		for page := range m.pages {
			for _, with := range []string{"zero", "noise", "other page"} {
				bad := bytes.Clone(file)
				p := bad[page*uint64(m.pageSize) : (page+1)*uint64(m.pageSize)]
				switch with {
				case "zero":
					clear(p)
				case "noise":
					for i := range p {
						p[i] = byte(rnd.Uint32())
					}
				default:
					copy(p, file[(page+1)%m.pages*uint64(m.pageSize):])
				}
				tryOpen(t, dir, bad, content)
				if t.Failed() {
					t.Fatalf("with %s in page %d", with, page)
				}
			}
		}
	})
	t.Run("cut off", func(t *testing.T) {
		sizes := []int{1, 15, 16, 79, 80, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 16384, int(m.pages-1) * 4096, int(m.pages)*4096 - 1}
		for range 60 {
			sizes = append(sizes, rnd.IntN(int(m.pages)*int(m.pageSize)))
		}
		for _, size := range sizes {
			if !tryOpen(t, dir, file[:size], content) {
				t.Errorf("cut to %d bytes, it was opened", size)
			}
		}
	})
	t.Run("noise", func(t *testing.T) {
		for _, size := range []int{1, 100, 4096, 50_000} {
			noise := make([]byte, size)
			for i := range noise {
				noise[i] = byte(rnd.Uint32())
			}
			if !tryOpen(t, dir, noise, nil) || !tryOpen(t, dir, make([]byte, size), nil) {
				t.Errorf("%d bytes of noise or zeros were opened", size)
			}
		}
	})
}

// TestDamageWhileInUse cuts the file under an open store: the memory map then
// faults, which kills a process that is not prepared.
func TestDamageWhileInUse(t *testing.T) {
	file, content := wellUsed(t, 600)
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{})
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	failed := 0
	for key := range content {
		if _, _, err := s.Get(ctx, key); err != nil {
			if !errors.Is(err, store.ErrUnavailable) {
				t.Fatal(err)
			}
			failed++
		}
	}
	if failed == 0 {
		t.Error("no read failed")
	}
	_, scanErr := s.Scan(ctx, "user/", "", 100)
	_, countErr := s.Count(ctx, "user")
	_, chargeErr := s.Charge(ctx, "user/1", store.Limit{Burst: 1, Every: time.Hour}, 1)
	for op, err := range map[string]error{
		"Put": s.Put(ctx, "user/x", []byte("v"), 0), "Scan": scanErr, "Count": countErr, "Charge": chargeErr,
		"second Put": s.Put(ctx, "user/x", []byte("v"), 0),
	} {
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", op, err)
		}
	}
	done := make(chan error, 1)
	go func() { done <- s.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Close: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Close hangs")
	}
	// The lock is free again.
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, path, Options{})
}

// TestPlain covers what a test that may run as root cannot bring about.
func TestPlain(t *testing.T) {
	for err, want := range map[error]string{
		syscall.EACCES: "may not read and write", syscall.EROFS: "read-only file system",
		syscall.EISDIR: "it is a directory", syscall.ENOTDIR: "not a directory", syscall.ENOSPC: "the disk is full",
	} {
		got := plain(&os.PathError{Op: "open", Path: "x", Err: err})
		if !strings.Contains(got.Error(), want) || !errors.Is(got, err) {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// FuzzCheck wants no panic, no endless walk and no memory beyond the file's size
// from any bytes.
func FuzzCheck(f *testing.F) {
	file, _ := wellUsed(f, 40)
	m, err := readMeta(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		f.Fatal(err)
	}
	file = file[:m.pages*uint64(m.pageSize)]
	f.Add(uint32(0), []byte{})
	f.Add(uint32(8192), []byte{1, 2, 3})
	f.Add(uint32(2*4096+8), []byte{2, 0, 0xff, 0xff})
	f.Add(uint32(3*4096+12), []byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		bad := bytes.Clone(file)
		copy(bad[int(at)%len(bad):], patch)
		_ = check(bytes.NewReader(bad), int64(len(bad)))
		_ = check(bytes.NewReader(patch), int64(len(patch)))
	})
}
