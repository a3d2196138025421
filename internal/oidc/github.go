package oidc

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
)

const (
	githubPage  = 100 // entries of a page of a list
	githubPages = 10  // that are read of a list; who is in more is refused
)

// github, or a GitHub Enterprise Server by its own issuer: OAuth 2.0 without
// OpenID Connect. Who somebody is, is asked of the API; the subject is the number
// of the account, since names change hands. The address is the primary one.
// Groups are organisations ("acme") and teams ("acme/ops"), if they are mapped
// (claim groups groups) or organizations are named; without the latter they may
// be anybody's, since everybody can found an organisation.
//
// A token counts until it is taken back, so without a refresh token the API is
// asked again with it.
//
// https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
func github() preset {
	return preset{
		issuer:  "https://github.com",
		scopes:  []string{"read:user", "user:email"},
		claims:  map[string]string{fieldUsername: "login", fieldRoles: "", fieldGroups: ""},
		offline: "-",
		prepare: prepareGroups,
		named:   func(o *Options, iss string) bool { return iss == o.Issuer || iss == o.Issuer+"/login/oauth" },
		ask: func(_ *Options, q url.Values) {
			if hint := q.Get("login_hint"); hint != "" {
				q.Set("login", hint)
				q.Del("login_hint")
			}
		},
		endpoints: func(o *Options) *metadata {
			return &metadata{authorization: o.Issuer + "/login/oauth/authorize", token: o.Issuer + "/login/oauth/access_token"}
		},
		person: githubPerson,
		forget: githubForget,
	}
}

// prepareGroups sees to what the groups of a person need.
func prepareGroups(o *Options) error {
	o.Issuer = strings.TrimSuffix(o.Issuer, "/")
	claim, mapped := o.Claims[fieldGroups]
	switch {
	case !mapped && len(o.Organizations) == 0:
		return nil
	case mapped && claim != "groups":
		return errors.New("groups of github can only be mapped as claim groups groups")
	case len(o.Scopes) == 0:
		o.Scopes = []string{"read:user", "user:email", "read:org"}
	case !slices.Contains(o.Scopes, "read:org"):
		return errors.New("groups and organizations need the scope read:org")
	}
	o.Claims = maps.Clone(o.Claims)
	if o.Claims == nil {
		o.Claims = map[string]string{}
	}
	o.Claims[fieldGroups] = "groups"
	return nil
}
