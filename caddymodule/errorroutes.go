package caddymodule

import (
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// warnErrorRoutes looks for error routes that go around the gate. Caddy refuses
// some requests before any route (an empty Host, an overlong method, a Host that
// is not the SNI) and then runs handle_errors for them as they came: a proxy there
// is reachable by strangers, with any identity that they write into the headers.
func (a *App) warnErrorRoutes() {
	loaded, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return
	}
	app, ok := loaded.(*caddyhttp.App)
	if !ok {
		return
	}
	for name, srv := range app.Servers {
		if srv.Errors != nil && aroundTheGate(srv.Routes, srv.Errors.Routes) {
			a.logger.Warn("handle_errors has a reverse_proxy that no gatehouse guards: strangers reach it around the gate; put gatehouse before it there, too",
				zap.String("server", name))
		}
	}
}

// aroundTheGate reports whether a site with a gate has error routes that proxy
// without one. Sites are told apart by the hosts of their outermost routes.
func aroundTheGate(sites, errors caddyhttp.RouteList) bool {
	for _, route := range errors {
		if !proxiesUnguarded(caddyhttp.RouteList{route}) {
			continue
		}
		for _, site := range sites {
			_, gated := findSite(caddyhttp.RouteList{site}, "")
			if gated && overlap(hosts(site), hosts(route)) {
				return true
			}
		}
	}
	return false
}

// hosts are those that a route is for; none means all.
func hosts(route caddyhttp.Route) (all []string) {
	for _, set := range route.MatcherSets {
		for _, m := range set {
			if h, ok := m.(*caddyhttp.MatchHost); ok {
				all = append(all, *h...)
			}
		}
	}
	return all
}

func overlap(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(h string) bool { return slices.Contains(b, h) })
}

// proxiesUnguarded reports whether a request may meet a reverse_proxy without
// having met a gate before.
func proxiesUnguarded(routes caddyhttp.RouteList) bool {
	for _, route := range routes {
		for _, h := range route.Handlers {
			switch h := h.(type) {
			case *Handler:
				if len(route.MatcherSets) == 0 && !h.PortalOnly {
					return false
				}
			case *caddyhttp.Subroute:
				if proxiesUnguarded(h.Routes) {
					return true
				}
			case caddy.Module:
				if h.CaddyModule().ID == "http.handlers.reverse_proxy" {
					return true
				}
			}
		}
	}
	return false
}
