package caddymodule

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-proxy/gatehouse/config"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("gatehouse", parseGlobal)
	httpcaddyfile.RegisterDirective("gatehouse", parseDirective)
	httpcaddyfile.RegisterDirective("gatehouse_portal", parsePortalDirective)
	// After all that rewrites the request, so that nothing does after the check;
	// before all that answers or looks at credentials.
	httpcaddyfile.RegisterDirectiveOrder("gatehouse", httpcaddyfile.Before, "basic_auth")
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_portal", httpcaddyfile.Before, "respond")
}

// parseGlobal reads the global option:
//
//	gatehouse {
//	    store     bolt [<file>] | redis <url>
//	    policies  [<dir...>] { budget <duration> }
//	    passwords off | { min_length <n>; registration closed; argon2id { memory <size>; iterations <n>; parallelism <n> } }
//	    sessions  { idle_timeout <duration>; lifetime <duration>; remember_me <duration>|off; cookie_domain <domain>|off }
//	}
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // the option's own name
	if existing != nil {
		return nil, d.Err("gatehouse is given twice among the global options: keep one block")
	}
	if d.NextArg() {
		return nil, d.Err("the global option gatehouse takes only a block: write gatehouse { ... }")
	}
	var app config.App
	b := newBlock(d)
	b.elsewhere = map[string][]option{"a site, in its gatehouse directive": siteOptions(b, nil)}
	if err := b.read(appOptions(b, &app)); err != nil {
		return nil, err
	}
	if err := app.Validate(); err != nil {
		return nil, b.explain(err)
	}
	if err := checkCookieDomain(app.Sessions.CookieDomain); err != nil {
		return nil, b.explain(err)
	}
	return httpcaddyfile.App{Name: "gatehouse", Value: caddyconfig.JSON(app, nil)}, nil
}

// parseDirective reads the directive of a site:
//
//	gatehouse [<matcher>] {
//	    allow|deny    <conditions...>
//	    policy        <rego package>
//	    methods       session
//	    headers       { <name> <value> ... }
//	    timezone      <IANA name>
//	    authorization pass
//	}
//
// With a matcher it makes two routes: after the gate, one for the requests that
// came through none, that serves the portal and takes our headers off. Without
// that the login page would be missing, and anybody could send the app an
// identity around the gate. It has no matcher of its own: so Caddy sorts it
// behind all gates of the site, and no request can slip between two matchers.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // the directive's own name
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, h.WrapErr(err)
	}
	h.Next() // again: looking for the matcher began anew
	site := config.Site{Name: siteAddress(h)}
	if err := readSite(h, &site); err != nil {
		return nil, err
	}
	gate := route(matcher, &site)
	if matcher == nil {
		return gate, nil
	}
	return append(gate, route(nil, &config.Site{Name: site.Name, PortalOnly: true})...), nil
}

func readSite(h httpcaddyfile.Helper, site *config.Site) error {
	if h.NextArg() {
		return h.Errf("%q is neither a matcher nor a block: write gatehouse [<matcher>] { ... } with the options inside the braces", h.Val())
	}
	b := newBlock(h.Dispenser)
	b.elsewhere = map[string][]option{"the global options, in their gatehouse block": appOptions(b, nil)}
	if err := b.read(siteOptions(b, site)); err != nil {
		return err
	}
	if err := site.Validate(); err != nil {
		return b.explain(err)
	}
	app, err := globalOptions(h)
	if err != nil {
		return err
	}
	if err := app.CheckSite(site); err != nil {
		return b.explain(err)
	}
	for _, address := range siteAddresses(h) {
		if err := checkAddress(app.Sessions.CookieDomain, address); err != nil {
			return b.explain(err)
		}
	}
	return nil
}

func route(matcher caddy.ModuleMap, site *config.Site) []httpcaddyfile.ConfigValue {
	r := caddyhttp.Route{HandlersRaw: []json.RawMessage{caddyconfig.JSONModuleObject(site, "handler", "gatehouse", nil)}}
	if matcher != nil {
		r.MatcherSetsRaw = []caddy.ModuleMap{matcher}
	}
	return []httpcaddyfile.ConfigValue{{Class: "route", Value: r}}
}

// parsePortalDirective reads the directive of the portal's own site, which takes
// nothing. Its address has to be the one that the global option names.
func parsePortalDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	b := newBlock(h.Dispenser)
	if h.NextArg() || b.opens() {
		return nil, h.Err("gatehouse_portal takes nothing: write it alone, and its options into the gatehouse block of the global options")
	}
	site := config.Site{Name: siteAddress(h), Portal: true}
	app, err := globalOptions(h)
	if err != nil {
		return nil, err
	}
	if err := app.CheckSite(&site); err != nil {
		return nil, b.explain(err)
	}
	if !slices.ContainsFunc(siteAddresses(h), func(address string) bool { return sameHost(address, app.Portal) }) && len(siteAddresses(h)) > 0 {
		return nil, h.Errf("gatehouse_portal: this site is not %s, which the portal option names: make the two the same", app.Portal)
	}
	return route(nil, &site), nil
}

// sameHost reports whether an address of a site is of the host of a URL.
func sameHost(address, portal string) bool {
	if strings.Contains(portal, "{") {
		return true // filled in at start, and compared with each request
	}
	bare := func(s string) string {
		_, s, found := strings.Cut(s, "://")
		if !found {
			s = address
		}
		s, _, _ = strings.Cut(s, "/")
		return s
	}
	a, p := bare(address), bare(portal)
	return strings.EqualFold(a, p) || strings.EqualFold(a, strings.TrimSuffix(p, ":443")) || strings.EqualFold(strings.TrimSuffix(a, ":443"), p)
}

// globalOptions are those of the gatehouse block that the Caddyfile begins with.
func globalOptions(h httpcaddyfile.Helper) (app config.App, err error) {
	if global, ok := h.Option("gatehouse").(httpcaddyfile.App); ok {
		err = json.Unmarshal(global.Value, &app)
	}
	return app, err
}

// siteAddress is the first address of the server block that a directive stands
// in, without its scheme: "app.example.com", "localhost:8443", ":8080". If it
// is not to be found, the gate goes without a name.
func siteAddress(h httpcaddyfile.Helper) string {
	all := siteAddresses(h)
	if len(all) == 0 {
		return ""
	}
	address := all[0]
	if _, after, found := strings.Cut(address, "://"); found {
		address = after
	}
	host, _, _ := strings.Cut(address, "/")
	return host
}

// siteAddresses are all addresses of that server block, as written but in lower
// case. Caddy keeps the block to itself, so this looks for it by reflection,
// which may fail one day: then there are none.
func siteAddresses(h httpcaddyfile.Helper) (all []string) {
	keys := reflect.ValueOf(h).FieldByName("parentBlock")
	if keys.Kind() == reflect.Struct {
		keys = keys.FieldByName("Keys")
	}
	if h.IsNamedRoute() || keys.Kind() != reflect.Slice {
		return nil
	}
	for i := range keys.Len() {
		key := keys.Index(i)
		if key.Kind() != reflect.Struct || key.FieldByName("Text").Kind() != reflect.String {
			return nil
		}
		all = append(all, strings.ToLower(strings.TrimSuffix(key.FieldByName("Text").String(), ",")))
	}
	return all
}
