package test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// artifacts is where screenshots go; CI keeps it, git ignores it.
const artifacts = "artifacts"

// newBrowser starts a real chromium with a profile of its own.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	path := "/usr/bin/chromium"
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("chromium is missing (Debian package chromium): %v", err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WindowSize(1200, 900), chromedp.WSURLReadTimeout(time.Minute),
	)
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() { cancel(); cancelAlloc() })
	if err := chromedp.Do(ctx); err != nil { // starts it; a deadline here would end it
		t.Fatalf("chromium does not start: %v", err)
	}
	return ctx
}

// step is one thing done in the browser.
type step = chromedp.Action[chromedp.Void]

func do(t *testing.T, ctx context.Context, what string, steps ...step) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(limited, steps...); err != nil {
		at, _ := chromedp.Run(ctx, chromedp.Location())
		body, _ := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS("body")))
		t.Fatalf("%s: %v\nat %s:\n%s", what, err, at, body)
	}
}

// ask reads something from the page.
func ask[T any](t *testing.T, ctx context.Context, what string, a chromedp.Action[T]) T {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(limited, a)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return v
}

// css names an element.
func css(selector string) chromedp.CSS { return chromedp.CSS(selector) }

func visible(selector string) step    { return patient(chromedp.WaitVisible(css(selector))) }
func gone(selector string) step       { return patient(chromedp.WaitNotPresent(css(selector))) }
func keys(selector, text string) step { return chromedp.SendKeys(css(selector), text) }
func submit(selector string) step     { return chromedp.Submit(css(selector)) }
func open(url string) step            { return chromedp.Navigate(url) }

// patient waits again when the page is left during the wait.
func patient(wait step) step {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		for {
			v, err := wait(ctx, t)
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "Inspected target navigated or closed") {
				return v, err
			}
		}
	}
}

func scheme(v string) step {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v}},
		})
		return err
	})
}

