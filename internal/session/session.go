// Package session owns a browser's server-side login state: making it at a
// login, finding who it stands for on each request, keeping it alive, ending
// it, and listing it.
//
// It does not own cookies (package cookie), proofs of who somebody is (package
// password), or users: what a user's record says now comes in through Accounts
// and is asked on every request, so that a disabled user, a new role or a new
// password is in force on the next one.
//
// A session's cookie value, its token, is 256 random bits. Only a SHA-256 of it
// is stored, as the session's public id: a stolen store opens no session. A
// plain hash is enough, since 256 bits cannot be guessed from it. Look-up is by
// that hash, so nothing secret is ever compared and there is no comparison to
// be timed. What a provider gave us for a person is kept in the session too,
// encrypted with a key that is made of the token.
//
// With one login for many sites, the portal's session is the parent of a session
// on each site, which is honoured only while its parent is.
package session

import (
	"encoding/json"
	"errors"
	"time"
)

// The errors of a Manager, besides those of the store.
var (
	// ErrNotFound is returned for a session that does not exist or is over.
	ErrNotFound = errors.New("there is no such session")
	// ErrParent is returned for a session that is to hang on one that is over, of
	// another login, or a site's itself.
	ErrParent = errors.New("the portal's session is over, or another login's")
	// ErrEnded is returned for a login whose session at the provider ended while it
	// was under way.
	ErrEnded = errors.New("the session at the provider has ended")
	// ErrTooLarge is returned for roles, groups or tokens that no session can hold.
	ErrTooLarge = errors.New("what the provider tells is more than a session can hold")
	// ErrSealed is returned for what was sealed with another key, for another
	// session, or is damaged, and ErrNoTokens where nothing was.
	ErrSealed   = errors.New("what is sealed in the session cannot be opened")
	ErrNoTokens = errors.New("nothing is sealed in the session")
	// ErrContended is returned when a session kept changing under an Update.
	ErrContended = errors.New("the session is being changed by others, try again")
)

// Session is what is known of one login.
//
// It is over at Expires, and when idle: a request within Idle of the request
// before is never refused for idleness. LastSeen is written at most once per
// touch interval (a minute, or a tenth of Idle if that is less), so it may be
// that much too old; the interval is therefore added to Idle, and an idle
// session ends between Idle and Idle plus the interval after its last request.
type Session struct {
	ID        string        `json:"id"`       // public; the hash of the token
	Username  string        `json:"username"` // as stored
	UserID    string        `json:"user_id"`
	Epoch     int64         `json:"epoch"` // of the user's record at the login
	Created   time.Time     `json:"created"`
	AuthTime  time.Time     `json:"auth_time"` // when the person proved who they are; zero: a provider did not tell
	LastSeen  time.Time     `json:"last_seen"` // see above
	Expires   time.Time     `json:"expires"`   // however busy it is
	Idle      time.Duration `json:"idle_ns"`
	Remember  bool          `json:"remember,omitempty"` // outlives the browser
	AMR       []string      `json:"amr,omitempty"`      // RFC 8176
	Provider  string        `json:"provider"`
	ClientIP  string        `json:"client_ip,omitempty"`  // at the login
	UserAgent string        `json:"user_agent,omitempty"` // at the login, at most 512 bytes

	// Who the person is at an outside provider, and what it said of them. All of it
	// is empty for people who signed in with a password.
	ProviderIssuer  string    `json:"provider_issuer,omitempty"`
	ProviderSubject string    `json:"provider_subject,omitempty"`
	ProviderSID     string    `json:"provider_sid,omitempty"` // of the session there
	ACR             string    `json:"acr,omitempty"`
	Roles           []string  `json:"roles,omitempty"`  // they join the user's own
	Groups          []string  `json:"groups,omitempty"` // they join the user's own
	Claims          Claims    `json:"claims,omitempty"`
	Checked         time.Time `json:"checked,omitzero"` // when the provider last stood by the login
	Sealed          []byte    `json:"sealed,omitempty"` // see Key

	Parent string `json:"parent,omitempty"` // id of the portal's session that this one hangs on
	Site   string `json:"site,omitempty"`   // origin of the site that such a session is for
}

// Ends is when the session will be over if no request comes.
func (s *Session) Ends() time.Time {
	idle := s.LastSeen.Add(s.Idle + touchInterval(s.Idle))
	if idle.Before(s.Expires) {
		return idle
	}
	return s.Expires
}

// over reports whether the session has ended by itself. The zero Session has.
func (s *Session) over(now time.Time) bool { return !now.Before(s.Ends()) }

// stale reports whether LastSeen is due to be written. A clock that was set
// back makes nothing stale: LastSeen never moves back.
func (s *Session) stale(now time.Time) bool {
	return now.Sub(s.LastSeen) >= touchInterval(s.Idle)
}

func touchInterval(idle time.Duration) time.Duration { return min(time.Minute, idle/10) }

// limits are how long a session of one kind may last.
type limits struct{ idle, lifetime time.Duration }

// clamp holds an existing session to limits that became tighter after it was
// made. Looser ones leave it as it was promised.
func (l limits) clamp(s *Session) {
	s.Idle = min(s.Idle, l.idle)
	if end := s.Created.Add(l.lifetime); end.Before(s.Expires) {
		s.Expires = end
	}
}

// unmarshal reads a stored session. One that does not say whose it is, is an
// error and never somebody.
func unmarshal(raw []byte) (*Session, error) {
	s := new(Session)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, err
	}
	switch {
	case s.ID == "" || s.Username == "" || s.UserID == "" || s.Provider == "":
		return nil, errors.New("id, username, user_id or provider is missing")
	case (s.ProviderIssuer == "") != (s.ProviderSubject == ""):
		return nil, errors.New("of provider_issuer and provider_subject one is missing")
	case s.Parent != "" && !validID(s.Parent):
		return nil, errors.New("its parent is no session's id")
	}
	return s, nil
}
