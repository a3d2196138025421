package oidc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/outgoing"
	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

const (
	// maxAnswer is how much of a provider's answer is read, in bytes.
	maxAnswer = 1 << 20
	// patience is how long a provider may take for a whole answer.
	patience = 10 * time.Second
	// maxURL is the longest address that a provider may tell us.
	maxURL = 2048
)

// web asks one provider. It keeps no cookies.
type web struct {
	reads   *http.Client // documents; follows redirects on the same host
	asks    *http.Client // with credentials or tokens; follows no redirect
	release func()       // frees the connections of a transport that is ours
}

func newWeb(given http.RoundTripper, certificate *tls.Certificate) (*web, error) {
	transport, release, err := transportOf(given, certificate)
	if err != nil {
		return nil, err
	}
	return &web{
		reads:   &http.Client{Transport: transport, CheckRedirect: outgoing.SameHost},
		asks:    &http.Client{Transport: transport, CheckRedirect: outgoing.NoRedirect},
		release: release,
	}, nil
}

func transportOf(given http.RoundTripper, certificate *tls.Certificate) (http.RoundTripper, func(), error) {
	ours, isPlain := given.(*http.Transport)
	switch {
	case given == nil:
		ours = outgoing.Transport(patience)
	case certificate == nil:
		return given, func() {}, nil
	case !isPlain:
		return nil, nil, errors.New("a client certificate needs a transport that is an *http.Transport")
	default:
		ours = ours.Clone()
	}
	if certificate != nil {
		if ours.TLSClientConfig == nil {
			ours.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		ours.TLSClientConfig.Certificates = []tls.Certificate{*certificate}
	}
	return ours, ours.CloseIdleConnections, nil
}

// answer is what came back, whole, whatever its status.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get reads a document.
func (w *web) get(ctx context.Context, address string) (*answer, error) {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("its address cannot be used")
	}
	return do(ctx, w.reads, r)
}

// getWith asks a resource with an access token (RFC 6750 section 2.1).
func (w *web) getWith(ctx context.Context, address, token string) (*answer, error) {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("its address cannot be used")
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return do(ctx, w.asks, r)
}

// post sends a form, with what authenticates us in header and form.
func (w *web) post(ctx context.Context, address string, header http.Header, form url.Values) (*answer, error) {
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("its address cannot be used")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(ctx, w.asks, r)
}

func do(ctx context.Context, c *http.Client, r *http.Request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "Gatehouse")
	res, err := c.Do(r.WithContext(ctx))
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // it names the address, which may hold what is nobody's business
			err = wrapped.Err
		}
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("its answer broke off: %w", err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("its answer is larger than %d bytes", maxAnswer)
	case 300 <= res.StatusCode && res.StatusCode < 400:
		return nil, errors.New("it redirects, which it must not")
	}
	return &answer{status: res.StatusCode, header: res.Header, body: body}, nil
}

// object reads the answer as JSON, if its status is 200.
func (a *answer) object() (map[string]any, error) {
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("it answered with status %d", a.status)
	}
	return strictjson.Object(string(a.body))
}
