package certificate

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

var (
	commonName  = asn1.ObjectIdentifier{2, 5, 4, 3}
	sanIs       = asn1.ObjectIdentifier{2, 5, 29, 17}
	someUnknown = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
)

// subject is the DER of a name with these common names.
func subject(t testing.TB, names ...string) []byte {
	t.Helper()
	var seq pkix.RDNSequence
	for _, n := range names {
		seq = append(seq, pkix.RelativeDistinguishedNameSET{{Type: commonName, Value: n}})
	}
	return marshal(t, seq)
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// rawSAN is an extension with one subject alternative name of a kind (1 e-mail
// address, 2 DNS name, 6 URI), which package x509 itself would not write.
func rawSAN(t testing.TB, kind int, text string) []pkix.Extension {
	t.Helper()
	name := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: kind, Bytes: []byte(text)}
	return []pkix.Extension{{Id: sanIs, Value: marshal(t, []asn1.RawValue{name})}}
}

// TestNames: exactly one name, or nobody.
func TestNames(t *testing.T) {
	no := func(c *x509.Certificate) {
		c.EmailAddresses, c.URIs, c.DNSNames, c.Subject, c.RawSubject = nil, nil, nil, pkix.Name{Organization: []string{"Example"}}, nil
	}
	both := func(fs ...func(*x509.Certificate)) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			for _, f := range fs {
				f(c)
			}
		}
	}
	email := func(a ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.EmailAddresses = a }
	}
	uri := func(a ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.URIs = nil
			for _, s := range a {
				c.URIs = append(c.URIs, link(t, s))
			}
		}
	}
	cn := func(a ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.RawSubject = subject(t, a...) }
	}
	for name, c := range map[string]struct {
		source Source
		change func(*x509.Certificate)
		reason string
	}{
		"no e-mail address": {SANEmail, no, "no e-mail address"},
		"an e-mail address in the subject only": {SANEmail, both(no, func(c *x509.Certificate) {
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "alice@example.com"}}
		}), "no e-mail address"},
		"two e-mail addresses":                    {SANEmail, email("alice@example.com", "admin@example.com"), "more than one e-mail"},
		"one e-mail address twice":                {SANEmail, email("alice@example.com", "alice@example.com"), "more than one e-mail"},
		"no @":                                    {SANEmail, email("alice"), "form name@example.com"},
		"a second @":                              {SANEmail, email("alice@evil.example@example.com"), "form name@example.com"},
		"a quoted @":                              {SANEmail, email(`"a@evil.example"@example.com`), "cannot have"},
		"no local part":                           {SANEmail, email("@example.com"), "form name@example.com"},
		"a space before":                          {SANEmail, email(" alice@example.com"), "space"},
		"a space after":                           {SANEmail, email("alice@example.com "), "space"},
		"a space within":                          {SANEmail, email("alice smith@example.com"), "cannot have"},
		"a NUL in an address":                     {SANEmail, email("admin@example.com\x00.evil.example"), "control character"},
		"a line break in an address":              {SANEmail, email("alice@example.com\r\nRemote-Roles: admin"), "control character"},
		"an address with a display name":          {SANEmail, email("Admin <admin@example.com>"), "cannot have"},
		"a list of addresses":                     {SANEmail, email("alice@example.com,admin@example.com"), "cannot have"},
		"an empty label":                          {SANEmail, email("alice@example..com"), "no valid domain"},
		"a dot after the domain":                  {SANEmail, email("alice@example.com."), "no valid domain"},
		"a domain literal":                        {SANEmail, email("alice@[192.0.2.1]"), "cannot have"},
		"a hyphen before a label":                 {SANEmail, email("alice@-example.com"), "no valid domain"},
		"a hyphen after a label":                  {SANEmail, email("alice@example-.com"), "no valid domain"},
		"a percent sign in a domain":              {SANEmail, email("alice@example.com%00.evil.example"), "no valid domain"},
		"a long address":                          {SANEmail, email(strings.Repeat("a", 250) + "@b.cd"), "longer than 254"},
		"no URI":                                  {SANURI, no, "no URI"},
		"two URIs":                                {SANURI, uri("spiffe://example.com/alice", "spiffe://example.com/admin"), "more than one URI"},
		"a relative URI":                          {SANURI, uri("/admin"), "no absolute URI"},
		"a URI without a scheme":                  {SANURI, uri("admin"), "no absolute URI"},
		"a network path":                          {SANURI, uri("//example.com/admin"), "no absolute URI"},
		"a scheme alone":                          {SANURI, uri("spiffe:"), "no absolute URI"},
		"a URI with an escaped NUL":               {SANURI, uri("spiffe://example.com/alice%00admin"), "escaped character"},
		"a URI with an escaped line break":        {SANURI, uri("spiffe://example.com/alice?a=%0d%0aRemote-Roles:%20admin"), "escaped character"},
		"a URI with escaped bytes of no text":     {SANURI, uri("spiffe://example.com/%ff"), "escaped character"},
		"a URI with a fragment":                   {SANURI, uri("spiffe://example.com/alice#admin"), "fragment"},
		"a URI that is a fingerprint":             {SANURI, uri("sha256:" + strings.Repeat("ab", 32)), "form of a fingerprint"},
		"a URI that is too long":                  {SANURI, uri("spiffe://example.com/" + strings.Repeat("a", 500)), "longer than 512"},
		"no common name":                          {SubjectCN, no, "no common name"},
		"an empty common name":                    {SubjectCN, cn(""), "is empty"},
		"two common names, the last of them good": {SubjectCN, cn("mallory", "alice"), "more than one common name"},
		"two common names in one set": {SubjectCN, func(c *x509.Certificate) {
			c.RawSubject = marshal(t, pkix.RDNSequence{{{Type: commonName, Value: "alice"}, {Type: commonName, Value: "root"}}})
		}, "more than one common name"},
		"a NUL in a common name":                      {SubjectCN, cn("admin\x00mallory"), "control character"},
		"a line break in a common name":               {SubjectCN, cn("alice\nadmin"), "control character"},
		"a direction change in a common name":         {SubjectCN, cn("alice\u202enimda"), "cannot be seen"},
		"a zero-width space in a common name":         {SubjectCN, cn("ad\u200bmin"), "cannot be seen"},
		"a no-break space in a common name":           {SubjectCN, cn("alice\u00a0admin"), "cannot be seen"},
		"a space before a common name":                {SubjectCN, cn(" alice"), "space"},
		"a space after a common name":                 {SubjectCN, cn("alice "), "space"},
		"a common name that is too long":              {SubjectCN, cn(strings.Repeat("a", 513)), "longer than 512"},
		"a common name that is another's fingerprint": {SubjectCN, cn("sha256:" + strings.Repeat("ab", 32)), "form of a fingerprint"},
		"and one that only begins like that":          {SubjectCN, cn("SHA256:admin"), "form of a fingerprint"},
		"a common name in two-byte characters with a NUL": {SubjectCN, func(c *x509.Certificate) {
			c.RawSubject = marshal(t, pkix.RDNSequence{{{Type: commonName, Value: asn1.RawValue{Tag: asn1.TagBMPString, Bytes: []byte{0, 'a', 0, 0, 0, 'b'}}}}})
		}, "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, c.source)
			h.refused(c.reason, "", h.chain(h.client(c.change))...)
		})
	}
	t.Run("names that are taken", func(t *testing.T) {
		for _, c := range []struct {
			source Source
			change func(*x509.Certificate)
			want   string
		}{
			{SANEmail, email("Alice.O'Hara+x@Mail.EXAMPLE.com"), "Alice.O'Hara+x@mail.example.com"},
			{SANEmail, email("root@localhost"), "root@localhost"},
			{SANURI, uri("spiffe://example.com/ns/prod/sa/web"), "spiffe://example.com/ns/prod/sa/web"},
			{SANURI, uri("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"), "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"},
			{SANURI, uri("https://example.com/a%20b?x=y"), "https://example.com/a%20b?x=y"},
			{SubjectCN, cn("李雷 (Reporting)"), "李雷 (Reporting)"},
			{SubjectCN, cn(strings.Repeat("a", 512)), strings.Repeat("a", 512)},
			{SubjectCN, func(c *x509.Certificate) {
				c.RawSubject = marshal(t, pkix.RDNSequence{{{Type: commonName, Value: asn1.RawValue{Tag: asn1.TagBMPString, Bytes: []byte{0, 'a', 0, 'b'}}}}})
			}, "ab"},
		} {
			h := newHouse(t, c.source)
			if got := h.in(h.client(c.change)).Subject; got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		}
	})
}

