package caddymodule

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// announceSetup offers the set-up at the start. A store that is away is asked
// again until it answers.
func (a *App) announceSetup(ctx context.Context, svc *services) {
	for a.offerSetup(ctx, svc) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
		}
	}
}

// offerSetup prints a one-time set-up link if there is no user.
func (a *App) offerSetup(ctx context.Context, svc *services) error {
	if a.Passwords.Off {
		return nil
	}
	token, err := svc.setup.Issue(ctx)
	if err != nil || token == "" {
		return err
	}
	page := a.siteURL() + portalBase
	if a.Portal != "" {
		page = a.Portal
	}
	a.logger.Warn("no users yet: open this link once to make the first administrator",
		zap.String("url", page+"/setup?token="+url.QueryEscape(token)))
	return nil
}

// siteURL guesses the address of the first protected site, for the set-up link.
func (a *App) siteURL() string {
	const unknown = "https://your-site"
	loaded, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return unknown
	}
	app, ok := loaded.(*caddyhttp.App)
	if !ok {
		return unknown
	}
	names := make([]string, 0, len(app.Servers))
	for name := range app.Servers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		srv := app.Servers[name]
		if host, found := findSite(srv.Routes, ""); found {
			return serverURL(app, srv, host)
		}
	}
	return unknown
}

// findSite returns the host of the first route that leads to our handler.
func findSite(routes caddyhttp.RouteList, host string) (string, bool) {
	for _, route := range routes {
		inner := host
		for _, set := range route.MatcherSets {
			for _, m := range set {
				if hosts, ok := m.(*caddyhttp.MatchHost); ok && len(*hosts) > 0 {
					inner = (*hosts)[0]
				}
			}
		}
		for _, h := range route.Handlers {
			switch h := h.(type) {
			case *Handler:
				return inner, true
			case *caddyhttp.Subroute:
				if found, ok := findSite(h.Routes, inner); ok {
					return found, true
				}
			}
		}
	}
	return "", false
}

func serverURL(app *caddyhttp.App, srv *caddyhttp.Server, host string) string {
	port, scheme, usual := "", "https", "443"
	if len(srv.Listen) > 0 {
		if addr, err := caddy.ParseNetworkAddress(srv.Listen[0]); err == nil {
			_, port, _ = net.SplitHostPort(addr.JoinHostPort(0))
			if host == "" && addr.Host != "" {
				host = addr.Host
			}
		}
	}
	httpPort := app.HTTPPort
	if httpPort == 0 {
		httpPort = caddyhttp.DefaultHTTPPort
	}
	if len(srv.TLSConnPolicies) == 0 {
		scheme, usual = "http", "80"
	}
	if host == "" || strings.ContainsAny(host, "*{") {
		host = "localhost"
	}
	if port != "" && port != usual {
		host = net.JoinHostPort(host, port)
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host
}
