package jwt

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// ErrRevocation is a revocation that makes no sense; the error says why.
var ErrRevocation = errors.New("this cannot be revoked")

// revokedKind groups the records in the store.
const revokedKind = "revoked_token"

// maxNote is the longest note, in bytes.
const maxNote = 256

// Revocation says which tokens must not count any more. It names one token by
// JTI or TokenHash, those of one login by SID, those of one subject by Subject;
// or with none of them all that were issued before a time.
type Revocation struct {
	Issuer    string `json:"issuer,omitempty"` // as in iss; "" means every issuer
	JTI       string `json:"jti,omitempty"`
	SID       string `json:"sid,omitempty"`
	Subject   string `json:"subject,omitempty"`
	TokenHash string `json:"token_hash,omitempty"` // of a token without jti, as Describe gives it
	// Before is for Subject, and for none: tokens whose iat is before, by the
	// issuer's clock, and those without iat. Default with Subject: now. Required
	// with none.
	Before time.Time `json:"before,omitzero"`
	// Until is when the revocation may be forgotten: when the tokens have expired,
	// the leeway included. Zero keeps it for ever.
	Until   time.Time `json:"until,omitzero"`
	Created time.Time `json:"created,omitzero"`
	Note    string    `json:"note,omitempty"` // why; for people
}

// mark is one thing that revocations name tokens by.
type mark struct {
	what   string // "jti", "sid", "subject", "token_hash", or "all"
	issuer string // "" for every issuer
	value  string // "" for all
}

// mark returns what r names, or an ErrRevocation.
func (r *Revocation) mark() (mark, error) {
	m, given := mark{what: "all", issuer: r.Issuer}, 0
	for _, part := range []mark{{"jti", r.Issuer, r.JTI}, {"sid", r.Issuer, r.SID}, {"subject", r.Issuer, r.Subject}, {"token_hash", r.Issuer, r.TokenHash}} {
		if part.value != "" {
			m, given = part, given+1
		}
	}
	switch {
	case given > 1:
		return m, fmt.Errorf("%w: only one of jti, sid, subject and token can be given", ErrRevocation)
	case m.what == "all" && r.Before.IsZero():
		return m, fmt.Errorf("%w: neither jti nor sid nor subject nor token nor a time is given", ErrRevocation)
	case m.what != "all" && m.what != "subject" && !r.Before.IsZero():
		return m, fmt.Errorf("%w: a time goes with a subject or alone", ErrRevocation)
	case len(m.value) > maxToken || !utf8.ValidString(m.value) || !utf8.ValidString(r.Issuer):
		return m, fmt.Errorf("%w: it is too long or not UTF-8", ErrRevocation)
	}
	return m, nil
}

// catches reports whether a token that has r's mark is revoked by r.
func (r *Revocation) catches(issued, now time.Time) bool {
	if !r.Until.IsZero() && !now.Before(r.Until) {
		return false
	}
	return r.Before.IsZero() || issued.IsZero() || issued.Before(r.Before)
}

// key is where r is stored: a hash of all that it means, so that odd characters
// do no harm, the same is not kept twice, and no revocation weakens another.
func (r *Revocation) key() (string, error) {
	meaning := *r
	meaning.Created, meaning.Note = time.Time{}, ""
	raw, err := json.Marshal(meaning)
	if err != nil { // a time beyond the year 9999
		return "", fmt.Errorf("%w: %w", ErrRevocation, err)
	}
	sum := sha256.Sum256(raw)
	return revokedKind + "/" + base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
