package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseObject(t *testing.T) {
	got, err := parseObject([]byte(" {\"a\" : [1, -0, 2.5e3, true,false,\tnull, {}, []], \"\\u0062\\n\\/\\\"\": \"\\ud83d\\ude00é\",\r\n\"big\":123456789012345678901234567890}\n"))
	want := object{
		"a":      []any{json.Number("1"), json.Number("0"), 2500.0, true, false, nil, object{}, []any{}},
		"b\n/\"": "😀é",
		"big":    json.Number("123456789012345678901234567890"),
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v %v", got, err)
	}
	for doc, want := range map[string]error{
		``: errSyntax, ` `: errSyntax, `[]`: errSyntax, `"a"`: errSyntax, `1`: errSyntax, `null`: errSyntax, `{`: errSyntax, `{}}`: errSyntax, `{}{}`: errSyntax, `{} x`: errSyntax,
		`{"a"}`: errSyntax, `{"a":}`: errSyntax, `{"a":1,}`: errSyntax, `{,}`: errSyntax, `{"a":1 "b":2}`: errSyntax, `{a:1}`: errSyntax, `{'a':1}`: errSyntax, `{1:1}`: errSyntax,
		`{"a":[1,]}`: errSyntax, `{"a":tru}`: errSyntax, `{"a":01}`: errSyntax, `{"a":+1}`: errSyntax, `{"a":.5}`: errSyntax, `{"a":NaN}`: errSyntax, `{"a":1}//x`: errSyntax,
		`{"a":1e400}`: errRange, `{"a":-1e400}`: errRange, `{"a":` + strings.Repeat("9", 400) + `}`: errRange,
		"{\"a\":\"\x01\"}": errSyntax, `{"a":"\x"}`: errSyntax, `{"a":"\u12"}`: errSyntax, `{"a":"\`: errSyntax,
		`{"a":"\ud800"}`: errText, `{"a":"\udc00"}`: errText, `{"a":"\ud800\ud800"}`: errText, `{"a":"\ud800x"}`: errText, `{"a":"\uD800\\uDC00"}`: errText, "{\"a\":\"\xff\"}": errText, "{\"\xff\":1}": errText,
		"\xef\xbb\xbf{}": errSyntax, "{}\x00": errSyntax,
		`{"a":1,"a":1}`: errTwice, `{"a":1,"\u0061":1}`: errTwice, `{"a":[{"b":{},"b":{}}]}`: errTwice,
		strings.Repeat(`{"a":`, maxDepth) + `{}` + strings.Repeat(`}`, maxDepth):  errDeep,
		`{"a":` + strings.Repeat(`[`, 100000) + strings.Repeat(`]`, 100000) + `}`: errSyntax,
	} {
		if m, err := parseObject([]byte(doc)); !errors.Is(err, want) || m != nil {
			t.Errorf("%.60q: %v %v", doc, m, err)
		}
	}
	if _, err := parseObject([]byte(strings.Repeat(`{"a":`, maxDepth-1) + `{}` + strings.Repeat(`}`, maxDepth-1))); err != nil {
		t.Error(err)
	}
	if m, err := parseObject([]byte(`{"a":"\\ud800 \\\\ \ud83d\uDE00\""}`)); err != nil || m["a"] != `\ud800 \\ 😀"` {
		t.Errorf("%q %v", m["a"], err)
	}
}

// FuzzJSON: what we take, encoding/json takes as well and reads the same.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[true,null,-0,1.5e-7],"c":{"d":"\u00e9\ud83d\ude00\\\""}}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"a":1e400}`, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseObject(data)
		if err != nil {
			return
		}
		var want map[string]any
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q: only we take it: %v", data, err)
		}
		if a, b := must(json.Marshal(got)), must(json.Marshal(plainNumbers(want))); !bytes.Equal(a, b) {
			t.Fatalf("%q: we read %s, encoding/json %s", data, a, b)
		}
		if bytes.ContainsRune(must(json.Marshal(got)), '\ufffd') && !bytes.Contains(data, []byte("\ufffd")) && !bytes.Contains(bytes.ToLower(data), []byte(`\ufffd`)) {
			t.Fatalf("%q: something unreadable was replaced", data)
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
