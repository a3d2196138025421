package portal

import (
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// person is an identity as JSON, in the words of a policy's input; what is
// absent is left out.
type person struct {
	Authenticated bool     `json:"authenticated"`
	Method        string   `json:"method"`
	Provider      string   `json:"provider,omitempty"`
	ID            string   `json:"id,omitempty"`
	Issuer        string   `json:"issuer,omitempty"`
	Subject       string   `json:"subject,omitempty"`
	Username      string   `json:"username,omitempty"`
	Email         string   `json:"email,omitempty"`
	EmailVerified *bool    `json:"email_verified,omitempty"` // only beside an e-mail
	Name          string   `json:"name,omitempty"`
	Roles         []string `json:"roles,omitempty"`
	Groups        []string `json:"groups,omitempty"`
	Scopes        []string `json:"scopes,omitempty"`
	AMR           []string `json:"amr,omitempty"`
	AuthTime      int64    `json:"auth_time,omitempty"` // seconds since 1970
	SessionID     string   `json:"session_id,omitempty"`
}

func personOf(id *identity.Identity) person {
	who := person{
		Authenticated: true, Method: string(id.Method), Provider: id.Provider, ID: id.ID, Issuer: id.Issuer,
		Subject: id.Subject, Username: id.Username, Email: id.Email, Name: id.Name, Roles: id.Roles, Groups: id.Groups,
		Scopes: id.Scopes, AMR: id.AMR, SessionID: id.SessionID,
	}
	if id.Email != "" {
		who.EmailVerified = &id.EmailVerified
	}
	if !id.AuthTime.IsZero() {
		who.AuthTime = id.AuthTime.Unix()
	}
	return who
}

// getWhoami is JSON whatever is asked for: it is read by programs.
func (p *Portal) getWhoami(v *visit) {
	v.json = true
	if id := v.Identity; id.Authenticated() && id.Method != identity.Session {
		v.reply(personOf(id))
		return
	}
	id, err := p.who(v)
	switch {
	case err != nil:
		p.fault(v, "reading the session", err)
	case id == nil:
		p.fail(v, problem.Problem{
			Status: http.StatusUnauthorized, Kind: problem.NotSignedIn, Challenge: challenge, Detail: "Nobody is signed in.",
		})
	default:
		v.reply(personOf(id))
	}
}
