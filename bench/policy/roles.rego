# METADATA
# title: The role policy of the benchmark
# description: Some eighty lines as an operator would write them.
package bench

default allow := false

# Everybody signed in sees the front page and static files.
allow if {
	input.identity.authenticated
	input.request.path == "/"
}

allow if {
	input.identity.authenticated
	input.request.segments[0] == "static"
	safe
}

# Administrators may do everything.
allow if "admin" in input.identity.roles

# A role's permissions, by the first segment of the path.
allow if {
	some role in input.identity.roles
	some area in permissions[role].read
	area == input.request.segments[0]
	safe
}

allow if {
	some role in input.identity.roles
	some area in permissions[role].write
	area == input.request.segments[0]
}

# Finance closes the books at night.
deny contains "the books are closed between 22:00 and 06:00" if {
	input.request.segments[0] == "books"
	not safe
	night
}

# Exports leave the house only for those who may export.
deny contains "exports need the group export" if {
	endswith(input.request.path, ".csv")
	not "export" in input.identity.groups
}

deny contains "contractors work on weekdays" if {
	"contractor" in input.identity.groups
	input.time.weekday in {"saturday", "sunday"}
}

safe if input.request.method in {"GET", "HEAD", "OPTIONS"}

night if input.time.hour >= 22

night if input.time.hour < 6

permissions := {
	"viewer": {
		"read": {"reports", "books", "people"},
		"write": set(),
	},
	"editor": {
		"read": {"reports", "books", "people", "drafts"},
		"write": {"reports", "drafts"},
	},
	"accountant": {
		"read": {"reports", "books", "invoices"},
		"write": {"books", "invoices"},
	},
	"support": {
		"read": {"people", "tickets"},
		"write": {"tickets"},
	},
}
