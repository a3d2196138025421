package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-proxy/gatehouse/internal/gateway"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// metrics are the contract's metrics. Every label has a closed set of values:
// none ever holds what a stranger sent.
type metrics struct {
	byResult    map[requestLabels]prometheus.Counter
	decisions   prometheus.Histogram
	logins      *prometheus.CounterVec
	sessions    prometheus.Gauge
	storeErrors *prometheus.CounterVec
	revisions   *prometheus.GaugeVec
	reloads     *prometheus.CounterVec
	limited     *prometheus.CounterVec
	fetches     *prometheus.CounterVec
}

// newMetrics registers the metrics with Caddy's registry, or takes those that
// are there already.
func newMetrics(registry *prometheus.Registry) (*metrics, error) {
	r := registrar{registry: registry}
	m := &metrics{
		byResult: allResults(register(&r, prometheus.NewCounterVec(opts("requests_total",
			"Requests by the method of the identity and the result."), []string{"method", "result"}))),
		decisions: register(&r, prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "caddy", Subsystem: "gatehouse", Name: "decision_duration_seconds",
			Help:    "Time from the arrival of a request to its verdict.",
			Buckets: []float64{1e-6, 5e-6, 2.5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1},
		})),
		logins: register(&r, prometheus.NewCounterVec(opts("login_total",
			"Logins by method and result."), []string{"method", "result"})),
		sessions: register(&r, prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "caddy", Subsystem: "gatehouse", Name: "sessions",
			Help: "Sessions in the store, counted four times a minute.",
		})),
		storeErrors: register(&r, prometheus.NewCounterVec(opts("store_errors_total",
			"Operations that the store could not do."), []string{"op"})),
		revisions: register(&r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "caddy", Subsystem: "gatehouse", Name: "policy_revision_info",
			Help: "1 for the policy revision in force.",
		}, []string{"revision"})),
		reloads: register(&r, prometheus.NewCounterVec(opts("policy_loads_total",
			"Policy sets read, by whether they were taken or refused."), []string{"result"})),
		limited: register(&r, prometheus.NewCounterVec(opts("ratelimited_total",
			"Requests refused for their number."), []string{"kind"})),
		fetches: register(&r, prometheus.NewCounterVec(opts("jwks_fetch_total",
			"Questions to issuers, for their keys or about opaque tokens, by result."), []string{"issuer", "result"})),
	}
	return m, r.err
}

func opts(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: "caddy", Subsystem: "gatehouse", Name: name, Help: help}
}

// registrar keeps the first error, so that the list above reads as a list.
type registrar struct {
	registry *prometheus.Registry
	err      error
}

func register[C prometheus.Collector](r *registrar, c C) C {
	err := r.registry.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if same, ok := there.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	return c
}

func (m *metrics) storeError(op string, err error) {
	if err != nil && errors.Is(err, store.ErrUnavailable) {
		m.storeErrors.WithLabelValues(op).Inc()
	}
}

// revision shows the one revision in force.
func (m *metrics) revision(revision string, err error) {
	if err != nil {
		m.reloads.WithLabelValues("refused").Inc()
		return
	}
	m.reloads.WithLabelValues("loaded").Inc()
	m.revisions.Reset()
	m.revisions.WithLabelValues(revision).Set(1)
}

// login counts one login; result is "success", "wrong", "throttled", "busy" or
// "error".
func (m *metrics) login(method, result string) {
	m.logins.WithLabelValues(method, result).Inc()
	if result == "throttled" {
		m.limited.WithLabelValues("login").Inc()
	}
}

// decided counts one request at a gate.
func (m *metrics) decided(method identity.Method, result gateway.Verdict, took time.Duration) {
	if c, ok := m.byResult[requestLabels{method, result}]; ok {
		c.Inc()
	}
	m.decisions.Observe(took.Seconds())
	if result == gateway.Throttled {
		m.limited.WithLabelValues("key").Inc()
	}
}

// fetched counts one question to an issuer, by the name that the configuration
// gives it.
func (m *metrics) fetched(issuer, result string) {
	m.fetches.WithLabelValues(issuer, result).Inc()
}

type requestLabels struct {
	method identity.Method
	result gateway.Verdict
}

// allResults are the counters of every pair of labels, found once: the closed
// set shows in the metrics from the start, and no request looks labels up.
func allResults(requests *prometheus.CounterVec) map[requestLabels]prometheus.Counter {
	all := map[requestLabels]prometheus.Counter{}
	for _, method := range []identity.Method{identity.None, identity.Session, identity.Key, identity.JWT, identity.Certificate} {
		for _, result := range []gateway.Verdict{
			gateway.Allow, gateway.Deny, gateway.Login, gateway.StepUp, gateway.BadCredential,
			gateway.BadRequest, gateway.Fault, gateway.Throttled,
		} {
			all[requestLabels{method, result}] = requests.WithLabelValues(string(method), string(result))
		}
	}
	return all
}

var nothing = func() {}

// span adds a span to the request's trace when Caddy's tracing records one, and
// costs next to nothing when it does not.
func span(ctx context.Context, name string) (context.Context, func()) {
	around := trace.SpanFromContext(ctx)
	if !around.IsRecording() {
		return ctx, nothing
	}
	// The provider is that of the span around: Caddy keeps its own, and leaves
	// OpenTelemetry's global one unset.
	ctx, s := around.TracerProvider().Tracer("gatehouse").Start(ctx, name)
	return ctx, func() { s.End() }
}
