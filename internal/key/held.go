package key

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// copied is a key as it is kept in memory. All but the atomic fields are
// read-only.
type copied struct {
	record
	raw     []byte // as stored
	secrets []held // as record.Secrets
}

// held is a secret with what a request needs of it.
type held struct {
	hash       [sha256.Size]byte
	ends       time.Time
	credential string
	built      atomic.Pointer[built]
}

// hold makes the copy of a stored key, held to today's maximum.
func (m *Manager) hold(raw []byte) (*copied, error) {
	r, err := unmarshal(raw)
	if err != nil {
		return nil, err
	}
	c := &copied{record: *r, raw: raw, secrets: make([]held, len(r.Secrets))}
	for i := range r.Secrets {
		s, h := &r.Secrets[i], &c.secrets[i]
		h.hash = [sha256.Size]byte(s.Hash)
		h.ends = s.ends(m.max)
		h.credential = credential(r.ID, s.Turn)
	}
	return c, nil
}

// match returns which of the secrets a text is, or nil, in a time that tells
// nothing of the hashes.
func (c *copied) match(text []byte) *held {
	sum, found := sha256.Sum256(text), -1
	for i := range c.secrets {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], c.secrets[i].hash[:]), i, found)
	}
	if found < 0 {
		return nil
	}
	return &c.secrets[found]
}

// presented returns the secret that a credential names, or nil.
func (c *copied) presented(credential string) *held {
	for i := range c.secrets {
		if c.secrets[i].credential == credential {
			return &c.secrets[i]
		}
	}
	return nil
}

// credential names a key, and which of its secrets was presented: "key:<id>", or
// after the second rotation "key:<id>.2". An open connection can so be ended
// when the secret that opened it has ended, though the key lives on.
func credential(id string, turn int) string {
	if turn == 0 {
		return "key:" + id
	}
	return "key:" + id + "." + strconv.Itoa(turn)
}

// parseCredential is the reverse; ok is false for everything else.
func parseCredential(s string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(s, "key:")
	if id, _, _ = strings.Cut(rest, "."); !ok || !validID(id) {
		return "", false
	}
	return id, true
}

// admits reports whether the key may be used from an address. One that is not
// known is in no network.
func (c *copied) admits(from netip.Addr) bool {
	if len(c.Networks) == 0 {
		return true
	}
	from = from.Unmap().WithZone("")
	return slices.ContainsFunc(c.Networks, func(p netip.Prefix) bool { return p.Contains(from) })
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return "an address that is not known"
	}
	return a.Unmap().WithZone("").String()
}

// refuse is for a key whose secret was right, so that its owner may be named.
func (c *copied) refuse(reason string) *identity.Refusal {
	return &identity.Refusal{Reason: reason, Who: c.Owner + " key " + c.ID}
}

func (c *copied) whyEnded(s *held) string {
	if s == &c.secrets[0] {
		return "it expired at " + s.ends.Format(time.RFC3339)
	}
	return "it was replaced by a rotation, and its grace ended at " + s.ends.Format(time.RFC3339)
}
