// Package caddymodule is the glue between Caddy and Gatehouse: the app that owns
// what sites share, the handler of a site, the Caddyfile, the admin API, the
// commands and the metrics. It translates and decides nothing: what is decided
// lives in the packages under internal, which know no Caddy.
package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	// Time zones of the `timezone` option work on machines without tzdata.
	_ "time/tzdata"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/jwt"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/policy"
	"github.com/gatehouse-proxy/gatehouse/policies"
)

func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(AdminAPI{})
}

// App is the Caddy app `gatehouse`: the store, users, sessions, keys, issuers and
// policies that all protected sites share. Its zero configuration works: a bbolt file in
// Caddy's data directory, passwords on, ./policies if there is such a folder.
type App struct {
	config.App

	ctx     caddy.Context
	logger  *zap.Logger
	audit   *audit.Trail
	metrics *metrics
	engine  *policy.Engine
	shared  *sharedStore

	issuers       []jwt.Issuer
	keySets       []*sharedKeys
	introspectors []*jwt.Introspector
	providers     []*oidc.Provider
	portalOrigin  string
	released      bool     // guarded by mu: the key sets were given back
	warned        sync.Map // of warnOnce

	svcMu sync.Mutex
	svc   *services // nil until the store was opened
	stop  context.CancelFunc
	work  sync.WaitGroup
	mu    sync.Mutex
	sites []*Handler
}

// CaddyModule returns the module's registration.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse", New: func() caddy.Module { return new(App) }}
}

// Provision checks the configuration and loads the policies. It opens no store
// and touches no network.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.logger = ctx, ctx.Logger()
	a.audit = audit.New(a.slogger("audit"))
	repl := caddy.NewReplacer()
	err := a.Resolve(func(s string) (string, error) { return repl.ReplaceOrErr(s, true, true) })
	if err != nil {
		return err
	}
	if err := errors.Join(a.Validate(), checkCookieDomain(a.Sessions.CookieDomain)); err != nil {
		return err
	}
	a.App = a.WithDefaults()
	for _, warning := range a.Warnings() {
		a.logger.Warn(warning)
	}
	if a.metrics, err = newMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if a.shared, err = acquireStore(a.Store, a.slogger("")); err != nil {
		return err
	}
	if err := errors.Join(a.loadIssuers(), a.loadProviders(), a.checkPortal()); err != nil {
		return err
	}
	return a.loadPolicies(ctx)
}

func (a *App) loadPolicies(ctx context.Context) error {
	dirs := a.Policies.Dirs
	if len(dirs) == 0 {
		if info, err := os.Stat(defaultPolicyDir); err == nil && info.IsDir() {
			dirs = []string{defaultPolicyDir}
		}
	}
	a.engine = policy.NewEngine(policy.Options{
		Dirs: dirs, Builtin: policies.FS, Budget: time.Duration(a.Policies.Budget),
		Logger: a.slogger(""), OnRevision: a.onRevision,
	})
	if err := a.engine.Load(ctx); err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	return nil
}

// defaultPolicyDir is read when no `policies` option names another.
const defaultPolicyDir = "policies"

func (a *App) onRevision(revision string, err error) {
	a.metrics.revision(revision, err)
	e := audit.Event{Action: audit.PolicyLoaded, Outcome: audit.Success, Actor: audit.Unattended, Subject: revision}
	if err != nil {
		e.Action, e.Outcome, e.Reason = audit.PolicyRefused, audit.Failure, err.Error()
	}
	a.audit.Record(context.Background(), e)
}

// services opens the store on first use: by Start, or by a request that Caddy's
// HTTP app lets in before this app was started. Provision must not, since `caddy
// validate` provisions beside a live server. A failure is not remembered.
func (a *App) services() (*services, error) {
	a.svcMu.Lock()
	defer a.svcMu.Unlock()
	if a.svc != nil {
		return a.svc, nil
	}
	svc, err := newServices(a)
	if err != nil {
		return nil, err
	}
	a.svc = svc
	return svc, nil
}

// Start opens the store and begins the background work.
func (a *App) Start() error {
	if err := a.checkHosts(); err != nil {
		return err
	}
	svc, err := a.services()
	if err != nil {
		return err
	}
	if err := a.engine.Watch(); err != nil {
		return fmt.Errorf("watching the policy folders: %w", err)
	}
	a.warnErrorRoutes()
	a.startIssuers()
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	a.work.Go(func() { a.announceSetup(ctx, svc) })
	a.work.Go(func() { a.countSessions(ctx, svc) })
	a.work.Go(func() { a.announceSites(ctx, svc) })
	for _, p := range a.providers {
		// So that the login page knows from the start who answers.
		a.work.Go(func() { _ = p.Ready(ctx) }) // the provider logs it, and tries again
	}
	a.audit.Record(ctx, audit.Event{
		Action: audit.ConfigLoaded, Outcome: audit.Success, Actor: audit.Unattended,
		Extra: []slog.Attr{slog.String("store", a.storeKind()), slog.Int("gates", len(a.sites)), slog.String("revision", a.engine.Revision())},
	})
	return nil
}

// Stop ends the background work.
func (a *App) Stop() error {
	if a.stop != nil {
		a.stop()
	}
	a.work.Wait()
	return nil
}

// Cleanup frees what Provision and Start took. The store stays open while a
// newer configuration uses the same one.
func (a *App) Cleanup() error {
	var errs []error
	if a.engine != nil {
		a.engine.Close()
	}
	if a.shared != nil {
		a.svcMu.Lock()
		if a.svc != nil {
			a.svc.close()
		}
		a.svcMu.Unlock()
		errs = append(errs, a.shared.release())
	}
	a.releaseProviders()
	errs = append(errs, a.releaseIssuers())
	return errors.Join(errs...)
}

// warnOnce says something about the configuration that several sites may share.
func (a *App) warnOnce(text string) {
	if _, said := a.warned.LoadOrStore(text, true); !said {
		a.logger.Warn(text)
	}
}

// countSessions keeps the sessions gauge about right; exact would cost the hot
// path a write.
func (a *App) countSessions(ctx context.Context, svc *services) {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		if n, err := svc.sessions.Count(ctx); err == nil {
			a.metrics.sessions.Set(float64(n))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// slogger is the logger that the plain packages take, under the contract's
// logger names: gatehouse, gatehouse.audit.
func (a *App) slogger(sub string) *slog.Logger {
	name := "gatehouse"
	if sub != "" {
		name += "." + sub
	}
	return slog.New(zapslog.NewHandler(a.logger.Core(), zapslog.WithName(name), zapslog.AddStacktraceAt(slog.Level(127))))
}

// defaultStoreFile is where state lives when no store is configured.
func defaultStoreFile() string {
	return filepath.Join(caddy.AppDataDir(), "gatehouse", "gatehouse.db")
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
