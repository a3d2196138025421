package caddymodule

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-proxy/gatehouse/config"
)

// block reads one { … } of options, and remembers where each one stood, so that
// what the configuration says about a field is told with its file and line.
type block struct {
	*caddyfile.Dispenser

	field string                         // path of the block's fields: "sessions", "jwt[0]"
	at    map[string]caddyfile.Dispenser // field -> where it was given

	// elsewhere are the options that belong to another place, by its name, for
	// those who write them here.
	elsewhere map[string][]option
}

// option is one word that may stand in a block.
type option struct {
	name  string
	parse func() error // reads what follows the name; must leave nothing on the line

	repeat  bool   // may stand more than once
	instead string // a word of a later version: what to do without it
}

func newBlock(d *caddyfile.Dispenser) *block {
	b := &block{Dispenser: d, at: map[string]caddyfile.Dispenser{}}
	b.note("")
	return b
}

// inner is a block within b, which shares its memory.
func (b *block) inner(field string) *block {
	return &block{Dispenser: b.Dispenser, field: b.path(field), at: b.at}
}

// note remembers that the token at hand is where a field is given.
func (b *block) note(field string) { b.at[b.path(field)] = *b.Dispenser }

func (b *block) path(field string) string {
	if b.field == "" || field == "" {
		return b.field + field
	}
	return b.field + "." + field
}

// name is what messages call a field of the block.
func (b *block) name(field string) string {
	return positions.ReplaceAllString(b.path(field), "")
}

// read reads the block that may open here. Nothing is skipped: a word that is
// unknown, comes twice, or has more after it than it takes is an error.
func (b *block) read(options []option) error {
	seen := map[string]int{}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		name := b.Val()
		o, err := b.find(name, options)
		if err != nil {
			return err
		}
		if line, twice := seen[name]; twice && !o.repeat {
			return b.Errf("%s is given twice, first on line %d: keep one of them", b.name(name), line)
		}
		seen[name] = b.Line()
		if err := o.parse(); err != nil {
			return err
		}
		if b.NextArg() {
			return b.Errf("%s is followed by more than it takes: remove what is too much, or put a value with spaces in quotes", b.name(name))
		}
		if b.opens() {
			return b.Errf("%s takes no block: remove the braces", b.name(name))
		}
	}
	return nil
}

func (b *block) find(name string, options []option) (*option, error) {
	var names []string
	for i := range options {
		switch o := &options[i]; {
		case o.name == name && o.instead != "":
			return nil, b.Err(config.Unavailable(b.name(name), o.instead))
		case o.name == name:
			return o, nil
		case o.instead == "":
			names = append(names, o.name)
		}
	}
	for place, others := range b.elsewhere {
		if slices.ContainsFunc(others, func(o option) bool { return o.name == name }) {
			return nil, b.Errf("%s belongs to %s: move it there", name, place)
		}
	}
	kind := "option"
	if b.field != "" {
		kind += " of " + b.name("")
	}
	// A secret on a line of its own, after a line break too many, is no word.
	if !word.MatchString(name) {
		return nil, b.Errf("this is no %s: write %s", kind, config.List(names))
	}
	return nil, b.Err(config.Unknown(kind, name, names))
}

var word = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,39}$`)

// opens reports whether a block follows on this line; it moves nothing.
func (b *block) opens() bool {
	ahead := *b.Dispenser
	return ahead.NextBlock(ahead.Nesting()) || ahead.Val() == "}" && b.Val() != "}" // the second: an empty block
}

// one reads the single value of an option.
func (b *block) one(field, example string) (string, error) {
	b.note(field)
	args := b.RemainingArgs()
	if len(args) != 1 || args[0] == "" {
		return "", b.Errf("%s needs one value: write %s %s", b.name(field), field, example)
	}
	return args[0], nil
}

// duration reads the single value of an option that is a length of time. Zero
// would mean the default in JSON, so it is refused rather than misread.
func (b *block) duration(field, example string, to *config.Duration) error {
	text, err := b.one(field, example)
	if err != nil {
		return err
	}
	if *to, err = config.ParseDuration(text); err != nil {
		return b.Errf("%s: %v", b.name(field), err)
	}
	if *to == 0 {
		return b.Errf("%s: %s is no time at all: write %s %s, or leave it out", b.name(field), text, field, example)
	}
	return nil
}

// explain adds file and line to what the configuration says about a field.
func (b *block) explain(err error) error {
	var e *config.Error
	if !errors.As(err, &e) {
		return err
	}
	where := e.Field
	for where != "" {
		if _, found := b.at[where]; found {
			break
		}
		where = where[:max(strings.LastIndexAny(where, ".["), 0)]
	}
	d := b.at[where]
	return d.Errf("%s: %s", positions.ReplaceAllString(e.Field, ""), e.Reason)
}

// positions are the [n] in a field's path, for which the line stands here.
var positions = regexp.MustCompile(`\[\d+\]`)
