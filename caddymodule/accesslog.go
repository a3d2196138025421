package caddymodule

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// warnLoggedKeys looks for a log that would hold the key header in clear: the access
// log, if there is one, and the error log, which has the whole request whenever the
// app does not answer. Caddy masks Authorization and cookies by itself, and takes its
// copy of the request before any handler runs, so that nothing here could mask
// another header.
func (h *Handler) warnLoggedKeys(ctx caddy.Context) {
	name := h.app.Keys.Header
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || name == "" {
		return
	}
	logs := customLogs(ctx)
	for _, host := range hostsBeside(srv, h.Name) {
		for _, logger := range requestLoggers(srv.Logs, host) {
			if logsHeader(logs, logger, name) {
				h.app.warnOnce("a log would hold keys in clear: Caddy logs each request whose app does not answer, and with a log directive every request; " +
					"write `log { format filter { request>headers>" + name + " delete } }` among the global options, and the same format in each log directive of a site, " +
					"or have keys sent as Authorization only, which Caddy masks")
				return
			}
		}
	}
}

// hostsBeside are all hosts of the site with this address, which has its own among
// them. A name that is no host of the server may stand for any.
func hostsBeside(srv *caddyhttp.Server, address string) []string {
	host, _, _ := strings.Cut(address, ":")
	if host == "" {
		return []string{""}
	}
	for _, route := range srv.Routes {
		if all := hosts(route); slices.ContainsFunc(all, func(h string) bool { return strings.EqualFold(h, host) }) {
			return all
		}
	}
	all := []string{host}
	if srv.Logs != nil {
		all = slices.AppendSeq(all, maps.Keys(srv.Logs.LoggerNames))
	}
	return all
}

// requestLoggers are the names under which a server writes requests to one of its
// hosts, as Caddy finds them; "" is any host.
func requestLoggers(c *caddyhttp.ServerLogConfig, host string) []string {
	const errors, access = "http.log.error", "http.log.access"
	if c == nil {
		return []string{errors}
	}
	host = strings.ToLower(host)
	names, mapped := c.LoggerNames[host]
	labels := strings.Split(host, ".")
	for i := 0; i < len(labels) && !mapped; i++ {
		labels[i] = "*"
		names, mapped = c.LoggerNames[strings.Join(labels, ".")]
	}
	if !mapped {
		names = []string{c.DefaultLoggerName}
	}
	var all []string
	for _, name := range names {
		all = append(all, strings.TrimSuffix(errors+"."+name, "."))
		if mapped || !c.SkipUnmappedHosts && !slices.Contains(c.SkipHosts, host) {
			all = append(all, strings.TrimSuffix(access+"."+name, "."))
		}
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
