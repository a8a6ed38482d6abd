package yserver

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver/masking"
)

// The index finds what a look at all sockets would find, each once.
func TestBroadcastIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x subscribers
		x.init()
		var all []*subscriber
		name := rapid.SampledFrom([]string{"", "a", "b"})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				user := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "user")
				s := &subscriber{user: user, scope: scope{scopeKind(rapid.IntRange(1, 3).Draw(t, "kind")), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id")}}
				if s.scope.kind == scopeUser {
					s.scope.id = user
				}
				x.add(s)
				all = append(all, s)
			},
			"remove": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				x.remove(all[i])
				all = slices.Delete(all, i, i+1)
			},
			"find": func(t *rapid.T) {
				var routes []Route
				for range rapid.IntRange(1, 2).Draw(t, "routes") {
					routes = append(routes, Route{
						OrgID: name.Draw(t, "org"), UserID: name.Draw(t, "user"), ScopeKey: name.Draw(t, "key"),
						Everybody: rapid.IntRange(0, 9).Draw(t, "everybody") == 0,
					})
				}
				want := map[*subscriber]bool{}
				for _, s := range all {
					if slices.ContainsFunc(routes, s.meant) {
						want[s] = true
					}
				}
				found := x.find(routes...)
				require.Len(t, *found, len(want))
				for _, s := range *found {
					require.True(t, want[s])
				}
				x.giveBack(found)
			},
		})
		for _, s := range all {
			x.remove(s)
		}
		require.Empty(t, x.scopes)
		require.Empty(t, x.users)
		require.Empty(t, x.all)
	})
}

func (s *subscriber) meant(r Route) bool {
	return r.Everybody ||
		r.ScopeKey != "" && s.scope == scope{scopeResource, r.ScopeKey} ||
		r.OrgID != "" && s.scope == scope{scopeOrg, r.OrgID} ||
		r.OrgID != "" && r.UserID != "" && s.scope == scope{scopeUser, r.UserID} ||
		r.OrgID == "" && r.UserID != "" && s.user == r.UserID
}

// decidedImage is a row with two texts, that says what it is told to say.
type decidedImage struct {
	v            Visibility
	title, email string
	owner        string
}

func (i *decidedImage) Decide(*gate.Identity) Visibility { return i.v }
func (i *decidedImage) Owns(id *gate.Identity) bool      { return i.owner == id.UserID }
func (i *decidedImage) Route() Route                     { return Route{} }

func (i *decidedImage) Fields() []masking.Field {
	quoted := func(s string) []byte { return appendJSON(nil, s) }
	return []masking.Field{
		{Name: "id", JSON: []byte("1"), Key: true},
		{Name: "title", JSON: quoted(i.title)},
		{Name: "email", JSON: quoted(i.email)},
		{Name: "owner", JSON: quoted(i.owner)},
	}
}

// Whatever happens to a row, nobody is sent what is not theirs to see of it.
func TestBroadcastShowsNoMore(t *testing.T) {
	table, err := newBroadcastTable(BroadcastTable{Schema: "public", Name: "t", Masking: masking.Config{
		Fields: []string{"id", "title", "email"}, Owner: "owner",
		Masks: map[string]masking.Mask{"email": {Type: masking.Email, Roles: []string{"admin"}, Owner: true}},
	}}, nil)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"ann", "bob"})
		draw := func(which string) *decidedImage {
			v := Visibility(rapid.IntRange(0, 2).Draw(t, which))
			return &decidedImage{v, which + " title", which + "@example.com", name.Draw(t, "owner of "+which)}
		}
		row, old := draw("newrow"), draw("oldrow")
		c := Change{Op: ChangeOp(rapid.IntRange(1, 3).Draw(t, "op"))}
		m := publicationOf(table)
		if c.Op != ChangeDelete {
			c.New, m.new = row, rowOf{fields: row.Fields(), image: row}
		}
		if given := c.Op == ChangeDelete || c.Op == ChangeUpdate && rapid.Bool().Draw(t, "old given"); given {
			c.Old, m.old = old, rowOf{fields: old.Fields(), image: old}
		}
		for _, role := range []string{"admin", "member"} { // one after the other, by the same encodings
			id := &gate.Identity{UserID: name.Draw(t, "user"), Roles: []string{role}}
			as := m.b.formFor(&c, id)
			if as == formNone {
				continue
			}
			text := string(m.frame(m.clear(id, as, false)).head)
			for _, i := range []*decidedImage{row, old} {
				shown := strings.Contains(text, i.title)
				require.False(t, shown && i.v != RowVisible, text)
				require.Equal(t, shown && (role == "admin" || id.UserID == i.owner), strings.Contains(text, i.email), text)
			}
			require.Contains(t, text, `"id":1`)
			require.NotContains(t, text, `"owner"`)
		}
	})
}

