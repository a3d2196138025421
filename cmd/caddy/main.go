package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/open-policy-agent/opa/v1/rego"
	_ "github.com/redis/go-redis/v9"
	_ "go.etcd.io/bbolt"
)

func main() { caddycmd.Main() }
