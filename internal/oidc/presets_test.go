package oidc

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

// recorded is a provider that answers in the shape that one is documented to
// answer in: its metadata, the token endpoint, the claims of an ID token, and
// UserInfo.
type recorded struct {
	Metadata object `json:"metadata"`
	Token    object `json:"token"`
	IDToken  object `json:"id_token"`
	UserInfo object `json:"userinfo"`

	op     *optest.OP // signs
	clock  *clock
	nonce  string
	iss    string // of the response
	asked  []string
	posted url.Values
}

func record(t *testing.T, name string) *recorded {
	t.Helper()
	r := &recorded{}
	if err := json.Unmarshal(must(os.ReadFile("testdata/"+name+".json")), r); err != nil {
		t.Fatal(err)
	}
	r.op, r.clock = optest.New(r.Metadata["issuer"].(string)), &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	return r
}

// RoundTrip answers where the metadata say, and nowhere else.
func (r *recorded) RoundTrip(q *http.Request) (*http.Response, error) {
	address := "https://" + q.URL.Host + q.URL.Path
	r.asked = append(r.asked, address)
	var answer object
	switch address {
	case r.Metadata["token_endpoint"]:
		answer = maps.Clone(r.Token)
		claims := maps.Clone(r.IDToken)
		claims["iat"], claims["exp"], claims["nonce"] = r.clock.now.Unix(), r.clock.now.Add(time.Hour).Unix(), r.nonce
		answer["access_token"], answer["id_token"] = "access", r.op.Sign("RS256", nil, claims)
		body := string(must(io.ReadAll(q.Body)))
		r.posted = must(url.ParseQuery(body))
	case r.Metadata["userinfo_endpoint"]:
		answer = r.UserInfo
	case r.Metadata["jwks_uri"]:
		answer = object{"keys": []any{optest.FirstKey().JWK(true)}}
	default:
		if !strings.HasSuffix(address, "/"+discovery) {
			return &http.Response{StatusCode: 404, Body: http.NoBody, Request: q}, nil
		}
		answer = r.Metadata
	}
	return &http.Response{
		StatusCode: 200, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}},
		Body: io.NopCloser(strings.NewReader(string(must(json.Marshal(answer))))), Request: q,
	}, nil
}

