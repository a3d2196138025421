package gatehouse.rebac_test

import data.gatehouse.rebac

example := {
	"document:1#owner": ["user:alice"],
	"document:1#viewer": ["document:1#owner", "folder:a#viewer"],
	"folder:a#viewer": ["group:finance#member", "group:gone#member"],
	"group:finance#member": ["user:bob", "group:interns#member"],
	"group:interns#member": ["user:carol", "group:finance#member"],
}

test_direct if rebac.related("user:alice", "owner", "document:1") with data.relations as example

test_implied if rebac.related("user:alice", "viewer", "document:1") with data.relations as example

test_through_folder_and_group if {
	rebac.related("user:bob", "viewer", "document:1") with data.relations as example
	rebac.related("user:carol", "viewer", "document:1") with data.relations as example
}

test_not_the_other_way if not rebac.related("user:bob", "owner", "document:1") with data.relations as example

test_stranger if not rebac.related("user:dave", "viewer", "document:1") with data.relations as example

test_unknown_resource if not rebac.related("user:alice", "viewer", "document:2") with data.relations as example

test_without_data if not rebac.related("user:alice", "viewer", "document:1") with data.relations as {}

test_name_that_passes_for_a_relation if {
	not rebac.related("document:1#owner", "viewer", "document:1") with data.relations as example
	not rebac.related("user:alice", "owner#x", "document:1") with data.relations as {"document:1#owner#x": ["user:alice"]}
	not rebac.related("user:alice", "x", "document:1#owner") with data.relations as {"document:1#owner#x": ["user:alice"]}
}

test_subjects if {
	rebac.subjects("viewer", "document:1") == {"user:alice", "user:bob", "user:carol"} with data.relations as example
	rebac.subjects("viewer", "document:2") == set() with data.relations as example
}
