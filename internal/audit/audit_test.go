package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// record writes e and returns the one line that came out, decoded.
func record(t *testing.T, e Event) map[string]any {
	t.Helper()
	var out bytes.Buffer
	New(slog.New(slog.NewJSONHandler(&out, nil))).Record(context.Background(), e)
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 1 {
		t.Fatalf("%d lines, want 1: %s", n, &out)
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	if line["time"] == nil {
		t.Error("the line has no time")
	}
	delete(line, "time")
	return line
}

func TestOneFactOneLine(t *testing.T) {
	for _, c := range []struct {
		name  string
		event Event
		want  map[string]any
	}{
		{
			"login", Event{Action: Login, Outcome: Success, Actor: "alice", Subject: "alice", Site: "app.example.com",
				RequestID: "01JDXYZ", ClientIP: "203.0.113.9", Session: "ses_abc", Extra: []slog.Attr{slog.String("method", "password")}},
			map[string]any{"level": "INFO", "msg": "audit event", "action": "login", "outcome": "success", "actor": "alice",
				"subject": "alice", "site": "app.example.com", "request_id": "01JDXYZ", "client_ip": "203.0.113.9",
				"session_id": "ses_abc", "method": "password"},
		},
		{
			"what is empty is absent", Event{Action: UserDisabled, Outcome: Success, Actor: AdminAPI, Subject: "bob"},
			map[string]any{"level": "INFO", "msg": "audit event", "action": "user_disabled", "outcome": "success", "actor": "admin_api", "subject": "bob"},
		},
		{
			"failures are warnings", Event{Action: PolicyRefused, Outcome: Failure, Actor: Unattended, Reason: "authz.rego:3: rego_parse_error"},
			map[string]any{"level": "WARN", "msg": "audit event", "action": "policy_refused", "outcome": "failure", "actor": "gatehouse",
				"reason": "authz.rego:3: rego_parse_error"},
		},
		{
			"no outcome is a failure", Event{Action: Login, Actor: "alice"},
			map[string]any{"level": "WARN", "msg": "audit event", "action": "login", "outcome": "failure", "actor": "alice"},
		},
		{
			"extra values", Event{Action: UserChanged, Outcome: Success, Extra: []slog.Attr{
				slog.Any("roles", []string{"admin", "a\nb"}), slog.Int("count", 3), slog.Any("cause", errors.New("no\nline")),
				slog.Group("was", slog.String("email", "a@b\x1b[2J"))}},
			map[string]any{"level": "INFO", "msg": "audit event", "action": "user_changed", "outcome": "success",
				"roles": []any{"admin", `a\u000ab`}, "count": 3.0, "cause": `no\u000aline`, "was": map[string]any{"email": `a@b\u001b[2J`}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := record(t, c.event); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

// teller is a value that shows its secret only when it is resolved.
type teller string

func (s teller) LogValue() slog.Value { return slog.StringValue(string(s)) }

func TestSecretsAreMasked(t *testing.T) {
	const secret = "umbrella-cactus-violin"
	line := record(t, Event{Action: PasswordChanged, Outcome: Success, Extra: []slog.Attr{
		slog.String("password", secret), slog.String("newPassword", secret), slog.Any("session_token", teller(secret)),
		slog.String("Cookie", secret), slog.Any("client_secret", []byte(secret)),
		slog.Group("request", slog.String("Authorization", "Bearer "+secret)),
		slog.Group("credentials", slog.String("value", secret)),
	}})
	raw, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("cactus")) || bytes.Count(raw, []byte(mask)) != 7 {
		t.Errorf("got %s", raw)
	}
}

// A password typed into the name's field must not end up in the log.
func TestAttemptedNames(t *testing.T) {
	trail := New(nil)
	const typed = "umbrella cactus violin"
	if got := trail.Attempted("ALICE", "alice"); got != "alice" {
		t.Errorf("a known name: %q", got)
	}
	got := trail.Attempted(typed, "")
	if !strings.HasPrefix(got, "unknown:") || len(got) != len("unknown:")+8 || strings.Contains(got, "cactus") {
		t.Errorf("an unknown name: %q", got)
	}
	if again := trail.Attempted(typed, ""); again != got {
		t.Errorf("the same name twice: %q and %q", got, again)
	}
	if other := trail.Attempted(typed+"!", ""); other == got {
		t.Errorf("two names, both %q", got)
	}
	if other := New(nil).Attempted(typed, ""); other == got {
		t.Error("another trail has the same key")
	}
}

func TestLogForgery(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"plain":                {"alice@example.com", "alice@example.com"},
		"other scripts":        {"Алиса 猫 é", "Алиса 猫 é"},
		"line break":           {"x\n{\"action\":\"login\"}", `x\u000a{"action":"login"}`},
		"escape sequence":      {"\x1b]0;title\x07", `\u001b]0;title\u0007`},
		"bidi override":        {"a\u202eb", `a\u202eb`},
		"zero-width space":     {"a\u200bb", `a\u200bb`},
		"no-break space":       {"a\u00a0b", `a\u00a0b`},
		"line separator":       {"a\u2028b", `a\u2028b`},
		"NUL":                  {"a\x00b", `a\u0000b`},
		"invalid UTF-8":        {"a\xffb", `a\xffb`},
		"an escape of its own": {`a\u000ab`, `a\\u000ab`},
	} {
		if got := Clean(c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got := Clean(strings.Repeat("x", 1<<20)); len(got) != longest || !strings.HasSuffix(got, "x…") {
		t.Errorf("a megabyte became %d bytes", len(got))
	}
	if exact := strings.Repeat("x", longest); Clean(exact) != exact {
		t.Error("a text of exactly the longest length was cut")
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "alice", "\x00\xff\u202e", strings.Repeat("é", 200), strings.Repeat("\xff", 100), strings.Repeat("x", 255) + "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if len(got) > longest || !utf8.ValidString(got) {
			t.Errorf("%q became %d bytes, %q", s, len(got), got)
		}
		for _, r := range got {
			if r != ' ' && (!unicode.IsGraphic(r) || unicode.IsSpace(r)) {
				t.Errorf("%q became %q, which holds %U", s, got, r)
			}
		}
	})
}
