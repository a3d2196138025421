package gateway

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"sync"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
)

// maxHead is the longest response head that a handler may write by itself.
const maxHead = 64 << 10

// headConn is the connection of a handler that hijacked it before any header was
// written, and so writes the response head by itself (as net/http/httputil's
// proxy does when it switches protocols). Heads are cleaned on their way; once
// the final one is out, bytes pass as they come.
type headConn struct {
	net.Conn
	mu   sync.Mutex
	held []byte // the beginning of a head
	done bool
}

var errHead = errors.New("the response head is too long or malformed")

// Write passes p on, or holds it back until the head is complete.
func (c *headConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return c.Conn.Write(p)
	}
	c.held = append(c.held, p...)
	for !c.done {
		end := bytes.Index(c.held, []byte("\r\n\r\n"))
		switch {
		case !couldBeHead(c.held):
			c.done = true // no HTTP: nothing that a browser takes cookies from
		case end < 0 && len(c.held) > maxHead:
			return 0, errHead
		case end < 0:
			return len(p), nil
		default:
			head, err := cleanHead(c.held[:end+4])
			if err != nil {
				return 0, err
			}
			if _, err := c.Conn.Write(head); err != nil {
				return 0, err
			}
			c.done = !informational(c.held)
			c.held = c.held[end+4:]
		}
	}
	rest := c.held
	c.held = nil
	if len(rest) > 0 {
		if _, err := c.Conn.Write(rest); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// CloseWrite ends one direction where the connection underneath can.
func (c *headConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

const headStart = "HTTP/1."

func couldBeHead(b []byte) bool {
	n := min(len(b), len(headStart))
	return string(b[:n]) == headStart[:n]
}

// informational reports whether the head b is a 1xx that another one follows.
func informational(b []byte) bool {
	const status = len(headStart) + 2 // "HTTP/1.1 103"
	return len(b) > status+2 && b[status] == '1' && string(b[status:status+3]) != "101"
}

// cleanHead drops the header lines that may not go out, and leaves all other
// bytes as they are. A folded line (RFC 9112 section 5.2) could hide one from
// us, so it is an error.
func cleanHead(head []byte) ([]byte, error) {
	out := make([]byte, 0, len(head))
	for i, line := range bytes.SplitAfter(head, []byte("\r\n")) {
		if len(line) > 2 && (line[0] == ' ' || line[0] == '\t' || bytes.IndexByte(line[:len(line)-2], '\n') >= 0) {
			return nil, errHead
		}
		if i == 0 || len(line) <= 2 {
			out = append(out, line...)
			continue
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return nil, errHead
		}
		key := textproto.TrimString(string(name))
		was := textproto.TrimString(string(value))
		h := http.Header{key: {was}}
		cookie.FilterResponse(h)
		switch now := h[key]; {
		case len(now) == 0:
		case now[0] == was:
			out = append(out, line...)
		default:
			out = append(out, key+": "+now[0]+"\r\n"...)
		}
	}
	return out, nil
}
