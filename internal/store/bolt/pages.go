package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

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
