package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that is never printed: every way to format or log it gives
// "***" ("" stays ""). Convert it to a string where it is used. JSON keeps it as
// it is, because the JSON is what Caddy runs; write {env.NAME} to keep a secret
// out of the configuration.
type Secret string

const masked = "***"

// String returns "***", or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString is what %#v prints.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// Format serves every verb of fmt, so that not even %x or %d lets it out.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = io.WriteString(f, text)
}

// LogValue is what slog prints.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
