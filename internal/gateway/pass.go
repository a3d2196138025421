package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// pass sets what the app is told, takes away what it may not see, and wraps the
// response.
func (e *exchange) pass() (*Pass, bool) {
	h := e.r.Header
	if e.consumed != "" {
		delete(h, e.consumed)
	}
	// The policy may have been swapped since the strip: what either set names is
	// ours.
	now := e.gate.stripSet()
	if now != e.set {
		strip(e.r, now)
	}
	if now.has("Authorization") || e.set.has("Authorization") {
		delete(h, "Authorization")
	}
	cookie.Strip(h)
	if err := e.setPolicyHeaders(h, now); err != nil {
		return nil, e.fault("the policy's headers cannot be sent", err)
	}
	if e.identity.Authenticated() {
		if err := e.gate.headers.set(h, e.identity); err != nil {
			return nil, e.unfit(err)
		}
		switch err := e.setTokens(h); {
		case errors.Is(err, identity.ErrUnknown): // asking for the token has ended the session
			e.identity = nil
			return nil, e.login()
		case err != nil:
			return nil, e.fault("the caller's token cannot be handed to the app", err)
		}
	}
	e.record(Allow)
	p := &Pass{Request: e.r, Identity: e.identity, ID: e.id}
	p.response = response{ResponseWriter: e.w, private: e.identity.Authenticated()}
	if e.stale {
		p.response.clear = &e.gate.o.Cookies
	}
	p.Writer = &p.response
	if e.identity.Authenticated() && longLived(e.r) {
		p.live = e.gate.watch(p)
	}
	h["X-Request-Id"] = []string{e.id}
	return p, true
}

// setTokens hands the caller's tokens to the app.
func (e *exchange) setTokens(h http.Header) error {
	for _, t := range e.gate.o.Tokens {
		v, err := t.Value(e.r.Context(), e.identity)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		if err := checkValue(v); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		if v != "" {
			h[t.Name] = []string{v}
		}
	}
	return nil
}

// unfit refuses an identity that cannot be told to the app truthfully.
func (e *exchange) unfit(err error) bool {
	e.gate.o.Logger.ErrorContext(e.r.Context(), "the identity cannot be put into request headers",
		"request_id", e.id, "identity", e.identity.ID, "error", err)
	e.record(Deny)
	return e.problem(problem.Problem{
		Status: http.StatusForbidden, Kind: problem.Forbidden, Title: "Access denied",
		Detail:     "Something in your account cannot be passed on to this app. Give the decision id to whoever runs this site.",
		DecisionID: e.id,
	})
}

// setPolicyHeaders sets what the policy says. Policies are checked when they are
// loaded; here the same rule is kept for whatever got past that.
func (e *exchange) setPolicyHeaders(h http.Header, stripped *stripSet) error {
	for name, value := range e.answer.Headers {
		if !validName(name) || never.has(name) || e.gate.identityNames.has(name) {
			return fmt.Errorf("the policy may not set the header %q", name)
		}
		if err := checkValue(value); err != nil {
			return fmt.Errorf("the policy's header %s: %w", name, err)
		}
		if stripped.has(name) {
			continue // and so is whatever the client sent under it
		}
		strip := newNameSet([]string{name})
		for sent := range h {
			if strip.has(sent) {
				delete(h, sent)
			}
		}
	}
	for name, value := range e.answer.Headers {
		if value != "" {
			h.Set(name, value)
		}
	}
	return nil
}

// headerTable sets the identity headers: the site's own rules, or the default.
type headerTable struct {
	rules []HeaderRule
	none  bool
}

func newHeaderTable(rules []HeaderRule) headerTable {
	t := headerTable{rules: make([]HeaderRule, len(rules))}
	for i, r := range rules {
		t.rules[i] = HeaderRule{Name: http.CanonicalHeaderKey(r.Name), Value: r.Value}
	}
	return t
}

// set writes the headers for an authenticated identity, or says why it cannot.
// Values are sent as the UTF-8 that they are: RFC 9110 section 5.5 lets them be
// opaque bytes, and escaping would make two names of one.
func (t *headerTable) set(h http.Header, id *identity.Identity) error {
	switch {
	case t.none:
		return nil
	case len(t.rules) > 0:
		return t.setRules(h, id)
	}
	groups, err := list(id.Groups)
	if err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	roles, err := list(id.Roles)
	if err != nil {
		return fmt.Errorf("roles: %w", err)
	}
	user := id.Username
	if user == "" {
		user = id.Subject
	}
	if user == "" {
		return errors.New("it has neither a username nor a subject")
	}
	values := [...]string{user, id.Email, id.Name, groups, roles}
	lines := make([]string, 0, len(values)) // one array behind all five headers
	for i, v := range values {
		if v == "" {
			continue
		}
		if err := checkValue(v); err != nil {
			return fmt.Errorf("%s: %w", defaultNames[i], err)
		}
		lines = append(lines, v)
		n := len(lines)
		h[defaultNames[i]] = lines[n-1 : n : n]
	}
	return nil
}

func (t *headerTable) setRules(h http.Header, id *identity.Identity) error {
	for _, r := range t.rules {
		v, err := r.Value(id)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		if err := checkValue(v); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		if v != "" {
			h[r.Name] = []string{v}
		}
	}
	return nil
}

// list joins names with commas; one that holds a comma would be read as two.
func list(names []string) (string, error) {
	for _, n := range names {
		if n == "" || strings.IndexByte(n, ',') >= 0 {
			return "", fmt.Errorf("%q cannot stand in a comma-separated list", n)
		}
	}
	return strings.Join(names, ","), nil
}

// checkValue refuses what would end the header line, or be cut or changed on the
// way: control characters, invalid UTF-8, spaces at the ends.
func checkValue(v string) error {
	for i := range len(v) {
		if v[i] < 0x20 || v[i] == 0x7f {
			return errors.New("the value holds a control character")
		}
	}
	if !utf8.ValidString(v) {
		return errors.New("the value is not valid UTF-8")
	}
	if v != "" && (v[0] == ' ' || v[len(v)-1] == ' ') {
		return errors.New("the value starts or ends with a space")
	}
	return nil
}
