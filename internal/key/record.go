package key

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
