// Package optest is an OpenID Connect provider for tests: in the process, without
// consent pages, strict with its client, and with a knob for each mistake that a
// client must notice. GitHub is its like without OpenID Connect.
//
// It is a plain http.Handler, so that a browser can use it, too. It keeps
// everything in memory and its clock and keys are the test's.
package optest

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Client is the one client that the provider knows.
type Client struct {
	ID, Secret      string
	Auth            string           // as in OpenID Connect Core section 9; default client_secret_basic
	PublicKey       crypto.PublicKey // of private_key_jwt
	RedirectURLs    []string         // that are allowed; nil: any
	PostLogoutURLs  []string         // the same after a logout
	BackChannelURL  string           // where it hears of logouts; "": it does not
	FrontChannelURL string           // the same, in a frame of the page after a logout
}

// Account is somebody who can sign in.
type Account struct {
	Subject  string
	Claims   map[string]any // besides sub; email and profile only in their scopes
	Disabled bool           // refreshing fails
}

// Asked is one request that came.
type Asked struct {
	Form   url.Values // query and body
	Header http.Header
}

// OP is one provider. Issuer, Client and Clock are set before its first request.
type OP struct {
	Issuer string
	Client Client
	Clock  func() time.Time
	// HTTP sends back-channel logouts.
	HTTP *http.Client

	mu        sync.Mutex
	knobs     Knobs
	accounts  []Account
	keys      []*Key
	codes     map[string]*grant
	refreshes map[string]*grant
	accesses  map[string]*grant
	sessions  map[string]*grant // by sid
	used      map[string]bool   // client assertions
	asked     map[string][]Asked
}

// grant is what one login came to.
type grant struct {
	account  string
	redirect string
	scopes   []string
	nonce    string
	verifier string // the challenge of PKCE
	acr      string
	authTime time.Time
	sid      string
	used     bool // its code
	void     bool // logged out, revoked, or a token of it was used twice
}

// New makes a provider with client "client" and its secret "secret", and alice.
func New(issuer string) *OP {
	return &OP{
		Issuer: issuer,
		Client: Client{ID: "client", Secret: "secret", Auth: "client_secret_basic"},
		Clock:  time.Now,
		HTTP:   http.DefaultClient,
		accounts: []Account{{Subject: "alice-1", Claims: map[string]any{
			"name": "Alice", "preferred_username": "alice", "email": "alice@example.com", "email_verified": true,
			"groups": []any{"finance"}, "roles": []any{"reader"},
		}}},
		keys: []*Key{FirstKey()}, codes: map[string]*grant{}, refreshes: map[string]*grant{}, accesses: map[string]*grant{},
		sessions: map[string]*grant{}, used: map[string]bool{}, asked: map[string][]Asked{},
	}
}

// Start serves a provider on this machine until the test ends.
func Start(tb testing.TB) *OP {
	tb.Helper()
	o := New("")
	s := httptest.NewServer(o)
	tb.Cleanup(s.Close)
	o.Issuer = s.URL
	return o
}

// Set changes knobs.
func (o *OP) Set(change func(*Knobs)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.knobs)
}

// Reset puts all knobs back.
func (o *OP) Reset() { o.Set(func(k *Knobs) { *k = Knobs{} }) }

// Put adds an account, or changes the one of the same subject.
func (o *OP) Put(a Account) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.accounts {
		if o.accounts[i].Subject == a.Subject {
			o.accounts[i] = a
			return
		}
	}
	o.accounts = append(o.accounts, a)
}

// Asked are the requests that came to an endpoint: its path without the slash.
func (o *OP) Asked(endpoint string) []Asked {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[endpoint]
}

func (o *OP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	base, _ := url.Parse(o.Issuer)
	endpoint := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, strings.TrimSuffix(base.Path, "/")), "/")
	if err := r.ParseForm(); err != nil {
		http.Error(w, "bad form", http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	if seen := o.asked[endpoint]; len(seen) < 1000 {
		o.asked[endpoint] = append(seen, Asked{Form: maps.Clone(r.Form), Header: r.Header.Clone()})
	}
	broken := o.knobs.Broken[endpoint]
	o.mu.Unlock()
	if broken != nil {
		broken(w, r)
		return
	}
	switch endpoint {
	case ".well-known/openid-configuration":
		o.answer(w, http.StatusOK, o.metadata())
	case "jwks":
		o.answer(w, http.StatusOK, o.jwks())
	case "authorize":
		o.authorize(w, r)
	case "token":
		o.token(w, r)
	case "userinfo":
		o.userInfo(w, r)
	case "revoke":
		o.revoke(w, r)
	case "end_session":
		o.endSession(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (o *OP) metadata() map[string]any {
	o.mu.Lock()
	defer o.mu.Unlock()
	base := strings.TrimSuffix(o.Issuer, "/")
	doc := map[string]any{
		"issuer": o.Issuer, "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token", "jwks_uri": base + "/jwks",
		"userinfo_endpoint": base + "/userinfo", "revocation_endpoint": base + "/revoke", "end_session_endpoint": base + "/end_session",
		"response_types_supported": []any{"code"}, "subject_types_supported": []any{"public"}, "code_challenge_methods_supported": []any{"S256"},
		"id_token_signing_alg_values_supported": []any{"RS256", "ES256", "EdDSA", "PS256"}, "scopes_supported": []any{"openid", "email", "profile", "offline_access"},
		"token_endpoint_auth_methods_supported":          []any{"client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth", "none"},
		"authorization_response_iss_parameter_supported": true, "backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
		"frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true, "claims_parameter_supported": false,
	}
	return overlay(doc, o.knobs.Metadata)
}

// overlay puts the members of over into doc; nil takes one out.
func overlay(doc, over map[string]any) map[string]any {
	for name, v := range over {
		if doc[name] = v; v == nil {
			delete(doc, name)
		}
	}
	return doc
}

func (o *OP) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // to a client that may have gone
}

func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
