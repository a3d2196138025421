package jwt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// inBubble runs a test whose clock is that of a synctest bubble: it only goes on
// when everybody waits.
func inBubble(t *testing.T, fn func(t *testing.T, w *bubble)) {
	t.Helper()
	for _, f := range []func(){func() { everyKey() }, func() { otherP256() }} {
		f() // not inside: what is made once for all would belong to one bubble
	}
	synctest.Test(t, func(t *testing.T) {
		w := &bubble{t: t, site: newSite(), log: &lines{}}
		w.site.serve(keysURL, everyKey())
		w.Source = w.source(SourceOptions{Issuer: testIssuer, JWKSURL: keysURL})
		fn(t, w)
	})
}

type bubble struct {
	*Source
	t       *testing.T
	site    *site
	log     *lines
	mu      sync.Mutex
	results []string
}

func (w *bubble) fetched() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.results)
}

func (w *bubble) source(o SourceOptions) *Source {
	w.t.Helper()
	o.Client, o.Logger = w.site.client(), slog.New(slog.NewTextHandler(w.log, nil))
	o.Jitter = func(d time.Duration) time.Duration { return d }
	o.OnFetch = func(result string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.results = append(w.results, result)
	}
	s, err := NewSource(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	return s
}

func (w *bubble) verifier() *Verifier {
	w.t.Helper()
	v, err := New(Options{Issuers: []Issuer{{Name: "corp", Issuer: testIssuer, Audiences: []string{testAudience}, Keys: w.Source}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *bubble) token(kid string, key any) string {
	now := time.Now().Unix()
	return sign("ES256", key, object{"alg": "ES256", "kid": kid, "typ": "at+jwt"}.json(),
		object{"iss": testIssuer, "aud": testAudience, "sub": "u", "exp": now + 3*86400}.json())
}

// lines is a log that tests read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMakingASourceTouchesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *bubble) {
		time.Sleep(time.Hour)
		if n := w.site.count(keysURL); n != 0 {
			t.Errorf("%d fetches", n)
		}
		if err := w.Load(); err != nil || w.site.count(keysURL) != 0 {
			t.Error("Load asked the network", err)
		}
	})
}

func TestRefresh(t *testing.T) {
	t.Run("started: every 15 minutes, used or not", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			w.Start()
			w.Start()
			synctest.Wait()
			if w.site.count(keysURL) != 1 {
				t.Error("not at once")
			}
			time.Sleep(time.Hour + time.Minute)
			if n := w.site.count(keysURL); n != 5 {
				t.Errorf("%d fetches", n)
			}
			if st := w.Status(); st.Keys != 5 || st.Err != nil || time.Since(st.Good) != time.Minute {
				t.Errorf("%+v", st)
			}
		})
	})
	t.Run("not started: while it is used, and no request waits", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			first, err := w.current(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(24 * time.Hour)
			if n := w.site.count(keysURL); n != 1 {
				t.Errorf("%d fetches that nobody needed", n)
			}
			w.site.set(keysURL, func(*http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return reply(200, everyKey()), nil
			})
			before := time.Now()
			for range 100 {
				if set, err := w.current(t.Context()); err != nil || set != first || time.Since(before) != 0 {
					t.Fatal(err, time.Since(before))
				}
			}
			time.Sleep(2 * time.Second)
			if n := w.site.count(keysURL); n != 2 {
				t.Errorf("%d fetches", n)
			}
		})
	})
	t.Run("the same keys are the same set, in whatever order and form", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			a, b := public("a", p256Pair()), public("b", edPair())
			w.site.serve(keysURL, jwks(a, b))
			set, err := w.current(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.site.serve(keysURL, "  "+jwks(b.with("x5t", "y"), a, a, object{"kty": "oct"}))
			w.Start()
			time.Sleep(time.Minute + 15*time.Minute)
			if now, err := w.current(t.Context()); err != nil || now != set || w.site.count(keysURL) != 2 {
				t.Error("another set", err)
			}
			for _, other := range []string{jwks(a), jwks(a, b.with("kid", "c")), jwks(a.with("alg", "ES256"), b), jwks(a, public("b", p256Pair()))} {
				w.site.serve(keysURL, other)
				time.Sleep(15 * time.Minute)
				now, err := w.current(t.Context())
				if err != nil || now == set {
					t.Error("the same set", other, err)
				}
				set = now
			}
		})
	})
}

