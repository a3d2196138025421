package oidc

import (
	"net/url"
	"slices"
)

// google: refresh tokens come with access_type=offline, and for a person who has
// agreed before only with prompt=consent. Accounts of a Workspace have the domain
// in hd; the parameter of that name is but a hint to Google's page, so the claim
// is what counts.
//
// https://developers.google.com/identity/openid-connect/openid-connect
func google() preset {
	const issuer = "https://accounts.google.com"
	return preset{
		issuer:  issuer,
		claims:  map[string]string{fieldUsername: "", fieldRoles: "", fieldGroups: ""},
		offline: "-",
		// Without a contract of its own it tells no auth_time.
		noStepUp: true,
		ask: func(o *Options, q url.Values) {
			switch len(o.HostedDomains) {
			case 0:
			case 1:
				q.Set("hd", o.HostedDomains[0])
			default:
				q.Set("hd", "*")
			}
			if o.Offline {
				q.Set("access_type", "offline")
				if q.Get("prompt") == "" {
					q.Set("prompt", "consent")
				}
			}
		},
		// Its documentation names both spellings for ID tokens.
		named: func(o *Options, iss string) bool {
			return iss == o.Issuer || o.Issuer == issuer && iss == "accounts.google.com"
		},
		found:     func(o *Options, iss string) bool { return iss == o.Issuer },
		canonical: func(o *Options, _ string) string { return o.Issuer },
		admit: func(o *Options, claims map[string]any) error {
			hd, _ := claims["hd"].(string)
			if len(o.HostedDomains) > 0 && (hd == "" || !slices.Contains(o.HostedDomains, hd)) {
				return denied("Your Google account is not of an organisation that may sign in here.")
			}
			return nil
		},
	}
}
