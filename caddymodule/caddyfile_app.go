package caddymodule

import (
	"strconv"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/config"
)

// appOptions are the words of the global block. The last ones belong to the
// grammar, and are refused by name until they are built.
func appOptions(b *block, app *config.App) []option {
	return []option{
		{name: "store", parse: func() error { return readStore(b, &app.Store) }},
		{name: "policies", parse: func() error { return readPolicies(b, &app.Policies) }},
		{name: "passwords", parse: func() error { return readPasswords(b, &app.Passwords) }},
		{name: "sessions", parse: func() error { return readSessions(b, &app.Sessions) }},
		{name: "keys", parse: func() error { return readKeys(b, &app.Keys) }},
		{name: "jwt", repeat: true, parse: func() error { return readJWT(b, app) }},
		{name: "certificates", parse: func() error { return readCertificates(b, app) }},
		{name: "oidc", repeat: true, parse: func() error { return readOIDC(b, app) }},
		{name: "portal", parse: func() (err error) { app.Portal, err = b.one("portal", "https://auth.example.com"); return err }},
		{name: "tokens", instead: "remove it"},
		{name: "mail", instead: "remove it; nothing is sent by mail yet"},
	}
}

// readStore never repeats what was written: it may hold a password.
func readStore(b *block, s *config.Store) error {
	b.note("store")
	args := b.RemainingArgs()
	if len(args) == 0 {
		return b.Err("store needs a kind: write store bolt <file> or store redis <url>")
	}
	kind, rest := args[0], args[1:]
	switch {
	case kind == "bolt" && len(rest) <= 1:
		s.Bolt = &config.Bolt{}
		if len(rest) == 1 {
			if s.Bolt.File = rest[0]; rest[0] == "" {
				return b.Err("store: the file's name is empty: write store bolt <file>, or store bolt for the default file")
			}
		}
		return nil
	case kind == "bolt":
		return b.Err("store bolt takes one file: write store bolt <file>, with quotes around a name that has spaces")
	case kind == "redis" && len(rest) == 1:
		s.Redis = &config.Redis{URL: config.Secret(rest[0])}
		return nil
	case kind == "redis":
		return b.Err("store redis needs one URL: write store redis redis://host:6379")
	case !word.MatchString(kind):
		return b.Err("store needs its kind first: write store bolt <file> or store redis <url>")
	}
	return b.Err(config.Unknown("kind of store", kind, []string{"bolt", "redis"}))
}

func readPolicies(b *block, p *config.Policies) error {
	b.note("policies")
	p.Dirs = b.RemainingArgs()
	if len(p.Dirs) == 0 && !b.opens() {
		return b.Err("policies needs a folder: write policies ./policies")
	}
	in := b.inner("policies")
	return in.read([]option{
		{name: "budget", parse: func() error { return in.duration("budget", "25ms", &p.Budget) }},
		{name: "bundle", instead: "keep the Rego in a folder and write policies <dir>"},
	})
}

func readPasswords(b *block, p *config.Passwords) error {
	b.note("passwords")
	if b.NextArg() {
		if b.Val() != "off" {
			return b.Errf("passwords takes off or a block, not %q: write passwords off or passwords { ... }", b.Val())
		}
		p.Off = true
		return nil
	}
	if !b.opens() {
		return b.Err("passwords needs off or a block: write passwords off or passwords { ... }, or leave it out, since passwords are on by default")
	}
	in := b.inner("passwords")
	return in.read([]option{
		{name: "min_length", parse: func() error { return in.number("min_length", "15", &p.MinLength) }},
		{name: "registration", parse: func() (err error) {
			p.Registration, err = in.one("registration", config.RegistrationClosed)
			return err
		}},
		{name: "argon2id", parse: func() error { return readArgon2id(in, &p.Argon2id) }},
	})
}

func readArgon2id(b *block, a *config.Argon2id) error {
	b.note("argon2id")
	if !b.opens() {
		return b.Err("passwords.argon2id needs a block: write argon2id { ... } with memory 19MiB on a line of its own in it")
	}
	in := b.inner("argon2id")
	return in.read([]option{
		{name: "memory", parse: func() error {
			text, err := in.one("memory", "19MiB")
			if err != nil {
				return err
			}
			if a.Memory, err = config.ParseSize(text); err != nil {
				return in.Errf("%s: %v", in.path("memory"), err)
			}
			if a.Memory == 0 {
				return in.Errf("%s: 0 is no size: write memory 19MiB", in.path("memory"))
			}
			return nil
		}},
		{name: "iterations", parse: func() error {
			var n int
			err := in.number("iterations", "2", &n)
			a.Iterations = uint32(n) //nolint:gosec // number gives at most 65535
			return err
		}},
		{name: "parallelism", parse: func() error {
			var n int
			err := in.number("parallelism", "1", &n)
			a.Parallelism = uint8(min(n, 255)) //nolint:gosec // bounded here
			return err
		}},
	})
}

func readSessions(b *block, s *config.Sessions) error {
	b.note("sessions")
	if !b.opens() {
		return b.Err("sessions needs a block: write sessions { ... } with idle_timeout 1h on a line of its own in it")
	}
	in := b.inner("sessions")
	return in.read([]option{
		{name: "idle_timeout", parse: func() error { return in.duration("idle_timeout", "1h", &s.IdleTimeout) }},
		{name: "lifetime", parse: func() error { return in.duration("lifetime", "24h", &s.Lifetime) }},
		{name: "remember_me", parse: func() error {
			if in.off("remember_me") {
				return nil
			}
			return in.duration("remember_me", "30d", &s.RememberMe)
		}},
		{name: "cookie_domain", parse: func() (err error) {
			if in.off("cookie_domain") {
				return nil
			}
			s.CookieDomain, err = in.one("cookie_domain", "example.com")
			s.CookieDomain = strings.ToLower(s.CookieDomain)
			return err
		}},
	})
}

// off reads the word off, if it follows: the default, spelled out.
func (b *block) off(field string) bool {
	if b.NextArg() {
		if b.Val() == "off" {
			b.note(field)
			return true
		}
		b.Prev()
	}
	return false
}

// number reads the single value of an option that is a positive whole number.
func (b *block) number(field, example string, to *int) error {
	text, err := b.one(field, example)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return b.Errf("%s: %q is no whole number from 1 to 65535: write %s %s", b.path(field), text, field, example)
	}
	*to = int(n)
	return nil
}
