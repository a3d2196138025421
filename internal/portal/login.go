package portal

import (
	"errors"
	"net/http"
	"slices"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// The steps that the login page knows besides plain signing in.
const (
	stepReauth = "reauth" // the same person proves again who they are
	stepMFA    = "mfa"    // and does so with a second factor
	stepSwitch = "switch" // somebody else signs in instead
)

// wrong is all that anybody learns of a failed try.
const wrong = "User name or password is wrong."

// loginData is what login.html shows.
type loginData struct {
	None       bool   // there is no way to sign in
	SignedIn   string // who is signed in already and not asked to prove it
	Step       string // reauth or mfa of who is signed in; else empty
	Cannot     bool   // nothing that is offered could do the step
	Passwords  bool   // the form is shown
	Ways       []way
	AllDown    bool   // they are the only ways, and none can be used now
	Retry      string // URL of this page
	ByEmail    bool   // an address tells which of them
	Next       string // the step that the address goes on with
	Email      string
	Errors     map[string]string // of the address
	Username   string
	ReturnTo   string
	Base       string
	Switch     string // URL for another account
	RememberMe bool
	Remember   bool
}

// loginReply is the login page as JSON.
type loginReply struct {
	Passwords  bool       `json:"passwords"`
	RememberMe bool       `json:"remember_me"`
	Username   string     `json:"username,omitempty"` // who is signed in
	ReturnTo   string     `json:"return_to"`
	Providers  []wayReply `json:"providers,omitempty"`
}

func (p *Portal) getLogin(v *visit) {
	q := v.r.URL.Query()
	back, step, hint := p.returnTo(q.Get("return_to")), knownStep(q.Get("step")), hint(q.Get("login_hint"))
	if p.ways() == 0 {
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
	if id == nil && step != stepSwitch {
		step = "" // there is nobody yet to do more
	}
	if id == nil && !v.json && !q.Has("choose") && !q.Has("done") && p.circled(v) {
		return
	}
	c := p.choose(v, id, step, hint)
	if at, ok := p.straight(v, c, id != nil, step); ok {
		p.begin(v, start{at: at, back: back, step: step, hint: hint})
		return
	}
	if v.json {
		reply := loginReply{Passwords: c.passwords, RememberMe: p.o.RememberMe, ReturnTo: back, Providers: wayReplies(p.shown(c, back, step, hint))}
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
	switch {
	case id != nil && step == "":
		data.SignedIn = id.Username
	case id != nil && step != stepSwitch:
		data.Step, data.Username = step, id.Username
	}
	p.offer(&data, c, step, hint)
	p.showLogin(v, http.StatusOK, data, view{Notice: notice})
}

// offer puts the ways to sign in on the page.
func (p *Portal) offer(data *loginData, c choice, step, hint string) {
	data.Passwords, data.ByEmail, data.Next = c.passwords, c.byEmail, step
	data.Ways = p.shown(c, data.ReturnTo, step, hint)
	data.AllDown = !c.passwords && len(data.Ways) > 0 && !slices.ContainsFunc(data.Ways, func(w way) bool { return !w.Down })
	data.Retry = p.loginURL(data.ReturnTo, step)
	data.Cannot = data.Step != "" && !c.passwords && len(data.Ways) == 0
}

func (p *Portal) postLogin(v *visit) {
	in, ok := p.read(v, "username", "password", "remember", "return_to", "step", "email")
	if !ok {
		return
	}
	back := p.returnTo(in["return_to"])
	if _, sent := in["email"]; sent && len(p.o.Providers) > 0 {
		p.postEmail(v, in, back)
		return
	}
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
		if again = id; id != nil {
			data.Step = stepReauth
		}
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
	p.onward(v, back)
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
	c := choice{passwords: true}
	if data.Step == "" {
		c = p.choose(v, nil, "", "")
	}
	p.offer(&data, c, "", "")
	p.showLogin(v, status, data, view{Error: text})
}

func (p *Portal) showLogin(v *visit, status int, data loginData, page view) {
	data.RememberMe, data.Base = p.o.RememberMe, p.o.Base
	data.Switch = p.loginURL(data.ReturnTo, stepSwitch)
	page.Data, page.Scene, page.Site = data, open, p.goal(v, data.ReturnTo)
	switch {
	case data.Step == stepMFA:
		page.Title = "A second factor is needed"
	case data.Step == stepReauth:
		page.Title = "Confirm that it is you"
	case data.SignedIn != "":
		page.Title = "You are signed in"
	default:
		page.Title = "Sign in"
	}
	p.show(v, status, "login", page)
}

// noWayIn answers where nobody can sign in, or not by password.
func (p *Portal) noWayIn(v *visit, back string) {
	switch {
	case len(p.o.Providers) > 0:
		p.failWith(v, problem.Problem{
			Status: http.StatusNotFound, Kind: problem.NotFound, Title: "Passwords are off", Detail: "Nobody signs in here with a password.",
		}, []link{{p.chooseURL(back), "Sign in"}})
	case v.json:
		p.fail(v, problem.Problem{Status: http.StatusNotFound, Kind: problem.NotFound, Detail: "No way to sign in is configured here."})
	default:
		p.show(v, http.StatusNotFound, "login", view{Title: "Sign in", Scene: dim, Data: loginData{None: true, ReturnTo: back}})
	}
}
