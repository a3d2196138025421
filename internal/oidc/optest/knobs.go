package optest

import (
	"net/http"
	"net/url"
	"time"
)

// Knobs are the provider's mistakes and moods. The zero value makes none. In the
// maps, a nil value takes a member away (a json.RawMessage of null sets null).
type Knobs struct {
	// Broken answers instead of an endpoint, by its path without the slash.
	Broken map[string]http.HandlerFunc

	Metadata map[string]any // laid over the metadata

	// The keys that are published.
	ExtraKeys []map[string]any // beside the real ones, first
	OmitKIDs  bool

	// The authorization endpoint.
	Account              string // who signs in; default: who login_hint names, or the first account
	SignedOut            bool   // prompt=none fails
	AuthorizeError       string // instead of a code
	AuthorizeDescription string
	Callback             func(url.Values) // changes the parameters with which the browser goes back
	AuthAge              time.Duration    // how long ago the person signed in there, unless max_age or prompt=login asks
	IgnoreMaxAge         bool             // AuthAge counts in any case
	ACR                  string           // instead of the first that is asked for

	// ID tokens.
	IDToken             map[string]any // laid over the claims
	IDTokenHeader       map[string]any // laid over the header, kid and alg included
	IDTokenAlg          string         // RS256 (default), PS256, ES256, EdDSA, HS256 (with the client's secret), none
	BadSignature        bool
	RotateBeforeSigning bool // a new key, known from then on
	ThinIDToken         bool // what is known of the person comes from UserInfo alone

	// The token endpoint.
	Token           map[string]any // laid over the answer
	TokenError      string         // instead of any answer, with status 400
	NoRefreshToken  bool           // none is given at a login
	KeepRefresh     bool           // refreshing gives no new refresh token, and the old one stays good
	RefreshIDToken  map[string]any // laid over IDToken when refreshing
	NoRefreshID     bool           // refreshing gives no ID token
	RefreshError    string         // instead of an answer when refreshing
	AccessLife      time.Duration  // default 10 minutes
	AcceptAnyClient bool           // client authentication is not checked

	// UserInfo.
	UserInfo     map[string]any // laid over the answer
	UserInfoType string         // its Content-Type

	// Logouts.
	LogoutToken       map[string]any // laid over the claims of logout tokens
	LogoutTokenHeader map[string]any
	LogoutTokenAlg    string           // as IDTokenAlg
	PostLogout        func(url.Values) // changes the parameters with which the browser goes back after a logout
}
