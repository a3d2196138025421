package portal

import (
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

// maxMany is the most values that a field which may come several times can have.
const maxMany = 64

// input holds the fields of a form; absent ones are empty.
type input map[string]string

// fields are what a form may hold, and nothing else.
type fields struct {
	once   []string // each at most once
	number string   // at most once; in JSON it may be a number, and is given as that was written
	many   string   // up to maxMany times; in JSON one array of strings
}

// form is what was read of a body.
type form struct {
	input
	many []string // the values of fields.many
}

// errForm is a body that could be read but is no form of ours; its text is
// ours, and fit to be shown.
type errForm struct{ text string }

func (e errForm) Error() string { return e.text }

// read takes the body of a POST as a form or as JSON, with the named fields and
// no others, each at most once. It answers bad bodies itself, with ok false.
func (p *Portal) read(v *visit, names ...string) (in input, ok bool) {
	f, ok := p.readFields(v, fields{once: names})
	return f.input, ok
}

// readFields is read for forms that hold more than texts.
func (p *Portal) readFields(v *visit, allowed fields) (in form, ok bool) {
	bad := problem.Problem{Status: http.StatusBadRequest, Kind: problem.BadRequest}
	if v.r.Header.Get("Content-Encoding") != "" {
		bad.Status, bad.Detail = http.StatusUnsupportedMediaType, "Send the body without a content encoding."
		p.fail(v, bad)
		return form{}, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		bad.Status, bad.Detail = http.StatusRequestEntityTooLarge, fmt.Sprintf("At most %d bytes are taken.", maxBody)
		p.fail(v, bad)
		return form{}, false
	} else if err != nil {
		bad.Detail = "The request ended too early."
		p.fail(v, bad)
		return form{}, false
	}
	kind := v.r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(kind)
	if charset := params["charset"]; err == nil && charset != "" && !strings.EqualFold(charset, "utf-8") {
		err = errForm{"another charset"}
	}
	switch {
	case len(body) == 0 && kind == "":
		return form{input: input{}}, true
	case err == nil && media == "application/x-www-form-urlencoded":
		in, err = readForm(body, allowed)
	case err == nil && media == "application/json":
		in, err = readJSON(body, allowed)
	default:
		bad.Status = http.StatusUnsupportedMediaType
		bad.Detail = "Send application/x-www-form-urlencoded or application/json, in UTF-8."
		p.fail(v, bad)
		return form{}, false
	}
	if err != nil {
		bad.Detail = err.Error()
		p.fail(v, bad)
		return form{}, false
	}
	return in, true
}

func readForm(body []byte, allowed fields) (form, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return form{}, errForm{"The form is not well formed."}
	}
	in := form{input: make(input, len(values))}
	for name, all := range values {
		if allowed.many != "" && name == allowed.many {
			for _, value := range all {
				if err := in.addMany(name, value); err != nil {
					return form{}, err
				}
			}
			continue
		}
		if err := in.add(name, all[0], allowed); err != nil {
			return form{}, err
		}
		if len(all) > 1 {
			return form{}, errTwice(name)
		}
	}
	return in, nil
}

func (f *form) add(name, value string, allowed fields) error {
	if !slices.Contains(allowed.once, name) && (allowed.number == "" || name != allowed.number) {
		return errForm{fmt.Sprintf("The field %q is not known here.", name)}
	}
	if _, twice := f.input[name]; twice {
		return errTwice(name)
	}
	if !utf8.ValidString(value) {
		return errNotUTF8(name)
	}
	f.input[name] = value
	return nil
}

func (f *form) addMany(name, value string) error {
	if len(f.many) == maxMany {
		return errForm{fmt.Sprintf("The field %q has more than %d values.", name, maxMany)}
	}
	if !utf8.ValidString(value) {
		return errNotUTF8(name)
	}
	f.many = append(f.many, value)
	return nil
}

func errTwice(name string) error {
	return errForm{fmt.Sprintf("The field %q was sent more than once.", name)}
}

func errNotUTF8(name string) error { return errForm{fmt.Sprintf("The field %q is not UTF-8.", name)} }
