package portal

import (
	"fmt"
	"net/http"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// challenge goes with every 401 of the portal: RFC 9110 section 15.5.2 demands
// one, and no scheme is registered for forms and cookies. Bearer makes no browser
// open a password box of its own over our page.
const challenge = `Bearer realm="gatehouse"`

// problemData is what problem.html shows.
type problemData struct {
	Status     int
	Name       string // the status in words
	Detail     string
	Reasons    []string
	Advice     []string
	Links      []link // the first is the one to take
	Retry      retryAt
	DecisionID string
	RequestID  string
}

type link struct{ To, Text string }

// retryAt is when to try again; empty when that is not known.
type retryAt struct{ Text, Clock, Machine string }

// Problem is the page for a person whose request did not pass. It implements
// the pages of the gateway. It reads nothing from the store, which may be what
// is broken.
func (p *Portal) Problem(w http.ResponseWriter, r *http.Request, pr problem.Problem) {
	harden(w.Header())
	p.problemPage(&visit{w: w, r: r}, pr, p.links(r, pr.WithDefaults()), nil)
}

// fail answers a request to the portal with a problem, as a page or as JSON.
func (p *Portal) fail(v *visit, pr problem.Problem, advice ...string) {
	p.failWith(v, pr, p.links(v.r, pr.WithDefaults()), advice...)
}

// failWith is fail with other ways on than the problem has by itself.
func (p *Portal) failWith(v *visit, pr problem.Problem, links []link, advice ...string) {
	pr.RequestID = v.RequestID
	if v.json {
		pr.Write(v.w)
		return
	}
	p.problemPage(v, pr, links, advice)
}

// fault answers 503 and keeps what went wrong for the log. No cookie is cleared:
// when the store is back, so is the session.
func (p *Portal) fault(v *visit, doing string, err error) {
	p.o.Logger.ErrorContext(v.r.Context(), "portal: "+doing, "request_id", v.RequestID, "error", err)
	p.fail(v, problem.Problem{})
}

func (p *Portal) problemPage(v *visit, pr problem.Problem, links []link, advice []string) {
	pr = pr.WithDefaults()
	pr.Headers(v.w.Header())
	words := wordsFor(pr)
	data := problemData{
		Status: pr.Status, Name: http.StatusText(pr.Status), Detail: words.detail, Reasons: pr.Reasons, Advice: advice,
		Links: links, DecisionID: pr.DecisionID,
	}
	if pr.Detail != "" {
		data.Detail = pr.Detail
	}
	if pr.DecisionID != pr.RequestID {
		data.RequestID = pr.RequestID
	}
	if pr.RetryAfter > 0 {
		data.Retry = p.retryAt(pr.RetryAfter)
	}
	if pr.Status == http.StatusServiceUnavailable {
		data.Retry = retryAt{} // a guess of ours is not worth reading
	}
	title := words.title
	if pr.Title != http.StatusText(pr.Status) {
		title = pr.Title
	}
	p.show(v, pr.Status, "problem", view{Title: title, Scene: words.scene, Data: data})
}

// wording is what a page says when the problem brings none of its own.
type wording struct {
	title, detail string
	scene         scene
}

func wordsFor(pr problem.Problem) wording {
	switch pr.Status {
	case http.StatusUnauthorized:
		switch pr.Kind {
		case problem.NoCredential:
			return wording{"This is for programs", "What is here wants a key, a token or a client certificate. Signing in does not help.", shut}
		case problem.BadCredential:
			return wording{"Your credential was not accepted", "What was sent to prove who you are is wrong, expired or withdrawn.", shut}
		}
		return wording{"Sign in to go on", "This page is only for people who are signed in.", shut}
	case http.StatusForbidden:
		return wording{"You may not go in here", "The rules of this site do not let you open this page.", shut}
	case http.StatusNotFound:
		return wording{"There is no such page", "The address may be mistyped, or the page is gone.", dim}
	case http.StatusMethodNotAllowed:
		return wording{"That cannot be done here", "This address does not take that kind of request.", dim}
	case http.StatusTooManyRequests:
		return wording{"Too many tries", "To keep guessers out, there is a pause before the next one.", shut}
	case http.StatusServiceUnavailable:
		return wording{"Not available right now", "Something behind this gate does not answer, so nobody is let through. Nothing is wrong with your account; try again in a moment.", dim}
	}
	return wording{"This request was not understood", "It could not be read safely, so it was not passed on.", dim}
}

// links are the ways on from a problem.
func (p *Portal) links(r *http.Request, pr problem.Problem) []link {
	here := p.here(r)
	start := link{"/", "Go to the start page"}
	if pr.NoLogin && (pr.Status == http.StatusUnauthorized || pr.Status == http.StatusForbidden) {
		return nil
	}
	switch pr.Status {
	case http.StatusUnauthorized:
		return []link{{p.loginURL(here, ""), "Sign in"}}
	case http.StatusForbidden:
		if _, sent := cookie.Read(r.Header, p.o.Cookies.Session()); sent {
			return []link{{p.loginURL(here, stepSwitch), "Use another account"}, {p.o.Base + "/logout", "Sign out"}}
		}
		return []link{{p.loginURL(here, ""), "Sign in"}}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if here == "" {
			return nil
		}
		return []link{{here, "Try again"}}
	}
	return []link{start}
}

func (p *Portal) retryAt(wait time.Duration) retryAt {
	at := p.o.Clock().Add(wait).UTC().Truncate(time.Second).Add(time.Second)
	return retryAt{Text: "in " + inWords(wait), Clock: at.Format("15:04:05 UTC"), Machine: at.Format(time.RFC3339)}
}

// inWords rounds a wait up to what a person would say.
func inWords(d time.Duration) string {
	up := func(unit time.Duration, word string) string {
		n := max(1, (d+unit-1)/unit)
		if n == 1 {
			return "1 " + word
		}
		return fmt.Sprintf("%d %ss", n, word)
	}
	switch {
	case d <= 90*time.Second:
		return up(time.Second, "second")
	case d <= 90*time.Minute:
		return up(time.Minute, "minute")
	}
	return up(time.Hour, "hour")
}
