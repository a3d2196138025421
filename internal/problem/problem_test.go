package problem

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestNavigation(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, c := range []struct {
		name    string
		method  string
		headers []string
		want    bool
	}{
		{"browser with fetch metadata", "GET", []string{"Sec-Fetch-Mode", "navigate"}, true},
		{"HEAD", "HEAD", []string{"Sec-Fetch-Mode", "navigate"}, true},
		{"form post", "POST", []string{"Sec-Fetch-Mode", "navigate"}, false},
		{"lower-case method", "get", []string{"Sec-Fetch-Mode", "navigate"}, false},
		{"fetch of a script", "GET", []string{"Sec-Fetch-Mode", "cors", "Accept", browser}, false},
		{"image", "GET", []string{"Sec-Fetch-Mode", "no-cors", "Accept", browser}, false},
		{"WebSocket", "GET", []string{"Upgrade", "websocket", "Accept", browser}, false},
		{"metadata without a mode", "GET", []string{"Sec-Fetch-Site", "same-origin", "Accept", browser}, false},
		{"old browser", "GET", []string{"Accept", browser}, true},
		{"curl", "GET", []string{"Accept", "*/*"}, false},
		{"no Accept", "GET", nil, false},
		{"JSON client", "GET", []string{"Accept", "application/json"}, false},
		{"JSON before HTML", "GET", []string{"Accept", "application/json, text/html;q=0.5"}, false},
		{"HTML before JSON", "GET", []string{"Accept", "application/json;q=0.5, text/html"}, true},
		{"HTML refused", "GET", []string{"Accept", "text/html;q=0"}, false},
		{"quality that is no number", "GET", []string{"Accept", "text/html;q=NaN"}, false},
		{"quality out of range", "GET", []string{"Accept", "text/html;q=7"}, false},
		{"two Accept lines", "GET", []string{"Accept", "application/json;q=0.1", "Accept", "TEXT/HTML"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "/", nil)
			for i := 0; i < len(c.headers); i += 2 {
				r.Header.Add(c.headers[i], c.headers[i+1])
			}
			if got := Navigation(r); got != c.want {
				t.Errorf("Navigation = %t, want %t", got, c.want)
			}
		})
	}
}

func TestDocument(t *testing.T) {
	w := httptest.NewRecorder()
	Problem{
		Status: http.StatusForbidden, Kind: Forbidden, Detail: "no", Reasons: []string{"<b>"}, RequestID: "id", DecisionID: "dec",
		Challenge: `Bearer error="x"`,
	}.Write(w)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if w.Code != 403 || got["type"] != "urn:gatehouse:problem:forbidden" || got["title"] != "Forbidden" || got["status"] != 403.0 ||
		got["detail"] != "no" || got["request_id"] != "id" || got["decision_id"] != "dec" || got["reasons"].([]any)[0] != "<b>" {
		t.Errorf("%d %v", w.Code, got)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"WWW-Authenticate": `Bearer error="x"`, "Retry-After": "",
	} {
		if h := w.Result().Header.Get(name); h != want {
			t.Errorf("%s: %q, want %q", name, h, want)
		}
	}
}

func TestZeroProblemIsAFault(t *testing.T) {
	w := httptest.NewRecorder()
	Problem{}.Write(w)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Millisecond: "1", time.Second: "1", 1500 * time.Millisecond: "2", 0: ""} {
		w := httptest.NewRecorder()
		Problem{Status: http.StatusTooManyRequests, Kind: TooMany, RetryAfter: d}.Write(w)
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("%s: Retry-After %q, want %q", d, got, want)
		}
	}
}
