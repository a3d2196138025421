package portal

import (
	"errors"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// every returns all pages in their main states.
func every(t *testing.T) map[string]*httptest.ResponseRecorder {
	t.Helper()
	fresh := newHouse(t)
	token := fresh.link()
	b := fresh.browser()
	all := map[string]*httptest.ResponseRecorder{
		"setup":         b.get("/_gatehouse/setup?token=" + token),
		"setup refused": b.post("/_gatehouse/setup", "token", token, "username", "a b", "password", "x", "name", "\x00", "email", "x"),
		"setup unknown": b.get("/_gatehouse/setup?token=no"),
		"no way in":     newHouse(t, func(o *Options) { o.Passwords = false }).browser().get("/_gatehouse/login"),
	}
	h := newHouse(t)
	h.person("alice", withEverything)
	h.person("bob")
	b = h.browser()
	all["login"] = b.get("/_gatehouse/login?return_to=/x")
	all["login refused"] = b.post("/_gatehouse/login", "username", "alice", "password", "x")
	all["logout nobody"] = b.get("/_gatehouse/logout")
	all["404"] = b.get("/_gatehouse/nothing")
	h.browser().signIn("alice", secret)
	b.signIn("alice", secret)
	all["login signed in"] = b.get("/_gatehouse/login")
	all["login again"] = b.get("/_gatehouse/login?step=reauth")
	all["logout"] = b.get("/_gatehouse/logout")
	all["account"] = b.get("/_gatehouse/account?done=password")
	all["key refused"] = b.post("/_gatehouse/account/keys", "description", "x\x00", "days", "9999", "current", "x")
	all["key, wrong password"] = b.post("/_gatehouse/account/keys", "scope", "reports:read", "current", "x")
	all["key made"] = b.post("/_gatehouse/account/keys", "scope", "reports:read", "current", secret)
	one := "?id=" + h.onlyKey("alice").ID
	all["account with a key"] = b.get("/_gatehouse/account")
	all["key rotate"] = b.get("/_gatehouse/account/keys/rotate" + one)
	all["key rotate refused"] = b.post("/_gatehouse/account/keys/rotate", "id", one[4:], "current", "x")
	all["key rotated"] = b.post("/_gatehouse/account/keys/rotate", "id", one[4:], "current", secret)
	all["account with a rotated key"] = b.get("/_gatehouse/account")
	all["key revoke"] = b.get("/_gatehouse/account/keys/revoke" + one)
	all["key unknown"] = b.get("/_gatehouse/account/keys/revoke?id=no")
	all["account refused"] = b.post("/_gatehouse/account/password", "current", "x", "password", other, "repeat", other)
	bare := h.browser()
	bare.signIn("bob", secret)
	all["account bare"] = bare.get("/_gatehouse/account")
	nocookies := h.browser()
	all["no cookies"] = nocookies.post("/_gatehouse/login", "username", "alice", "password", "x")
	sso := newSSO(t, "acme", "globex")
	all["providers"] = sso.browser().get("/_gatehouse/login")
	sso.places["acme"].down.Store(true)
	all["a provider is down"] = sso.browser().get("/_gatehouse/login")
	sso.places["globex"].down.Store(true)
	all["all are down"] = sso.browser().get("/_gatehouse/login")
	all["no login of this browser"] = sso.browser().come("/_gatehouse/oidc/acme/callback?state=x")
	in := sso.browser()
	in.signInAt("acme")
	all["account from a provider"] = in.get("/_gatehouse/account")
	all["again at a provider"] = in.get("/_gatehouse/login?step=reauth")
	all["a second factor"] = in.get("/_gatehouse/login?step=mfa")
	all["logout at a provider"] = in.get("/_gatehouse/logout")
	both := newBoth(t, "acme", "globex")
	all["providers and passwords"] = both.browser().get("/_gatehouse/login")
	refused := both.browser()
	refused.get("/_gatehouse/login")
	all["providers and passwords refused"] = refused.post("/_gatehouse/login", "username", "alice", "password", "x")
	for _, status := range []int{400, 401, 403, 404, 405, 413, 415, 429, 503} {
		w := httptest.NewRecorder()
		h.portal.Problem(w, httptest.NewRequest("GET", site+"/x", nil), problem.Problem{
			Status: status, Reasons: []string{"because"}, RequestID: "r", DecisionID: "d", RetryAfter: 60e9,
		})
		all[w.Result().Status] = w
	}
	return all
}

func TestPagesAreGoodHTML(t *testing.T) {
	for name, w := range every(t) {
		t.Run(name, func(t *testing.T) {
			if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
				t.Fatalf("Content-Type %q: %s", got, w.Body)
			}
			checkHTML(t, w.Body.String())
		})
	}
}

// void elements have no end tag; those of SVG close themselves.
var void = []string{"meta", "link", "input", "br", "img"}

