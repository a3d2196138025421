package password

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// DeviceLifetime is how long a browser stays known after it has signed in.
const DeviceLifetime = 180 * 24 * time.Hour

// renewAfter spares the store: a login of a known browser begins its time anew at
// most once a day.
const renewAfter = 24 * time.Hour

// deviceSize is the length of a device token in bytes before it is encoded.
const deviceSize = 32

// device is what is stored about a browser that has signed in, under the hash of
// its token. It grants nothing but an allowance of guesses of its own.
type device struct {
	Username string    `json:"username"`
	Made     time.Time `json:"made"` // or renewed
}

func deviceKey(token string) string { return "device/" + digest(token) }

// remember makes a token that stands for a browser which has just signed in.
func (g *Guard) remember(ctx context.Context, name string, made time.Time, random io.Reader) (string, error) {
	raw := make([]byte, deviceSize)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("no randomness for a device token: %w", err)
	}
	token := base64.RawURLEncoding.EncodeToString(raw)
	value, err := json.Marshal(device{Username: name, Made: made.UTC()})
	if err != nil {
		return "", fmt.Errorf("encoding a device: %w", err)
	}
	if err := g.store.Put(ctx, deviceKey(token), value, DeviceLifetime); err != nil {
		return "", fmt.Errorf("remembering a device: %w", err)
	}
	return token, nil
}

// renew begins the time of a token anew, and reports whether it was given to a
// browser that signed in as name and is good for about DeviceLifetime from now.
func (g *Guard) renew(ctx context.Context, token, name string, now time.Time) (kept bool, err error) {
	d, stored, err := g.device(ctx, token)
	if err != nil || !d.of(name) {
		return false, err
	}
	if now.Sub(d.Made) < renewAfter {
		return true, nil
	}
	value, err := json.Marshal(device{Username: name, Made: now.UTC()})
	if err != nil {
		return false, fmt.Errorf("encoding a device: %w", err)
	}
	// Not a Put: one that has ended in this moment stays ended.
	kept, err = g.store.Swap(ctx, deviceKey(token), stored, value, DeviceLifetime)
	if err != nil {
		return false, fmt.Errorf("renewing a device: %w", err)
	}
	return kept, nil
}

// knows reports whether token was given to a browser that signed in as name.
func (g *Guard) knows(ctx context.Context, token, name string) (bool, error) {
	d, _, err := g.device(ctx, token)
	return d.of(name), err
}

// device reads the record of a token, also as it is stored. A token that stands
// for nothing has the zero record, which is of nobody.
func (g *Guard) device(ctx context.Context, token string) (d device, stored []byte, err error) {
	if len(token) != base64.RawURLEncoding.EncodedLen(deviceSize) { // no token of ours: spare the store
		return device{}, nil, nil
	}
	stored, found, err := g.store.Get(ctx, deviceKey(token))
	if err != nil {
		return device{}, nil, fmt.Errorf("looking up a device: %w", err)
	}
	if !found || json.Unmarshal(stored, &d) != nil {
		// A damaged record makes the browser a stranger, which is the safe side.
		return device{}, nil, nil
	}
	return d, stored, nil
}

func (d device) of(name string) bool { return name != "" && d.Username == name }
