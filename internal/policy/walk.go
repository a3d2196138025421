package policy

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// look walks the folders without reading a file.
func look(dirs []string) (*sources, error) {
	s := &sources{}
	var print strings.Builder
	for i, d := range dirs {
		info, err := os.Stat(d)
		if err != nil {
			return nil, err
		}
		w := walker{out: s, print: &print, dir: i}
		if err := w.walk(d, nil, []fs.FileInfo{info}); err != nil {
			return nil, err
		}
	}
	s.print = print.String()
	return s, nil
}

type walker struct {
	out   *sources
	print *strings.Builder
	dir   int
}

// walk adds what lies under path. above holds the folders on the way down, so
// that a symbolic link back to one of them is not followed for ever.
func (w *walker) walk(path string, rel []string, above []fs.FileInfo) error {
	if len(above) > maxDepth {
		return fmt.Errorf("%s: policy folders nest more than %d deep", path, maxDepth)
	}
	w.out.folders = append(w.out.folders, path)
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if !visible(name) {
			continue
		}
		full := filepath.Join(path, name)
		info, err := os.Stat(full) // follows links: Kubernetes mounts files as links
		if err != nil {
			return err
		}
		inner := append(rel[:len(rel):len(rel)], name)
		switch {
		case info.IsDir():
			if seen(above, info) {
				continue
			}
			if err := w.walk(full, inner, append(above[:len(above):len(above)], info)); err != nil {
				return err
			}
		case info.Mode().IsRegular(): // never a pipe or device: opening one may block
			if err := w.add(full, inner, info); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walker) add(full string, rel []string, info fs.FileInfo) error {
	name := rel[len(rel)-1]
	switch {
	case strings.HasSuffix(name, ".rego"), isData(name):
	case strings.HasSuffix(name, ".json"), strings.HasSuffix(name, ".yaml"), strings.HasSuffix(name, ".yml"):
		w.out.ignored = append(w.out.ignored, full)
		return nil
	default:
		return nil
	}
	if len(w.out.files) == maxFiles {
		return fmt.Errorf("%s: the policy folders hold more than %d files", full, maxFiles)
	}
	w.out.files = append(w.out.files, file{path: full, dir: w.dir, rel: rel})
	if info.ModTime().After(w.out.newest) {
		w.out.newest = info.ModTime()
	}
	fmt.Fprintf(w.print, "%q %d %d\n", full, info.Size(), info.ModTime().UnixNano())
	return nil
}

// isData reports whether OPA's rules for folders take the file as data.
func isData(name string) bool {
	return name == "data.json" || name == "data.yaml" || name == "data.yml"
}

// visible leaves out hidden files and folders (.git, .authz.rego.swp, the
// ..data of Kubernetes, whose files also appear as links beside it) and the
// copies that editors leave.
func visible(name string) bool {
	return !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "#") && !strings.HasSuffix(name, "~")
}

func seen(above []fs.FileInfo, info fs.FileInfo) bool {
	for _, a := range above {
		if os.SameFile(a, info) {
			return true
		}
	}
	return false
}
