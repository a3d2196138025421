package oidc

import "strings"

// auth0: its issuers end with a slash. Roles and groups come in claims that the
// operator names, by URLs (claim roles https://example.com/roles).
//
// https://auth0.com/docs/get-started/apis/scopes/openid-connect-scopes
func auth0() preset {
	return preset{
		claims:  map[string]string{fieldUsername: "nickname", fieldRoles: "", fieldGroups: ""},
		offline: "offline_access",
		prepare: func(o *Options) error {
			if o.Issuer != "" && !strings.HasSuffix(o.Issuer, "/") {
				o.Issuer += "/"
			}
			return nil
		},
	}
}