// checkHTML holds a page against what we promise of every page: balanced,
// labelled, one heading, one main, no script and no style of its own.
func checkHTML(t *testing.T, page string) {
	t.Helper()
	if !strings.HasPrefix(page, "<!doctype html>\n<html lang=\"en\">") {
		t.Error("no doctype or language")
	}
	for _, leftover := range []string{"{{", "<no value>", "ZgotmplZ", "%!"} {
		if strings.Contains(page, leftover) {
			t.Errorf("the page contains %q", leftover)
		}
	}
	var stack, ids, refs, labelled, inputs []string
	count := map[string]int{}
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			if !errors.Is(z.Err(), io.EOF) {
				t.Fatal(z.Err())
			}
			break
		}
		tok := z.Token()
		switch kind {
		case html.EndTagToken:
			if len(stack) == 0 || stack[len(stack)-1] != tok.Data {
				t.Fatalf("</%s> closes %v", tok.Data, stack)
			}
			stack = stack[:len(stack)-1]
			continue
		case html.StartTagToken:
			if !slices.Contains(void, tok.Data) {
				stack = append(stack, tok.Data)
			}
		case html.SelfClosingTagToken:
		default:
			continue
		}
		count[tok.Data]++
		at := map[string]string{}
		for _, a := range tok.Attr {
			if _, twice := at[a.Key]; twice {
				t.Errorf("<%s> has %s twice", tok.Data, a.Key)
			}
			at[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("<%s %s> is not allowed by our CSP", tok.Data, a.Key)
			}
			if (a.Key == "href" || a.Key == "src" || a.Key == "action") && !strings.HasPrefix(a.Val, "/") {
				t.Errorf("%s leads away: %q", a.Key, a.Val)
			}
		}
		if id := at["id"]; id != "" {
			if slices.Contains(ids, id) {
				t.Errorf("two elements have the id %q", id)
			}
			ids = append(ids, id)
		}
		refs = append(refs, strings.Fields(at["aria-describedby"]+" "+at["aria-labelledby"])...)
		_, hidden := at["hidden"]
		switch {
		case tok.Data == "label":
			labelled = append(labelled, at["for"])
		case tok.Data == "select" || tok.Data == "textarea":
			inputs = append(inputs, at["id"])
		case tok.Data == "input" && at["type"] != "hidden" && !hidden:
			inputs = append(inputs, at["id"])
			if at["type"] == "password" && at["value"] != "" {
				t.Error("a password is in the page")
			}
			if at["type"] != "checkbox" && at["autocomplete"] == "" {
				t.Errorf("input %s tells password managers nothing", at["id"])
			}
		}
	}
	if len(stack) > 0 {
		t.Errorf("not closed: %v", stack)
	}
	for _, one := range []string{"html", "head", "title", "body", "main", "h1"} {
		if count[one] != 1 {
			t.Errorf("%d <%s>, want one", count[one], one)
		}
	}
	if count["fieldset"] != count["legend"] {
		t.Error("a fieldset has no legend")
	}
	if count["script"]+count["style"]+count["iframe"]+count["base"] > 0 {
		t.Error("the page has an element that has no place here")
	}
	for _, ref := range refs {
		if !slices.Contains(ids, ref) {
			t.Errorf("aria refers to %q, which is not there", ref)
		}
	}
	for _, in := range inputs {
		if !slices.Contains(labelled, in) {
			t.Errorf("input %q has no label", in)
		}
	}
}

// What strangers choose is text on every page.
func TestMarkupIsEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script>`
	h := newHouse(t)
	h.person("alice", func(n *user.New) {
		n.Name, n.Roles, n.Groups = evil, []string{`<b>"role`}, []string{`<img src=x>`}
	})
	b := h.browser()
	b.header.Set("User-Agent", "Firefox/1 Linux "+evil)
	b.get("/_gatehouse/login")
	token := "x" + evil
	for name, w := range map[string]*httptest.ResponseRecorder{
		"user name":   b.post("/_gatehouse/login", "username", evil, "password", "x"),
		"return_to":   b.post("/_gatehouse/login", "username", "alice", "password", "x", "return_to", "/"+evil),
		"field name":  b.post("/_gatehouse/login", evil, "x"),
		"query":       b.get(`/_gatehouse/login?return_to=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E&done=%3Cscript%3E&step=%3Cscript%3E`),
		"setup token": b.get("/_gatehouse/setup?token=" + strings.ReplaceAll(token, `"`, "%22")),
		"path":        b.get("/_gatehouse/%3Cscript%3E"),
	} {
		if body := w.Body.String(); strings.Contains(body, "<script") {
			t.Errorf("%s: markup came through: %s", name, body)
		}
	}
	b.signIn("alice", secret)
	w := b.get("/_gatehouse/account")
	checkHTML(t, w.Body.String())
	if body := w.Body.String(); strings.Contains(body, "<script") || strings.Contains(body, "<img") || strings.Contains(body, "<b>") {
		t.Error("a record's markup came through")
	}
	// The set-up form gives back what was typed.
	fresh := newHouse(t)
	link := fresh.link()
	w = fresh.browser().json("/_gatehouse/setup", `{"token":"`+link+`","username":"<script>","password":"x"}`)
	if w.Code != 422 || strings.Contains(w.Header().Get("Content-Type"), "html") {
		t.Errorf("JSON: %d %s", w.Code, w.Header().Get("Content-Type"))
	}
	sb := fresh.browser()
	sb.get("/_gatehouse/setup?token=" + link)
	w = sb.post("/_gatehouse/setup", "token", link, "username", evil, "name", evil, "email", evil, "password", evil)
	wantStatus(t, w, 422)
	checkHTML(t, w.Body.String())
	if strings.Contains(w.Body.String(), "<script") {
		t.Error("the set-up form gave markup back")
	}
}
