// Package audit writes the audit trail: one security-relevant fact, one line of
// structured log. It owns the names of the facts and of their fields, and keeps
// strangers' text in a form that is safe to store and to show. Where the lines
// go, and how they look, is for the logger that it is given.
//
// A line never holds a password, token, key, cookie or other secret. Callers
// pass none; as a second line of defence, an Extra attribute that is named like
// one is masked.
package audit

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
)

// Action is what was done or tried.
type Action string

// The actions. The set is closed: queries and alerts are written against it.
const (
	Login          Action = "login"           // signed in
	LoginFailed    Action = "login_failed"    // wrong name or password
	LoginThrottled Action = "login_throttled" // too many guesses: nothing was compared
	Logout         Action = "logout"
	SiteEntered    Action = "site_entered" // a portal's login reached another site

	SessionRevoked Action = "session_revoked"

	CredentialRefused  Action = "credential_refused" // a key, token or certificate that is bad
	KeyCreated         Action = "key_created"
	KeyRotated         Action = "key_rotated"
	KeyRevoked         Action = "key_revoked"
	TokenRevoked       Action = "token_revoked"
	CertificateBound   Action = "certificate_bound"
	CertificateUnbound Action = "certificate_unbound"
	CertificateRevoked Action = "certificate_revoked"
	CertificateAllowed Action = "certificate_unrevoked"

	UserAdded       Action = "user_added"
	UserChanged     Action = "user_changed" // roles, groups, scopes, e-mail, name
	UserDisabled    Action = "user_disabled"
	UserEnabled     Action = "user_enabled"
	UserDeleted     Action = "user_deleted"
	ServiceAdded    Action = "service_added"
	ServiceChanged  Action = "service_changed" // roles, groups, scopes, rate, label
	ServiceDisabled Action = "service_disabled"
	ServiceEnabled  Action = "service_enabled"
	ServiceDeleted  Action = "service_deleted"
	PasswordChanged Action = "password_changed"
	Setup           Action = "setup" // the first administrator was made

	PolicyLoaded  Action = "policy_loaded"
	PolicyRefused Action = "policy_refused" // broken: the last good one stays
	ConfigLoaded  Action = "config_loaded"
)

// Outcome is how it ended.
type Outcome string

// The outcomes. The zero value counts as a failure.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
)

// Actors that are no users.
const (
	AdminAPI   = "admin_api"
	SetupLink  = "setup"
	Unattended = "gatehouse" // the gateway itself: a timer, a changed file
)

// Event is one fact. Empty fields are left out of the line.
type Event struct {
	Action    Action
	Outcome   Outcome
	Actor     string // who did it: a user name, or AdminAPI, SetupLink, Unattended
	Subject   string // whom or what it concerns; for a failed login see Trail.Attempted
	Site      string // host
	RequestID string
	ClientIP  string
	Session   string // the session's public id, "ses_…", never its cookie
	// Credential is the public id of a key, token or certificate, never the thing
	// itself.
	Credential string
	Reason     string
	Extra      []slog.Attr // names in snake_case; may not repeat the names above
}

// Trail writes events. Make one with New; a nil Trail is not allowed.
type Trail struct {
	log *slog.Logger
	key []byte // of Attempted
}

// New makes a Trail that writes to l; nil discards every event.
func New(l *slog.Logger) *Trail {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // crypto/rand never returns an error
	return &Trail{log: l, key: key}
}

// Record writes e: a success at level info, anything else at level warn, so that
// an operator who filters by level keeps what went wrong.
func (t *Trail) Record(ctx context.Context, e Event) {
	level := slog.LevelInfo
	if e.Outcome != Success {
		level, e.Outcome = slog.LevelWarn, Failure
	}
	attrs := make([]slog.Attr, 0, 10+len(e.Extra))
	for _, f := range [...]struct{ name, value string }{
		{"action", string(e.Action)},
		{"outcome", string(e.Outcome)},
		{"actor", e.Actor},
		{"subject", e.Subject},
		{"site", e.Site},
		{"request_id", e.RequestID},
		{"client_ip", e.ClientIP},
		{"session_id", e.Session},
		{"credential_id", e.Credential},
		{"reason", e.Reason},
	} {
		if f.value != "" {
			attrs = append(attrs, slog.String(f.name, Clean(f.value)))
		}
	}
	for _, a := range e.Extra {
		attrs = append(attrs, safe(a))
	}
	t.log.LogAttrs(ctx, level, "audit event", attrs...)
}

// Attempted is the Subject of a login that failed. People type their password
// into the name's field, and a log keeps it for years: so a name is written only
// when it is known to be a user's. Any other becomes "unknown:" and eight hex
// digits of a keyed hash, which are the same for the same text as long as this
// Trail lives (enough to see one name tried often), and tell nothing more: the
// key is random and kept nowhere, or the digits could be compared with the
// hashes of likely passwords.
func (t *Trail) Attempted(typed, known string) string {
	if known != "" {
		return known
	}
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte(typed))
	return "unknown:" + hex.EncodeToString(mac.Sum(nil)[:4])
}
