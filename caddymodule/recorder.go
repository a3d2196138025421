package caddymodule

import (
	"context"
	"log/slog"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/gateway"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// recorder writes the decision log, one line a request, and counts.
type recorder struct {
	app *App
	log *zap.Logger
	pkg string
}

// Decided records what became of a request. Nothing in it is a secret: the
// query is left out, since people put tokens there.
func (rec *recorder) Decided(ctx context.Context, r gateway.Record) {
	// Also for what is refused: the access log shall say who was.
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(placeholders(r.Identity, r.ID))
	}
	method := identity.None
	if r.Identity.Authenticated() {
		method = r.Identity.Method
	}
	rec.app.metrics.decided(method, r.Verdict, r.Duration)
	if r.Verdict == gateway.BadCredential {
		rec.refused(ctx, &r)
	}
	entry := rec.log.Check(zapcore.InfoLevel, "decision")
	if entry == nil {
		return
	}
	l := logLines.Get().(*line)
	*l = line{Record: r, method: method, pkg: rec.pkg}
	entry.Write(zap.Inline(l))
	*l = line{}
	logLines.Put(l)
}

// refused leaves the fact of a bad credential in the audit trail, with what is
// wrong with it, which its sender is not told.
func (rec *recorder) refused(ctx context.Context, r *gateway.Record) {
	e := audit.Event{
		Action: audit.CredentialRefused, Outcome: audit.Failure, Site: r.Site, RequestID: r.ID, ClientIP: r.ClientIP.String(),
	}
	if r.Refusal != nil {
		e.Subject, e.Reason = r.Refusal.Who, r.Refusal.Reason
	}
	if r.Tried != "" {
		e.Extra = []slog.Attr{slog.String("method", string(r.Tried))}
	}
	rec.app.audit.Record(ctx, e)
}

// line is a record as the decision log writes it. It writes itself, field by
// field: a list of fields made for each request would cost more than the rest of
// the gate.
type line struct {
	gateway.Record
	method identity.Method
	pkg    string
}

var logLines = sync.Pool{New: func() any { return new(line) }}

// MarshalLogObject adds the fields; what is empty is left out.
func (l *line) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("id", l.ID)
	enc.AddString("site", l.Site)
	enc.AddString("method", l.Method)
	enc.AddString("path", l.Path)
	enc.AddString("client_ip", l.ClientIP.String())
	enc.AddString("verdict", string(l.Verdict))
	enc.AddString("policy", l.pkg)
	enc.AddString("revision", l.Revision)
	enc.AddDuration("duration", l.Duration)
	if l.Identity.Authenticated() {
		// Who comes with a token or an unbound certificate has no record here.
		if l.Identity.ID != "" {
			enc.AddString("identity", l.Identity.ID)
		} else {
			enc.AddString("identity", l.Identity.Provider+":"+audit.Clean(l.Identity.Subject))
		}
		enc.AddString("identity_method", string(l.method))
		if l.Identity.Credential != "" {
			enc.AddString("credential_id", audit.Clean(l.Identity.Credential))
		}
	}
	if l.Cached {
		enc.AddBool("remembered", true)
	}
	if len(l.Reasons) > 0 {
		zap.Strings("reasons", l.Reasons).AddTo(enc)
	}
	if len(l.Log) > 0 {
		zap.Any("log", l.Log).AddTo(enc)
	}
	return nil
}

var _ gateway.Recorder = (*recorder)(nil)
