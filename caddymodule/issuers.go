package caddymodule

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/jwt"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// sharedKeys is the key set of one issuer, which stays known over reloads: a new
// configuration does not have to fetch it before it can serve.
type sharedKeys struct {
	pool   string
	source *jwt.Source
}

// Destruct ends the fetching. The usage pool calls it.
func (s *sharedKeys) Destruct() error {
	s.source.Close()
	return nil
}

// acquireKeys finds or prepares the key set of an issuer. It touches no network;
// a key file is read, so that the check of a configuration finds what is wrong
// with it.
func (a *App) acquireKeys(j config.JWT) (*sharedKeys, error) {
	key, err := json.Marshal([]string{j.Issuer, j.JWKSURL, j.JWKSFile})
	if err != nil {
		return nil, err
	}
	pool := "keys " + string(key)
	v, _, err := shared.LoadOrNew(pool, func() (caddy.Destructor, error) {
		source, err := jwt.NewSource(jwt.SourceOptions{Issuer: j.Issuer, JWKSURL: j.JWKSURL, JWKSFile: j.JWKSFile})
		if err != nil {
			return nil, err
		}
		return &sharedKeys{pool: pool, source: source}, nil
	})
	if err != nil {
		return nil, err
	}
	keys := v.(*sharedKeys)
	if err := keys.source.Load(); err != nil {
		_, _ = shared.Delete(pool) // the error at hand says more
		return nil, err
	}
	keys.source.Observe(a.slogger(""), func(result string) { a.metrics.fetched(j.Name, result) })
	return keys, nil
}

// issuer translates one jwt block.
func (a *App) issuer(j config.JWT) (jwt.Issuer, error) {
	is := jwt.Issuer{
		Name: j.Name, Issuer: j.Issuer, Audiences: j.Audience, Algorithms: j.Algorithms, Types: j.Types,
		Claims: j.Claims, Leeway: time.Duration(j.Leeway),
	}
	if j.Secret != "" {
		is.Secret = []byte(j.Secret)
	}
	if j.Introspection.Asked() {
		in, err := jwt.NewIntrospector(jwt.IntrospectorOptions{
			URL: j.Introspection.URL, ClientID: j.Introspection.ClientID, ClientSecret: string(j.Introspection.ClientSecret),
			Cache:   time.Duration(j.Introspection.Cache),
			OnFetch: func(result string) { a.metrics.fetched(j.Name, result) },
		})
		if err != nil {
			return is, err
		}
		a.introspectors = append(a.introspectors, in)
		is.Introspection = in
	}
	if j.Verifies() && j.Secret == "" {
		keys, err := a.acquireKeys(j)
		if err != nil {
			return is, err
		}
		a.keySets = append(a.keySets, keys)
		is.Keys = keys.source
	}
	return is, nil
}

// loadIssuers prepares the issuers of the configuration, and checks what can be
// checked without the network.
func (a *App) loadIssuers() error {
	for _, j := range a.JWT {
		is, err := a.issuer(j)
		if err != nil {
			return fmt.Errorf("jwt %s: %s", j.Name, strings.TrimPrefix(err.Error(), "jwt: "))
		}
		a.issuers = append(a.issuers, is)
	}
	_, err := a.newVerifier(nil)
	return err
}

// newVerifier makes the verifier of all issuers, or nil when there are none.
func (a *App) newVerifier(r *jwt.Revocations) (*jwt.Verifier, error) {
	if len(a.issuers) == 0 {
		return nil, nil //nolint:nilnil // nil is a site's "no tokens"
	}
	return jwt.New(jwt.Options{Issuers: a.issuers, Revocations: r, Normalize: user.NormalizeName})
}

// startIssuers begins to fetch key sets, so that the first token finds them.
func (a *App) startIssuers() {
	for _, keys := range a.keySets {
		keys.source.Start()
	}
}

func (a *App) releaseIssuers() (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.released = true
	for _, in := range a.introspectors {
		in.Close()
	}
	for _, keys := range a.keySets {
		if _, e := shared.Delete(keys.pool); e != nil {
			err = e
		}
	}
	return err
}
