package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// PendingLife is how long a login may take, from Begin to Finish.
const PendingLife = time.Hour

// maxHint is the longest login_hint that is passed on, in bytes.
const maxHint = 320

// Request is what one login asks for, beyond what the options say.
type Request struct {
	RedirectURL string // our callback, exactly as the provider knows it; required
	LoginHint   string // who probably wants to sign in; dropped if it is odd
	Prompt      string // instead of the options'
	// MaxAge is how old the person's last proof may be at most; 0 asks for one
	// now. With one in the options the stricter counts.
	MaxAge    *time.Duration
	ACRValues []string // instead of the options'; the login has to be of one of these
	UILocales []string // languages of the pages, by preference
}

// Pending is a login that has begun. The caller keeps it where only the browser
// that began can bring it back, unread and unchanged (an encrypted cookie), and
// lets it be used once.
type Pending struct {
	Provider    string         `json:"p"`
	State       string         `json:"s"` // also finds the Pending that a callback belongs to
	Nonce       string         `json:"n,omitempty"`
	Verifier    string         `json:"v"`
	RedirectURL string         `json:"r"`
	Started     time.Time      `json:"t"`
	MaxAge      *time.Duration `json:"a,omitempty"`
	ACRValues   []string       `json:"c,omitempty"`
}

// Begin starts a login: it returns the address to send the browser to, and what
// Finish needs. The error is an ErrUnavailable if the provider cannot be reached,
// and ErrNoStepUp if it cannot do what is asked.
func (p *Provider) Begin(ctx context.Context, r Request) (string, *Pending, error) {
	if _, err := checkURL(r.RedirectURL); err != nil {
		return "", nil, fmt.Errorf("the address of the callback cannot be used: %w", err)
	}
	k, err := p.endpoints(ctx)
	if err != nil {
		return "", nil, err
	}
	pending := &Pending{
		Provider: p.o.Name, RedirectURL: r.RedirectURL, Started: p.o.Clock().UTC().Truncate(time.Second),
		MaxAge: p.maxAge(r.MaxAge), ACRValues: r.ACRValues,
	}
	if len(pending.ACRValues) == 0 {
		pending.ACRValues = p.o.ACRValues
	}
	if (pending.MaxAge != nil || len(pending.ACRValues) > 0) && !p.CanStepUp() {
		return "", nil, ErrNoStepUp
	}
	if slices.ContainsFunc(pending.ACRValues, func(s string) bool { return !scopeToken(s) }) {
		return "", nil, errors.New("an acr value has characters that none can have")
	}
	for _, to := range []*string{&pending.State, &pending.Nonce, &pending.Verifier} {
		if *to, err = p.random(); err != nil {
			return "", nil, err
		}
	}
	if !p.openID() {
		pending.Nonce = "" // only an ID token brings it back
	}
	return p.authURL(k.meta, &r, pending), pending, nil
}

// authURL is the authorization request (OpenID Connect Core section 3.1.2.1).
func (p *Provider) authURL(m *metadata, r *Request, pending *Pending) string {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("nonce", pending.Nonce)
	set("acr_values", strings.Join(pending.ACRValues, " "))
	if pending.MaxAge != nil {
		q.Set("max_age", strconv.FormatInt(int64(*pending.MaxAge/time.Second), 10))
	}
	if set("prompt", p.o.Prompt); r.Prompt != "" {
		q.Set("prompt", r.Prompt)
	}
	if len(r.LoginHint) <= maxHint && plain(r.LoginHint) {
		set("login_hint", r.LoginHint)
	}
	if locales := strings.Join(r.UILocales, " "); len(locales) <= maxHint && plain(locales) {
		set("ui_locales", locales)
	}
	if p.preset.ask != nil {
		o := p.o
		o.Offline = p.offline.Load()
		p.preset.ask(&o, q)
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(pending.Verifier)}
	for name := range q {
		options = append(options, oauth2.SetAuthURLParam(name, q.Get(name)))
	}
	c := oauth2.Config{ClientID: p.o.ClientID, RedirectURL: pending.RedirectURL, Scopes: p.scopesFor(m), Endpoint: oauth2.Endpoint{AuthURL: m.authorization}}
	return c.AuthCodeURL(pending.State, options...)
}

// maxAge is the stricter of what the options and a request say, in whole
// seconds.
func (p *Provider) maxAge(asked *time.Duration) *time.Duration {
	var age *time.Duration
	if p.o.MaxAge > 0 {
		age = &p.o.MaxAge
	}
	if asked != nil && (age == nil || *asked < *age) {
		age = asked
	}
	if age == nil {
		return nil
	}
	whole := max(0, age.Truncate(time.Second))
	return &whole
}

// random is a text of 256 random bits, in the 43 characters that RFC 7636 section
// 4.1 allows for a verifier.
func (p *Provider) random() (string, error) {
	b := make([]byte, 32)
	if _, err := io.ReadFull(p.o.Rand, b); err != nil {
		return "", fmt.Errorf("there are no random numbers: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}
