package policy

import (
	"slices"
	"time"
)

// Status says what is in force, and whether the folders hold something else.
type Status struct {
	Revision string
	Loaded   time.Time // when the revision came into force
	Packages []string  // that define allow
	Files    int       // under the policy folders
	Dirs     []string
	Err      error // why what the folders hold now is not in force; nil: it is
}

// Status returns the state after the last load.
func (e *Engine) Status() Status {
	if s := e.status.Load(); s != nil {
		return *s
	}
	return Status{Dirs: slices.Clone(e.dirs)}
}

// announce begins to tell OnRevision, with what is in force. The caller holds mu.
func (e *Engine) announce() {
	e.telling = true
	if s := e.Status(); s.Revision != "" {
		e.onRevision(s.Revision, s.Err)
	}
}

// report notes the outcome of a load, and tells OnRevision if that is to hear.
// The caller holds mu.
func (e *Engine) report(err error) {
	s := &Status{Dirs: slices.Clone(e.dirs), Err: err}
	if set := e.current.Load(); set != nil {
		s.Revision, s.Loaded, s.Files, s.Packages = set.revision, set.loaded, set.files, set.packages()
	}
	e.status.Store(s)
	if e.telling {
		e.onRevision(s.Revision, err)
	}
}
