package jwt

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"
)

// Marks are what a revocation can name a token by.
type Marks struct {
	Issuer    string // iss: the name of its block may change, or be another's one day
	JTI       string
	SID       string
	Subject   string
	TokenHash string
	IssuedAt  time.Time // zero: not told
}

// marksOf reads the marks out of claims. Those that are no strings are none.
func marksOf(issuer, hash string, claims map[string]any, issued time.Time) Marks {
	m := Marks{Issuer: issuer, TokenHash: hash, IssuedAt: issued}
	m.JTI, _ = claims["jti"].(string)
	m.SID, _ = claims["sid"].(string)
	m.Subject, _ = claims["sub"].(string)
	return m
}

// Revoked reports whether a token is revoked. An error means that this could not
// be found out: the token must not count.
func (r *Revocations) Revoked(ctx context.Context, m Marks) (bool, error) {
	_, revoked, err := r.check(ctx, &m, nil)
	return revoked, err
}

// check is Revoked, and returns by what it judged: while that stays the same, a
// token that was not revoked is not, and need not be looked up again.
func (r *Revocations) check(ctx context.Context, m *Marks, clear *index) (*index, bool, error) {
	records, err := r.list.All(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("looking up revocations: %w", err)
	}
	x := r.index.of(records)
	if x == clear {
		return x, false, nil
	}
	return x, x.has(m, r.clock()), nil
}

// index finds revocations by what they name. It does not change.
type index struct {
	records map[string]*Revocation // held on to, so that its address is used for no other
	by      map[mark][]*Revocation
}

// lastIndex makes an index once for each set of records.
type lastIndex struct{ last atomic.Pointer[index] }

func (l *lastIndex) of(records map[string]*Revocation) *index {
	if x := l.last.Load(); x != nil && reflect.ValueOf(x.records).Pointer() == reflect.ValueOf(records).Pointer() {
		return x
	}
	x := &index{records: records, by: make(map[mark][]*Revocation, len(records))}
	for _, r := range records {
		m, err := r.mark()
		if err != nil { // decodeRevocation lets none through
			continue
		}
		x.by[m] = append(x.by[m], r)
	}
	l.last.Store(x)
	return x
}

func (x *index) has(t *Marks, now time.Time) bool {
	if len(x.by) == 0 {
		return false
	}
	for _, m := range [...]mark{
		{what: "jti", value: t.JTI}, {what: "sid", value: t.SID}, {what: "subject", value: t.Subject},
		{what: "token_hash", value: t.TokenHash}, {what: "all"},
	} {
		if m.value == "" && m.what != "all" {
			continue
		}
		for _, issuer := range [...]string{"", t.Issuer} {
			m.issuer = issuer
			for _, r := range x.by[m] {
				if r.catches(t.IssuedAt, now) {
					return true
				}
			}
		}
	}
	return false
}