func TestRotation(t *testing.T) {
	t.Run("a new kid is looked for, and the request waits", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			v := w.verifier()
			if _, err := v.Identify(t.Context(), w.token("ec", p256Pair())); err != nil {
				t.Fatal(err)
			}
			w.site.set(keysURL, func(*http.Request) (*http.Response, error) {
				time.Sleep(3 * time.Second)
				return reply(200, jwks(public("ec", p256Pair()), public("new", otherP256()))), nil
			})
			token := w.token("new", otherP256())
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if _, err := v.Identify(t.Context(), token); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := w.site.count(keysURL); n != 2 {
				t.Errorf("%d fetches", n)
			}
		})
	})
	t.Run("a new key without a kid", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			v := w.verifier()
			w.site.serve(keysURL, jwks(public("", p256Pair())))
			if _, err := v.Identify(t.Context(), w.token("any", p256Pair())); err != nil {
				t.Fatal(err)
			}
			w.site.serve(keysURL, jwks(public("", otherP256())))
			if _, err := v.Identify(t.Context(), w.token("any", otherP256())); err != nil {
				t.Error(err)
			}
			if _, err := v.Identify(t.Context(), w.token("any", p256Pair())); !errors.Is(err, identity.ErrUnknown) {
				t.Error(err)
			}
		})
	})
	t.Run("a fetch that had begun before the rotation is not the last word", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			v := w.verifier()
			old, newer := jwks(public("ec", p256Pair())), jwks(public("new", otherP256()))
			body := old
			w.site.set(keysURL, func(*http.Request) (*http.Response, error) {
				now := body // as the issuer is when it is asked
				time.Sleep(time.Second)
				return reply(200, now), nil
			})
			if _, err := v.Identify(t.Context(), w.token("ec", p256Pair())); err != nil {
				t.Fatal(err)
			}
			time.Sleep(16 * time.Minute)
			if _, err := v.Identify(t.Context(), w.token("ec", p256Pair())); err != nil { // begins a refresh
				t.Fatal(err)
			}
			synctest.Wait()
			body = newer
			if _, err := v.Identify(t.Context(), w.token("new", otherP256())); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("made-up kids: one look in 30 seconds", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			v := w.verifier()
			good := w.token("ec", p256Pair())
			if _, err := v.Identify(t.Context(), good); err != nil {
				t.Fatal(err)
			}
			for n := range 300 {
				if _, err := v.Identify(t.Context(), w.token(fmt.Sprint("made up ", n), otherP256())); !errors.Is(err, identity.ErrUnknown) {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			if n := w.site.count(keysURL); n != 11 {
				t.Errorf("%d fetches in 5 minutes", n)
			}
		})
	})
	t.Run("while it cannot be asked, an unknown kid is not known to be bad", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			v := w.verifier()
			if _, err := v.Identify(t.Context(), w.token("ec", p256Pair())); err != nil {
				t.Fatal(err)
			}
			w.site.down(keysURL)
			for range 3 {
				if _, err := v.Identify(t.Context(), w.token("new", otherP256())); !errors.Is(err, ErrNoKeys) || errors.Is(err, identity.ErrUnknown) {
					t.Error(err)
				}
			}
			w.site.serve(keysURL, jwks(public("new", otherP256())))
			time.Sleep(time.Second) // the first try after a failure
			_, _ = v.Identify(t.Context(), w.token("ec", p256Pair()))
			synctest.Wait()
			if _, err := v.Identify(t.Context(), w.token("new", otherP256())); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a request that waits gives up with its context, and after 5 seconds", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			v := w.verifier()
			if _, err := v.Identify(t.Context(), w.token("ec", p256Pair())); err != nil {
				t.Fatal(err)
			}
			w.site.set(keysURL, hang)
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if _, err := v.Identify(ctx, w.token("new", otherP256())); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, identity.ErrUnknown) || time.Since(begin) != 2*time.Second {
				t.Error(err, time.Since(begin))
			}
			if _, err := v.Identify(t.Context(), w.token("new", otherP256())); !errors.Is(err, ErrNoKeys) || time.Since(begin) > 7*time.Second {
				t.Error(err, time.Since(begin))
			}
		})
	})
}

