package gateway

import (
	"net/http"
	"slices"
	"sync/atomic"
	"unsafe"
)

// others are the header names that gates of other parts or sites set: through
// this one they would reach the same app from the client.
type others struct {
	fixed    []string        // of their own headers blocks
	policies func() []string // of their policies, as in Options.PolicyHeaders; nil: none
	set      atomic.Pointer[othersSet]
}

type othersSet struct {
	stripSet
	except []string // names of this gate's policy, which are not others'
}

// names returns the set in force now, without what own and except hold, or nil
// when nothing is left. It is rebuilt when the names have changed.
func (o *others) names(own *nameSet, except []string) *stripSet {
	var policies []string
	if o.policies != nil {
		policies = o.policies()
	}
	s := o.set.Load()
	if s == nil || !same(s.policy, policies) || !same(s.except, except) {
		s = o.build(own, policies, except)
		o.set.Store(s)
	}
	if len(s.names) == 0 {
		return nil
	}
	return &s.stripSet
}

func (o *others) build(own *nameSet, policies, except []string) *othersSet {
	mine := newNameSet(except)
	var names []string
	for _, name := range slices.Concat(o.fixed, policies) {
		// Credentials are this gate's own matter: see Options.PassAuthorization.
		if !own.has(name) && !mine.has(name) && !credentials.has(name) {
			names = append(names, name)
		}
	}
	return &othersSet{stripSet: stripSet{nameSet: newNameSet(names), policy: policies}, except: except}
}

// strip takes them from a request.
func (o *others) strip(r *http.Request, own *nameSet, except []string) *stripSet {
	set := o.names(own, except)
	if set != nil {
		strip(r, set)
	}
	return set
}

// same reports whether a and b are one slice, which whoever returned it does not
// change.
func same(a, b []string) bool {
	return len(a) == len(b) && unsafe.SliceData(a) == unsafe.SliceData(b)
}
