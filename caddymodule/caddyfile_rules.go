package caddymodule

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-proxy/gatehouse/config"
)

// readLine reads the conditions of an allow or deny line.
func readLine(b *block, field string, to *[]config.Line) error {
	if len(*to) == 0 {
		b.note(field)
	}
	b.note(field + "[" + strconv.Itoa(len(*to)) + "]")
	var line config.Line
	tokens := b.RemainingArgsAsTokens()
	for i, t := range tokens {
		if begins(line, t) {
			line = append(line, config.Condition{Kind: t.Text})
			continue
		}
		c := &line[len(line)-1]
		if meant := slip(c, tokens[i:]); meant != "" {
			return b.Errf("%s: %q after %s reads like the condition %s: write %[4]s, or put it in quotes if it is a value of %[3]s", field, t.Text, c.Kind, meant)
		}
		c.Values = append(c.Values, t.Text)
	}
	for i, c := range line {
		if i > 0 && len(c.Values) == 0 && config.TakesValues(c.Kind) {
			return b.Errf("%s: %s needs a value: write one after it, or put it in quotes if it is a value of %s", field, c.Kind, line[i-1].Kind)
		}
	}
	*to = append(*to, line)
	return nil
}

// begins reports whether a token begins a condition. The first one after a
// condition that takes values is a value whatever it reads like (a role may be
// called user); what is in quotes is always a value.
func begins(line config.Line, t caddyfile.Token) bool {
	if len(line) == 0 {
		return true
	}
	last := line[len(line)-1]
	if !config.TakesValues(last.Kind) {
		return true
	}
	return len(last.Values) > 0 && !t.Quoted() && config.IsCondition(t.Text)
}

// slip returns the condition that a value was probably meant to be. In "role
// admin grup finance" it would otherwise let in two roles that nobody meant. The
// last word of a line cannot be a condition that takes values.
func slip(c *config.Condition, rest []caddyfile.Token) string {
	if len(c.Values) == 0 || rest[0].Quoted() {
		return ""
	}
	near := config.NearCondition(rest[0].Text)
	if near == "" || config.TakesValues(near) && len(rest) == 1 {
		return ""
	}
	return near
}
