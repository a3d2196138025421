package identity

import (
	"fmt"
	"time"
)

// Rate is how many requests a key may make in a time. The zero value sets no
// limit.
type Rate struct {
	Requests int           `json:"requests"`
	Per      time.Duration `json:"per_ns"`
}

// Limited reports whether there is a limit.
func (r Rate) Limited() bool { return r.Requests > 0 && r.Per > 0 }

// String is "100/1m0s", or "" without a limit.
func (r Rate) String() string {
	if !r.Limited() {
		return ""
	}
	return fmt.Sprintf("%d/%s", r.Requests, r.Per)
}

// Quota is what one request left of a rate limit.
type Quota struct {
	Rate      Rate
	Remaining int           // requests that may follow at once
	Reset     time.Duration // until all are allowed again
}

// ThrottledError says that a credential is good and its rate limit used up.
type ThrottledError struct {
	Quota Quota
	Retry time.Duration // until one request is allowed again
	Who   *Identity     // whose limit it is; for the log
}

// Error is for the log.
func (e *ThrottledError) Error() string {
	return fmt.Sprintf("more than %s requests; the next one in %s", e.Quota.Rate, e.Retry)
}
