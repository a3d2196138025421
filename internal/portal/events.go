package portal

import "github.com/gatehouse-proxy/gatehouse/internal/audit"

// record writes an audit event, with where it came from. An event with a reason
// is a failure.
func (p *Portal) record(v *visit, e audit.Event) {
	e.Outcome = audit.Success
	if e.Reason != "" {
		e.Outcome = audit.Failure
	}
	e.Site, e.RequestID = v.Site, v.RequestID
	if v.ClientIP.IsValid() {
		e.ClientIP = v.ClientIP.String()
	}
	p.o.Audit.Record(v.r.Context(), e)
}
