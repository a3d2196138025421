package portal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// readJSON takes one flat object of strings and booleans, and what allowed says
// besides. It reads token by token: encoding/json would take the last of two
// equal names and match names in any case, so that two readers of one body could
// see two things; and nothing nested is ever followed.
func readJSON(body []byte, allowed fields) (form, error) {
	notJSON := errForm{"The body is not one flat JSON object."}
	if !utf8.Valid(body) {
		return form{}, notJSON
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return form{}, notJSON
	}
	in := form{input: input{}}
	for dec.More() {
		t, err := dec.Token()
		name, isName := t.(string)
		if err != nil || !isName {
			return form{}, notJSON
		}
		value, err := dec.Token()
		if err != nil {
			return form{}, notJSON
		}
		if allowed.many != "" && name == allowed.many {
			err = in.readArray(dec, name, value)
		} else {
			err = in.readValue(name, value, allowed)
		}
		if err != nil {
			return form{}, err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return form{}, notJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return form{}, notJSON
	}
	return in, nil
}

// readValue takes the value of a field that may come once.
func (f *form) readValue(name string, value json.Token, allowed fields) error {
	switch value := value.(type) {
	case string:
		return f.add(name, value, allowed)
	case bool:
		if value {
			return f.add(name, on, allowed)
		}
		return f.add(name, "", allowed)
	case json.Number:
		if allowed.number != "" && name == allowed.number {
			return f.add(name, value.String(), allowed)
		}
	}
	return errForm{fmt.Sprintf("The field %q must be a string, or true or false.", name)}
}

// readArray takes an array of strings, whose first token is start.
func (f *form) readArray(dec *json.Decoder, name string, start json.Token) error {
	noArray := errForm{fmt.Sprintf("The field %q must be an array of strings.", name)}
	if f.many != nil {
		return errTwice(name)
	}
	if start != json.Delim('[') {
		return noArray
	}
	f.many = []string{} // an empty array was sent, too
	for dec.More() {
		t, err := dec.Token()
		value, isText := t.(string)
		if err != nil || !isText {
			return noArray
		}
		if err := f.addMany(name, value); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return noArray
	}
	return nil
}
