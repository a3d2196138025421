package portal

import (
	"errors"
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// adminRole is the role of the first administrator.
const adminRole = "admin"

// setupData is what setup.html shows.
type setupData struct {
	Token, Username, Name, Email string
	newPassword
}

// newPassword is the pair of fields for choosing a password.
type newPassword struct {
	PasswordLabel string
	MinLength     int
	Errors        map[string]string // by field
}

func (p *Portal) newPassword(label string, wrong map[string]string) newPassword {
	least := p.o.Rules.MinLength
	if least <= 0 {
		least = password.DefaultMinLength
	}
	return newPassword{PasswordLabel: label, MinLength: least, Errors: wrong}
}

// setupReply answers set-up in JSON.
type setupReply struct {
	Ready    bool   `json:"ready,omitempty"`    // the link works
	Username string `json:"username,omitempty"` // who was made
	ReturnTo string `json:"return_to,omitempty"`
}

// getSetup shows the form. It uses nothing up: mail scanners and chat previews
// open links too.
func (p *Portal) getSetup(v *visit) {
	token := v.r.URL.Query().Get("token")
	if !p.checkSetup(v, token) || !p.offerCookies(v) {
		return
	}
	if v.json {
		v.reply(setupReply{Ready: true})
		return
	}
	p.showSetup(v, http.StatusOK, setupData{Token: token}, nil)
}

func (p *Portal) postSetup(v *visit) {
	in, ok := p.read(v, "token", "username", "name", "email", "password", "repeat")
	if !ok || !p.checkSetup(v, in["token"]) || !p.mayHaveCookies(v) || !p.keepsCookies(v) {
		return
	}
	data := setupData{Token: in["token"], Username: in["username"], Name: in["name"], Email: in["email"]}
	wrong := map[string]string{}
	if _, err := user.NormalizeName(in["username"]); err != nil {
		wrong["username"] = fieldText(err)
	}
	p.checkNew(in, wrong, in["username"], in["name"], in["email"], p.o.Name, v.Site)
	if len(wrong) > 0 {
		p.showSetup(v, http.StatusUnprocessableEntity, data, wrong)
		return
	}
	hash, err := p.o.Hasher.Hash(v.r.Context(), in["password"])
	if err != nil {
		p.failedProof(v, err)
		return
	}
	var made *user.User
	err = p.o.Setup.Use(v.r.Context(), in["token"], func() (err error) {
		made, err = p.o.Users.Add(v.r.Context(), user.New{
			Username: in["username"], Name: in["name"], Email: in["email"], Roles: []string{adminRole}, PasswordHash: hash,
		})
		return err
	})
	if invalid := (*user.InvalidError)(nil); errors.As(err, &invalid) {
		p.showSetup(v, http.StatusUnprocessableEntity, data, map[string]string{invalid.Field: fieldText(err)})
		return
	}
	if err != nil {
		p.failedSetup(v, err)
		return
	}
	p.record(v, audit.Event{Action: audit.Setup, Actor: audit.SetupLink, Subject: made.Username})
	if !p.signIn(v, made, false) {
		return
	}
	if v.json {
		v.reply(setupReply{Username: made.Username, ReturnTo: "/"})
		return
	}
	v.redirect("/")
}

// checkSetup answers requests whose link does not work, with ok false.
func (p *Portal) checkSetup(v *visit, token string) (ok bool) {
	if p.o.Setup == nil || !p.o.Passwords {
		p.fail(v, problem.Problem{Status: http.StatusNotFound, Kind: problem.NotFound})
		return false
	}
	if err := p.o.Setup.Valid(v.r.Context(), token); err != nil {
		p.failedSetup(v, err)
		return false
	}
	return true
}

func (p *Portal) failedSetup(v *visit, err error) {
	switch {
	case errors.Is(err, ErrSetupDone):
		p.fail(v, problem.Problem{
			Status: http.StatusGone, Kind: problem.NotFound, Title: "Set-up is done",
			Detail: "There is an administrator already, so this link does nothing any more. Sign in instead.",
		})
	case errors.Is(err, ErrSetupUnknown):
		p.fail(v, problem.Problem{
			Status: http.StatusNotFound, Kind: problem.NotFound, Title: "This set-up link does not work",
			Detail: "It was used, it is older than a day, or a part of it is missing. Restart the server: its log shows a new link.",
		})
	default:
		p.fault(v, "setting up", err)
	}
}

func (p *Portal) showSetup(v *visit, status int, data setupData, wrong map[string]string) {
	if len(wrong) > 0 && v.json {
		p.fail(v, invalid(wrong))
		return
	}
	data.newPassword = p.newPassword("Password", wrong)
	page := view{Title: "Set up Gatehouse", Scene: open, Data: data}
	if len(wrong) > 0 {
		page.Error = "Some of this needs another look."
	}
	p.show(v, status, "setup", page)
}
