package key

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// record is a key at rest.
type record struct {
	ID          string         `json:"id"`
	Owner       string         `json:"owner"`
	OwnerID     string         `json:"owner_id"`
	Description string         `json:"description,omitempty"`
	Scopes      []string       `json:"scopes"`
	Networks    []netip.Prefix `json:"networks,omitempty"`
	Rate        identity.Rate  `json:"rate,omitzero"`
	Created     time.Time      `json:"created"`
	Secrets     []secret       `json:"secrets"` // the newest first; the others are in their grace, or just past it
}

// secret is one text that the key has, or had. It ends with the key or, once it
// was replaced, with its grace; never later than it was promised when issued.
type secret struct {
	Turn   int       `json:"turn"` // how many rotations came before
	Hash   []byte    `json:"hash"` // SHA-256 of the text
	Issued time.Time `json:"issued"`
	Until  time.Time `json:"until"`
}

// ends is when the secret stops working under today's maximum. One without its
// times has ended.
func (s *secret) ends(most time.Duration) time.Time {
	if end := s.Issued.Add(most); end.Before(s.Until) {
		return end
	}
	return s.Until
}

func (r *record) newest() *secret { return &r.Secrets[0] }

// forgotten is when the store drops the record.
func (r *record) forgotten() time.Time { return r.newest().Until.Add(listed) }

func (r *record) encode() ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("the key %s cannot be stored: %w", r.ID, err)
	}
	return raw, nil
}

// unmarshal reads a stored key. One that does not say whose it is, or whose
// limits cannot be read, is an error and never somebody.
func unmarshal(raw []byte) (*record, error) {
	r := new(record)
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, err
	}
	if !validID(r.ID) || r.Owner == "" || r.OwnerID == "" || len(r.Secrets) == 0 {
		return nil, errors.New("id, owner, owner_id or secrets are missing")
	}
	for i := range r.Secrets {
		if len(r.Secrets[i].Hash) != sha256.Size {
			return nil, errors.New("a hash is no SHA-256")
		}
	}
	if slices.ContainsFunc(r.Networks, func(p netip.Prefix) bool { return !p.IsValid() }) {
		return nil, errors.New("a network is missing")
	}
	if r.Rate != (identity.Rate{}) && !r.Rate.Limited() {
		return nil, errors.New("the rate allows nothing")
	}
	return r, nil
}

// decode reads the record that was found under key.
func decode(key string, raw []byte) (*record, error) {
	r, err := unmarshal(raw)
	if err != nil {
		return nil, unreadable(key, err)
	}
	if recordPrefix+r.ID != key {
		return nil, misplaced(key, r.ID)
	}
	return r, nil
}

func unreadable(key string, err error) error {
	return fmt.Errorf("the record %q cannot be read: %w", key, err)
}

func misplaced(key, id string) error {
	return unreadable(key, fmt.Errorf("it is of the key %s", id))
}

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
