package redis

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		url  string
		want Target
	}{
		{"redis://localhost", Target{Kind: "redis", Addrs: []string{"localhost:6379"}}},
		{"redis://10.0.0.1:7000/5", Target{Kind: "redis", Addrs: []string{"10.0.0.1:7000"}, DB: 5}},
		{"REDIS://h:1/", Target{Kind: "redis", Addrs: []string{"h:1"}}},
		{"rediss://user:pa%2Fss%40@h:1", Target{Kind: "redis", TLS: true, Addrs: []string{"h:1"}, username: "user", password: "pa/ss@"}},
		{"redis://:only@[::1]:1/2", Target{Kind: "redis", Addrs: []string{"[::1]:1"}, DB: 2, password: "only"}},
		{"redis://[fd00::1]", Target{Kind: "redis", Addrs: []string{"[fd00::1]:6379"}}},
		{"redis://:with:colons@h", Target{Kind: "redis", Addrs: []string{"h:6379"}, password: "with:colons"}},
		{"redis://:a@b@h", Target{Kind: "redis", Addrs: []string{"h:6379"}, password: "a@b"}},
		{"redis+sentinel://a,b:1,c/my%20master", Target{Kind: "sentinel", Addrs: []string{"a:26379", "b:1", "c:26379"}, Master: "my master"}},
		{"rediss+sentinel://u:p@a/m?db=3&sentinel_username=su&sentinel_password=s%26p", Target{Kind: "sentinel", TLS: true, Addrs: []string{"a:26379"},
			Master: "m", DB: 3, username: "u", password: "p", sentinelUsername: "su", sentinelPassword: "s&p"}},
		{"redis+cluster://a:1,b:2", Target{Kind: "cluster", Addrs: []string{"a:1", "b:2"}}},
		{"rediss+cluster://:p@a/0", Target{Kind: "cluster", TLS: true, Addrs: []string{"a:6379"}, password: "p"}},
	} {
		t.Run(c.url, func(t *testing.T) {
			got, err := ParseURL(c.url)
			if err != nil {
				t.Fatal(err)
			}
			g, w := *got, c.want
			if !slices.Equal(g.Addrs, w.Addrs) {
				t.Errorf("addresses: %v", g.Addrs)
			}
			g.Addrs, w.Addrs = nil, nil
			if fields(g) != fields(w) {
				t.Errorf("got %s", fields(g))
			}
			again, err := ParseURL(got.String())
			if err != nil || again.String() != got.String() {
				t.Errorf("String is %q, which parses to %v, %v", got, again, err)
			}
		})
	}
}

func fields(t Target) string {
	return strings.Join([]string{t.Kind, fmt.Sprint(t.TLS, t.DB), t.Master, t.username, t.password, t.sentinelUsername, t.sentinelPassword}, "|")
}

func TestParseURLRefuses(t *testing.T) {
	const secret = "hunter2"
	for url, want := range map[string]string{
		"":                                         "starts with redis://",
		"hunter2":                                  "starts with redis://",
		"http://h":                                 "the scheme",
		"hunter2://h":                              "the scheme",
		"redis+hunter2://h":                        "the scheme",
		"redis+redis://h":                          "the scheme",
		"redis+://h":                               "the scheme",
		"redis://":                                 "the host in the redis URL is empty",
		"redis://:hunter2@":                        "is empty",
		"redis://:hunter2":                         "no port between",
		"redis://u:hunter2":                        "no port between",
		"redis://u:hunter2@h:port":                 "no port between",
		"redis://u:hunter2@h:0":                    "no port between",
		"redis://u:hunter2@h:65536":                "no port between",
		"redis://u:hunter2/x@h:1":                  "write /, ?, # and @",
		"redis://u:hunter2?x@h:1":                  "write /, ?, # and @",
		"redis://u:hunter2#x@h:1":                  "write /, ?, # and @",
		"redis://u:hunter2%@h:1":                   "write % as %25",
		"redis://hunter2@h":                        "no password",
		"redis://u:@h":                             "no password",
		"redis://:@h":                              "is empty",
		"redis://u:hunter2@a,b":                    "several hosts need",
		"redis://a,,b":                             "host 2 of 3",
		"redis://::1":                              "IPv6 address in [ ]",
		"redis://h ost":                            "no host name",
		"redis://[zz:]:1":                          "no host name",
		"redis://u:hunter2@h/db":                   "is a number",
		"redis://u:hunter2@h/-1":                   "is a number",
		"redis://u:hunter2@h/0/1":                  "is a number",
		"redis://h#x":                              "fragment",
		"redis://u:hunter2@h?db=1":                 `unknown option "db" in the redis URL; redis URLs take none`,
		"redis+cluster://u:hunter2@h/1":            "only database 0",
		"redis+cluster://h?x=1":                    `unknown option "x"`,
		"redis+sentinel://u:hunter2@h":             "lacks the name of the master",
		"redis+sentinel://h/":                      "lacks the name of the master",
		"redis+sentinel://h/a/b":                   "lacks the name of the master",
		"redis+sentinel://h/m?pool=1":              `unknown option "pool"`,
		"redis+sentinel://h/m?db=x":                "is a number",
		"redis+sentinel://h/m?db=1&db=2":           "needs one value",
		"redis+sentinel://h/m?db=":                 "needs one value",
		"redis+sentinel://h/m?%zz":                 "not of the form",
		"redis+sentinel://h/m?sentinel_username=u": "needs sentinel_password",
	} {
		t.Run(url, func(t *testing.T) {
			got, err := ParseURL(url)
			if err == nil || got != nil {
				t.Fatalf("accepted as %v, %v", got, err)
			}
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

func TestTargetNeverPrintsSecrets(t *testing.T) {
	target, err := ParseURL("redis+sentinel://u:hunter2@h/m?sentinel_password=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, target); strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

// FuzzParseURL wants errors and results that never hold a password.
func FuzzParseURL(f *testing.F) {
	f.Add("redis://", "user", "/0")
	f.Add("redis+sentinel://", "", "/m?db=1")
	f.Add("rediss+cluster://", "u", ",b:1")
	f.Fuzz(func(t *testing.T, scheme, user, tail string) {
		for _, secret := range []string{"Zq7hunter2/x?y#z", "Zq7%2Fhunter2"} {
			target, err := ParseURL(scheme + user + ":" + secret + "@h" + tail)
			text := fmt.Sprint(target, err)
			if strings.Contains(text, "Zq7") || strings.Contains(text, "hunter2") {
				t.Errorf("it tells the password: %s", text)
			}
			if (target == nil) == (err == nil) {
				t.Errorf("%v and %v", target, err)
			}
		}
	})
}
