package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// machineVariants are programs' requests: with a key, with a token that was seen
// before, with one that was not, and with keys that are wrong.
func machineVariants() []*variant {
	idp := startIssuer()
	gate := "gatehouse {\n policy bench\n}"
	rules := manyRules(10)
	key := func(v *variant) (func(int) string, error) {
		text, err := v.newKey()
		return func(int) string { return text }, err
	}
	seen := func(*variant) (func(int) string, error) {
		text := idp.token(0)
		return func(int) string { return text }, nil
	}
	fresh := func(*variant) (func(int) string, error) { return idp.token, nil }
	mistyped := func(*variant) (func(int) string, error) {
		return func(n int) string { return fmt.Sprintf("gh_AAAAAAAAAAAA_%032dAAAAAA", n) }, nil
	}
	unknown := func(*variant) (func(int) string, error) {
		return func(n int) string { return withChecksum(fmt.Sprintf("gh_%012d_%032d", n, n)) }, nil
	}
	all := []*variant{
		{name: "bare", bearer: seen},
		{name: "key", site: gate, policy: rules, bearer: key},
		{name: "key-quiet", site: gate, policy: rules, bearer: key, global: "quiet"},
		{name: "key-limited-quiet", site: gate, policy: rules, global: "quiet", bearer: func(v *variant) (func(int) string, error) {
			text, err := v.newKey("1000000/1s")
			return func(int) string { return text }, err
		}},
		{name: "key-redis-quiet", site: gate, policy: rules, bearer: key, global: "quiet", redis: true},
		{name: "token", site: gate, policy: rules, bearer: seen},
		{name: "token-quiet", site: gate, policy: rules, bearer: seen, global: "quiet"},
		{name: "first-seen-token", site: gate, policy: rules, bearer: fresh},
		{name: "first-seen-token-quiet", site: gate, policy: rules, bearer: fresh, global: "quiet"},
		{name: "mistyped-key", site: gate, policy: rules, bearer: mistyped, status: http.StatusUnauthorized},
		{name: "unknown-key", site: gate, policy: rules, bearer: unknown, status: http.StatusUnauthorized},
		{name: "unknown-key-redis", site: gate, policy: rules, bearer: unknown, status: http.StatusUnauthorized, redis: true},
	}
	for _, v := range all {
		v.machine = true
		v.options = fmt.Sprintf("jwt id {\nissuer %s\naudience bench\n}", idp.url)
	}
	return all
}

// newKey makes a service with the role that the policies ask for, and a key of it.
func (v *variant) newKey(rate ...string) (string, error) {
	if _, err := v.admin1("services", map[string]any{"name": "robot", "roles": []string{"viewer"}, "scopes": []string{"x"}}); err != nil {
		return "", err
	}
	raw, err := v.admin1("keys", map[string]any{"owner": "robot", "scopes": []string{"x"}, "rate": strings.Join(rate, "")})
	if err != nil {
		return "", err
	}
	var made struct{ Key string }
	err = json.Unmarshal(raw, &made)
	return made.Key, err
}

// admin1 makes one thing through the admin API; Redis may still be starting.
func (v *variant) admin1(what string, body map[string]any) ([]byte, error) {
	doc, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		resp, err := http.Post(fmt.Sprintf("http://localhost:%d/gatehouse/%s", v.admin, what), "application/json", bytes.NewReader(doc))
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err == nil && resp.StatusCode == http.StatusCreated:
			return text, nil
		case try == 50:
			return nil, fmt.Errorf("adding to %s: %s %s", what, resp.Status, text)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// withChecksum makes a key that is well formed and nobody's.
func withChecksum(text string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := crc32.ChecksumIEEE([]byte(text))
	out := make([]byte, 6)
	for i := range out {
		out[5-i] = digits[sum%62]
		sum /= 62
	}
	return text + string(out)
}

// issuer signs tokens and publishes its key.
type issuer struct {
	url string
	key *ecdsa.PrivateKey
	n   atomic.Int64
}

func startIssuer() *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	i := &issuer{url: "http://" + l.Addr().String(), key: key}
	raw, err := key.PublicKey.Bytes()
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.url, i.url+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"k","x":%q,"y":%q}]}`, b64(raw[1:33]), b64(raw[33:]))
	})
	go http.Serve(l, mux)
	return i
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// token is a new token each time it is called.
func (i *issuer) token(int) string {
	claims := fmt.Sprintf(`{"iss":%q,"aud":"bench","sub":"robot-7","client_id":"robot-7","jti":"token-%d","iat":%d,"exp":%d,"roles":["viewer"],"scope":"reports:read"}`,
		i.url, i.n.Add(1), time.Now().Unix(), time.Now().Add(time.Hour).Unix())
	input := b64([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"k"}`)) + "." + b64([]byte(claims))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	if err != nil {
		log.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return input + "." + b64(sig)
}
