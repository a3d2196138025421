package oidc

// gitlab, here or at gitlab.com. Groups are not mapped until the operator says
// so (claim groups groups): at gitlab.com everybody can make a group of any free
// name and be in it.
//
// https://docs.gitlab.com/integration/openid_connect_provider/
func gitlab() preset {
	return preset{
		issuer:  "https://gitlab.com",
		claims:  map[string]string{fieldRoles: "", fieldGroups: ""},
		offline: "-", // every login gives a refresh token
	}
}
