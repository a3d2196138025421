package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
		"keys off with options":          {`{"keys":{"off":true,"header":"X-Key"}}`, "keys.off: "},
		"key header that Caddy drops":    {`{"keys":{"header":"X_API_Key"}}`, `keys.header: "X_API_Key" is dropped by Caddy`},
		"key header with a dot":          {`{"keys":{"header":"X.Key"}}`, `keys.header: "X.Key" is dropped by Caddy`},
		"keys in Authorization":          {`{"keys":{"header":"authorization"}}`, "keys.header: keys in Authorization are always read"},
		"keys in an identity header":     {`{"keys":{"header":"remote_user"}}`, "tells the app who asks"},
		"keys in Host":                   {`{"keys":{"header":"Host"}}`, "means something else already"},
		"key header with a colon":        {`{"keys":{"header":"X:"}}`, "no header name"},
		"keys for a minute":              {`{"keys":{"max_lifetime":"1m"}}`, "keys.max_lifetime: 1m is too short"},
		"certificates without username":  {`{"certificates":{}}`, "certificates.username: it is missing"},
		"certificates by another part":   {`{"certificates":{"username":"san_mail"}}`, "(did you mean san_email?)"},
		"jwt without name":               {jwt(`"name":""`), "jwt[0].name: "},
		"jwt named local":                {jwt(`"name":"local"`), "jwt[0].name: local is the provider of others"},
		"jwt with a name of two words":   {jwt(`"name":"my idp"`), "is no name for an issuer"},
		"jwt without issuer":             {jwt(`"issuer":""`), "jwt[0].issuer: it is missing"},
		"jwt issuer over http":           {jwt(`"issuer":"http://id.example.com"`), "jwt[0].issuer: http can be changed on the way"},
		"jwt issuer that is no URL":      {jwt(`"issuer":"id.example.com"`), "jwt[0].issuer: it is no URL"},
		"jwt issuer with a password":     {jwt(`"issuer":"https://u:p@id.example.com"`), "with a user, password or #"},
		"jwt without audience":           {jwt(`"audience":[]`), "jwt[0].audience: it is missing"},
		"jwt with an empty audience":     {jwt(`"audience":[""]`), "cannot be an audience"},
		"jwt with keys in two places":    {jwt(`"jwks_url":"https://id.example.com/k","jwks_file":"k.json"`), "keep one of jwks_url, jwks_file and secret"},
		"jwt key file that is a URL":     {jwt(`"jwks_file":"https://id.example.com/k"`), "this is a URL"},
		"jwt keys over http":             {jwt(`"jwks_url":"http://id.example.com/k"`), "jwt[0].jwks_url: http can be changed"},
		"jwt with a short secret":        {jwt(`"secret":"0123456789012345678901234567890"`), "jwt[0].secret: it is shorter than its hash"},
		"jwt with a short secret for HS": {jwt(`"secret":"01234567890123456789012345678901","algorithms":["HS512"]`), "64 bytes or more"},
		"jwt unsigned":                   {jwt(`"algorithms":["None"]`), "unsigned tokens"},
		"jwt HMAC without secret":        {jwt(`"algorithms":["HS256"]`), "signs with a secret, and none is given"},
		"jwt with both kinds":            {jwt(`"secret":"01234567890123456789012345678901","algorithms":["HS256","RS256"]`), "keep one of the two"},
		"jwt algorithm unknown":          {jwt(`"algorithms":["RS265"]`), `(did you mean RS256?)`},
		"jwt algorithm twice":            {jwt(`"algorithms":["RS256","RS256"]`), "given twice"},
		"jwt type unknown":               {jwt(`"types":["jwt"]`), "(did you mean JWT?)"},
		"jwt claim of no field":          {jwt(`"claims":{"role":"roles"}`), "(did you mean roles?)"},
		"jwt claim without path":         {jwt(`"claims":{"roles":""}`), "is no path of a claim"},
		"jwt leeway of hours":            {jwt(`"leeway":"1h"`), "jwt[0].leeway: 1h is too long"},
		"jwt introspection over http":    {jwt(`"introspection":{"url":"http://x.example.com","client_id":"a","client_secret":"b"}`), "jwt[0].introspection.url: http can"},
		"jwt introspection as nobody":    {jwt(`"introspection":{"url":"https://x.example.com"}`), "client_id and client_secret are needed"},
		"jwt name twice":                 {`{"jwt":[` + issuer(`"name":"a"`) + `,` + issuer(`"name":"a","issuer":"https://b.example.com"`) + `]}`, "jwt[1].name: a is given twice"},
		"jwt issuer twice":               {`{"jwt":[` + issuer(`"name":"a"`) + `,` + issuer(`"name":"b"`) + `]}`, "jwt[1].issuer: jwt a has the same issuer"},
		"two that introspect": {`{"jwt":[` + issuer(`"name":"a",`+introspects) + `,` + issuer(`"name":"b","issuer":"https://b.example.com",`+introspects) + `]}`,
			"jwt[1].introspection: jwt a has it too"},
		"cookie domain v6 address": {`{"sessions":{"cookie_domain":"::1"}}`, "more than a domain"},
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

// issuer is a jwt block that is good, with some fields changed.
func issuer(fields string) string {
	all := map[string]json.RawMessage{}
	for _, doc := range []string{`{"name":"id","issuer":"https://id.example.com","audience":["gate"]}`, "{" + fields + "}"} {
		if err := json.Unmarshal([]byte(doc), &all); err != nil {
			panic(err)
		}
	}
	out, _ := json.Marshal(all)
	return string(out)
}

func jwt(fields string) string { return `{"jwt":[` + issuer(fields) + `]}` }

