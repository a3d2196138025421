package optest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// authenticated checks the client in the one way that it is registered for, and
// refuses two ways at once (RFC 6749 section 2.3). The lock is held.
func (o *OP) authenticated(r *http.Request) bool {
	c, form := &o.Client, r.PostForm
	id, secret, basic := r.BasicAuth()
	_, inBody := form["client_secret"]
	assertion := form.Get("client_assertion")
	ways := 0
	for _, used := range []bool{basic, inBody, assertion != ""} {
		if used {
			ways++
		}
	}
	if ways > 1 {
		return false
	}
	switch c.Auth {
	case "client_secret_basic":
		id, err := url.QueryUnescape(id)
		secret, err2 := url.QueryUnescape(secret)
		return basic && err == nil && err2 == nil && id == c.ID && secret == c.Secret
	case "client_secret_post":
		return !basic && form.Get("client_id") == c.ID && form.Get("client_secret") == c.Secret
	case "private_key_jwt":
		return form.Get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" && o.asserted(assertion, strings.TrimSuffix(o.Issuer, "/")+"/"+r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
	case "tls_client_auth", "self_signed_tls_client_auth":
		return ways == 0 && form.Get("client_id") == c.ID && r.TLS != nil && len(r.TLS.PeerCertificates) > 0
	case "none":
		return ways == 0 && form.Get("client_id") == c.ID
	}
	return false
}

// asserted checks a client assertion (RFC 7523 section 3) for one endpoint. Each
// counts once.
func (o *OP) asserted(assertion, endpoint string) bool {
	header, claims, ok := Verify(assertion, o.Client.PublicKey)
	if !ok || header["typ"] != "JWT" {
		return false
	}
	jti, _ := claims["jti"].(string)
	exp, _ := claims["exp"].(json.Number)
	seconds, err := exp.Int64()
	now := o.Clock().Unix()
	if err != nil || seconds <= now || seconds > now+60 || jti == "" || o.used[jti] {
		return false
	}
	o.used[jti] = true
	return claims["iss"] == o.Client.ID && claims["sub"] == o.Client.ID && claims["aud"] == endpoint
}
