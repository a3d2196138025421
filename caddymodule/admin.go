package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/certificate"
	"github.com/gatehouse-proxy/gatehouse/internal/jwt"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// AdminAPI serves /gatehouse/… on Caddy's admin endpoint, never on a public
// listener. Whoever reaches that endpoint rules this Caddy anyway, so it asks
// for no further credential; protect it as Caddy's documentation says.
type AdminAPI struct{}

// CaddyModule returns the module's registration.
func (AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse", New: func() caddy.Module { return new(AdminAPI) }}
}

// adminBase is the root of the admin API's paths.
const adminBase = "/gatehouse"

// Routes returns the one route below which everything is.
func (AdminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: adminBase + "/", Handler: caddy.AdminHandlerFunc(serveAdmin)},
	}
}

// adminCall is one request to the admin API of a running configuration.
type adminCall struct {
	app *App
	svc *services
	w   http.ResponseWriter
	r   *http.Request

	// Whom and what the call concerns, for the audit trail: set as soon as it is
	// known.
	subject, session, credential string
	issuer                       string // of tokens that are revoked; "" is every one
}

// adminRoute is what serves a call, and the fact that it leaves in the audit
// trail, also when it is refused; none for calls that change nothing.
type adminRoute struct {
	serve  func(*adminCall) error
	action audit.Action
}

// adminRoutes maps a method and pattern (of net/http) to its route.
var adminRoutes = map[string]adminRoute{
	"GET /gatehouse/users":                    {serve: (*adminCall).listUsers},
	"POST /gatehouse/users":                   {(*adminCall).addUser, audit.UserAdded},
	"GET /gatehouse/users/{name}":             {serve: (*adminCall).showUser},
	"PATCH /gatehouse/users/{name}":           {(*adminCall).setUser, audit.UserChanged},
	"DELETE /gatehouse/users/{name}":          {(*adminCall).deleteUser, audit.UserDeleted},
	"POST /gatehouse/users/{name}/disable":    {(*adminCall).disableUser, audit.UserDisabled},
	"POST /gatehouse/users/{name}/enable":     {(*adminCall).enableUser, audit.UserEnabled},
	"POST /gatehouse/users/{name}/password":   {(*adminCall).setPassword, audit.PasswordChanged},
	"GET /gatehouse/sessions":                 {serve: (*adminCall).listSessions},
	"DELETE /gatehouse/sessions":              {(*adminCall).revokeSessions, audit.SessionRevoked},
	"DELETE /gatehouse/sessions/{id}":         {(*adminCall).revokeSession, audit.SessionRevoked},
	"GET /gatehouse/services":                 {serve: (*adminCall).listServices},
	"POST /gatehouse/services":                {(*adminCall).addService, audit.ServiceAdded},
	"GET /gatehouse/services/{name}":          {serve: (*adminCall).showService},
	"PATCH /gatehouse/services/{name}":        {(*adminCall).setService, audit.ServiceChanged},
	"DELETE /gatehouse/services/{name}":       {(*adminCall).deleteService, audit.ServiceDeleted},
	"POST /gatehouse/services/{name}/disable": {(*adminCall).disableService, audit.ServiceDisabled},
	"POST /gatehouse/services/{name}/enable":  {(*adminCall).enableService, audit.ServiceEnabled},
	"GET /gatehouse/keys":                     {serve: (*adminCall).listKeys},
	"POST /gatehouse/keys":                    {(*adminCall).createKey, audit.KeyCreated},
	"GET /gatehouse/keys/{key}":               {serve: (*adminCall).showKey},
	"POST /gatehouse/keys/{key}/rotate":       {(*adminCall).rotateKey, audit.KeyRotated},
	"DELETE /gatehouse/keys/{key}":            {(*adminCall).revokeKey, audit.KeyRevoked},
	"GET /gatehouse/tokens/revoked":           {serve: (*adminCall).listRevokedTokens},
	"POST /gatehouse/tokens/revoke":           {(*adminCall).revokeToken, audit.TokenRevoked},
	"GET /gatehouse/certificates":             {serve: (*adminCall).listCertificates},
	"POST /gatehouse/certificates/bind":       {(*adminCall).bindCertificate, audit.CertificateBound},
	"POST /gatehouse/certificates/unbind":     {(*adminCall).unbindCertificate, audit.CertificateUnbound},
	"POST /gatehouse/certificates/revoke":     {(*adminCall).revokeCertificate, audit.CertificateRevoked},
	"POST /gatehouse/certificates/unrevoke":   {(*adminCall).unrevokeCertificate, audit.CertificateAllowed},
	"GET /gatehouse/policy":                   {serve: (*adminCall).policyStatus},
	"GET /gatehouse/policy/{package}":         {serve: (*adminCall).showPolicy},
	"GET /gatehouse/status":                   {serve: (*adminCall).status},
}

// adminMux finds the route, or says that there is none for the path or method.
var adminMux = func() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern := range adminRoutes {
		mux.Handle(pattern, http.NotFoundHandler())
	}
	return mux
}()

