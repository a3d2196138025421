package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// authority signs client certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	der, key := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.key = cert, key
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

func (a *authority) sign(c *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber = new(big.Int).SetBytes(random(a.t, 8))
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// client makes a certificate with these URIs among its names, and one who uses
// it.
func (a *authority) client(uris ...string) (*visitor, string) {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			a.t.Fatal(err)
		}
		c.URIs = append(c.URIs, parsed)
	}
	der, key := a.sign(c)
	v := newVisitor(a.t)
	v.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // the server's certificate is not what is tested
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}}
	return v, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// mutualTLS is a site whose TLS verifies client certificates of ca.pem.
const mutualTLS = `{
	admin localhost:{ADMIN}
	persist_config off
	skip_install_trust
	http_port {APP2}
	gatehouse {
		certificates {
			username san_uri
		}
	}
}
https://localhost:{PORT} {
	bind 127.0.0.1
	tls internal {
		client_auth {
			mode {MODE}
			trust_pool file ca.pem
		}
	}
	gatehouse {
		allow provider certificate path /machines/*
		allow role exporter
	}
	reverse_proxy localhost:{APP}
}
`

func mutualServer(t testing.TB, mode string) *server {
	return newServerFile(t, strings.NewReplacer("{MODE}", mode, "{APP2}", fmt.Sprint(freePort(t))).Replace(mutualTLS)+echoApp)
}

func (s *server) tlsURL(path string) string {
	return fmt.Sprintf("https://localhost:%d%s", s.port, path)
}

// startTLS starts a server whose site speaks TLS only.
func (s *server) startTLS() *server {
	s.t.Helper()
	s.spawn()
	v := newVisitor(s.t)
	v.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	eventually(s.t, 60*time.Second, "the site answers", func() bool {
		_, err := v.try(http.MethodGet, s.tlsURL("/_gatehouse/login"), nil)
		return err == nil
	})
	return s
}

func TestCertificates(t *testing.T) {
	ca := newAuthority(t)
	s := mutualServer(t, "verify_if_given")
	s.writeFile("ca.pem", ca.pem)
	s.startTLS()
	v, text := ca.client("spiffe://example.org/exporter")
	s.writeFile("exporter.pem", text)

	t.Run("a verified certificate is an identity", func(t *testing.T) {
		e := v.get(s.tlsURL("/machines/1")).echo(t)
		if e.Headers["Remote-User"][0] != "spiffe://example.org/exporter" || e.Headers["Remote-Roles"] != nil {
			t.Errorf("%v", e.Headers)
		}
	})
	t.Run("by itself it has no role", func(t *testing.T) {
		if a := v.get(s.tlsURL("/export")); a.StatusCode != http.StatusForbidden {
			t.Errorf("%d", a.StatusCode)
		}
	})
	t.Run("bound to a service it is that service", func(t *testing.T) {
		s.mustCLI("", "service", "add", "exporter", "--role", "exporter")
		s.mustCLI("", "certificate", "bind", "exporter", "spiffe://example.org/exporter")
		e := v.get(s.tlsURL("/export")).echo(t)
		if e.Headers["Remote-User"][0] != "exporter" || e.Headers["Remote-Roles"][0] != "exporter" {
			t.Errorf("%v", e.Headers)
		}
		if out := s.mustCLI("", "certificate", "list"); !strings.Contains(out, "stands for exporter") {
			t.Error(out)
		}
		s.mustCLI("", "service", "disable", "exporter")
		if a := v.get(s.tlsURL("/machines/1")); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("a disabled service's certificate: %d", a.StatusCode)
		}
		s.mustCLI("", "service", "enable", "exporter")
		s.mustCLI("", "certificate", "unbind", "exporter", "spiffe://example.org/exporter")
		s.mustCLI("", "certificate", "bind", "exporter", "exporter.pem")
		v.get(s.tlsURL("/export")).echo(t)
	})
	t.Run("revoked by its file, it is refused at once, also on the connection that is open", func(t *testing.T) {
		s.mustCLI("", "certificate", "revoke", "exporter.pem", "--note", "lost laptop")
		if a := v.get(s.tlsURL("/machines/1")); a.StatusCode != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%d %v", a.StatusCode, a.Header)
		}
		s.mustCLI("", "certificate", "unrevoke", "exporter.pem")
		v.get(s.tlsURL("/machines/1")).echo(t)
	})
	t.Run("with two names, or none, it is refused", func(t *testing.T) {
		for _, names := range [][]string{{"spiffe://example.org/a", "spiffe://example.org/b"}, nil} {
			two, _ := ca.client(names...)
			if a := two.get(s.tlsURL("/machines/1")); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%v: %d", names, a.StatusCode)
			}
		}
	})
	t.Run("of another authority it does not get through TLS", func(t *testing.T) {
		foreign, _ := newAuthority(t).client("spiffe://example.org/exporter")
		if a, err := foreign.try(http.MethodGet, s.tlsURL("/machines/1"), nil); err == nil {
			t.Errorf("%d", a.StatusCode)
		}
	})
	t.Run("who has none signs in as everybody does", func(t *testing.T) {
		nobody := newVisitor(t)
		nobody.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		if a := nobody.navigate(s.tlsURL("/machines/1")); a.StatusCode != http.StatusFound {
			t.Errorf("%d", a.StatusCode)
		}
	})
	t.Run("the decision log names it", func(t *testing.T) {
		s.waitLog(`"identity":"certificate:spiffe://example.org/exporter","identity_method":"certificate","credential_id":"sha256:`, 5*time.Second)
	})
}

