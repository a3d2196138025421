package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// remembered is the memory of one entry at one revision: a new revision starts
// with an empty one, so that the revision need not be in the key.
type remembered struct {
	reach  *reach
	memory *memory
}

// rememberFor makes the memory for an entry that evaluates the given rules.
// With size 0 nothing is remembered.
func rememberFor(compiler *ast.Compiler, rules []ast.Ref, size int) *remembered {
	all := &reach{}
	for _, rule := range rules {
		r := analyse(compiler, rule)
		all.never = all.never || r.never
		for _, p := range r.parts {
			if !slices.Contains(all.parts, p) {
				all.parts = append(all.parts, p)
			}
		}
	}
	if all.never {
		size = 0
	}
	return &remembered{reach: all, memory: newMemory(size)}
}

// key is what the answer to q depends on; false means that it must be evaluated.
func (r *remembered) key(dst []byte, q *decision.Question) ([]byte, bool) {
	if r.reach.never || len(r.memory.shards) == 0 {
		return nil, false
	}
	return r.reach.key(dst, q)
}
