package portal

import (
	"errors"
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// The steps that the login page knows besides plain signing in.
const (
	stepReauth = "reauth" // the same person proves again who they are
	stepSwitch = "switch" // somebody else signs in instead
)

// wrong is all that anybody learns of a failed try.
const wrong = "User name or password is wrong."

// loginData is what login.html shows.
type loginData struct {
	None       bool   // there is no way to sign in
	SignedIn   string // who is signed in already and not asked to prove it
	Reauth     bool
	Username   string
	ReturnTo   string
	Switch     string // URL for another account
	RememberMe bool
	Remember   bool
}

// loginReply is the login page as JSON.
type loginReply struct {
	Passwords  bool   `json:"passwords"`
	RememberMe bool   `json:"remember_me"`
	Username   string `json:"username,omitempty"` // who is signed in
	ReturnTo   string `json:"return_to"`
}

func (p *Portal) getLogin(v *visit) {
	q := v.r.URL.Query()
	back := p.returnTo(q.Get("return_to"))
	if !p.o.Passwords {
		p.noWayIn(v, back)
		return
	}
	if !p.offerCookies(v) {
		return
	}
	id, err := p.who(v)
	if err != nil {
		p.fault(v, "reading the session", err)
		return
	}
	if v.json {
		reply := loginReply{Passwords: true, RememberMe: p.o.RememberMe, ReturnTo: back}
		if id != nil {
			reply.Username = id.Username
		}
		v.reply(reply)
		return
	}
	data := loginData{ReturnTo: back}
	notice := ""
	if q.Get("done") == "logout" && id == nil {
		notice = "You are signed out."
	}
	switch step := q.Get("step"); {
	case id != nil && step == stepReauth:
		data.Reauth, data.Username = true, id.Username
	case id != nil && step != stepSwitch:
		data.SignedIn = id.Username
	}
	p.showLogin(v, http.StatusOK, data, view{Notice: notice})
}

func (p *Portal) postLogin(v *visit) {
	in, ok := p.read(v, "username", "password", "remember", "return_to", "step")
	if !ok {
		return
	}
	back := p.returnTo(in["return_to"])
	if !p.o.Passwords {
		p.noWayIn(v, back)
		return
	}
	if !p.mayHaveCookies(v) || !p.keepsCookies(v) {
		return
	}
	data := loginData{Username: in["username"], ReturnTo: back, Remember: in["remember"] == on}
	var again *identity.Identity
	if in["step"] == stepReauth {
		id, err := p.who(v)
		if err != nil {
			p.fault(v, "reading the session", err)
			return
		}
		again, data.Reauth = id, id != nil
	}
	if again != nil && !sameName(in["username"], again.Username) {
		// Another name is another login, with its own page; here it could turn
		// what alice was about to do into something bob did.
		data.Username = again.Username
		p.refuseLogin(v, http.StatusConflict, data, "This page is for "+again.Username+". To go on as somebody else, use another account.")
		return
	}
	u, err := p.prove(v, in["username"], in["password"])
	if err != nil {
		p.failedLogin(v, data, err)
		return
	}
	if !p.signIn(v, u, p.o.RememberMe && data.Remember) {
		return
	}
	if v.json {
		v.reply(loginReply{Passwords: true, RememberMe: p.o.RememberMe, Username: u.Username, ReturnTo: back})
		return
	}
	v.redirect(back)
}

// failedLogin answers a try that did not succeed. Unknown, disabled and wrong
// are one error here, and so one answer.
func (p *Portal) failedLogin(v *visit, data loginData, err error) {
	if errors.Is(err, password.ErrWrong) {
		p.refuseLogin(v, http.StatusUnauthorized, data, wrong)
		return
	}
	p.failedProof(v, err)
}

func (p *Portal) refuseLogin(v *visit, status int, data loginData, text string) {
	pr := problem.Problem{Status: status, Kind: problem.Conflict, Detail: text}
	if status == http.StatusUnauthorized {
		pr.Kind, pr.Challenge = problem.BadCredential, challenge
	}
	if v.json {
		p.fail(v, pr)
		return
	}
	pr.Headers(v.w.Header())
	p.showLogin(v, status, data, view{Error: text})
}

func (p *Portal) showLogin(v *visit, status int, data loginData, page view) {
	data.RememberMe = p.o.RememberMe
	data.Switch = p.loginURL(data.ReturnTo, stepSwitch)
	page.Data, page.Scene, page.Site = data, open, siteName(v.Site)
	switch {
	case data.Reauth:
		page.Title = "Confirm that it is you"
	case data.SignedIn != "":
		page.Title = "You are signed in"
	default:
		page.Title = "Sign in"
	}
	p.show(v, status, "login", page)
}

func (p *Portal) noWayIn(v *visit, back string) {
	if v.json {
		p.fail(v, problem.Problem{Status: http.StatusNotFound, Kind: problem.NotFound, Detail: "No way to sign in is configured here."})
		return
	}
	p.show(v, http.StatusNotFound, "login", view{Title: "Sign in", Scene: dim, Data: loginData{None: true, ReturnTo: back}})
}
