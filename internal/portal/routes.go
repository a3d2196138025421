package portal

import (
	"net/http"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// route is one page; a nil method is not allowed there.
type route struct {
	get, post func(*visit)
	acts      bool // GET does something, so HEAD is not taken for it
	servers   bool // POST is for servers, which prove themselves in another way
}

func (p *Portal) route() {
	p.routes = map[string]route{
		"/login":                          {get: p.getLogin, post: p.postLogin},
		"/logout":                         {get: p.getLogout, post: p.postLogout},
		"/setup":                          {get: p.getSetup, post: p.postSetup},
		"/account":                        {get: p.getAccount},
		"/account/password":               {post: p.postPassword},
		"/account/sessions/revoke":        {post: p.postRevoke},
		"/account/sessions/revoke-others": {post: p.postRevokeOthers},
		"/whoami":                         {get: p.getWhoami},
	}
	if p.o.Keys != nil {
		p.routes["/account/keys"] = route{get: p.getKeys, post: p.postKey}
		p.routes["/account/keys/rotate"] = route{get: p.getRotateKey, post: p.postRotateKey}
		p.routes["/account/keys/revoke"] = route{get: p.getRevokeKey, post: p.postRevokeKey}
	}
	for i := range p.o.Providers {
		at := &p.o.Providers[i]
		with := func(page func(*visit, *Provider)) func(*visit) { return func(v *visit) { page(v, at) } }
		pages := "/oidc/" + at.name()
		p.routes[pages+"/login"] = route{get: with(p.getStart), post: with(p.postStart), acts: true}
		p.routes[pages+"/callback"] = route{get: with(p.getCallback), acts: true}
		p.routes[pages+"/backchannel-logout"] = route{post: with(p.postBackChannel), servers: true}
		p.routes[pages+"/frontchannel-logout"] = route{get: with(p.getFrontChannel), acts: true}
	}
	p.routeSSO()
}

// ServeHTTP answers everything under Base.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request, c Caller) {
	harden(w.Header())
	v := &visit{w: w, r: r, Caller: c, json: wantsJSON(r)}
	path, ours := strings.CutPrefix(r.URL.Path, p.o.Base)
	if !ours {
		p.fail(v, problem.Problem{Status: http.StatusNotFound, Kind: problem.NotFound})
		return
	}
	if p.serveAsset(v, path) {
		return
	}
	if path == "" || path == "/" {
		v.redirect(p.o.Base + "/account")
		return
	}
	page, known := p.routes[path]
	switch {
	case !known:
		p.fail(v, problem.Problem{Status: http.StatusNotFound, Kind: problem.NotFound})
	case page.get != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead && !page.acts):
		page.get(v)
	case page.post == nil || r.Method != http.MethodPost:
		p.notAllowed(v, page)
	case !page.servers && p.csrf.Check(r) != nil:
		p.fail(v, problem.Problem{
			Status: http.StatusForbidden, Kind: problem.Forbidden, Title: "This form came from another site",
			Detail: "Your browser says that another site sent this form, so nothing was done. Open the page here and try again.",
		})
	default:
		page.post(v)
	}
}

func (p *Portal) notAllowed(v *visit, page route) {
	var allow []string
	if page.get != nil {
		allow = append(allow, http.MethodGet)
		if !page.acts {
			allow = append(allow, http.MethodHead)
		}
	}
	if page.post != nil {
		allow = append(allow, http.MethodPost)
	}
	v.w.Header().Set("Allow", strings.Join(allow, ", "))
	p.fail(v, problem.Problem{Status: http.StatusMethodNotAllowed, Kind: problem.BadRequest})
}