func TestSiteThatDoesNotVerifyCertificates(t *testing.T) {
	ca := newAuthority(t)
	for _, c := range []struct{ name, from, to, want string }{
		{"any certificate", "mode {MODE}", "mode request", "mode request"},
		{"required, not verified", "mode {MODE}", "mode require", "mode require"},
		{"without authorities", "trust_pool file ca.pem", "", "without a trust_pool"},
		{"without client_auth", "client_auth {\n\t\t\tmode {MODE}\n\t\t\ttrust_pool file ca.pem\n\t\t}", "", "asks for no client certificate"},
		{"without TLS", "https://localhost:{PORT} {\n\tbind 127.0.0.1\n\ttls internal {\n\t\tclient_auth {\n\t\t\tmode {MODE}\n\t\t\ttrust_pool file ca.pem\n\t\t}\n\t}", "http://localhost:{PORT} {", "no TLS of its own"},
		{"strict SNI off", "\tskip_install_trust\n", "\tskip_install_trust\n\tservers {\n\t\tstrict_sni_host insecure_off\n\t}\n", "strict_sni_host is off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(mutualTLS, c.from, c.to, 1)
			if text == mutualTLS {
				t.Fatal("nothing was changed")
			}
			text = strings.NewReplacer("{MODE}", "require_and_verify", "{APP2}", fmt.Sprint(freePort(t))).Replace(text)
			s := newServerFile(t, text+echoApp)
			s.writeFile("ca.pem", ca.pem)
			out, err := s.caddy("", "validate", "--config", "Caddyfile")
			if err == nil || !strings.Contains(out, c.want) || !strings.Contains(out, "certificate: ") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	t.Run("a site that leaves certificates out may do as it likes", func(t *testing.T) {
		text := strings.Replace(mutualTLS, "allow role exporter", "allow role exporter\n\t\tmethods session key", 1)
		text = strings.NewReplacer("{MODE}", "request", "{APP2}", fmt.Sprint(freePort(t))).Replace(text)
		s := newServerFile(t, text+echoApp)
		s.writeFile("ca.pem", ca.pem)
		if out, err := s.caddy("", "validate", "--config", "Caddyfile"); err != nil {
			t.Error(out)
		}
	})
}

// serveOn serves h on a loopback port until the test ends, and returns where.
func serveOn(t testing.TB, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ErrorLog: nil}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}
