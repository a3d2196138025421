package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
)

func edKey() ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	return must(k, err)
}

// A secret and an ID with characters that a header or form would trip over.
func TestSecretIsEncoded(t *testing.T) {
	for _, auth := range []string{"client_secret_basic", "client_secret_post"} {
		op := optest.New(testIssuer)
		op.Client.ID, op.Client.Secret, op.Client.Auth = "cli:ent ü&=%", "s:e+c/r e%41t=&ä", auth
		w := join(t, op, op.Transport(), func(o *Options) { o.Auth = auth })
		w.in()
		op.Client.Secret = "another"
		l, err := w.login(Request{})
		if p := (*ProviderError)(nil); l != nil || !errors.As(err, &p) || p.Code != "invalid_client" || errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	}
}

func TestSecretPostWhereOnlyThatIsTaken(t *testing.T) {
	w := newWorld(t)
	w.op.Client.Auth = "client_secret_post"
	w.knob(func(k *optest.Knobs) {
		k.Metadata = object{"token_endpoint_auth_methods_supported": []any{"client_secret_post", "none"}}
	})
	w.in()
	w = newWorld(t)
	w.knob(func(k *optest.Knobs) { k.Metadata = object{"token_endpoint_auth_methods_supported": nil} })
	w.in() // Basic is what counts then (OpenID Connect Discovery section 3)
	w = newWorld(t)
	w.knob(func(k *optest.Knobs) {
		k.Metadata = object{"token_endpoint_auth_methods_supported": []any{"private_key_jwt"}}
	})
	w.in()
}

func TestPublicClient(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Auth, o.ClientSecret = "none", "" })
	w.op.Client.Auth = "none"
	w.in()
}

func TestPrivateKeyJWT(t *testing.T) {
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	for name, c := range map[string]struct {
		key crypto.Signer
		alg string
		set string
	}{
		"RS256": {rsaKey(), "RS256", ""}, "PS256": {rsaKey(), "PS256", "PS256"}, "ES256": {ecKey(), "ES256", "ES256"},
		"ES384": {p384, "ES384", ""}, "ES512": {p521, "ES512", ""}, "EdDSA": {edKey(), "EdDSA", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.ClientSecret, o.PrivateKey, o.KeyID, o.KeyAlgorithm = "", c.key, "kid-1", c.set })
			w.op.Client.Auth, w.op.Client.PublicKey = "private_key_jwt", c.key.Public()
			l := w.in()
			if _, _, err := w.Refresh(t.Context(), l.Issuer, l.Subject, l.Tokens); err != nil { // another assertion, of another jti
				t.Error(err)
			}
			form := w.op.Asked("token")[0].Form
			header, claims, ok := optest.Verify(form.Get("client_assertion"), c.key.Public())
			if !ok || header["alg"] != c.alg || header["kid"] != "kid-1" || claims["aud"] != testIssuer+"/token" || form.Has("client_secret") {
				t.Error(header, claims, ok)
			}
			w.op.Client.PublicKey = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public()
			_, err := w.login(Request{})
			if p := (*ProviderError)(nil); !errors.As(err, &p) || p.Code != "invalid_client" {
				t.Error(err)
			}
		})
	}
}

// badSigner is a broken hardware key.
type badSigner struct {
	crypto.Signer
	out []byte
	err error
}

func (b badSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return b.out, b.err }

func TestBrokenKey(t *testing.T) {
	huge := append([]byte{0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x03, 1}, make([]byte, 0x102)...)
	for _, bad := range []badSigner{{ecKey(), nil, errors.New("token removed")}, {ecKey(), nil, nil}, {ecKey(), []byte{1, 2, 3}, nil}, {ecKey(), append(huge, 2, 1, 1), nil}, {ecKey(), []byte{0x30, 6, 2, 1, 0, 2, 1, 1}, nil}, {ecKey(), []byte{0x30, 6, 2, 1, 0xff, 2, 1, 1}, nil}} {
		w := newWorld(t, func(o *Options) { o.ClientSecret, o.PrivateKey = "", bad })
		if l, err := w.login(Request{}); l != nil || err == nil || len(w.op.Asked("token")) != 0 {
			t.Error(err)
		}
	}
}

func TestParsePrivateKey(t *testing.T) {
	pkcs8 := func(k any) []byte { return must(x509.MarshalPKCS8PrivateKey(k)) }
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, text := range map[string]string{
		"PKCS 8 RSA": block("PRIVATE KEY", pkcs8(rsaKey())), "PKCS 8 EC": block("PRIVATE KEY", pkcs8(ecKey())), "PKCS 8 Ed25519": block("PRIVATE KEY", pkcs8(edKey())),
		"PKCS 1": block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())), "SEC 1": block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ecKey()))),
	} {
		if k, err := ParsePrivateKey([]byte(text)); err != nil || k == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	x25519 := must(ecdhKey())
	for name, text := range map[string]string{
		"nothing": "", "no PEM": "secret", "public": block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(ecKey().Public()))), "damaged": block("PRIVATE KEY", []byte("x")),
		"two": block("PRIVATE KEY", pkcs8(ecKey())) + block("PRIVATE KEY", pkcs8(ecKey())), "encrypted": block("ENCRYPTED PRIVATE KEY", []byte("x")), "no signing key": block("PRIVATE KEY", pkcs8(x25519)),
	} {
		if k, err := ParsePrivateKey([]byte(text)); err == nil || k != nil {
			t.Errorf("%s is a key", name)
		}
	}
}

