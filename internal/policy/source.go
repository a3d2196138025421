package policy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Bounds on what is read, so that a wrong path (a home folder, a disk) ends in
// an error rather than in a full memory.
const (
	maxBytes = 64 << 20 // all files together
	maxFiles = 10_000
	maxDepth = 32
)

// How often a set that changes while it is read is read again.
const (
	readTries = 20
	readPause = 25 * time.Millisecond
)

// errMoving says that files changed between the look and the read.
var errMoving = errors.New("the policy files keep changing while they are read")

// file is one policy or data file as it was read.
type file struct {
	path string   // as it is printed: folder as configured, then the path in it
	dir  int      // which folder
	rel  []string // path inside the folder, by element
	text []byte
}

// rego and test tell policies from data, and tests from what serves.
func (f *file) rego() bool { return strings.HasSuffix(f.path, ".rego") }
func (f *file) test() bool { return strings.HasSuffix(f.path, "_test.rego") }

// sources is everything under the policy folders at one moment.
type sources struct {
	files   []file
	folders []string // every folder that was walked, to watch
	ignored []string // files with a data extension that OPA's rules leave out
	print   string   // fingerprint: names, sizes and times
	newest  time.Time
}

// readSources reads every policy and data file under dirs. It looks before and
// after the read, and reads again when something moved, so that a save that is
// half written is not taken for a whole one.
func readSources(ctx context.Context, dirs []string) (*sources, error) {
	if err := checkDirs(dirs); err != nil {
		return nil, err
	}
	err := errMoving
	for range readTries {
		var s *sources
		if s, err = readOnce(dirs); err == nil {
			return s, nil
		}
		if !errors.Is(err, errMoving) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if errors.Is(err, fs.ErrNotExist) && checkDirs(dirs) != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(readPause):
		}
	}
	return nil, err
}

func readOnce(dirs []string) (*sources, error) {
	before, err := look(dirs)
	if err != nil {
		return nil, err
	}
	left := int64(maxBytes)
	for i := range before.files {
		f := &before.files[i]
		if f.text, err = readBounded(f.path, left); err != nil {
			return nil, err
		}
		left -= int64(len(f.text))
	}
	after, err := look(dirs)
	if err != nil {
		return nil, err
	}
	if before.print != after.print {
		return nil, errMoving
	}
	return before, nil
}

func readBounded(path string, left int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, left+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > left {
		return nil, fmt.Errorf("%s: the policy folders hold more than %d MiB", path, maxBytes>>20)
	}
	return text, nil
}

// checkDirs refuses folders that do not exist, are no folders, or lie inside
// one another: the place of a data file would then have two meanings.
func checkDirs(dirs []string) error {
	real := make([]string, len(dirs))
	for i, d := range dirs {
		info, err := os.Stat(d)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("policy folder %s does not exist: %w", d, fs.ErrNotExist)
		case err != nil:
			return fmt.Errorf("policy folder: %w", err)
		case !info.IsDir():
			return fmt.Errorf("%s is a file: name the folder that it is in", d)
		}
		abs, err := filepath.Abs(d)
		if err != nil {
			return fmt.Errorf("policy folder: %w", err)
		}
		if real[i], err = filepath.EvalSymlinks(abs); err != nil {
			return fmt.Errorf("policy folder: %w", err)
		}
		for j, other := range real[:i] {
			if within(real[i], other) || within(other, real[i]) {
				return fmt.Errorf("policy folders %s and %s overlap: name only one of them", dirs[j], d)
			}
		}
	}
	return nil
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
