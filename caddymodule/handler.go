package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/gateway"
	"github.com/gatehouse-proxy/gatehouse/internal/policy"
	"github.com/gatehouse-proxy/gatehouse/internal/portal"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// Handler is the HTTP handler `gatehouse` of one site. It finds out who asks,
// asks the site's policy, and passes the request on with an identity the app can
// trust, or answers itself. Under /_gatehouse/ it serves the portal's pages.
type Handler struct {
	config.Site

	app     *App
	entry   *policy.Entry
	pkg     string
	zone    *time.Location
	headers []gateway.HeaderRule

	// The gate is built on the opened store by the first request; a failure is
	// tried again by the next one.
	mu   sync.Mutex
	live atomic.Pointer[site]
}

// site is a handler in working order: a gate, or the way past one.
type site struct {
	gate    *gateway.Gate
	outside *gateway.Outside
	portal  *portal.Portal
}

// CaddyModule returns the module's registration.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse", New: func() caddy.Module { return new(Handler) }}
}

// Provision checks the site's configuration and compiles its policy.
func (h *Handler) Provision(ctx caddy.Context) error {
	loaded, err := ctx.App("gatehouse")
	if err != nil {
		return err
	}
	h.app = loaded.(*App)
	repl := caddy.NewReplacer()
	err = h.Resolve(func(s string) (string, error) { return repl.ReplaceOrErr(s, true, true) })
	if err != nil {
		return err
	}
	if err := errors.Join(h.Validate(), h.app.CheckSite(&h.Site)); err != nil {
		return err
	}
	if h.zone, err = time.LoadLocation(h.Timezone); err != nil {
		return fmt.Errorf("timezone: %w", err)
	}
	h.headers = headerRules(h.Headers)
	if h.PortalOnly {
		return nil
	}
	if h.pkg, err = h.app.sitePackage(&h.Site); err != nil {
		return err
	}
	if h.entry, err = h.app.engine.Entry(h.pkg); err != nil {
		return fmt.Errorf("policy %s: %w", h.pkg, err)
	}
	h.app.mu.Lock()
	h.app.sites = append(h.app.sites, h)
	h.app.mu.Unlock()
	return nil
}

// defaultPackage decides for sites that name no policy, if the policy folder
// defines it.
const defaultPackage = "gatehouse.authz"

// sitePackage returns the Rego package that decides for a site, compiling its
// allow and deny lines where it has them.
func (a *App) sitePackage(s *config.Site) (string, error) {
	if s.Policy != "" {
		return s.Policy, nil
	}
	if len(s.Allow) == 0 && len(s.Deny) == 0 {
		if _, err := a.engine.Entry(defaultPackage); err == nil {
			return defaultPackage, nil
		}
		s.Allow = []config.Line{{{Kind: "signed_in"}}}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	pkg := a.freePackage(s.Name)
	err := a.engine.AddRules(pkg, lines(s.Allow), lines(s.Deny))
	return pkg, err
}

// freePackage makes a package name from a site's name, unlike those of the
// sites before it.
func (a *App) freePackage(site string) string {
	base := "gatehouse.sites." + identifier(site)
	name := base
	for n := 2; a.taken(name); n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	return name
}

func (a *App) taken(pkg string) bool {
	for _, s := range a.sites {
		if s.pkg == pkg {
			return true
		}
	}
	return false
}

// identifier turns a host name into a Rego identifier: letters, digits and _.
func identifier(site string) string {
	host := strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(site), "https://"), "http://")
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, host)
	id = strings.Trim(id, "_")
	switch {
	case id == "":
		return "site"
	case !strings.Contains(id, "_"), id[0] >= '0' && id[0] <= '9':
		// A single word may be a keyword of Rego; a package may not begin with a
		// digit.
		return "site_" + id
	}
	return id
}

func lines(from []config.Line) []policy.Line {
	to := make([]policy.Line, len(from))
	for i, line := range from {
		for _, c := range line {
			to[i] = append(to[i], policy.Condition{Kind: c.Kind, Values: c.Values})
		}
	}
	return to
}

// ServeHTTP admits the request or answers it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	live, err := h.site()
	if err != nil {
		h.app.logger.Error("the gate is not ready: " + err.Error())
		problem.Problem{}.Write(w)
		return nil
	}
	caller := callerOf(r)
	if underPortal(r.URL.Path) {
		live.portal.ServeHTTP(w, r, portal.Caller{
			ClientIP: caller.ClientIP, RequestID: gateway.NewID(), Site: h.Name,
		})
		return nil
	}
	if h.PortalOnly {
		return live.passBy(w, r, next)
	}
	if passage := outside(r); passage != nil {
		passage.Enter(r)
	}
	caller.Behind = admitted(r) != nil
	pass, ok := live.gate.Admit(w, r, caller)
	if !ok {
		return nil
	}
	defer pass.Close()
	caddyhttp.SetVar(r.Context(), admittedVar, pass)
	return next.ServeHTTP(pass.Writer, pass.Request)
}

