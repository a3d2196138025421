package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const hunter = "hunter2"

func secretApp() *App {
	return &App{
		Store: Store{Redis: &Redis{URL: "redis://gate:" + hunter + "@db.internal:6379"}},
		JWT: []JWT{{
			Name: "a", Issuer: "a", Audience: []string{"a"}, Secret: hunter + hunter + hunter + hunter + hunter,
			Introspection: Introspection{URL: "https://a", ClientID: "a", ClientSecret: hunter},
		}},
	}
}

func secretSite() *Site {
	return &Site{Headers: []Header{{Name: "X-Gate", Value: hunter}}}
}

// TestSecretsNeverPrint tries the verbs of fmt, on the secret and on what holds
// it, and both of slog's formats. Not %p: it is for pointers, and vet refuses it.
func TestSecretsNeverPrint(t *testing.T) {
	app, site := secretApp(), secretSite()
	things := map[string]any{
		"secret": Secret(hunter), "pointer": &app.Store.Redis.URL, "redis": app.Store.Redis, "redis value": *app.Store.Redis,
		"jwt": app.JWT, "introspection": app.JWT[0].Introspection, "headers": site.Headers, "site": site, "site value": *site, "slice": []Secret{hunter}, "map": map[string]Secret{"a": hunter},
		"error": errors.Join(fmt.Errorf("cannot use %v", app.Store.Redis)),
	}
	for name, thing := range things {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			for _, verb := range "vsqxXdotTcUeEfFgGb" {
				for _, flag := range []string{"", "+", "#", " ", "0", "-", "20", "+#"} {
					fmt.Fprintf(&out, "%"+flag+string(verb), thing)
				}
			}
			fmt.Fprint(&out, thing)
			fmt.Fprintln(&out, thing)
			slog.New(slog.NewTextHandler(&out, nil)).Info("text", "thing", thing)
			if name != "error" && !strings.Contains(out.String(), masked) {
				t.Error("the secret is not even shown as ***")
			}
			for _, leak := range []string{hunter, fmt.Sprintf("%x", hunter), fmt.Sprintf("%X", hunter), "104 117 110"} {
				if strings.Contains(out.String(), leak) {
					t.Errorf("printed: %.2000s", out.String())
				}
			}
		})
	}
	t.Run("slog as JSON", func(t *testing.T) {
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "url", app.Store.Redis.URL, slog.Group("g", "v", site.Headers[0].Value))
		if strings.Contains(out.String(), hunter) {
			t.Error(out.String())
		}
	})
}

func TestSecretsStayInJSON(t *testing.T) {
	b, err := json.Marshal(secretApp())
	if err != nil || !strings.Contains(string(b), hunter) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestErrorsKeepSecrets breaks each secret in every way there is and looks at
// what the error says.
func TestErrorsKeepSecrets(t *testing.T) {
	for _, url := range []string{
		hunter, hunter + "://host", "http://u:" + hunter + "@host", ":" + hunter + "@host", " redis://:" + hunter + "@h",
	} {
		a := App{Store: Store{Redis: &Redis{URL: Secret(url)}}}
		err := a.Validate()
		if err == nil || strings.Contains(err.Error(), hunter) {
			t.Errorf("%v", err)
		}
	}
	for _, secret := range []string{hunter, "{" + hunter + "}", hunter + "\n"} {
		a := App{JWT: []JWT{{Name: "a", Issuer: "a", Audience: []string{"a"}, Secret: Secret(secret)}}}
		nothing := func(string) (string, error) { return "", errors.New("empty") }
		if err := errors.Join(a.Validate(), a.Resolve(nothing)); err == nil || strings.Contains(err.Error(), hunter) {
			t.Errorf("%v", err)
		}
	}
	for _, value := range []string{hunter + "\n", hunter + " ", "{" + hunter + "}", strings.Repeat(hunter, 1000)} {
		s := Site{Headers: []Header{{Name: "X-Gate", Value: Secret(value)}}}
		err := s.Validate()
		if err == nil || strings.Contains(err.Error(), hunter) {
			t.Errorf("%v", err)
		}
	}
}
