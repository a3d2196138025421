// Package gatehouse is a reverse-proxy auth gateway for Caddy. It stands in
// front of apps with weak auth or none: it finds out who is asking, asks Rego
// policies (Open Policy Agent, embedded) whether they may, and passes the
// request on with an identity that the app can trust.
//
// Importing this package, as xcaddy does, adds the modules to Caddy:
//
//	xcaddy build --with github.com/gatehouse-proxy/gatehouse
//
// The smallest protected site:
//
//	app.example.com {
//		gatehouse
//		reverse_proxy legacy:8080
//	}
//
// The first start prints a one-time link that makes the first administrator.
// From then on `caddy gatehouse user add` adds people. Rules go at the route,
//
//	gatehouse {
//		allow role admin
//		allow group finance method GET path /reports/*
//	}
//
// or, for more, in Rego: `gatehouse { policy my.package }` with the files in
// ./policies. State lives in one file; `store redis redis://…` in the global
// options shares it between instances.
//
// Whatever goes wrong, the answer is no: a fault of the store or the policy is
// a 503, never a pass.
//
// The README leads in; docs/guide holds the reference of every option.
package gatehouse

import _ "github.com/gatehouse-proxy/gatehouse/caddymodule" // registers the modules
