package session

import (
	"context"
	"time"
)

// touch writes a session's LastSeen in the background, so that a read never
// waits for a disk. It writes by compare-and-swap from exactly what was read:
// a session that was revoked meanwhile is not brought back, and of several
// instances that touch at once one wins. A touch that fails or finds no free
// slot is made up for by the next request.
func (m *Manager) touch(c *copied, seen time.Time) {
	if c.touching.Swap(true) {
		return
	}
	select {
	case m.slots <- struct{}{}:
	default:
		c.touching.Store(false)
		return
	}
	m.mu.Lock()
	closed := m.closed
	if !closed {
		m.touches.Add(1)
	}
	m.mu.Unlock()
	if closed {
		<-m.slots
		return
	}
	go func() {
		defer m.touches.Done()
		defer func() { <-m.slots }()
		m.write(c, seen)
	}()
}

func (m *Manager) write(c *copied, seen time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), touchWithin)
	defer cancel()
	s := c.Session
	s.LastSeen = seen
	ttl := s.Ends().Sub(m.now())
	raw, err := marshal(&s)
	if err == nil && ttl > 0 {
		// Not swapped: ended, or touched by somebody else. Both are well.
		_, err = m.store.Swap(ctx, keyPrefix+c.ID, c.raw, raw, ttl)
	}
	if err != nil {
		c.touching.Store(false)
		m.log.Debug("a session's last-seen time was not written", "session", c.ID, "error", err)
	}
}
