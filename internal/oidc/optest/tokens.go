package optest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// token is the token endpoint. It takes every code and refresh token once.
func (o *OP) token(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	refuse := func(code string) { o.answer(w, http.StatusBadRequest, map[string]any{"error": code}) }
	if r.Method != http.MethodPost || r.URL.RawQuery != "" {
		refuse("invalid_request")
		return
	}
	if !o.knobs.AcceptAnyClient && !o.authenticated(r) {
		w.Header().Set("WWW-Authenticate", "Basic")
		o.answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	if o.knobs.TokenError != "" {
		refuse(o.knobs.TokenError)
		return
	}
	var g *grant
	refreshing := false
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		g = o.redeem(r.PostForm)
	case "refresh_token":
		if o.knobs.RefreshError != "" {
			refuse(o.knobs.RefreshError)
			return
		}
		g, refreshing = o.refresh(r.PostForm.Get("refresh_token")), true
	default:
		refuse("unsupported_grant_type")
		return
	}
	if g == nil {
		refuse("invalid_grant")
		return
	}
	o.answer(w, http.StatusOK, o.tokens(g, refreshing))
}

// redeem takes a code (RFC 6749 section 4.1.3, RFC 7636 section 4.6).
func (o *OP) redeem(form url.Values) *grant {
	g := o.codes[form.Get("code")]
	if g == nil {
		return nil
	}
	if g.used {
		g.void = true
		return nil
	}
	g.used = true
	if g.void || form.Get("redirect_uri") != g.redirect || s256(form.Get("code_verifier")) != g.verifier {
		return nil
	}
	return g
}

// refresh takes a refresh token; one that comes twice ends all of its kind.
func (o *OP) refresh(token string) *grant {
	g := o.refreshes[token]
	if g == nil || g.void || o.account(g.account).Disabled {
		return nil
	}
	if o.used[token] {
		g.void = true
		return nil
	}
	o.used[token] = !o.knobs.KeepRefresh
	return g
}

func (o *OP) tokens(g *grant, refreshing bool) map[string]any {
	k := &o.knobs
	life := k.AccessLife
	if life == 0 {
		life = 10 * time.Minute
	}
	access := random()
	o.accesses[access] = g
	answer := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(life / time.Second), "scope": strings.Join(g.scopes, " ")}
	if !refreshing && !k.NoRefreshToken || refreshing && !k.KeepRefresh {
		refresh := random()
		o.refreshes[refresh] = g
		answer["refresh_token"] = refresh
	}
	if !refreshing || !k.NoRefreshID {
		answer["id_token"] = o.idToken(g, access, refreshing)
	}
	return overlay(answer, k.Token)
}

// idToken makes an ID token (OpenID Connect Core section 2).
func (o *OP) idToken(g *grant, access string, refreshing bool) string {
	k := &o.knobs
	alg := k.IDTokenAlg
	if alg == "" {
		alg = "RS256"
	}
	now := o.Clock()
	claims := map[string]any{
		"iss": o.Issuer, "sub": g.account, "aud": o.Client.ID, "azp": o.Client.ID, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"auth_time": g.authTime.Unix(), "sid": g.sid, "amr": []any{"pwd"}, "at_hash": hash(alg, access),
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	if g.acr != "" {
		claims["acr"] = g.acr
	}
	if !k.ThinIDToken {
		for name, v := range o.about(g) {
			claims[name] = v
		}
	}
	claims = overlay(claims, k.IDToken)
	if refreshing {
		claims = overlay(claims, k.RefreshIDToken)
	}
	if k.RotateBeforeSigning {
		o.rotate(alg)
	}
	raw := o.sign(alg, k.IDTokenHeader, claims)
	if k.BadSignature {
		raw = spoil(raw)
	}
	return raw
}

// about are the claims of the person that the scopes give.
func (o *OP) about(g *grant) map[string]any {
	scope := map[string]string{"email": "email", "email_verified": "email", "name": "profile", "preferred_username": "profile", "nickname": "profile"}
	claims := map[string]any{}
	for name, v := range o.account(g.account).Claims {
		if needs := scope[name]; needs == "" || slices.Contains(g.scopes, needs) {
			claims[name] = v
		}
	}
	return claims
}

// userInfo takes an access token in the header alone.
func (o *OP) userInfo(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	access, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g := o.accesses[access]
	if g == nil || g.void || o.account(g.account).Disabled || r.Form.Has("access_token") {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		o.answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	claims := o.about(g)
	claims["sub"] = g.account
	raw, _ := json.Marshal(overlay(claims, o.knobs.UserInfo)) // made of what JSON can hold
	kind := o.knobs.UserInfoType
	if kind == "" {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(raw)
}

// revoke ends a grant (RFC 7009).
func (o *OP) revoke(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Method != http.MethodPost || !o.authenticated(r) {
		o.answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	token := r.PostForm.Get("token")
	for _, g := range []*grant{o.refreshes[token], o.accesses[token]} {
		if g != nil {
			g.void = true
		}
	}
	w.WriteHeader(http.StatusOK)
}
