package password

import (
	"fmt"
	"unicode/utf8"
)

// DefaultMinLength is how many characters a password needs when it is the only
// proof; LeastMinLength is the least that may be configured, for people who also
// have a second factor (NIST SP 800-63B-4 section 3.1.1.2).
const (
	DefaultMinLength = 15
	LeastMinLength   = 8
)

// Rules say which new passwords are refused. They follow NIST SP 800-63B-4
// section 3.1.1.2: length counts and guessable passwords are refused; nobody has
// to mix digits and capitals, and no password expires.
type Rules struct {
	MinLength int // in characters (Unicode code points); 0 means DefaultMinLength
}

// WeakError says why a new password was refused.
type WeakError struct {
	Reason string // a sentence for the person who chose it; holds nothing of it
}

func (e *WeakError) Error() string { return "the password was refused: " + e.Reason }

// Check returns a *WeakError when pw may not be chosen, or nil. About are words
// that an attacker would try first for this person: user name, e-mail address,
// display name, the site's name.
func (r Rules) Check(pw string, about ...string) error {
	normal, ok := normalize(pw)
	if !ok || len(pw) > MaxBytes {
		return unusable(pw)
	}
	least := r.MinLength
	if least <= 0 {
		least = DefaultMinLength
	}
	if n := utf8.RuneCountInString(normal); n < least {
		return &WeakError{fmt.Sprintf("It has %d characters; use at least %d. A few words that do not belong together are easy to remember.", n, least)}
	}
	if reason := guessable(normal, about); reason != "" {
		return &WeakError{reason}
	}
	return nil
}

// unusable says why pw cannot be a password at all.
func unusable(pw string) *WeakError {
	switch {
	case pw == "":
		return &WeakError{"It is empty."}
	case len(pw) > MaxBytes:
		return &WeakError{fmt.Sprintf("It is %d bytes long; at most %d are taken, and none would be cut off unseen.", len(pw), MaxBytes)}
	}
	return &WeakError{"It has a character that not every keyboard and browser sends the same way, such as a control character or a joined emoji."}
}
