package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// The reasons of site rules are shown to whoever is refused. They name roles,
// groups, methods and paths, which help to ask for the right thing. They do not
// name users, e-mail addresses or networks, which are none of the caller's business.

// How much of a rule a reason tells.
const (
	reasonLines  = 5
	reasonValues = 5
)

// needs says what would have let a signed-in caller in: "needs role admin, or
// group finance with method GET and path /reports/*". It is empty when any
// signed-in caller may pass.
func needs(allow []Line) string {
	var ways []string
	for _, line := range allow {
		way := describe(line)
		if way == "" {
			return ""
		}
		if !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	if more := len(ways) - reasonLines; more > 0 {
		ways = append(ways[:reasonLines], fmt.Sprintf("one of %d other ways", more))
	}
	return "needs " + strings.Join(ways, ", or ")
}

// refusal says what a deny line refuses.
func refusal(line Line) string {
	what := describe(line)
	switch {
	case what != "":
		return "not permitted: " + what
	case slices.ContainsFunc(line, func(c Condition) bool { return c.Kind == "signed_in" }):
		return "not permitted to anyone signed in"
	}
	return "not permitted to anyone"
}

// describe puts a line into words: who, then with which request.
func describe(line Line) string {
	var who, request []string
	for _, c := range line {
		switch c.Kind {
		case "user":
			who = append(who, "a named user")
		case "role", "group", "scope":
			who = append(who, c.Kind+" "+oneOf(c.Values))
		case "email":
			who = append(who, "a named e-mail address")
		case "email_domain":
			who = append(who, "an e-mail address at "+oneOf(c.Values))
		case "provider":
			who = append(who, "a login or credential of "+oneOf(c.Values))
		case "method", "path":
			request = append(request, c.Kind+" "+oneOf(c.Values))
		case "client_ip":
			request = append(request, "a listed network")
		}
	}
	parts := []string{strings.Join(who, " and "), strings.Join(request, " and ")}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " with ")
}

func oneOf(values []string) string {
	words := make([]string, 0, len(values))
	for _, v := range values {
		words = append(words, strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return unicode.ReplacementChar
			}
			return r
		}, v))
	}
	if more := len(words) - reasonValues; more > 0 {
		words = append(words[:reasonValues], fmt.Sprintf("%d others", more))
	}
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
