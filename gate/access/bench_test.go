package access_test

import (
	"fmt"
	"testing"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// benchTable is a resource with everything that is usual.
func benchTable() access.Table {
	return access.Table{
		Firewall: []access.Clause{organization(), softDelete()},
		Read:     access.Rule{Roles: []string{"member+"}, Record: record(is("status", access.OpNotEquals, "archived"))},
		Write:    access.Rule{Roles: []string{"member+"}},
	}
}

func BenchmarkDecision(b *testing.B) {
	db := newDatabase(b, chatsTable)
	a := newAccess(b, db, oneTable(benchTable()))
	run := func(name string, room gate.Authorizer, id gate.Identity, of string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := &gate.Request{Party: "room", Room: of}
			for b.Loop() {
				_, _ = room.Authorize(b.Context(), id, r)
			}
		})
	}
	run("row", newRoom(b, a, chats()), ann, "c1")
	run("role", newRoom(b, a, chats()), guest, "c1")
	run("own", newRoom(b, a, &access.RoomRule{Equals: access.CtxUserID}), ann, "ann")
}

func BenchmarkMany(b *testing.B) {
	db := newDatabase(b, chatsTable+`INSERT INTO chats (id, organization_id, status) SELECT 'n' || i, 'org1', 'open' FROM generate_series(1, 20000) i; ANALYZE chats`)
	room := newRoom(b, newAccess(b, db, oneTable(benchTable())), chats()).(gate.BatchAuthorizer)
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("asks=%d", n), func(b *testing.B) {
			asks := make([]gate.Ask, n)
			for i := range asks {
				asks[i] = gate.Ask{Identity: ann, Room: fmt.Sprintf("n%d", i+1)}
			}
			b.ReportAllocs()
			for b.Loop() {
				verdicts, err := room.AuthorizeAll(b.Context(), asks)
				if err != nil || !verdicts[n-1].Decision.Write {
					b.Fatal(err, verdicts[n-1].Refusal)
				}
			}
		})
	}
}

// A row and a caller: what a change costs for each of the sockets of its organization.
func BenchmarkRowRule(b *testing.B) {
	db := newDatabase(b, claimsTable)
	seen := everyValue()
	seen[6] = value("0.5")
	for name, c := range map[string]struct {
		table access.Table
		id    gate.Identity
	}{
		"foreign":    {usual(), alien},
		"usual":      {usual(), ann},
		"everything": {everything(), ann},
	} {
		rule := claims(b, db, c.table)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = rule.Decide(c.id, seen)
			}
		})
	}
}
