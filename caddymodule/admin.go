package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"

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
}

// adminRoutes maps a method and pattern (of net/http) to what serves it.
var adminRoutes = map[string]func(*adminCall) error{
	"GET /gatehouse/users":                  (*adminCall).listUsers,
	"POST /gatehouse/users":                 (*adminCall).addUser,
	"GET /gatehouse/users/{name}":           (*adminCall).showUser,
	"PATCH /gatehouse/users/{name}":         (*adminCall).setUser,
	"DELETE /gatehouse/users/{name}":        (*adminCall).deleteUser,
	"POST /gatehouse/users/{name}/disable":  (*adminCall).disableUser,
	"POST /gatehouse/users/{name}/enable":   (*adminCall).enableUser,
	"POST /gatehouse/users/{name}/password": (*adminCall).setPassword,
	"GET /gatehouse/sessions":               (*adminCall).listSessions,
	"DELETE /gatehouse/sessions":            (*adminCall).revokeSessions,
	"DELETE /gatehouse/sessions/{id}":       (*adminCall).revokeSession,
	"GET /gatehouse/policy":                 (*adminCall).policyStatus,
	"GET /gatehouse/policy/{package}":       (*adminCall).showPolicy,
	"GET /gatehouse/status":                 (*adminCall).status,
}

// adminMux finds the route; it answers 404 and 405 by itself.
var adminMux = func() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern := range adminRoutes {
		mux.Handle(pattern, http.NotFoundHandler())
	}
	return mux
}()

func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	handler, pattern := adminMux.Handler(r)
	serve, ok := adminRoutes[pattern]
	if !ok {
		handler.ServeHTTP(w, r)
		return nil
	}
	// Handler only looks the route up; ServeHTTP also sets the path values.
	adminMux.ServeHTTP(discard{}, r)
	loaded, err := caddy.ActiveContext().AppIfConfigured("gatehouse")
	if err != nil {
		return apiError(http.StatusServiceUnavailable, errors.New("gatehouse is not part of the running configuration"))
	}
	app := loaded.(*App)
	svc, err := app.services()
	if err != nil {
		return apiError(http.StatusServiceUnavailable, err)
	}
	return apiErrorOf(serve(&adminCall{app: app, svc: svc, w: w, r: r}))
}

// discard is a response that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func apiError(status int, err error) error {
	return caddy.APIError{HTTPStatus: status, Err: err}
}

// apiErrorOf is the one place that turns an error of the domain into an answer.
func apiErrorOf(err error) error {
	var (
		done    caddy.APIError
		invalid *user.InvalidError
		weak    *password.WeakError
	)
	switch {
	case err == nil || errors.As(err, &done):
		return err
	case errors.Is(err, user.ErrNotFound), errors.Is(err, session.ErrNotFound):
		return apiError(http.StatusNotFound, err)
	case errors.Is(err, user.ErrExists):
		return apiError(http.StatusConflict, err)
	case errors.As(err, &invalid), errors.As(err, &weak):
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
