// Package config is the typed configuration of Gatehouse: one struct a block,
// each field with its meaning, default and unit. The same structs are the JSON
// that Caddy runs and what its Caddyfile is translated into.
//
// It owns what a value may be and which values contradict each other. It knows
// neither Caddy nor the parts that it configures: it opens no file and no
// connection, so that a configuration can be checked beside a live server.
//
// The way through: decode, [App.Validate] and [Site.Validate], [App.Resolve] and
// [Site.Resolve] to fill in {env.NAME} and {file.PATH}, Validate once more, and
// [App.WithDefaults]. A field that was left out keeps its zero value until then.
package config

import (
	"errors"
	"fmt"
)

// Error is a value that cannot be used.
type Error struct {
	Field  string // the path of the field in the JSON, "sessions.idle_timeout"
	Reason string // what is wrong and what to write; never holds a secret
}

// Error returns "<field>: <reason>".
func (e *Error) Error() string { return e.Field + ": " + e.Reason }

func fault(field, format string, args ...any) error {
	return &Error{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// under puts a block's name before the field that an error names.
func under(block string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{Field: block + "." + e.Field, Reason: e.Reason}
	}
	return err
}

// Unavailable is the sentence for a part of the grammar that this version does
// not have yet: what it is, and what to do instead.
func Unavailable(what, instead string) string {
	return what + " is not available in this version of Gatehouse: " + instead
}
