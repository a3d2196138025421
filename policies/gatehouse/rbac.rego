# METADATA
# title: Roles and their permissions
# description: >-
#   Permissions by role, with roles that inherit from others, from data.rbac:
#   {"permissions": {"viewer": ["reports:read"]}, "inherits": {"editor": ["viewer"]}}.
#   Both parts may be left out. A role may inherit in circles.
package gatehouse.rbac

# METADATA
# title: allowed(roles, permission)
# description: >-
#   True when one of the roles has the permission, itself or by inheritance. A
#   permission in data may have stars, each for a part between colons:
#   "reports:*" gives "reports:read", but not "reports:eu:read".
allowed(roles, permission) if permission in permissions(roles)

allowed(roles, permission) if {
	some granted in permissions(roles)
	contains(granted, "*")
	glob.match(granted, [":"], permission)
}

# METADATA
# title: permissions(roles)
# description: The permissions of all the roles together, as a set, stars as they are.
permissions(roles) := {permission |
	some role in effective(roles)
	some permission in data.rbac.permissions[role]
}

# METADATA
# title: effective(roles)
# description: The roles with all that they inherit, as a set.
effective(roles) := own | inherited(own) if own := {role | some role in roles}

# graph.reachable leaves out what is no key of the graph, and a role at the end of
# a chain is none. So take the neighbours of what it finds, too.
inherited(roles) := {role |
	some heir in graph.reachable(data.rbac.inherits, roles)
	some role in data.rbac.inherits[heir]
}