// hang answers when the asker gives up.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestRotationUnderLoad: an issuer that changes its key every minute, and 8
// callers who always have tokens by the newest one.
func TestRotationUnderLoad(t *testing.T) {
	inBubble(t, func(t *testing.T, w *bubble) {
		v := w.verifier()
		var newest atomic.Int64
		w.site.set(keysURL, func(*http.Request) (*http.Response, error) {
			now := newest.Load()
			time.Sleep(300 * time.Millisecond)
			return reply(200, jwks(public(fmt.Sprint(now-1), p256Pair()), public(fmt.Sprint(now), p256Pair()))), nil
		})
		tokens := make([]string, 11)
		for n := range tokens {
			tokens[n] = w.token(fmt.Sprint(n), p256Pair())
		}
		var all sync.WaitGroup
		var served atomic.Int64
		for range 8 {
			all.Go(func() {
				for newest.Load() < 10 {
					if _, err := v.Identify(t.Context(), tokens[newest.Load()]); err != nil {
						t.Errorf("key %d: %v", newest.Load(), err)
						return
					}
					served.Add(1)
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		for range 10 {
			time.Sleep(time.Minute)
			newest.Add(1)
		}
		all.Wait()
		if served.Load() < 8*10*500 {
			t.Error(served.Load())
		}
		if n := w.site.count(keysURL); n > 12 {
			t.Errorf("%d fetches for 10 rotations", n)
		}
	})
}

func TestIssuerDown(t *testing.T) {
	t.Run("the last good keys count for 24 hours", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			v := w.verifier()
			w.Start()
			token := w.token("ec", p256Pair())
			if _, err := v.Identify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			w.site.down(keysURL)
			for range 24 {
				time.Sleep(time.Hour - time.Second)
				if _, err := v.Identify(t.Context(), token); err != nil {
					t.Fatal(err)
				}
			}
			if st := w.Status(); st.Err == nil || st.Keys != 5 {
				t.Errorf("%+v", st)
			}
			time.Sleep(time.Minute)
			for _, token := range []string{token, w.token("ec", p256Pair()), w.token("x", otherP256())} { // remembered or not
				if _, err := v.Identify(t.Context(), token); !errors.Is(err, ErrNoKeys) || errors.Is(err, identity.ErrUnknown) {
					t.Error(err)
				}
			}
			w.site.serve(keysURL, everyKey())
			time.Sleep(time.Minute)
			if _, err := v.Identify(t.Context(), token); err != nil {
				t.Error("it is back:", err)
			}
			if n := strings.Count(w.log.String(), "level=WARN"); n < 2 || n > 16 {
				t.Errorf("%d lines about one outage:\n%s", n, w.log)
			}
		})
	})
	t.Run("never up: an error, and few fetches however many ask", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			v := w.verifier()
			w.site.down(keysURL)
			for range 600 { // a minute
				for range 5 {
					if _, err := v.Identify(t.Context(), w.token("ec", p256Pair())); !errors.Is(err, ErrNoKeys) || errors.Is(err, identity.ErrUnknown) {
						t.Fatal(err)
					}
				}
				time.Sleep(100 * time.Millisecond)
			}
			// After 0, 1, 3, 7, 15, 31 seconds.
			if n := w.site.count(keysURL); n != 6 {
				t.Errorf("%d fetches in a minute", n)
			}
			w.site.serve(keysURL, everyKey())
			time.Sleep(30 * time.Second)
			if _, err := v.Identify(t.Context(), w.token("ec", p256Pair())); err != nil {
				t.Error("it is up:", err)
			}
		})
	})
	t.Run("down at start, and all requests wait for one answer", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			v := w.verifier()
			w.site.set(keysURL, hang)
			begin := time.Now()
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if _, err := v.Identify(t.Context(), w.token("ec", p256Pair())); !errors.Is(err, ErrNoKeys) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if w.site.count(keysURL) != 1 || time.Since(begin) != patience {
				t.Error(w.site.count(keysURL), time.Since(begin))
			}
		})
	})
}

