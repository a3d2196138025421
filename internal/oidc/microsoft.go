package oidc

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var tenantID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// microsoft is Entra ID, version 2.0. Each tenant is an issuer of its own; with
// "organizations" or "common" in the place of the tenant's ID people of every
// tenant come, whose tokens name their own tenant in iss and tid.
//
// An address counts as verified only with the optional claim xms_edov: without
// it, any administrator of any tenant can put any address into email. Groups are
// left out of the token when there are more than 200; such a person is refused
// if groups are mapped. App roles come in roles.
//
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
func microsoft() preset {
	return preset{
		claims:    map[string]string{fieldVerified: "xms_edov", fieldGroups: ""},
		offline:   "offline_access",
		prepare:   prepareTenants,
		named:     func(o *Options, iss string) bool { return tenantOf(o.Issuer, iss) != "" },
		found:     func(o *Options, iss string) bool { return iss == o.Issuer || template(o.Issuer) == iss && iss != "" },
		canonical: func(_ *Options, iss string) string { return iss },
		admit: func(o *Options, claims map[string]any) error {
			iss, _ := claims["iss"].(string)
			tid, _ := claims["tid"].(string)
			if tenantOf(o.Issuer, iss) != tid {
				return mixedUp("its tid is not the tenant of its iss")
			}
			if len(o.Tenants) > 0 && !slices.Contains(o.Tenants, tid) {
				return denied("Your Microsoft account is not of an organisation that may sign in here.")
			}
			return nil
		},
		elsewhere: func(field string, claims map[string]any) bool {
			v, there := claims["hasgroups"]
			return field == fieldGroups && there && v != any(false)
		},
	}
}

// prepareTenants makes the issuer of the tenants, or checks the one that is
// given. One of them is needed: every person with a Microsoft account would be
// let in otherwise, without anybody having said so.
func prepareTenants(o *Options) error {
	tenants := make([]string, len(o.Tenants))
	for i, t := range o.Tenants {
		if tenants[i] = strings.ToLower(t); !tenantID.MatchString(tenants[i]) {
			return fmt.Errorf("%.60q is no tenant ID, which has the form of 72f988bf-0000-0000-0000-2d7cd011db47", t)
		}
	}
	o.Tenants = tenants
	const host = "https://login.microsoftonline.com/"
	switch {
	case o.Issuer != "":
	case len(o.Tenants) == 1:
		o.Issuer = host + o.Tenants[0] + "/v2.0"
	case len(o.Tenants) > 1:
		o.Issuer = host + "organizations/v2.0"
	default:
		return errors.New("the tenant is missing: name its ID, or an issuer")
	}
	_, tenant, _ := cutTenant(o.Issuer)
	switch {
	case template(o.Issuer) != "":
	case !tenantID.MatchString(tenant):
		return errors.New("the issuer has the form https://login.microsoftonline.com/<tenant ID>/v2.0, or organizations or common in the place of the ID")
	case len(o.Tenants) > 0 && !slices.Contains(o.Tenants, tenant):
		return errors.New("the issuer is of another tenant than those that are named")
	}
	return nil
}

// cutTenant parts an issuer around its tenant.
func cutTenant(iss string) (before, tenant, after string) {
	scheme, rest, _ := strings.Cut(iss, "://")
	host, path, _ := strings.Cut(rest, "/")
	tenant, after, found := strings.Cut(path, "/")
	if !found || after != "v2.0" {
		return "", "", ""
	}
	return scheme + "://" + host + "/", tenant, "/" + after
}

// template is the issuer that the metadata of many tenants name; "" for one
// tenant.
func template(issuer string) string {
	before, tenant, after := cutTenant(issuer)
	if tenant != "organizations" && tenant != "common" {
		return ""
	}
	return before + "{tenantid}" + after
}

// tenantOf is the tenant of an iss which the issuer of the options covers; ""
// for a stranger's.
func tenantOf(issuer, iss string) string {
	before, tenant, after := cutTenant(iss)
	switch {
	case !tenantID.MatchString(tenant):
		return ""
	case template(issuer) == before+"{tenantid}"+after || issuer == iss:
		return tenant
	}
	return ""
}
