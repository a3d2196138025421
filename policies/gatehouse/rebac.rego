# METADATA
# title: Relationships
# description: >-
#   Who is related to what, from data.relations: an object from "resource#relation"
#   to a list of those who have it, who are subjects or the holders of another
#   relation. {"document:1#viewer": ["user:alice", "document:1#owner",
#   "group:finance#member"], "group:finance#member": ["user:bob"]}. A relation that
#   implies another, and a folder that passes on to its documents, are entries
#   like any other. Circles do no harm.
package gatehouse.rebac

# METADATA
# title: related(subject, relation, resource)
# description: >-
#   True when the subject has the relation to the resource, through any chain:
#   related("user:bob", "viewer", "document:1"). Names with a # are refused, so that
#   part of a request cannot pass for a relation.
related(subject, relation, resource) if {
	not contains(subject, "#")
	some node in reached(relation, resource)
	subject in data.relations[node]
}

# METADATA
# title: subjects(relation, resource)
# description: All who have the relation to the resource, through any chain, as a set.
subjects(relation, resource) := {subject |
	some node in reached(relation, resource)
	some subject in data.relations[node]
	not contains(subject, "#")
}

# graph.reachable leaves out what is no key of the graph, which all subjects are.
# So it only finds the relations, and their lists have the subjects.
reached(relation, resource) := graph.reachable(data.relations, {node}) if {
	not contains(relation, "#")
	not contains(resource, "#")
	node := concat("#", [resource, relation])
}
