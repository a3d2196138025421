package caddymodule

import (
	"context"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

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
func (rec *recorder) Decided(_ context.Context, r gateway.Record) {
	method := identity.None
	if r.Identity.Authenticated() {
		method = r.Identity.Method
	}
	rec.app.metrics.decided(string(method), string(r.Verdict), r.Duration)
	entry := rec.log.Check(zapcore.InfoLevel, "decision")
	if entry == nil {
		return
	}
	fields := make([]zap.Field, 0, 14)
	fields = append(fields,
		zap.String("id", r.ID), zap.String("site", r.Site), zap.String("method", r.Method),
		zap.String("path", r.Path), zap.Stringer("client_ip", r.ClientIP),
		zap.String("verdict", string(r.Verdict)), zap.String("policy", rec.pkg),
		zap.String("revision", r.Revision), zap.Duration("duration", r.Duration),
	)
	if r.Identity.Authenticated() {
		fields = append(fields, zap.String("identity", r.Identity.ID), zap.String("identity_method", string(method)))
	}
	if len(r.Reasons) > 0 {
		fields = append(fields, zap.Strings("reasons", r.Reasons))
	}
	if r.Cached {
		fields = append(fields, zap.Bool("remembered", true))
	}
	if len(r.Log) > 0 {
		fields = append(fields, zap.Any("log", r.Log))
	}
	entry.Write(fields...)
}

var _ gateway.Recorder = (*recorder)(nil)