// TestEmailCaseTricks: the domain's case is none, the local part's is, and no
// case but that of ASCII counts.
func TestEmailCaseTricks(t *testing.T) {
	h := newHouse(t, SANEmail)
	as := func(address string) *x509.Certificate {
		return h.client(func(c *x509.Certificate) { c.EmailAddresses = []string{address} })
	}
	h.bind("alice", "alice@example.com")
	if id := h.in(as("alice@EXAMPLE.com")); id.ID != "usr_1" {
		t.Errorf("%+v", id)
	}
	for _, address := range []string{"Alice@example.com", "ALICE@EXAMPLE.COM"} {
		if id := h.in(as(address)); id.ID != "" || id.Email != address[:6]+"example.com" {
			t.Errorf("%q is taken for alice: %+v", address, id)
		}
	}
	t.Run("letters that are ASCII in another case only", func(t *testing.T) {
		leaf := as("alice@example.com")
		for _, address := range []string{"alice@\u212Aorp.example", "alice@example.c\u2126m", "alice@ex\u017fmple.com", "alice@ｅxample.com"} {
			leaf.EmailAddresses = []string{address} // no certificate that was parsed holds it
			h.refused("cannot have", "", h.chain(leaf)...)
			var invalid *InvalidError
			if err := h.Bind(t.Context(), "alice", address); !errors.As(err, &invalid) {
				t.Errorf("%q: %v", address, err)
			}
		}
	})
}

