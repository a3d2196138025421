package gatehouse.http_test

import data.gatehouse.http

test_safe if {
	every method in ["GET", "HEAD", "OPTIONS", "TRACE"] { http.safe(method) }
	every method in ["POST", "PUT", "PATCH", "DELETE", "get", "", "CONNECT"] { not http.safe(method) }
}

test_idempotent if {
	every method in ["GET", "PUT", "DELETE"] { http.idempotent(method) }
	every method in ["POST", "PATCH", "put"] { not http.idempotent(method) }
}

test_action if {
	http.action("GET") == "read"
	http.action("PATCH") == "update"
	not http.action("BREW")
}

test_below if {
	http.below("/reports", "/reports")
	http.below("/reports/", "/reports")
	http.below("/reports", "/reports/2026/1")
	http.below("/", "/anything")
	not http.below("/reports", "/reports-old")
	not http.below("/reports", "/")
	not http.below("/reports", "/Reports/x")
}

test_matches if {
	http.matches("/a/*/edit", "/a/b/edit")
	not http.matches("/a/*/edit", "/a/b/c/edit")
	http.matches("/a/**", "/a/b/c")
	not http.matches("/a/*", "/a/b/c")
}

test_captures if {
	http.captures("/teams/{team}/reports/{id}", ["teams", "red", "reports", "7"]) == {"team": "red", "id": "7"}
	http.captures("/teams", ["teams"]) == {}
	not http.captures("/teams/{team}", ["teams"])
	not http.captures("/teams/{team}", ["groups", "red"])
	not http.captures("/teams/{team}", ["teams", "red", "x"])
}

test_captures_takes_braces_in_the_path_as_text if {
	http.captures("/a/{x}", ["a", "{x}"]) == {"x": "{x}"}
	not http.captures("/a/b", ["a", "{x}"])
}

test_parameter if {
	http.parameter({"q": ["x"]}, "q") == "x"
	not http.parameter({"q": ["x", "y"]}, "q")
	not http.parameter({}, "q")
}
