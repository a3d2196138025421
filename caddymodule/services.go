package caddymodule

import (
	"context"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/certificate"
	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/federation"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/jwt"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/portal"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/sso"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// portalBase is where each site serves the portal's pages.
const portalBase = "/_gatehouse"

// services are the parts that work on one open store.
type services struct {
	store    store.Store
	users    *user.Directory
	sessions *session.Manager
	keys     *key.Manager
	tokens   *jwt.Verifier // nil: no issuer is configured
	revoked  *jwt.Revocations
	// certificates is there also when none are accepted: bindings may be made
	// before.
	certificates *certificate.Registry
	hasher       *password.Hasher
	rules        password.Rules
	setup        *portal.Setup
	portal       *portal.Portal // of each site
	root         *portal.Portal // of the one for many sites; nil: there is none
	federation   *federation.Guard
	providers    []portal.Provider
	codes        *sso.Codes
	sites        *sso.Sites
	cookies      cookie.Jar
}

func newServices(a *App) (*services, error) {
	opened, err := a.shared.get()
	if err != nil {
		return nil, err
	}
	s := &services{store: &observedStore{Store: opened, metrics: a.metrics}}
	s.cookies = cookie.Jar{Domain: a.Sessions.CookieDomain}
	s.users = user.NewDirectory(s.store, user.Options{})
	s.sessions = session.NewManager(s.store, session.Options{
		Accounts:    s.users,
		IdleTimeout: time.Duration(a.Sessions.IdleTimeout),
		Lifetime:    time.Duration(a.Sessions.Lifetime),
		RememberMe:  time.Duration(a.Sessions.RememberMe),
		Logger:      a.slogger(""),
	})
	if err := s.machines(a); err != nil {
		s.close()
		return nil, err
	}
	argon := a.Passwords.Argon2id
	s.hasher = password.NewHasher(password.Params{
		MemoryKiB: uint32(argon.Memory / 1024), Iterations: argon.Iterations, Parallelism: argon.Parallelism,
	}, password.HasherOptions{})
	s.rules = password.Rules{MinLength: a.Passwords.MinLength}
	s.setup = portal.NewSetup(s.store, s.users)
	s.signOn(a)
	err = s.portals(a, portal.Options{
		Cookies: s.cookies, Users: s.users, Sessions: s.sessions,
		Verifier: password.NewVerifier(password.VerifierOptions{
			Users: s.users, Hasher: s.hasher, Guard: password.NewGuard(s.store, password.GuardOptions{}),
			Normalize: user.NormalizeName, Logger: a.slogger(""),
		}),
		Hasher: s.hasher, Rules: s.rules, Setup: s.setup, Passwords: !a.Passwords.Off,
		RememberMe: a.Sessions.RememberMe > 0, Audit: a.audit, Logger: a.slogger(""),
		OnLogin: a.metrics.login, Keys: s.portalKeys(a), KeyLifetime: time.Duration(a.Keys.MaxLifetime),
	})
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// machines makes what programs prove themselves by.
func (s *services) machines(a *App) (err error) {
	s.keys = key.NewManager(s.store, key.Options{
		Accounts: s.users, MaxLifetime: time.Duration(a.Keys.MaxLifetime), Limiter: a.shared.limiter, Logger: a.slogger(""),
	})
	s.revoked = jwt.NewRevocations(s.store, nil)
	source := certificate.SubjectCN
	if a.Certificates != nil {
		source = certificate.Source(a.Certificates.Username)
	}
	s.certificates = certificate.NewRegistry(s.store, certificate.Options{Accounts: s.users, Username: source, Logger: a.slogger("")})
	s.tokens, err = a.newVerifier(s.revoked)
	return err
}

// portalKeys are the keys that people manage on their account page.
func (s *services) portalKeys(a *App) *key.Manager {
	if a.Keys.Off {
		return nil
	}
	return s.keys
}

// alive reports whether the login or credential behind an open connection still
// stands.
func (s *services) alive(ctx context.Context, who *identity.Identity) (bool, error) {
	switch {
	case !who.Authenticated():
		return false, nil
	case who.Method == identity.Session:
		return s.federation.Alive(ctx, who)
	case who.Method == identity.Key:
		return s.keys.Alive(ctx, who)
	case who.Method == identity.Certificate:
		return s.certificates.Alive(ctx, who)
	case who.Method == identity.JWT && s.tokens != nil:
		return s.tokens.Alive(ctx, who)
	}
	return false, nil
}

func (s *services) close() {
	for _, p := range []*portal.Portal{s.portal, s.root} {
		if p != nil {
			p.Close()
		}
	}
	if s.federation != nil {
		s.federation.Close()
	}
	if s.keys != nil {
		s.keys.Close()
		s.revoked.Close()
		s.certificates.Close()
	}
	s.sessions.Close()
	s.users.Close()
}

// observedStore counts the faults of a store and puts its calls into traces.
type observedStore struct {
	store.Store
	metrics *metrics
}

func (o *observedStore) Get(ctx context.Context, key string) (_ []byte, _ bool, err error) {
	ctx, end := span(ctx, "gatehouse.store")
	defer func() { end(); o.metrics.storeError("get", err) }()
	return o.Store.Get(ctx, key)
}

func (o *observedStore) Put(ctx context.Context, key string, value []byte, ttl time.Duration) (err error) {
	ctx, end := span(ctx, "gatehouse.store")
	defer func() { end(); o.metrics.storeError("put", err) }()
	return o.Store.Put(ctx, key, value, ttl)
}

func (o *observedStore) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (_ bool, err error) {
	ctx, end := span(ctx, "gatehouse.store")
	defer func() { end(); o.metrics.storeError("create", err) }()
	return o.Store.Create(ctx, key, value, ttl)
}

func (o *observedStore) Swap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (_ bool, err error) {
	ctx, end := span(ctx, "gatehouse.store")
	defer func() { end(); o.metrics.storeError("swap", err) }()
	return o.Store.Swap(ctx, key, old, value, ttl)
}

func (o *observedStore) Take(ctx context.Context, key string) (_ []byte, _ bool, err error) {
	ctx, end := span(ctx, "gatehouse.store")
	defer func() { end(); o.metrics.storeError("take", err) }()
	return o.Store.Take(ctx, key)
}

func (o *observedStore) Delete(ctx context.Context, key string) (_ bool, err error) {
	ctx, end := span(ctx, "gatehouse.store")
	defer func() { end(); o.metrics.storeError("delete", err) }()
	return o.Store.Delete(ctx, key)
}

func (o *observedStore) Scan(ctx context.Context, prefix, after string, limit int) (_ []store.Entry, err error) {
	ctx, end := span(ctx, "gatehouse.store")
	defer func() { end(); o.metrics.storeError("scan", err) }()
	return o.Store.Scan(ctx, prefix, after, limit)
}

func (o *observedStore) Count(ctx context.Context, kind string) (_ int, err error) {
	ctx, end := span(ctx, "gatehouse.store")
	defer func() { end(); o.metrics.storeError("count", err) }()
	return o.Store.Count(ctx, kind)
}

func (o *observedStore) Charge(ctx context.Context, key string, limit store.Limit, cost int) (_ store.Allowance, err error) {
	ctx, end := span(ctx, "gatehouse.store")
	defer func() { end(); o.metrics.storeError("charge", err) }()
	return o.Store.Charge(ctx, key, limit, cost)
}