// TestNULInURI: Go's TLS refuses the certificate; if it did not, we would.
func TestNULInURI(t *testing.T) {
	h := newHouse(t, SANURI)
	forged := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: today.Add(-time.Hour), NotAfter: today.Add(time.Hour),
		ExtraExtensions: rawSAN(t, 6, "spiffe://example.com/alice\x00.evil"),
	}
	der, err := x509.CreateCertificate(bytes.NewReader(make([]byte, 1<<10)), forged, h.between, h.key.Public(), h.key)
	if err == nil {
		_, err = x509.ParseCertificate(der)
	}
	if err == nil || !strings.Contains(err.Error(), "control character") {
		t.Errorf("it was parsed: %v", err)
	}
	leaf := h.client(nil)
	for _, u := range []*url.URL{
		{Scheme: "spiffe", Host: "example.com", Path: "/alice\x00.evil"}, {Scheme: "spiffe", Opaque: "alice\x00"},
		{Scheme: "spiffe", Host: "example.com\x00"}, {Scheme: "spiffe", Host: "example.com", RawQuery: "\x00"}, nil, {},
	} {
		leaf := h.parse(leaf.Raw)
		leaf.URIs = []*url.URL{u}
		h.refused("", "", h.chain(leaf)...)
	}
}

// TestForgedNames: bytes that no honest authority writes into a certificate.
func TestForgedNames(t *testing.T) {
	for name, c := range map[string]struct {
		source Source
		change func(*x509.Certificate)
		reason string
	}{
		"a NUL in a raw address":              {SANEmail, func(c *x509.Certificate) { c.ExtraExtensions = rawSAN(t, 1, "a@example.com\x00") }, "control"},
		"a control character in another name": {SubjectCN, func(c *x509.Certificate) { c.ExtraExtensions = rawSAN(t, 2, "a\nb") }, "control"},
		"an empty other name":                 {SubjectCN, func(c *x509.Certificate) { c.ExtraExtensions = rawSAN(t, 1, "") }, "is empty"},
		"another name that is too long":       {SubjectCN, func(c *x509.Certificate) { c.DNSNames = []string{strings.Repeat("a", 513)} }, "longer than 512"},
		"too many other names": {SubjectCN, func(c *x509.Certificate) {
			for i := range 65 {
				c.DNSNames = append(c.DNSNames, fmt.Sprintf("h%d.example.com", i))
			}
		}, "more than 64"},
		"too many addresses": {SubjectCN, func(c *x509.Certificate) {
			for i := range 65 {
				c.IPAddresses = append(c.IPAddresses, net.IPv4(192, 0, 2, byte(i)).To4())
			}
		}, "more than 64"},
		"a control character in the subject": {SANEmail, func(c *x509.Certificate) { c.RawSubject = subject(t, "alice\nadmin") }, "its subject contains a control"},
		"a subject that is too long":         {SANEmail, func(c *x509.Certificate) { c.RawSubject = subject(t, strings.Repeat("a", 1100)) }, "its subject is longer"},
		"a certificate that is too large": {SubjectCN, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: someUnknown, Value: make([]byte, 33<<10)}}
		}, "larger than 32 KiB"},
		"a serial number that is too long": {SubjectCN, func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 300) }, "serial number"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, c.source)
			h.refused(c.reason, "", h.chain(h.client(c.change))...)
		})
	}
	t.Run("fields that no parser leaves so", func(t *testing.T) {
		h := newHouse(t, SubjectCN)
		for name, change := range map[string]func(*x509.Certificate){
			"an address of three bytes":    func(c *x509.Certificate) { c.IPAddresses = []net.IP{{1, 2, 3}} },
			"a common name that is none":   func(c *x509.Certificate) { c.Subject.Names[len(c.Subject.Names)-1].Value = 7 },
			"an issuer that is no name":    func(c *x509.Certificate) { c.RawIssuer = []byte{1} },
			"a subject with more after it": func(c *x509.Certificate) { c.RawSubject = append(bytes.Clone(c.RawSubject), 0) },
			"a negative serial number":     func(c *x509.Certificate) { c.SerialNumber = big.NewInt(-1) },
			"not UTF-8":                    func(c *x509.Certificate) { c.Subject.Names[len(c.Subject.Names)-1].Value = "al\xffice" },
		} {
			t.Run(name, func(t *testing.T) {
				leaf := h.parse(h.client(nil).Raw)
				change(leaf)
				h.refused("", "", h.chain(leaf)...)
			})
		}
	})
}

