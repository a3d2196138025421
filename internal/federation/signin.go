package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// RefusedError says that a provider vouches for a person who may not sign in here.
type RefusedError struct {
	Sentence string // for the person; holds nothing that was sent
	Reason   string // for the log; neither
	Username string // who they would be here; "" when that is nobody
}

func (e *RefusedError) Error() string { return "the login is refused: " + e.Reason }

// What the person is told. Nobody learns whether they are known, or disabled.
const (
	sentenceDomain = "Only people with a confirmed e-mail address of an organisation that is allowed here can sign in."
	sentenceOther  = "You cannot sign in here with this account. Ask whoever runs this site."
)

// SignIn returns the user who a person at a provider is: the one of this issuer
// and subject; else, if the provider may do that, the one with the verified
// address; else a new one. A *RefusedError says that they may not come in; every
// other error that it could not be found out, and nobody is signed in.
func (g *Guard) SignIn(ctx context.Context, e Entry, l *oidc.Login) (*user.User, error) {
	if l == nil || l.Issuer == "" || l.Subject == "" {
		return nil, errors.New("a login at a provider has no issuer or subject")
	}
	if !e.allows(l.Email, l.EmailVerified) {
		return nil, &RefusedError{Sentence: sentenceDomain, Reason: "there is no verified address at an allowed domain"}
	}
	id := user.FederatedID{Provider: e.Name, Issuer: l.Issuer, Subject: l.Subject}
	u, err := g.users.FindFederated(ctx, l.Issuer, l.Subject)
	if errors.Is(err, user.ErrNotFound) {
		u, err = g.first(ctx, &e, id, l)
	}
	if err != nil {
		return nil, err
	}
	if u.Disabled {
		return nil, disabled(u.Username)
	}
	u, err = g.users.SetProfile(ctx, u.Username, id, profile(l))
	if err != nil {
		return nil, fmt.Errorf("keeping what the provider %s says of a person: %w", e.Name, err)
	}
	return u, nil
}

func disabled(username string) error {
	return &RefusedError{Sentence: sentenceOther, Reason: "the user is disabled", Username: username}
}

// first finds or makes the user of a first login. Who would be linked, and is
// disabled, does not get in as somebody new.
func (g *Guard) first(ctx context.Context, e *Entry, id user.FederatedID, l *oidc.Login) (*user.User, error) {
	if e.LinkByEmail && l.EmailVerified {
		u, err := g.users.LinkByEmail(ctx, l.Email, id)
		switch {
		case errors.Is(err, user.ErrDisabled):
			return nil, disabled("")
		case err == nil:
			return u, nil
		case !errors.Is(err, user.ErrNotFound) && !errors.Is(err, user.ErrAmbiguous) && !errors.Is(err, user.ErrLinked):
			return nil, fmt.Errorf("linking a person from the provider %s: %w", e.Name, err)
		}
	}
	p := profile(l)
	u, err := g.users.AddFederated(ctx, user.New{Email: p.Email, EmailVerified: p.EmailVerified, Name: p.Name}, id, candidates(l))
	if err != nil {
		return nil, fmt.Errorf("making the user of a person from the provider %s: %w", e.Name, err)
	}
	return u, nil
}

func profile(l *oidc.Login) user.Profile {
	return user.Profile{Email: l.Email, EmailVerified: l.EmailVerified, Name: l.Name}
}

// candidates are the names that a new user may get, the best one first.
func candidates(l *oidc.Login) []string {
	preferred, _ := l.Claims["preferred_username"].(string)
	all := []string{l.Username, preferred}
	if local, _, ok := strings.Cut(l.Email, "@"); ok {
		all = append(all, local)
	}
	const short = 32
	if len(l.Subject) <= short && !strings.ContainsFunc(l.Subject, odd) {
		all = append(all, l.Subject)
	}
	return all
}

// odd holds for what makes a subject no name to be read.
func odd(r rune) bool {
	return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r) && (r < '0' || '9' < r) && !strings.ContainsRune("._-@", r)
}

// Session is the session of somebody whom SignIn has returned a moment ago. What
// comes from the browser is for the caller to add.
func (g *Guard) Session(e Entry, u *user.User, l *oidc.Login) (session.Login, error) {
	tokens, err := json.Marshal(l.Tokens)
	if err != nil {
		return session.Login{}, fmt.Errorf("the tokens of the provider %s cannot be stored: %w", e.Name, err)
	}
	return session.Login{
		Username: u.Username, UserID: u.ID, Epoch: u.Epoch, Provider: e.Name,
		ProviderIssuer: l.Issuer, ProviderSubject: l.Subject, ProviderSID: l.SID,
		AuthTime: l.AuthTime, AMR: l.AMR, ACR: l.ACR,
		Roles: labels(l.Roles), Groups: labels(l.Groups), Claims: l.Claims, Tokens: tokens,
	}, nil
}

// labels brings roles or groups into the form in which those of users are kept.
func labels(in []string) []string {
	if len(in) == 0 {
		return nil
	}
	out := make([]string, 0, len(in))
	for _, label := range in {
		out = append(out, user.NormalizeLabel(label))
	}
	return out
}

// domainOf is what follows the one @ of an address. One with several is nobody's:
// two readers could take it for two.
func domainOf(email string) (domain string, ok bool) {
	local, domain, ok := strings.Cut(email, "@")
	return lower(domain), ok && local != "" && domain != "" && !strings.Contains(domain, "@")
}

// lower changes ASCII letters only: Unicode's lower case makes a k of the Kelvin
// sign.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, s)
}
