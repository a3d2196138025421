package portal

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// canProve reports whether somebody has a password that they can be asked for.
func (p *Portal) canProve(u *user.User) bool { return p.o.Passwords && u.PasswordHash != "" }

// mayProve answers for those who cannot be asked for a password, with ok false.
func (p *Portal) mayProve(v *visit, u *user.User) (ok bool) {
	if p.canProve(u) {
		return true
	}
	p.fail(v, problem.Problem{
		Status: http.StatusForbidden, Kind: problem.Forbidden, Title: "An administrator makes your keys",
		Detail: "Making and rotating a key takes your password, and you have none here.",
	})
	return false
}

// confirm asks who is signed in for their password once more. It answers
// failures itself, with ok false; a wrong password by again.
func (p *Portal) confirm(v *visit, id *identity.Identity, current string, again func(wrong map[string]string)) (u *user.User, ok bool) {
	u, err := p.prove(v, id.Username, current)
	switch {
	case errors.Is(err, password.ErrWrong):
		again(map[string]string{"current": "That is not your password."})
	case err != nil:
		p.failedProof(v, err)
	case u.ID != id.ID:
		p.failedAccount(v, errChanged)
	default:
		return u, true
	}
	return nil, false
}

// unchanged is errChanged when somebody whose password was proved has been shut
// out since: by a new password, disabled, or deleted.
func (p *Portal) unchanged(ctx context.Context, proved *user.User) error {
	now, err := p.o.Users.Get(ctx, proved.Username)
	if err == nil && (now.ID != proved.ID || now.Epoch != proved.Epoch || now.Disabled) {
		err = errChanged
	}
	return err
}
