package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// strict decodes as Caddy does for modules.
func strict(text string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func TestAppRefuses(t *testing.T) {
	for name, c := range map[string]struct{ json, want string }{
		"unknown field":                  {`{"polices":{}}`, `unknown field "polices"`},
		"unknown field in a block":       {`{"sessions":{"idle":"1h"}}`, `unknown field "idle"`},
		"two stores":                     {`{"store":{"bolt":{},"redis":{"url":"redis://h"}}}`, "store.redis: bolt is given too"},
		"redis without url":              {`{"store":{"redis":{}}}`, "store.redis.url: it is empty"},
		"redis scheme alone":             {`{"store":{"redis":{"url":"redis://"}}}`, "store.redis.url: it is not a Redis URL"},
		"file is a folder":               {`{"store":{"bolt":{"file":"/var/lib/.."}}}`, "store.bolt.file: "},
		"file with NUL":                  {`{"store":{"bolt":{"file":"a\u0000b"}}}`, "NUL"},
		"empty policy folder":            {`{"policies":{"dirs":[""]}}`, "policies.dirs: a folder's name is empty"},
		"budget in seconds":              {`{"policies":{"budget":25}}`, "policies.budget: 25ns is too short"},
		"budget not a duration":          {`{"policies":{"budget":"25"}}`, `"25" is not a duration`},
		"budget null":                    {`{"policies":{"budget":null}}`, "null is not a duration"},
		"off with options":               {`{"passwords":{"off":true,"min_length":20}}`, "passwords.off: "},
		"negative length":                {`{"passwords":{"min_length":-1}}`, "passwords.min_length: -1 is too short"},
		"length for a second factor":     {`{"passwords":{"min_length":8}}`, "second factor"},
		"registration by invitation":     {`{"passwords":{"registration":"invite"}}`, "not available in this version"},
		"memory below every minimum":     {`{"passwords":{"argon2id":{"memory":"6MiB","iterations":9}}}`, "passwords.argon2id.memory: 6MiB is out of bounds"},
		"memory of odd bytes":            {`{"passwords":{"argon2id":{"memory":20000001}}}`, "no multiple of 1KiB"},
		"memory negative":                {`{"passwords":{"argon2id":{"memory":-1}}}`, "out of bounds"},
		"iterations too few":             {`{"passwords":{"argon2id":{"memory":"7MiB","iterations":4}}}`, "write 5 or more"},
		"iterations negative":            {`{"passwords":{"argon2id":{"iterations":-1}}}`, "cannot unmarshal"},
		"iterations without end":         {`{"passwords":{"argon2id":{"iterations":4000000000}}}`, "out of bounds"},
		"a hash of many seconds":         {`{"passwords":{"argon2id":{"memory":"256MiB","iterations":64}}}`, "write 16 or fewer"},
		"parallelism too high":           {`{"passwords":{"argon2id":{"parallelism":17}}}`, "parallelism: 17 is out of bounds"},
		"negative lifetime":              {`{"sessions":{"lifetime":"-1h"}}`, "sessions.lifetime: -1h is negative"},
		"idle longer than lifetime":      {`{"sessions":{"lifetime":"1h","idle_timeout":"2h"}}`, "longer than lifetime, which is 1h:"},
		"remember me as long as a login": {`{"sessions":{"remember_me":"24h"}}`, "no longer than lifetime, which is 1d by default"},
		"cookie domain with scheme":      {`{"sessions":{"cookie_domain":"https://example.com"}}`, "more than a domain"},
		"cookie domain with star":        {`{"sessions":{"cookie_domain":"*.example.com"}}`, "write example.com"},
		"cookie domain of digits":        {`{"sessions":{"cookie_domain":"example.1"}}`, "not a domain name"},
		"cookie domain in capitals":      {`{"sessions":{"cookie_domain":"Example.com"}}`, "lower-case"},
		"cookie domain with injection":   {`{"sessions":{"cookie_domain":"example.com; Secure"}}`, "not a domain name"},
		"cookie domain v6 address":       {`{"sessions":{"cookie_domain":"::1"}}`, "more than a domain"},
	} {
		t.Run(name, func(t *testing.T) {
			var a App
			err := strict(c.json, &a)
			if err == nil {
				err = a.Validate()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestSiteRefuses(t *testing.T) {
	for name, c := range map[string]struct{ json, want string }{
		"unknown field":               {`{"alow":[]}`, `unknown field "alow"`},
		"empty line":                  {`{"allow":[[]]}`, "allow[0].conditions: there is none"},
		"second line wrong":           {`{"allow":[[{"kind":"anyone"}],[{"kind":"rol"}]]}`, `allow[1].conditions: unknown condition "rol" (did you mean role?)`},
		"condition of a later day":    {`{"deny":[[{"kind":"scope","values":["x"]}]]}`, "deny[0].scope: the condition scope is not available"},
		"empty value":                 {`{"allow":[[{"kind":"role","values":[""]}]]}`, "empty value"},
		"value with line break":       {`{"allow":[[{"kind":"role","values":["a\nb"]}]]}`, "control characters"},
		"invalid UTF-8 becomes text":  {"{\"allow\":[[{\"kind\":\"path\",\"values\":[\"\xff\"]}]]}", "is no path"},
		"policy beside lines":         {`{"policy":"a.b","allow":[[{"kind":"anyone"}]]}`, "policy: allow or deny is given too"},
		"policy beginning with digit": {`{"policy":"1a"}`, "no package name"},
		"policy with empty part":      {`{"policy":"a..b"}`, "no package name"},
		"policy with bracket":         {`{"policy":"a[\"b\"]"}`, "no package name"},
		"policy with line break":      {`{"policy":"a\nb"}`, "no package name"},
		"method of a later day":       {`{"methods":["key"]}`, "methods: key is not available in this version"},
		"method in capitals":          {`{"methods":["SESSION"]}`, "did you mean session?"},
		"zone outside the database":   {`{"timezone":"../../etc/passwd"}`, "timezone: "},
		"zone of the machine":         {`{"timezone":"local"}`, "timezone: "},
		"authorization keep":          {`{"authorization":"keep"}`, "authorization: "},
		"portal that decides":         {`{"portal_only":true,"allow":[[{"kind":"anyone"}]]}`, "portal_only: "},
		"portal with headers":         {`{"portal_only":true,"headers":[{"name":"A","value":"b"}]}`, "portal_only: "},
		"headers without any":         {`{"headers":[]}`, "headers: it names none"},
		"header of the request id":    {`{"headers":[{"name":"x_request_id","value":"a"}]}`, "set by the gate"},
		"name with spaces":            {`{"name":"a b"}`, "name: "},
		"header smuggling":            {`{"headers":[{"name":"X","value":"a\r\nHost: b"}]}`, "control characters"},
		"header name with space":      {`{"headers":[{"name":"Remote User","value":"a"}]}`, "headers[0].name: "},
		"header name with colon":      {`{"headers":[{"name":"X:","value":"a"}]}`, "no header name"},
		"header alias with dot":       {`{"headers":[{"name":"Remote-User","value":"a"},{"name":"REMOTE.USER","value":"b"}]}`, "headers[1].name: REMOTE.USER is given twice"},
		"header cookie":               {`{"headers":[{"name":"COOKIE","value":"a"}]}`, "carries credentials"},
		"header te":                   {`{"headers":[{"name":"te","value":"a"}]}`, "one connection"},
		"header forwarded":            {`{"headers":[{"name":"X_Forwarded_For","value":"a"}]}`, "set by reverse_proxy"},
		"header from the client":      {`{"headers":[{"name":"X-A","value":"{http.request.uri.query.a}"}]}`, "not the gate's"},
		"header of no attribute":      {`{"headers":[{"name":"X-A","value":"{http.auth.user.mail}"}]}`, "(did you mean email?)"},
		"header of empty claim":       {`{"headers":[{"name":"X-A","value":"{http.auth.user.claims.}"}]}`, "unknown attribute"},
	} {
		t.Run(name, func(t *testing.T) {
			var s Site
			err := strict(c.json, &s)
			if err == nil {
				err = s.Validate()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestZeroValuesAreValid(t *testing.T) {
	if err := (&App{}).Validate(); err != nil {
		t.Errorf("app: %v", err)
	}
	if err := (&Site{}).Validate(); err != nil {
		t.Errorf("site: %v", err)
	}
	for _, v := range []any{App{}, Site{}} {
		if got, err := json.Marshal(v); err != nil || string(got) != "{}" {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestWithDefaults(t *testing.T) {
	full := App{}.WithDefaults()
	if err := full.Validate(); err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(full)
	const want = `{"store":{"bolt":{}},"policies":{"budget":"25ms"},` +
		`"passwords":{"min_length":15,"registration":"closed","argon2id":{"memory":"19MiB","iterations":2,"parallelism":1}},` +
		`"sessions":{"idle_timeout":"1h","lifetime":"1d"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	t.Run("a short lifetime shortens the idle timeout", func(t *testing.T) {
		a := App{Sessions: Sessions{Lifetime: Duration(30 * time.Minute)}}.WithDefaults()
		if a.Sessions.IdleTimeout != Duration(30*time.Minute) {
			t.Errorf("idle timeout %s", a.Sessions.IdleTimeout)
		}
		if err := a.Validate(); err != nil {
			t.Error(err)
		}
	})
	t.Run("passwords that are off get none", func(t *testing.T) {
		a := App{Passwords: Passwords{Off: true}}.WithDefaults()
		if err := a.Validate(); err != nil {
			t.Error(err)
		}
		if len(a.Warnings()) != 1 {
			t.Errorf("warnings: %q", a.Warnings())
		}
		if err := a.CheckSite(&Site{Methods: []string{"session"}}); err == nil {
			t.Error("sessions that nobody can begin are accepted")
		}
	})
	t.Run("the given store stays", func(t *testing.T) {
		a := App{Store: Store{Redis: &Redis{URL: "redis://h"}}}.WithDefaults()
		if a.Store.Bolt != nil {
			t.Error("a second store appeared")
		}
	})
}

func TestOWASPsSettingsAreAccepted(t *testing.T) {
	for _, w := range weakest {
		a := Argon2id{Memory: w.memory, Iterations: w.iterations, Parallelism: 1}
		if err := a.validate(); err != nil {
			t.Errorf("%s and %d: %v", w.memory, w.iterations, err)
		}
	}
}

func TestErrorNamesItsField(t *testing.T) {
	a := App{Sessions: Sessions{IdleTimeout: -1}}
	var e *Error
	if err := a.Validate(); !errors.As(err, &e) || e.Field != "sessions.idle_timeout" {
		t.Errorf("got %v", err)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"store":{"redis":{"url":"redis://:x@h"}},"policies":{"dirs":["a"],"budget":"25ms"}}`))
	f.Add([]byte(`{"passwords":{"min_length":15,"argon2id":{"memory":"19MiB"}},"sessions":{"lifetime":"1d12h"}}`))
	f.Add([]byte(`{"allow":[[{"kind":"role","values":["a"]}]],"headers":[{"name":"X","value":"{http.auth.user.id}"}]}`))
	f.Add([]byte(`{"policy":"a.b","timezone":"Europe/Berlin","authorization":"pass","methods":["session"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a App
		if strict(string(b), &a) == nil && a.Validate() == nil {
			same(t, &a, new(App))
			if full := a.WithDefaults(); full.Validate() != nil {
				t.Errorf("the defaults make it invalid: %v", full.Validate())
			}
		}
		var s Site
		if strict(string(b), &s) == nil && s.Validate() == nil {
			same(t, &s, new(Site))
			for _, h := range s.Headers {
				if strings.ContainsAny(h.Name+string(h.Value), "\r\n\x00") {
					t.Errorf("a header can break its line: %q", h.Name)
				}
			}
		}
	})
}

// same checks that a valid configuration survives being written and read.
func same(t *testing.T, v, again any) {
	t.Helper()
	first, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := strict(string(first), again); err != nil {
		t.Fatalf("%s: %v", first, err)
	}
	if second, _ := json.Marshal(again); !bytes.Equal(first, second) {
		t.Errorf("%s became %s", first, second)
	}
}
