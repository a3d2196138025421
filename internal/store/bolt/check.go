package bolt

import (
	"bytes"
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

// checker walks the pages of one file.
type checker struct {
	r      io.ReaderAt
	meta   meta
	seen   []bool          // by page: already part of something
	top    map[string]bool // buckets at the top
	format string          // of the meta bucket
}

// page reads a page with its overflow and claims them, so that no page is met
// twice and the walk ends.
func (c *checker) page(id uint64) ([]byte, error) {
	if id < 2 || id >= c.meta.pages {
		return nil, fmt.Errorf("a reference to page %d of %d", id, c.meta.pages)
	}
	head := make([]byte, pageHead)
	offset := int64(id) * int64(c.meta.pageSize)
	if _, err := c.r.ReadAt(head, offset); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if got := binary.NativeEndian.Uint64(head); got != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, got)
	}
	span := uint64(binary.NativeEndian.Uint32(head[12:])) + 1
	if span > c.meta.pages-id {
		return nil, fmt.Errorf("page %d runs past the end", id)
	}
	for i := id; i < id+span; i++ {
		if c.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		c.seen[i] = true
	}
	b := make([]byte, span*uint64(c.meta.pageSize))
	if _, err := c.r.ReadAt(b, offset); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return b, nil
}

// freelist checks the list of free pages, which only a file has that was never
// written to since bbolt made it.
func (c *checker) freelist() error {
	if c.meta.freelist == noFreelist {
		return nil
	}
	b, err := c.page(c.meta.freelist)
	if err != nil {
		return err
	}
	if binary.NativeEndian.Uint16(b[8:]) != freelistFlag {
		return fmt.Errorf("page %d is no list of free pages", c.meta.freelist)
	}
	count, at := uint64(binary.NativeEndian.Uint16(b[10:])), uint64(pageHead)
	if count == 0xFFFF {
		count, at = binary.NativeEndian.Uint64(b[at:]), at+8
	}
	if count > (uint64(len(b))-at)/8 {
		return errors.New("the list of free pages is too long")
	}
	for i := range count {
		id := binary.NativeEndian.Uint64(b[at+8*i:])
		if id < 2 || id >= c.meta.pages || c.seen[id] {
			return fmt.Errorf("page %d is listed as free", id)
		}
		c.seen[id] = true
	}
	return nil
}

// tree checks the page id and all below it. Its keys must be at least low and
// below high (nil: no bound). bucket is the name of the bucket it belongs to.
func (c *checker) tree(id uint64, bucket string, low, high []byte, depth int) error {
	if depth > maxDepth {
		return errors.New("its pages are nested too deep")
	}
	b, err := c.page(id)
	if err != nil {
		return err
	}
	return c.node(b, id, bucket, low, high, depth)
}

// node checks the content of one page, or of a small bucket kept inside a leaf.
func (c *checker) node(b []byte, id uint64, bucket string, low, high []byte, depth int) error {
	ne := binary.NativeEndian
	flags, count := ne.Uint16(b[8:]), int(ne.Uint16(b[10:]))
	if flags != leafFlag && flags != branchFlag {
		return fmt.Errorf("page %d is of kind %#x", id, flags)
	}
	if count == 0 && (depth > 0 || flags == branchFlag) {
		return fmt.Errorf("page %d has nothing in it", id)
	}
	end := pageHead + count*elementSize
	if end > len(b) {
		return fmt.Errorf("page %d should hold %d elements", id, count)
	}
	type child struct {
		id  uint64
		key []byte
	}
	var children []child
	last := low
	for i := range count {
		at := pageHead + i*elementSize
		e := b[at : at+elementSize]
		var flag uint32
		var posField, keyField int
		var valueSize uint64
		if flags == leafFlag {
			flag, posField, keyField, valueSize = ne.Uint32(e), 4, 8, uint64(ne.Uint32(e[12:]))
		} else {
			posField, keyField = 0, 4
		}
		keySize := uint64(ne.Uint32(e[keyField:]))
		if uint64(at)+uint64(ne.Uint32(e[posField:])) != uint64(end) || keySize == 0 ||
			uint64(end)+keySize+valueSize > uint64(len(b)) {
			return fmt.Errorf("element %d of page %d is out of place", i, id)
		}
		key := b[end : end+int(keySize)]
		value := b[end+int(keySize) : end+int(keySize+valueSize)]
		end += int(keySize + valueSize)
		if order := bytes.Compare(last, key); order > 0 || order == 0 && i > 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("the keys of page %d are out of order", id)
		}
		last = key
		if flags == branchFlag {
			children = append(children, child{ne.Uint64(e[8:]), key})
			continue
		}
		if err := c.leaf(bucket, flag, key, value); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
	}
	if span := (end + int(c.meta.pageSize) - 1) / int(c.meta.pageSize); id != 0 && span*int(c.meta.pageSize) != len(b) {
		return fmt.Errorf("page %d is longer than what it holds", id)
	}
	for _, rest := range b[end:] {
		if rest != 0 {
			return fmt.Errorf("page %d holds more than it lists", id)
		}
	}
	for i, ch := range children {
		bound := high
		if i+1 < len(children) {
			bound = children[i+1].key
		}
		if err := c.tree(ch.id, bucket, ch.key, bound, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// leaf checks one pair, or one bucket at the top.
func (c *checker) leaf(bucket string, flag uint32, key, value []byte) error {
	switch {
	case bucket != "" && flag == 0:
		if bucket == string(metaBucket) && string(key) == string(formatKey) {
			c.format = string(value)
		}
		return checkRecord(bucket, key, value)
	case bucket != "" && flag == bucketFlag:
		return fmt.Errorf("%w: buckets in buckets", errForeign)
	case bucket == "" && flag == bucketFlag:
		if len(value) < bucketHead {
			return errors.New("a bucket without a header")
		}
		name := string(key)
		c.top[name] = true
		root := binary.NativeEndian.Uint64(value)
		if root != 0 {
			if len(value) != bucketHead {
				return errors.New("a bucket with more than a header")
			}
			return c.tree(root, name, nil, nil, 0)
		}
		inline := value[bucketHead:]
		if len(inline) < pageHead || binary.NativeEndian.Uint64(inline) != 0 || binary.NativeEndian.Uint32(inline[12:]) != 0 ||
			binary.NativeEndian.Uint16(inline[8:]) != leafFlag {
			return errors.New("a small bucket with a wrong header")
		}
		return c.node(inline, 0, name, nil, nil, 0)
	}
	return fmt.Errorf("a leaf of kind %#x", flag)
}
