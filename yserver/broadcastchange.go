package yserver

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver/masking"
)

// ChangeOp is what happened to a row.
type ChangeOp uint8

// The operations.
const (
	ChangeInsert ChangeOp = iota + 1
	ChangeUpdate
	ChangeDelete
)

// Visibility is whether somebody may see a row.
type Visibility uint8

// The visibilities, in the order of those of gate/access.
const (
	RowHidden  Visibility = iota
	RowUnknown            // what decides is not known: the row is not shown
	RowVisible
)

// Route says which sockets a row may concern at all, so that not all of them have
// to be looked at. What is set adds sockets.
type Route struct {
	OrgID     string // who listens to the organisation
	UserID    string // with OrgID, who listens to the user; without, all sockets of the user
	ScopeKey  string // who listens to the row of a resource, "resource:key"
	Everybody bool   // all sockets: the row is bound to nothing
}

// RowImage is a row as a database change gives it: what the rule of its table
// (firewall and read) says about it, and its columns. Calls come from the
// goroutine that calls Changed, and what they return is not kept.
type RowImage interface {
	// Decide says whether an identity may see the row. It must not modify or keep
	// the identity, and should not allocate: it is called for every socket of the
	// Route. It is not called for identities that the Route cannot mean.
	Decide(id *gate.Identity) Visibility
	// Owns says whether an identity is for certain the owner of the row, for whom
	// some masks are lifted.
	Owns(id *gate.Identity) bool
	// Route says whom the row may concern.
	Route() Route
	// Fields returns the columns. What is not known has no value.
	Fields() []masking.Field
}

// Change is one row that changed in the database.
type Change struct {
	Schema, Table string
	Op            ChangeOp
	// New is nil for ChangeDelete.
	New RowImage
	// Old is what the replica identity gives: the key, or the whole row. For an
	// update nil means that nothing the rule looks at has changed.
	Old RowImage
}

// form is a change as a socket is told of it.
type form uint8

const (
	formNone form = iota
	formInsert
	formUpdate
	formUpdateNew // without the old row, which may not be shown
	formDelete
	formLeave // a DELETE of a row that went out of sight: its key
)

var formOf = [...]form{ChangeInsert: formInsert, ChangeUpdate: formUpdate, ChangeDelete: formDelete}

var formNames = [...]string{formInsert: "INSERT", formUpdate: "UPDATE", formUpdateNew: "UPDATE", formDelete: "DELETE", formLeave: "DELETE"}

func (f form) hasNew() bool { return f == formInsert || f == formUpdate || f == formUpdateNew }
func (f form) hasOld() bool { return f == formUpdate || f == formDelete || f == formLeave }

// wants reports whether the table sends events of this form.
func (t *broadcastTable) wants(f form) bool {
	switch f {
	case formInsert:
		return !t.NoInsert
	case formUpdate, formUpdateNew:
		return !t.NoUpdate
	case formDelete, formLeave:
		return !t.NoDelete
	}
	return false
}

// Changed tells everybody who may see it of a change in the database: whom the
// rule of the table lets see the row, and who has one of its RequiredRoles. A row
// that somebody loses sight of is a DELETE with its key, one that comes into sight
// an INSERT; what cannot be decided is withheld. Changes of tables that are not
// configured are ignored. It returns how many sockets took it.
//
// Changes reach a socket in the order of the calls, if one goroutine makes them.
func (b *Broadcaster) Changed(c Change) int {
	m := &publication{b: b, table: b.tables[tableName{c.Schema, c.Table}], op: c.Op}
	if m.table == nil || c.New == nil && c.Old == nil {
		return 0
	}
	b.counters.published.Add(1)
	defer b.survive(&c)
	routes := make([]Route, 0, 2)
	var keys [2]string
	for i, image := range []RowImage{c.New, c.Old} {
		if image != nil {
			routes = append(routes, image.Route())
			keys[i] = routes[len(routes)-1].ScopeKey
		}
	}
	found := b.index.find(routes...)
	defer b.index.giveBack(found)
	if len(*found) == 0 {
		return 0
	}
	if c.New != nil {
		m.new = rowOf{fields: c.New.Fields(), image: c.New}
	}
	if c.Old != nil {
		m.old = rowOf{fields: c.Old.Fields(), image: c.Old}
	}
	n := 0
	for _, s := range *found {
		id := s.id.Load()
		if !hasRole(id, m.table.RequiredRoles) || s.scope.kind == scopeResource && !slices.Contains(keys[:], s.scope.id) {
			continue
		}
		as := b.formFor(&c, id)
		if !m.table.wants(as) {
			continue
		}
		if f := m.frame(m.clear(id, as, false)); f != nil && s.peer.push(f) {
			n++
		}
	}
	b.counters.delivered.Add(int64(n))
	return n
}

