//go:build !unix || solaris || illumos || aix

package bolt

import "os"

// lock leaves it to bbolt, whose lock on these systems is not one that we can
// share with it.
func lock(*os.File) (held bool, err error) { return false, nil }

func unlock(*os.File) error { return nil }

func syncDir(string) error { return nil }
