// Package gateway is the path of a request through the gate: strip what only we
// may say, find out who asks, ask the policy for every way in which the app may
// read the path, and then answer ourselves or pass the request on with an
// identity that the app can trust.
//
// It owns the order of these steps, the readings of a path, the answers of the
// gate, the headers that tell the app who asks, and the wrapper that keeps the
// app away from our cookies. It owns no credentials, no rules and no pages:
// those come in as Authenticator, Decider and Pages. It knows neither Caddy nor
// Rego.
//
// Everything fails closed. A zero Result is a bad credential, a zero
// decision.Answer refuses, an error of either is a 503 and never a pass.
package gateway
