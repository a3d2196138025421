// Package problem is the one form in which we tell a caller that something went
// wrong: a page for a person who navigates, an RFC 9457 problem document for
// everything else, and never a word of internal error text.
package problem

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Kind names what went wrong; it ends the problem's type URI and picks the page.
type Kind string

// The kinds of contract section 7, and those of the portal's forms.
const (
	BadRequest    Kind = "bad-request"
	NotSignedIn   Kind = "not-signed-in"
	NoCredential  Kind = "credential-needed" // and signing in would not help
	StepUp        Kind = "step-up-required"
	BadCredential Kind = "bad-credential"
	Forbidden     Kind = "forbidden"
	NotFound      Kind = "not-found"
	Conflict      Kind = "conflict"
	TooMany       Kind = "too-many-requests"
	Unavailable   Kind = "unavailable"
)

// typeBase makes a Kind a URI (RFC 9457 section 3.1.1); it locates nothing.
const typeBase = "urn:gatehouse:problem:"

// Problem is one answer that is not the app's. The zero value is a 503.
type Problem struct {
	Status     int // HTTP status; 0 means 503
	Kind       Kind
	Title      string   // short, the same for every problem of the kind
	Detail     string   // for the person: what to do now
	Reasons    []string // the policy's own words
	RequestID  string
	DecisionID string
	RetryAfter time.Duration // sent as Retry-After, rounded up to seconds
	Challenge  string        // sent as WWW-Authenticate
	NoLogin    bool          // a login would not help here, so the page offers none
}

// body is the document of RFC 9457 with our extension members.
type body struct {
	Type       string   `json:"type"`
	Title      string   `json:"title"`
	Status     int      `json:"status"`
	Detail     string   `json:"detail,omitempty"`
	RequestID  string   `json:"request_id,omitempty"`
	DecisionID string   `json:"decision_id,omitempty"`
	Reasons    []string `json:"reasons,omitempty"`
}

// WithDefaults fills the status and title that the fields left out imply.
func (p Problem) WithDefaults() Problem {
	if p.Status == 0 {
		p.Status = http.StatusServiceUnavailable
	}
	if p.Kind == "" {
		p.Kind = Unavailable
	}
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	if p.Status == http.StatusServiceUnavailable && p.RetryAfter == 0 {
		p.RetryAfter = 5 * time.Second
	}
	return p
}

// Headers sets what every such answer carries, whatever its body.
func (p Problem) Headers(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	if p.Challenge != "" {
		h.Set("WWW-Authenticate", p.Challenge)
	}
}

// Write sends p as application/problem+json.
func (p Problem) Write(w http.ResponseWriter) {
	p = p.WithDefaults()
	doc, err := json.Marshal(body{
		Type: typeBase + string(p.Kind), Title: p.Title, Status: p.Status, Detail: p.Detail,
		RequestID: p.RequestID, DecisionID: p.DecisionID, Reasons: p.Reasons,
	})
	if err != nil { // strings and ints always marshal
		doc = []byte("{}")
	}
	p.Headers(w.Header())
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(doc)+1))
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(doc, '\n')) // the client is gone: nobody is left to tell
}

// Navigation reports whether a person's browser asks for a page: GET or HEAD
// with Sec-Fetch-Mode: navigate, or, from clients that send no fetch metadata,
// an Accept header that prefers HTML.
func Navigation(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if r.Header.Get("Upgrade") != "" {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	if r.Header.Get("Sec-Fetch-Dest") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return false
	}
	return PrefersHTML(r)
}

// PrefersHTML reports whether the Accept header names an HTML type with a
// quality no lower than JSON's. A bare */* (curl) does not prefer HTML.
func PrefersHTML(r *http.Request) bool {
	html, other := 0.0, 0.0
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(part, ";")
			q := quality(params)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "text/html", "application/xhtml+xml", "text/*":
				html = max(html, q)
			case "application/json", "application/problem+json":
				other = max(other, q)
			}
		}
	}
	return html > 0 && html >= other
}

func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(k, "q") {
			q, err := strconv.ParseFloat(v, 64)
			if err != nil || !(q >= 0 && q <= 1) { // the negation also catches NaN
				return 0
			}
			return q
		}
	}
	return 1
}
