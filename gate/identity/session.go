package identity

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/gate"
)

// sessions finds better-auth's sessions in the database.
type sessions struct {
	backend          *backend
	users            bool // there is a table of them
	pinned           string
	byToken, byProof string
}

// newSessions writes the queries. One finds the session with its user and the roles in its organisation.
func newSessions(b *backend, t tables, pinned string) *sessions {
	s := &sessions{backend: b, users: t.user.there, pinned: pinned}
	query := "SELECT " + t.session.text("s", "id") + ", " + t.session.text("s", "token") + ", " + t.session.text("s", "userId") + ", " +
		t.session.seconds("s", "expiresAt") + ", " + t.session.text("s", "activeOrganizationId") + ", " + t.session.text("s", "activeTeamId") + ", " +
		t.user.personColumns() + ", " + s.roles(t) + " FROM " + t.session.sql() + " s"
	if s.users {
		query += " LEFT JOIN " + t.user.sql() + " u ON " + equal(t.user.operand("u", "id"), t.session.operand("s", "userId"))
	}
	// The other parameter is the pinned organisation, which is there in any case: its absence is the empty string.
	s.byToken = query + " WHERE " + t.session.ref("s", "token") + " = $1::text AND $2::text IS NOT NULL LIMIT 2"
	s.byProof = query + " WHERE " + t.session.ref("s", "id") + " = ANY($1::text[]::" + t.session.column("id").sqlType + "[]) AND $2::text IS NOT NULL"
	return s
}

// roles returns the roles of the membership as an array, which is NULL without a membership.
func (s *sessions) roles(t tables) string {
	org := ""
	switch {
	case !t.member.there:
		return "NULL::text[]"
	case s.pinned != "":
		org = t.member.text("m", "organizationId") + " = $2::text"
	case !t.session.has("activeOrganizationId"):
		return "NULL::text[]"
	default:
		org = equal(t.member.operand("m", "organizationId"), t.session.operand("s", "activeOrganizationId"))
	}
	return "(SELECT array_agg(coalesce(" + t.member.text("m", "role") + ", '')) FROM " + t.member.sql() + " m WHERE " +
		equal(t.member.operand("m", "userId"), t.session.operand("s", "userId")) + " AND " + org + ")"
}

// sessionRow is a session with its user and the roles of the membership.
type sessionRow struct {
	id, token, user string
	expires         *float64
	org, team       *string
	person          person
	roles           []string // nil: no member
}

// scan reads a row.
func (r *sessionRow) scan(rows pgx.Rows) error {
	return rows.Scan(append(append([]any{&r.id, &r.token, &r.user, &r.expires, &r.org, &r.team}, r.person.dest()...), &r.roles)...)
}

// verify returns whose session has the token. Its error is a *gate.Refusal.
func (s *sessions) verify(ctx context.Context, token string, now time.Time) (gate.Identity, error) {
	if len(token) > maxToken || !isPlain(token) || token == "" {
		return gate.Identity{}, gate.RefuseInvalid()
	}
	var found []sessionRow
	err := s.backend.query(ctx, queryTimeout, s.byToken, func(rows pgx.Rows) error {
		var r sessionRow
		if err := r.scan(rows); err != nil {
			return err
		}
		found = append(found, r)
		return nil
	}, token, s.pinned)
	if err != nil {
		return gate.Identity{}, refusalOf(err)
	}
	// A database may find more than what was asked for, by a collation that ignores case. Two rows are nobody's.
	if len(found) != 1 || !sameText(found[0].token, token) {
		return gate.Identity{}, gate.RefuseInvalid()
	}
	return s.identity(&found[0], now)
}

// identity returns who a session is for.
func (s *sessions) identity(r *sessionRow, now time.Time) (gate.Identity, error) {
	if passed(r.expires, now) {
		return gate.Identity{}, gate.RefuseExpired()
	}
	if !isID(r.user) || r.user == "" || s.users && r.person.refused(now) {
		return gate.Identity{}, gate.RefuseInvalid()
	}
	id := gate.Identity{UserID: r.user, Method: gate.MethodSession, Proof: r.id, ExpiresAt: timeOf(r.expires)}
	r.person.describe(&id)
	active := text(r.org)
	if r.roles != nil {
		id.OrgID, id.Roles = active, splitRoles(r.roles...)
	}
	if s.pinned != "" {
		id.OrgID = s.pinned
	}
	if r.roles != nil && active == id.OrgID { // a team belongs to the organisation that was active with it
		id.TeamID = text(r.team)
	}
	return id, nil
}

// recheck looks for sessions by their ids. What is not in the result is gone.
func (s *sessions) recheck(ctx context.Context, proofs []string, now time.Time) (map[string]gate.Checked, error) {
	checked := make(map[string]gate.Checked, len(proofs))
	err := s.backend.query(ctx, queryTimeout+time.Duration(len(proofs))*perProof, s.byProof, func(rows pgx.Rows) error {
		var r sessionRow
		if err := r.scan(rows); err != nil {
			return err
		}
		id, err := s.identity(&r, now)
		checked[r.id] = checkedOf(id, err)
		return nil
	}, proofs, s.pinned)
	return checked, err
}
