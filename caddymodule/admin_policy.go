package caddymodule

import (
	"net/http"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/policy"
)

// siteView is one protected site and the package that decides for it.
type siteView struct {
	Site    string `json:"site"`
	Package string `json:"package"`
}

// policyView is what is in force.
type policyView struct {
	Revision string    `json:"revision"`
	Loaded   time.Time `json:"loaded"`
	Packages []string  `json:"packages"`
	Files    int       `json:"files"`
	Dirs     []string  `json:"dirs"`
	Error    string    `json:"error,omitempty"` // why what the folders hold now is refused
}

type policyPage struct {
	Policy policyView `json:"policy"`
	Sites  []siteView `json:"sites"`
}

type statusPage struct {
	Store struct {
		Kind  string `json:"kind"`
		State string `json:"state"` // "ok", or what is wrong
	} `json:"store"`
	Policy   policyView `json:"policy"`
	Sites    []siteView `json:"sites"`
	Sessions *int       `json:"sessions,omitempty"`
	NoUsers  bool       `json:"no_users"`
	// PasswordsOff means that there is no set-up either.
	PasswordsOff bool     `json:"passwords_off,omitempty"`
	Providers    []string `json:"providers,omitempty"` // that people log in at
}

func viewPolicy(s policy.Status) policyView {
	v := policyView{Revision: s.Revision, Loaded: s.Loaded, Packages: list(s.Packages), Files: s.Files, Dirs: list(s.Dirs)}
	if s.Err != nil {
		v.Error = s.Err.Error()
	}
	return v
}

func (c *adminCall) siteViews() []siteView {
	views := []siteView{}
	for _, h := range c.app.sites {
		views = append(views, siteView{Site: h.Name, Package: h.pkg})
	}
	return views
}

func (c *adminCall) policyStatus() error {
	return c.write(http.StatusOK, policyPage{Policy: viewPolicy(c.app.engine.Status()), Sites: c.siteViews()})
}

// showPolicy prints a package's Rego as text.
func (c *adminCall) showPolicy() error {
	pkg := c.r.PathValue("package")
	text, err := c.app.engine.Show(pkg)
	if err != nil {
		return apiError(http.StatusNotFound, err)
	}
	return c.write(http.StatusOK, policyText{Package: pkg, Rego: text})
}

// status answers whether this instance can do its work now.
func (c *adminCall) status() error {
	s := statusPage{Policy: viewPolicy(c.app.engine.Status()), Sites: c.siteViews(), PasswordsOff: c.app.Passwords.Off}
	for _, o := range c.app.OIDC {
		s.Providers = append(s.Providers, o.Name)
	}
	s.Store.Kind, s.Store.State = c.app.storeKind(), "ok"
	found, err := c.svc.users.Any(c.r.Context())
	if err != nil {
		s.Store.State = err.Error()
		return c.write(http.StatusOK, s)
	}
	s.NoUsers = !found
	if n, err := c.svc.sessions.Count(c.r.Context()); err == nil {
		s.Sessions = &n
	}
	return c.write(http.StatusOK, s)
}

func (a *App) storeKind() string {
	if a.Store.Redis != nil {
		return "redis"
	}
	return "bolt"
}
