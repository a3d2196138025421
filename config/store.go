package config

import (
	"strings"
)

// Store says where state lives: in one of the two, or with neither in a bolt
// file of the default name.
type Store struct {
	// Bolt is a file on this machine, for one instance.
	Bolt *Bolt `json:"bolt,omitempty"`

	// Redis is a server that several instances share.
	Redis *Redis `json:"redis,omitempty"`
}

// Bolt is a store in one file.
type Bolt struct {
	// File is its path; a relative one starts at Caddy's working directory.
	// {env.NAME} and {file.PATH} are filled in. Default:
	// "gatehouse/gatehouse.db" in Caddy's data folder.
	File string `json:"file,omitempty"`
}

// Redis is a store on a Redis server, Sentinel or Cluster.
type Redis struct {
	// URL names the servers, the user and the password:
	//
	//	redis://[user:password@]host[:6379][/db]       one server
	//	rediss://…                                     the same, over TLS
	//	redis+sentinel://[…@]host:26379,host/master    Sentinel
	//	redis+cluster://[…@]host:6379,host:6379        Cluster
	//
	// {env.NAME} and {file.PATH} are filled in. Required.
	URL Secret `json:"url"`
}

// redisSchemes are the beginnings of URL that the store can use.
var redisSchemes = []string{
	"redis://", "rediss://",
	"redis+sentinel://", "rediss+sentinel://",
	"redis+cluster://", "rediss+cluster://",
}

func (s *Store) validate() error {
	if s.Bolt != nil && s.Redis != nil {
		return fault("redis", "bolt is given too: state lives in one store, keep one of them")
	}
	if s.Bolt != nil {
		return under("bolt", s.Bolt.validate())
	}
	if s.Redis != nil {
		return under("redis", s.Redis.validate())
	}
	return nil
}

func (b *Bolt) validate() error {
	switch {
	case strings.ContainsRune(b.File, 0):
		return fault("file", "the path holds a NUL character")
	case strings.Contains(b.File, "://"):
		return fault("file", "this is a URL: write the path of a file, or use the redis store")
	case b.File != "" && strings.TrimSpace(b.File) == "":
		return fault("file", "the path is empty: write the path of a file, or leave it out for the default")
	case strings.HasSuffix(b.File, "/"), b.File == ".", b.File == "..",
		strings.HasSuffix(b.File, "/."), strings.HasSuffix(b.File, "/.."):
		return fault("file", "%q is a folder: write the path of a file, such as /var/lib/gatehouse/gatehouse.db", b.File)
	}
	return nil
}

// validate looks at the beginning of the URL only, and says nothing of the rest:
// what is not a URL may well be a password. The store itself parses it.
func (r *Redis) validate() error {
	url := string(r.URL)
	if url == "" {
		return fault("url", "it is empty: write redis://host:6379 or an {env.NAME} that holds it")
	}
	if strings.HasPrefix(url, "{") {
		return nil // filled in by Resolve, and checked again
	}
	for _, scheme := range redisSchemes {
		if strings.HasPrefix(url, scheme) && len(url) > len(scheme) {
			return nil
		}
	}
	return fault("url", "it is not a Redis URL: write one that begins with redis://, rediss://, redis+sentinel:// or redis+cluster://, such as redis://host:6379")
}
