package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"
)

// bbolt trusts its pages: one that was damaged makes it panic, in a goroutine of
// its own where nobody can recover, or read past the end of the file, which
// kills the process. So every reachable byte is checked here first, by ordinary
// reads. The layout is that of bbolt's format version 2, in the byte order of
// the machine: pages of a header (id 8 bytes, flags 2, count 2, overflow 4), an
// array of elements, and then keys and values without a gap; the rest is zero.
const (
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	noFreelist   = ^uint64(0)
	pageHead     = 16
	elementSize  = 16 // of leaf and branch elements alike
	bucketHead   = 16 // root page 8 bytes, sequence 8
	branchFlag   = 0x01
	leafFlag     = 0x02
	metaFlag     = 0x04
	freelistFlag = 0x10
	bucketFlag   = 0x01 // of a leaf element
	minPageSize  = 1 << 10
	maxPageSize  = 1 << 24
	maxDepth     = 32
)

// errForeign is the cause when the file is something else.
var errForeign = errors.New("not its format")

// newerError is the cause when the file has a format from the future.
type newerError int

func (e newerError) Error() string {
	return fmt.Sprintf("format %d, this one knows up to %d", int(e), format)
}

type meta struct {
	pageSize                    uint32
	root, freelist, pages, txid uint64
}

// check reads the file that is size bytes long and returns an error unless
// bbolt can work on it and every record in it is whole.
func check(r io.ReaderAt, size int64) error {
	m, err := readMeta(r, size)
	if err != nil {
		return err
	}
	// Compared by division: a product of damaged numbers could overflow.
	if m.pages < 4 || m.pages > uint64(size)/uint64(m.pageSize) {
		return fmt.Errorf("it should have %d pages of %d bytes and is %d bytes long", m.pages, m.pageSize, size)
	}
	c := &checker{r: r, meta: m, seen: make([]bool, m.pages), top: map[string]bool{}}
	c.seen[0], c.seen[1] = true, true
	if err := c.tree(m.root, "", nil, nil, 0); err != nil {
		return err
	}
	if err := c.freelist(); err != nil {
		return err
	}
	switch {
	case c.format == "" || !strings.HasPrefix(c.format, formatPrefix):
		return fmt.Errorf("%w: a bbolt file of another program", errForeign)
	default:
		n, err := strconv.Atoi(strings.TrimPrefix(c.format, formatPrefix))
		if err != nil || n < 1 {
			return fmt.Errorf("its format is written as %q", c.format)
		}
		if n > format {
			return newerError(n)
		}
	}
	for _, name := range [][]byte{metaBucket, dataBucket, chargeBucket, expiryBucket} {
		if !c.top[string(name)] {
			return fmt.Errorf("it has no bucket %q", name)
		}
	}
	return nil
}

// readMeta reads both meta pages. bbolt falls back to the older one when the
// newer is broken, which would silently undo the last commit, a revocation
// perhaps. A meta fits into one disk sector, so that a power cut leaves the old
// or the new one: a broken one is damage.
func readMeta(r io.ReaderAt, size int64) (meta, error) {
	head := make([]byte, 80)
	if size < int64(len(head)) {
		return meta{}, fmt.Errorf("%w: too short", errForeign)
	}
	if _, err := r.ReadAt(head, 0); err != nil {
		return meta{}, err
	}
	first, err0 := parseMeta(head, 0)
	pageSize := int64(first.pageSize)
	if err0 != nil {
		// Look for the second one, to tell a damaged store from another file.
		for pageSize = minPageSize; pageSize <= 1<<16; pageSize *= 2 {
			if _, err := r.ReadAt(head, pageSize); err == nil {
				if _, err := parseMeta(head, 1); err == nil {
					return meta{}, fmt.Errorf("its first page: %w", err0)
				}
			}
		}
		return meta{}, fmt.Errorf("%w: no bbolt file", errForeign)
	}
	if size < 2*pageSize {
		return meta{}, errors.New("cut off in its second page")
	}
	if _, err := r.ReadAt(head, pageSize); err != nil {
		return meta{}, err
	}
	second, err := parseMeta(head, 1)
	if err != nil {
		return meta{}, fmt.Errorf("its second page: %w", err)
	}
	if first.pageSize != second.pageSize {
		return meta{}, errors.New("its two first pages contradict each other")
	}
	if first.txid > second.txid {
		return first, nil
	}
	return second, nil
}

func parseMeta(b []byte, id uint64) (meta, error) {
	ne := binary.NativeEndian
	body := b[pageHead:]
	if ne.Uint32(body) != boltMagic {
		return meta{}, errors.New("no bbolt marker")
	}
	h := fnv.New64a()
	_, _ = h.Write(body[:56])
	switch {
	case ne.Uint64(body[56:]) != h.Sum64():
		return meta{}, errors.New("wrong checksum")
	case ne.Uint32(body[4:]) != boltVersion:
		return meta{}, fmt.Errorf("bbolt format %d", ne.Uint32(body[4:]))
	case ne.Uint64(b) != id || ne.Uint16(b[8:]) != metaFlag:
		return meta{}, errors.New("wrong page header")
	}
	m := meta{
		pageSize: ne.Uint32(body[8:]), root: ne.Uint64(body[16:]),
		freelist: ne.Uint64(body[32:]), pages: ne.Uint64(body[40:]), txid: ne.Uint64(body[48:]),
	}
	if m.pageSize < minPageSize || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0 {
		return meta{}, fmt.Errorf("a page size of %d", m.pageSize)
	}
	return m, nil
}