const introspects = `"introspection":{"url":"https://x.example.com","client_id":"a","client_secret":"b"}`

func TestJWTsThatAreFine(t *testing.T) {
	for _, doc := range []string{
		jwt(``), jwt(`"issuer":"http://localhost:8080/realms/a"`), jwt(`"issuer":"http://127.0.0.1:1"`), jwt(`"issuer":"{env.ISSUER}"`),
		jwt(`"issuer":"anything","jwks_file":"keys.json"`), jwt(`"issuer":"anything","jwks_url":"https://id.example.com/keys"`),
		jwt(`"issuer":"us","secret":"01234567890123456789012345678901"`), jwt(`"secret":"{env.SECRET}"`),
		jwt(introspects), jwt(introspects + `,"jwks_url":"https://id.example.com/keys"`),
		jwt(`"claims":{"roles":"realm_access.roles","groups":"https://example.com/groups"},"types":["at+jwt","JWT"],"leeway":"1m"`),
	} {
		var a App
		if err := errors.Join(strict(doc, &a), a.Validate()); err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		full := a.WithDefaults()
		if err := full.Validate(); err != nil {
			t.Errorf("%s with defaults: %v", doc, err)
		}
		if j := full.JWT[0]; len(j.Algorithms) == 0 || j.Types[0] != "at+jwt" || j.Leeway == 0 || a.JWT[0].Leeway != 0 && a.JWT[0].Leeway != j.Leeway {
			t.Errorf("%s: %+v", doc, j)
		}
	}
}

func TestMethods(t *testing.T) {
	var a App
	if err := strict(`{"jwt":[`+issuer("")+`],"certificates":{"username":"san_uri"},"keys":{"header":"x-api-key"}}`, &a); err != nil {
		t.Fatal(err)
	}
	all := a.WithDefaults()
	if got := fmt.Sprint(all.Methods()); got != "[key jwt session certificate]" {
		t.Error(got)
	}
	if all.Keys.Header != "X-Api-Key" {
		t.Errorf("header %q", all.Keys.Header)
	}
	only := &Site{Methods: []string{"key"}}
	if !all.Accepts(only, "key") || all.Accepts(only, "session") || !all.Accepts(new(Site), "certificate") || new(App).Accepts(new(Site), "jwt") {
		t.Error("what a site accepts is wrong")
	}
	off := &App{Keys: Keys{Off: true}}
	for _, c := range []struct {
		app  *App
		site string
		want string
	}{
		{off, `{"methods":["key"]}`, "methods: keys are off"},
		{off, `{"methods":["jwt"]}`, "methods: jwt needs an issuer"},
		{off, `{"methods":["certificate"]}`, "methods: certificate needs to know"},
		{&all, `{"headers":[{"name":"X_API_Key","value":"a"}]}`, "headers[0].name: X_API_Key is the header for keys"},
		{&all, `{"deny":[[{"kind":"provider","values":["idd"]}]]}`, `deny[0]: unknown provider "idd" (did you mean id?)`},
		{&all, `{"allow":[[{"kind":"provider","values":["id","local"]}]],"methods":["key","jwt","session","certificate"]}`, ""},
	} {
		var s Site
		if err := errors.Join(strict(c.site, &s), s.Validate()); err != nil {
			t.Fatal(err)
		}
		if err := c.app.CheckSite(&s); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.site, err)
		}
	}
}

func TestSiteRefuses(t *testing.T) {
	for name, c := range map[string]struct{ json, want string }{
		"unknown field":               {`{"alow":[]}`, `unknown field "alow"`},
		"empty line":                  {`{"allow":[[]]}`, "allow[0].conditions: there is none"},
		"second line wrong":           {`{"allow":[[{"kind":"anyone"}],[{"kind":"rol"}]]}`, `allow[1].conditions: unknown condition "rol" (did you mean role?)`},
		"condition of a later day":    {`{"deny":[[{"kind":"mfa"}]]}`, "deny[0].mfa: the condition mfa is not available"},
		"scope with a comma":          {`{"allow":[[{"kind":"scope","values":["a,b"]}]]}`, "is no scope"},
		"provider with a capital":     {`{"allow":[[{"kind":"provider","values":["Keycloak"]}]]}`, "is no name of a provider"},
		"empty value":                 {`{"allow":[[{"kind":"role","values":[""]}]]}`, "empty value"},
		"value with line break":       {`{"allow":[[{"kind":"role","values":["a\nb"]}]]}`, "control characters"},
		"invalid UTF-8 becomes text":  {"{\"allow\":[[{\"kind\":\"path\",\"values\":[\"\xff\"]}]]}", "is no path"},
		"policy beside lines":         {`{"policy":"a.b","allow":[[{"kind":"anyone"}]]}`, "policy: allow or deny is given too"},
		"policy beginning with digit": {`{"policy":"1a"}`, "no package name"},
		"policy with empty part":      {`{"policy":"a..b"}`, "no package name"},
		"policy with bracket":         {`{"policy":"a[\"b\"]"}`, "no package name"},
		"policy with line break":      {`{"policy":"a\nb"}`, "no package name"},
		"method of a later day":       {`{"methods":["basic"]}`, "methods: basic is not available in this version"},
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
		`"sessions":{"idle_timeout":"1h","lifetime":"1d"},"keys":{"max_lifetime":"365d"}}`
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
		a := App{Passwords: Passwords{Off: true}, Keys: Keys{Off: true}}.WithDefaults()
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
	f.Add([]byte(jwt(introspects + `,"claims":{"roles":"a.b"},"algorithms":["ES256"]`)))
	f.Add([]byte(`{"keys":{"header":"X-Key","max_lifetime":"30d"},"certificates":{"username":"san_uri"}}`))
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
