// Package policy is the Rego engine: it reads policies and data from folders,
// compiles them under restricted capabilities, answers the gateway's questions
// within a time budget, and swaps a changed set in whole while it keeps the
// last good one when the new one is broken.
//
// It owns the policy input and result of contract section 5, the allow and deny
// lines that become Rego, and the memory of earlier decisions. It does not own
// HTTP, identities, or what happens after a decision: it neither reads a request
// nor writes an answer.
//
// It is closed by default. An undefined allow is no. Everything that goes wrong
// (a timeout, an error inside a builtin, a result of the wrong type, an entry
// that no loaded set has) is an error from Decide, and never a pass.
package policy
