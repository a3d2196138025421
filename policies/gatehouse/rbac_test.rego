package gatehouse.rbac_test

import data.gatehouse.rbac

example := {
	"permissions": {
		"viewer": ["reports:read"],
		"editor": ["reports:write"],
		"boss": ["people:*"],
		"one": ["x"],
	},
	"inherits": {
		"editor": ["viewer"],
		"boss": ["editor"],
		"one": ["two"],
		"two": ["one", "missing"],
	},
}

test_own_permission if rbac.allowed(["viewer"], "reports:read") with data.rbac as example

test_inherited_permission if {
	rbac.allowed(["editor"], "reports:read") with data.rbac as example
	rbac.allowed(["boss"], "reports:read") with data.rbac as example
}

test_not_inherited_upwards if not rbac.allowed(["viewer"], "reports:write") with data.rbac as example

test_star if {
	rbac.allowed(["boss"], "people:fire") with data.rbac as example
	not rbac.allowed(["boss"], "people:eu:fire") with data.rbac as example
	not rbac.allowed(["boss"], "peoples:fire") with data.rbac as example
}

test_star_in_a_question_is_text if not rbac.allowed(["viewer"], "reports:*") with data.rbac as example

test_circle if {
	rbac.effective(["two"]) == {"one", "two", "missing"} with data.rbac as example
	rbac.allowed(["two"], "x") with data.rbac as example
}

test_role_at_the_end_of_a_chain if rbac.effective(["boss"]) == {"boss", "editor", "viewer"} with data.rbac as example

test_unknown_role if {
	rbac.effective(["ghost"]) == {"ghost"} with data.rbac as example
	not rbac.allowed(["ghost"], "reports:read") with data.rbac as example
}

test_without_roles if not rbac.allowed([], "reports:read") with data.rbac as example

test_without_inheritance if {
	rbac.allowed(["viewer"], "reports:read") with data.rbac as {"permissions": {"viewer": ["reports:read"]}}
}

test_without_data if not rbac.allowed(["viewer"], "reports:read") with data.rbac as {}
