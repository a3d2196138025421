package portal

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// keyData is what key.html shows: one key, and what is to be done or was done.
type keyData struct {
	keyRow
	Secret   string // the key itself, once; the page is about that then
	Rotate   bool   // asks for the password; else the page asks whether to revoke
	Username string
	Grace    string // how long the old key works after a rotation
	Errors   map[string]string
}

func (p *Portal) getRotateKey(v *visit) {
	if _, u, k, ok := p.ownKey(v, v.r.URL.Query().Get("id")); ok && p.mayProve(v, u) {
		p.showRotate(v, http.StatusOK, u, k, nil)
	}
}

// postRotateKey gives a key a new secret. It takes the password for the same
// reason as making one.
func (p *Portal) postRotateKey(v *visit) {
	// The user name is in the form for password managers only.
	in, ok := p.read(v, "username", "id", "current")
	if !ok {
		return
	}
	id, u, was, ok := p.ownKey(v, in["id"])
	if !ok || !p.mayProve(v, u) {
		return
	}
	proved, ok := p.confirm(v, id, in["current"], func(wrong map[string]string) {
		p.showRotate(v, http.StatusUnprocessableEntity, u, was, wrong)
	})
	if !ok {
		return
	}
	text, k, err := p.rotateKey(v.r.Context(), proved, was)
	if err != nil {
		p.failedKey(v, err)
		return
	}
	p.record(v, audit.Event{
		Action: audit.KeyRotated, Actor: u.Username, Subject: u.Username, Session: id.SessionID, Credential: credential(k),
	})
	p.showSecret(v, http.StatusOK, "Your key is rotated", text, u, k)
}

// rotateKey rotates for proved, the record whose password was checked. That may
// have taken a while, in which an administrator shut them out.
func (p *Portal) rotateKey(ctx context.Context, proved *user.User, was *key.Key) (text string, k *key.Key, err error) {
	if err := p.unchanged(ctx, proved); err != nil {
		return "", nil, err
	}
	return p.o.Keys.Rotate(ctx, was.ID, key.DefaultGrace)
}

func (p *Portal) getRevokeKey(v *visit) {
	_, u, k, ok := p.ownKey(v, v.r.URL.Query().Get("id"))
	if !ok {
		return
	}
	if v.json {
		v.reply(keyReplyOf(k))
		return
	}
	p.show(v, http.StatusOK, "key", view{Title: "Revoke this key?", Scene: shut, Data: keyData{keyRow: rowOf(k, u)}})
}

// postRevokeKey takes no password: to shut a door is never to be made hard.
func (p *Portal) postRevokeKey(v *visit) {
	in, ok := p.read(v, "id")
	if !ok {
		return
	}
	id, u, k, ok := p.ownKey(v, in["id"])
	if !ok {
		return
	}
	if err := p.o.Keys.Revoke(v.r.Context(), k.ID); err != nil {
		p.failedKey(v, err)
		return
	}
	p.record(v, audit.Event{
		Action: audit.KeyRevoked, Actor: u.Username, Subject: u.Username, Session: id.SessionID, Credential: credential(k),
	})
	p.done(v, "key")
}

// ownKey finds a key of whoever is signed in. Another's key and none at all are
// the same answer, which it gives itself, with ok false.
func (p *Portal) ownKey(v *visit, keyID string) (id *identity.Identity, u *user.User, k *key.Key, ok bool) {
	if id, ok = p.need(v); !ok {
		return nil, nil, nil, false
	}
	if u, ok = p.me(v, id); !ok {
		return nil, nil, nil, false
	}
	k, err := p.o.Keys.Get(v.r.Context(), keyID)
	if err == nil && (k.OwnerID != u.ID || k.Owner != u.Username) {
		err = key.ErrNotFound
	}
	if err != nil {
		p.failedKey(v, err)
		return nil, nil, nil, false
	}
	return id, u, k, true
}

func (p *Portal) showRotate(v *visit, status int, u *user.User, k *key.Key, wrong map[string]string) {
	switch {
	case v.json && len(wrong) > 0:
		p.fail(v, invalid(wrong))
		return
	case v.json:
		v.reply(keyReplyOf(k))
		return
	}
	page := view{Title: "Rotate this key", Scene: open, Data: keyData{
		keyRow: rowOf(k, u), Rotate: true, Username: u.Username, Grace: inWords(key.DefaultGrace), Errors: wrong,
	}}
	if len(wrong) > 0 {
		page.Error = "The key was not rotated. See what is wrong below."
	}
	p.show(v, status, "key", page)
}

// showSecret shows a key itself, in the one answer that ever holds it.
func (p *Portal) showSecret(v *visit, status int, title, text string, u *user.User, k *key.Key) {
	if v.json {
		reply := keyReplyOf(k)
		reply.Key = text
		v.replyStatus(status, reply)
		return
	}
	p.show(v, status, "key", view{Title: title, Scene: open, Data: keyData{keyRow: rowOf(k, u), Secret: text}})
}

// failedKey answers when a key cannot be had or changed.
func (p *Portal) failedKey(v *visit, err error) {
	conflict := problem.Problem{Status: http.StatusConflict, Kind: problem.Conflict}
	invalid := (*key.InvalidError)(nil)
	switch {
	case errors.Is(err, key.ErrNotFound):
		p.fail(v, problem.Problem{
			Status: http.StatusNotFound, Kind: problem.NotFound, Title: "There is no such key",
			Detail: "It was revoked, it expired long ago, or it was never yours.",
		})
	case errors.Is(err, key.ErrContended):
		conflict.Title, conflict.Detail = "This key is being changed", "Somebody changes it in the same moment. Try again."
		p.fail(v, conflict)
	case errors.As(err, &invalid) && invalid.Field == "grace":
		conflict.Title = "This key was rotated too often"
		conflict.Detail = "Several old keys of this id still work, and there may be no more of them. Wait until they have ended, or revoke all by revoking this one, and make another."
		p.fail(v, conflict)
	case errors.Is(err, user.ErrNotFound), errors.Is(err, errChanged):
		p.failedAccount(v, err)
	default:
		p.fault(v, "changing a key", err)
	}
}

// credential is how the audit trail names a key.
func credential(k *key.Key) string { return "key:" + k.ID }
