package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time. Its text is Caddy's: "25ms", "1h30m", "30d",
// "1d12h"; in JSON, a string of that form or a number of nanoseconds.
type Duration time.Duration

const day = 24 * time.Hour

// ParseDuration reads a duration as Caddy writes it: like time.ParseDuration,
// with "d" for days of 24 hours in front.
func ParseDuration(s string) (Duration, error) {
	if len(s) > 64 {
		return 0, errors.New("it is too long to be a duration")
	}
	bad := fmt.Errorf("%q is not a duration: write a number and a unit (ms, s, m, h, d), such as 90s, 1h30m or 30d", s)
	text := strings.TrimPrefix(s, "-")
	var days time.Duration
	if number, rest, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || !plainNumber(number) || n*float64(day) >= math.MaxInt64/2 {
			return 0, bad
		}
		days, text = time.Duration(n*float64(day)), rest
	}
	var clock time.Duration
	if text != "" || days == 0 {
		var err error
		if clock, err = time.ParseDuration(text); (err != nil && text != "") || strings.ContainsAny(text, "+-") || clock > math.MaxInt64/2 {
			return 0, bad
		}
		if text == "" && !strings.Contains(s, "d") {
			return 0, bad
		}
	}
	d := Duration(days + clock)
	if strings.HasPrefix(s, "-") {
		d = -d
	}
	return d, nil
}

// plainNumber refuses what ParseFloat takes beside digits: "inf", "0x1p3", "1e9".
func plainNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789.") == ""
}

// String returns the shortest exact form: "30d", "1h30m", "25ms".
func (d Duration) String() string {
	t := time.Duration(d)
	if t < 0 && t != math.MinInt64 {
		return "-" + (-d).String()
	}
	if t < day {
		return trimZero(t.String())
	}
	days := strconv.FormatInt(int64(t/day), 10) + "d"
	if t%day == 0 {
		return days
	}
	return days + trimZero((t % day).String())
}

// trimZero turns "1h0m0s" into "1h".
func trimZero(s string) string {
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalJSON writes the text of the duration.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads the text of a duration or a number of nanoseconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil && len(b) > 0 && b[0] == '"' {
		v, err := ParseDuration(s)
		if err != nil {
			return err
		}
		*d = v
		return nil
	}
	var n int64
	if err := json.Unmarshal(b, &n); err != nil || string(b) == "null" {
		return fmt.Errorf("%.40s is not a duration: write a string such as \"1h30m\" or a number of nanoseconds", b)
	}
	*d = Duration(n)
	return nil
}
