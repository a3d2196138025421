package optest

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// endSession ends the session that id_token_hint names, tells the client on the
// back channel if it wants to hear, and sends the browser back (OpenID Connect
// RP-Initiated Logout 1.0).
func (o *OP) endSession(w http.ResponseWriter, r *http.Request) {
	q := r.Form
	o.mu.Lock()
	g := o.hinted(q.Get("id_token_hint"))
	if g != nil {
		g.void = true
	}
	back := q.Get("post_logout_redirect_uri")
	known := g != nil || q.Get("client_id") == o.Client.ID
	if !known || o.Client.PostLogoutURLs != nil && !slices.Contains(o.Client.PostLogoutURLs, back) {
		back = ""
	}
	params := url.Values{}
	if q.Has("state") {
		params.Set("state", q.Get("state"))
	}
	if o.knobs.PostLogout != nil {
		o.knobs.PostLogout(params)
	}
	o.mu.Unlock()
	if g != nil && o.Client.BackChannelURL != "" {
		if status, err := o.SendLogout(r.Context(), o.Client.BackChannelURL, g.account, g.sid); err != nil || status != http.StatusOK {
			http.Error(w, fmt.Sprintf("back-channel logout: status %d, %v", status, err), http.StatusBadGateway)
			return
		}
	}
	target, err := url.Parse(back)
	if err != nil || target.Host == "" || g != nil && o.Client.FrontChannelURL != "" {
		o.signedOut(w, g, back)
		return
	}
	all := target.Query()
	for name, values := range params {
		all[name] = values
	}
	target.RawQuery = all.Encode()
	http.Redirect(w, r, target.String(), http.StatusSeeOther)
}

// signedOut is the page after a logout, with the frame of the front channel.
func (o *OP) signedOut(w http.ResponseWriter, g *grant, back string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page := "<!doctype html><title>Signed out</title><p>Signed out."
	if g != nil && o.Client.FrontChannelURL != "" {
		q := url.Values{"iss": {o.Issuer}, "sid": {g.sid}}
		page += fmt.Sprintf(`<iframe src="%s"></iframe>`, html.EscapeString(o.Client.FrontChannelURL+"?"+q.Encode()))
	}
	if back != "" {
		page += fmt.Sprintf(`<a href="%s">Back</a>`, html.EscapeString(back))
	}
	_, _ = w.Write([]byte(page))
}

// hinted is the grant that an ID token is of. It need not be valid any more.
func (o *OP) hinted(idToken string) *grant {
	for _, k := range o.keys {
		if _, claims, ok := Verify(idToken, k.pair.Public()); ok {
			sid, _ := claims["sid"].(string)
			return o.sessions[sid]
		}
	}
	return nil
}

// LogoutToken makes the token of a back-channel logout. Either may be "".
func (o *OP) LogoutToken(subject, sid string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.Clock()
	claims := map[string]any{
		"iss": o.Issuer, "aud": o.Client.ID, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": random(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	if subject != "" {
		claims["sub"] = subject
	}
	if sid != "" {
		claims["sid"] = sid
	}
	alg := o.knobs.LogoutTokenAlg
	if alg == "" {
		alg = "RS256"
	}
	header := map[string]any{"typ": "logout+jwt"}
	maps.Copy(header, o.knobs.LogoutTokenHeader)
	return o.sign(alg, header, overlay(claims, o.knobs.LogoutToken))
}

// SendLogout posts a logout token to a client and returns the status of its
// answer. The provider's side of the session ends, too.
func (o *OP) SendLogout(ctx context.Context, to, subject, sid string) (status int, err error) {
	o.mu.Lock()
	for _, g := range o.sessions {
		if g.sid == sid || sid == "" && g.account == subject {
			g.void = true
		}
	}
	o.mu.Unlock()
	form := url.Values{"logout_token": {o.LogoutToken(subject, sid)}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := o.HTTP.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return res.StatusCode, nil
}

// Sessions are the sids of somebody's sessions that are alive.
func (o *OP) Sessions(subject string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var sids []string
	for sid, g := range o.sessions {
		if g.account == subject && !g.void {
			sids = append(sids, sid)
		}
	}
	slices.Sort(sids)
	return sids
}

// Sign makes any token with the provider's keys; header is laid over the usual
// one.
func (o *OP) Sign(alg string, header, claims map[string]any) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sign(alg, header, claims)
}

// Claims reads a token's claims without checking it.
func Claims(token string) map[string]any {
	_, body, _ := strings.Cut(token, ".")
	body, _, _ = strings.Cut(body, ".")
	raw, err := decode(body)
	if err != nil {
		return nil
	}
	var claims map[string]any
	if json.Unmarshal(raw, &claims) != nil {
		return nil
	}
	return claims
}
