package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

// githubAPI is where the API of an issuer is.
func githubAPI(issuer string) string {
	scheme, host, _ := strings.Cut(issuer, "://")
	if host == "github.com" || strings.HasSuffix(host, ".ghe.com") {
		return scheme + "://api." + host
	}
	return issuer + "/api/v3"
}

// githubPerson asks for what an ID token would say.
func githubPerson(ctx context.Context, p *Provider, access string) (map[string]any, error) {
	v, err := p.github(ctx, "/user", access)
	if err != nil {
		return nil, err
	}
	user, _ := v.(map[string]any)
	id, _ := user["id"].(json.Number)
	if n, err := strconv.ParseInt(string(id), 10, 64); err != nil || n <= 0 {
		return nil, unavailable("the API of provider %s: it does not tell the person's number", p.o.Name)
	}
	claims := map[string]any{"sub": string(id)}
	for _, name := range []string{"login", "name"} {
		if user[name] != nil {
			claims[name] = user[name]
		}
	}
	if slices.Contains(p.o.Scopes, "user:email") || slices.Contains(p.o.Scopes, "user") {
		emails, err := p.githubList(ctx, "/user/emails", access)
		if err != nil {
			return nil, err
		}
		for _, e := range emails {
			if e["primary"] == any(true) {
				claims["email"], claims["email_verified"] = e["email"], e["verified"]
			}
		}
	}
	if p.fields.mapped(fieldGroups) {
		if claims["groups"], err = p.githubGroups(ctx, access); err != nil {
			return nil, err
		}
	}
	return claims, nil
}

// githubGroups are the person's organisations and teams: of those that are
// named, if any are, and then there must be one.
func (p *Provider) githubGroups(ctx context.Context, access string) ([]any, error) {
	organizations, err := p.githubList(ctx, "/user/orgs", access)
	if err != nil {
		return nil, err
	}
	groups, in := []any{}, map[string]bool{}
	for _, o := range organizations {
		if name, _ := o["login"].(string); p.githubMember(name) {
			groups, in[name] = append(groups, name), true
		}
	}
	if len(p.o.Organizations) > 0 && len(groups) == 0 {
		return nil, denied("Your GitHub account is not in an organisation whose members may sign in here.")
	}
	teams, err := p.githubList(ctx, "/user/teams", access)
	if err != nil {
		return nil, err
	}
	for _, t := range teams {
		organization, _ := t["organization"].(map[string]any)
		name, _ := organization["login"].(string)
		if slug, _ := t["slug"].(string); slug != "" && in[name] {
			groups = append(groups, name+"/"+slug)
		}
	}
	return groups, nil
}

// githubMember reports whether an organisation counts. Their names do not differ
// by case alone.
func (p *Provider) githubMember(name string) bool {
	same := func(o string) bool { return strings.EqualFold(o, name) }
	return name != "" && (len(p.o.Organizations) == 0 || slices.ContainsFunc(p.o.Organizations, same))
}

// githubList reads a list to its end. One that is longer than we read would be
// incomplete, and so is the person's right to be here.
func (p *Provider) githubList(ctx context.Context, path, access string) ([]map[string]any, error) {
	var all []map[string]any
	for page := 1; page <= githubPages; page++ {
		v, err := p.github(ctx, fmt.Sprintf("%s?per_page=%d&page=%d", path, githubPage, page), access)
		if err != nil {
			return nil, err
		}
		list, ok := v.([]any)
		if !ok {
			return nil, unavailable("the API of provider %s: %s is no list", p.o.Name, path)
		}
		for _, e := range list {
			m, _ := e.(map[string]any)
			all = append(all, m)
		}
		if len(list) < githubPage {
			return all, nil
		}
	}
	return nil, denied("Your GitHub account is in more organisations or teams than can be looked at.")
}

// github asks the API.
func (p *Provider) github(ctx context.Context, path, access string) (any, error) {
	a, err := p.web.getWith(ctx, githubAPI(p.o.Issuer)+path, access)
	if err != nil {
		return nil, unavailable("the API of provider %s: %w", p.o.Name, err)
	}
	var v any
	switch {
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden && bytes.Contains(a.body, []byte("suspended")):
		err = errTokenRefused
	case a.status != http.StatusOK:
		err = fmt.Errorf("it answered with status %d", a.status)
	default:
		v, err = strictjson.Value(string(a.body))
	}
	if err != nil {
		return nil, unavailable("the API of provider %s: %w", p.o.Name, err)
	}
	return v, nil
}

// loginByAsking is the login at a provider that gives no ID token.
func (p *Provider) loginByAsking(ctx context.Context, t Tokens) (*Login, error) {
	t.ID = ""
	claims, err := p.preset.person(ctx, p, t.Access)
	if err != nil {
		return nil, err
	}
	who, err := p.read(claims)
	if err != nil {
		return nil, err
	}
	return p.newLogin(p.o.Issuer, who, claims, t), nil
}

func (p *Provider) refreshByAsking(ctx context.Context, k *known, issuer, subject string, old Tokens) (*Login, Tokens, error) {
	t := old
	if old.Refresh != "" {
		var err error
		if t, err = p.renew(ctx, k.meta, old); err != nil {
			return nil, old, err
		}
	}
	if t.Access == "" {
		return nil, old, ErrNoRefresh
	}
	l, err := p.loginByAsking(ctx, t)
	switch {
	case err != nil:
		return nil, t, p.afterGrant(err)
	case l.Issuer != issuer || l.Subject != subject:
		return nil, t, mixedUp("the tokens are of another person than at the login")
	}
	return l, l.Tokens, nil
}

// githubForget takes back the person's token, not their consent.
func githubForget(ctx context.Context, p *Provider, t Tokens) error {
	body, err := json.Marshal(map[string]string{"access_token": t.Access})
	if err != nil {
		return err
	}
	address := githubAPI(p.o.Issuer) + "/applications/" + url.PathEscape(p.o.ClientID) + "/token"
	r, err := http.NewRequest(http.MethodDelete, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address of the API cannot be used")
	}
	r.SetBasicAuth(p.o.ClientID, p.o.ClientSecret)
	r.Header.Set("Content-Type", "application/json")
	a, err := do(ctx, p.web.asks, r)
	switch {
	case err != nil:
		return unavailable("the API of provider %s: %w", p.o.Name, err)
	case a.status != http.StatusNoContent && a.status != http.StatusNotFound && a.status != http.StatusUnprocessableEntity:
		return unavailable("the API of provider %s: it answered with status %d", p.o.Name, a.status)
	}
	return nil
}
