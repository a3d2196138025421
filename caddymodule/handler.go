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
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
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
	name    string
	gate    *gateway.Gate
	outside *gateway.Outside
	portal  *portal.Portal
	root    *portal.Portal // of the portal's own site; nil on all others
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
	if h.ProviderToken != "" {
		for _, p := range h.app.providers {
			p.AskOffline() // so that the token can be replaced when it ends
		}
	}
	if h.PortalOnly || h.Portal {
		return nil
	}
	if h.accepts(identity.Certificate) {
		if err := checkClientAuth(ctx, h.Name); err != nil {
			return err
		}
	}
	if h.accepts(identity.Key) {
		h.warnLoggedKeys(ctx)
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

// ServeHTTP admits the request or answers it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	live, err := h.site()
	if err != nil {
		h.app.logger.Error("the gate is not ready: " + err.Error())
		problem.Problem{}.Write(w)
		return nil
	}
	caller := callerOf(r)
	if live.root != nil {
		h.serveRoot(live, w, r, caller)
		return nil
	}
	if underPortal(r.URL.Path) {
		live.serve(w, r, caller)
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

// serve shows a page of the portal. A program that asks who it is may do so with
// any credential that the site takes.
func (s *site) serve(w http.ResponseWriter, r *http.Request, c gateway.Caller) {
	visitor := portal.Caller{ClientIP: c.ClientIP, RequestID: gateway.NewID(), Site: s.name}
	if s.gate != nil && r.URL.Path == portalBase+"/whoami" {
		who, ok := s.gate.Identify(w, r, c)
		if !ok {
			return
		}
		visitor.Identity = who
	}
	s.portal.ServeHTTP(w, r, visitor)
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
	s := &site{name: h.label(), portal: svc.portal}
	if h.Portal {
		s.root = svc.root
	} else if h.PortalOnly {
		s.outside = gateway.NewOutside(h.app.headerNames()...).Policies(h.app.engine.StaticHeaders).Keys(h.app.Keys.Header, h.isKey())
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
		if s.ProviderToken != "" {
			names = append(names, s.ProviderToken)
		}
	}
	return names
}

// accepts reports whether a way to prove who one is counts at this site.
func (h *Handler) accepts(m identity.Method) bool { return h.app.Accepts(&h.Site, m) }

// authenticators are those of the site, in the order in which a request's
// credentials count.
func (h *Handler) authenticators(svc *services) []gateway.Authenticator {
	all := []gateway.Authenticator{earlierGate{h.accepts}}
	var keys gateway.Keys
	var tokens gateway.Tokens
	if h.accepts(identity.Key) {
		keys = keyring{svc.keys}
	}
	if h.accepts(identity.JWT) {
		tokens = svc.tokens
	}
	if keys != nil || tokens != nil {
		all = append(all, gateway.AuthorizationAuthenticator(keys, tokens, h.label()))
	}
	if keys != nil && h.app.Keys.Header != "" {
		all = append(all, gateway.KeyHeaderAuthenticator(keys, h.app.Keys.Header))
	}
	if h.accepts(identity.Session) {
		all = append(all, gateway.SessionAuthenticator(svc.federation, svc.cookies))
	}
	if h.accepts(identity.Certificate) {
		all = append(all, gateway.CertificateAuthenticator(svc.certificates))
	}
	return all
}

// keyring tells the gate also what a key looks like.
type keyring struct{ *key.Manager }

// Looks reports whether a text is meant to be a key.
func (keyring) Looks(text string) bool { return key.Looks(text) }

// isKey is how the gate knows a key where none should be; nil when keys are off.
func (h *Handler) isKey() func(text string) bool {
	if h.app.Keys.Off {
		return nil
	}
	return func(text string) bool {
		_, ok := key.Parse(text)
		return ok
	}
}

func (h *Handler) newGate(svc *services) (*gateway.Gate, error) {
	return gateway.New(gateway.Options{
		Site:              decision.Site{Host: h.label(), Policy: h.pkg},
		Authenticators:    h.authenticators(svc),
		KeyHeader:         h.app.Keys.Header,
		IsKey:             h.isKey(),
		NoLogin:           !h.accepts(identity.Session),
		Tokens:            h.tokenHeaders(svc),
		CanGiveMFA:        h.app.canGiveMFA,
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
		Alive:             svc.alive,
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
