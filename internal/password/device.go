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

// deviceSize is the length of a device token in bytes before it is encoded.
const deviceSize = 32

// device is what is stored about a browser that has signed in, under the hash of
// its token. It grants nothing but an allowance of guesses of its own.
type device struct {
	Username string    `json:"username"`
	Made     time.Time `json:"made"`
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

// knows reports whether token was given to a browser that signed in as name.
func (g *Guard) knows(ctx context.Context, token, name string) (bool, error) {
	if len(token) != base64.RawURLEncoding.EncodedLen(deviceSize) { // no token of ours: spare the store
		return false, nil
	}
	value, found, err := g.store.Get(ctx, deviceKey(token))
	if err != nil {
		return false, fmt.Errorf("looking up a device: %w", err)
	}
	if !found {
		return false, nil
	}
	var d device
	// A damaged record makes the browser a stranger, which is the safe side.
	return json.Unmarshal(value, &d) == nil && d.Username == name && name != "", nil
}
