package gateway

import (
	"maps"
	"net/http"
	"slices"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
)

// Outside is the way past a gate that guards only part of a site. Nothing is
// asked there, but what is ours stays ours: clients cannot send the app an
// identity around the gate, and the app neither sees nor sets our cookies.
type Outside struct {
	set       *stripSet
	others    others
	keyHeader string
	isKey     func(text string) bool
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

// Keys returns o, which from now on also keeps keys from the app: header and isKey
// are Options.KeyHeader and Options.IsKey.
func (o *Outside) Keys(header string, isKey func(text string) bool) *Outside {
	if o.keyHeader, o.isKey = header, isKey; header != "" {
		o.set.add(header)
	}
	return o
}

// KeyInAddress reports whether a request has a key in its address, which the app
// would see. The answer to it is the function of that name.
func (o *Outside) KeyInAddress(r *http.Request) bool { return keyInQuery(r.URL.RawQuery, o.isKey) }

// Passage is one request on its way past a gate.
type Passage struct {
	Writer http.ResponseWriter // what the app answers to

	response response
	taken    http.Header // credentials, as they were sent
	before   *Passage
}

// Clean takes from the request what only a gate may send, in place.
func (o *Outside) Clean(w http.ResponseWriter, r *http.Request) *Passage {
	p := &Passage{taken: o.take(r.Header)}
	strip(r, o.set)
	o.others.strip(r, &o.set.nameSet, nil)
	cookie.Strip(r.Header)
	p.response.ResponseWriter = w
	p.Writer = &p.response
	return p
}

// take returns the credentials of a request that a gate further in may need, and
// takes off those that the app must not see.
func (o *Outside) take(h http.Header) http.Header {
	taken := http.Header{}
	if cookies := h["Cookie"]; len(cookies) > 0 {
		taken["Cookie"] = slices.Clone(cookies) // they are stripped in place
	}
	if key := h[o.keyHeader]; len(key) > 0 {
		taken[o.keyHeader] = key
	}
	if sent := h["Authorization"]; slices.ContainsFunc(sent, func(s string) bool { return holdsKey(s, o.isKey) }) {
		taken["Authorization"] = sent
		delete(h, "Authorization")
	}
	return taken
}

// Enter is for a request that meets a gate after all, further in: the gate needs
// the credentials, and from now on it guards the answer.
func (p *Passage) Enter(r *http.Request) {
	maps.Copy(r.Header, p.taken)
	for ; p != nil; p = p.before {
		p.response.open = true
	}
}

// After makes p the continuation of a passage that the request is in already:
// that one has taken the credentials off. before may be nil.
func (p *Passage) After(before *Passage) {
	if before != nil {
		p.before, p.taken = before, before.taken
	}
}

// Close must be called once the app has answered, before the server finishes the
// response: it cleans the header of an app that wrote nothing, and trailers.
func (p *Passage) Close() { p.response.finish() }
