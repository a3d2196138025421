package portal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
)

const (
	// pendingLife is how long a login at a provider may take.
	pendingLife = 10 * time.Minute
	// pendingKept is how long the browser keeps it: who comes back after that is
	// sent once more, and ends where they wanted to go.
	pendingKept = time.Hour
	// maxPending and pendingRoom bound the logins that one browser has under way,
	// in number and in bytes, so that a hundred tabs do not make its requests too
	// large for us, or for a proxy before us that allows 8 KiB.
	maxPending  = 5
	pendingRoom = maxPending * 1536
)

// pending is a login under way. Only the browser has it, sealed, so that logins
// which were begun cost us nothing.
type pending struct {
	Login  oidc.Pending `json:"o"`
	Step   string       `json:"e,omitempty"`
	UserID string       `json:"u,omitempty"` // who has to come back, where it is a step of theirs
	Again  bool         `json:"g,omitempty"` // begun anew for one that failed; that is done once
	Used   bool         `json:"x,omitempty"` // came back already; only what is needed to begin anew is left

	back string // follows the JSON as it is: it is a clean return_to
}

// stale reports whether the login took too long.
func (b *pending) stale(now time.Time) bool { return now.Sub(b.Login.Started) > pendingLife }

// used is what is kept of a login that came back.
func (b *pending) used() *pending {
	return &pending{
		Login: oidc.Pending{Provider: b.Login.Provider, State: b.Login.State, RedirectURL: b.Login.RedirectURL, Started: b.Login.Started},
		Step:  b.Step, UserID: b.UserID, Again: b.Again, Used: true, back: b.back,
	}
}

// stateHash is what a state is known by where it must not be read.
func stateHash(state string) string {
	sum := sha256.Sum256([]byte("gatehouse login state\n" + state))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// pendingID tells the cookie of one login under way from the others.
func pendingID(state string) string { return stateHash(state)[:8] }

// sealPending makes the value of the cookie of a login under way: when it began,
// in clear, so that the oldest can be told without a key; then the rest. A way
// back that makes it too long for a cookie loses its query, or is left out.
func (s *sealer) sealPending(id string, b *pending) (string, error) {
	head, err := json.Marshal(b)
	if err != nil {
		return "", fmt.Errorf("a login cannot be written down: %w", err)
	}
	began := strconv.FormatInt(b.Login.Started.Unix(), 36)
	path, _, _ := strings.Cut(b.back, "?")
	for _, back := range []string{b.back, path, ""} {
		value := began + "." + s.seal(slices.Concat(head, []byte("\n"), []byte(back)), id+" "+began)
		if len(value) <= cookie.MaxLogin {
			return value, nil
		}
	}
	return "", errors.New("a login is too long for a cookie")
}

func (s *sealer) openPending(id, value string) (*pending, bool) {
	began, sealed, _ := strings.Cut(value, ".")
	plain, ok := s.open(sealed, id+" "+began)
	if !ok {
		return nil, false
	}
	head, back, _ := bytes.Cut(plain, []byte("\n")) // JSON has none of its own
	b := &pending{back: string(back)}
	if err := json.Unmarshal(head, b); err != nil || b.Login.State == "" || pendingID(b.Login.State) != id {
		return nil, false
	}
	return b, true
}

// keep gives the browser a login under way, and takes its oldest others if there
// are too many.
func (p *Portal) keep(v *visit, s *sealer, b *pending, life time.Duration) error {
	id := pendingID(b.Login.State)
	value, err := s.sealPending(id, b)
	if err != nil {
		return err
	}
	jar := p.o.Cookies.HostOnly()
	others := slices.DeleteFunc(jar.Logins(v.r.Header), func(l cookie.Login) bool { return l.ID == id })
	slices.SortStableFunc(others, func(a, b cookie.Login) int { return cmp.Compare(began(b), began(a)) })
	room := pendingRoom - len(value)
	for i, l := range others {
		if room -= len(l.Value); i >= maxPending-1 || room < 0 || l.Value == "" {
			jar.Clear(v.w, jar.Begun(l.ID))
		}
	}
	jar.Set(v.w, jar.Begun(id), value, life)
	return nil
}

// began is when a login under way says that it began; 0 if it says nothing.
func began(l cookie.Login) int64 {
	text, _, _ := strings.Cut(l.Value, ".")
	t, err := strconv.ParseInt(text, 36, 64)
	if err != nil {
		return 0
	}
	return t
}

// find returns the login under way that a state belongs to, or nil.
func (p *Portal) find(v *visit, s *sealer, state string) *pending {
	id := pendingID(state)
	for _, l := range p.o.Cookies.HostOnly().Logins(v.r.Header) {
		if l.ID != id {
			continue
		}
		if b, ok := s.openPending(id, l.Value); ok && b.Login.State == state {
			return b
		}
	}
	return nil
}
