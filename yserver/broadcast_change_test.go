package yserver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver"
	"github.com/yserverd/yserverd/yserver/masking"
)

// image is a row of claims, with what decides on it.
type image struct {
	org, owner string
	key        string         // of a resource
	hidden     []string       // from these users
	unknown    []string       // for these users
	everybody  bool           // the row has no scope
	only       bool           // the key alone is known
	asked      map[string]int // by user
	broken     bool
	panics     bool
}

func (i *image) Decide(id *gate.Identity) yserver.Visibility {
	if i.panics {
		panic("at a row")
	}
	if i.asked != nil {
		i.asked[id.UserID]++
	}
	switch {
	case slices.Contains(i.unknown, id.UserID):
		return yserver.RowUnknown
	case slices.Contains(i.hidden, id.UserID), i.org != "" && id.OrgID != i.org:
		return yserver.RowHidden
	}
	return yserver.RowVisible
}

func (i *image) Owns(id *gate.Identity) bool { return i.owner == id.UserID }

func (i *image) Route() yserver.Route {
	return yserver.Route{OrgID: i.org, ScopeKey: i.key, Everybody: i.everybody}
}

func (i *image) Fields() []masking.Field {
	fields := []masking.Field{{Name: "id", JSON: []byte("1"), Key: true}}
	if i.only {
		return append(fields, masking.Field{Name: "title"})
	}
	title := `"T"`
	if i.broken {
		title = `"T`
	}
	return append(fields,
		masking.Field{Name: "title", JSON: []byte(title)},
		masking.Field{Name: "email", JSON: []byte(`"paul@example.com"`)},
		masking.Field{Name: "owner_id", JSON: fmt.Appendf(nil, "%q", i.owner)},
		masking.Field{Name: "salary", JSON: []byte(`123456789`)},
	)
}

const (
	maskedRow = `{"id":1,"title":"T","email":"p***@e******.com"}`
	clearRow  = `{"id":1,"title":"T","email":"paul@example.com"}`
	keyRow    = `{"id":1}`
)