// survive is deferred around a change: what panics at a row of one table must not
// end the process. Clients fetch anew what they may have missed.
func (b *Broadcaster) survive(c *Change) {
	if v := recover(); v != nil {
		b.counters.failures.Add(1)
		b.srv.log.Error("panic at a change", "table", c.Table, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		b.Gap(c.Table)
	}
}

// formFor decides how an identity is told of a change, if at all.
func (b *Broadcaster) formFor(c *Change, id *gate.Identity) form {
	now, before := RowHidden, RowHidden
	if c.New != nil {
		now = c.New.Decide(id)
	}
	switch {
	case c.Old != nil:
		before = c.Old.Decide(id)
	case c.Op == ChangeUpdate:
		before = now
	}
	if now == RowUnknown || before == RowUnknown {
		b.counters.withheld.Add(1)
	}
	switch {
	case now == RowUnknown:
		return formNone // it may have gone out of sight, or not
	case c.Op == ChangeInsert && now == RowVisible:
		return formInsert
	case c.Op == ChangeDelete && before == RowVisible:
		return formDelete
	case c.Op != ChangeUpdate:
		return formNone
	case now == RowVisible && before == RowVisible:
		return formUpdate
	case now == RowVisible && before == RowHidden:
		return formInsert
	case now == RowVisible:
		return formUpdateNew
	case before == RowVisible:
		return formLeave
	}
	return formNone
}

// encode makes the text of the message for an audience.
func (m *publication) encode(a audience) ([]byte, error) {
	if m.table == nil {
		return m.text, nil
	}
	text := append(make([]byte, 0, 256), m.table.head...)
	text = append(append(text, formNames[a.form]...), `","new":`...)
	var err error
	if text, err = m.appendRow(text, a.form.hasNew(), &m.new, a.new, false); err != nil {
		return nil, err
	}
	text = append(text, `,"old":`...)
	if text, err = m.appendRow(text, a.form.hasOld(), &m.old, a.old, a.form == formLeave); err != nil {
		return nil, err
	}
	return append(text, '}'), nil
}

func (m *publication) appendRow(text []byte, shown bool, r *rowOf, clear masking.Clear, keys bool) ([]byte, error) {
	if !shown || r.fields == nil {
		return append(text, "null"...), nil
	}
	return m.table.masks.AppendRow(text, r.fields, clear, keys)
}

// outage is whether changes of the database are being missed.
type outage struct {
	mu     sync.Mutex
	tables []string // guarded by mu; nil: no outage
}

// Outage says that changes of these tables are being missed from now on. Sockets
// that are opened meanwhile are told of the gap at once, and again by Gap, which
// ends the outage.
func (b *Broadcaster) Outage(tables ...string) {
	b.outage.mu.Lock()
	defer b.outage.mu.Unlock()
	b.outage.tables = slices.Clone(tables)
}

// Gap tells every socket that changes of these tables were missed, so that clients
// fetch anew, and ends an outage. It returns how many sockets took it.
func (b *Broadcaster) Gap(tables ...string) int {
	b.counters.published.Add(1)
	b.counters.gaps.Add(1)
	b.counters.encodings.Add(1)
	f := gapFrame(tables)
	// Under the lock: a socket that is opened is told, or found below.
	b.outage.mu.Lock()
	b.outage.tables = nil
	found := b.index.find(Route{Everybody: true})
	b.outage.mu.Unlock()
	defer b.index.giveBack(found)
	n := 0
	for _, s := range *found {
		if s.peer.push(f) {
			n++
		}
	}
	b.counters.delivered.Add(int64(n))
	return n
}

// greet tells a socket that is new of an outage. It is in the index already.
func (o *outage) greet(s *subscriber) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tables != nil {
		s.peer.push(gapFrame(o.tables))
	}
}

func gapFrame(tables []string) *frame {
	text := []byte(`{"type":"broadcast","event":"broadcast:gap","payload":{"tables":[`)
	for i, t := range tables {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendJSON(text, t)
	}
	return newFrame(opText, kindCustom, nil, append(text, "]}}"...))
}
