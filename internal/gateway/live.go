package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// errEnded is the cause with which the context of a live request is cancelled.
var errEnded = errors.New("the login behind this connection has ended")

// aliveTimeout bounds one question about a login.
const aliveTimeout = 5 * time.Second

// longLived reports whether the answer to r may go on for long after it was
// decided: an upgrade (WebSocket), also as extended CONNECT (RFC 8441), or an
// event stream.
func longLived(r *http.Request) bool {
	if len(r.Header["Upgrade"]) > 0 || r.Method == http.MethodConnect {
		return true
	}
	accept := r.Header["Accept"]
	return len(accept) > 0 && strings.Contains(accept[0], "text/event-stream")
}

// streams reports whether an answer goes on for as long as its reader likes. A
// client need not have said that it wants one, and one that shuns the watch will
// not.
func streams(h http.Header) bool {
	kind := h["Content-Type"]
	if len(kind) == 0 {
		return false
	}
	media, _, _ := strings.Cut(kind[0], ";")
	switch media = strings.ToLower(strings.TrimSpace(media)); media {
	case "text/event-stream", "multipart/x-mixed-replace", "application/x-ndjson", "application/stream+json":
		return true
	}
	return strings.HasPrefix(media, "application/grpc")
}

// watchLate is watch for an answer that shows only now that it is a stream. The
// request's context is the app's already, so the response alone can end it.
func (p *Pass) watchLate() {
	ctx, cancel := context.WithCancelCause(p.Request.Context())
	p.live = &live{gate: p.gate, identity: p.Identity, id: p.ID, response: &p.response, cancel: cancel, done: make(chan struct{})}
	go p.live.run(ctx)
}

// live watches over one open connection.
type live struct {
	gate     *Gate
	identity *identity.Identity
	id       string
	response *response
	cancel   context.CancelCauseFunc
	done     chan struct{}
	once     sync.Once
}

// watch gives the pass a context that ends with the login behind it. Caddy's
// reverse_proxy then closes the upgraded connection to the app and with it the
// client's; handlers that hijacked without looking at the context lose their
// connection all the same.
func (g *Gate) watch(p *Pass) *live {
	ctx, cancel := context.WithCancelCause(p.Request.Context())
	p.Request = p.Request.WithContext(ctx)
	l := &live{gate: g, identity: p.Identity, id: p.ID, response: &p.response, cancel: cancel, done: make(chan struct{})}
	go l.run(ctx)
	return l
}

// run asks until the login has ended, cannot be asked about for longer than the
// grace, or the request is over.
func (l *live) run(ctx context.Context) {
	tick := time.NewTicker(l.gate.o.LiveEvery)
	defer tick.Stop()
	if !l.outlived(ctx, tick.C) {
		return
	}
	l.cancel(errEnded)
	for {
		l.response.cut()
		select {
		case <-l.done:
			return
		case <-tick.C: // a flush that was under way may have put the deadline off again
		}
	}
}

// outlived waits until the login has ended, and reports false when the request has
// before.
func (l *live) outlived(ctx context.Context, tick <-chan time.Time) bool {
	known := time.Now() // monotonic: the wall clock may jump
	for {
		select {
		case <-l.done:
			return false
		case <-ctx.Done():
			return false
		case <-tick:
		}
		alive, err := l.ask(ctx)
		switch {
		case err == nil && alive:
			known = time.Now()
			continue
		case err != nil && time.Since(known) < l.gate.o.LiveGrace:
			continue // a short fault of the store costs nobody the connection
		case err != nil && ctx.Err() == nil:
			l.gate.o.Logger.WarnContext(ctx, "an open connection was cut: its login could not be checked",
				"request_id", l.id, "error", err)
		}
		return true
	}
}

func (l *live) ask(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	return l.gate.o.Alive(ctx, l.identity)
}

// stop ends the watch.
func (l *live) stop() {
	l.once.Do(func() {
		close(l.done)
		l.cancel(context.Canceled)
	})
}
