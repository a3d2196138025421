package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// longestHint is the longest ID token that is put into an address, in bytes:
// with it the whole still passes through servers that allow 8 KiB.
const longestHint = 6 << 10

// EndSessionURL is where to send the browser so that the session at the provider
// ends, too (OpenID Connect RP-Initiated Logout 1.0 section 2); false when the
// provider has no such place, or is not known yet. idToken is Tokens.ID; back is
// where it shall come back to, as the provider knows it, and state what it shall
// bring: each may be "".
//
// The session here must have ended before: whether the browser comes back, and
// with what, is not to matter.
func (p *Provider) EndSessionURL(idToken, back, state string) (string, bool) {
	k := p.known.Load()
	if k.meta == nil || k.meta.endSession == "" {
		return "", false
	}
	q := url.Values{"client_id": {p.o.ClientID}}
	if idToken != "" && len(idToken) <= longestHint {
		q.Set("id_token_hint", idToken)
	}
	if back != "" {
		q.Set("post_logout_redirect_uri", back)
		if state != "" {
			q.Set("state", state)
		}
	}
	separator := "?"
	if strings.Contains(k.meta.endSession, "?") {
		separator = "&"
	}
	return k.meta.endSession + separator + q.Encode(), true
}

// LoggedOut reports whether a browser that comes back from EndSessionURL brings
// the state that it was given (section 3). If not, it may have been sent by
// anybody, and there is only a plain page to show.
func LoggedOut(q url.Values, state string) bool {
	return state != "" && len(q["state"]) == 1 && same(q.Get("state"), state)
}

// FrontChannel reads the request by which the provider tells, in a frame of the
// browser, that its session has ended (OpenID Connect Front-Channel Logout 1.0
// section 3). Anybody can send it, so it counts only with both iss and sid, and
// for the session of that sid alone.
func (p *Provider) FrontChannel(q url.Values) (sid string, ok bool) {
	iss, sids := q["iss"], q["sid"]
	if len(iss) != 1 || len(sids) != 1 || iss[0] == "" || !p.openID() || !p.ours(iss[0]) {
		return "", false
	}
	sid = sids[0]
	return sid, sid != "" && len(sid) <= maxSubject && plain(sid)
}

// Revoke tells the provider that the tokens are not needed any more (RFC 7009).
// It is best done in the background: an error, after which they may still count,
// is for the log. With a provider that has no such endpoint it does nothing.
func (p *Provider) Revoke(ctx context.Context, t Tokens) error {
	k, err := p.endpoints(ctx)
	if err != nil {
		return err
	}
	if p.preset.forget != nil {
		return p.preset.forget(ctx, p, t)
	}
	if k.meta.revocation == "" {
		return nil
	}
	var failed error
	for _, one := range []struct{ token, hint string }{{t.Refresh, "refresh_token"}, {t.Access, "access_token"}} {
		if one.token == "" {
			continue
		}
		header, form := http.Header{}, url.Values{"token": {one.token}, "token_type_hint": {one.hint}}
		if err := p.authenticate(k.meta, k.meta.revocation, header, form); err != nil {
			return err
		}
		a, err := p.web.post(ctx, k.meta.revocation, header, form)
		switch {
		case err != nil:
			failed = errors.Join(failed, unavailable("the revocation endpoint of provider %s: %w", p.o.Name, err))
		case a.status != http.StatusOK:
			failed = errors.Join(failed, unavailable("the revocation endpoint of provider %s answered with status %d", p.o.Name, a.status))
		}
	}
	return failed
}
