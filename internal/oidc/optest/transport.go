package optest

import (
	"net/http"
	"net/http/httptest"
)

// Transport asks the provider without a network, under any host.
func (o *OP) Transport() http.RoundTripper { return Transport(o) }

// Transport asks a handler without a network.
func Transport(h http.Handler) http.RoundTripper { return transport{h} }

type transport struct{ http.Handler }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	t.ServeHTTP(w, in)
	res := w.Result()
	res.Request = r
	return res, nil
}