// shoot keeps a picture of the page: wide and light, wide and dark, phone.
func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	if err := os.MkdirAll(artifacts, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, shot := range []struct {
		suffix string
		how    []step
	}{
		{"light", []step{scheme("light"), chromedp.EmulateViewport(1200, 900)}},
		{"dark", []step{scheme("dark"), chromedp.EmulateViewport(1200, 900)}},
		{"phone", []step{scheme("light"), chromedp.EmulateViewport(360, 740)}},
	} {
		do(t, ctx, "resize", shot.how...)
		png := ask(t, ctx, "screenshot", chromedp.FullScreenshot(100))
		if shot.suffix == "phone" {
			if ask(t, ctx, "width", chromedp.Evaluate[bool](`document.documentElement.scrollWidth > document.documentElement.clientWidth`)) {
				t.Errorf("%s scrolls sideways on a phone", name)
			}
		}
		if err := os.WriteFile(filepath.Join(artifacts, name+"-"+shot.suffix+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do(t, ctx, "back to wide", scheme("light"), chromedp.EmulateViewport(1200, 900))
}

// TestQuickStart is the README's first minute: the root Caddyfile as it is, but
// for its ports.
func TestQuickStart(t *testing.T) {
	text := mustRead(t, "../Caddyfile")
	for _, port := range []string{"8080", "8081"} {
		if !strings.Contains(text, "localhost:"+port) {
			t.Fatalf("the quick start has no port %s", port)
		}
	}
	text = strings.NewReplacer("localhost:8080", "localhost:{PORT}", "localhost:8081", "localhost:{APP}").Replace(text)
	s := newServerFile(t, "{\n\tadmin localhost:{ADMIN}\n\tpersist_config off\n}\n"+text).start()
	link := s.waitLog(`"url": ?"(http://localhost:\d+/_gatehouse/setup\?token=[\w%-]+)"`, 10*time.Second)[1]

	ctx := newBrowser(t)
	do(t, ctx, "the set-up link", open(link), visible("#username"))
	shoot(t, ctx, "setup")
	do(t, ctx, "a weak password is refused with the reason", keys("#username", "Ada"),
		keys("#password", "passwordpassword"), keys("#repeat", "passwordpassword"),
		submit("#username"), visible("#password-error"))
	shoot(t, ctx, "setup-refused")
	do(t, ctx, "the first administrator", chromedp.SetValue(css("#username"), "Ada"),
		keys("#password", aPassword), keys("#repeat", aPassword),
		submit("#username"), visible("#user"))
	if user := ask(t, ctx, "user", chromedp.Text(css("#user"))); user != "ada" {
		t.Fatalf("the app shows %q", user)
	}
	shoot(t, ctx, "app")
	do(t, ctx, "the set-up link is dead", open(link), gone("form[action$=setup]"))
	do(t, ctx, "account", open(s.url("/_gatehouse/account")), visible("#profile"))
	shoot(t, ctx, "account")

	s.addUser("bob")
	other := newBrowser(t)
	do(t, other, "bob is sent to the login", open(s.url("/reports?q=1")), visible("#password"))
	at := ask(t, other, "location", chromedp.Location())
	if !strings.Contains(at, "/_gatehouse/login?return_to=") {
		t.Fatalf("at %s", at)
	}
	shoot(t, other, "login")
	do(t, other, "a wrong password", keys("#username", "bob"), keys("#password", "wrong"),
		submit("#password"), visible("[role=alert]"))
	shoot(t, other, "login-wrong")
	do(t, other, "bob signs in by keyboard and is refused", keys("#password", aPassword+"\r"),
		gone("#password"))
	at = ask(t, other, "location", chromedp.Location())
	page := ask(t, other, "text", chromedp.Text(css("body")))
	if !strings.HasSuffix(at, "/reports?q=1") || !strings.Contains(page, "needs role admin") {
		t.Fatalf("at %s: %s", at, page)
	}
	if id := s.waitLog(`"id": ?"(\w{26})"[^\n]*"verdict": ?"deny"`, 5*time.Second)[1]; !strings.Contains(page, id) {
		t.Errorf("the page does not show the decision id %s:\n%s", id, page)
	}
	shoot(t, other, "forbidden")

	do(t, ctx, "sign out from the app's page", open(s.url("/")), visible("#user"),
		chromedp.Click(css("form[action$=logout] button")), gone("#user"), open(s.url("/")), visible("#password"))
}

// TestAccountPage ends another browser's session and changes the password.
func TestAccountPage(t *testing.T) {
	s := newServer(t, "", "gatehouse").start()
	s.addUser("alice")
	elsewhere := newVisitor(t)
	elsewhere.login(s, "alice")

	ctx := newBrowser(t)
	signIn := func(password string) {
		t.Helper()
		do(t, ctx, "sign in", open(s.url("/_gatehouse/login?return_to=/_gatehouse/account")), visible("#password"),
			keys("#username", "alice"), keys("#password", password), submit("#password"), visible("#profile"))
	}
	signIn(aPassword)
	shoot(t, ctx, "account-two-sessions")
	do(t, ctx, "end the other session", chromedp.Click(css(`form[action$="sessions/revoke"] button`)), gone(`form[action$="sessions/revoke"]`))
	if a := elsewhere.get(s.url("/")); a.StatusCode != 401 {
		t.Errorf("the ended session still works: %d", a.StatusCode)
	}
	elsewhere = newVisitor(t)
	elsewhere.login(s, "alice")
	const fresh = "seven otters sing at noon"
	do(t, ctx, "change the password", keys("#current", aPassword), keys("#password", fresh),
		keys("#repeat", fresh), submit("#current"),
		came("at the account page", func(at string) bool { return strings.HasSuffix(at, "?done=password") }), visible("[role=status]")) // the page before has one, too
	if a := elsewhere.get(s.url("/")); a.StatusCode != 401 {
		t.Errorf("a session from before the new password still works: %d", a.StatusCode)
	}
	do(t, ctx, "this browser stays signed in", open(s.url("/_gatehouse/account")), visible("#profile"))
	if a := elsewhere.tryLogin(s, "alice", fresh); a.StatusCode != 303 {
		t.Errorf("the new password does not work: %d", a.StatusCode)
	}
}

// TestKeysOnAccountPage makes a key by hand, copies it, uses it in a program, and
// revokes it.
func TestKeysOnAccountPage(t *testing.T) {
	s := newServer(t, "", "gatehouse {\n\t\tallow scope reports:read\n\t}").start()
	s.addUser("alice", "--scope", "reports:read", "--scope", "reports:write")
	ctx := newBrowser(t)
	account := func(what string) {
		t.Helper()
		do(t, ctx, what, open(s.url("/_gatehouse/account")), visible("#keys-head"))
	}
	do(t, ctx, "sign in", open(s.url("/_gatehouse/login?return_to=/_gatehouse/account")), visible("#password"),
		keys("#username", "alice"), keys("#password", aPassword), submit("#password"), visible("#key-description"))

	do(t, ctx, "a key without a scope is refused", keys("#key-description", "laptop <b>script</b>"),
		keys("#key-current", aPassword), submit("#key-current"), visible("#scope-error"))
	shoot(t, ctx, "key-refused")
	do(t, ctx, "so is a wrong password", chromedp.Click(css("#key-scope-0")), chromedp.SetValue(css("#key-days"), "7"),
		keys("#key-current", "wrong"), submit("#key-current"), visible("#current-error"))
	if made := s.mustCLI("", "key", "list"); !strings.Contains(made, "There are no keys") {
		t.Fatalf("a key was made all the same:\n%s", made)
	}
	do(t, ctx, "what was filled in is still there, but for the password", keys("#key-current", aPassword),
		submit("#key-current"), visible("textarea#key"))
	key := ask(t, ctx, "the key", chromedp.Evaluate[string](`document.querySelector("#key").value`))
	if !regexp.MustCompile(`^gh_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$`).MatchString(key) {
		t.Fatalf("the page shows %q", key)
	}
	shoot(t, ctx, "key-made")

	program, page := newVisitor(t), s.url("/reports")
	if user := program.get(page, bearer(key)...).echo(t).Headers["Remote-User"]; len(user) != 1 || user[0] != "alice" {
		t.Errorf("the app sees %q", user)
	}
	account("the key is shown once only")
	html := ask(t, ctx, "the page", chromedp.Evaluate[string](`document.documentElement.outerHTML`))
	text := ask(t, ctx, "its text", chromedp.Text(css("ul.keys")))
	id, secret, _ := strings.Cut(strings.TrimPrefix(key, "gh_"), "_")
	if strings.Contains(html, secret) {
		t.Error("the account page has the key again")
	}
	if !strings.Contains(text, "laptop <b>script</b>") || !strings.Contains(text, id) || !strings.Contains(text, "reports:read") ||
		strings.Contains(text, "reports:write") {
		t.Errorf("the list shows:\n%s", text)
	}
	var made struct{ Created, Expires time.Time }
	if err := json.Unmarshal([]byte(s.mustCLI("", "--json", "key", "show", id)), &made); err != nil || made.Expires.Sub(made.Created) != 7*24*time.Hour {
		t.Errorf("the key is not for 7 days: %+v %v", made, err)
	}
	shoot(t, ctx, "account-keys")

	do(t, ctx, "revoke it", chromedp.Click(css(`a[href*="keys/revoke"]`)), visible(`form[action$="keys/revoke"]`))
	shoot(t, ctx, "key-revoke")
	do(t, ctx, "yes", chromedp.Click(css(`form[action$="keys/revoke"] button`)), visible("[role=status]"), gone("ul.keys"))
	if a := program.get(page, bearer(key)...); a.StatusCode != 401 {
		t.Errorf("the revoked key: %d", a.StatusCode)
	}
	if strings.Contains(s.log.String(), secret) {
		t.Error("the key is in the log")
	}
}

// TestPagesUnderPolicy looks for violations of our own Content-Security-Policy
// and for scripts, of which there are none.
func TestPagesUnderPolicy(t *testing.T) {
	s := newServer(t, "", "gatehouse").start()
	ctx := newBrowser(t)
	for _, page := range []string{"login", "logout", "setup?token=x", "nowhere", "account"} {
		do(t, ctx, page, open(s.url("/_gatehouse/"+page)), visible("h1"))
		scripts := ask(t, ctx, page, chromedp.Evaluate[int](`document.scripts.length + document.querySelectorAll('[style],[onclick],style').length`))
		styled := ask(t, ctx, page, chromedp.Evaluate[string](`getComputedStyle(document.body).fontFamily`))
		if scripts != 0 {
			t.Errorf("%s has %d inline scripts or styles", page, scripts)
		}
		if strings.Contains(styled, "Times") || styled == "" {
			t.Errorf("%s is unstyled: %s", page, styled)
		}
	}
	for _, page := range []string{"login", "nowhere"} {
		a := newVisitor(t).navigate(s.url("/_gatehouse/" + page))
		csp := a.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %q", page, csp)
		}
	}
}
