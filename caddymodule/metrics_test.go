package caddymodule

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// What a metric says of itself is what it measures: decided gets the time since
// the request arrived.
func TestMetricsSayWhatTheyAre(t *testing.T) {
	registry := prometheus.NewRegistry()
	if _, err := newMetrics(registry); err != nil {
		t.Fatal(err)
	}
	if _, err := newMetrics(registry); err != nil { // as a second site of one configuration would
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	help := map[string]string{}
	for _, f := range families {
		help[f.GetName()] = f.GetHelp()
	}
	const name = "caddy_gatehouse_decision_duration_seconds"
	if got, want := help[name], "Time from the arrival of a request to its verdict."; got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}
