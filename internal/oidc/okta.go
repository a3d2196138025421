package oidc

// okta: groups come in the claim that the operator adds to the application or to
// the authorization server; refresh tokens with offline_access.
//
// https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/
func okta() preset {
	return preset{claims: map[string]string{fieldRoles: ""}, offline: "offline_access"}
}