func TestChains(t *testing.T) {
	h := newHouse(t, SubjectCN)
	leaf := h.client(nil)
	t.Run("none", func(t *testing.T) {
		h.refused("no verified chain", "")
		h.refused("empty certificate", "", nil, h.between)
		h.refused("empty certificate", "", leaf, nil, h.root)
		h.refused("empty certificate", "", new(x509.Certificate))
	})
	t.Run("one of eleven", func(t *testing.T) {
		chain := []*x509.Certificate{leaf}
		for range 10 {
			chain = append(chain, h.between)
		}
		h.refused("longer than 10", "", chain...)
	})
	t.Run("a client that is itself trusted", func(t *testing.T) {
		id, err := h.Identify(t.Context(), []*x509.Certificate{leaf})
		if err != nil || id.Subject != "alice" || id.Claims["ca_fingerprints"] != nil {
			t.Errorf("%+v %v", id, err)
		}
		h.alive(id, true)
	})
}

func TestTimes(t *testing.T) {
	h := newHouse(t, SANEmail)
	leaf := h.client(nil)
	h.bind("alice", Fingerprint(leaf))
	first := h.in(leaf)
	for name, c := range map[string]struct {
		passed time.Duration
		in     bool
	}{
		"before it begins":                    {-time.Hour - 1, false},
		"as it begins":                        {-time.Hour, true},
		"as it ends":                          {time.Hour, true},
		"expired, though it was seen in time": {time.Hour + 1, false},
		"long after":                          {1000 * time.Hour, false},
		"the clock is set back into its time again": {0, true},
	} {
		t.Run(name, func(t *testing.T) {
			h.passed.Store(int64(c.passed))
			if !c.in {
				h.refused("not valid now", "alice@example.com", h.chain(leaf)...)
			} else if h.in(leaf) != first {
				t.Error("built anew")
			}
		})
	}
	t.Run("an authority whose time is shorter than the client's", func(t *testing.T) {
		h.passed.Store(0)
		short := h.sign(&x509.Certificate{
			Subject: h.between.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
			NotBefore: today.Add(-time.Minute), NotAfter: today.Add(time.Minute),
		}, h.root)
		chain := []*x509.Certificate{leaf, short, h.root}
		if _, err := h.Identify(t.Context(), chain); err != nil {
			t.Fatal(err)
		}
		for _, passed := range []time.Duration{-time.Minute - 1, time.Minute + 1} {
			h.passed.Store(int64(passed))
			h.refused("not valid now", "alice@example.com", chain...)
			h.in(leaf) // over the other authority
		}
	})
}

