package optest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authorize signs somebody in at once, and sends the browser back.
func (o *OP) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.Form
	redirect, err := url.Parse(q.Get("redirect_uri"))
	switch {
	case q.Get("client_id") != o.Client.ID:
		http.Error(w, "unknown client_id", http.StatusBadRequest)
		return
	case err != nil || redirect.Host == "" || o.Client.RedirectURLs != nil && !slices.Contains(o.Client.RedirectURLs, q.Get("redirect_uri")):
		http.Error(w, "redirect_uri is not registered", http.StatusBadRequest)
		return
	}
	back := redirect.Query()
	if q.Has("state") {
		back.Set("state", q.Get("state"))
	}
	o.mu.Lock()
	code, failed, description := o.signIn(q)
	back.Set("iss", o.Issuer)
	if failed != "" {
		back.Set("error", failed)
		if description != "" {
			back.Set("error_description", description)
		}
	} else {
		back.Set("code", code)
	}
	if o.knobs.Callback != nil {
		o.knobs.Callback(back)
	}
	o.mu.Unlock()
	redirect.RawQuery = back.Encode()
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, redirect.String(), http.StatusSeeOther)
}

// signIn is called with the lock held.
func (o *OP) signIn(q url.Values) (code, failed, description string) {
	k := &o.knobs
	prompts := strings.Fields(q.Get("prompt"))
	scopes := strings.Fields(q.Get("scope"))
	account := o.who(q.Get("login_hint"))
	switch {
	case k.AuthorizeError != "":
		return "", k.AuthorizeError, k.AuthorizeDescription
	case q.Get("response_type") != "code":
		return "", "unsupported_response_type", ""
	case !slices.Contains(scopes, "openid"):
		return "", "invalid_scope", "openid is missing"
	case q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43:
		return "", "invalid_request", "PKCE is missing"
	case slices.Contains(prompts, "none") && (len(prompts) > 1 || k.SignedOut), account == "":
		return "", "login_required", ""
	}
	g := &grant{
		account: account, redirect: q.Get("redirect_uri"), scopes: scopes, nonce: q.Get("nonce"),
		verifier: q.Get("code_challenge"), authTime: o.Clock().Add(-k.AuthAge), sid: random(), acr: k.ACR,
	}
	if g.acr == "" {
		g.acr, _, _ = strings.Cut(q.Get("acr_values"), " ")
	}
	if age, err := strconv.Atoi(q.Get("max_age")); !k.IgnoreMaxAge && (slices.Contains(prompts, "login") || err == nil && k.AuthAge > time.Duration(age)*time.Second) {
		g.authTime = o.Clock()
	}
	code = random()
	o.codes[code], o.sessions[g.sid] = g, g
	return code, "", ""
}

// who is the subject that signs in.
func (o *OP) who(hint string) string {
	if o.knobs.Account != "" {
		return o.knobs.Account
	}
	for _, a := range o.accounts {
		if hint != "" && (hint == a.Subject || any(hint) == a.Claims["preferred_username"] || any(hint) == a.Claims["email"]) {
			return a.Subject
		}
	}
	if len(o.accounts) == 0 {
		return ""
	}
	return o.accounts[0].Subject
}

func (o *OP) account(subject string) *Account {
	for i := range o.accounts {
		if o.accounts[i].Subject == subject {
			return &o.accounts[i]
		}
	}
	return &Account{Subject: subject, Disabled: true}
}
