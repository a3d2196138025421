package portal

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestBadBodies(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	const form, js = "application/x-www-form-urlencoded", "application/json"
	for name, c := range map[string]struct {
		kind, body string
		status     int
	}{
		"no JSON":                    {js, `{"username":`, 400},
		"empty JSON":                 {js, ``, 400},
		"an array":                   {js, `["a"]`, 400},
		"null":                       {js, `null`, 400},
		"an unknown field":           {js, `{"username":"alice","password":"x","admin":true}`, 400},
		"a field in another case":    {js, `{"Username":"alice","password":"x"}`, 400},
		"a field twice":              {js, `{"username":"bob","username":"alice","password":"x"}`, 400},
		"a field twice by escape":    {js, `{"username":"bob","\u0075sername":"alice","password":"x"}`, 400},
		"trailing data":              {js, `{"username":"alice","password":"x"} {}`, 400},
		"a trailing comma":           {js, `{"username":"alice",}`, 400},
		"a number":                   {js, `{"username":7,"password":"x"}`, 400},
		"an object inside":           {js, `{"username":{"a":"b"},"password":"x"}`, 400},
		"null inside":                {js, `{"username":null,"password":"x"}`, 400},
		"invalid UTF-8":              {js, "{\"username\":\"\xff\",\"password\":\"x\"}", 400},
		"ten thousand brackets":      {js, strings.Repeat("[", 10000), 400},
		"ten thousand nested":        {js, strings.Repeat(`{"username":`, 1300), 400},
		"a huge body":                {js, `{"username":"` + strings.Repeat("a", maxBody) + `"}`, 413},
		"a huge form":                {form, "username=" + strings.Repeat("a", maxBody), 413},
		"many fields":                {form, strings.Repeat("a&", 8000), 400},
		"an unknown form field":      {form, "username=alice&password=x&admin=1", 400},
		"a form field twice":         {form, "username=bob&username=alice&password=x", 400},
		"broken percent-encoding":    {form, "username=%zz", 400},
		"a semicolon":                {form, "username=alice;password=x", 400},
		"invalid UTF-8 in a form":    {form, "username=%ff&password=x", 400},
		"multipart":                  {"multipart/form-data; boundary=x", "--x--", 415},
		"plain text":                 {"text/plain", `{"username":"alice","password":"x"}`, 415},
		"no content type":            {"", "username=alice&password=x", 415},
		"a broken content type":      {"application/json; charset", `{}`, 415},
		"another charset":            {"application/json; charset=utf-16", `{}`, 415},
		"a type with JSON's ending":  {"application/evil+json", `{}`, 415},
		"the charset that is spoken": {"application/json; charset=UTF-8", `{"username":"alice","password":"x"}`, 401},
	} {
		t.Run(name, func(t *testing.T) {
			b := h.browser()
			b.header = http.Header{"Accept": {"application/json"}}
			r := httptest.NewRequest(http.MethodPost, site+"/_gatehouse/login", strings.NewReader(c.body))
			if c.kind != "" {
				r.Header.Set("Content-Type", c.kind)
			}
			w := b.do(r)
			wantStatus(t, w, c.status)
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
			if b.token() != "" {
				t.Error("signed in")
			}
		})
	}
	t.Run("compressed", func(t *testing.T) {
		b := h.browser()
		r := b.form("/_gatehouse/login", "username", "alice")
		r.Header.Set("Content-Encoding", "gzip")
		wantStatus(t, b.do(r), http.StatusUnsupportedMediaType)
	})
}

