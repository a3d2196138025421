package identity

import "testing"

func TestOrigin(t *testing.T) {
	for _, c := range []struct {
		tls        bool
		host, want string
	}{
		{true, "app.example.com", "https://app.example.com"}, {true, "App.Example.COM", "https://app.example.com"},
		{true, "app.example.com:443", "https://app.example.com"}, {true, "app.example.com:80", "https://app.example.com:80"},
		{true, "app.example.com:8443", "https://app.example.com:8443"}, {false, "localhost:80", "http://localhost"},
		{false, "[::1]:8080", "http://[::1]:8080"}, {false, "localhost:443", "http://localhost:443"},
	} {
		if got := Origin(c.tls, c.host); got != c.want {
			t.Errorf("%v %s: %s, want %s", c.tls, c.host, got, c.want)
		}
	}
}

func TestIdentityOfOneSite(t *testing.T) {
	for _, c := range []struct {
		site, asked string
		want        bool
	}{
		{"", "https://app.example.com", true}, {"https://app.example.com", "https://app.example.com", true},
		{"https://app.example.com", "https://other.example.com", false}, {"https://app.example.com", "http://app.example.com", false},
		{"https://app.example.com", "https://app.example.com:8443", false}, {"https://app.example.com", "", false},
	} {
		if got := (&Identity{Site: c.site}).For(c.asked); got != c.want {
			t.Errorf("of %q at %q: %v", c.site, c.asked, got)
		}
	}
}