func TestBroadcastPostedChanges(t *testing.T) {
	r := broadcasting(t, func(c *yserver.BroadcastConfig) {
		c.Tables[0].RequiredRoles = []string{"member+"}
		c.Tables = append(c.Tables, yserver.BroadcastTable{Name: "quiet", NoUpdate: true})
	})
	org := yserver.BroadcastTicket{}
	ann := r.listen(r.person("ann", "o1", "admin"), org)
	bob := r.listen(r.person("bob", "o1", "member"), org)
	viewer := r.listen(r.person("eve", "o1", "viewer"), org)
	r.said(2, `{"type":"postgres_changes","table":"claims","eventType":"INSERT","organizationId":"o1",
		"new":{"id":1,"title":"T","email":"paul@example.com","owner_id":"zoe","salary":123456789}}`)
	ann.hears(change("INSERT", clearRow, "null"))
	bob.hears(change("INSERT", maskedRow, "null"))
	target := yserver.Target{OrgID: "o1"}
	row := map[string]any{"id": 1, "title": "T", "email": "paul@example.com", "owner_id": "bob"}
	other := map[string]any{"id": 1, "title": "T", "email": "paul@example.com", "owner_id": "ann"}
	n, err := r.b.Update(t.Context(), target, "claims", row, other)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	ann.hears(change("UPDATE", clearRow, clearRow))
	bob.hears(change("UPDATE", clearRow, maskedRow)) // each image has its own owner
	_, err = r.b.Delete(t.Context(), target, "claims", row)
	require.NoError(t, err)
	bob.hears(change("DELETE", "null", clearRow))
	ann.hears(change("DELETE", "null", clearRow))
	_, err = r.b.Insert(t.Context(), target, "claims", map[string]any{"id": 1, "email": 12345678})
	require.NoError(t, err)
	bob.hears(change("INSERT", `{"id":1,"email":"[REDACTED]"}`, "null"))
	require.Equal(t, 2, r.b.Changed(yserver.Change{Schema: "public", Table: "claims", Op: yserver.ChangeInsert, New: &image{org: "o1"}}))
	viewer.deaf()
	_, err = r.b.Insert(t.Context(), target, "other", row)
	require.ErrorIs(t, err, yserver.ErrUnknownTable)
	_, err = r.b.Insert(t.Context(), target, "claims", nil)
	require.ErrorContains(t, err, "no new row")
	_, err = r.b.Insert(t.Context(), target, "claims", "text")
	require.ErrorContains(t, err, "object")
	n, err = r.b.Update(t.Context(), target, "quiet", row, nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

// What becomes of a change by what somebody may see of the row, before and after.
func TestBroadcastVisibility(t *testing.T) {
	r := broadcasting(t, nil)
	w := r.listen(r.person("ann", "o1"), yserver.BroadcastTicket{})
	r.person("bob", "o2")
	see := func() *image { return &image{org: "o1"} }
	hide := func() *image { return &image{org: "o1", hidden: []string{"ann"}} }
	dark := func() *image { return &image{org: "o1", unknown: []string{"ann"}} }
	key := func() *image { return &image{org: "o1", only: true} }
	for name, row := range map[string]struct {
		op       yserver.ChangeOp
		row, old yserver.RowImage
		want     string
	}{
		"insert":                  {yserver.ChangeInsert, see(), nil, change("INSERT", maskedRow, "null")},
		"insert of others":        {yserver.ChangeInsert, hide(), nil, ""},
		"insert, unknown":         {yserver.ChangeInsert, dark(), nil, ""},
		"update":                  {yserver.ChangeUpdate, see(), see(), change("UPDATE", maskedRow, maskedRow)},
		"update, old not given":   {yserver.ChangeUpdate, see(), nil, change("UPDATE", maskedRow, "null")},
		"update of others":        {yserver.ChangeUpdate, hide(), nil, ""},
		"update, old key":         {yserver.ChangeUpdate, see(), key(), change("UPDATE", maskedRow, keyRow)},
		"update, comes":           {yserver.ChangeUpdate, see(), hide(), change("INSERT", maskedRow, "null")},
		"update, leaves":          {yserver.ChangeUpdate, hide(), see(), change("DELETE", "null", keyRow)},
		"update, other org's":     {yserver.ChangeUpdate, &image{org: "o2"}, see(), change("DELETE", "null", keyRow)},
		"update, from an org":     {yserver.ChangeUpdate, see(), &image{org: "o2"}, change("INSERT", maskedRow, "null")},
		"update, old unknown":     {yserver.ChangeUpdate, see(), dark(), change("UPDATE", maskedRow, "null")},
		"update, new unknown":     {yserver.ChangeUpdate, dark(), see(), ""},
		"update of what is gone":  {yserver.ChangeUpdate, hide(), hide(), ""},
		"update, hidden, unknown": {yserver.ChangeUpdate, hide(), dark(), ""},
		"delete":                  {yserver.ChangeDelete, nil, see(), change("DELETE", "null", maskedRow)},
		"delete, key":             {yserver.ChangeDelete, nil, key(), change("DELETE", "null", keyRow)},
		"delete of others":        {yserver.ChangeDelete, nil, hide(), ""},
		"delete, unknown":         {yserver.ChangeDelete, nil, dark(), ""},
		"delete of nothing":       {yserver.ChangeDelete, nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := r.b.Changed(yserver.Change{Schema: "public", Table: "claims", Op: row.op, New: row.row, Old: row.old})
			if row.want == "" {
				require.Zero(t, n)
				return
			}
			require.Equal(t, 1, n)
			w.hears(row.want)
		})
	}
	require.Zero(t, r.b.Changed(yserver.Change{Schema: "x", Table: "claims", Op: yserver.ChangeInsert, New: see()}))
	require.EqualValues(t, 5, r.b.Stats().Withheld)
	before := r.b.Stats().Encodings
	require.Zero(t, r.b.Changed(yserver.Change{Schema: "public", Table: "claims", Op: yserver.ChangeInsert, New: &image{org: "o1", broken: true}}))
	require.EqualValues(t, 1, r.b.Stats().MaskingFailures)
	require.Equal(t, before+1, r.b.Stats().Encodings)
	w.deaf()
	r.b.Changed(yserver.Change{Schema: "public", Table: "claims", Op: yserver.ChangeInsert, New: &image{org: "o1", panics: true}})
	w.hears(event("broadcast:gap", map[string]any{"tables": []string{"claims"}}))
}

// A change is decided for the sockets that it may concern, and for no others.
func TestBroadcastRoutes(t *testing.T) {
	r := broadcasting(t, nil)
	ann, bob := r.person("ann", "o1"), r.person("bob", "o2")
	org := yserver.BroadcastTicket{}
	all := []*wire{r.listen(ann, org), r.listen(bob, org), r.listen(ann, forRow("claims:1")), r.listen(bob, forRow("claims:2"))}
	asked := func(i *image) map[string]int {
		i.asked = map[string]int{}
		r.b.Changed(yserver.Change{Schema: "public", Table: "claims", Op: yserver.ChangeInsert, New: i})
		return i.asked
	}
	require.Equal(t, map[string]int{"ann": 1}, asked(&image{org: "o1"}))
	require.Equal(t, map[string]int{"ann": 2}, asked(&image{org: "o1", key: "claims:1"}))
	require.Equal(t, map[string]int{"ann": 1, "bob": 1}, asked(&image{org: "o1", key: "claims:2"}))
	require.Equal(t, map[string]int{"ann": 1, "bob": 1}, asked(&image{everybody: true}), "those of a resource get that alone")
	require.Equal(t, map[string]int{"ann": 2, "bob": 1}, asked(&image{everybody: true, key: "claims:1"}))
	require.Empty(t, asked(&image{org: "o3"}))
	hears := []int{5, 2, 2, 0}
	for i, w := range all {
		for range hears[i] {
			w.hears(change("INSERT", maskedRow, "null"))
		}
		w.deaf()
	}
}

// Sockets with the same effective masks share one encoding.
func TestBroadcastEncodings(t *testing.T) {
	r := broadcasting(t, nil)
	roles := []string{"admin", "member", "viewer"}
	var all []*wire
	for i := range 30 {
		all = append(all, r.listen(r.person(fmt.Sprint("u", i), "o1", roles[i%3]), yserver.BroadcastTicket{}))
	}
	encodings := func(want int64, send func() int) {
		t.Helper()
		before := r.b.Stats().Encodings
		require.Equal(t, len(all), send())
		require.Equal(t, want, r.b.Stats().Encodings-before)
		for _, w := range all {
			select {
			case got := <-w.text:
				require.True(t, strings.HasPrefix(got, `{"type":`))
				require.NotContains(t, got, "123456789")
			case err := <-w.end:
				t.Fatal(err)
			}
		}
	}
	insert := func(i *image) func() int {
		return func() int {
			return r.b.Changed(yserver.Change{Schema: "public", Table: "claims", Op: yserver.ChangeInsert, New: i})
		}
	}
	encodings(1, func() int {
		n, err := r.b.Publish(t.Context(), yserver.Target{OrgID: "o1"}, "e", 1)
		require.NoError(t, err)
		return n
	})
	encodings(2, insert(&image{org: "o1", owner: "nobody"}))                   // admins, others
	encodings(2, insert(&image{org: "o1", owner: "u1"}))                       // the owner sees what admins see
	encodings(2, insert(&image{org: "o1", owner: "u1", hidden: []string{""}})) // whoever decides
	encodings(2, func() int {
		return r.b.Changed(yserver.Change{Schema: "public", Table: "claims", Op: yserver.ChangeUpdate, New: &image{org: "o1"}, Old: &image{org: "o1"}})
	})
	encodings(4, func() int { // the old owner, the new one, admins, others
		return r.b.Changed(yserver.Change{
			Schema: "public", Table: "claims", Op: yserver.ChangeUpdate, New: &image{org: "o1", owner: "u1"}, Old: &image{org: "o1", owner: "u2"},
		})
	})
}

func TestBroadcastGap(t *testing.T) {
	r := broadcasting(t, nil)
	ann := r.person("ann", "o1")
	gap := event("broadcast:gap", map[string]any{"tables": []string{"claims"}})
	early := r.listen(ann, yserver.BroadcastTicket{})
	r.b.Outage("claims")
	during := r.listen(ann, forRow("events:1"))
	during.hears(gap)
	early.deaf()
	require.Equal(t, 2, r.b.Gap("claims"))
	early.hears(gap)
	during.hears(gap)
	r.listen(ann, yserver.BroadcastTicket{}).deaf()
	require.EqualValues(t, 1, r.b.Stats().Gaps)
}
