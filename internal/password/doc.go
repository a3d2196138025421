// Package password owns what we know of passwords: how one is hashed and
// checked, which ones may be chosen, and how fast they may be guessed.
//
// Three parts stand on their own and meet in the Verifier:
//
//   - Hasher turns passwords into argon2id hashes with a bounded number of
//     workers, so that many logins at once cost others neither speed nor memory.
//   - Guard counts guesses per name, per address block and per known browser.
//   - Rules say which new passwords are refused, and why (NIST SP 800-63B-4).
//
// It does not own the users' records (package user keeps them and hands out a
// hash through the Users interface), sessions, pages or audit events.
//
// Nothing here logs or returns a password, and no error text holds one.
package password
