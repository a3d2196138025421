package gateway

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// overrides are headers by which some frameworks (Rack, Laravel, Symfony,
// Express) take another method than the one in the request line.
var overrides = newNameSet([]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"})

// maxMethods is how many methods one request may mean: what was sent, its
// capitals, and one override.
const maxMethods = 3

var errMethods = errors.New("the method can be read in too many ways")

// methods returns every method that an app may take r for, the plainest first:
// what was sent, the same in capitals (WSGI frameworks fold it), and what an
// override names. As with the readings of a path, all of them must be allowed.
// An override is left to the app rather than stripped: clients that use one in
// good faith would see another thing done than they asked for.
func methods(r *http.Request) ([]string, error) {
	found := []string{method(r)}
	add := func(m string) error {
		if slices.Contains(found, m) {
			return nil
		}
		if len(found) == maxMethods || !validName(m) {
			return errMethods
		}
		found = append(found, m)
		return nil
	}
	if err := add(strings.ToUpper(found[0])); err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		if !overrides.has(name) {
			continue
		}
		for _, v := range values {
			if err := add(strings.ToUpper(strings.TrimSpace(v))); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// method is r's own. A WebSocket over HTTP/2 or HTTP/3 begins with an extended
// CONNECT (RFC 8441, RFC 9220), which the proxy turns into the GET of HTTP/1.1.
func method(r *http.Request) string {
	if r.Method == http.MethodConnect &&
		(r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket" || r.ProtoMajor == 3 && r.Proto == "websocket") {
		return http.MethodGet
	}
	return r.Method
}

// plainMethod reports whether m reads the same to everybody and needs no look at
// the rest of the request.
func plainMethod(m string) bool {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}
