package jwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseObject(t *testing.T) {
	got, err := parseObject(" {\"a\" : [1, -0, 2.5e3, true,false,\tnull, {}, []], \"\\u0062\\n\\/\\\"\": \"\\ud83d\\ude00é\",\r\n\"big\":123456789012345678901234567890}\n")
	want := map[string]any{
		"a":      []any{json.Number("1"), json.Number("0"), 2500.0, true, false, nil, map[string]any{}, []any{}},
		"b\n/\"": "😀é",
		"big":    json.Number("123456789012345678901234567890"),
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v %v", got, err)
	}
	for doc, want := range map[string]error{
		``: errSyntax, ` `: errSyntax, `[]`: errSyntax, `"a"`: errSyntax, `1`: errSyntax, `null`: errSyntax, `{`: errSyntax, `{}}`: errSyntax, `{}{}`: errSyntax,
		`{"a"}`: errSyntax, `{"a":}`: errSyntax, `{"a":1,}`: errSyntax, `{,}`: errSyntax, `{"a":1 "b":2}`: errSyntax, `{a:1}`: errSyntax, `{'a':1}`: errSyntax, `{1:1}`: errSyntax,
		`{"a":[1,]}`: errSyntax, `{"a":[1 2]}`: errSyntax, `{"a":[}`: errSyntax, `{"a":tru}`: errSyntax, `{"a":nul}`: errSyntax, `{"a":True}`: errSyntax,
		`{"a":01}`: errSyntax, `{"a":+1}`: errSyntax, `{"a":.5}`: errSyntax, `{"a":1.}`: errSyntax, `{"a":1e}`: errSyntax, `{"a":1e+}`: errSyntax, `{"a":-}`: errSyntax, `{"a":0x1}`: errSyntax,
		`{"a":NaN}`: errSyntax, `{"a":Infinity}`: errSyntax, `{"a":-Infinity}`: errSyntax, `{"a":1_000}`: errSyntax, `{"a":--1}`: errSyntax, `{"a":1}/*x*/`: errSyntax, `{"a":1}//x`: errSyntax,
		`{"a":1e400}`: errRange, `{"a":-1e400}`: errRange, `{"a":` + strings.Repeat("9", 400) + `}`: errRange, `{"a":1e99999999999999999999}`: errRange,
		`{"a":"` + "\x01" + `"}`: errSyntax, "{\"a\":\"\n\"}": errSyntax, `{"a":"\x"}`: errSyntax, `{"a":"\u12"}`: errSyntax, `{"a":"\u+123"}`: errSyntax, `{"a":"\u 123"}`: errSyntax, `{"a":"\`: errSyntax, `{"a":"\"}`: errSyntax, `{"a":"x`: errSyntax,
		`{"a":"\ud800"}`: errText, `{"a":"\udc00"}`: errText, `{"a":"\ud800\ud800"}`: errText, `{"a":"\ud800x"}`: errText, `{"a":"\ud800\u12"}`: errText, `{"a":"\ud800\u12zz"}`: errSyntax, "{\"a\":\"\xff\"}": errText, "{\"\xff\":1}": errText,
		"\xef\xbb\xbf{}": errSyntax, "{}\x00": errSyntax, "{\"a\":\u00a01}": errSyntax,
		`{"a":1,"a":1}`: errTwice, `{"a":1,"\u0061":1}`: errTwice, `{"a":[{"b":{},"b":{}}]}`: errTwice,
		strings.Repeat(`{"a":`, maxDepth) + `{}` + strings.Repeat(`}`, maxDepth): errDeep,
	} {
		if m, err := parseObject(doc); !errors.Is(err, want) || m != nil {
			t.Errorf("%.60q: %v %v", doc, m, err)
		}
	}
	if _, err := parseObject(strings.Repeat(`{"a":`, maxDepth-1) + `{}` + strings.Repeat(`}`, maxDepth-1)); err != nil {
		t.Error(err)
	}
}

// FuzzJSON: what we take, encoding/json takes as well and reads the same.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[true,null,-0,1.5e-7],"c":{"d":"\u00e9\ud83d\ude00\\\""}}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"a":1e400}`, "{\"a\":\"\xff\"}", `{"a":12345678901234567890}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseObject(s)
		if err != nil {
			return
		}
		var want map[string]any
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q: only we take it: %v", s, err)
		}
		a, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if b := must(json.Marshal(plainNumbers(want))); !bytes.Equal(a, b) {
			t.Fatalf("%q: we read %s, encoding/json %s", s, a, b)
		}
	})
}

// plainNumbers turns numbers that are not whole into float64, as we do.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if v == "-0" {
			return json.Number("0")
		}
		if strings.ContainsAny(string(v), ".eE") {
			return must(v.Float64())
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	case []any:
		for n := range v {
			v[n] = plainNumbers(v[n])
		}
	}
	return v
}
