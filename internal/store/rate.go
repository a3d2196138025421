package store

import "time"

// longestWindow bounds Burst × Every, in µs (about 142 years), so that sums
// with a Unix time in µs stay exact in the 53 bits of a Lua number.
const longestWindow = 1 << 52

// Rate is the arithmetic of Charge, in whole microseconds, for those who
// implement a store: a Limit with the cost of one charge. What a store keeps of
// a key is one number, the time at which its full burst is back (the
// "theoretical arrival time" of the algorithm).
type Rate struct {
	Every  int64 // µs until one more is allowed, at least 1
	Window int64 // Every × Burst
	Cost   int64 // -Burst to Burst+1; above Burst it never fits
}

// NewRate returns false when l allows nothing. A limit over more than 142 years
// is cut to that.
func NewRate(l Limit, cost int) (Rate, bool) {
	every := l.Every.Microseconds()
	if l.Burst < 1 || every < 1 {
		return Rate{}, false
	}
	every = min(every, longestWindow)
	burst := min(int64(l.Burst), longestWindow/every)
	return Rate{
		Every:  every,
		Window: every * burst,
		Cost:   max(-burst, min(int64(cost), burst+1)),
	}, true
}

// Charge takes from a key whose full burst will be back after ahead µs, and
// says after how many it is back then. An ahead outside 0 to Window, from a
// clock that was set or a limit that was changed, is brought back into it.
func (r Rate) Charge(ahead int64) (after int64, allowed bool) {
	ahead = max(0, min(ahead, r.Window))
	after = max(0, ahead+r.Cost*r.Every)
	switch {
	case r.Cost < 0:
		return after, true
	case r.Cost == 0:
		return ahead, ahead+r.Every <= r.Window
	case after <= r.Window:
		return after, true
	}
	return ahead, false
}

// Allowance is the answer to a charge that Charge, or its like in another
// language, has decided.
func (r Rate) Allowance(ahead int64, allowed bool) Allowance {
	a := Allowance{
		Allowed:   allowed,
		Remaining: int((r.Window - ahead) / r.Every),
		Reset:     micros(ahead),
	}
	if !allowed {
		wait := ahead + max(r.Cost, 1)*r.Every - r.Window
		if r.Cost*r.Every > r.Window { // never fits; say something that is no invitation to hurry
			wait = max(ahead, r.Every)
		}
		a.Retry = micros(wait)
	}
	return a
}

func micros(n int64) time.Duration {
	return time.Duration(min(n, int64(1<<63-1)/1000)) * time.Microsecond
}
