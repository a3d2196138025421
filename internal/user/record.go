package user

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// record is a User at rest: with the password's hash, which User's own JSON
// leaves out.
type record struct {
	User
	PasswordHash string `json:"password_hash,omitempty"`
}

func encode(u *User) ([]byte, error) {
	raw, err := json.Marshal(record{User: *u, PasswordHash: u.PasswordHash})
	if err != nil {
		return nil, fmt.Errorf("the user %q cannot be stored: %w", u.Username, err)
	}
	return raw, nil
}

// decode reads the record that was found under key.
func decode(key string, raw []byte) (*User, error) {
	u, err := unmarshal(raw)
	if err != nil {
		return nil, fmt.Errorf("the record %q cannot be read: %w", key, err)
	}
	if prefix+u.Username != key {
		return nil, misplaced(key, u.Username)
	}
	return u, nil
}

// decodeAccount is decode for the cache, which adds the key to errors itself.
func decodeAccount(raw []byte) (*identity.Account, error) {
	u, err := unmarshal(raw)
	if err != nil {
		return nil, err
	}
	return u.Account(), nil
}

// unmarshal takes only records that say who they are: the zero value of the
// rest would be an enabled user of epoch 0.
func unmarshal(raw []byte) (*User, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	if r.ID == "" || r.Username == "" || r.Epoch < 1 {
		return nil, errors.New("id, username or epoch is missing")
	}
	if strings.HasPrefix(r.ID, servicePrefix) != r.Service {
		return nil, errors.New("its id and its kind, user or service, do not fit")
	}
	if r.Service && len(r.Federated) > 0 {
		return nil, errors.New("a service has logins at providers")
	}
	if (r.Rate != identity.Rate{}) && !r.Rate.Limited() {
		return nil, errors.New("its rate is none")
	}
	r.User.PasswordHash = r.PasswordHash
	return &r.User, nil
}

func misplaced(key, name string) error {
	return fmt.Errorf("the record %q cannot be read: it is of the user %q", key, name)
}
