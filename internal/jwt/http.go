package jwt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const (
	// maxAnswer is how much of an issuer's answer is read, in bytes.
	maxAnswer = 256 << 10
	// patience is how long an issuer may take for a whole answer, and how long a
	// request waits for one.
	patience = 5 * time.Second
)

// Results of asking an issuer, for OnFetch; a closed set, fit for a metric label.
const (
	ResultOK          = "ok"
	ResultUnreachable = "unreachable" // no answer in time, or none at all
	ResultRefused     = "refused"     // another status than 200, or a redirect that is not followed
	ResultInvalid     = "invalid"     // an answer that cannot be used
	ResultBusy        = "busy"        // not asked: too many questions are under way (introspection only)
)

// fetchError is why an issuer gave no usable answer.
type fetchError struct {
	result string
	status int // of an answer that was not 200
	err    error
}

func (e *fetchError) Error() string { return e.err.Error() }
func (e *fetchError) Unwrap() error { return e.err }

func invalid(err error) error { return &fetchError{result: ResultInvalid, err: err} }

// resultOf is the label of how a fetch ended.
func resultOf(err error) string {
	var f *fetchError
	switch {
	case err == nil:
		return ResultOK
	case errors.As(err, &f):
		return f.result
	}
	return ResultUnreachable
}

// newClient makes the client that asks one issuer. Of what the caller gave only
// the transport counts: cookies and other rules for redirects would be mistakes.
// release frees the connections of a transport that is ours.
func newClient(given *http.Client, redirects bool) (c *http.Client, release func()) {
	c = &http.Client{CheckRedirect: sameHost}
	if !redirects {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	if given != nil && given.Transport != nil {
		c.Transport = given.Transport
		return c, func() {}
	}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: patience}).DialContext,
		TLSHandshakeTimeout:    patience,
		IdleConnTimeout:        time.Minute,
		MaxIdleConns:           8,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // a small answer could grow beyond reason
		ForceAttemptHTTP2:      true,
	}
	c.Transport = t
	return c, t.CloseIdleConnections
}

var errRedirect = errors.New("it redirects to another place, or too often")

// sameHost follows at most three redirects, which stay where the operator said:
// an open redirect at the issuer must not choose whose keys we trust.
func sameHost(to *http.Request, via []*http.Request) error {
	from := via[0].URL
	if len(via) > 3 || to.URL.Scheme != from.Scheme || !strings.EqualFold(to.URL.Host, from.Host) || to.URL.User != nil {
		return errRedirect
	}
	return nil
}

// get fetches the document at an address.
func get(ctx context.Context, c *http.Client, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return do(c, r)
}

// do sends a request and returns the whole answer, if it is a 200 and not too
// large.
func do(c *http.Client, r *http.Request) ([]byte, error) {
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "Gatehouse")
	res, err := c.Do(r)
	if errors.Is(err, errRedirect) {
		return nil, &fetchError{result: ResultRefused, err: errRedirect}
	}
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // it names the address, which the caller knows better
			err = wrapped.Err
		}
		return nil, &fetchError{result: ResultUnreachable, err: err}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, &fetchError{result: ResultRefused, status: res.StatusCode, err: fmt.Errorf("it answered with status %d", res.StatusCode)}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, &fetchError{result: ResultUnreachable, err: fmt.Errorf("its answer broke off: %w", err)}
	}
	if len(body) > maxAnswer {
		return nil, invalid(fmt.Errorf("its answer is larger than %d bytes", maxAnswer))
	}
	return body, nil
}

// checkURL says whether keys or answers may come from an address: by https, or
// by http from this machine. Anybody in between could make himself an issuer.
func checkURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("it is no URL")
	case u.User != nil || u.Fragment != "":
		return nil, errors.New("it has a user or a fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, errors.New("it is not https")
	}
	return u, nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
