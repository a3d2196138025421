package oidc

import (
	"context"
	"fmt"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// logoutEvent is what a logout token is about (OpenID Connect Back-Channel Logout
// 1.0 section 2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// Logout is a provider's word that sessions have ended.
type Logout struct {
	Issuer  string
	Subject string // whose; all of them if there is no SID. "" if only SID is told
	SID     string // which session; "": all of Subject
	// ID is the token's own name (jti). The caller remembers it until Until and
	// refuses a second one.
	ID    string
	Until time.Time // from when on the token is refused for its age
}

// LogoutToken checks the token of a back-channel logout in full (section 2.6). Its
// error is an ErrInvalid, to be answered with 400, or an ErrUnavailable.
func (p *Provider) LogoutToken(ctx context.Context, raw string) (*Logout, error) {
	l, err := p.logoutToken(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("a logout token for provider %s: %w", p.o.Name, err)
	}
	return l, nil
}

func (p *Provider) logoutToken(ctx context.Context, raw string) (*Logout, error) {
	if !p.openID() {
		return nil, invalid("the provider sends none")
	}
	t, err := parseToken(raw)
	if err != nil {
		return nil, err
	}
	// An explicit type is recommended (section 2.4); without one, the event and
	// the missing nonce tell it from other tokens.
	if t.typ != "" && t.typ != "jwt" && t.typ != "logout+jwt" {
		return nil, invalid("its typ is not that of a logout token")
	}
	if err := p.checkMeant(t); err != nil {
		return nil, err
	}
	l, err := readLogout(t.claims)
	if err != nil {
		return nil, err
	}
	k, err := p.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	err = p.checkSignature(ctx, k, t, func(ctx context.Context, v *gooidc.IDTokenVerifier) error {
		_, err := v.VerifyLogout(ctx, t.raw)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.Issuer = p.issuer(t.claims["iss"].(string))
	return l, nil
}

func readLogout(claims map[string]any) (*Logout, error) {
	events, _ := claims["events"].(map[string]any)
	if _, ok := events[logoutEvent].(map[string]any); !ok {
		return nil, invalid("its events do not say that somebody was logged out")
	}
	if _, there := claims["nonce"]; there {
		return nil, invalid("it has a nonce: it is an ID token")
	}
	l := &Logout{}
	for _, c := range []struct {
		name string
		to   *string
	}{{"sub", &l.Subject}, {"sid", &l.SID}, {"jti", &l.ID}} {
		v, there := claims[c.name]
		s, ok := v.(string)
		if there && (!ok || s == "" || len(s) > maxSubject || !plain(s)) {
			return nil, invalid("its " + c.name + " is no plain text of up to 255 bytes")
		}
		*c.to = s
	}
	switch {
	case l.Subject == "" && l.SID == "":
		return nil, invalid("it says neither whose session ended (sub) nor which (sid)")
	case l.ID == "":
		return nil, invalid("it has no jti")
	}
	exp, _, _ := moment(claims, "exp")
	iat, _, _ := moment(claims, "iat")
	if l.Until = iat.Add(oldest + leeway + time.Second); exp.Add(leeway).Before(l.Until) {
		l.Until = exp.Add(leeway)
	}
	return l, nil
}
