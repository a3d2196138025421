package oidc

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

const discovery = ".well-known/openid-configuration"

// bubble is a world on the time of synctest.
func bubble(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	return newWorld(t, append(change, func(o *Options) { o.Clock = time.Now })...)
}

func (w *world) down() {
	w.knob(func(k *optest.Knobs) { k.Broken = map[string]http.HandlerFunc{discovery: status(503)} })
}

func TestProviderThatIsDownAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		w.down()
		if ready, err := w.Status(); ready || err != nil {
			t.Error("before the first answer:", ready, err)
		}
		synctest.Wait()
		if ready, err := w.Status(); ready || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "status 503") {
			t.Error(ready, err)
		}
		// While it is down few questions are asked, and nobody waits.
		for range 1000 {
			if err := w.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
		}
		if n := len(w.op.Asked(discovery)); n != 1 {
			t.Errorf("asked %d times", n)
		}
		began := time.Now()
		for time.Since(began) < 5*time.Minute {
			time.Sleep(100 * time.Millisecond)
			_, _ = w.Status()
			synctest.Wait()
		}
		// 1 s, 2, 4, 8, 16, then every 30 s.
		if n := len(w.op.Asked(discovery)); n < 12 || n > 15 {
			t.Errorf("asked %d times in five minutes", n)
		}
		if n := w.log.count("could not be read"); n != 4 { // 1, 2, 4, 8
			t.Errorf("%d lines of log:\n%s", n, w.log)
		}
		w.op.Reset()
		time.Sleep(lastRetry)
		if err := w.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		if ready, err := w.Status(); !ready || err != nil {
			t.Error(ready, err)
		}
		for range 3 { // that all is well is told once
			time.Sleep(refreshAfter + time.Second)
			_ = w.Ready(t.Context())
			synctest.Wait()
		}
		if n := w.log.count("were read"); n != 1 || len(w.op.Asked(discovery)) < 16 {
			t.Errorf("told %d times", n)
		}
		w.down()
		time.Sleep(refreshAfter + time.Second)
		_ = w.Ready(t.Context())
		synctest.Wait()
		w.op.Reset()
		time.Sleep(refreshAfter)
		_ = w.Ready(t.Context())
		synctest.Wait()
		if n := w.log.count("were read"); n != 2 {
			t.Errorf("that it is up again was told %d times", n-1)
		}
	})
}

func TestFirstMetadataAreTold(t *testing.T) {
	w := newWorld(t)
	w.in()
	if w.log.count("were read") != 1 || w.log.count("level=WARN") != 0 {
		t.Error(w.log)
	}
}

// What is known serves on while the provider cannot be asked.
func TestProviderThatGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		w.in2()
		time.Sleep(refreshAfter + time.Second)
		w.down()
		if err := w.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if ready, err := w.Status(); !ready || !errors.Is(err, ErrUnavailable) {
			t.Error(ready, err)
		}
		time.Sleep(30 * 24 * time.Hour)
		w.in2()
		if n := len(w.op.Asked(discovery)); n < 2 {
			t.Error("it is not asked again")
		}
	})
}

// in2 is a login on the time of a bubble.
func (w *world) in2() {
	w.t.Helper()
	w.op.Clock = time.Now
	w.in()
}

func TestMetadataThatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sets []string
		w := bubble(t, func(o *Options) {
			keys := o.Keys
			o.Keys = func(url string) KeySet { sets = append(sets, url); return keys(url) }
		})
		w.in2()
		time.Sleep(refreshAfter + time.Second)
		w.in2()
		synctest.Wait()
		if len(sets) != 1 {
			t.Error("the keys were made anew:", sets)
		}
		w.knob(func(k *optest.Knobs) { k.Metadata = object{"jwks_uri": testIssuer + "/keys2"} })
		time.Sleep(refreshAfter + time.Second)
		_ = w.Ready(t.Context())
		synctest.Wait()
		if len(sets) != 2 || sets[1] != testIssuer+"/keys2" {
			t.Error(sets)
		}
		w.knob(func(k *optest.Knobs) { k.Metadata = object{"issuer": "https://evil.example.com"} })
		time.Sleep(refreshAfter + time.Second)
		_ = w.Ready(t.Context())
		synctest.Wait()
		if _, err := w.Status(); err == nil || w.known.Load().meta.jwks != testIssuer+"/keys2" {
			t.Error("another issuer's metadata were taken")
		}
	})
}

// A hundred people at once make one question.
func TestOneQuestionForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		w.knob(func(k *optest.Knobs) {
			k.Broken = map[string]http.HandlerFunc{discovery: func(rw http.ResponseWriter, r *http.Request) {
				time.Sleep(time.Second)
				text("application/json", metadataText(nil))(rw, r)
			}}
		})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if err := w.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := len(w.op.Asked(discovery)); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		op := optest.New(testIssuer)
		w := join(t, op, instead{op.Transport(), map[string]func(*http.Request) (*http.Response, error){
			"/" + discovery: func(r *http.Request) (*http.Response, error) {
				asked++
				<-r.Context().Done()
				return nil, r.Context().Err()
			},
		}})
		failed := make(chan error)
		go func() { failed <- w.Ready(context.Background()) }()
		synctest.Wait()
		w.Close()
		if err := <-failed; !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		if err := w.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		synctest.Wait()
		if asked != 1 {
			t.Error("a closed provider asks")
		}
		if w.log.String() != "" {
			t.Error("closing was taken for an outage:", w.log)
		}
		w.Close()
	})
}

func TestParallelLogins(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			address, pending, err := w.Begin(t.Context(), Request{RedirectURL: testCallback})
			if err != nil {
				t.Error(err)
				return
			}
			l, err := w.Finish(t.Context(), pending, w.visit(address))
			if err != nil {
				t.Error(err)
				return
			}
			if _, _, err := w.again(l); err != nil {
				t.Error(err)
			}
			_, _ = w.Status()
			_, _ = w.EndSessionURL(l.Tokens.ID, "", "")
		})
	}
	all.Wait()
}
