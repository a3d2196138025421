package gateway

import (
	"net/http"
	"slices"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
)

// Outside is the way past a gate that guards only part of a site. Nothing is
// asked there, but what is ours stays ours: clients cannot send the app an
// identity around the gate, and the app neither sees nor sets our cookies.
type Outside struct {
	set    *stripSet
	others others
}

// NewOutside returns the way past gates that set the named headers besides the
// default ones.
func NewOutside(headers ...string) *Outside {
	return &Outside{set: &stripSet{nameSet: newNameSet(defaultNames, pathOverrides, headers)}}
}

// Policies returns o, which from now on also strips the headers that policies can
// set: names is as Options.PolicyHeaders.
func (o *Outside) Policies(names func() []string) *Outside {
	o.others.policies = names
	return o
}

// Passage is one request on its way past a gate.
type Passage struct {
	Writer http.ResponseWriter // what the app answers to

	response response
	cookies  []string
	before   *Passage
}

// Clean takes from the request what only a gate may send, in place.
func (o *Outside) Clean(w http.ResponseWriter, r *http.Request) *Passage {
	p := &Passage{cookies: slices.Clone(r.Header["Cookie"])}
	strip(r, o.set)
	o.others.strip(r, &o.set.nameSet, nil)
	cookie.Strip(r.Header)
	p.response.ResponseWriter = w
	p.Writer = &p.response
	return p
}

// Enter is for a request that meets a gate after all, further in: the gate needs
// the cookies, and from now on it guards the answer.
func (p *Passage) Enter(r *http.Request) {
	if len(p.cookies) > 0 {
		r.Header["Cookie"] = p.cookies
	}
	for ; p != nil; p = p.before {
		p.response.open = true
	}
}

// After makes p the continuation of a passage that the request is in already:
// that one has taken the cookies off. before may be nil.
func (p *Passage) After(before *Passage) {
	if before != nil {
		p.before, p.cookies = before, before.cookies
	}
}

// Close must be called once the app has answered, before the server finishes the
// response: it cleans the header of an app that wrote nothing, and trailers.
func (p *Passage) Close() { p.response.finish() }
