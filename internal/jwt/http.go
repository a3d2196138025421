package jwt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/outgoing"
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
	c = &http.Client{CheckRedirect: outgoing.SameHost}
	if !redirects {
		c.CheckRedirect = outgoing.NoRedirect
	}
	if given != nil && given.Transport != nil {
		c.Transport = given.Transport
		return c, func() {}
	}
	t := outgoing.Transport(patience)
	c.Transport = t
	return c, t.CloseIdleConnections
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
	if errors.Is(err, outgoing.ErrRedirect) {
		return nil, &fetchError{result: ResultRefused, err: outgoing.ErrRedirect}
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
