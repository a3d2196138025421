package portal

import (
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/federation"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
)

// maxLogoutBody is the most that the request with a logout token may weigh, in
// bytes.
const maxLogoutBody = 96 << 10

// logoutError is the answer to a logout token that does nothing (OpenID Connect
// Back-Channel Logout 1.0 section 2.8).
type logoutError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// postBackChannel ends sessions on a provider's word. It comes from the provider's
// server, without a cookie, and proves itself by the signature of the token.
func (p *Portal) postBackChannel(v *visit, at *Provider) {
	ctx := v.r.Context()
	raw, ok := logoutToken(v)
	if !ok {
		v.replyStatus(http.StatusBadRequest, logoutError{"invalid_request", "Send one logout_token, as application/x-www-form-urlencoded."})
		return
	}
	n := 0
	l, err := at.Client.LogoutToken(ctx, raw)
	if err == nil {
		n, err = p.o.Federation.Logout(ctx, at.Entry, l)
	}
	switch {
	case err == nil:
		p.noteTheirLogout(v, at, n)
		v.w.Header().Set("Content-Length", "0")
		v.w.WriteHeader(http.StatusOK)
	case errors.Is(err, oidc.ErrInvalid), errors.Is(err, federation.ErrReplayed):
		p.record(v, audit.Event{Action: audit.CredentialRefused, Reason: err.Error(), Extra: providerAttr(at)})
		v.replyStatus(http.StatusBadRequest, logoutError{"invalid_request", "The logout token is not valid here."})
	default:
		p.o.Logger.ErrorContext(ctx, "portal: a provider's logout", "request_id", v.RequestID, "provider", at.name(), "error", err)
		v.w.Header().Set("Retry-After", "5")
		v.replyStatus(http.StatusServiceUnavailable, logoutError{"temporarily_unavailable", "Try again in a moment."})
	}
}

// logoutToken reads the token of a back-channel logout. Other fields are left
// alone (section 2.5).
func logoutToken(v *visit) (raw string, ok bool) {
	media, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || v.r.Header.Get("Content-Encoding") != "" {
		return "", false
	}
	body, err := io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, maxLogoutBody))
	if err != nil {
		return "", false
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["logout_token"]) != 1 {
		return "", false
	}
	raw = form.Get("logout_token")
	return raw, raw != ""
}

// noteTheirLogout records sessions that ended on a provider's word.
func (p *Portal) noteTheirLogout(v *visit, at *Provider, n int) {
	if n > 0 {
		p.record(v, audit.Event{Action: audit.Logout, Actor: audit.Unattended, Extra: append(providerAttr(at), slog.Int("sessions", n))})
	}
}

// framed is the page that a provider shows in a frame of its own; it is not made
// to be read.
const framed = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Signed out</title></head><body><p>Signed out.</p></body></html>\n"

// getFrontChannel ends the sessions here that came from one session at a provider.
// The provider has the browser ask for it in a frame, where our cookies are not
// sent; so whoever knows issuer and sid can ask. A sid is the provider's to keep
// secret, and all that can be done with one is to sign its own person out.
func (p *Portal) getFrontChannel(v *visit, at *Provider) {
	q := v.r.URL.Query()
	frameFor(v.w.Header(), origin(at.Issuer))
	sid, ok := at.Client.FrontChannel(q)
	if !ok {
		v.write(http.StatusBadRequest, "text/plain; charset=utf-8", []byte("This is no logout of that provider.\n"))
		return
	}
	n, err := p.o.Sessions.RevokeKnownProviderSession(v.r.Context(), q.Get("iss"), sid)
	if err != nil {
		p.o.Logger.ErrorContext(v.r.Context(), "portal: a provider's logout", "request_id", v.RequestID, "provider", at.name(), "error", err)
		v.w.Header().Set("Retry-After", "5")
		v.write(http.StatusServiceUnavailable, "text/plain; charset=utf-8", []byte("Not available right now.\n"))
		return
	}
	p.noteTheirLogout(v, at, n)
	if _, err := p.who(v); err != nil { // clears the cookie if it was this browser's session, and came along
		p.o.Logger.WarnContext(v.r.Context(), "portal: reading the session", "request_id", v.RequestID, "error", err)
	}
	v.write(http.StatusOK, "text/html; charset=utf-8", []byte(framed))
}

// frameFor lets pages of one origin show the answer in a frame; "" lets none.
func frameFor(h http.Header, origin string) {
	if origin == "" {
		return
	}
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors "+origin)
	h.Del("X-Frame-Options") // it knows no origins
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}