func publicationOf(t *broadcastTable) *publication { return &publication{b: &Broadcaster{}, table: t} }

// openImage is a row that everybody sees.
type openImage struct{ fields []masking.Field }

func (i *openImage) Decide(*gate.Identity) Visibility { return RowVisible }
func (i *openImage) Owns(*gate.Identity) bool         { return false }
func (i *openImage) Route() Route                     { return Route{OrgID: "o"} }
func (i *openImage) Fields() []masking.Field          { return i.fields }

// hubOf is a broadcaster with sockets that are dead already: what they cost is
// what the hub does, and nothing else.
func hubOf(tb testing.TB, concerned, others int) (*Broadcaster, Change) {
	table, err := newBroadcastTable(BroadcastTable{Schema: "public", Name: "t", RequiredRoles: []string{"member+"}, Masking: masking.Config{
		Masks: map[string]masking.Mask{"email": {Type: masking.Email, Roles: []string{"admin"}}},
	}}, []string{"member", "admin"})
	require.NoError(tb, err)
	b := &Broadcaster{tables: map[tableName]*broadcastTable{{"public", "t"}: table}}
	b.index.init()
	for i := range concerned + others {
		s := &subscriber{b: b, peer: &peer{dead: true}, user: fmt.Sprint(i), scope: scope{scopeOrg, "o"}}
		if i >= concerned {
			s.scope.id = fmt.Sprint("o", i%100)
		}
		s.id.Store(&gate.Identity{UserID: s.user, OrgID: s.scope.id, Roles: []string{[]string{"member", "admin"}[i%2]}})
		b.index.add(s)
	}
	row := &openImage{[]masking.Field{{Name: "id", JSON: []byte("1")}, {Name: "email", JSON: []byte(`"paul@example.com"`)}}}
	return b, Change{Schema: "public", Table: "t", Op: ChangeUpdate, New: row, Old: row}
}

// A socket more costs no memory. Pools may lose what they keep, which costs
// something for a message, and the more the larger it is, but not by the socket.
func TestBroadcastAllocs(t *testing.T) {
	few, change := hubOf(t, 10, 0)
	many, _ := hubOf(t, 2000, 0)
	allocs := func(b *Broadcaster) float64 { return testing.AllocsPerRun(50, func() { b.Changed(change) }) }
	require.Less(t, allocs(many)-allocs(few), 50.0)
}

func BenchmarkBroadcast(b *testing.B) {
	for _, others := range []int{0, 10_000, 100_000} {
		b.Run(fmt.Sprintf("sockets=100/others=%d", others), func(b *testing.B) {
			hub, change := hubOf(b, 100, others)
			b.ReportAllocs()
			for b.Loop() {
				hub.Changed(change)
			}
		})
	}
}

// Indexed is how many sockets the index has.
func (b *Broadcaster) Indexed() int {
	b.index.mu.Lock()
	defer b.index.mu.Unlock()
	return len(b.index.all) + len(b.index.scopes) + len(b.index.users)
}
