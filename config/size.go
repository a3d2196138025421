package config

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. Its text is "64KiB", "19MiB", "1GiB", or "KB",
// "MB", "GB" for powers of 1000; in JSON, a string of that form or a number of
// bytes.
type Size int64

// Units of Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

// units from the one to try first when reading; "B" ends all the others.
var units = []struct {
	name  string
	bytes Size
}{{"KiB", KiB}, {"MiB", MiB}, {"GiB", GiB}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

// ParseSize reads a whole number and a unit.
func ParseSize(s string) (Size, error) {
	for _, u := range units {
		number, found := strings.CutSuffix(s, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil || Size(n) > math.MaxInt64/u.bytes {
			break
		}
		return Size(n) * u.bytes, nil
	}
	return 0, fmt.Errorf("%q is not a size: write a whole number and a unit (KiB, MiB, GiB), such as 19MiB", s)
}

// String returns the shortest exact form: "19MiB", "1000B".
func (s Size) String() string {
	for _, u := range []int{2, 1, 0} {
		if unit := units[u]; s != 0 && s%unit.bytes == 0 {
			return strconv.FormatInt(int64(s/unit.bytes), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalJSON writes the text of the size.
func (s Size) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads the text of a size or a number of bytes.
func (s *Size) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil && len(b) > 0 && b[0] == '"' {
		v, err := ParseSize(text)
		if err != nil {
			return err
		}
		*s = v
		return nil
	}
	var n int64
	if err := json.Unmarshal(b, &n); err != nil || string(b) == "null" {
		return fmt.Errorf("%.40s is not a size: write a string such as \"19MiB\" or a number of bytes", b)
	}
	*s = Size(n)
	return nil
}