// TestBadAnswers: each of them leaves the keys as they are.
func TestBadAnswers(t *testing.T) {
	slowly := func(r *http.Request) (*http.Response, error) {
		res := reply(200, "")
		res.Body = io.NopCloser(drip{r.Context()})
		return res, nil
	}
	status := func(code int) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return reply(code, everyKey()), nil }
	}
	body := func(s string) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return reply(200, s), nil }
	}
	for name, c := range map[string]struct {
		page   func(*http.Request) (*http.Response, error)
		result string
	}{
		"no connection":   {func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }, ResultUnreachable},
		"no answer":       {hang, ResultUnreachable},
		"a byte a second": {slowly, ResultUnreachable},
		"huge":            {body(jwks(public("ec", otherP256())) + strings.Repeat(" ", maxAnswer)), ResultInvalid},
		"without end": {func(*http.Request) (*http.Response, error) {
			r := reply(200, "")
			r.Body = io.NopCloser(endless{})
			return r, nil
		}, ResultInvalid},
		"500":              {status(500), ResultRefused},
		"404":              {status(404), ResultRefused},
		"204":              {status(204), ResultRefused},
		"206":              {status(206), ResultRefused},
		"304":              {status(304), ResultRefused},
		"HTML":             {body("<html>"), ResultInvalid},
		"empty":            {body(""), ResultInvalid},
		"no keys":          {body(`{"keys":[]}`), ResultInvalid},
		"keys of no use":   {body(`{"keys":[{"kty":"oct","k":"AA"}]}`), ResultInvalid},
		"an error as JSON": {body(`{"error":"x"}`), ResultInvalid},
		"cut off":          {body(everyKey()[:500]), ResultInvalid},
		"a broken transfer": {func(*http.Request) (*http.Response, error) {
			r := reply(200, "")
			r.Body = io.NopCloser(broken{})
			return r, nil
		}, ResultUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *bubble) {
				set, err := w.current(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				w.site.set(keysURL, c.page)
				w.look()
				for range 10 {
					time.Sleep(time.Second)
					if now, err := w.current(t.Context()); err != nil || now != set {
						t.Fatal(now, err)
					}
				}
				synctest.Wait()
				if got := w.fetched(); len(got) < 2 || got[0] != ResultOK || got[1] != c.result {
					t.Error(got)
				}
				if st := w.Status(); st.Err == nil {
					t.Error("no error")
				}
				w.site.serve(keysURL, everyKey())
				time.Sleep(time.Minute)
				_, _ = w.current(t.Context())
				synctest.Wait()
				if st := w.Status(); st.Err != nil || st.Keys != 5 {
					t.Errorf("it is well again: %+v", st)
				}
			})
		})
	}
}

// drip is a body that comes a byte a second, of a connection that is closed when
// its request is given up.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for n := range p {
		p[n] = ' '
	}
	return len(p), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestSkippedKeysAreToldOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *bubble) {
		w.site.serve(keysURL, jwks(public("ec", p256Pair()), public("old\nline", p256Pair()).with("use", "enc"), public(strings.Repeat("k", 500), p256Pair()).with("crv", "secp256k1")))
		w.Start()
		time.Sleep(3 * time.Hour)
		log := w.log.String()
		if n := strings.Count(log, "is not used"); n != 2 {
			t.Errorf("%d lines:\n%s", n, log)
		}
		if strings.Contains(log, "old\nline") || strings.Contains(log, strings.Repeat("k", 100)) {
			t.Error(log)
		}
		w.site.serve(keysURL, jwks(public("ec", p256Pair()), public("another", p256Pair()).with("use", "enc")))
		time.Sleep(time.Hour)
		if n := strings.Count(w.log.String(), "is not used"); n != 3 {
			t.Errorf("%d lines:\n%s", n, w.log)
		}
	})
}

func TestCloseOfASource(t *testing.T) {
	inBubble(t, func(t *testing.T, w *bubble) {
		v := w.verifier()
		token := w.token("ec", p256Pair())
		if _, err := v.Identify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		w.Start()
		time.Sleep(16 * time.Minute)
		n := w.site.count(keysURL)
		w.site.set(keysURL, hang)
		w.look()
		w.Close() // also while it is being fetched
		w.Close()
		time.Sleep(time.Hour)
		if _, err := v.Identify(t.Context(), token); err != nil {
			t.Error("a request that outlives a reload:", err)
		}
		if _, err := v.Identify(t.Context(), w.token("new", otherP256())); !errors.Is(err, identity.ErrUnknown) {
			t.Error(err)
		}
		w.Start()
		time.Sleep(time.Hour)
		if w.site.count(keysURL) != n+1 {
			t.Error("it goes on fetching")
		}
		if w.Status().Err != nil {
			t.Error("the end was taken for a failure of the issuer")
		}
	})
	inBubble(t, func(t *testing.T, w *bubble) {
		w.Close()
		if _, err := w.verifier().Identify(t.Context(), w.token("ec", p256Pair())); !errors.Is(err, ErrNoKeys) {
			t.Error(err)
		}
	})
}

func TestObserve(t *testing.T) {
	inBubble(t, func(t *testing.T, w *bubble) {
		var later []string
		_, _ = w.current(t.Context())
		log := &lines{}
		w.Observe(slog.New(slog.NewTextHandler(log, nil)), func(r string) { later = append(later, r) })
		w.site.down(keysURL)
		w.look()
		synctest.Wait()
		if len(w.fetched()) != 1 || len(later) != 1 || later[0] != ResultUnreachable || !strings.Contains(log.String(), "last ones are kept") {
			t.Error(w.fetched(), later, log)
		}
		w.Observe(nil, nil)
		time.Sleep(time.Minute)
		_, _ = w.current(t.Context())
		synctest.Wait()
	})
}