func (r *recorded) provider(t *testing.T, change ...func(*Options)) *Provider {
	t.Helper()
	o := Options{Name: "test", ClientID: "client", ClientSecret: "secret", Keys: keysBy(t, r, r.clock.Now), Transport: r, Clock: r.clock.Now}
	for _, c := range change {
		c(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// login goes through, and returns also what the provider was asked for.
func (r *recorded) login(t *testing.T, p *Provider) (*Login, url.Values, error) {
	t.Helper()
	address, pending, err := p.Begin(t.Context(), Request{RedirectURL: testCallback})
	if err != nil {
		return nil, nil, err
	}
	u := must(url.Parse(address))
	if base := "https://" + u.Host + u.Path; base != r.Metadata["authorization_endpoint"] {
		t.Errorf("the browser is sent to %s", base)
	}
	r.nonce = pending.Nonce
	callback := url.Values{"state": {pending.State}, "code": {"code"}}
	if r.iss != "" {
		callback.Set("iss", r.iss)
	}
	l, err := p.Finish(t.Context(), pending, callback)
	return l, u.Query(), err
}

func use(name, issuer string) func(*Options) {
	return func(o *Options) { o.Preset, o.Issuer = name, issuer }
}

func deniedFor(t *testing.T, l *Login, err error, reason string) {
	t.Helper()
	if no := (*DeniedError)(nil); l != nil || !errors.As(err, &no) || !strings.Contains(no.Reason, reason) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrUnavailable) {
		t.Errorf("%v %v", l, err)
	}
}

func TestGoogle(t *testing.T) {
	r := record(t, "google")
	p := r.provider(t, use("google", ""), func(o *Options) { o.Offline, o.HostedDomains = true, []string{"example.com"} })
	l, q, err := r.login(t, p)
	if err != nil {
		t.Fatal(err)
	}
	if l.Issuer != "https://accounts.google.com" || l.Subject != "110169484474386276334" || l.Username != "" || l.Email != "alice@example.com" || !l.EmailVerified || l.Name != "Alice" || l.Groups != nil {
		t.Errorf("%+v", l)
	}
	if q.Get("hd") != "example.com" || q.Get("access_type") != "offline" || q.Get("prompt") != "consent" || q.Get("scope") != "openid email profile" {
		t.Error(q)
	}
	if _, ok := p.EndSessionURL(l.Tokens.ID, "", ""); ok {
		t.Error("Google ends no sessions")
	}
	if _, _, err := p.Begin(t.Context(), Request{RedirectURL: testCallback, MaxAge: new(time.Duration)}); !errors.Is(err, ErrNoStepUp) || p.CanStepUp() {
		t.Error("Google would not tell whether it was one:", err)
	}
	t.Run("the short spelling of its issuer", func(t *testing.T) {
		r := record(t, "google")
		r.IDToken["iss"] = "accounts.google.com"
		l, q, err := r.login(t, r.provider(t, use("google", ""), func(o *Options) { o.HostedDomains = []string{"a.example", "example.com"} }))
		if err != nil || l.Issuer != "https://accounts.google.com" {
			t.Errorf("%+v %v", l, err)
		}
		if q.Get("hd") != "*" || q.Has("access_type") || q.Has("prompt") {
			t.Error(q)
		}
		r.Metadata["issuer"] = "accounts.google.com"
		if err := r.provider(t, use("google", "")).Ready(t.Context()); err == nil {
			t.Error("metadata have only one spelling")
		}
		r.Metadata["issuer"] = "https://other.example.com"
		if l, _, err := r.login(t, r.provider(t, use("google", "https://other.example.com"))); l != nil || !errors.Is(err, ErrInvalid) {
			t.Error("the spelling counts for Google alone")
		}
	})
	t.Run("anybody, if no domain is named", func(t *testing.T) {
		r := record(t, "google")
		delete(r.IDToken, "hd")
		l, q, err := r.login(t, r.provider(t, use("google", "")))
		if err != nil || !l.EmailVerified || q.Has("hd") {
			t.Errorf("%+v %v", l, err)
		}
	})
	// A parameter in an address is no proof of where somebody works.
	for name, hd := range map[string]any{"another domain": "evil.example", "a private account": nil, "a part": "ample.com", "a sub-domain": "a.example.com", "a list": []any{"example.com"}, "case": "EXAMPLE.COM", "empty": ""} {
		r := record(t, "google")
		if r.IDToken["hd"] = hd; hd == nil {
			delete(r.IDToken, "hd")
		}
		l, _, err := r.login(t, r.provider(t, use("google", ""), func(o *Options) { o.HostedDomains = []string{"example.com"} }))
		t.Log(name)
		deniedFor(t, l, err, "organisation")
	}
}

const tenant = "11111111-2222-3333-4444-555555555555"

func TestMicrosoft(t *testing.T) {
	r := record(t, "microsoft")
	p := r.provider(t, use("microsoft", "https://login.microsoftonline.com/organizations/v2.0"), func(o *Options) { o.Offline = true })
	l, q, err := r.login(t, p)
	if err != nil {
		t.Fatal(err)
	}
	if l.Issuer != "https://login.microsoftonline.com/"+tenant+"/v2.0" || l.Subject != r.IDToken["sub"] || l.Email != "alice@example.com" || !l.EmailVerified || l.Username != "alice@example.com" || !slices.Equal(l.Roles, []string{"Reader"}) {
		t.Errorf("%+v", l)
	}
	if q.Get("scope") != "openid email profile offline_access" {
		t.Error(q)
	}
	if _, _, err := p.Refresh(t.Context(), l.Issuer, l.Subject, l.Tokens); err != nil {
		t.Error(err)
	}
	other := "https://login.microsoftonline.com/99999999-2222-3333-4444-555555555555/v2.0"
	if _, _, err := p.Refresh(t.Context(), other, l.Subject, l.Tokens); !errors.Is(err, ErrInvalid) {
		t.Error("the tenant changed:", err)
	}
	if sid, ok := p.FrontChannel(url.Values{"iss": {l.Issuer}, "sid": {"s"}}); !ok || sid != "s" {
		t.Error("front-channel")
	}
}

// Of an address that nobody has checked, not even with UserInfo's help.
func TestMicrosoftAddressesAreNotVerified(t *testing.T) {
	for _, edov := range []any{nil, false, "1", "true", 1} {
		r := record(t, "microsoft")
		r.IDToken["email_verified"] = true
		if r.IDToken["xms_edov"] = edov; edov == nil {
			delete(r.IDToken, "xms_edov")
		}
		l, _, err := r.login(t, r.provider(t, use("microsoft", ""), func(o *Options) { o.Tenants = []string{tenant} }, singleTenant(r)))
		if err != nil || l.EmailVerified || l.Email != "alice@example.com" {
			t.Errorf("%v: %+v %v", edov, l, err)
		}
	}
}

func singleTenant(r *recorded) func(*Options) {
	return func(*Options) { r.Metadata["issuer"] = "https://login.microsoftonline.com/" + tenant + "/v2.0" }
}

func TestMicrosoftTenants(t *testing.T) {
	const many = "https://login.microsoftonline.com/organizations/v2.0"
	const other = "99999999-2222-3333-4444-555555555555"
	for name, c := range map[string]struct {
		issuer  string
		tenants []string
		iss     any // "": as recorded
		tid     any
		reason  string // "": in; "-": denied
	}{
		"any":                        {many, nil, "", tenant, ""},
		"a tenant's own issuer":      {"https://login.microsoftonline.com/" + tenant + "/v2.0", nil, "", tenant, ""},
		"common":                     {"https://login.microsoftonline.com/common/v2.0", nil, "", tenant, ""},
		"an allowed one":             {many, []string{other, strings.ToUpper(tenant)}, "", tenant, ""},
		"one of several, by default": {"", []string{other, tenant}, "", tenant, ""},
		"another than those allowed": {many, []string{other}, "", tenant, "-"},
		"tid of another":             {many, nil, "", other, "tid"},
		"no tid":                     {many, nil, "", nil, "tid"},
		"tid that is none":           {many, nil, "", []any{tenant}, "tid"},
		"the template itself":        {many, nil, "https://login.microsoftonline.com/{tenantid}/v2.0", "{tenantid}", "iss is another"},
		"the issuer's own name":      {many, nil, many, "organizations", "iss is another"},
		"no tenant":                  {many, nil, "https://login.microsoftonline.com//v2.0", "", "iss is another"},
		"version 1":                  {many, nil, "https://sts.windows.net/" + tenant + "/", tenant, "iss is another"},
		"another host":               {many, nil, "https://evil.example.com/" + tenant + "/v2.0", tenant, "iss is another"},
		"a path of two":              {many, nil, "https://login.microsoftonline.com/x/" + tenant + "/v2.0", tenant, "iss is another"},
		"something after it":         {many, nil, "https://login.microsoftonline.com/" + tenant + "/v2.0/x", tenant, "iss is another"},
		"case":                       {many, nil, "https://login.microsoftonline.com/" + strings.ToUpper("aaaaaaaa"+tenant[8:]) + "/v2.0", tenant, "iss is another"},
		"http":                       {many, nil, "http://login.microsoftonline.com/" + tenant + "/v2.0", tenant, "iss is another"},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, "microsoft")
			if r.IDToken["tid"] = c.tid; c.tid == nil {
				delete(r.IDToken, "tid")
			}
			if c.iss != "" {
				r.IDToken["iss"] = c.iss
			}
			if strings.Contains(c.issuer, tenant) {
				singleTenant(r)(nil)
			}
			l, _, err := r.login(t, r.provider(t, use("microsoft", c.issuer), func(o *Options) { o.Tenants = c.tenants }))
			switch {
			case c.reason == "" && err != nil, c.reason != "" && l != nil:
				t.Errorf("%+v %v", l, err)
			case c.reason == "-":
				deniedFor(t, l, err, "organisation")
			case c.reason != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.reason)):
				t.Error(err)
			}
		})
	}
	t.Run("one tenant's issuer takes no other's tokens", func(t *testing.T) {
		r := record(t, "microsoft")
		p := r.provider(t, use("microsoft", ""), func(o *Options) { o.Tenants = []string{tenant} }, singleTenant(r))
		if _, _, err := r.login(t, p); err != nil {
			t.Error(err)
		}
		r.IDToken["iss"], r.IDToken["tid"] = "https://login.microsoftonline.com/"+other+"/v2.0", other
		if l, _, err := r.login(t, p); l != nil || !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	})
	for name, change := range map[string]func(*Options){
		"nothing":               func(o *Options) {},
		"a domain":              func(o *Options) { o.Tenants = []string{"contoso.onmicrosoft.com"} },
		"a domain beside an ID": func(o *Options) { o.Tenants = []string{tenant, "contoso.com"} },
		"consumers":             func(o *Options) { o.Issuer = "https://login.microsoftonline.com/consumers/v2.0" },
		"version 1":             func(o *Options) { o.Issuer = "https://sts.windows.net/" + tenant + "/" },
		"a domain as issuer":    func(o *Options) { o.Issuer = "https://login.microsoftonline.com/contoso.com/v2.0" },
		"two that contradict": func(o *Options) {
			o.Issuer, o.Tenants = "https://login.microsoftonline.com/"+tenant+"/v2.0", []string{other}
		},
	} {
		o := minimal(t)
		o.Preset, o.Issuer = "microsoft", ""
		change(&o)
		if p, err := New(o); p != nil || err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// Who is in too many groups for a token has none in it: a policy that looks for
// a group which forbids would not see it.
func TestMicrosoftGroupOverage(t *testing.T) {
	for name, claims := range map[string]object{
		"a pointer": {"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"endpoint": "https://graph.microsoft.com/v1.0/users/x/getMemberObjects"}}},
		"a flag":    {"hasgroups": true}, "a flag as text": {"hasgroups": "true"},
	} {
		for _, mapped := range []bool{true, false} {
			r := record(t, "microsoft")
			maps.Copy(r.IDToken, claims)
			p := r.provider(t, use("microsoft", ""), func(o *Options) { o.Tenants = []string{tenant} }, singleTenant(r), func(o *Options) {
				if mapped {
					o.Claims = map[string]string{"groups": "groups"}
				}
			})
			l, _, err := r.login(t, p)
			if mapped {
				deniedFor(t, l, err, "all of your groups")
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	r := record(t, "microsoft")
	r.IDToken["groups"], r.IDToken["hasgroups"] = []any{"aaaaaaaa-0000-0000-0000-000000000000"}, false
	p := r.provider(t, use("microsoft", ""), func(o *Options) { o.Tenants, o.Claims = []string{tenant}, map[string]string{"groups": "groups"} }, singleTenant(r))
	if l, _, err := r.login(t, p); err != nil || len(l.Groups) != 1 {
		t.Error(err)
	}
}

func TestGitLab(t *testing.T) {
	r := record(t, "gitlab")
	p := r.provider(t, use("gitlab", ""), func(o *Options) { o.Offline = true })
	l, q, err := r.login(t, p)
	if err != nil || l.Username != "alice" || l.Email != "alice@example.com" || !l.EmailVerified || l.Groups != nil || l.Roles != nil || q.Get("scope") != "openid email profile" {
		t.Errorf("%+v %v %v", l, q, err)
	}
	p = r.provider(t, use("gitlab", ""), func(o *Options) { o.Claims = map[string]string{"groups": "groups"} })
	l, _, err = r.login(t, p) // all of them are in UserInfo alone
	if err != nil || !slices.Equal(l.Groups, []string{"acme", "acme/ops", "acme/ops/oncall"}) {
		t.Errorf("%+v %v", l, err)
	}
}

func TestOkta(t *testing.T) {
	r := record(t, "okta")
	l, q, err := r.login(t, r.provider(t, use("okta", "https://acme.okta.com"), func(o *Options) { o.Offline = true }))
	if err != nil || l.Username != "alice@example.com" || !slices.Equal(l.Groups, []string{"Everyone", "Ops"}) || !slices.Equal(l.AMR, []string{"mfa", "otp", "pwd"}) || q.Get("scope") != "openid email profile offline_access" {
		t.Errorf("%+v %v %v", l, q, err)
	}
}

func TestAuth0(t *testing.T) {
	for _, issuer := range []string{"https://acme.eu.auth0.com/", "https://acme.eu.auth0.com"} {
		r := record(t, "auth0")
		p := r.provider(t, use("auth0", issuer), func(o *Options) { o.Claims = map[string]string{"roles": "https://example.com/roles"} })
		l, _, err := r.login(t, p)
		if err != nil || l.Issuer != "https://acme.eu.auth0.com/" || l.Subject != "auth0|5f7c8ec7c33c6c004bbafe82" || l.Username != "alice" || !slices.Equal(l.Roles, []string{"admin"}) || l.SID != "Xr1w" {
			t.Errorf("%+v %v", l, err)
		}
		if address, ok := p.EndSessionURL("", "", ""); !ok || !strings.HasPrefix(address, "https://acme.eu.auth0.com/oidc/logout?") {
			t.Error(address)
		}
	}
}

func TestKeycloak(t *testing.T) {
	r := record(t, "keycloak")
	r.iss = r.Metadata["issuer"].(string)
	p := r.provider(t, use("keycloak", r.iss), func(o *Options) { o.Offline = true })
	l, q, err := r.login(t, p)
	if err != nil || l.Username != "alice" || !slices.Equal(l.Roles, []string{"offline_access", "admin"}) || !slices.Equal(l.Groups, []string{"/finance"}) || l.ACR != "1" || q.Get("scope") != "openid email profile" {
		t.Errorf("%+v %v %v", l, q, err)
	}
	r.IDToken["realm_access"] = object{"roles": []any{"viewer"}} // where its mapper adds them to the ID token
	if l, _, err = r.login(t, p); err != nil || !slices.Equal(l.Roles, []string{"viewer"}) {
		t.Errorf("%+v %v", l, err)
	}
}

// A client certificate finds the addresses that are for it.
func TestKeycloakWithACertificate(t *testing.T) {
	_, certificate := mutualTLS(t)
	r := record(t, "keycloak")
	p, err := New(Options{Name: "test", Preset: "keycloak", Issuer: r.Metadata["issuer"].(string), ClientID: "client", ClientCertificate: certificate, Keys: keysBy(t, r, r.clock.Now), Clock: r.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r.Metadata["mtls_endpoint_aliases"] = object{"token_endpoint": "https://mtls.example.com/token"}
	doc := must(strictjson.Object(string(must(json.Marshal(r.Metadata)))))
	if m, err := p.parseMetadata(doc); err != nil || m.token != "https://mtls.example.com/token" || m.userInfo != r.Metadata["userinfo_endpoint"] {
		t.Error(m, err)
	}
}
