# METADATA
# title: Attributes, times and networks
# description: >-
#   Comparisons of attributes of the caller or of things, of the time of day, and of
#   networks. What is absent or cannot be read is undefined, and so no: ask in
#   allow rules, and in deny rules with "not", so that doubt refuses.
package gatehouse.abac

# METADATA
# title: has(attributes, name, value)
# description: True when the attribute is the value, or a list or set that holds it.
has(attributes, name, value) if attributes[name] == value

has(attributes, name, value) if value in attributes[name]

# METADATA
# title: satisfies(attributes, wanted)
# description: >-
#   True when every wanted attribute is there; a list of wanted values means any one
#   of them: satisfies(input.identity.claims, {"dept": ["sales", "legal"], "staff":
#   true}). To want nothing is a mistake, and satisfied by nobody.
satisfies(attributes, wanted) if {
	count(wanted) > 0
	every name, value in wanted {
		wants(attributes, name, value)
	}
}

wants(attributes, name, value) if {
	not is_array(value)
	has(attributes, name, value)
}

wants(attributes, name, value) if {
	is_array(value)
	some one in value
	has(attributes, name, one)
}

# METADATA
# title: at_least(levels, have, need)
# description: >-
#   Compares two levels by their place in a list from lowest to highest. A level that
#   is not in the list is neither had nor needed by anyone.
at_least(levels, have, need) if {
	some i, had in levels
	had == have
	some j, needed in levels
	needed == need
	i >= j
}

# METADATA
# title: during(from, to)
# description: >-
#   True from one time of day until just before another, such as during("08:00",
#   "18:00"), by input.time; past midnight when the end is earlier than the start.
during(from, to) if {
	minutes(from) <= minutes(to)
	minute_of_day >= minutes(from)
	minute_of_day < minutes(to)
}

during(from, to) if {
	minutes(from) > minutes(to)
	minute_of_day >= minutes(from)
}

during(from, to) if {
	minutes(from) > minutes(to)
	minute_of_day < minutes(to)
}

# METADATA
# title: workday
# description: True from Monday to Friday, by input.time.
workday if input.time.weekday in {"monday", "tuesday", "wednesday", "thursday", "friday"}

# METADATA
# title: in_network(address, networks)
# description: >-
#   True when an address, such as input.request.client_ip, is in one of the networks:
#   in_network(input.request.client_ip, ["10.0.0.0/8", "2001:db8::/32"]).
in_network(address, networks) if {
	some network in networks
	net.cidr_contains(network, address)
}

# The fields one by one: a policy that reads all of input.time is asked anew each second.
minute_of_day := (input.time.hour * 60) + input.time.minute

minutes(clock) := (to_number(parts[0]) * 60) + to_number(parts[1]) if {
	regex.match(`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`, clock)
	parts := split(clock, ":")
}
