package policy

import "slices"

// inputNeeds says which fields of the input a program can read. What it cannot
// read is not built: that would cost more than many a decision.
type inputNeeds struct {
	fields [fieldCount]bool
	names  *neededNames // nil: all of them
	clock  *lastClock   // nil: built each time
}

// neededNames are the headers (canonical) and query parameters that a program
// can read; nil: any.
type neededNames struct{ headers, query []string }

var everything = func() (n inputNeeds) {
	for f := range n.fields {
		n.fields[f] = true
	}
	return n
}()

// needed follows from what the program was found to reach.
func (r *reach) needed() inputNeeds {
	if r.never { // it may read anything
		return everything
	}
	n := inputNeeds{names: &neededNames{headers: []string{}, query: []string{}}, clock: &lastClock{}}
	for _, p := range r.parts {
		n.fields[p.field] = true
		switch p.field {
		case requestHeaders:
			n.names.headers = also(n.names.headers, p.name)
		case requestQuery:
			n.names.query = also(n.names.query, p.name)
		}
	}
	return n
}

// also adds a name to those needed. With no name all are, from then on.
func also(names []string, name string) []string {
	if names == nil || name == "" {
		return nil
	}
	return append(names, name)
}

func (n *neededNames) forHeaders() []string {
	if n == nil {
		return nil
	}
	return n.headers
}

func (n *neededNames) forQuery() []string {
	if n == nil {
		return nil
	}
	return n.query
}

// named reports whether one of the names of a field is needed.
func named(names []string, name string) bool {
	return names == nil || slices.Contains(names, name)
}
