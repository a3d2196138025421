package portal

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// maxKeys is how many of a person's keys one page shows. Package key lets nobody
// make more.
const maxKeys = 1000

// keysPart is what keys.html shows of somebody's keys. Who cannot be asked for a
// password can only revoke.
type keysPart struct {
	Base, Username string
	Rows           []keyRow
	CanProve       bool
	Description    string
	Scopes         []scopeBox
	Lifetimes      []lifetime
	Errors         map[string]string
}

// keyRow is one key, for people.
type keyRow struct {
	ID, Description  string
	Scopes           []keyScope
	Networks, Rate   string
	Created, Expires moment
	Expired          bool
	GraceEnds        moment // empty: no earlier secret works
	LastUsed         moment // empty: never
	Uses             string
}

// keyScope is a scope of a key. One that its owner has lost does nothing.
type keyScope struct {
	Name string
	Lost bool
}

// scopeBox is a scope to be chosen.
type scopeBox struct {
	Name   string
	Ticked bool
}

// keyReply is a key as JSON, in the words of the admin API.
type keyReply struct {
	ID          string         `json:"id"`
	Description string         `json:"description,omitempty"`
	Scopes      []string       `json:"scopes"`
	Networks    []netip.Prefix `json:"networks,omitempty"`
	Created     time.Time      `json:"created"`
	Expires     time.Time      `json:"expires"`
	Expired     bool           `json:"expired"`
	Rotated     time.Time      `json:"rotated,omitzero"`
	GraceEnds   time.Time      `json:"grace_ends,omitzero"` // until when the key before the last rotation works, too
	LastUsed    time.Time      `json:"last_used,omitzero"`
	Uses        int64          `json:"uses"`

	Key string `json:"key,omitempty"` // the key itself, once
}

// keys lists somebody's own keys, the newest first; nil when keys are off. It
// answers failures itself, with ok false.
func (p *Portal) keys(v *visit, u *user.User) (own []*key.Key, ok bool) {
	if p.o.Keys == nil {
		return nil, true
	}
	own, err := p.o.Keys.List(v.r.Context(), u.Username, "", maxKeys)
	if err != nil {
		p.fault(v, "listing keys", err)
		return nil, false
	}
	// Those of somebody who had this name before are no business of this one.
	own = slices.DeleteFunc(own, func(k *key.Key) bool { return k.OwnerID != u.ID })
	slices.SortStableFunc(own, func(a, b *key.Key) int { return b.Created.Compare(a.Created) })
	return own, true
}

func (p *Portal) keysPart(u *user.User, own []*key.Key, s slip) *keysPart {
	if p.o.Keys == nil {
		return nil
	}
	part := &keysPart{
		Base: p.o.Base, Username: u.Username, CanProve: p.canProve(u),
		Description: s.keyForm.description, Lifetimes: p.lifetimes(s.keyForm.days), Errors: s.in(newKeyForm),
	}
	for _, k := range own {
		part.Rows = append(part.Rows, rowOf(k, u))
	}
	for _, scope := range u.Scopes {
		part.Scopes = append(part.Scopes, scopeBox{scope, slices.Contains(s.keyForm.scopes, scope)})
	}
	return part
}

func rowOf(k *key.Key, owner *user.User) keyRow {
	row := keyRow{
		ID: k.ID, Description: k.Description, Created: when(k.Created), Expires: when(k.Expires), Expired: k.Expired,
		Uses: times(k.Uses),
	}
	for _, scope := range k.Scopes {
		row.Scopes = append(row.Scopes, keyScope{scope, !slices.Contains(owner.Scopes, scope)})
	}
	networks := make([]string, len(k.Networks))
	for i, n := range k.Networks {
		networks[i] = n.String()
	}
	row.Networks = strings.Join(networks, ", ")
	if k.Rate.Limited() {
		row.Rate = requests(k.Rate.Requests) + " in " + inWords(k.Rate.Per)
	}
	if !k.GraceEnds.IsZero() {
		row.GraceEnds = when(k.GraceEnds)
	}
	if !k.LastUsed.IsZero() {
		row.LastUsed = when(k.LastUsed)
	}
	return row
}

func times(n int64) string {
	if n == 1 {
		return "used once"
	}
	return "used " + strconv.FormatInt(n, 10) + " times"
}

func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return strconv.Itoa(n) + " requests"
}

func keyReplies(own []*key.Key) []keyReply {
	if own == nil {
		return nil
	}
	replies := make([]keyReply, 0, len(own))
	for _, k := range own {
		replies = append(replies, keyReplyOf(k))
	}
	return replies
}

func keyReplyOf(k *key.Key) keyReply {
	return keyReply{
		ID: k.ID, Description: k.Description, Scopes: k.Scopes, Networks: k.Networks, Created: k.Created, Expires: k.Expires,
		Expired: k.Expired, Rotated: k.Rotated, GraceEnds: k.GraceEnds, LastUsed: k.LastUsed, Uses: k.Uses,
	}
}
