package oidc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	// ErrUnavailable means that the provider could not be reached or gave no
	// usable answer in time: nothing is known about the person.
	ErrUnavailable = errors.New("the provider gave no usable answer")
	// ErrInvalid means that what came, from the provider or by the browser, fails
	// a check and cannot be believed. Why is in the error, for the log.
	ErrInvalid = errors.New("it is not to be believed")
	// ErrRevoked means that the provider does not stand by the login any more: the
	// person is out.
	ErrRevoked = errors.New("the provider does not stand by the login any more")
	// ErrNoRefresh means that there is no token to ask the provider again with.
	ErrNoRefresh = errors.New("the provider gave no refresh token")
	// ErrNoStepUp means that the provider cannot be asked for a fresh or stronger
	// login, or could not show that it was one.
	ErrNoStepUp = errors.New("the provider cannot prove a fresh or stronger login")
)

func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}

// invalidError is an ErrInvalid.
type invalidError struct {
	reason string // never holds what was sent
	other  bool   // it is of another issuer, or for another person, client or login
}

func (e *invalidError) Error() string        { return ErrInvalid.Error() + ": " + e.reason }
func (e *invalidError) Is(target error) bool { return target == ErrInvalid }

func invalid(reason string) error { return &invalidError{reason: reason} }
func mixedUp(reason string) error { return &invalidError{reason: reason, other: true} }

// DeniedError says that the provider vouches for the person, and that people
// like them may not sign in here.
type DeniedError struct {
	Reason string // a sentence for the person; holds nothing that was sent
}

func (e *DeniedError) Error() string { return "the login is not allowed: " + e.Reason }

func denied(reason string) error { return &DeniedError{Reason: reason} }

// CodeOther is the Code of an error that no specification names.
const CodeOther = "other_error"

// codes are the errors of RFC 6749 sections 4.1.2.1 and 5.2, of OpenID Connect
// Core section 3.1.2.6, and of OpenID Connect Unmet Authentication Requirements.
var codes = []string{
	"access_denied", "account_selection_required", "consent_required", "interaction_required", "invalid_client",
	"invalid_grant", "invalid_request", "invalid_request_object", "invalid_request_uri", "invalid_scope", "login_required",
	"registration_not_supported", "request_not_supported", "request_uri_not_supported", "server_error", "temporarily_unavailable",
	"unauthorized_client", "unmet_authentication_requirements", "unsupported_grant_type", "unsupported_response_type",
}

// aliases are other names that providers have for them.
var aliases = map[string]string{
	"bad_verification_code": "invalid_grant", "bad_refresh_token": "invalid_grant", "incorrect_client_credentials": "invalid_client", // GitHub
	"application_suspended": "unauthorized_client", "redirect_uri_mismatch": "invalid_request",
}

// ProviderError is a provider's own "no".
type ProviderError struct {
	Code string // one that a specification names, or CodeOther: fit for a metric label
	// Description is what the provider said, for a person who develops or
	// operates: one line of at most 200 characters, without markup; may be "".
	Description string
}

// newProviderError cleans what a provider, or somebody in its place, sent.
func newProviderError(code, description string) *ProviderError {
	known := code
	if other := aliases[code]; other != "" {
		known = other
	}
	if !slices.Contains(codes, known) {
		known, description = CodeOther, code+" "+description
	}
	return &ProviderError{Code: known, Description: clean(description, 200)}
}

func (e *ProviderError) Error() string {
	s := "the provider answered " + e.Code
	if e.Description != "" {
		s += fmt.Sprintf(": %q", e.Description)
	}
	return s
}

// Is makes those errors that say nothing about the person an ErrUnavailable: the
// provider has a problem of its own.
func (e *ProviderError) Is(target error) bool {
	return target == ErrUnavailable && (e.Code == "server_error" || e.Code == "temporarily_unavailable")
}

// Meaning is a sentence for the person who wanted to sign in.
func (e *ProviderError) Meaning() string {
	switch e.Code {
	case "access_denied":
		return "You did not agree there, or your account may not be used here."
	case "login_required", "interaction_required", "account_selection_required", "consent_required":
		return "You have to sign in there yourself first."
	case "unmet_authentication_requirements":
		return "You could not sign in there in the way that is needed here."
	case "server_error", "temporarily_unavailable":
		return "The sign-in service has a problem of its own. Try again in a few minutes."
	case "invalid_grant":
		return "This sign-in took too long, or was finished already. Start again."
	}
	return "The sign-in service does not accept requests from here as they are. Tell whoever runs this site."
}

// refusesPerson reports whether the answer to a refresh is about the person or
// their grant, and not about us or the moment.
func (e *ProviderError) refusesPerson() bool {
	switch e.Code {
	case "invalid_grant", "access_denied", "login_required", "interaction_required", "consent_required",
		"account_selection_required", "unmet_authentication_requirements":
		return true
	}
	return false
}

// clean makes one short line of text from outside: no control or invisible
// characters, nothing that could be markup anywhere, and white space only as
// single spaces.
func clean(s string, most int) string {
	if longest := 16 * most; len(s) > longest {
		s = s[:longest]
	}
	var b strings.Builder
	count, space := 0, false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			space = b.Len() > 0
			continue
		case r == utf8.RuneError || !unicode.IsPrint(r) || strings.ContainsRune("<>&\"'`\\", r):
			continue
		}
		if space {
			b.WriteByte(' ')
			count++
		}
		space = false
		if count++; count >= most {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
