package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"
)

// provider is a certified OpenID provider (npm oidc-provider) that really runs.
type provider struct {
	t   testing.TB
	url string
	cmd *exec.Cmd
	log *logBuffer
}

// providerOptions are what test/provider/server.mjs is told.
type providerOptions struct {
	Issuer         string                    `json:"issuer"`
	Accounts       map[string]map[string]any `json:"accounts"`
	Clients        []map[string]any          `json:"clients"`
	AccessTokenTTL int                       `json:"accessTokenTTL,omitempty"`
	AlwaysRefresh  bool                      `json:"alwaysRefresh,omitempty"`
}

// The client that all gates of the tests are.
const (
	clientID     = "gatehouse"
	clientSecret = "a secret of 32 bytes and a bit more"
)

// startProvider starts one that knows alice and bob, and gates at these origins.
func startProvider(t testing.TB, o providerOptions, origins ...string) *provider {
	t.Helper()
	if _, err := os.Stat("provider/node_modules/oidc-provider"); err != nil {
		t.Fatal("test/provider is not installed: run npm ci in it, or test/run")
	}
	p := &provider{t: t, url: fmt.Sprintf("http://localhost:%d", freePort(t)), log: &logBuffer{}}
	o.Issuer = p.url
	if o.Accounts == nil {
		o.Accounts = map[string]map[string]any{
			"alice": {"email": "alice@example.com", "email_verified": true, "name": "Alice A.", "preferred_username": "alice", "roles": []string{"admin"}},
			"bob":   {"email": "bob@example.com", "email_verified": true, "name": "Bob B.", "preferred_username": "bob", "roles": []string{}},
		}
	}
	if o.Clients == nil {
		client := map[string]any{
			"client_id": clientID, "client_secret": clientSecret, "grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
			"scope": "openid email profile offline_access", "backchannel_logout_session_required": true, "id_token_signed_response_alg": "ES256",
		}
		var callbacks, back []string
		for _, origin := range origins {
			callbacks = append(callbacks, origin+"/oidc/idp/callback")
			back = append(back, origin+"/logout", origin+"/login")
			client["backchannel_logout_uri"] = origin + "/oidc/idp/backchannel-logout"
		}
		client["redirect_uris"], client["post_logout_redirect_uris"] = callbacks, back
		o.Clients = []map[string]any{client}
	}
	doc, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command("node", "provider/server.mjs")
	p.cmd.Env = append(os.Environ(), "PROVIDER="+string(doc))
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("log of the provider:\n%s", p.log)
		}
	})
	p.run()
	return p
}

func (p *provider) run() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("node is missing (Debian package nodejs): %v", err)
	}
	eventually(p.t, 60*time.Second, "the provider answers", func() bool {
		resp, err := http.Get(p.url + "/.well-known/openid-configuration")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (p *provider) stop() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// control does something to the provider while it runs.
func (p *provider) control(what string, pairs ...string) {
	p.t.Helper()
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	resp, err := http.Post(p.url+"/control/"+what+"?"+q.Encode(), "", bytes.NewReader(nil))
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		p.t.Fatalf("%s: %s", what, resp.Status)
	}
}