func TestJSONAsksAndAnswers(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	b := h.browser()
	w := b.json("/_gatehouse/login", `{"username":"alice","password":"`+secret+`","remember":true,"return_to":"/x"}`)
	wantStatus(t, w, http.StatusOK)
	if !strings.Contains(w.Body.String(), `"return_to":"/x"`) || b.signedIn() != "alice" {
		t.Errorf("answer %s, signed in %q", w.Body, b.signedIn())
	}
	if c := findCookie(t, w, "__Host-gatehouse"); c.MaxAge == 0 {
		t.Error("true did not tick the box")
	}
	for name, c := range map[string]struct {
		accept, content string
		want            bool
	}{
		"a browser":                     {"text/html,application/xhtml+xml,*/*;q=0.8", "", false},
		"a browser's form":              {"text/html,*/*;q=0.8", "application/x-www-form-urlencoded", false},
		"nothing said":                  {"", "", false},
		"curl":                          {"*/*", "", false},
		"curl with JSON":                {"*/*", "application/json", true},
		"asked for JSON":                {"application/json", "application/x-www-form-urlencoded", true},
		"asked for problems":            {"application/problem+json", "", true},
		"JSON in, a page out":           {"text/html", "application/json", false},
		"prefers JSON":                  {"application/json, text/html;q=0.5", "", true},
		"JSON in by a type with params": {"", "application/json; charset=utf-8", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", c.accept)
		r.Header.Set("Content-Type", c.content)
		if got := wantsJSON(r); got != c.want {
			t.Errorf("%s: JSON %v, want %v", name, got, c.want)
		}
	}
}

// keyFields are the fields of the form that holds all kinds.
var keyFields = fields{once: []string{"a", "b"}, number: "n", many: "m"}

func TestSeveralValues(t *testing.T) {
	sixtyFive := strings.Repeat(`"x",`, 64) + `"x"`
	for name, c := range map[string]struct {
		body string
		many []string
		n    string
		ok   bool
	}{
		"none":                      {`{}`, nil, "", true},
		"an empty array":            {`{"m":[]}`, nil, "", true},
		"two and a number":          {`{"m":["x","y"],"n":30,"a":"z"}`, []string{"x", "y"}, "30", true},
		"a number as text":          {`{"n":"30"}`, nil, "30", true},
		"sixty-four":                {`{"m":[` + strings.Repeat(`"x",`, 63) + `"x"]}`, slices.Repeat([]string{"x"}, 64), "", true},
		"sixty-five":                {`{"m":[` + sixtyFive + `]}`, nil, "", false},
		"a single text":             {`{"m":"x"}`, nil, "", false},
		"true":                      {`{"m":true}`, nil, "", false},
		"null":                      {`{"m":null}`, nil, "", false},
		"an object":                 {`{"m":{"x":"y"}}`, nil, "", false},
		"numbers inside":            {`{"m":[1]}`, nil, "", false},
		"null inside":               {`{"m":[null]}`, nil, "", false},
		"an array inside":           {`{"m":[["x"]]}`, nil, "", false},
		"a hundred arrays inside":   {`{"m":` + strings.Repeat("[", 100), nil, "", false},
		"cut":                       {`{"m":["x"`, nil, "", false},
		"closed by the wrong thing": {`{"m":["x"}`, nil, "", false},
		"twice":                     {`{"m":["x"],"m":["y"]}`, nil, "", false},
		"twice, empty first":        {`{"m":[],"m":["y"]}`, nil, "", false},
		"an array elsewhere":        {`{"a":["x"]}`, nil, "", false},
		"a number elsewhere":        {`{"a":1}`, nil, "", false},
		"the number twice":          {`{"n":1,"n":2}`, nil, "", false},
		"an array for the number":   {`{"n":[1]}`, nil, "", false},
		"another case":              {`{"M":["x"]}`, nil, "", false},
		"an unnamed field":          {`{"":"x"}`, nil, "", false},
	} {
		in, err := readJSON([]byte(c.body), keyFields)
		if (err == nil) != c.ok || !slices.Equal(in.many, c.many) || in.input["n"] != c.n {
			t.Errorf("%s: %v, %v", name, in, err)
		}
	}
	for name, c := range map[string]struct {
		body string
		many []string
		ok   bool
	}{
		"two":                {"m=x&m=y&a=z&n=3", []string{"x", "y"}, true},
		"sixty-four":         {strings.Repeat("m=x&", 64), slices.Repeat([]string{"x"}, 64), true},
		"sixty-five":         {strings.Repeat("m=x&", 65), nil, false},
		"no UTF-8":           {"m=%ff", nil, false},
		"another field":      {"m=x&c=y", nil, false},
		"brackets":           {"m[]=x", nil, false},
		"the number twice":   {"n=1&n=2", nil, false},
		"a text field twice": {"m=x&m=y&a=1&a=2", nil, false},
		"an unnamed field":   {"=x", nil, false},
	} {
		in, err := readForm([]byte(c.body), keyFields)
		if (err == nil) != c.ok || !slices.Equal(in.many, c.many) {
			t.Errorf("form, %s: %v, %v", name, in, err)
		}
	}
	// A form without such fields has no field without a name either.
	for _, body := range []string{`{"":"x"}`, `{"":["x"]}`, `{"":1}`} {
		if in, err := readJSON([]byte(body), fields{once: []string{"a"}}); err == nil {
			t.Errorf("%s: took %v", body, in)
		}
	}
	if in, err := readForm([]byte("=x"), fields{once: []string{"a"}}); err == nil {
		t.Errorf("form: took %v", in)
	}
}

// bounded fails when more came through than a form may hold.
func bounded(t *testing.T, body []byte, in form, err error) {
	t.Helper()
	if err != nil {
		if in.input != nil || in.many != nil {
			t.Errorf("%q: %v with %v", body, in, err)
		}
		return
	}
	if in.input == nil || len(in.many) > maxMany {
		t.Errorf("%q: took %v", body, in)
	}
	for name, value := range in.input {
		if !slices.Contains([]string{"a", "b", "n"}, name) || !utf8.ValidString(value) {
			t.Errorf("%q: took %q", body, name)
		}
	}
	for _, value := range in.many {
		if !utf8.ValidString(value) {
			t.Errorf("%q: took %q", body, value)
		}
	}
}

func FuzzReadJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":"b"}`, `{"a":true,"b":""}`, `{"a":"x","a":"y"}`, `[`, `{"a":{}}`, "{\"a\":\"\xff\"}", `{"a":"b"}x`,
		`{"m":["x","y"],"n":30}`, `{"m":[[]]}`, `{"m":[],"m":[]}`, `{"n":1e400}`, `{"m":["x"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := readJSON(body, keyFields)
		bounded(t, body, in, err)
	})
}

func FuzzReadForm(f *testing.F) {
	for _, s := range []string{"", "a=b", "a=b&a=c", "m=x&m=y&n=3", "m=%ff", "a=%zz", "=", "m[]=x", "a;b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := readForm(body, keyFields)
		bounded(t, body, in, err)
	})
}
