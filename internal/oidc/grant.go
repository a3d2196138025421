package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

// maxToken is the longest access or refresh token that is kept, in bytes.
const maxToken = 16 << 10

// Tokens are what the provider gave us for a person. They are secrets: keep them
// encrypted.
type Tokens struct {
	Access  string    `json:"a"`
	Refresh string    `json:"r,omitempty"`
	ID      string    `json:"i,omitempty"` // the last one, for EndSessionURL
	Type    string    `json:"t"`           // always Bearer
	Expires time.Time `json:"e,omitzero"`  // of the access token; zero: not told
	Nonce   string    `json:"n,omitempty"` // of the login, which an ID token may repeat after a refresh
}

// String keeps tokens out of logs.
func (Tokens) String() string { return "tokens of a provider" }

// LogValue keeps tokens out of logs.
func (t Tokens) LogValue() slog.Value { return slog.StringValue(t.String()) }

// grant asks the token endpoint (RFC 6749 sections 4.1.3, 5, 6).
func (p *Provider) grant(ctx context.Context, m *metadata, form url.Values) (Tokens, error) {
	header := http.Header{}
	if err := p.authenticate(m, m.token, header, form); err != nil {
		return Tokens{}, err
	}
	began := p.o.Clock()
	a, err := p.web.post(ctx, m.token, header, form)
	if err != nil {
		return Tokens{}, unavailable("the token endpoint of provider %s: %w", p.o.Name, err)
	}
	if failed := refusal(a); failed != nil {
		return Tokens{}, failed
	}
	t, err := readTokens(a, began)
	if err != nil {
		return Tokens{}, unavailable("the token endpoint of provider %s: %w", p.o.Name, err)
	}
	return t, nil
}

// refusal is the "no" in an answer, if it is one (RFC 6749 section 5.2). Some
// providers send it with status 200.
func refusal(a *answer) *ProviderError {
	if a.status != http.StatusOK && a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized && a.status != http.StatusForbidden {
		return nil
	}
	doc, err := strictjson.Object(string(a.body))
	if err != nil {
		return nil
	}
	code, _ := doc["error"].(string)
	if code == "" {
		return nil
	}
	description, _ := doc["error_description"].(string)
	return newProviderError(code, description)
}

func readTokens(a *answer, now time.Time) (Tokens, error) {
	t := Tokens{Type: "Bearer"}
	doc, err := a.object()
	if err != nil {
		return t, err
	}
	if kind, _ := doc["token_type"].(string); !strings.EqualFold(kind, t.Type) {
		return t, errors.New("its token_type is not Bearer")
	}
	for _, m := range []struct {
		name string
		to   *string
		most int
	}{{"access_token", &t.Access, maxToken}, {"refresh_token", &t.Refresh, maxToken}, {"id_token", &t.ID, maxJWT}} {
		s, ok := stringIn(doc, m.name)
		if !ok || len(s) > m.most || !visible(s) {
			return t, fmt.Errorf("its %s is no text, too long or not plain ASCII", m.name)
		}
		*m.to = s
	}
	if t.Access == "" {
		return t, errors.New("it gave no access_token")
	}
	if v := doc["expires_in"]; v != nil {
		n, _ := v.(json.Number)
		seconds, err := n.Int64()
		const year = 366 * 24 * 60 * 60
		if err != nil || seconds < 0 {
			return t, errors.New("its expires_in is no whole number of seconds")
		}
		t.Expires = now.Add(time.Duration(min(seconds, year)) * time.Second).UTC().Truncate(time.Second)
	}
	return t, nil
}

// visible reports whether a text has only characters that a token may have (RFC
// 6749 appendix A.12); it goes into a header.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' })
}