func TestKeyFileSource(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("it is read again when it changes, and the last good one is kept", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			path := filepath.Join(t.TempDir(), "keys.pem")
			w.Source = w.source(SourceOptions{Issuer: testIssuer, JWKSFile: path})
			v := w.verifier()
			token, other := w.token("any", p256Pair()), w.token("any", otherP256())
			if _, err := v.Identify(t.Context(), token); !errors.Is(err, ErrNoKeys) {
				t.Error("without a file:", err)
			}
			if err := w.Load(); !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
			write(t, path, pemOf("PUBLIC KEY", spki(p256Pair().Public())))
			if err := w.Load(); err != nil {
				t.Error(err)
			}
			id, err := v.Identify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, jwks(public("any", otherP256())))
			if _, err := v.Identify(t.Context(), other); err != nil {
				t.Error("its key is new:", err)
			}
			if _, err := v.Identify(t.Context(), token); !errors.Is(err, identity.ErrUnknown) {
				t.Error("its key is gone:", err)
			}
			for _, bad := range []string{"", "garbage", pemOf("PRIVATE KEY", []byte("x")), `{"keys":[]}`, strings.Repeat(" ", maxAnswer+1)} {
				write(t, path, bad)
				if err := w.Load(); err == nil || !strings.Contains(err.Error(), path) {
					t.Errorf("%.10q: %v", bad, err)
				}
				time.Sleep(48 * time.Hour)
				if _, err := w.current(t.Context()); err != nil {
					t.Errorf("%.10q: %v", bad, err)
				}
				synctest.Wait()
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if _, err := w.current(t.Context()); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			write(t, path, pemOf("PUBLIC KEY", spki(p256Pair().Public())))
			time.Sleep(time.Minute)
			_, _ = w.current(t.Context())
			synctest.Wait()
			token = w.token("any", p256Pair())
			if again, err := v.Identify(t.Context(), token); err != nil || again == id {
				t.Error(err)
			}
		})
	})
	t.Run("what is no file", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *bubble) {
			for _, path := range []string{t.TempDir(), os.DevNull, filepath.Join(t.TempDir(), "none")} {
				if err := w.source(SourceOptions{Issuer: testIssuer, JWKSFile: path}).Load(); err == nil || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	})
}

func TestSourceOptions(t *testing.T) {
	for name, o := range map[string]SourceOptions{
		"nothing":                   {},
		"no issuer":                 {JWKSURL: keysURL},
		"URL and file":              {Issuer: testIssuer, JWKSURL: keysURL, JWKSFile: "x"},
		"http":                      {Issuer: testIssuer, JWKSURL: "http://id.example.com/keys"},
		"http by discovery":         {Issuer: "http://id.example.com"},
		"no URL":                    {Issuer: "id.example.com"},
		"a file URL":                {Issuer: testIssuer, JWKSURL: "file:///etc/passwd"},
		"a password":                {Issuer: testIssuer, JWKSURL: "https://u:p@id.example.com/keys"},
		"a fragment":                {Issuer: testIssuer, JWKSURL: keysURL + "#x"},
		"an issuer with a query":    {Issuer: testIssuer + "?x"},
		"a host that looks local":   {Issuer: "http://localhost.example.com"},
		"an address that does, too": {Issuer: "http://127.0.0.1.example.com"},
		"no host":                   {Issuer: "https:///path"},
		"control characters":        {Issuer: "https://id.example.com/\n"},
	} {
		if s, err := NewSource(o); err == nil || s != nil {
			t.Errorf("%s was taken", name)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Error(err)
		}
	}
	for _, o := range []SourceOptions{
		{Issuer: testIssuer}, {Issuer: "http://localhost:9000"}, {Issuer: "http://127.0.0.1:9000/x"}, {Issuer: "http://[::1]:9000"},
		{Issuer: "any text", JWKSURL: keysURL}, {Issuer: "any text", JWKSFile: "/nowhere"}, {Issuer: "x", JWKSURL: keysURL + "?a=b"},
	} {
		s, err := NewSource(o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		s.Close()
	}
}

func TestSpread(t *testing.T) {
	for range 1000 {
		if d := spread(time.Minute); d < 54*time.Second || d > 66*time.Second {
			t.Fatal(d)
		}
	}
}
