# METADATA
# title: HTTP requests
# description: >-
#   Small questions about methods, paths and query parameters, asked of the parts
#   of input.request. Each is undefined, and so no, for anything it cannot read.
package gatehouse.http

# METADATA
# title: safe(method)
# description: True for the methods that only read (RFC 9110, section 9.2.1).
safe(method) if method in {"GET", "HEAD", "OPTIONS", "TRACE"}

# METADATA
# title: idempotent(method)
# description: True for the methods that may be repeated without harm (RFC 9110, section 9.2.2).
idempotent(method) if safe(method)

idempotent(method) if method in {"PUT", "DELETE"}

# METADATA
# title: action(method)
# description: >-
#   What a method commonly does, as the verb of a permission: read, create, update
#   or delete. Undefined for other methods.
action(method) := {
	"GET": "read",
	"HEAD": "read",
	"POST": "create",
	"PUT": "update",
	"PATCH": "update",
	"DELETE": "delete",
}[method]

# METADATA
# title: below(folder, path)
# description: >-
#   True for the folder itself and for all that is in it: "/reports" holds
#   "/reports" and "/reports/2026", but not "/reports-old".
below(folder, path) if path == trim_right(folder, "/")

below(folder, path) if startswith(path, concat("", [trim_right(folder, "/"), "/"]))

# METADATA
# title: matches(pattern, path)
# description: >-
#   Compares a path with a pattern in which * stands for a part of one segment, and
#   ** for any number of segments.
matches(pattern, path) if glob.match(pattern, ["/"], path)

# METADATA
# title: captures(pattern, segments)
# description: >-
#   Reads named segments out of a path: for "/teams/{team}/reports/{id}" and
#   input.request.segments it is {"team": "red", "id": "7"}. Undefined when the
#   path has another shape.
captures(pattern, segments) := found if {
	wanted := array.slice(split(pattern, "/"), 1, 1000)
	count(wanted) == count(segments)
	every i, part in wanted {
		fits(part, segments[i])
	}
	found := {trim(part, "{}"): segments[i] |
		some i, part in wanted
		named(part)
	}
}

# METADATA
# title: parameter(query, name)
# description: >-
#   The value of a query parameter that is there exactly once. A parameter that
#   is repeated is undefined: two readers of one request might take two different
#   values.
parameter(query, name) := query[name][0] if count(query[name]) == 1

named(part) if regex.match(`^\{[a-z_]+\}$`, part)

fits(part, _) if named(part)

fits(part, segment) if {
	not named(part)
	part == segment
}
