package caddymodule

import (
	"net/http"
)

// siteView is one protected site in the policy listing.
type siteView struct {
	Site    string `json:"site"`
	Package string `json:"package"`
}

func (c *adminCall) siteViews() []siteView {
	views := []siteView{}
	for _, h := range c.app.sites {
		views = append(views, siteView{Site: h.Name, Package: h.pkg})
	}
	return views
}

func (c *adminCall) policyStatus() error {
	return c.write(http.StatusOK, map[string]any{
		"status": c.app.engine.Status(),
		"sites":  c.siteViews(),
	})
}

// showPolicy prints a package's Rego as text.
func (c *adminCall) showPolicy() error {
	text, err := c.app.engine.Show(c.r.PathValue("package"))
	if err != nil {
		return apiError(http.StatusNotFound, err)
	}
	return c.write(http.StatusOK, map[string]string{"package": c.r.PathValue("package"), "rego": text})
}

// status answers whether this instance can do its work now.
func (c *adminCall) status() error {
	store := "ok"
	any, err := c.svc.users.Any(c.r.Context())
	if err != nil {
		store = "unavailable: " + err.Error()
	}
	body := map[string]any{
		"store":  map[string]any{"kind": c.app.storeKind(), "state": store},
		"policy": c.app.engine.Status(),
		"sites":  c.siteViews(),
	}
	if err == nil {
		body["users"] = map[string]bool{"any": any}
		if n, err := c.svc.sessions.Count(c.r.Context()); err == nil {
			body["sessions"] = n
		}
	}
	return c.write(http.StatusOK, body)
}

func (a *App) storeKind() string {
	if a.Store.Redis != nil {
		return "redis"
	}
	return "bolt"
}
