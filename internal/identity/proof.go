package identity

import (
	"slices"
	"time"
)

// ReauthAge is how recent a proof of identity must be for the step "reauth".
const ReauthAge = 5 * time.Minute

// secondFactors are the methods of RFC 8176 that are more than a password: several
// factors as such, a one-time password, or proof of a key.
var secondFactors = []string{"mfa", "otp", "hwk", "swk", "sc"}

// SecondFactor reports whether the login was by more than a password.
func (i *Identity) SecondFactor() bool {
	return slices.ContainsFunc(i.AMR, func(m string) bool { return slices.Contains(secondFactors, m) })
}
