package portal

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// accountData is what account.html shows.
type accountData struct {
	User      *user.User
	Roles     []string // with those that a provider tells
	Groups    []string
	SignsIn   []string // where, and with what; nil: there is only one way
	Passwords bool
	Sessions  []sessionRow
	Others    bool // there are sessions besides this one
	More      bool // not all are shown
	newPassword
	Keys *keysPart // nil: keys are off
}

// slip is what is wrong with one of the forms of the account page.
type slip struct {
	form    string            // passwordForm or newKeyForm; "" when nothing is wrong
	wrong   map[string]string // by field
	keyForm keyForm           // as it was sent
}

// The forms of the account page that can be refused with a reason.
const (
	passwordForm = "password"
	newKeyForm   = "key"
)

func (s slip) in(form string) map[string]string {
	if s.form != form {
		return nil
	}
	return s.wrong
}

// moment is a time, for people and for machines, in UTC.
type moment struct{ Text, Machine string }

func when(t time.Time) moment {
	t = t.UTC()
	return moment{Text: t.Format("2 Jan 2006, 15:04 UTC"), Machine: t.Format(time.RFC3339)}
}

// accountReply is the account page as JSON.
type accountReply struct {
	person
	Password bool           `json:"password"` // they have one, and may change it here
	Sessions []sessionReply `json:"sessions"`
	Keys     []keyReply     `json:"keys,omitzero"` // absent when keys are off
}

// notices are what the page says after a form was done; the query only picks one.
var notices = map[string]string{
	"password": "Your password is changed. All other sessions are ended.",
	"revoked":  "The session is ended.",
	"others":   "You are signed out everywhere else.",
	"key":      "The key is revoked. Programs that send it are refused from now on.",
}

func (p *Portal) getAccount(v *visit) {
	id, ok := p.need(v)
	if !ok {
		return
	}
	p.showAccount(v, id, http.StatusOK, slip{})
}

// me reads the record of who is signed in. It answers failures itself, with ok
// false.
func (p *Portal) me(v *visit, id *identity.Identity) (u *user.User, ok bool) {
	u, err := p.o.Users.Get(v.r.Context(), id.Username)
	if err == nil && u.ID != id.ID {
		err = user.ErrNotFound
	}
	if err != nil {
		p.failedAccount(v, err)
		return nil, false
	}
	return u, true
}

// showAccount shows the page, with what is wrong in one of its forms if anything.
func (p *Portal) showAccount(v *visit, id *identity.Identity, status int, s slip) {
	if len(s.wrong) > 0 && v.json {
		p.fail(v, invalid(s.wrong))
		return
	}
	u, ok := p.me(v, id)
	if !ok {
		return
	}
	sessions, ok := p.sessions(v, id)
	if !ok {
		return
	}
	keys, ok := p.keys(v, u)
	if !ok {
		return
	}
	if v.json {
		v.reply(accountReply{person: personOf(id), Password: p.canProve(u), Sessions: sessionReplies(sessions, id.SessionID), Keys: keyReplies(keys)})
		return
	}
	data := accountData{
		User: u, Roles: id.Roles, Groups: id.Groups, SignsIn: p.signsIn(u, id), Passwords: p.canProve(u), Sessions: p.sessionRows(sessions, id.SessionID),
		More: len(sessions) == maxSessions, newPassword: p.newPassword("New password", s.in(passwordForm)), Keys: p.keysPart(u, keys, s),
	}
	data.Others = slices.ContainsFunc(data.Sessions, func(s sessionRow) bool { return !s.Current })
	page := view{Title: "Your account", Scene: desk, Data: data, Notice: notices[v.r.URL.Query().Get("done")]}
	switch {
	case s.form == passwordForm:
		page.Error = "Your password was not changed. See what is wrong below."
	case s.form == newKeyForm && s.wrong[noField] != "":
		page.Error = "No key was made. " + s.wrong[noField]
	case s.form == newKeyForm:
		page.Error = "No key was made. See what is wrong below."
	}
	p.show(v, status, "account", page)
}

// signsIn says with what somebody signs in, this session's way first.
func (p *Portal) signsIn(u *user.User, id *identity.Identity) []string {
	if len(p.o.Providers) == 0 {
		return nil
	}
	ways := []string{p.wayTitle(id.Provider)}
	for _, f := range u.Federated {
		ways = append(ways, p.wayTitle(f.Provider))
	}
	if p.canProve(u) {
		ways = append(ways, p.wayTitle(identity.Local))
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(ways, func(w string) bool {
		again := seen[w]
		seen[w] = true
		return again
	})
}

// wayTitle is how people know a provider, by its name in sessions and records.
func (p *Portal) wayTitle(name string) string {
	if name == identity.Local {
		return "a password"
	}
	if at := p.provider(name); at != nil {
		return at.title()
	}
	return name // it is not configured any more
}

// failedAccount answers when the record behind a session cannot be used: it went
// away, or it was changed, between two reads.
func (p *Portal) failedAccount(v *visit, err error) {
	if errors.Is(err, user.ErrNotFound) || errors.Is(err, errChanged) {
		p.fail(v, problem.Problem{
			Status: http.StatusConflict, Kind: problem.Conflict, Title: "Your account has just changed",
			Detail: "Somebody changed it in the same moment, so nothing was done. Open the page again.",
		})
		return
	}
	p.fault(v, "reading the account", err)
}
