package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
)

// response stands between the app and the client: the app can neither set nor
// clear our cookies, and what it says to somebody who is signed in stays out of
// shared caches unless the app says otherwise. It is not pooled: a handler may
// hold on to it after it has returned.
type response struct {
	http.ResponseWriter
	private bool        // the caller is signed in
	clear   *cookie.Jar // take the session cookie from the browser; nil: do not
	wrote   bool        // the final header is out
	open    bool        // another one further in guards the answer
	pass    *Pass       // to be watched if the answer is a stream; nil: no need
	ended   atomic.Bool // the login behind it has: nothing more goes out

	mu     sync.Mutex
	conn   net.Conn // after Hijack
	closed bool     // the connection is to be closed at once
	left   bool     // the handler is done: the server's writer may not be touched
}

// WriteHeader cleans the header and sends it. Informational responses (1xx) are
// cleaned as well; 101 is the last word of HTTP on its connection.
func (w *response) WriteHeader(status int) {
	if !w.wrote {
		w.clean(status)
		w.wrote = status >= 200 || status == http.StatusSwitchingProtocols
		if w.wrote && w.pass != nil && streams(w.ResponseWriter.Header()) {
			w.pass.watchLate()
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) clean(status int) {
	if w.open {
		return
	}
	h := w.ResponseWriter.Header()
	cookie.FilterResponse(h)
	if status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	if w.clear != nil {
		w.clear.Clear(w.ResponseWriter, w.clear.Session())
	}
	if w.private && status >= 200 && len(h["Cache-Control"]) == 0 {
		h["Cache-Control"] = []string{"private"}
	}
}

// finish cleans what was put into the header map and not sent through us: the
// header that net/http writes for a handler that wrote nothing, and trailers.
func (w *response) finish() {
	if w.open {
		return
	}
	if !w.wrote {
		w.wrote = true
		w.clean(http.StatusOK)
		return
	}
	cookie.FilterResponse(w.ResponseWriter.Header())
	// A writer around this one (compression) may not have sent the header yet:
	// our own clearing cookie must still be in it.
	if w.clear != nil {
		w.clear.Clear(w.ResponseWriter, w.clear.Session())
	}
}

func (w *response) begin() {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
}

// Write sends part of the body.
func (w *response) Write(p []byte) (int, error) {
	w.begin()
	if w.ended.Load() {
		return 0, errEnded
	}
	return w.ResponseWriter.Write(p)
}

// WriteString is Write without a copy where the server has one.
func (w *response) WriteString(s string) (int, error) {
	w.begin()
	if w.ended.Load() {
		return 0, errEnded
	}
	return io.WriteString(w.ResponseWriter, s)
}

// ReadFrom lets the server use sendfile or splice.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	w.begin()
	if w.pass != nil && w.pass.live != nil { // Write sees the end of the login
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, r)
}

// Flush sends what is buffered.
func (w *response) Flush() { _ = w.FlushError() } // http.Flusher cannot say that it failed

// FlushError sends what is buffered and says whether that worked.
func (w *response) FlushError() error {
	w.begin()
	if w.ended.Load() {
		return errEnded
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Push starts an HTTP/2 push.
func (w *response) Push(target string, o *http.PushOptions) error {
	if p, ok := w.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, o)
	}
	return http.ErrNotSupported
}

// Hijack hands over the connection and remembers it, so that the end of the
// session ends it.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = conn
	if !w.wrote && !w.open { // the handler will write the response head by itself
		w.wrote = true
		conn = &headConn{Conn: conn}
		rw.Writer.Reset(conn)
	}
	if w.closed {
		_ = conn.Close() // its reader is told by the closed connection
	}
	return conn, rw, nil
}

// cut closes the connection that was or will be handed over, and sends no more
// of the answer on one that was not.
func (w *response) cut() {
	w.ended.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.conn != nil {
		_ = w.conn.Close() // its reader is told by the closed connection
		return
	}
	if w.left {
		return
	}
	// The server ends a request whose connection (HTTP/1.1) or stream (HTTP/2)
	// is out of time; where it cannot, the next Write does. Only its own writer may
	// be told by another goroutine than the handler's: Caddy's around it keep their
	// deadlines without a lock.
	past, control := time.Unix(1, 0), http.NewResponseController(innermost(w.ResponseWriter))
	_ = control.SetReadDeadline(past)
	_ = control.SetWriteDeadline(past)
}

// innermost is the writer of the server, under all that is around it.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok || outer.Unwrap() == nil {
			return w
		}
		w = outer.Unwrap()
	}
}

// leave keeps a late cut from what the server may have given to another request.
func (w *response) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = true
}

// Unwrap is for http.ResponseController: deadlines, full duplex.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var (
	_ http.Flusher  = (*response)(nil)
	_ http.Hijacker = (*response)(nil)
	_ http.Pusher   = (*response)(nil)
	_ io.ReaderFrom = (*response)(nil)
)
