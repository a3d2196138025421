package portal

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// maxSessions is how many of a person's sessions one page shows.
const maxSessions = 100

// accountData is what account.html shows.
type accountData struct {
	User      *user.User
	Passwords bool
	Sessions  []sessionRow
	Others    bool // there are sessions besides this one
	More      bool // not all are shown
	newPassword
}

type sessionRow struct {
	ID, Device, ClientIP string
	SignedIn, LastSeen   moment
	Current              bool
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
	Sessions []sessionReply `json:"sessions"`
}

type sessionReply struct {
	ID        string    `json:"id"`
	Current   bool      `json:"current"`
	Device    string    `json:"device"`
	ClientIP  string    `json:"client_ip,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Created   time.Time `json:"created"`
	LastSeen  time.Time `json:"last_seen"`
	Expires   time.Time `json:"expires"`
}

// notices are what the page says after a form was done; the query only picks one.
var notices = map[string]string{
	"password": "Your password is changed. All other sessions are ended.",
	"revoked":  "The session is ended.",
	"others":   "You are signed out everywhere else.",
}

func (p *Portal) getAccount(v *visit) {
	id, ok := p.need(v)
	if !ok {
		return
	}
	p.showAccount(v, id, http.StatusOK, nil)
}

// showAccount shows the page, with what is wrong in its password form if anything.
func (p *Portal) showAccount(v *visit, id *identity.Identity, status int, wrong map[string]string) {
	if len(wrong) > 0 && v.json {
		p.fail(v, invalid(wrong))
		return
	}
	u, err := p.o.Users.Get(v.r.Context(), id.Username)
	if err == nil && u.ID != id.ID {
		err = user.ErrNotFound
	}
	if err != nil {
		p.failedAccount(v, err)
		return
	}
	sessions, err := p.o.Sessions.List(v.r.Context(), id.Username, "", maxSessions)
	if err != nil {
		p.fault(v, "listing sessions", err)
		return
	}
	slices.SortStableFunc(sessions, func(a, b *session.Session) int {
		if (a.ID == id.SessionID) != (b.ID == id.SessionID) {
			if a.ID == id.SessionID {
				return -1
			}
			return 1
		}
		return b.LastSeen.Compare(a.LastSeen)
	})
	if v.json {
		v.reply(accountReply{person: personOf(id), Sessions: sessionReplies(sessions, id.SessionID)})
		return
	}
	data := accountData{
		User: u, Passwords: p.o.Passwords && u.PasswordHash != "", Sessions: sessionRows(sessions, id.SessionID),
		More: len(sessions) == maxSessions, newPassword: p.newPassword("New password", wrong),
	}
	data.Others = slices.ContainsFunc(data.Sessions, func(s sessionRow) bool { return !s.Current })
	page := view{Title: "Your account", Scene: desk, Data: data, Notice: notices[v.r.URL.Query().Get("done")]}
	if len(wrong) > 0 {
		page.Error = "Your password was not changed. See what is wrong below."
	}
	p.show(v, status, "account", page)
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

func sessionRows(all []*session.Session, current string) []sessionRow {
	rows := make([]sessionRow, 0, len(all))
	for _, s := range all {
		rows = append(rows, sessionRow{
			ID: s.ID, Device: device(s.UserAgent), ClientIP: s.ClientIP, SignedIn: when(s.Created), LastSeen: when(s.LastSeen),
			Current: s.ID == current,
		})
	}
	return rows
}

func sessionReplies(all []*session.Session, current string) []sessionReply {
	replies := make([]sessionReply, 0, len(all))
	for _, s := range all {
		replies = append(replies, sessionReply{
			ID: s.ID, Current: s.ID == current, Device: device(s.UserAgent), ClientIP: s.ClientIP, UserAgent: s.UserAgent,
			Created: s.Created, LastSeen: s.LastSeen, Expires: s.Expires,
		})
	}
	return replies
}