func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	_, pattern := adminMux.Handler(r)
	// Handler only looks the route up; ServeHTTP also sets the path values.
	none := nothingThere{header: http.Header{}}
	adminMux.ServeHTTP(&none, r)
	route, ok := adminRoutes[pattern]
	if !ok {
		return none.answer(w, r)
	}
	loaded, err := caddy.ActiveContext().AppIfConfigured("gatehouse")
	if err != nil {
		return apiError(http.StatusServiceUnavailable, errors.New("gatehouse is not part of the running configuration"))
	}
	app := loaded.(*App)
	svc, err := app.services()
	if err != nil {
		return apiError(http.StatusServiceUnavailable, err)
	}
	call := &adminCall{app: app, svc: svc, w: w, r: r, subject: r.PathValue("name"), session: r.PathValue("id")}
	return call.run(route)
}

// run serves the call, and leaves its fact in the audit trail.
func (c *adminCall) run(route adminRoute) error {
	err := route.serve(c)
	if route.action != "" {
		c.record(route.action, err)
	}
	return apiErrorOf(err)
}

func (c *adminCall) record(action audit.Action, refused error) {
	e := audit.Event{Action: action, Outcome: audit.Success, Actor: audit.AdminAPI, Subject: c.subject, Session: c.session, Credential: c.credential}
	if c.issuer != "" {
		e.Extra = append(e.Extra, slog.String("issuer", c.issuer))
	}
	if name, err := user.NormalizeName(c.subject); err == nil {
		e.Subject = name // the spelling of all other lines
	}
	if refused != nil {
		e.Outcome, e.Reason = audit.Failure, refused.Error()
	}
	c.app.audit.Record(c.r.Context(), e)
}

// nothingThere keeps the status and header of the mux's own answer, whose text
// is for people.
type nothingThere struct {
	header http.Header
	status int
}

func (n *nothingThere) Header() http.Header         { return n.header }
func (n *nothingThere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nothingThere) WriteHeader(status int)      { n.status = status }

func (n *nothingThere) answer(w http.ResponseWriter, r *http.Request) error {
	if n.status != http.StatusMethodNotAllowed {
		return apiError(http.StatusNotFound, fmt.Errorf("there is nothing at %s", r.URL.Path))
	}
	w.Header()["Allow"] = n.header["Allow"]
	return apiError(http.StatusMethodNotAllowed, fmt.Errorf("%s is not possible here: use %s", r.Method, n.header.Get("Allow")))
}

func apiError(status int, err error) error {
	return caddy.APIError{HTTPStatus: status, Err: err}
}

// apiErrorOf is the one place that turns an error of the domain into an answer.
func apiErrorOf(err error) error {
	var (
		done    caddy.APIError
		invalid *user.InvalidError
		badKey  *key.InvalidError
		badRef  *certificate.InvalidError
		weak    *password.WeakError
	)
	switch {
	case err == nil || errors.As(err, &done):
		return err
	case errors.Is(err, user.ErrNotFound), errors.Is(err, session.ErrNotFound), errors.Is(err, key.ErrNotFound), errors.Is(err, certificate.ErrNotFound), errors.Is(err, certificate.ErrNoOwner):
		return apiError(http.StatusNotFound, err)
	case errors.Is(err, user.ErrExists), errors.Is(err, certificate.ErrTaken), errors.Is(err, key.ErrContended):
		return apiError(http.StatusConflict, err)
	case errors.As(err, &invalid), errors.As(err, &weak), errors.As(err, &badKey), errors.As(err, &badRef), errors.Is(err, jwt.ErrRevocation):
		return apiError(http.StatusBadRequest, err)
	case errors.Is(err, password.ErrBusy), errors.Is(err, store.ErrUnavailable):
		return apiError(http.StatusServiceUnavailable, err)
	}
	return apiError(http.StatusInternalServerError, err)
}

// maxAdminBody bounds what the admin API reads.
const maxAdminBody = 64 << 10

// read decodes the request's JSON body; unknown members are errors, since a
// misspelt one would otherwise be ignored.
func (c *adminCall) read(into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, maxAdminBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return apiError(http.StatusBadRequest, fmt.Errorf("reading the request's JSON: %w", err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return apiError(http.StatusBadRequest, errors.New("reading the request's JSON: something follows the object"))
	}
	return nil
}

func (c *adminCall) write(status int, body any) error {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(status)
	return json.NewEncoder(c.w).Encode(body)
}

// page reads the cursor and limit of a listing.
func (c *adminCall) page() (after string, limit int, err error) {
	q := c.r.URL.Query()
	limit = 100
	if text := q.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > 1000 {
			return "", 0, apiError(http.StatusBadRequest, fmt.Errorf("limit: %q is not a number from 1 to 1000", text))
		}
	}
	return q.Get("after"), limit, nil
}

var _ caddy.AdminRouter = AdminAPI{}
