package jwt

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

const (
	// maxKeys is how many keys a set may have.
	maxKeys = 100
	// maxTries is how many keys are tried for a token that does not name its own.
	maxTries = 4
)

// Set is the public keys of one issuer at one time. It does not change, so its
// address tells whether the keys are still the same.
type Set struct {
	keys  []*key
	byID  map[string]*key
	twice map[string]bool // kids of two different keys: nobody can tell which is meant
	print string
}

// skipped is a key of a set that cannot be used, and why.
type skipped struct{ kid, reason string }

func newSet(keys []*key) *Set {
	s := &Set{byID: map[string]*key{}, twice: map[string]bool{}}
	prints := make([]string, 0, len(keys))
	for _, k := range keys {
		if slices.Contains(prints, k.print) {
			continue
		}
		prints = append(prints, k.print)
		s.keys = append(s.keys, k)
		if k.id == "" {
			continue
		}
		if s.byID[k.id] != nil {
			s.twice[k.id] = true
		}
		s.byID[k.id] = k
	}
	slices.Sort(prints)
	s.print = strings.Join(prints, "\n")
	return s
}

// candidates are the keys that may have signed a token of this kid ("" for none)
// and algorithm. settled means that no other set would know the kid better.
func (s *Set) candidates(kid, algorithm string) (keys []*key, settled bool) {
	if k := s.byID[kid]; kid != "" && k != nil {
		if s.twice[kid] || !k.fits(algorithm) {
			return nil, true
		}
		return []*key{k}, true
	}
	for _, k := range s.keys {
		// A key without a name may be the one that is meant; one of another name
		// is not.
		if (kid == "" || k.id == "") && k.fits(algorithm) && len(keys) < maxTries {
			keys = append(keys, k)
		}
	}
	return keys, false
}

// has reports whether the set has a key, whatever its kid and alg are now.
func (s *Set) has(bare string) bool {
	return slices.ContainsFunc(s.keys, func(k *key) bool { return k.bare == bare })
}

// parseJWKS reads a key set (RFC 7517 section 5). Keys that cannot be used are
// skipped; a set in which nothing is left is an error.
func parseJWKS(data []byte) (*Set, []skipped, error) {
	doc, err := strictjson.Object(string(data))
	if err != nil {
		return nil, nil, err
	}
	list, ok := doc["keys"].([]any)
	switch {
	case !ok:
		return nil, nil, errors.New(`it has no list "keys"`)
	case len(list) > maxKeys:
		return nil, nil, fmt.Errorf("it has %d keys, more than %d", len(list), maxKeys)
	}
	var keys []*key
	var out []skipped
	for _, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			out = append(out, skipped{reason: "it is not an object"})
			continue
		}
		k, err := parseJWK(m)
		if err != nil {
			kid, _ := m["kid"].(string)
			out = append(out, skipped{kid: kid, reason: err.Error()})
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, out, errors.New("it has no key that could be used" + why(out))
	}
	set := newSet(keys)
	for _, id := range slices.Sorted(maps.Keys(set.twice)) {
		out = append(out, skipped{kid: id, reason: "there are different keys of this kid"})
	}
	return set, out, nil
}

// why says what was wrong with the first key that was skipped.
func why(out []skipped) string {
	if len(out) == 0 {
		return ""
	}
	return ": " + out[0].reason
}
