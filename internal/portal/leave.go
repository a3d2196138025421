package portal

import "net/http"

// begunReply is the start of a login as JSON.
type begunReply struct {
	URL string `json:"url"` // where to go on
}

// leave sends the browser to a provider, or to where a login there begins. After a form it goes by a page that
// leads on by itself: browsers hold form-action against all redirects that follow
// a form, also those from the provider to elsewhere.
func (p *Portal) leave(v *visit, at *Provider, address string) {
	switch {
	case v.json:
		v.reply(begunReply{URL: address})
	case v.r.Method == http.MethodPost:
		p.going(v, goingData{To: address, Lead: "You sign in at " + at.title() + " and come back here."}, "Going on to "+at.title())
	default:
		v.redirect(address)
	}
}

// goingData is what going.html shows.
type goingData struct{ To, Lead string }

// going answers a form with a page that leads elsewhere by itself.
func (p *Portal) going(v *visit, data goingData, title string) {
	v.w.Header().Set("Refresh", "0; url="+data.To)
	p.show(v, http.StatusOK, "going", view{Title: title, Scene: open, Data: data})
}