// TestNameOfAnothersFingerprint: who may choose a name cannot choose whose
// binding or revocation it is.
func TestNameOfAnothersFingerprint(t *testing.T) {
	h := newHouse(t, SubjectCN)
	alices := h.client(nil)
	h.bind("alice", Fingerprint(alices))
	mallorys := h.client(func(c *x509.Certificate) { c.RawSubject = subject(t, Fingerprint(alices)) })
	h.refused("form of a fingerprint", "", h.chain(mallorys)...)
	for _, ref := range []string{colons(Fingerprint(alices))[7:], Fingerprint(alices)[7:], "sha256:alice", "sha256:",
		"sha256:" + strings.ReplaceAll(colons(Fingerprint(alices))[7:], ":", "-"), "sha256:" + strings.Repeat("a:", 47) + "a", "SHA256:" + strings.Repeat("a", 63)} {
		var invalid *InvalidError
		if err := h.Bind(t.Context(), "job", ref); !errors.As(err, &invalid) {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

// TestBadRefs: nothing is bound by what no certificate can have.
func TestBadRefs(t *testing.T) {
	for source, refs := range map[Source][]string{
		SANEmail:  {"", "alice", "a@b@c.de", " a@b.de", "a@b.de\n", "a\x00@b.de", "a@b..de", "\xff@b.de", strings.Repeat("a", 1<<20)},
		SANURI:    {"", "alice", "/x", "spiffe:", "spiffe://a/%00", "spiffe://a/b#c", "spiffe://a/%zz", "http://[::1", "a b:c"},
		SubjectCN: {"", " alice", "alice ", "a\nb", "a\u202eb", "\xff", strings.Repeat("a", 513)},
	} {
		h := newHouse(t, source)
		for _, ref := range refs {
			var invalid *InvalidError
			if err := h.Bind(t.Context(), "alice", ref); !errors.As(err, &invalid) || invalid.Field != "name" {
				t.Errorf("%s: Bind(%.20q) = %v", source, ref, err)
			}
			if err := h.Unbind(t.Context(), "alice", ref); !errors.As(err, &invalid) {
				t.Errorf("%s: Unbind(%.20q) = %v", source, ref, err)
			}
		}
		if got, err := h.Bindings(t.Context(), ""); err != nil || len(got) != 0 {
			t.Error(got, err)
		}
	}
}

// TestDamagedRecords: never a crash, never a pass, never a fall back to unbound;
// and other certificates have no part in it.
func TestDamagedRecords(t *testing.T) {
	h := newHouse(t, SANEmail)
	leaf := h.client(nil)
	other := h.client(func(c *x509.Certificate) { c.EmailAddresses = []string{"other@example.com"} })
	damage := func(k, raw string) {
		t.Helper()
		if err := h.store.Put(t.Context(), k, []byte(raw), 0); err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(k, "/")
		if err := h.store.Put(t.Context(), "version/"+kind, []byte(k+raw), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range []string{Fingerprint(leaf), "alice@example.com"} {
		k := key(bindingKind, ref)
		for name, raw := range map[string]string{
			"empty": "", "cut off": `{"ref":"` + ref + `","own`, "null": "null", "a list": "[]", "no owner": `{"ref":"` + ref + `","owner_id":"usr_1"}`,
			"no owner's id":           `{"ref":"` + ref + `","owner":"alice"}`,
			"another certificate's":   `{"ref":"bob@example.com","owner":"alice","owner_id":"usr_1"}`,
			"an owner that is a list": `{"ref":"` + ref + `","owner":["alice"],"owner_id":"usr_1"}`,
		} {
			t.Run("a binding of "+ref[:6]+", "+name, func(t *testing.T) {
				h.in(leaf)
				damage(k, raw)
				check := func(what string, err error) {
					t.Helper()
					if err == nil || errors.Is(err, identity.ErrUnknown) || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), k) {
						t.Errorf("%s: %v", what, err)
					}
				}
				id, err := h.Identify(t.Context(), h.chain(leaf))
				check("Identify", err)
				if id != nil {
					t.Error(id)
				}
				_, err = h.Bindings(t.Context(), "")
				check("Bindings", err)
				check("Bind", h.Bind(t.Context(), "alice", ref))
				h.in(other)
				if err := h.Unbind(t.Context(), "alice", ref); err != nil {
					t.Error("it cannot be removed:", err)
				}
				h.in(leaf)
			})
		}
	}
	t.Run("a revocation", func(t *testing.T) {
		for _, raw := range []string{"", "null", `{"fingerprint":"sha256:other"}`, "{"} {
			damage(key(revocationKind, Fingerprint(leaf)), raw)
			h.refused("it is revoked", "alice@example.com", h.chain(leaf)...)
			h.in(other)
			if _, err := h.Revoked(t.Context()); err == nil || !strings.Contains(err.Error(), key(revocationKind, Fingerprint(leaf))) {
				t.Error(err)
			}
			if err := h.Unrevoke(t.Context(), Fingerprint(leaf)); err != nil {
				t.Error("it cannot be removed:", err)
			}
			h.in(leaf)
		}
	})
}

// TestStoreDown: an error, and never a refusal or a pass.
func TestStoreDown(t *testing.T) {
	h := newHouse(t, SANEmail)
	leaf := h.client(nil)
	h.store.down.Store(true)
	_, identifyErr := h.Identify(t.Context(), h.chain(leaf))
	_, bindingsErr := h.Bindings(t.Context(), "")
	_, revokedErr := h.Revoked(t.Context())
	for what, err := range map[string]error{
		"Identify": identifyErr, "Bindings": bindingsErr, "Revoked": revokedErr,
		"Bind": h.Bind(t.Context(), "alice", "a@example.com"), "Unbind": h.Unbind(t.Context(), "alice", "a@example.com"),
		"Revoke": h.Revoke(t.Context(), Fingerprint(leaf), ""), "Unrevoke": h.Unrevoke(t.Context(), Fingerprint(leaf)),
	} {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown) || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	t.Run("only of bindings: a certificate is not taken for unbound", func(t *testing.T) {
		h.store.down.Store(false)
		h.bind("alice", "alice@example.com")
		fresh := h.another(SANEmail)
		if _, err := fresh.Revoked(t.Context()); err != nil { // loaded
			t.Fatal(err)
		}
		h.store.down.Store(true)
		if id, err := fresh.Identify(t.Context(), h.chain(leaf)); id != nil || !errors.Is(err, store.ErrUnavailable) {
			t.Error(id, err)
		}
		h.store.down.Store(false)
		if id, err := fresh.Identify(t.Context(), h.chain(leaf)); err != nil || id.ID != "usr_1" {
			t.Error(id, err)
		}
	})
	t.Run("a caller who hangs up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		fresh := h.another(SANEmail)
		if id, err := fresh.Identify(ctx, h.chain(leaf)); id != nil || !errors.Is(err, context.Canceled) || errors.Is(err, identity.ErrUnknown) {
			t.Error(id, err)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{
		"alice", "alice@example.com", "Alice@EXAMPLE.com", "spiffe://example.com/a", "urn:a:b", "sha256:x", "a\x00b", " a", "", "\xff",
		"http://a/%00", "http://a/#", "http://[::1]/", "HTTP://a/%7b{", "a:b@c/d?e", "http://u:p@h/", "//a", "a@b@c", "a@-b", "\u212a@\u212a",
	} {
		f.Add(s, "", false)
		f.Add(s, s, true)
	}
	f.Fuzz(func(t *testing.T, one, two string, both bool) {
		texts := []string{one}
		if both {
			texts = append(texts, two)
		}
		leaf := &x509.Certificate{EmailAddresses: texts}
		for _, s := range texts {
			if u, err := url.Parse(s); err == nil {
				leaf.URIs = append(leaf.URIs, u)
			} else {
				leaf.URIs = append(leaf.URIs, nil)
			}
			leaf.Subject.Names = append(leaf.Subject.Names, pkix.AttributeTypeAndValue{Type: commonName, Value: s})
		}
		for _, source := range []Source{SANEmail, SANURI, SubjectCN, ""} {
			name, reason := nameOf(source, leaf)
			if (name == "") == (reason == "") {
				t.Fatalf("%s: %q, %q", source, name, reason)
			}
			if wrongRunes(reason) != "" || len(reason) > 100 {
				t.Fatalf("%s: an unclean reason: %q", source, reason)
			}
			if name == "" {
				continue
			}
			if both || source == "" || wrongText(name) != "" || hasFingerprintPrefix(name) {
				t.Fatalf("%s: %q became %q", source, texts, name)
			}
			// Whoever binds the name as it is shown binds this certificate.
			if ref, err := parseRef(source, name); err == nil && ref != name {
				t.Fatalf("%s: %q is bound as %q", source, name, ref)
			} else if _, bare := parseFingerprint(name); err != nil && bare != nil {
				t.Fatalf("%s: %q cannot be bound: %v", source, name, err)
			}
			if source == SANEmail && (strings.Count(name, "@") != 1 || !strings.EqualFold(name, one)) {
				t.Fatalf("%q became %q", one, name)
			}
			if source == SubjectCN && name != one {
				t.Fatalf("%q became %q", one, name)
			}
		}
	})
}

func FuzzRef(f *testing.F) {
	good := strings.Repeat("aB", 32)
	for _, s := range []string{
		good, "sha256:" + good, colons("sha256:" + good), "sha256:", "sha256:" + good + "0", "alice@example.com", "spiffe://a/b", "alice",
		"sha256:" + strings.Repeat("a:", 47) + "a", "Sha256:" + strings.Repeat(":", 95), "sha256:" + good[:62] + "é",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, source := range []Source{SANEmail, SANURI, SubjectCN} {
			ref, err := parseRef(source, s)
			if err != nil {
				var invalid *InvalidError
				if ref != "" || !errors.As(err, &invalid) || len(err.Error()) > 200 {
					t.Fatalf("%q: %q, %v", s, ref, err)
				}
				continue
			}
			if again, err := parseRef(source, ref); err != nil || again != ref {
				t.Fatalf("%q became %q, and that %q, %v", s, ref, again, err)
			}
			if hasFingerprintPrefix(ref) {
				digits := strings.TrimPrefix(ref, "sha256:")
				if len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" || !hasFingerprintPrefix(s) ||
					!strings.EqualFold(strings.ReplaceAll(s[len(fingerprintPrefix):], ":", ""), digits) {
					t.Fatalf("%q became %q", s, ref)
				}
			}
			if err := store.CheckKey(key(bindingKind, ref)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
