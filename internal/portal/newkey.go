package portal

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

const (
	day = 24 * time.Hour
	// usualDays is the lifetime that the form begins with.
	usualDays = 90
	// mostOwn is how many keys people may make for themselves: their account page
	// reads all of them.
	mostOwn = 100
	// noField is where what is wrong with no field of a form is kept.
	noField = "account"
)

// keyForm is the form for a new key, as it was sent.
type keyForm struct {
	description, days string
	scopes            []string
}

// lifetime is one choice for how long a new key lives; the value "" leaves it to
// package key.
type lifetime struct {
	Value, Text string
	Chosen      bool
}

// lifetimes are the choices up to the longest that is allowed, which is one of
// them, or stands in for a longer one.
func (p *Portal) lifetimes(chosen string) []lifetime {
	most := int(p.o.KeyLifetime / day)
	if most < 1 {
		return []lifetime{{Text: inWords(p.o.KeyLifetime), Chosen: true}}
	}
	if chosen == "" {
		chosen = strconv.Itoa(min(usualDays, most))
	}
	var all []lifetime
	for _, days := range []int{7, 30, 90, 365} {
		value := strconv.Itoa(min(days, most))
		unit := " days"
		if value == "1" {
			unit = " day"
		}
		all = append(all, lifetime{value, value + unit, value == chosen})
		if days >= most {
			break
		}
	}
	return all
}

// getKeys is for who asks for the address that a new key was shown at: what was
// shown is not shown again.
func (p *Portal) getKeys(v *visit) { v.redirect(p.o.Base + "/account") }

// postKey makes a key for whoever is signed in and knows the password. Without
// that, a script of the app, which has our origin, could make itself a credential
// that outlives the session.
func (p *Portal) postKey(v *visit) {
	// The user name is in the form for password managers only.
	in, ok := p.readFields(v, fields{once: []string{"username", "description", "current"}, number: "days", many: "scope"})
	if !ok {
		return
	}
	id, ok := p.need(v)
	if !ok {
		return
	}
	u, ok := p.me(v, id)
	if !ok || !p.mayProve(v, u) {
		return
	}
	sent := keyForm{description: in.input["description"], days: in.input["days"], scopes: in.many}
	refuse := func(wrong map[string]string) {
		p.showAccount(v, id, http.StatusUnprocessableEntity, slip{form: newKeyForm, wrong: wrong, keyForm: sent})
	}
	own, ok := p.keys(v, u)
	if !ok {
		return
	}
	n, wrong := p.newKey(u, sent)
	if len(own) >= mostOwn {
		wrong[noField] = "You have " + strconv.Itoa(mostOwn) + " keys already: revoke some first."
	}
	if len(wrong) > 0 {
		refuse(wrong)
		return
	}
	u, ok = p.confirm(v, id, in.input["current"], refuse)
	if !ok {
		return
	}
	text, k, err := p.makeKey(v, u, n)
	if bad := (*key.InvalidError)(nil); errors.As(err, &bad) {
		refuse(wrongKey(bad))
		return
	}
	if err != nil {
		p.failedKey(v, err)
		return
	}
	p.record(v, audit.Event{
		Action: audit.KeyCreated, Actor: u.Username, Subject: u.Username, Session: id.SessionID, Credential: credential(k),
	})
	p.showSecret(v, http.StatusCreated, "Your new key", text, u, k)
}

// newKey checks what can be checked before the password is asked for.
func (p *Portal) newKey(u *user.User, sent keyForm) (n key.New, wrong map[string]string) {
	wrong = map[string]string{}
	n = key.New{Owner: u.Username, Description: sent.description, Scopes: sent.scopes}
	if len(sent.scopes) == 0 {
		wrong["scope"] = "Choose at least one: a key without a scope may do nothing."
	} else if i := slices.IndexFunc(sent.scopes, func(s string) bool { return !slices.Contains(u.Scopes, s) }); i >= 0 {
		wrong["scope"] = "You may choose only from the scopes that you have yourself."
	}
	if sent.days == "" {
		return n, wrong
	}
	most := int(p.o.KeyLifetime / day)
	switch days, err := strconv.Atoi(sent.days); {
	case err == nil && 1 <= days && days <= most:
		n.Lifetime = time.Duration(days) * day
	case most < 1:
		wrong["days"] = "A key lives " + inWords(p.o.KeyLifetime) + " at most."
	default:
		wrong["days"] = "Choose 1 to " + strconv.Itoa(most) + " whole days."
	}
	return n, wrong
}

// makeKey makes a key for proved, the record whose password was checked.
func (p *Portal) makeKey(v *visit, proved *user.User, n key.New) (text string, k *key.Key, err error) {
	ctx := v.r.Context()
	if text, k, err = p.o.Keys.Create(ctx, n); err != nil {
		return "", nil, err
	}
	// An administrator who shuts somebody out in this moment must find no key
	// that was made with the old password.
	if err = p.unchanged(ctx, proved); err == nil && k.OwnerID != proved.ID {
		err = errChanged
	}
	if err == nil {
		return text, k, nil
	}
	if gone := p.o.Keys.Revoke(context.WithoutCancel(ctx), k.ID); gone != nil {
		p.o.Logger.WarnContext(ctx, "portal: taking back a key that nobody was given", "request_id", v.RequestID, "key", k.ID, "error", gone)
	}
	return "", nil, err
}

// wrongKey says what package key refused in the words of the form.
func wrongKey(bad *key.InvalidError) map[string]string {
	switch bad.Field {
	case "description":
		return map[string]string{"description": fieldText(bad)}
	case "lifetime":
		return map[string]string{"days": fieldText(bad)}
	case "scopes":
		return map[string]string{"scope": sentence("The scopes " + bad.Reason)}
	}
	return map[string]string{noField: sentence("Your account " + bad.Reason)}
}
