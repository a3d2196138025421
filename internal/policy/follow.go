package policy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// follow watches every folder that there is now, and the one around each policy
// folder, in which that may be replaced as a whole. A folder that cannot be
// watched is polled like the rest.
func (w *watcher) follow() {
	if w.notify == nil {
		return
	}
	var want []string
	for _, dir := range w.engine.dirs {
		dir = filepath.Clean(dir)
		want = append(want, filepath.Dir(dir))
		if src, err := look([]string{dir}); err == nil {
			want = append(want, src.folders...)
		} else if info, err := os.Stat(dir); err == nil && info.IsDir() {
			want = append(want, dir)
		}
	}
	for _, old := range w.notify.WatchList() {
		if !slices.Contains(want, old) {
			_ = w.notify.Remove(old) // gone already, perhaps
		}
	}
	for _, dir := range want {
		if err := w.notify.Add(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.engine.log.Debug("policy folder is polled", "folder", dir, "error", fmt.Sprint(err))
		}
	}
}
