package gateway

import "strings"

// folded maps each byte of a header name to what it counts as: letters without
// case, digits, and "-" for all else. CGI and its heirs (WSGI, PHP, Rack) turn
// "-", "_" and often "." or any other sign into the same "_", so that Remote_User
// would reach the app as Remote-User.
var folded = func() (t [256]byte) {
	for i := range t {
		switch c := byte(i); {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			t[i] = c
		case c >= 'A' && c <= 'Z':
			t[i] = c + 'a' - 'A'
		default:
			t[i] = '-'
		}
	}
	return t
}()

// nameSet is a set of header names under that equality. Looking up a name that
// is not in it mostly costs one bit test.
type nameSet struct {
	names   map[string]struct{} // folded
	lengths uint64              // bit n: a name of n bytes; bit 63: of 63 and more
}

const foldedMax = 63

func newNameSet(lists ...[]string) nameSet {
	s := nameSet{names: make(map[string]struct{})}
	for _, list := range lists {
		for _, name := range list {
			s.add(name)
		}
	}
	return s
}

func (s *nameSet) add(name string) {
	s.names[fold(name)] = struct{}{}
	s.lengths |= 1 << min(len(name), foldedMax)
}

// has reports whether name is in the set in any spelling.
func (s *nameSet) has(name string) bool {
	n := len(name)
	if s.lengths&(1<<min(n, foldedMax)) == 0 {
		return false
	}
	if n >= foldedMax {
		_, ok := s.names[fold(name)]
		return ok
	}
	var buf [foldedMax]byte
	for i := range n {
		buf[i] = folded[name[i]]
	}
	_, ok := s.names[string(buf[:n])]
	return ok
}

func fold(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = folded[c]
	}
	return string(b)
}

// validName reports whether name is a token (RFC 9110 section 5.1), so that it
// can stand in a header line.
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if folded[c] == '-' && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return name != ""
}
