package config

import (
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// Keys says how API keys are presented and how long they live. There are none
// until somebody makes one.
type Keys struct {
	// Off refuses all API keys and hides them from the account page. Not together
	// with the other options. Default: false.
	Off bool `json:"off,omitempty"`

	// Header is a request header, beside Authorization, in which a key may come,
	// such as "X-API-Key". It is taken off every request before the app sees it.
	// Default: none, keys come as Authorization: Bearer or as Basic password.
	Header string `json:"header,omitempty"`

	// MaxLifetime is the longest time for which a key may be made; keys that were
	// made for longer end after it as well. From 1h to 3650d. Default: 365d.
	MaxLifetime Duration `json:"max_lifetime,omitzero"`
}

// The defaults and limits of Keys.
const (
	DefaultKeyLifetime = Duration(365 * 24 * time.Hour)
	minKeyLifetime     = Duration(time.Hour)
	maxKeyLifetime     = Duration(3650 * 24 * time.Hour)
)

func (k *Keys) validate() error {
	if k.Off && *k != (Keys{Off: true}) {
		return fault("off", "keys are off, and yet have options: keep one or the other")
	}
	if err := k.validateHeader(); err != nil {
		return err
	}
	return within("max_lifetime", k.MaxLifetime, minKeyLifetime, maxKeyLifetime)
}

func (k *Keys) validateHeader() error {
	const field = "header"
	if k.Header == "" {
		return nil
	}
	if !token(k.Header) || len(k.Header) > 128 {
		return fault(field, "%.80q is no header name: write letters, digits and hyphens, such as X-API-Key", k.Header)
	}
	name := alias(k.Header)
	if name == alias("Authorization") {
		return fault(field, "keys in Authorization are always read: leave it out, or name another header, such as X-API-Key")
	}
	for _, r := range reserved {
		if alias(r.name) == name {
			return fault(field, "%s means something else already: choose another name, such as X-API-Key", k.Header)
		}
	}
	if slices.ContainsFunc(identityHeaders, func(h string) bool { return alias(h) == name }) {
		return fault(field, "%s tells the app who asks, and is taken off every request: choose another name, such as X-API-Key", k.Header)
	}
	if name != strings.ToLower(k.Header) {
		// It would be read by nobody, and the key count as none.
		return fault(field, "%q is dropped by Caddy, as many apps take _ and . for -: write letters, digits and hyphens, such as X-API-Key", k.Header)
	}
	return nil
}

// identityHeaders are those that a gate sets by default.
var identityHeaders = []string{"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups", "Remote-Roles"}

func (k Keys) withDefaults() Keys {
	if k.Off {
		return k
	}
	if k.MaxLifetime == 0 {
		k.MaxLifetime = DefaultKeyLifetime
	}
	k.Header = textproto.CanonicalMIMEHeaderKey(k.Header)
	return k
}
