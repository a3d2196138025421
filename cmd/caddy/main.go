// Command caddy is Caddy with its standard modules and Gatehouse.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // Caddy's own modules

	_ "github.com/gatehouse-proxy/gatehouse" // ours
)

func main() { caddycmd.Main() }
