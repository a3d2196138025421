package redis

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Target is a parsed URL: which Redis to use.
type Target struct {
	Kind   string   // "redis", "sentinel" or "cluster"
	TLS    bool     // certificates are verified against the system's roots
	Addrs  []string // host:port; of the Sentinels, or of some nodes of the Cluster
	Master string   // name at the Sentinels
	DB     int

	username, password                 string
	sentinelUsername, sentinelPassword string
}

// ParseURL reads where the Redis is, without any network:
//
//	redis://[user:password@]host[:port][/db]
//	redis+sentinel://[user:password@]host[:port][,…]/master[?db=n&sentinel_username=…&sentinel_password=…]
//	redis+cluster://[user:password@]host[:port][,…]
//
// rediss, rediss+sentinel and rediss+cluster are the same with TLS. The default
// port is 6379, of Sentinels 26379. An error never repeats any part of the URL
// that could be a secret.
func ParseURL(raw string) (*Target, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, errors.New("a redis URL starts with redis://, rediss://, redis+sentinel:// or redis+cluster://")
	}
	t, port, err := parseScheme(scheme)
	if err != nil {
		return nil, err
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	// A password with an unescaped / ? # ends the authority early. What follows
	// is then part of a secret, and must not get into a message.
	if strings.Contains(tail, "@") {
		return nil, errors.New("the redis URL has an @ after the host: write /, ?, # and @ in a user name or password as %2F, %3F, %23 and %40")
	}
	hosts := authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		hosts = authority[i+1:]
		if err := t.credentials(authority[:i]); err != nil {
			return nil, err
		}
	}
	if t.Addrs, err = addresses(hosts, port); err != nil {
		return nil, err
	}
	if strings.Contains(tail, "#") {
		return nil, errors.New("the redis URL may not have a #fragment")
	}
	path, query, _ := strings.Cut(tail, "?")
	if err := t.path(strings.TrimPrefix(path, "/")); err != nil {
		return nil, err
	}
	if err := t.query(query); err != nil {
		return nil, err
	}
	return t, nil
}

func parseScheme(scheme string) (t *Target, port string, err error) {
	base, kind, ok := strings.Cut(strings.ToLower(scheme), "+")
	if !ok {
		kind = "redis"
	}
	known := ok && (kind == "sentinel" || kind == "cluster") || !ok
	if base != "redis" && base != "rediss" || !known {
		return nil, "", errors.New("the scheme of a redis URL is redis, rediss (TLS), redis+sentinel, rediss+sentinel, redis+cluster or rediss+cluster")
	}
	port = "6379"
	if kind == "sentinel" {
		port = "26379"
	}
	return &Target{Kind: kind, TLS: base == "rediss"}, port, nil
}

func (t *Target) credentials(s string) error {
	user, pass, hasPass := strings.Cut(s, ":")
	var errUser, errPass error
	t.username, errUser = url.PathUnescape(user)
	t.password, errPass = url.PathUnescape(pass)
	switch {
	case errUser != nil || errPass != nil:
		return errors.New("the user name or password in the redis URL has a % that is not followed by two hex digits; write % as %25")
	case t.username != "" && t.password == "":
		return errors.New("the redis URL has a user name but no password; write redis://user:password@host or redis://:password@host")
	case hasPass && t.password == "":
		return errors.New("the password in the redis URL is empty")
	}
	return nil
}

func addresses(hosts, port string) ([]string, error) {
	list := strings.Split(hosts, ",")
	addrs := make([]string, 0, len(list))
	for i, h := range list {
		where := "the host"
		if len(list) > 1 {
			where = fmt.Sprintf("host %d of %d", i+1, len(list))
		}
		if h == "" {
			return nil, fmt.Errorf("%s in the redis URL is empty; write host:port", where)
		}
		host, p, err := net.SplitHostPort(h)
		if err != nil { // no port, then
			host, p = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]"), port
			if strings.Contains(host, ":") && !strings.HasPrefix(h, "[") {
				return nil, fmt.Errorf("%s in the redis URL is no host:port; write an IPv6 address in [ ]", where)
			}
		}
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%s in the redis URL has no port between 1 and 65535", where)
		}
		if host == "" || strings.ContainsAny(host, " \t\r\n\x00%[]\\\"<>^`{|}") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return nil, fmt.Errorf("%s in the redis URL is no host name or address", where)
		}
		addrs = append(addrs, net.JoinHostPort(host, p))
	}
	return addrs, nil
}

func (t *Target) path(path string) error {
	switch t.Kind {
	case "sentinel":
		name, err := url.PathUnescape(path)
		if err != nil || name == "" || strings.Contains(name, "/") {
			return errors.New("the redis URL lacks the name of the master; write redis+sentinel://host:port,host:port/master")
		}
		t.Master = name
		return nil
	case "cluster":
		if path != "" && path != "0" {
			return errors.New("a Redis Cluster has only database 0; the redis URL ends after the hosts")
		}
	case "redis":
		if len(t.Addrs) != 1 {
			return errors.New("several hosts need redis+sentinel:// or redis+cluster://")
		}
		if path != "" {
			return t.db(path)
		}
	}
	return nil
}

func (t *Target) db(s string) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return errors.New("the database in the redis URL is a number, as in redis://host:6379/0")
	}
	t.DB = int(n)
	return nil
}

func (t *Target) query(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return errors.New("the options after the ? in the redis URL are not of the form name=value&name=value")
	}
	for name, v := range values {
		if t.Kind != "sentinel" {
			return fmt.Errorf("unknown option %q in the redis URL; %s URLs take none", name, t.Kind)
		}
		if len(v) != 1 || v[0] == "" {
			return fmt.Errorf("option %q in the redis URL needs one value", name)
		}
		switch name {
		case "db":
			err = t.db(v[0])
		case "sentinel_username":
			t.sentinelUsername = v[0]
		case "sentinel_password":
			t.sentinelPassword = v[0]
		default:
			err = fmt.Errorf("unknown option %q in the redis URL; there are db, sentinel_username and sentinel_password", name)
		}
		if err != nil {
			return err
		}
	}
	if t.sentinelUsername != "" && t.sentinelPassword == "" {
		return errors.New("sentinel_username in the redis URL needs sentinel_password, too")
	}
	return nil
}

// String names the target without its secrets. It is the same for every way to
// write the same one but for the order of its hosts.
func (t *Target) String() string {
	scheme := "redis"
	if t.TLS {
		scheme = "rediss"
	}
	hosts := strings.Join(t.Addrs, ",")
	switch t.Kind {
	case "sentinel":
		return fmt.Sprintf("%s+sentinel://%s/%s?db=%d", scheme, hosts, url.PathEscape(t.Master), t.DB)
	case "cluster":
		return fmt.Sprintf("%s+cluster://%s", scheme, hosts)
	}
	return fmt.Sprintf("%s://%s/%d", scheme, hosts, t.DB)
}

// Format keeps the password out of every verb of fmt.
func (t *Target) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }
