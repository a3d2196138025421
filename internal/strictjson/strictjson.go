// Package strictjson reads JSON that strangers send more strictly than
// encoding/json does: a member that is there twice is an error and not the last
// one (two readers of one token must not see two tokens; RFC 8725 section 2.6),
// invalid UTF-8 and lone surrogates are errors and not U+FFFD, and so are deep
// nesting and numbers that a float64 cannot hold.
package strictjson

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep objects and lists may nest. Real tokens and answers need
// five.
const MaxDepth = 32

// What is wrong with a text. None of the errors holds anything of it.
var (
	ErrSyntax = errors.New("it is not the JSON that is expected")
	ErrTwice  = errors.New("a JSON object has the same member twice")
	ErrDeep   = errors.New("its JSON is nested too deeply")
	ErrText   = errors.New("its JSON is not proper Unicode")
	ErrRange  = errors.New("its JSON has a number out of range")
)

// Object reads one JSON object, and nothing beside it but white space.
func Object(text string) (map[string]any, error) {
	v, err := Value(text)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, ErrSyntax
	}
	return object, nil
}

// Value reads one JSON value of any kind, and nothing beside it but white space.
// Whole numbers become json.Number, exactly as written; others float64. Strings
// share the memory of text.
func Value(text string) (any, error) {
	r := reader{text: text}
	v, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if r.space(); r.at != len(text) {
		return nil, ErrSyntax
	}
	return v, nil
}

// reader goes through a text once.
type reader struct {
	text string
	at   int
}

// peek is the next byte, 0 at the end: no token of JSON begins with NUL.
func (r *reader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// take skips c, after white space, if it is next.
func (r *reader) take(c byte) bool {
	r.space()
	if r.peek() != c {
		return false
	}
	r.at++
	return true
}

func (r *reader) value(depth int) (any, error) {
	r.space()
	switch c := r.peek(); {
	case c == '{' || c == '[':
		if depth++; depth > MaxDepth {
			return nil, ErrDeep
		}
		r.at++
		if c == '{' {
			return r.object(depth)
		}
		return r.list(depth)
	case c == '"':
		return r.quoted()
	case c == '-' || '0' <= c && c <= '9':
		return r.number()
	}
	for _, w := range [...]struct {
		word  string
		value any
	}{{"true", true}, {"false", false}, {"null", nil}} {
		if strings.HasPrefix(r.text[r.at:], w.word) {
			r.at += len(w.word)
			return w.value, nil
		}
	}
	return nil, ErrSyntax
}

func (r *reader) object(depth int) (any, error) {
	object := map[string]any{}
	if r.take('}') {
		return object, nil
	}
	for {
		r.space()
		if r.peek() != '"' {
			return nil, ErrSyntax
		}
		name, err := r.quoted()
		if err != nil {
			return nil, err
		}
		if _, twice := object[name]; twice {
			return nil, ErrTwice
		}
		if !r.take(':') {
			return nil, ErrSyntax
		}
		if object[name], err = r.value(depth); err != nil {
			return nil, err
		}
		if r.take(',') {
			continue
		}
		if r.take('}') {
			return object, nil
		}
		return nil, ErrSyntax
	}
}

func (r *reader) list(depth int) (any, error) {
	list := []any{}
	if r.take(']') {
		return list, nil
	}
	for {
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if r.take(',') {
			continue
		}
		if r.take(']') {
			return list, nil
		}
		return nil, ErrSyntax
	}
}

// number reads by the grammar of RFC 8259 section 6.
func (r *reader) number() (any, error) {
	start := r.at
	if r.peek() == '-' {
		r.at++
	}
	whole := r.digits()
	if len(whole) == 0 || len(whole) > 1 && whole[0] == '0' {
		return nil, ErrSyntax
	}
	exact := true
	if r.peek() == '.' {
		r.at++
		exact = false
		if r.digits() == "" {
			return nil, ErrSyntax
		}
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.at++
		exact = false
		if c := r.peek(); c == '+' || c == '-' {
			r.at++
		}
		if r.digits() == "" {
			return nil, ErrSyntax
		}
	}
	text := r.text[start:r.at]
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil: // infinite: nothing else is left to go wrong
		return nil, ErrRange
	case !exact:
		return f, nil
	case text == "-0":
		return json.Number("0"), nil
	}
	return json.Number(text), nil
}

func (r *reader) digits() string {
	start := r.at
	for '0' <= r.peek() && r.peek() <= '9' {
		r.at++
	}
	return r.text[start:r.at]
}

// quoted reads a string. Most have no escapes and are not copied.
func (r *reader) quoted() (string, error) {
	r.at++
	start, escaped := r.at, false
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			s := r.text[start:r.at]
			r.at++
			if !utf8.ValidString(s) {
				return "", ErrText
			}
			if escaped {
				return unescape(s)
			}
			return s, nil
		case c == '\\':
			escaped = true
			r.at++ // whatever it escapes is not the end
		case c < ' ':
			return "", ErrSyntax
		}
	}
	return "", ErrSyntax
}
