package jwt

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/outgoing"
	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

// ErrIntrospection means that the issuer of an opaque token could not be asked,
// or that its answer cannot be understood: nothing is known about the token.
var ErrIntrospection = errors.New("the issuer could not be asked about a token")

// atOnce is how many questions to one issuer may be under way. As many more as kept
// may be about tokens that were good when they were last asked about: whoever makes
// tokens up keeps no known caller out.
const (
	atOnce = 64
	kept   = 16
)

// IntrospectorOptions say where an issuer is asked about its tokens.
type IntrospectorOptions struct {
	URL string // https, or http on this machine
	// ClientID and ClientSecret are what we show there, by HTTP Basic (RFC 6749
	// section 2.3.1). Both are required.
	ClientID     string
	ClientSecret string
	// Cache is for how long a good answer is believed, though never beyond the
	// token's exp: as long may a token count after its issuer revoked it. Default
	// 1 minute.
	Cache   time.Duration
	Client  *http.Client        // only its Transport is used
	OnFetch func(result string) // hears how each question ended: ResultOK …
}

// Introspector asks one issuer about opaque tokens (RFC 7662). It may be shared;
// what it was told is remembered by each Verifier for itself.
type Introspector struct {
	url     string
	basic   string
	cache   time.Duration
	client  *http.Client
	release func()
	onFetch func(string)
	slots   chan struct{}
	kept    chan struct{}
}

// NewIntrospector checks the options. Nothing is asked yet.
func NewIntrospector(o IntrospectorOptions) (*Introspector, error) {
	if _, err := outgoing.URL(o.URL); err != nil {
		return nil, fmt.Errorf("the URL of the introspection cannot be used: %w", err)
	}
	switch {
	case o.ClientID == "" || o.ClientSecret == "":
		return nil, errors.New("the introspection needs a client id and its secret")
	case o.Cache < 0:
		return nil, errors.New("the time to remember answers is negative")
	case o.Cache == 0:
		o.Cache = time.Minute
	}
	if o.OnFetch == nil {
		o.OnFetch = func(string) {}
	}
	i := &Introspector{url: o.URL, cache: o.Cache, onFetch: o.OnFetch, slots: make(chan struct{}, atOnce), kept: make(chan struct{}, kept)}
	pair := url.QueryEscape(o.ClientID) + ":" + url.QueryEscape(o.ClientSecret)
	i.basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
	i.client, i.release = newClient(o.Client, false)
	return i, nil
}

// Close frees idle connections. Later calls still work.
func (i *Introspector) Close() { i.release() }

// ask returns what the issuer says of a token, and how long the answer was. known
// says that it was good before. The claims are nil for a token that is not active.
// The error is an ErrIntrospection.
func (i *Introspector) ask(ctx context.Context, token string, known bool) (claims map[string]any, size int, err error) {
	defer func() {
		i.onFetch(resultOf(err))
		if err != nil {
			err = fmt.Errorf("%w at %s: %w", ErrIntrospection, i.url, err)
		}
	}()
	leave, ok := i.enter(known)
	if !ok {
		return nil, 0, &fetchError{result: ResultBusy, err: fmt.Errorf("%d questions are under way", atOnce)}
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Authorization", i.basic)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, err := do(i.client, r)
	if err != nil {
		return nil, 0, err
	}
	claims, err = parseAnswer(string(body))
	return claims, len(body), err
}

// enter takes one of the places for questions, if there is one.
func (i *Introspector) enter(known bool) (leave func(), ok bool) {
	select {
	case i.slots <- struct{}{}:
		return func() { <-i.slots }, true
	default:
	}
	if !known {
		return nil, false
	}
	select {
	case i.kept <- struct{}{}:
		return func() { <-i.kept }, true
	default:
		return nil, false
	}
}

// parseAnswer reads an answer (RFC 7662 section 2.2). Whatever is not clearly yes
// or no is neither.
func parseAnswer(body string) (map[string]any, error) {
	claims, err := strictjson.Object(body)
	if err != nil {
		return nil, invalid(err)
	}
	active, ok := claims["active"].(bool)
	if !ok {
		return nil, invalid(errors.New("its answer does not say whether the token is active"))
	}
	if !active {
		return nil, nil //nolint:nilnil // unexported; no claims are a token that is not active
	}
	delete(claims, "active")
	return claims, nil
}
