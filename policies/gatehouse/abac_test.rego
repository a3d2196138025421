package gatehouse.abac_test

import data.gatehouse.abac

test_has if {
	abac.has({"dept": "sales"}, "dept", "sales")
	abac.has({"teams": ["a", "b"]}, "teams", "b")
	not abac.has({"dept": "sales"}, "dept", "sale")
	not abac.has({}, "dept", "sales")
	not abac.has({"staff": "true"}, "staff", true)
}

test_satisfies if {
	abac.satisfies({"dept": "legal", "staff": true}, {"dept": ["sales", "legal"], "staff": true})
	not abac.satisfies({"dept": "legal"}, {"dept": ["sales", "legal"], "staff": true})
	not abac.satisfies({"dept": "hr", "staff": true}, {"dept": ["sales", "legal"], "staff": true})
}

test_wanting_nothing_satisfies_nobody if {
	not abac.satisfies({"dept": "legal"}, {})
	not abac.satisfies({"dept": "legal"}, {"dept": []})
}

test_at_least if {
	levels := ["public", "internal", "secret"]
	abac.at_least(levels, "secret", "internal")
	abac.at_least(levels, "internal", "internal")
	not abac.at_least(levels, "public", "internal")
	not abac.at_least(levels, "cosmic", "internal")
	not abac.at_least(levels, "secret", "cosmic")
}

at(hour, minute) := {"hour": hour, "minute": minute}

test_during_the_day if {
	abac.during("08:00", "18:00") with input.time as at(8, 0)
	abac.during("08:00", "18:00") with input.time as at(17, 59)
	not abac.during("08:00", "18:00") with input.time as at(18, 0)
	not abac.during("08:00", "18:00") with input.time as at(7, 59)
	abac.during("18:00", "24:00") with input.time as at(23, 59)
}

test_past_midnight if {
	abac.during("22:00", "06:00") with input.time as at(23, 0)
	abac.during("22:00", "06:00") with input.time as at(5, 59)
	not abac.during("22:00", "06:00") with input.time as at(6, 0)
	not abac.during("22:00", "06:00") with input.time as at(12, 0)
}

test_no_time_at_all if not abac.during("08:00", "08:00") with input.time as at(8, 0)

test_clock_that_cannot_be_read if {
	every clock in ["8:00", "08:60", "25:00", "24:30", "0800", "", "08:00:00"] {
		not abac.during(clock, "23:00") with input.time as at(8, 0)
		not abac.during("00:00", clock) with input.time as at(8, 0)
	}
}

test_workday if {
	abac.workday with input.time.weekday as "friday"
	not abac.workday with input.time.weekday as "saturday"
	not abac.workday with input as {}
}

test_in_network if {
	abac.in_network("10.1.2.3", ["192.168.0.0/16", "10.0.0.0/8"])
	abac.in_network("2001:db8::1", ["2001:db8::/32"])
	not abac.in_network("11.1.2.3", ["10.0.0.0/8"])
	not abac.in_network("10.1.2.3", [])
}
