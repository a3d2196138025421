package oidc

// keycloak: a realm's roles are in realm_access.roles, where the realm_access
// mapper adds them to the ID token or to UserInfo. Its refresh tokens come with
// every login and end with the session there; offline_access would outlive it.
//
// https://www.keycloak.org/docs/latest/server_admin/
func keycloak() preset {
	return preset{
		claims:  map[string]string{fieldRoles: "realm_access.roles"},
		needed:  []string{fieldRoles},
		offline: "-",
	}
}
