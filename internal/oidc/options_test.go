package oidc

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

func ecdhKey() (*ecdh.PrivateKey, error) { return ecdh.X25519().GenerateKey(rand.Reader) }

// minimal are options that New takes.
func minimal(t *testing.T) Options {
	t.Helper()
	transport := optest.New(testIssuer).Transport()
	return Options{Name: "test", Issuer: testIssuer, ClientID: "client", ClientSecret: "secret", Keys: keysBy(t, transport, time.Now), Transport: transport}
}

func TestOptions(t *testing.T) {
	p, err := New(minimal(t))
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if p.Name() != "test" || p.Issuer() != testIssuer || !p.CanStepUp() || strings.Join(p.o.Scopes, " ") != "openid email profile" || strings.Join(p.o.Algorithms, " ") != "RS256 ES256 EdDSA PS256" {
		t.Errorf("%+v", p.o)
	}
	if s := fmt.Sprintf("%v %+v %s", p, p, p); strings.Contains(s, "secret") {
		t.Error(s)
	}
	for name, c := range map[string]struct {
		change func(*Options)
		reason string
	}{
		"no name":                 {func(o *Options) { o.Name = "" }, "name"},
		"an unknown preset":       {func(o *Options) { o.Preset = "facebook" }, "there is no preset"},
		"no issuer":               {func(o *Options) { o.Issuer = "" }, "issuer is missing"},
		"no issuer for a preset":  {func(o *Options) { o.Issuer, o.Preset = "", "okta" }, "issuer is missing"},
		"an issuer without https": {func(o *Options) { o.Issuer = "http://op.example.com" }, "not https"},
		"an issuer that is none":  {func(o *Options) { o.Issuer = "op.example.com" }, "no URL"},
		"an issuer with a query":  {func(o *Options) { o.Issuer = testIssuer + "?x=1" }, "query"},
		"a fragment":              {func(o *Options) { o.Issuer = testIssuer + "#x" }, "fragment"},
		"no host":                 {func(o *Options) { o.Issuer = "https://:443/x" }, "no URL"},
		"max_age at Google":       {func(o *Options) { o.Preset, o.Issuer, o.MaxAge = "google", "", time.Hour }, "cannot be had"},
		"an empty fragment":       {func(o *Options) { o.Issuer = testIssuer + "#" }, "fragment"},
		"a user in the issuer":    {func(o *Options) { o.Issuer = "https://a@op.example.com" }, "user"},
		"a line break":            {func(o *Options) { o.Issuer = testIssuer + "\n" }, "no URL"},
		"no client_id":            {func(o *Options) { o.ClientID = "" }, "client_id"},
		"a bad client_id":         {func(o *Options) { o.ClientID = "a\nb" }, "client_id"},
		"no keys":                 {func(o *Options) { o.Keys = nil }, "keys"},
		"scopes without openid":   {func(o *Options) { o.Scopes = []string{"email"} }, "openid"},
		"a scope with a space":    {func(o *Options) { o.Scopes = []string{"openid email"} }, "no scope"},
		"an empty scope":          {func(o *Options) { o.Scopes = []string{"openid", ""} }, "no scope"},
		"algorithm none":          {func(o *Options) { o.Algorithms = []string{"none"} }, "cannot be allowed"},
		"HMAC":                    {func(o *Options) { o.Algorithms = []string{"RS256", "HS256"} }, "cannot be allowed"},
		"an unknown algorithm":    {func(o *Options) { o.Algorithms = []string{"rs256"} }, "cannot be allowed"},
		"an unknown field":        {func(o *Options) { o.Claims = map[string]string{"scopes": "scope"} }, "no field"},
		"an empty claim":          {func(o *Options) { o.Claims = map[string]string{"groups": ""} }, "the claim for groups is missing"},
		"a negative max_age":      {func(o *Options) { o.MaxAge = -time.Second }, "negative"},
		"prompt none":             {func(o *Options) { o.Prompt = "login none" }, "nobody could sign in"},
		"an odd prompt":           {func(o *Options) { o.Prompt = "lo\"gin" }, "prompt or acr"},
		"an odd acr value":        {func(o *Options) { o.ACRValues = []string{"a b"} }, "prompt or acr"},
		"an empty acr value":      {func(o *Options) { o.ACRValues = []string{""} }, "prompt or acr"},
		"tenants elsewhere":       {func(o *Options) { o.Tenants = []string{"x"} }, "preset microsoft"},
		"domains elsewhere":       {func(o *Options) { o.Preset, o.HostedDomains = "okta", []string{"x"} }, "preset google"},
		"organizations elsewhere": {func(o *Options) { o.Organizations = []string{"x"} }, "preset github"},
		"an empty domain":         {func(o *Options) { o.Preset, o.HostedDomains = "google", []string{""} }, "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			o := minimal(t)
			c.change(&o)
			p, err := New(o)
			if p != nil || err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v %v", p, err)
			}
		})
	}
	for _, issuer := range []string{"http://localhost:1", "http://127.0.0.1", "http://[::1]:9/realm", "http://a.localhost"} {
		o := minimal(t)
		o.Issuer = issuer
		if p, err := New(o); err != nil {
			t.Errorf("%s: %v", issuer, err)
		} else {
			p.Close()
		}
	}
}

// Without a transport there is one of ours.
func TestOwnTransport(t *testing.T) {
	op := optest.Start(t)
	o := minimal(t)
	o.Issuer, o.Transport, o.Keys = op.Issuer, nil, keysBy(t, http.DefaultTransport, time.Now)
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
