package caddymodule

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/gateway"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

const (
	userPrefix    = "http.auth.user."
	decisionIDKey = "http.gatehouse.decision_id"
)

// placeholders serves {http.auth.user.*} and {http.gatehouse.decision_id}. One
// function that is asked costs the request less than a dozen values set.
func placeholders(who *identity.Identity, id string) caddy.ReplacerFunc {
	return func(key string) (any, bool) {
		if key == decisionIDKey {
			return id, true
		}
		field, ok := strings.CutPrefix(key, userPrefix)
		if !ok {
			return nil, false
		}
		return userField(who, field)
	}
}

// userField returns one attribute of an identity as a string; lists are
// comma-separated. For nobody every attribute is known and empty.
func userField(who *identity.Identity, field string) (any, bool) {
	if who == nil {
		who = &identity.Identity{Method: identity.None}
	}
	switch field {
	case "id", "username":
		if who.Username == "" {
			return who.Subject, true
		}
		return who.Username, true
	case "uid":
		return who.ID, true
	case "subject":
		return who.Subject, true
	case "email":
		return who.Email, true
	case "name":
		return who.Name, true
	case "groups":
		return strings.Join(who.Groups, ","), true
	case "roles":
		return strings.Join(who.Roles, ","), true
	case "provider":
		return who.Provider, true
	case "method":
		return string(who.Method), true
	}
	if path, ok := strings.CutPrefix(field, "claims."); ok {
		return claim(who.Claims, path), true
	}
	return nil, false
}

// claim follows a dotted path; what is missing is empty.
func claim(claims map[string]any, path string) string {
	if v, ok := claims[path]; ok {
		return claimText(v)
	}
	head, rest, more := strings.Cut(path, ".")
	if inner, ok := claims[head].(map[string]any); ok && more {
		return claim(inner, rest)
	}
	return ""
}

func claimText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case nil:
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}

// headerRules turns a site's `headers` block into what the gate sets. A value
// is text with {http.auth.user.*} placeholders; anything else Caddy would
// replace may come from the client and is refused by the configuration.
func headerRules(from []config.Header) []gateway.HeaderRule {
	rules := make([]gateway.HeaderRule, 0, len(from))
	for _, h := range from {
		rules = append(rules, gateway.HeaderRule{Name: h.Name, Value: headerValue(string(h.Value))})
	}
	return rules
}

func headerValue(text string) func(*identity.Identity) (string, error) {
	return func(who *identity.Identity) (string, error) {
		repl := caddy.NewEmptyReplacer()
		repl.Map(func(key string) (any, bool) {
			field, ok := strings.CutPrefix(key, userPrefix)
			if !ok {
				return nil, false
			}
			if err := commaFree(who, field); err != nil {
				return err, true
			}
			return userField(who, field)
		})
		var bad error
		out, err := repl.ReplaceFunc(text, func(key string, val any) (any, error) {
			if e, ok := val.(error); ok {
				bad = e
				return "", e
			}
			return val, nil
		})
		if bad != nil {
			return "", bad
		}
		return out, err
	}
}

// commaFree refuses a list in which a value holds a comma: joined, the app would
// read it as two.
func commaFree(who *identity.Identity, field string) error {
	var list []string
	switch field {
	case "roles":
		list = who.Roles
	case "groups":
		list = who.Groups
	}
	for _, v := range list {
		if strings.Contains(v, ",") {
			return fmt.Errorf("%s: the value %q has a comma", field, v)
		}
	}
	return nil
}
