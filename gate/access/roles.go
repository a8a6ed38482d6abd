package access

import (
	"slices"
	"strings"

	"github.com/yserverd/yserverd/gate"
)

// roleAdmin is the user's own role that passes every rule of access.
const roleAdmin = "admin"

// roles is a list of roles with its hierarchy expanded.
type roles struct {
	any    bool // none is asked for: being authenticated is enough
	public bool // everybody passes
	names  []string
}

// expandRoles resolves "role+" by the hierarchy. What is not in it stays what it is, a name that nobody should have:
// Check refuses such a declaration.
func expandRoles(list, hierarchy []string) roles {
	r := roles{any: len(list) == 0}
	for _, role := range list {
		base, above := strings.CutSuffix(role, "+")
		at := slices.Index(hierarchy, base)
		switch {
		case role == RolePublic:
			r.public = true
		case above && at >= 0:
			r.names = append(r.names, hierarchy[at:]...)
		default:
			r.names = append(r.names, role)
		}
	}
	return r
}

// pass reports whether a caller has one of the roles. An administrator has, and so has everybody who is authenticated
// where none is asked for.
func (r *roles) pass(id *gate.Identity) bool {
	switch {
	case r.public:
		return true
	case !id.Authenticated():
		return false
	case r.any || isAdmin(id):
		return true
	}
	return slices.ContainsFunc(id.Roles, func(role string) bool { return slices.Contains(r.names, role) })
}

// isAdmin reports whether rules of access do not count for a caller.
func isAdmin(id *gate.Identity) bool { return id.Authenticated() && id.UserRole == roleAdmin }

// writeRule is a room's WriteRule. It decides on callers who were admitted.
type writeRule struct {
	asks         bool // there are roles to have
	roles        roles
	quietReaders bool
}

func newWriteRule(w *WriteRule, hierarchy []string) writeRule {
	if w == nil {
		return writeRule{}
	}
	return writeRule{asks: len(w.Roles) > 0, roles: expandRoles(w.Roles, hierarchy), quietReaders: w.WritersOnlyPresence}
}

// decide makes the decision on an admitted caller; allowed is whether the rest of the declaration lets it write.
func (w *writeRule) decide(id *gate.Identity, allowed bool) gate.Decision {
	write := allowed && (!w.asks || w.roles.pass(id))
	return gate.Decision{Identity: *id, Write: write, NoPresence: w.quietReaders && !write}
}
