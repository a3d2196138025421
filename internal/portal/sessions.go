package portal

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// maxSessions is how many of a person's sessions one page shows.
const maxSessions = 100

type sessionRow struct {
	ID, Device, ClientIP string
	With                 string // empty: there is only one way to sign in
	Site                 string // host, of a session under this portal's
	SignedIn, LastSeen   moment
	Current              bool
}

type sessionReply struct {
	ID        string    `json:"id"`
	Current   bool      `json:"current"`
	Device    string    `json:"device"`
	Provider  string    `json:"provider"`
	Site      string    `json:"site,omitempty"`
	ClientIP  string    `json:"client_ip,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Created   time.Time `json:"created"`
	LastSeen  time.Time `json:"last_seen"`
	Expires   time.Time `json:"expires"`
}

// sessions lists the sessions of who is signed in, this one first, then the last
// seen.
func (p *Portal) sessions(v *visit, id *identity.Identity) (all []*session.Session, ok bool) {
	all, err := p.o.Sessions.List(v.r.Context(), id.Username, "", maxSessions)
	if err != nil {
		p.fault(v, "listing sessions", err)
		return nil, false
	}
	slices.SortStableFunc(all, func(a, b *session.Session) int {
		if (a.ID == id.SessionID) != (b.ID == id.SessionID) {
			if a.ID == id.SessionID {
				return -1
			}
			return 1
		}
		return b.LastSeen.Compare(a.LastSeen)
	})
	return all, true
}

func (p *Portal) sessionRows(all []*session.Session, current string) []sessionRow {
	rows := make([]sessionRow, 0, len(all))
	for _, s := range all {
		row := sessionRow{
			ID: s.ID, Device: device(s.UserAgent), ClientIP: s.ClientIP, SignedIn: when(s.Created), LastSeen: when(s.LastSeen),
			Current: s.ID == current,
		}
		if s.Site != "" {
			_, row.Site, _ = strings.Cut(s.Site, "://")
		}
		if len(p.o.Providers) > 0 {
			row.With = p.wayTitle(s.Provider)
		}
		rows = append(rows, row)
	}
	return rows
}

func sessionReplies(all []*session.Session, current string) []sessionReply {
	replies := make([]sessionReply, 0, len(all))
	for _, s := range all {
		replies = append(replies, sessionReply{
			ID: s.ID, Current: s.ID == current, Device: device(s.UserAgent), Provider: s.Provider, Site: s.Site, ClientIP: s.ClientIP, UserAgent: s.UserAgent,
			Created: s.Created, LastSeen: s.LastSeen, Expires: s.Expires,
		})
	}
	return replies
}
