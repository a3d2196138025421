package portal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// maxBody is the most that a form may weigh, in bytes.
const maxBody = 16 << 10

// on is the value of a ticked box, in a form and for true in JSON.
const on = "on"

// input holds the fields of a form; absent ones are empty.
type input map[string]string

// errForm is a body that could be read but is no form of ours; its text is
// ours, and fit to be shown.
type errForm struct{ text string }

func (e errForm) Error() string { return e.text }

// read takes the body of a POST as a form or as JSON, with the named fields and
// no others, each at most once. It answers bad bodies itself, with ok false.
func (p *Portal) read(v *visit, names ...string) (in input, ok bool) {
	bad := problem.Problem{Status: http.StatusBadRequest, Kind: problem.BadRequest}
	if v.r.Header.Get("Content-Encoding") != "" {
		bad.Status, bad.Detail = http.StatusUnsupportedMediaType, "Send the body without a content encoding."
		p.fail(v, bad)
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		bad.Status, bad.Detail = http.StatusRequestEntityTooLarge, fmt.Sprintf("At most %d bytes are taken.", maxBody)
		p.fail(v, bad)
		return nil, false
	} else if err != nil {
		bad.Detail = "The request ended too early."
		p.fail(v, bad)
		return nil, false
	}
	kind := v.r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(kind)
	if charset := params["charset"]; err == nil && charset != "" && !strings.EqualFold(charset, "utf-8") {
		err = errForm{"another charset"}
	}
	switch {
	case len(body) == 0 && kind == "":
		return input{}, true
	case err == nil && media == "application/x-www-form-urlencoded":
		in, err = readForm(body, names)
	case err == nil && media == "application/json":
		in, err = readJSON(body, names)
	default:
		bad.Status = http.StatusUnsupportedMediaType
		bad.Detail = "Send application/x-www-form-urlencoded or application/json, in UTF-8."
		p.fail(v, bad)
		return nil, false
	}
	if err != nil {
		bad.Detail = err.Error()
		p.fail(v, bad)
		return nil, false
	}
	return in, true
}

func readForm(body []byte, names []string) (input, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errForm{"The form is not well formed."}
	}
	in := make(input, len(values))
	for name, all := range values {
		if err := in.add(name, all[0], names); err != nil {
			return nil, err
		}
		if len(all) > 1 {
			return nil, errForm{fmt.Sprintf("The field %q was sent more than once.", name)}
		}
	}
	return in, nil
}

// readJSON takes one flat object of strings and booleans. It reads token by
// token: encoding/json would take the last of two equal names and match names
// in any case, so that two readers of one body could see two things; and nothing
// nested is ever followed.
func readJSON(body []byte, names []string) (input, error) {
	notJSON := errForm{"The body is not one flat JSON object."}
	if !utf8.Valid(body) {
		return nil, notJSON
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, notJSON
	}
	in := input{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, notJSON
		}
		value, err := dec.Token()
		if err != nil {
			return nil, notJSON
		}
		text, isText := value.(string)
		if flag, isFlag := value.(bool); isFlag {
			isText = true
			if flag {
				text = on
			}
		}
		if !isText {
			return nil, errForm{fmt.Sprintf("The field %q must be a string, or true or false.", name)}
		}
		if err := in.add(name.(string), text, names); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, notJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, notJSON
	}
	return in, nil
}

func (in input) add(name, value string, names []string) error {
	if !slices.Contains(names, name) {
		return errForm{fmt.Sprintf("The field %q is not known here.", name)}
	}
	if _, twice := in[name]; twice {
		return errForm{fmt.Sprintf("The field %q was sent more than once.", name)}
	}
	if !utf8.ValidString(value) {
		return errForm{fmt.Sprintf("The field %q is not UTF-8.", name)}
	}
	in[name] = value
	return nil
}
