package portal

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// farewellLife is how long after a logout the way back from the provider counts
// as that.
const farewellLife = 10 * time.Minute

// farewell is what the end of a session here means for its provider. The zero
// value is nothing.
type farewell struct {
	at     *Provider
	tokens oidc.Tokens
	url    string // where the browser ends the session there; "" for nowhere
}

// farewell prepares the end of the session that a cookie stands for. What cannot
// be found out is left out: to sign out here is never made to depend on it.
func (p *Portal) farewell(v *visit, token string) farewell {
	ctx := v.r.Context()
	s, err := p.o.Sessions.Get(ctx, session.ID(token))
	if err != nil || s.ProviderIssuer == "" {
		return farewell{}
	}
	at := p.provider(s.Provider)
	if at == nil {
		return farewell{}
	}
	f := farewell{at: at}
	if f.tokens, err = p.tokens(ctx, s, token); err != nil {
		p.o.Logger.WarnContext(ctx, "portal: reading a provider's tokens", "request_id", v.RequestID, "provider", at.name(), "session", s.ID, "error", err)
	}
	if at.LogoutThere {
		f.url = p.endSessionURL(v, f)
	}
	return f
}

// tokens are what the provider gave for a session, or for the portal's that it
// hangs on; the zero value for none.
func (p *Portal) tokens(ctx context.Context, s *session.Session, token string) (t oidc.Tokens, err error) {
	key, ok := session.SealKey(token)
	if !ok {
		return t, session.ErrSealed
	}
	if s.Parent != "" {
		if key, err = p.o.Sessions.OpenParent(key, s); errors.Is(err, session.ErrNoTokens) {
			return t, nil
		}
		if err == nil {
			s, err = p.o.Sessions.Get(ctx, s.Parent)
		}
		if err != nil {
			return t, err
		}
	}
	raw, err := p.o.Sessions.Open(key, s)
	if errors.Is(err, session.ErrNoTokens) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return oidc.Tokens{}, errors.New("they are not in the form that they are kept in")
	}
	return t, nil
}

// endSessionURL is where the session at the provider ends, or "". The state that
// comes back from there tells our own logouts from a link that anybody made.
func (p *Portal) endSessionURL(v *visit, f farewell) string {
	seal, err := p.sealer(v.r.Context(), sealLogout)
	if err != nil {
		p.o.Logger.WarnContext(v.r.Context(), "portal: signing out at a provider", "request_id", v.RequestID, "error", err)
		return ""
	}
	state := seal.seal([]byte(strconv.FormatInt(p.o.Clock().Unix(), 36)+" "+f.at.name()), sealLogout)
	back := p.origin(v.r) + p.o.Base
	if p.o.SSO != nil {
		back = p.o.SSO.Portal // the one address that the provider knows
	}
	address, _ := f.at.Client.EndSessionURL(f.tokens.ID, back+"/logout", state)
	return address
}

// cameFromLogout is what the provider is called that the browser comes back from,
// signed out there as well; "" if it does not.
func (p *Portal) cameFromLogout(v *visit) string {
	state := v.r.URL.Query().Get("state")
	if state == "" || len(state) > 4*maxState || len(p.o.Providers) == 0 {
		return ""
	}
	seal, err := p.sealer(v.r.Context(), sealLogout)
	if err != nil {
		return "" // the page says less
	}
	plain, ok := seal.open(state, sealLogout)
	at, name, _ := strings.Cut(string(plain), " ")
	left, err := strconv.ParseInt(at, 36, 64)
	if !ok || err != nil || p.o.Clock().Sub(time.Unix(left, 0)) > farewellLife {
		return ""
	}
	if at := p.provider(name); at != nil {
		return at.title()
	}
	return ""
}

// takeBack tells the provider, in the background, that the tokens of a session
// which has ended are not needed any more.
func (p *Portal) takeBack(v *visit, f farewell) {
	if f.tokens.Access == "" && f.tokens.Refresh == "" {
		return
	}
	log, id := p.o.Logger, v.RequestID
	begun := p.errand.run(func(ctx context.Context) {
		if err := f.at.Client.Revoke(ctx, f.tokens); err != nil {
			log.WarnContext(ctx, "portal: revoking a provider's tokens", "request_id", id, "provider", f.at.name(), "error", err)
		}
	})
	if !begun {
		log.WarnContext(v.r.Context(), "portal: a provider's tokens are not revoked: too many others are", "request_id", id, "provider", f.at.name())
	}
}
