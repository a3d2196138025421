# METADATA
# title: The office
# description: Everybody signed in reads; editors write; nobody deletes.
package office

default allow := false

allow if {
	input.identity.authenticated
	reading
}

allow if "editor" in input.identity.roles

allow if "admin" in input.identity.roles

# What deny says is shown to the person who is refused.
deny contains "nothing is ever deleted here" if input.request.method == "DELETE"

reading if input.request.method in {"GET", "HEAD"}
