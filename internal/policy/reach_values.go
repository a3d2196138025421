package policy

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// These write values so that they cannot run into each other: what has a length
// says so first.

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendString(dst, s)
	}
	return dst
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// appendTime adds a time in whole seconds, as the input has it. The zero time,
// which is absent there, is like no other.
func appendTime(dst []byte, t time.Time) []byte {
	return binary.AppendVarint(appendBool(dst, t.IsZero()), t.Unix())
}

func appendAddr(dst []byte, addr netip.Addr) []byte {
	bytes := addr.As16()
	dst = append(append(dst, byte(addr.BitLen())), bytes[:]...)
	return appendString(dst, addr.Zone())
}

// appendNamed adds one list of a map, or with no name all of it.
func appendNamed(dst []byte, name string, lists map[string][]string) []byte {
	if name != "" {
		list, present := lists[name]
		return appendStrings(appendBool(dst, present), list)
	}
	dst = binary.AppendUvarint(dst, uint64(len(lists)))
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		dst = appendStrings(appendString(dst, name), lists[name])
	}
	return dst
}

// appendHeaders is appendNamed for headers. A policy sees names in lower case,
// so another spelling of a name than the one looked up would be missed here;
// net/http makes none, but a handler before us might.
func appendHeaders(dst []byte, name string, headers map[string][]string) ([]byte, bool) {
	if name != "" {
		for other := range headers {
			if other != name && strings.EqualFold(other, name) {
				return dst, false
			}
		}
	}
	return appendNamed(dst, name, headers), true
}

func appendClaims(dst []byte, name string, claims map[string]any) ([]byte, bool) {
	if name == "" {
		if len(claims) == 0 {
			return append(dst, 0), true
		}
		return appendValue(dst, claims, 0)
	}
	claim, present := claims[name]
	if !present {
		return append(dst, 0), true
	}
	return appendValue(dst, claim, 0)
}

// appendValue adds a value as decoded from JSON, each kind under its own letter:
// 1, "1" and [1] differ. Numbers are told apart by their spelling, which is finer
// than the policy does and so does no harm. It reports false for a value of a
// type or a depth that JSON decoding does not yield.
func appendValue(dst []byte, v any, depth int) ([]byte, bool) {
	if depth > 32 || len(dst) > 2*maxKeyBytes {
		return dst, false
	}
	ok := true
	switch v := v.(type) {
	case nil:
		dst = append(dst, 'z')
	case bool:
		dst = appendBool(append(dst, 'b'), v)
	case string:
		dst = appendString(append(dst, 's'), v)
	case json.Number:
		dst = appendString(append(dst, 'n'), string(v))
	case float64:
		dst = binary.BigEndian.AppendUint64(append(dst, 'f'), math.Float64bits(v))
	case int:
		dst = binary.AppendVarint(append(dst, 'i'), int64(v))
	case int64:
		dst = binary.AppendVarint(append(dst, 'i'), v)
	case []string:
		dst = appendStrings(append(dst, 'l'), v)
	case []any:
		dst = binary.AppendUvarint(append(dst, 'a'), uint64(len(v)))
		for _, item := range v {
			if dst, ok = appendValue(dst, item, depth+1); !ok {
				return dst, false
			}
		}
	case map[string]any:
		dst = binary.AppendUvarint(append(dst, 'o'), uint64(len(v)))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if dst, ok = appendValue(appendString(dst, name), v[name], depth+1); !ok {
				return dst, false
			}
		}
	default:
		return dst, false
	}
	return dst, ok
}
