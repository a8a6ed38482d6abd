package access_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

func TestRoomsWithoutRows(t *testing.T) {
	a := newAccess(t, nil, &access.Schema{RoleHierarchy: []string{"member", "editor"}})
	editors := &access.WriteRule{Roles: []string{"editor"}}
	bare := gate.Identity{UserID: "x", UserRole: "user"}
	for _, c := range []struct {
		name string
		rule *access.RoomRule
		id   gate.Identity
		room string
		want string
	}{
		{"nothing declared", nil, ann, "any", writes},
		{"nothing declared, anonymous", nil, nobody, "any", authMissing},
		{"nothing declared, no organisation", &access.RoomRule{}, loner, "any", writes},
		{"nothing declared, to write", &access.RoomRule{Write: editors}, ann, "any", reads},
		{"nothing declared, by whom", &access.RoomRule{Write: editors}, ed, "any", writes},
		{"nothing declared, by an admin", &access.RoomRule{Write: editors}, admin, "any", writes},

		{"public", &access.RoomRule{Public: true}, nobody, "any", writes},
		{"public, known", &access.RoomRule{Public: true}, ann, "any", writes},
		{"public, to write", &access.RoomRule{Public: true, Write: editors}, nobody, "any", reads},
		{"public, to write, known", &access.RoomRule{Public: true, Write: editors}, ann, "any", reads},
		{"public, to write, by whom", &access.RoomRule{Public: true, Write: editors}, ed, "any", writes},
		{"public, an anonymous admin", &access.RoomRule{Public: true, Write: editors}, gate.Identity{UserRole: "admin", Roles: []string{"editor"}}, "any", reads},
		{"public, everybody", &access.RoomRule{Public: true, Write: &access.WriteRule{Roles: []string{"PUBLIC"}}}, nobody, "any", writes},

		{"own room", &access.RoomRule{Equals: access.CtxUserID}, ann, "ann", writes},
		{"own room, to write", &access.RoomRule{Equals: access.CtxUserID, Write: editors}, ann, "ann", reads},
		{"another's room", &access.RoomRule{Equals: access.CtxUserID}, ann, "ed", denied},
		{"another spelling", &access.RoomRule{Equals: access.CtxUserID}, ann, "Ann", denied},
		{"more of it", &access.RoomRule{Equals: access.CtxUserID}, ann, "ann ", denied},
		{"own room, anonymous", &access.RoomRule{Equals: access.CtxUserID}, nobody, "", authMissing},
		{"admin in another's room", &access.RoomRule{Equals: access.CtxUserID}, admin, "ann", denied},
		{"the organisation's", &access.RoomRule{Equals: access.CtxActiveOrgID}, ann, "org1", writes},
		{"another organisation's", &access.RoomRule{Equals: access.CtxActiveOrgID}, ann, "org2", denied},
		{"of no organisation", &access.RoomRule{Equals: access.CtxActiveOrgID}, bare, "", denied},
		{"user in the organisation's", &access.RoomRule{Equals: access.CtxActiveOrgID}, ann, "ann", denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			room := newRoom(t, a, c.rule)
			require.Equal(t, c.want, ask(t, room, c.id, c.room))
			require.Equal(t, c.rule != nil && c.rule.Public, room.(gate.AnonymousAuthorizer).Anonymous())
		})
	}
}

// The guard of a party asks these authorizers.
func TestGuardAsksForCallersThatTheRuleWants(t *testing.T) {
	a := newAccess(t, nil, nil)
	for _, rule := range []*access.RoomRule{nil, {Equals: access.CtxUserID}, {Public: true, Write: &access.WriteRule{Roles: []string{"editor"}}}} {
		g, err := gate.NewGuard(gate.GuardConfig{Authenticator: anonymous{}, Authorizer: newRoom(t, a, rule)})
		require.NoError(t, err)
		d, err := g.Admit(t.Context(), &gate.Request{HTTP: newRequest(t), Party: "room", Room: "r"})
		if rule != nil && rule.Public {
			require.NoError(t, err)
			require.False(t, d.Write)
			continue
		}
		require.Equal(t, authMissing, outcome(t, d, err))
	}
}