// tlsServer is a provider that asks for a client certificate.
type tlsServer struct {
	t      *testing.T
	op     *optest.OP
	server *httptest.Server
}

func mutualTLS(t *testing.T) (*tlsServer, *tls.Certificate) {
	t.Helper()
	op := optest.New("")
	op.Client.Auth = "tls_client_auth"
	s := httptest.NewUnstartedServer(op)
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	op.Issuer = s.URL
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotAfter: time.Now().Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, ecKey().Public(), ecKey()))
	return &tlsServer{t, op, s}, &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ecKey()}
}

func (s *tlsServer) join(change func(*Options)) *world {
	return join(s.t, s.op, s.server.Client().Transport, change)
}

func TestMutualTLS(t *testing.T) {
	for _, auth := range []string{"", "tls_client_auth", "self_signed_tls_client_auth"} {
		server, certificate := mutualTLS(t)
		w := server.join(func(o *Options) { o.Auth, o.ClientSecret, o.ClientCertificate = auth, "", certificate })
		w.in()
	}
	server, _ := mutualTLS(t) // without the certificate the provider says no
	w := server.join(func(o *Options) { o.Auth, o.ClientSecret = "none", "" })
	if l, err := w.login(Request{}); l != nil || err == nil {
		t.Error(err)
	}
	// The caller's own transport is not changed.
	if c := server.server.Client().Transport.(*http.Transport).TLSClientConfig; len(c.Certificates) != 0 {
		t.Error("the certificate is in the transport of others")
	}
}

func TestOptionsOfClientAuthentication(t *testing.T) {
	_, certificate := mutualTLS(t)
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for name, c := range map[string]struct {
		change func(*Options)
		reason string
	}{
		"nothing":                   {func(o *Options) { o.ClientSecret = "" }, "client_secret is missing"},
		"unknown":                   {func(o *Options) { o.Auth = "client_secret_jwt" }, "not known"},
		"Basic without a secret":    {func(o *Options) { o.Auth, o.ClientSecret = "client_secret_basic", "" }, "lacks"},
		"post without a secret":     {func(o *Options) { o.Auth, o.ClientSecret = "client_secret_post", "" }, "lacks"},
		"JWT without a key":         {func(o *Options) { o.Auth, o.ClientSecret = "private_key_jwt", "" }, "lacks"},
		"TLS without a certificate": {func(o *Options) { o.Auth, o.ClientSecret = "tls_client_auth", "" }, "lacks"},
		"an empty certificate": {func(o *Options) {
			o.Auth, o.ClientSecret, o.ClientCertificate = "tls_client_auth", "", &tls.Certificate{}
		}, "lacks"},
		"JWT with a secret":          {func(o *Options) { o.Auth, o.PrivateKey = "private_key_jwt", ecKey() }, "does not go with"},
		"none with a secret":         {func(o *Options) { o.Auth = "none" }, "does not go with"},
		"secret with a key":          {func(o *Options) { o.PrivateKey = ecKey() }, "does not go with"},
		"TLS with a secret":          {func(o *Options) { o.Auth, o.ClientCertificate = "tls_client_auth", certificate }, "does not go with"},
		"a kid without a key":        {func(o *Options) { o.KeyID = "k" }, "without a private key"},
		"an algorithm without a key": {func(o *Options) { o.KeyAlgorithm = "ES256" }, "without a private key"},
		"another key's algorithm":    {func(o *Options) { o.ClientSecret, o.PrivateKey, o.KeyAlgorithm = "", ecKey(), "RS256" }, "does not fit"},
		"an HMAC":                    {func(o *Options) { o.ClientSecret, o.PrivateKey, o.KeyAlgorithm = "", rsaKey(), "HS256" }, "does not fit"},
		"a weak key":                 {func(o *Options) { o.ClientSecret, o.PrivateKey = "", weak }, "less than 2048"},
		"an odd curve":               {func(o *Options) { o.ClientSecret, o.PrivateKey = "", p224 }, "cannot be used"},
		"a line break in the secret": {func(o *Options) { o.ClientSecret = "secret\n" }, "line break"},
		"a certificate with a transport of another kind": {func(o *Options) { o.ClientSecret, o.ClientCertificate = "", certificate }, "*http.Transport"},
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
}
