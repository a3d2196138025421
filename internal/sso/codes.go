package sso

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// codePrefix of the keys of codes; the rest is the hash of the code.
const codePrefix = "sso_code/"

// Grant is what a code stands for.
type Grant struct {
	Site      string `json:"site"`      // origin of the site that may redeem it: "https://app.example.com"
	Challenge string `json:"challenge"` // base64url of the SHA-256 of the verifier in the browser
	Session   string `json:"session"`   // public id of the portal's session
	// Secret is handed over with the code, and stored only sealed under it: what
	// opens the provider tokens of the portal's session. May be empty.
	Secret []byte `json:"-"`
}

// stored is a Grant at rest.
type stored struct {
	Grant
	Sealed  []byte    `json:"sealed,omitempty"`
	Expires time.Time `json:"expires"`
}

// Codes issues and redeems codes. It is safe for use by many goroutines.
type Codes struct {
	store store.Store
	clock func() time.Time
	rand  io.Reader
}

// NewCodes keeps codes in s. clock and random are the real ones when nil.
func NewCodes(s store.Store, clock func() time.Time, random io.Reader) *Codes {
	if clock == nil {
		clock = time.Now
	}
	if random == nil {
		random = rand.Reader
	}
	return &Codes{store: s, clock: clock, rand: random}
}

// Issue makes a code.
func (c *Codes) Issue(ctx context.Context, g Grant) (code string, err error) {
	if g.Site == "" || g.Session == "" || !ValidChallenge(g.Challenge) {
		return "", errors.New("a code needs a site, a session and a challenge")
	}
	var raw [32]byte
	if _, err := io.ReadFull(c.rand, raw[:]); err != nil {
		return "", fmt.Errorf("no randomness for a code: %w", err)
	}
	code = base64.RawURLEncoding.EncodeToString(raw[:])
	s := stored{Grant: g, Expires: c.clock().UTC().Round(0).Add(codeTTL)}
	if len(g.Secret) > 0 {
		if s.Sealed, err = c.seal(code, g.Secret); err != nil {
			return "", err
		}
	}
	doc, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	created, err := c.store.Create(ctx, codeKey(code), doc, codeTTL)
	if err != nil {
		return "", fmt.Errorf("storing a code: %w", err)
	}
	if !created {
		return "", errors.New("the random source repeats itself: refusing to share a code")
	}
	return code, nil
}

// Redeem uses a code up, whatever comes of it, and returns what it stood for. The
// error is ErrBadCode or the store's.
func (c *Codes) Redeem(ctx context.Context, code, site, verifier string) (*Grant, error) {
	if !ValidChallenge(code) { // it has the same form
		return nil, ErrBadCode
	}
	doc, found, err := c.store.Take(ctx, codeKey(code))
	if err != nil {
		return nil, fmt.Errorf("redeeming a code: %w", err)
	}
	if !found {
		return nil, ErrBadCode
	}
	var s stored
	if err := json.Unmarshal(doc, &s); err != nil {
		return nil, fmt.Errorf("the record of a code cannot be read: %w", err)
	}
	fits := subtle.ConstantTimeCompare([]byte(Challenge(verifier)), []byte(s.Challenge)) == 1
	if s.Site == "" || s.Session == "" || s.Site != site || !fits || !c.clock().Before(s.Expires) {
		return nil, ErrBadCode
	}
	if len(s.Sealed) > 0 {
		if s.Secret, err = open(code, s.Sealed); err != nil {
			return nil, fmt.Errorf("the record of a code cannot be opened: %w", err)
		}
	}
	return &s.Grant, nil
}

// NewVerifier is what a site keeps in the browser's cookie while the browser is at
// the portal.
func (c *Codes) NewVerifier() (string, error) {
	var raw [32]byte
	if _, err := io.ReadFull(c.rand, raw[:]); err != nil {
		return "", fmt.Errorf("no randomness for a verifier: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// Challenge is what the portal is told of a verifier.
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ValidChallenge reports whether a text can be a challenge: 256 bits in their only spelling.
func ValidChallenge(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}

func codeKey(code string) string {
	sum := sha256.Sum256([]byte(code))
	return codePrefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

// gcm is the cipher under a code. Its nonce is random, and each code is used once.
func gcm(code string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(code), nil, "gatehouse sso code", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (c *Codes) seal(code string, secret []byte) ([]byte, error) {
	aead, err := gcm(code)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(c.rand, nonce); err != nil {
		return nil, fmt.Errorf("no randomness to seal a code's secret: %w", err)
	}
	return aead.Seal(nonce, nonce, secret, nil), nil
}

func open(code string, sealed []byte) ([]byte, error) {
	aead, err := gcm(code)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("it is too short")
	}
	return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
}
