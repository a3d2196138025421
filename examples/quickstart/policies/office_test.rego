package office_test

import data.office

test_everybody_reads if {
	office.allow with input as request("GET", [])
}

test_a_reader_does_not_write if {
	not office.allow with input as request("POST", [])
}

test_an_editor_writes if {
	office.allow with input as request("POST", ["editor"])
}

test_an_admin_does_not_delete if {
	count(office.deny) == 1 with input as request("DELETE", ["admin"])
}

test_nobody_does_not_read if {
	not office.allow with input as {"request": {"method": "GET"}, "identity": {"authenticated": false}}
}

request(method, roles) := {
	"request": {"method": method},
	"identity": {"authenticated": true, "roles": roles},
}
