package portal

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed templates/*.html
var templates embed.FS

// pageNames are the pages, one file each.
var pageNames = []string{"login", "logout", "setup", "account", "key", "problem", "going"}

// scene picks the picture of a page and its layout.
type scene string

const (
	desk scene = ""     // no picture: pages to work on
	open scene = "open" // the gate stands open
	shut scene = "shut" // its bars are down
	dim  scene = "dim"  // its lamp is out
)

// view is what the layout shows; Data is for the page inside.
type view struct {
	Title  string
	Scene  scene
	Site   string
	Error  string // said first, read out, focused
	Notice string // something went well
	Data   any

	Brand, Base, CSS, Icon string // filled by show
}

// reason pairs a field with what is wrong in it, for the template of that name.
type reason struct{ Field, Text string }

func (p *Portal) load() error {
	var err error
	if p.css, err = loadAsset("portal.css", "text/css; charset=utf-8"); err != nil {
		return err
	}
	if p.icon, err = loadAsset("gate.svg", "image/svg+xml"); err != nil {
		return err
	}
	why := func(field string, all map[string]string) reason { return reason{field, all[field]} }
	shared, err := template.New("").Funcs(template.FuncMap{"why": why}).
		ParseFS(templates, "templates/layout.html", "templates/fields.html", "templates/keys.html", "templates/ways.html")
	if err != nil {
		return fmt.Errorf("portal: %w", err)
	}
	p.pages = make(map[string]*template.Template, len(pageNames))
	for _, name := range pageNames {
		page, err := shared.Clone()
		if err == nil {
			page, err = page.ParseFS(templates, "templates/"+name+".html")
		}
		if err != nil {
			return fmt.Errorf("portal: page %s: %w", name, err)
		}
		p.pages[name] = page
	}
	return nil
}

// show renders a page whole before it sends the first byte, so that a fault in
// a template is a 500 and never half a page.
func (p *Portal) show(v *visit, status int, page string, content view) {
	content.Brand, content.Base = p.o.Name, p.o.Base
	content.CSS, content.Icon = p.o.Base+p.css.path, p.o.Base+p.icon.path
	var out bytes.Buffer
	if err := p.pages[page].ExecuteTemplate(&out, "layout", content); err != nil {
		p.o.Logger.ErrorContext(v.r.Context(), "portal page", "page", page, "request_id", v.RequestID, "error", err)
		v.write(http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("Internal error\n"))
		return
	}
	v.write(status, "text/html; charset=utf-8", out.Bytes())
}

// policy is the Content-Security-Policy of every answer: our stylesheet, our
// pictures, forms to ourselves, and nothing else; no script at all. Chrome holds
// form-action against redirects after a POST too; ours stay on this site.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// harden sets what every answer of the portal carries.
func harden(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY") // for what does not know frame-ancestors
	h.Set("X-Content-Type-Options", "nosniff")
	// Paths and queries of our pages (a set-up token, a return_to) stay out of
	// Referer. "no-referrer" and, across schemes, "same-origin" would make the
	// browser send "Origin: null" with our own forms (Fetch, "append a request
	// Origin header"), which the cross-origin check refuses.
	h.Set("Referrer-Policy", "strict-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	// The same URL answers as a page and as JSON.
	h.Add("Vary", "Accept")
}
