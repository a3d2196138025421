package test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestTraces looks for our spans where Caddy's tracing directive sends its own.
func TestTraces(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50") // ms
	s := newServer(t, "", "tracing {\n span site\n }\n gatehouse").start()
	s.addUser("alice")
	v := newVisitor(t)
	v.login(s, "alice")
	v.get(s.url("/x")).echo(t)
	for _, name := range []string{"gatehouse.authenticate", "gatehouse.decide", "gatehouse.store"} {
		eventually(t, 10*time.Second, "a span "+name+" within that of its request", func() bool {
			spans := s.spans()
			for _, one := range spans {
				if one.Name != name {
					continue
				}
				top := one
				for above, ok := spans[top.Parent.SpanID]; ok; above, ok = spans[top.Parent.SpanID] {
					top = above
				}
				if top.Name == "site" && top.SpanContext.TraceID == one.SpanContext.TraceID {
					return true
				}
			}
			return false
		})
	}
}

// span is one as OpenTelemetry's console exporter writes it.
type span struct {
	Name        string
	SpanContext struct{ TraceID, SpanID string }
	Parent      struct{ SpanID string }
}

// spans are those in the log, by their id.
func (s *server) spans() map[string]span {
	found := map[string]span{}
	for line := range strings.Lines(s.log.String()) {
		var one span
		if json.Unmarshal([]byte(line), &one) == nil && one.SpanContext.SpanID != "" {
			found[one.SpanContext.SpanID] = one
		}
	}
	return found
}
