package optest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// GitHub answers as GitHub does to OAuth apps, at the addresses of an Enterprise
// Server. Its client is "client" with the secret "secret". All fields are changed
// with Set.
type GitHub struct {
	mu sync.Mutex
	GitHubWorld

	codes  map[string]string // the challenge of PKCE
	tokens map[string]bool
	asked  map[string]int
}

// GitHubWorld is who is there, and how the API is today.
type GitHubWorld struct {
	User   map[string]any // GET /user
	Emails []any          // GET /user/emails
	Orgs   []any          // GET /user/orgs
	Teams  []any          // GET /user/teams

	Broken         map[string]http.HandlerFunc // by path, as /user
	AuthorizeError string
	Refresh        bool // tokens end, and come with a refresh token
}

// NewGitHub makes one in which the octocat is in acme and its team ops.
func NewGitHub() *GitHub {
	return &GitHub{
		GitHubWorld: GitHubWorld{
			User: map[string]any{"id": 583231, "node_id": "MDQ6VXNlcjU4MzIzMQ==", "login": "octocat", "type": "User", "name": "The Octocat", "email": nil},
			Emails: []any{
				map[string]any{"email": "old@example.com", "primary": false, "verified": true, "visibility": nil},
				map[string]any{"email": "octocat@example.com", "primary": true, "verified": true, "visibility": "private"},
			},
			Orgs:  []any{map[string]any{"login": "acme", "id": 1}},
			Teams: []any{map[string]any{"name": "Ops", "slug": "ops", "id": 2, "organization": map[string]any{"login": "acme", "id": 1}}},
		},
		codes: map[string]string{}, tokens: map[string]bool{}, asked: map[string]int{},
	}
}

// StartGitHub serves one on this machine until the test ends, and returns its
// issuer.
func StartGitHub(tb testing.TB) (g *GitHub, issuer string) {
	tb.Helper()
	g = NewGitHub()
	s := httptest.NewServer(g)
	tb.Cleanup(s.Close)
	return g, s.URL
}

// Set changes the world.
func (g *GitHub) Set(change func(*GitHubWorld)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.GitHubWorld)
}

// Asked is how often a path was asked for.
func (g *GitHub) Asked(path string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked[path]
}

// Revoke makes all tokens void.
func (g *GitHub) Revoke() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.tokens)
}

func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/api/v3")
	g.asked[path]++
	if broken := g.Broken[path]; broken != nil {
		broken(w, r)
		return
	}
	switch path {
	case "/login/oauth/authorize":
		g.authorize(w, r)
	case "/login/oauth/access_token":
		g.token(w, r)
	case "/applications/client/token":
		g.forget(w, r)
	case "/user":
		g.api(w, r, g.User)
	case "/user/emails":
		g.api(w, r, page(g.Emails, r))
	case "/user/orgs":
		g.api(w, r, page(g.Orgs, r))
	case "/user/teams":
		g.api(w, r, page(g.Teams, r))
	default:
		reply(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
	}
}

func (g *GitHub) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != "client" {
		http.NotFound(w, r)
		return
	}
	params := back.Query()
	params.Set("state", q.Get("state"))
	if g.AuthorizeError != "" {
		params.Set("error", g.AuthorizeError)
	} else {
		code := random()[:20]
		g.codes[code] = q.Get("code_challenge")
		params.Set("code", code)
	}
	back.RawQuery = params.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token says no with status 200, as GitHub does.
func (g *GitHub) token(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("client_id") != "client" || r.PostFormValue("client_secret") != "secret" {
		reply(w, http.StatusOK, map[string]any{"error": "incorrect_client_credentials", "error_description": "The client_id and/or client_secret passed are incorrect."})
		return
	}
	credential, refused := r.PostFormValue("code"), "bad_verification_code"
	if r.PostFormValue("grant_type") == "refresh_token" {
		credential, refused = r.PostFormValue("refresh_token"), "bad_refresh_token"
	}
	challenge, known := g.codes[credential]
	delete(g.codes, credential)
	if !known || challenge != "" && challenge != s256(r.PostFormValue("code_verifier")) {
		reply(w, http.StatusOK, map[string]any{"error": refused, "error_description": "The code passed is incorrect or expired."})
		return
	}
	access := "gho_" + random()[:36]
	g.tokens[access] = true
	answer := map[string]any{"access_token": access, "token_type": "bearer", "scope": "read:org,read:user,user:email"}
	if g.Refresh {
		refresh := "ghr_" + random()
		g.codes[refresh] = ""
		answer["refresh_token"], answer["expires_in"], answer["refresh_token_expires_in"] = refresh, 28800, 15897600
	}
	reply(w, http.StatusOK, answer)
}

func (g *GitHub) api(w http.ResponseWriter, r *http.Request, v any) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !g.tokens[token] {
		reply(w, http.StatusUnauthorized, map[string]any{"message": "Bad credentials", "status": "401"})
		return
	}
	reply(w, http.StatusOK, v)
}

// forget is DELETE /applications/{client_id}/token.
func (g *GitHub) forget(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	switch {
	case r.Method != http.MethodDelete || id != "client" || secret != "secret" || err != nil:
		reply(w, http.StatusUnauthorized, map[string]any{"message": "Requires authentication"})
	case !g.tokens[body.AccessToken]:
		reply(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
	default:
		delete(g.tokens, body.AccessToken)
		w.WriteHeader(http.StatusNoContent)
	}
}

func page(all []any, r *http.Request) []any {
	size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	number, _ := strconv.Atoi(r.URL.Query().Get("page"))
	from := min(max(0, (number-1)*size), len(all))
	return append([]any{}, all[from:min(from+size, len(all))]...)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
