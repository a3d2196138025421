package caddymodule

import (
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// warnLoggedKeys looks for an access log that would hold the key header in clear.
// Caddy masks Authorization and cookies by itself, and takes its copy of the
// request before any handler runs, so that nothing here could mask another one.
func (h *Handler) warnLoggedKeys(ctx caddy.Context) {
	name := h.app.Keys.Header
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || srv.Logs == nil || name == "" {
		return
	}
	host, _, _ := strings.Cut(h.Name, ":")
	for _, logger := range accessLoggers(srv.Logs, host) {
		if logsHeader(customLogs(ctx), logger, name) {
			h.app.warnOnce("the access log of a site would hold keys in clear: give its log directive `format filter { request>headers>" + name +
				" delete }`, or have keys sent as Authorization only, which Caddy masks")
			return
		}
	}
}

// accessLoggers are the names under which a server writes its access log about
// one of its hosts, as Caddy finds them; "" is any host.
func accessLoggers(c *caddyhttp.ServerLogConfig, host string) []string {
	const base = "http.log.access"
	host = strings.ToLower(host)
	names, mapped := c.LoggerNames[host]
	labels := strings.Split(host, ".")
	for i := 0; i < len(labels) && !mapped; i++ {
		labels[i] = "*"
		names, mapped = c.LoggerNames[strings.Join(labels, ".")]
	}
	if !mapped {
		if c.SkipUnmappedHosts || slices.Contains(c.SkipHosts, host) {
			return nil
		}
		names = []string{c.DefaultLoggerName}
	}
	all := make([]string, 0, len(names))
	for _, name := range names {
		all = append(all, strings.TrimSuffix(base+"."+name, "."))
	}
	return all
}

// writtenLog is what counts of one of Caddy's logs.
type writtenLog struct {
	filtered         []string // fields that a filter does something about
	include, exclude []string
}

// logsHeader reports whether what a logger writes ends in a log that does not
// filter the header.
func logsHeader(logs []writtenLog, logger, header string) bool {
	for _, l := range logs {
		accepted := longest(l.include, logger)
		if len(l.include) > 0 && accepted == 0 || longest(l.exclude, logger) > accepted {
			continue
		}
		// What a filter does is the operator's word.
		if !slices.ContainsFunc([]string{"request", "request>headers", "request>headers>" + header}, func(field string) bool {
			return slices.Contains(l.filtered, field)
		}) {
			return true
		}
	}
	return false
}

// longest is the length of the longest name that holds the logger; 0 for none.
func longest(names []string, logger string) int {
	n := 0
	for _, name := range names {
		if strings.HasPrefix(logger+".", name+".") {
			n = max(n, len(name))
		}
	}
	return n
}

// customLogs are the logs of the configuration at hand, with the default one.
// Caddy keeps them to itself, so this looks for them by reflection; should that
// fail one day, there is the default log, which filters nothing.
func customLogs(ctx caddy.Context) []writtenLog {
	byName := map[string]writtenLog{"default": {}}
	logging := reflect.Indirect(reflect.Indirect(reflect.ValueOf(ctx).FieldByName("cfg")))
	if logging.Kind() == reflect.Struct {
		logging = reflect.Indirect(logging.FieldByName("Logging"))
	}
	if logging.Kind() == reflect.Struct {
		if logs := logging.FieldByName("Logs"); logs.Kind() == reflect.Map {
			for it := logs.MapRange(); it.Next(); {
				if log := reflect.Indirect(it.Value()); log.Kind() == reflect.Struct {
					byName[it.Key().String()] = writtenLog{
						filtered: filteredFields(log.FieldByName("encoder")),
						include:  texts(log.FieldByName("Include")), exclude: texts(log.FieldByName("Exclude")),
					}
				}
			}
		}
	}
	all := make([]writtenLog, 0, len(byName))
	for _, l := range byName {
		all = append(all, l)
	}
	return all
}

// filteredFields are the fields that an encoder of Caddy's filters, also one
// inside another.
func filteredFields(encoder reflect.Value) (fields []string) {
	if encoder.Kind() == reflect.Interface {
		encoder = encoder.Elem()
	}
	encoder = reflect.Indirect(encoder)
	if encoder.Kind() != reflect.Struct {
		return nil
	}
	if m := encoder.FieldByName("Fields"); m.Kind() == reflect.Map && m.Type().Key().Kind() == reflect.String {
		for _, key := range m.MapKeys() {
			fields = append(fields, key.String())
		}
	}
	if inner := encoder.FieldByName("wrapped"); inner.IsValid() {
		fields = append(fields, filteredFields(inner)...)
	}
	return fields
}

func texts(v reflect.Value) (all []string) {
	if v.Kind() != reflect.Slice {
		return nil
	}
	for i := range v.Len() {
		all = append(all, v.Index(i).String())
	}
	return all
}
