package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

// checkClientAuth refuses a site that takes client certificates and whose TLS
// does not verify them: anybody can make a certificate with any name in it.
func checkClientAuth(ctx caddy.Context, site string) error {
	const mend = "give the site tls { client_auth { mode verify_if_given; trust_pool file ca.pem } }, or leave certificate out with methods"
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return errors.New("certificate: this gate is in no HTTP server, so no TLS could verify a certificate: leave it out with methods")
	}
	if srv.StrictSNIHost != nil && !*srv.StrictSNIHost {
		return errors.New("certificate: strict_sni_host is off, so that a certificate verified for one site would count at another: remove insecure_off")
	}
	for _, p := range srv.TLSConnPolicies {
		// Whichever site of this server it is meant for: sites are told apart by what
		// the client says, and a gate's name need not be a host.
		if reason := believesAll(p.ClientAuthentication); reason != "" {
			return fmt.Errorf("certificate: %s: name your own with trust_pool, or leave certificate out with methods", reason)
		}
	}
	host, _, _ := strings.Cut(site, ":")
	reason := "the site has no TLS of its own with client_auth"
	for _, p := range srv.TLSConnPolicies {
		if !forHost(p, host) {
			continue
		}
		if reason = unverified(p.ClientAuthentication); reason == "" || host != "" {
			break
		}
	}
	if reason != "" {
		return fmt.Errorf("certificate: %s, so nobody would know who made a certificate: %s", reason, mend)
	}
	return nil
}

// believesAll says why client certificates of anybody who can buy one would be
// verified; "" when they are not.
func believesAll(c *caddytls.ClientAuthentication) string {
	if c == nil || c.Mode == "request" || c.Mode == "require" {
		return ""
	}
	var pool struct {
		Provider string `json:"provider"`
	}
	switch {
	case json.Unmarshal(c.CARaw, &pool) == nil && pool.Provider == "system":
		return "TLS here has client_auth with trust_pool system, and would believe every authority that this machine knows"
	case c.Mode != "" && !namesAuthorities(c):
		return "TLS here has client_auth without a trust_pool, and would believe every authority that this machine knows"
	}
	return ""
}

func namesAuthorities(c *caddytls.ClientAuthentication) bool {
	//lint:ignore SA1019 configurations that have the old options are still valid
	return len(c.TrustedCACerts)+len(c.TrustedCACertPEMFiles)+len(c.CARaw) > 0
}

// forHost reports whether a connection policy is for a host, as far as its
// server names tell. Without a host every policy is.
func forHost(p *caddytls.ConnectionPolicy, host string) bool {
	raw, named := p.MatchersRaw["sni"]
	if !named || host == "" {
		return true
	}
	var names []string
	if json.Unmarshal(raw, &names) != nil {
		return true
	}
	for _, name := range names {
		if strings.EqualFold(name, host) {
			return true
		}
		if suffix, wild := strings.CutPrefix(name, "*"); wild {
			if _, rest, found := strings.Cut(host, "."); found && strings.EqualFold("."+rest, suffix) {
				return true
			}
		}
	}
	return false
}

// unverified says why client certificates are not verified against authorities
// that the operator names; "" when they are.
func unverified(c *caddytls.ClientAuthentication) string {
	switch {
	case c == nil || !c.Active():
		return "its TLS asks for no client certificate"
	case c.Mode == "request" || c.Mode == "require":
		return "its TLS has client_auth mode " + c.Mode + ", which takes any certificate without a look"
	case !namesAuthorities(c):
		return "its TLS has client_auth without a trust_pool, which takes any certificate without a look"
	}
	return ""
}
