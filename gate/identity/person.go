package identity

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// person is what the tables know of a user.
type person struct {
	id, name, role, banned *string
	banExpires             *float64
}

// personColumns are those of person, in its order. The user's table is u.
func (t *table) personColumns() string {
	return strings.Join([]string{
		t.text("u", "id"), t.text("u", "name"), t.text("u", "role"), t.text("u", "banned"), t.seconds("u", "banExpires"),
	}, ", ")
}

// dest returns where a row's columns go.
func (p *person) dest() []any { return []any{&p.id, &p.name, &p.role, &p.banned, &p.banExpires} }

// refused reports whether the user was deleted or is banned.
func (p *person) refused(now time.Time) bool {
	if p.id == nil {
		return true
	}
	return isTrue(p.banned, false) && (p.banExpires == nil || !passed(p.banExpires, now))
}

// describe sets what is known of the user beside its id.
func (p *person) describe(id *gate.Identity) {
	id.Name = text(p.name)
	id.UserRole = userRole(text(p.role))
}

// text returns the string, or "" for NULL.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// isTrue reads a boolean, or a number that stands for one. What is none of both is true: it is asked of bans.
func isTrue(s *string, null bool) bool {
	if s == nil {
		return null
	}
	return !slices.Contains([]string{"false", "f", "0", ""}, *s)
}

// isFalse reads a boolean, or a number that stands for one. What is neither true nor NULL is false: it is asked of
// what enables.
func isFalse(s *string) bool {
	return s != nil && !slices.Contains([]string{"true", "t", "1"}, *s)
}

// passed reports whether a time, in seconds since 1970, is not in the future. NULL is no time, and has passed.
func passed(seconds *float64, now time.Time) bool {
	return seconds == nil || *seconds*1e3 <= float64(now.UnixMilli())
}

// timeOf returns a time of the database, or the zero time for none and for infinity.
func timeOf(seconds *float64) time.Time {
	if seconds == nil || math.IsInf(*seconds, 0) || math.Abs(*seconds) > 1e11 {
		return time.Time{}
	}
	whole, part := math.Modf(*seconds)
	return time.Unix(int64(whole), int64(math.Round(part*1e6))*1e3).UTC()
}

// splitRoles reads better-auth's lists of roles: "admin,editor" are two. It leaves out what is empty or there already.
func splitRoles(lists ...string) (roles []string) {
	for _, list := range lists {
		for role := range strings.SplitSeq(list, ",") {
			if role = strings.TrimSpace(role); role != "" && !slices.Contains(roles, role) {
				roles = append(roles, role)
			}
		}
	}
	return roles
}

// admin is the user's own role that passes rules of access.
const admin = "admin"

// userRole reads the role of a user, which better-auth lets be a list as well: an admin among other things is one.
func userRole(list string) string {
	if roles := splitRoles(list); len(roles) > 1 && slices.Contains(roles, admin) {
		return admin
	}
	return strings.TrimSpace(list)
}

// isID reports whether a string may be the id of a user, an organisation or a team: it goes into queries, log lines and
// comparisons.
func isID(s string) bool {
	return len(s) <= maxID && isPlain(s)
}

// maxID is the longest id of a user, an organisation or a team, in bytes.
const maxID = 1024
