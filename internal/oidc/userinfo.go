package oidc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// notPerson are claims about the token, the login or the session. Only an ID
// token can say them.
var notPerson = []string{
	"iss", "sub", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "auth_time", "acr", "amr", "sid", "at_hash", "c_hash", "s_hash", "events", "typ",
}

// login makes a Login of the claims of a good ID token, and asks UserInfo for
// what they lack.
func (p *Provider) login(ctx context.Context, m *metadata, claims map[string]any, t Tokens) (*Login, error) {
	who, err := p.read(claims)
	if err != nil {
		return nil, err
	}
	if m.userInfo != "" && p.lacks(who) {
		more, err := p.userInfo(ctx, m, claims["sub"].(string), t.Access)
		if err != nil {
			return nil, err
		}
		other, err := p.read(more)
		if err != nil {
			return nil, err
		}
		who.fill(other)
		claims = merge(claims, more)
	}
	iss, _ := claims["iss"].(string)
	l := p.newLogin(p.issuer(iss), who, claims, t)
	l.ACR, _ = stringIn(claims, "acr")
	l.SID, _ = stringIn(claims, "sid")
	l.AMR, _ = texts(claims["amr"])
	if at, there, ok := moment(claims, "auth_time"); there && ok && at.Unix() > 0 {
		l.AuthTime = at
	}
	return l, nil
}

func (p *Provider) newLogin(issuer string, who *person, claims map[string]any, t Tokens) *Login {
	sub, _ := claims["sub"].(string)
	claims = maps.Clone(claims)
	for _, ofToken := range []string{"nonce", "at_hash", "c_hash", "s_hash"} {
		delete(claims, ofToken)
	}
	return &Login{
		Provider: p.o.Name, Issuer: issuer, Subject: sub, Username: who.username, Email: who.email,
		EmailVerified: who.verified && who.email != "", Name: who.name, Roles: who.roles, Groups: who.groups, Claims: claims, Tokens: t,
	}
}

// merge adds to the claims of an ID token what only UserInfo says about the
// person.
func merge(claims, more map[string]any) map[string]any {
	out := maps.Clone(claims)
	for name, v := range more {
		if _, there := out[name]; !there && !slices.Contains(notPerson, name) {
			out[name] = v
		}
	}
	return out
}

// userInfo asks who somebody is (OpenID Connect Core section 5.3). An answer
// about another person, which a stolen or mixed-up access token gives, is none.
func (p *Provider) userInfo(ctx context.Context, m *metadata, subject, access string) (map[string]any, error) {
	a, err := p.web.getWith(ctx, m.userInfo, access)
	if err != nil {
		return nil, unavailable("UserInfo of provider %s: %w", p.o.Name, err)
	}
	if a.status == http.StatusUnauthorized && strings.Contains(a.header.Get("WWW-Authenticate"), "invalid_token") {
		return nil, unavailable("UserInfo of provider %s: %w", p.o.Name, errTokenRefused)
	}
	doc, err := a.object()
	if err == nil {
		err = onlyJSON(a.header)
	}
	if err != nil {
		return nil, unavailable("UserInfo of provider %s: %w", p.o.Name, err)
	}
	if sub, _ := doc["sub"].(string); sub == "" || sub != subject {
		return nil, fmt.Errorf("UserInfo of provider %s: %w", p.o.Name, mixedUp("it is about another person (sub)"))
	}
	return doc, nil
}

// errTokenRefused is an access token that the provider does not take (RFC 6750
// section 3.1).
var errTokenRefused = errors.New("it refuses the access token")

// onlyJSON refuses signed and encrypted answers, which nobody asked for.
func onlyJSON(h http.Header) error {
	if kind, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || kind != "application/json" {
		return errors.New("its answer is not of type application/json")
	}
	return nil
}
