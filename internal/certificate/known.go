package certificate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Bounds of what is worked on. TLS takes certificates of up to 256 KiB.
const (
	maxChain   = 10
	maxDER     = 32 << 10 // of a client's certificate
	maxName    = 1024     // of a distinguished name, as DER
	maxSerial  = 64       // hex digits; RFC 5280 section 4.1.2.2 allows 40
	maxEntries = 64       // of a list of subject alternative names
)

// known is a chain worked out: all that follows from its certificates alone.
type known struct {
	from, until  time.Time          // when all its certificates are valid
	revoked      []string           // keys of the records that would revoke one of them
	byPrint      string             // key of a binding by fingerprint
	byName       string             // key of a binding by name; "" without one
	nameless     string             // why it has no name, and is nobody unless bound by its fingerprint; "" with one
	unbound      *identity.Identity // who it is as long as it is bound to nobody
	built        atomic.Pointer[built]
	fingerprints []string
}

// refuse names the certificate to the operator: an authority vouches for its
// name.
func (k *known) refuse(reason string) *identity.Refusal {
	if k.nameless != "" {
		return &identity.Refusal{Reason: reason + " (certificate " + k.fingerprints[0] + ")"}
	}
	return &identity.Refusal{Reason: reason + " (certificate " + k.fingerprints[0] + ")", Who: k.unbound.Subject}
}

// built is the Identity of a bound certificate and what it was made from.
// Holding on to the account keeps its address from being used again, so that
// comparing pointers is sound.
type built struct {
	account  *identity.Account
	identity *identity.Identity
}

// learn works a chain out. All that it refuses follows from the certificates.
func (r *Registry) learn(chain []*x509.Certificate, prints []string) (*known, *identity.Refusal) {
	leaf := chain[0]
	refuse := func(reason string) (*known, *identity.Refusal) { return nil, &identity.Refusal{Reason: reason} }
	if len(leaf.Raw) > maxDER {
		return refuse("it is larger than 32 KiB")
	}
	name, nameless := nameOf(r.source, leaf)
	if nameless != "" {
		name = prints[0]
	}
	claims, reason := claimsOf(leaf, prints)
	if reason != "" {
		return refuse(reason)
	}
	issuer, _ := claims["issuer"].(string)
	k := &known{
		from: leaf.NotBefore, until: leaf.NotAfter, fingerprints: prints,
		byPrint: key(bindingKind, prints[0]), nameless: nameless,
		unbound: &identity.Identity{
			Method: identity.Certificate, Provider: Provider, Issuer: issuer, Subject: name,
			Claims: claims, Credential: prints[0],
		},
	}
	if nameless == "" {
		k.byName = key(bindingKind, name)
		if r.source == SANEmail { // the authority vouches for it
			k.unbound.Email, k.unbound.EmailVerified = name, true
		}
	}
	for i, c := range chain {
		k.revoked = append(k.revoked, key(revocationKind, prints[i]))
		if c.NotBefore.After(k.from) {
			k.from = c.NotBefore
		}
		if c.NotAfter.Before(k.until) {
			k.until = c.NotAfter
		}
	}
	return k, nil
}

// claimsOf is what policies see of a certificate, in the form of decoded JSON.
// What is absent in it is absent there.
func claimsOf(leaf *x509.Certificate, prints []string) (claims map[string]any, reason string) {
	claims = map[string]any{
		"fingerprint": prints[0],
		"not_before":  unix(leaf.NotBefore),
		"not_after":   unix(leaf.NotAfter),
	}
	for field, raw := range map[string][]byte{"issuer": leaf.RawIssuer, "subject": leaf.RawSubject} {
		text, reason := distinguishedName(raw)
		if reason != "" {
			return nil, "its " + field + " " + reason
		}
		if text != "" {
			claims[field] = text
		}
	}
	if leaf.SerialNumber != nil {
		serial := leaf.SerialNumber.Text(16)
		if len(serial) > maxSerial || serial[0] == '-' {
			return nil, "its serial number is negative or too long"
		}
		claims["serial"] = serial
	}
	if len(prints) > 1 {
		claims["ca_fingerprints"] = list(prints[1:])
	}
	var uris, ips []string
	for _, u := range leaf.URIs {
		uris = append(uris, uriText(u))
	}
	for _, ip := range leaf.IPAddresses {
		addr, ok := netip.AddrFromSlice(ip) // unlike net.IP it keeps ::ffff:192.0.2.1 apart from 192.0.2.1
		if !ok {
			return nil, "one of its subject alternative names is no IP address"
		}
		ips = append(ips, addr.String())
	}
	for field, values := range map[string][]string{
		"san_dns": leaf.DNSNames, "san_email": leaf.EmailAddresses, "san_uri": uris, "san_ip": ips,
	} {
		if len(values) > maxEntries {
			return nil, "it has more than 64 subject alternative names of one kind"
		}
		for _, v := range values {
			if reason := wrongText(v); reason != "" {
				return nil, "one of its subject alternative names " + reason
			}
		}
		if len(values) > 0 {
			claims[field] = list(values)
		}
	}
	return claims, ""
}

// distinguishedName writes a name as RFC 2253 does, from its DER: the parsed
// form in package x509 keeps only the last of several values.
func distinguishedName(der []byte) (text, reason string) {
	if len(der) == 0 {
		return "", ""
	}
	if len(der) > maxName {
		return "", "is longer than 1024 bytes"
	}
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &name); err != nil || len(rest) > 0 {
		return "", "is no distinguished name"
	}
	text = name.String()
	return text, wrongRunes(text)
}

func list(values []string) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

func unix(t time.Time) json.Number { return json.Number(strconv.FormatInt(t.Unix(), 10)) }
