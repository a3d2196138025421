package gateway

import (
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
)

// Outside is the way past a gate that guards only part of a site. Nothing is
// asked there, but what is ours stays ours: clients cannot send the app an
// identity around the gate, and the app neither sees nor sets our cookies.
type Outside struct {
	set *stripSet
}

// NewOutside returns the way past gates that set the named headers besides the
// default ones.
func NewOutside(headers ...string) *Outside {
	return &Outside{set: &stripSet{nameSet: newNameSet(defaultNames, pathOverrides, headers)}}
}

// Clean takes from the request what only a gate may send, in place, and returns
// the writer that the app answers to.
func (o *Outside) Clean(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	strip(r, o.set)
	cookie.Strip(r.Header)
	return &response{ResponseWriter: w}
}
