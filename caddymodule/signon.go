package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/federation"
	"github.com/gatehouse-proxy/gatehouse/internal/gateway"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/portal"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/sso"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// signOn makes what logins at providers, and one login for many sites, work with.
func (s *services) signOn(a *App) {
	entries := make([]federation.Entry, len(a.OIDC))
	s.providers = make([]portal.Provider, len(a.OIDC))
	for i, o := range a.OIDC {
		client := a.providers[i]
		entries[i] = federation.Entry{
			Name: o.Name, AllowEmailDomain: o.AllowEmailDomain, LinkByEmail: o.LinkByEmail,
			Recheck: time.Duration(o.Recheck), Refresher: client,
		}
		s.providers[i] = portal.Provider{
			Entry: entries[i], Label: o.Label, Client: client, Issuer: client.Issuer(), MFAValues: o.MFAValues, LogoutThere: true,
		}
	}
	s.federation = federation.New(s.store, federation.Options{
		Users: s.users, Sessions: s.sessions, Entries: entries, Logger: a.slogger(""),
		OnEnded: func(ctx context.Context, e federation.Ended) {
			a.audit.Record(ctx, audit.Event{
				Action: audit.SessionRevoked, Outcome: audit.Success, Actor: e.Provider, Subject: e.Username, Session: e.SessionID, Reason: e.Reason,
			})
		},
	})
	s.codes, s.sites = sso.NewCodes(s.store, nil, nil), sso.NewSites(s.store)
}

// stateKeyName is where the key lives that logins under way are sealed with.
const stateKeyName = "secret/login_state"

// stateKey returns that key, which the first instance makes.
func (s *services) stateKey(ctx context.Context) (key [32]byte, err error) {
	for range 3 {
		raw, found, err := s.store.Get(ctx, stateKeyName)
		switch {
		case err != nil:
			return key, err
		case found && len(raw) != len(key):
			return key, fmt.Errorf("%w: the record %q is damaged", store.ErrUnavailable, stateKeyName)
		case found:
			return [32]byte(raw), nil
		}
		var fresh [32]byte
		_, _ = rand.Read(fresh[:]) // crypto/rand never returns an error
		if _, err := s.store.Create(ctx, stateKeyName, fresh[:], 0); err != nil {
			return key, err
		}
	}
	return key, fmt.Errorf("%w: the key for logins does not last", store.ErrUnavailable)
}

// once reports whether a key comes for the first time, over all instances.
func (s *services) once(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	return s.store.Create(ctx, "once/"+key, nil, ttl)
}

// portals makes the pages: those of each site and, where there is one for many
// sites, those of the portal's own.
func (s *services) portals(a *App, o portal.Options) (err error) {
	o.Federation, o.StateKey, o.Once, o.Providers = s.federation, s.stateKey, s.once, s.providers
	if a.Portal == "" {
		o.Base = portalBase
		s.portal, err = portal.New(o)
		return err
	}
	site := o
	site.Base, site.SSO = portalBase, &portal.SSO{Portal: a.Portal, Codes: s.codes}
	if s.portal, err = portal.New(site); err != nil {
		return err
	}
	o.Root = true
	o.SSO = &portal.SSO{Portal: a.Portal, Here: true, Codes: s.codes, Sites: s.sites}
	s.root, err = portal.New(o)
	return err
}

// serveRoot serves the portal at the root of its own site. On any other host its
// cookies and addresses would be wrong.
func (h *Handler) serveRoot(live *site, w http.ResponseWriter, r *http.Request, c gateway.Caller) {
	if origin, ok := sso.Origin(c.Scheme, r.Host); !ok || origin != h.app.portalOrigin {
		if secure, _ := sso.Origin("https", r.Host); c.Scheme == "http" && secure == h.app.portalOrigin {
			// TLS ended before Caddy: a redirect to https would come back here.
			h.needHTTPS(live, w, r)
			return
		}
		page := r.URL.RequestURI()
		if !strings.HasPrefix(page, "/") {
			page = "/" // "x:.example.com" as a request line would make another host of ours
		}
		http.Redirect(w, r, h.app.Portal+page, http.StatusPermanentRedirect)
		return
	}
	live.root.ServeHTTP(w, r, portal.Caller{ClientIP: c.ClientIP, RequestID: gateway.NewID(), Site: h.Name})
}

func (h *Handler) needHTTPS(live *site, w http.ResponseWriter, r *http.Request) {
	p := problem.Problem{
		Status: http.StatusForbidden, Kind: problem.Forbidden, Title: "Signing in needs HTTPS", NoLogin: true, RequestID: gateway.NewID(),
		Detail: "This page came over plain HTTP, and the portal is at " + h.app.portalOrigin + ". If you run this server: let Caddy serve HTTPS itself, also behind a load balancer.",
	}
	if problem.Navigation(r) {
		live.root.Problem(w, r, p)
		return
	}
	p.Write(w)
}

// announceSites tells the portal, wherever it runs, which sites this instance
// guards.
func (a *App) announceSites(ctx context.Context, svc *services) {
	hosts := a.gatedHosts()
	if a.Portal == "" || len(hosts) == 0 {
		return
	}
	for {
		wait := sso.Announce
		if err := svc.sites.Announce(ctx, hosts); err != nil && ctx.Err() == nil {
			a.logger.Warn("the portal could not be told which sites are here; it is tried again", zap.Error(err))
			wait = 5 * time.Second
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// gatedHosts are the hosts of this instance's gates.
func (a *App) gatedHosts() []string {
	loaded, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return nil
	}
	app, ok := loaded.(*caddyhttp.App)
	if !ok {
		return nil
	}
	var hosts []string
	for _, srv := range app.Servers {
		hosts = append(hosts, serverHosts(srv)...)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// checkPortal refuses a portal that could not work.
func (a *App) checkPortal() error {
	if a.Portal == "" {
		return nil
	}
	scheme, host, _ := strings.Cut(a.Portal, "://")
	origin, ok := sso.Origin(scheme, host)
	if !ok {
		return &config.Error{Field: "portal", Reason: "it is no address of a site: write one such as https://auth.example.com"}
	}
	a.portalOrigin = origin
	return nil
}

// tokenHeaders hands the provider's access token to the app of a site that asks
// for it.
func (h *Handler) tokenHeaders(svc *services) []gateway.TokenHeader {
	if h.ProviderToken == "" {
		return nil
	}
	return []gateway.TokenHeader{{Name: h.ProviderToken, Value: func(ctx context.Context, who *identity.Identity) (string, error) {
		if who.Method != identity.Session || who.Provider == identity.Local {
			return "", nil
		}
		token, err := svc.federation.AccessToken(ctx, who.SessionID)
		if errors.Is(err, federation.ErrNoToken) || errors.Is(err, oidc.ErrUnavailable) {
			return "", nil // the app can go without for as long as its provider does
		}
		return token, err
	}}}
}

// canGiveMFA reports whether the provider of a login knows of second factors.
func (a *App) canGiveMFA(who *identity.Identity) bool {
	return slices.ContainsFunc(a.OIDC, func(o config.OIDC) bool { return o.Name == who.Provider && len(o.MFAValues) > 0 })
}