// passBy serves a request that this site's gates leave out. One that came
// through a gate already keeps what that gate gave it.
func (s *site) passBy(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if admitted(r) != nil {
		return next.ServeHTTP(w, r)
	}
	// Caddy's matcher saw one reading of the path and left the gate out; another
	// one may be the very path that is guarded.
	if readings, err := gateway.Readings(r.URL.EscapedPath()); err != nil || len(readings) != 1 {
		s.ambiguous(w, r)
		return nil
	}
	passage := s.outside.Clean(w, r)
	passage.After(outside(r))
	defer passage.Close()
	caddyhttp.SetVar(r.Context(), outsideVar, passage)
	return next.ServeHTTP(passage.Writer, r)
}

// ambiguous refuses a path that has more than one reading, where no policy is
// asked about each of them.
func (s *site) ambiguous(w http.ResponseWriter, r *http.Request) {
	p := problem.Problem{
		Status: http.StatusBadRequest, Kind: problem.BadRequest, Title: "Bad request", RequestID: gateway.NewID(),
		Detail: "The path of this request can be read in more than one way, and a part of this site is guarded.",
	}
	if problem.Navigation(r) {
		s.portal.Problem(w, r, p)
		return
	}
	p.Write(w)
}

// underPortal reports whether a path belongs to the portal. The path is
// compared as it is: another spelling of it goes to the gate like any path.
func underPortal(path string) bool {
	rest, ok := strings.CutPrefix(path, portalBase)
	return ok && (rest == "" || rest[0] == '/')
}

// callerOf collects what Caddy knows of the other side. The client's address is
// Caddy's own finding, by its trusted_proxies; no header is read here.
func callerOf(r *http.Request) gateway.Caller {
	c := gateway.Caller{Scheme: "http"}
	if r.TLS != nil {
		c.Scheme = "https"
	}
	if ip, ok := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string); ok {
		if addr, err := netip.ParseAddr(ip); err == nil {
			c.ClientIP = addr.Unmap()
		}
	}
	switch addr := r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.TCPAddr:
		c.Port = addr.Port
	case *net.UDPAddr:
		c.Port = addr.Port
	}
	return c
}

// site returns the handler in working order, made at the first call.
func (h *Handler) site() (*site, error) {
	if live := h.live.Load(); live != nil {
		return live, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if live := h.live.Load(); live != nil {
		return live, nil
	}
	svc, err := h.app.services()
	if err != nil {
		return nil, err
	}
	s := &site{portal: svc.portal}
	if h.PortalOnly {
		s.outside = gateway.NewOutside(h.app.headerNames()...).Policies(h.app.engine.StaticHeaders)
	} else if s.gate, err = h.newGate(svc); err != nil {
		return nil, err
	}
	h.live.Store(s)
	return s, nil
}

// headerNames are the header names that any site's own headers block sets.
func (a *App) headerNames() []string {
	var names []string
	for _, s := range a.sites {
		for _, rule := range s.headers {
			names = append(names, rule.Name)
		}
	}
	return names
}

func (h *Handler) newGate(svc *services) (*gateway.Gate, error) {
	return gateway.New(gateway.Options{
		Site: decision.Site{Host: h.label(), Policy: h.pkg},
		Authenticators: []gateway.Authenticator{
			earlierGate{}, gateway.SessionAuthenticator(svc.sessions, svc.cookies),
		},
		Decider:           h.entry,
		Pages:             svc.portal,
		Recorder:          &recorder{app: h.app, log: h.app.logger.Named("decision"), pkg: h.pkg},
		Cookies:           svc.cookies,
		LoginPath:         portalBase + "/login",
		Headers:           h.headers,
		NoHeaders:         h.Headers != nil && len(h.Headers) == 0,
		PolicyHeaders:     h.entry.StaticHeaders,
		OtherHeaders:      h.app.headerNames(),
		OtherPolicies:     h.app.engine.StaticHeaders,
		PassAuthorization: h.Authorization == "pass",
		Location:          h.zone,
		Alive:             svc.sessions.Alive,
		Span:              span,
		Logger:            h.app.slogger(""),
	})
}

// label is the site's name for logs and policies.
func (h *Handler) label() string {
	if h.Name == "" {
		return h.pkg
	}
	return h.Name
}

// Interface guards
var (
	_ gateway.Authenticator       = earlierGate{}
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddy.Provisioner           = (*Handler)(nil)
	_ gateway.Decider             = (*policy.Entry)(nil)
	_ gateway.Pages               = (*portal.Portal)(nil)
)
