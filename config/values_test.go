package config

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"25ms": 25 * time.Millisecond, "90s": 90 * time.Second, "1h30m": 90 * time.Minute,
		"30d": 30 * 24 * time.Hour, "1d12h": 36 * time.Hour, "0.5d": 12 * time.Hour, "0d": 0, "0s": 0,
		"-1h": -time.Hour, "-1d12h": -36 * time.Hour, "1us": time.Microsecond,
	} {
		got, err := ParseDuration(text)
		if err != nil || time.Duration(got) != want {
			t.Errorf("%s: %v, %v", text, time.Duration(got), err)
		}
		if again, err := ParseDuration(got.String()); err != nil || again != got {
			t.Errorf("%s prints as %s, which is read as %v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "-", "d", "1", "30", "1h 30m", "h", "1hd", "1d-1h", "--1h", "+1h", "1e9d", "infd", "NaNd", "0x1d",
		"99999999d", "9999999999h", "1d1d", "forever", "1.2.3d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
	for d, want := range map[Duration]string{
		Duration(24 * time.Hour): "1d", Duration(36*time.Hour + 30*time.Minute): "1d12h30m", Duration(10 * time.Minute): "10m",
		Duration(time.Hour + 5*time.Second): "1h0m5s", 0: "0s", Duration(100 * time.Hour): "4d4h", Duration(-time.Hour): "-1h",
	} {
		if d.String() != want {
			t.Errorf("%d prints as %s, not %s", d, d, want)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"19MiB": 19 << 20, "1GiB": 1 << 30, "64KiB": 64 << 10, "5B": 5, "1MB": 1e6, "2KB": 2000, "3GB": 3e9, "0B": 0,
	} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%s prints as %s, which is read as %v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "B", "19", "19M", "19 MiB", "-1MiB", "1.5MiB", "19mib", "99999999999GiB", "0x1KiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
	if s := Size(math.MinInt64).String(); s == "" {
		t.Error("the smallest size prints as nothing")
	}
}

func TestNumbersInJSON(t *testing.T) {
	var v struct {
		D Duration
		S Size
	}
	if err := json.Unmarshal([]byte(`{"D":1500000000,"S":2048}`), &v); err != nil || v.D.String() != "1.5s" || v.S.String() != "2KiB" {
		t.Errorf("%v %v %v", v.D, v.S, err)
	}
	for _, bad := range []string{`{"D":1.5}`, `{"D":null}`, `{"D":true}`, `{"D":[]}`, `{"S":1e300}`, `{"S":null}`, `{"S":{}}`, `{"S":"x"}`} {
		if err := json.Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%s was read as %v, %v", bad, v.D, v.S)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"allow", "deny", "policy", "idle_timeout", "role"}
	for slip, want := range map[string]string{
		"alow": "allow", "dney": "deny", "polcy": "policy", "idletimeout": "idle_timeout", "ROLE": "role", "rule": "role",
		"colour": "", "x": "", "": "", "permit": "",
	} {
		if got := nearest(slip, words); got != want {
			t.Errorf("%q: meant %q, want %q", slip, got, want)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"30d", "1h30m", "1d12h", "-1.5d", "9223372036s", "0.000000001d", "106751d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q is %d and prints as %s, which is %d, %v", s, d, d, again, err)
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"19MiB", "1GB", "9223372036854775807B", "8589934591GiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseSize(s)
		if err != nil {
			return
		}
		if again, err := ParseSize(v.String()); v < 0 || err != nil || again != v {
			t.Errorf("%q is %d and prints as %s, which is %d, %v", s, v, v, again, err)
		}
	})
}
