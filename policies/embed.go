// Package policies holds the Rego that is shipped with the gateway, for a policy
// to import: data.gatehouse.rbac, .abac, .rebac and .http. It owns the text only;
// a policy folder that defines one of these packages replaces it.
package policies

import "embed"

// FS has one file for each package, without its tests.
//
//go:embed gatehouse/rbac.rego gatehouse/abac.rego gatehouse/rebac.rego gatehouse/http.rego
var FS embed.FS
