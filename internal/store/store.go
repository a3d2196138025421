// Package store is the small interface behind which all state lives, and the
// words of its contract. Package bolt keeps it in one file for one process,
// package redis in a Redis that several instances share; package storetest is
// the suite that both pass.
//
// Keys are "kind/rest": the kind is a lower-case word and groups what is scanned
// and counted together ("session/…", "user/…"). A key is 1 to MaxKey bytes of
// anything, NUL and invalid UTF-8 included. Values are 0 to MaxValue bytes. What
// goes in and what comes out is copied: neither side may see the other's later
// changes to a slice.
//
// A ttl of 0 keeps a value for ever; a negative ttl is an ErrTTL; one that is no
// whole number of milliseconds is rounded up. An expired value is gone from the
// moment it expires, whether or not it was swept yet.
//
// Errors: not found is a result, never an error. ErrUnavailable wraps every
// fault of the store itself: it is down, slow beyond the deadline, damaged or
// closed; a write that returns it may or may not have happened. A context that
// ends yields its own error (errors.Is context.Canceled or DeadlineExceeded)
// joined with ErrUnavailable. ErrKey, ErrValue and ErrTTL are the caller's
// mistakes and are returned before anything is touched. What was acknowledged
// with a nil error survives a kill of the process at once.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits of what a store takes, in bytes.
const (
	MaxKey   = 1024
	MaxValue = 1 << 20
)

// The errors of every store.
var (
	ErrUnavailable = errors.New("the store is not available")
	ErrKey         = errors.New("bad store key")
	ErrValue       = errors.New("store value too large")
	ErrTTL         = errors.New("bad store ttl")
)

// Entry is one stored pair.
type Entry struct {
	Key     string
	Value   []byte
	Expires time.Time // zero: never
}

// Limit is a rate in the form of the generic cell rate algorithm: Burst at
// once, then one more each Every. One with Burst < 1 or Every < 1 µs allows
// nothing: every Charge under it gets the zero Allowance.
type Limit struct {
	Burst int
	Every time.Duration
}

// Allowance is the answer to a Charge. Its zero value refuses.
type Allowance struct {
	Allowed   bool
	Remaining int           // how many more would be allowed now
	Retry     time.Duration // when refused: how long until this cost fits
	Reset     time.Duration // how long until the full burst is back
}

// Store is where state lives. All methods may be called at the same time from
// any number of goroutines and, on Redis, of processes.
type Store interface {
	// Get returns the value of key; found is false when there is none.
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
	// Put sets key whatever was there before.
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Create sets key only if there is none; one of several callers wins.
	Create(ctx context.Context, key string, value []byte, ttl time.Duration) (created bool, err error)
	// Swap sets key only if it now holds exactly old.
	Swap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (swapped bool, err error)
	// Take removes key and returns what it held; one of several callers gets it.
	Take(ctx context.Context, key string) (value []byte, found bool, err error)
	// Delete removes key; found is false when there was none.
	Delete(ctx context.Context, key string) (found bool, err error)
	// Scan returns, in byte order of their keys, up to limit entries whose key
	// starts with prefix and sorts after the key after ("" from the beginning).
	// The prefix holds at least "kind/". Fewer than limit means the end.
	// Entries written while a scan goes from page to page may or may not show.
	Scan(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
	// Count returns about how many live keys a kind ("session") has; expired
	// ones that were not swept yet may still be counted.
	Count(ctx context.Context, kind string) (int, error)
	// Charge takes cost from the allowance that key has under limit, atomically
	// over all instances. Refused, it takes nothing. A cost of 0 only looks:
	// Allowed and Retry are then what a cost of 1 would meet. A negative one gives
	// back, never beyond the full burst, and is always allowed. A cost above
	// Burst is always refused. Charges live in a space of their own, which Get,
	// Scan and Count do not see.
	Charge(ctx context.Context, key string, limit Limit, cost int) (Allowance, error)

	// Watch has fn called with the key after each change made through Put,
	// Create, Swap, Take or Delete, here or on another instance: for a change
	// made here before the changing call returns, for others as soon as it is
	// heard of. The key "" means that changes may have been missed and all that
	// is remembered must be forgotten. fn may not block or call the store. stop
	// ends it and may be called more than once.
	Watch(fn func(key string)) (stop func())
	// Trust says how long what is read now may be remembered by somebody who
	// watches, counted from before the read was begun: 0 means not at all (the
	// notices of other instances do not arrive now). It is cheap to ask.
	Trust() time.Duration

	// Close ends background work and frees what is held. Calls after it fail
	// with ErrUnavailable.
	Close() error
}

// CheckKey returns an ErrKey that says what is wrong with key, or nil.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: it is empty", ErrKey)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrKey, len(key), MaxKey)
	case strings.IndexByte(key, '/') < 1:
		return fmt.Errorf("%w: it has no kind (write kind/rest)", ErrKey)
	}
	return nil
}

// CheckValue returns an ErrValue that says what is wrong, or nil.
func CheckValue(value []byte) error {
	if len(value) > MaxValue {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrValue, len(value), MaxValue)
	}
	return nil
}

// CheckTTL returns an ErrTTL for a negative ttl, or nil.
func CheckTTL(ttl time.Duration) error {
	if ttl < 0 {
		return fmt.Errorf("%w: %v is negative (0 keeps the value for ever)", ErrTTL, ttl)
	}
	return nil
}

// CheckPut checks what is given to Put, Create and Swap.
func CheckPut(key string, value []byte, ttl time.Duration) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := CheckValue(value); err != nil {
		return err
	}
	return CheckTTL(ttl)
}
