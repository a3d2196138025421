package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// AddRules adds the allow and deny lines of one site as the package pkg. After a
// load they are in force when it returns nil, and nothing changes on an error. It
// belongs before Watch, so that one configuration is reported as one revision.
func (e *Engine) AddRules(pkg string, allow, deny []Line) error {
	if _, err := packageRef(pkg); err != nil {
		return err
	}
	text, err := CompileRules(pkg, allow, deny)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.ContainsFunc(e.rules, func(r siteRules) bool { return r.pkg == pkg }) {
		return fmt.Errorf("package %s has allow and deny lines already", pkg)
	}
	rules := append(e.rules[:len(e.rules):len(e.rules)], siteRules{pkg: pkg, text: text})
	if e.src != nil {
		if err := e.build(context.Background(), e.src, rules); err != nil {
			return err
		}
	}
	e.rules = rules
	return nil
}

// Load reads everything, checks it, and puts it in force as a whole. On an error
// what was in force before stays so. Every entry handed out must exist.
func (e *Engine) Load(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	return e.load(ctx)
}

func (e *Engine) load(ctx context.Context) error {
	src, err := readSources(ctx, e.dirs)
	if err == nil {
		e.tried = src.print
		err = e.build(ctx, src, e.rules)
	} else if seen, lookErr := look(e.dirs); lookErr == nil && !errors.Is(err, errMoving) {
		e.tried = seen.print // not to be read again until it changes
	}
	if err != nil {
		e.report(err)
		return err
	}
	e.src = src
	if e.Status().Err != nil { // back to the words that are in force
		e.report(nil)
	}
	return nil
}

// build compiles a set and swaps it in. The caller holds mu.
func (e *Engine) build(ctx context.Context, src *sources, rules []siteRules) error {
	set, err := compile(ctx, src, e.builtin, rules)
	if err != nil {
		return err
	}
	if old := e.current.Load(); old != nil && old.revision == set.revision {
		return nil // the same words: keep what is remembered
	}
	next := &generation{compiled: set, programs: map[string]*program{}, loaded: e.clock()}
	var errs []error
	for _, pkg := range slices.Sorted(maps.Keys(e.entries)) {
		p, err := set.prepare(pkg, e.remember)
		errs = append(errs, err)
		next.programs[pkg] = p
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	e.current.Store(next)
	e.report(nil)
	return nil
}
