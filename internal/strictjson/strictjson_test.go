package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestObject(t *testing.T) {
	got, err := Object(" {\"a\" : [1, -0, 2.5e3, true,false,\tnull, {}, []], \"\\u0062\\n\\/\\\"\": \"\\ud83d\\ude00é\",\r\n\"big\":123456789012345678901234567890}\n")
	want := map[string]any{
		"a":      []any{json.Number("1"), json.Number("0"), 2500.0, true, false, nil, map[string]any{}, []any{}},
		"b\n/\"": "😀é",
		"big":    json.Number("123456789012345678901234567890"),
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v %v", got, err)
	}
	for doc, want := range map[string]error{
		``: ErrSyntax, ` `: ErrSyntax, `[]`: ErrSyntax, `"a"`: ErrSyntax, `1`: ErrSyntax, `null`: ErrSyntax, `{`: ErrSyntax, `{}}`: ErrSyntax, `{}{}`: ErrSyntax,
		`{"a"}`: ErrSyntax, `{"a":}`: ErrSyntax, `{"a":1,}`: ErrSyntax, `{,}`: ErrSyntax, `{"a":1 "b":2}`: ErrSyntax, `{a:1}`: ErrSyntax, `{'a':1}`: ErrSyntax, `{1:1}`: ErrSyntax,
		`{"a":[1,]}`: ErrSyntax, `{"a":[1 2]}`: ErrSyntax, `{"a":[}`: ErrSyntax, `{"a":tru}`: ErrSyntax, `{"a":nul}`: ErrSyntax, `{"a":True}`: ErrSyntax,
		`{"a":01}`: ErrSyntax, `{"a":+1}`: ErrSyntax, `{"a":.5}`: ErrSyntax, `{"a":1.}`: ErrSyntax, `{"a":1e}`: ErrSyntax, `{"a":1e+}`: ErrSyntax, `{"a":-}`: ErrSyntax, `{"a":0x1}`: ErrSyntax,
		`{"a":NaN}`: ErrSyntax, `{"a":Infinity}`: ErrSyntax, `{"a":-Infinity}`: ErrSyntax, `{"a":1_000}`: ErrSyntax, `{"a":--1}`: ErrSyntax, `{"a":1}/*x*/`: ErrSyntax, `{"a":1}//x`: ErrSyntax,
		`{"a":1e400}`: ErrRange, `{"a":-1e400}`: ErrRange, `{"a":` + strings.Repeat("9", 400) + `}`: ErrRange, `{"a":1e99999999999999999999}`: ErrRange,
		`{"a":"` + "\x01" + `"}`: ErrSyntax, "{\"a\":\"\n\"}": ErrSyntax, `{"a":"\x"}`: ErrSyntax, `{"a":"\u12"}`: ErrSyntax, `{"a":"\u+123"}`: ErrSyntax, `{"a":"\u 123"}`: ErrSyntax, `{"a":"\`: ErrSyntax, `{"a":"\"}`: ErrSyntax, `{"a":"x`: ErrSyntax,
		`{"a":"\ud800"}`: ErrText, `{"a":"\udc00"}`: ErrText, `{"a":"\ud800\ud800"}`: ErrText, `{"a":"\ud800x"}`: ErrText, `{"a":"\ud800\u12"}`: ErrText, `{"a":"\ud800\u12zz"}`: ErrSyntax, "{\"a\":\"\xff\"}": ErrText, "{\"\xff\":1}": ErrText,
		"\xef\xbb\xbf{}": ErrSyntax, "{}\x00": ErrSyntax, "{\"a\":\u00a01}": ErrSyntax,
		`{} x`: ErrSyntax, `{"a":"\uD800\\uDC00"}`: ErrText, `{"a":` + strings.Repeat(`[`, 100000) + strings.Repeat(`]`, 100000) + `}`: ErrDeep,
		`{"a":1,"a":1}`: ErrTwice, `{"a":1,"\u0061":1}`: ErrTwice, `{"a":[{"b":{},"b":{}}]}`: ErrTwice,
		strings.Repeat(`{"a":`, MaxDepth) + `{}` + strings.Repeat(`}`, MaxDepth): ErrDeep,
	} {
		if m, err := Object(doc); !errors.Is(err, want) || m != nil {
			t.Errorf("%.60q: %v %v", doc, m, err)
		}
	}
	if _, err := Object(strings.Repeat(`{"a":`, MaxDepth-1) + `{}` + strings.Repeat(`}`, MaxDepth-1)); err != nil {
		t.Error(err)
	}
	if m, err := Object(`{"a":"\\ud800 \\\\ \ud83d\uDE00\""}`); err != nil || m["a"] != `\ud800 \\ 😀"` {
		t.Errorf("%q %v", m["a"], err)
	}
}

func TestValue(t *testing.T) {
	for doc, want := range map[string]any{
		`[]`: []any{}, ` [1, {"a": "b"}] `: []any{json.Number("1"), map[string]any{"a": "b"}}, `"a"`: "a", `null`: nil, `-1.5`: -1.5, `true`: true,
	} {
		if got, err := Value(doc); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v %v", doc, got, err)
		}
	}
	for _, doc := range []string{``, `[`, `[1],`, `a`, `[] []`, `nulll`, `1 2`, `"a`} {
		if got, err := Value(doc); !errors.Is(err, ErrSyntax) || got != nil {
			t.Errorf("%q: %#v %v", doc, got, err)
		}
	}
}

// FuzzJSON: what we take, encoding/json takes as well and reads the same.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[true,null,-0,1.5e-7],"c":{"d":"\u00e9\ud83d\ude00\\\""}}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"a":1e400}`, "{\"a\":\"\xff\"}", `{"a":12345678901234567890}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Object(s)
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
		if bytes.ContainsRune(a, '\ufffd') && !strings.Contains(s, "\ufffd") && !strings.Contains(strings.ToLower(s), `\ufffd`) {
			t.Fatalf("%q: something unreadable was replaced", s)
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

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
