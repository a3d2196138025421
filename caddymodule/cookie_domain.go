package caddymodule

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-proxy/gatehouse/config"
)

// Browsers drop a shared cookie in silence when its domain is a public suffix,
// or when the site that sets it is not below that domain: people would sign in
// and be asked to sign in again, for ever. So both stop the configuration.

// checkCookieDomain refuses a public suffix: a domain below which strangers can
// have names of their own, such as co.uk or github.io.
func checkCookieDomain(domain string) error {
	if domain == "" {
		return nil
	}
	if suffix, _ := publicsuffix.PublicSuffix(domain); suffix == domain {
		return &config.Error{Field: "sessions.cookie_domain", Reason: fmt.Sprintf(
			"anybody can have a name below %s, so browsers keep no cookie for it: write a domain of your own, such as example.%[1]s, or leave it out", domain)}
	}
	return nil
}

// checkSiteHost refuses a site to which the shared cookie cannot belong. A host
// that is not known before a request comes is let be.
func checkSiteHost(domain, host string) error {
	if domain == "" || host == "" || host == "*" || strings.Contains(host, "{") {
		return nil
	}
	if ascii, err := idna.ToASCII(host); err == nil {
		host = ascii
	}
	host = strings.ToLower(host)
	if host == domain || strings.HasSuffix(host, "."+domain) {
		return nil
	}
	return &config.Error{Field: "sessions.cookie_domain", Reason: fmt.Sprintf(
		"the site %s is not below %s, so browsers would drop its cookie and nobody could stay signed in there: give the site a host such as app.%[2]s, or leave cookie_domain out", host, domain)}
}

// checkAddress is checkSiteHost for the address of a site in a Caddyfile.
func checkAddress(domain, address string) error {
	a, err := httpcaddyfile.ParseAddress(address)
	if err != nil {
		return nil //nolint:nilerr // Caddy says so itself, and better
	}
	return checkSiteHost(domain, a.Host)
}

// checkHosts checks all sites of the running configuration against cookie_domain
// and portal. Routes say which hosts lead to a gate, and are known only when Caddy's
// HTTP app is ready.
func (a *App) checkHosts() error {
	if a.Sessions.CookieDomain == "" && a.Portal == "" {
		return nil
	}
	loaded, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return nil //nolint:nilerr // there is none, and so no site
	}
	app, ok := loaded.(*caddyhttp.App)
	if !ok {
		return nil
	}
	for _, srv := range app.Servers {
		for _, host := range serverHosts(srv) {
			if a.Portal != "" {
				err = a.checkBesidePortal(host)
			} else {
				err = checkSiteHost(a.Sessions.CookieDomain, host)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// checkBesidePortal refuses a site on the portal's host, with another port: browsers
// keep cookies by host alone, so each login at one would end the other's.
func (a *App) checkBesidePortal(host string) error {
	u, err := url.Parse(a.portalOrigin)
	if err != nil || !strings.EqualFold(u.Hostname(), host) {
		return nil //nolint:nilerr // checkPortal has read it
	}
	return &config.Error{Field: "portal", Reason: "a site with a gate has the same host, and browsers keep cookies by host, whatever the port: give the portal a host of its own, such as auth.example.com or, on this machine, auth.localhost"}
}

// serverHosts are those of a server.
func serverHosts(srv *caddyhttp.Server) []string {
	return gateHosts(srv.Routes, nil, srv.NamedRoutes, maxNested)
}

// maxNested is how deep routes are followed.
const maxNested = 32

// gateHosts are the hosts whose requests reach a gate, or the pages beside one. A route
// without a host matcher takes those of the route around it.
//
// named are the routes of the server that others invoke. One may invoke itself, and
// deep counts down against that.
func gateHosts(routes caddyhttp.RouteList, around []string, named map[string]*caddyhttp.Route, deep int) (found []string) {
	if deep == 0 {
		return nil
	}
	for _, route := range routes {
		inner := around
		if own := matchedHosts(route.MatcherSets); len(own) > 0 {
			inner = own
		}
		for _, h := range route.Handlers {
			switch h := h.(type) {
			case *Handler:
				if !h.Portal { // which is no site: nobody is sent back to it with a code
					found = append(found, inner...)
				}
			case *caddyhttp.Subroute:
				found = append(found, gateHosts(h.Routes, inner, named, deep-1)...)
			case *caddyhttp.Invoke:
				if to := named[h.Name]; to != nil {
					found = append(found, gateHosts(caddyhttp.RouteList{*to}, inner, named, deep-1)...)
				}
			}
		}
	}
	return found
}

func matchedHosts(sets caddyhttp.MatcherSets) (hosts []string) {
	for _, set := range sets {
		for _, m := range set {
			if h, ok := m.(*caddyhttp.MatchHost); ok {
				hosts = append(hosts, *h...)
			}
		}
	}
	return hosts
}
