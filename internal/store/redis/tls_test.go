package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
)

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func tlsServer(t *testing.T, certFile, keyFile string) (addr string) {
	t.Helper()
	port := storetest.FreePort(t)
	storetest.Redis(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no")
	return net.JoinHostPort("127.0.0.1", port)
}

// TestTLS makes one certificate a root of the system, which Go reads once in a
// process: no other test here may use TLS.
func TestTLS(t *testing.T) {
	trusted, trustedKey := selfSigned(t)
	other, otherKey := selfSigned(t)
	t.Setenv("SSL_CERT_FILE", trusted)
	good, bad := tlsServer(t, trusted, trustedKey), tlsServer(t, other, otherKey)

	s := openReady(t, "rediss://"+good, Options{})
	if err := s.Put(t.Context(), "k/a", nil, 0); err != nil {
		t.Errorf("with a certificate of a root of the system: %v", err)
	}
	for name, url := range map[string]string{
		"a certificate that nobody vouches for": "rediss://" + bad,
		"plain text to a TLS port":              "redis://" + good,
	} {
		if err := open(t, url, Options{}).Put(t.Context(), "k/a", nil, 0); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
