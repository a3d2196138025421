package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep objects and lists may nest. Real answers need five.
const maxDepth = 32

var (
	errSyntax = errors.New("it is not the JSON that is expected")
	errTwice  = errors.New("a JSON object has the same member twice")
	errDeep   = errors.New("its JSON is nested too deeply")
	errText   = errors.New("its JSON is not proper Unicode")
	errRange  = errors.New("its JSON has a number out of range")
)

// parseObject reads one JSON object, more strictly than encoding/json: a member
// that is there twice is an error and not the last one (two readers of one
// answer must not see two answers), invalid UTF-8 and lone surrogates are errors
// and not U+FFFD, and so are deep nesting and numbers that a float64 cannot hold.
// Whole numbers become json.Number, exactly as written; others float64.
func parseObject(data []byte) (map[string]any, error) {
	v, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errSyntax
	}
	return object, nil
}

func parseJSON(data []byte) (any, error) {
	if !utf8.Valid(data) || !wholeSurrogates(data) {
		return nil, errText
	}
	if !json.Valid(data) { // also: nothing follows
		return nil, errSyntax
	}
	r := reader{json.NewDecoder(bytes.NewReader(data))}
	r.UseNumber()
	return r.value(0)
}

// reader goes through valid JSON once.
type reader struct{ *json.Decoder }

func (r reader) value(depth int) (any, error) {
	token, err := r.Token()
	if err != nil {
		return nil, errSyntax
	}
	switch v := token.(type) {
	case json.Number:
		return number(v)
	case json.Delim:
		if depth++; depth > maxDepth {
			return nil, errDeep
		}
		if v == '{' {
			return r.object(depth)
		}
		return r.list(depth)
	}
	return token, nil
}

func (r reader) object(depth int) (any, error) {
	object := map[string]any{}
	for r.More() {
		token, err := r.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errSyntax
		}
		if _, twice := object[name]; twice {
			return nil, errTwice
		}
		if object[name], err = r.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := r.Token() // its end
	return object, err
}

func (r reader) list(depth int) (any, error) {
	list := []any{}
	for r.More() {
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := r.Token()
	return list, err
}

func number(n json.Number) (any, error) {
	f, err := strconv.ParseFloat(string(n), 64)
	switch {
	case err != nil: // infinite: nothing else is left to go wrong
		return nil, errRange
	case strings.ContainsAny(string(n), ".eE"):
		return f, nil
	case n == "-0":
		return json.Number("0"), nil
	}
	return n, nil
}

// wholeSurrogates reports whether each \u escape of one half of a pair has its
// other half. In valid JSON a backslash occurs in strings only.
func wholeSurrogates(data []byte) bool {
	for at := 0; at < len(data); at++ {
		if data[at] != '\\' {
			continue
		}
		at++
		unit, ok := escape(data[at:])
		if !ok || !utf16.IsSurrogate(unit) {
			continue
		}
		const length = len("uXXXX")
		if at+length >= len(data) || data[at+length] != '\\' {
			return false
		}
		low, ok := escape(data[at+length+1:])
		if !ok || utf16.DecodeRune(unit, low) == utf8.RuneError {
			return false
		}
		at += 2 * length
	}
	return true
}

// escape is the UTF-16 unit of text that begins with uXXXX.
func escape(text []byte) (rune, bool) {
	if len(text) < 5 || text[0] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(text[1:5]), 16, 16)
	return rune(unit), err == nil
}

// stringIn returns a member that must be a string if it is there; "" when it is
// not there, or null.
func stringIn(m map[string]any, name string) (string, bool) {
	v := m[name]
	s, ok := v.(string)
	return s, ok || v == nil
}
