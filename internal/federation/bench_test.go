package federation

import (
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// BenchmarkIdentify: what a remembered request costs, by where its person comes
// from.
func BenchmarkIdentify(b *testing.B) {
	w := newWorld(b)
	u, err := w.users.Add(b.Context(), user.New{Username: "bob"})
	if err != nil {
		b.Fatal(err)
	}
	local, _, err := w.sessions.Create(b.Context(), session.Login{Username: u.Username, UserID: u.ID, Epoch: u.Epoch})
	if err != nil {
		b.Fatal(err)
	}
	portal, parent := w.signIn()
	site := w.onSite(portal, parent, true)
	run := func(name, token string, do func(*identity.Identity) error) {
		id := w.in(token)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Identify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
				if do != nil {
					if err := do(id); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
	run("local", local, nil)
	run("provider", portal, nil)
	run("site", site, nil)
	run("provider and access token", portal, func(id *identity.Identity) error {
		_, err := w.AccessToken(b.Context(), id.SessionID)
		return err
	})
}
