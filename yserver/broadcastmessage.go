package yserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/yserver/masking"
)

// Target says who gets a message: the sockets of one scope, and what is in one
// room. At least one of OrgID, UserID, ScopeKey and Party has to be set. None of
// it is sent.
type Target struct {
	// OrgID is an organisation: those who listen to it.
	OrgID string
	// UserID lets nobody through but this user. Without OrgID, ScopeKey and Party
	// it is all broadcast sockets of the user.
	UserID string
	// ScopeKey is a row of a resource, "resource:key": those who listen to it.
	// With OrgID, those of them in that organisation.
	ScopeKey string
	// Roles let nobody through who has none of them. "role+" means those above too.
	Roles []string
	// Party and Room name a room whose connections get the message too. Party
	// without Room needs UserID: that user's connections to documents of the
	// party. Clients of documents get it as a custom message.
	Party, Room string
}

// errNoTarget is returned for a Target that says nothing.
var errNoTarget = errors.New("no target: set an organisation, a user, a scope key, or a party and room")

// ErrUnknownTable is returned for changes of a table that is not configured.
var ErrUnknownTable = errors.New("the table is not configured")

// fieldError is what is wrong with a part of a message, under its name in the
// internal API.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// Publish sends an event to everybody whom the target names, and returns how many
// connections took it. Its payload is sent as JSON.
func (b *Broadcaster) Publish(_ context.Context, t Target, event string, payload any) (int, error) {
	raw, err := json.Marshal(payload)
	if err != nil {
		return 0, fmt.Errorf("payload: %w", err)
	}
	m, err := b.event(t, event, raw)
	if err != nil {
		return 0, err
	}
	return b.deliver(m), nil
}

// Insert sends the row that was inserted into a table, projected and masked. The
// row is encoded as JSON, and has to be an object. Who gets it is the target's
// and the table's RequiredRoles' to say: no rule looks at the row.
func (b *Broadcaster) Insert(_ context.Context, t Target, table string, row any) (int, error) {
	return b.change(t, table, ChangeInsert, row, nil)
}

// Update is Insert for a row that was changed. The old one may be nil.
func (b *Broadcaster) Update(_ context.Context, t Target, table string, row, old any) (int, error) {
	return b.change(t, table, ChangeUpdate, row, old)
}

// Delete is Insert for a row that was deleted, which may be nil.
func (b *Broadcaster) Delete(_ context.Context, t Target, table string, old any) (int, error) {
	return b.change(t, table, ChangeDelete, nil, old)
}

// InvalidateToken tells a user that what its token says is no longer so, as after
// a change of roles: on broadcast sockets and on connections to documents.
func (b *Broadcaster) InvalidateToken(_ context.Context, userID, reason string) (int, error) {
	if userID == "" {
		return 0, errNoTarget
	}
	payload := append(appendJSON([]byte(`{"reason":`), reason), '}')
	m, err := b.event(Target{UserID: userID}, "auth:token-invalidated", payload)
	if err != nil {
		return 0, err
	}
	m.documents = true
	return b.deliver(m), nil
}

func (b *Broadcaster) change(t Target, table string, op ChangeOp, row, old any) (int, error) {
	newFields, err := fieldsOf(row)
	if err != nil {
		return 0, fmt.Errorf("new row: %w", err)
	}
	oldFields, err := fieldsOf(old)
	if err != nil {
		return 0, fmt.Errorf("old row: %w", err)
	}
	m, err := b.posted(t, tableName{"public", table}, op, newFields, oldFields)
	if err != nil {
		return 0, err
	}
	return b.deliver(m), nil
}

// fieldsOf returns the columns of a row that was given as a value.
func fieldsOf(row any) ([]masking.Field, error) {
	raw, err := json.Marshal(row)
	if err != nil {
		return nil, err
	}
	return parseFields(raw)
}

// publication is a message on its way to those who get it. It is used by one
// goroutine at a time.
type publication struct {
	b         *Broadcaster
	target    Target
	party     *party // of the target's room
	documents bool   // of the user, too
	text      []byte // of an event
	table     *broadcastTable
	op        ChangeOp
	new, old  rowOf
	encoded   []encoding
}

// rowOf is a row image, nil fields for none.
type rowOf struct {
	fields []masking.Field
	image  RowImage // of a change in the database: it knows the owner
	owner  string   // of what an application reports
}

// audience is what tells the encodings of one message apart.
type audience struct {
	form     form
	new, old masking.Clear
	custom   bool // a custom message of a document
}

// encoding is a message for an audience. A nil frame is one that failed.
type encoding struct {
	audience audience
	frame    *frame
}

// event makes a message of an application's event; payload is JSON.
func (b *Broadcaster) event(t Target, event string, payload []byte) (*publication, error) {
	m := &publication{b: b}
	switch {
	case event == "":
		return nil, &fieldError{"event", errors.New("the event has no name")}
	case !utf8.Valid(payload):
		return nil, &fieldError{"payload", errors.New("the payload is not UTF-8")}
	}
	if err := m.aim(t); err != nil {
		return nil, err
	}
	m.text = appendJSON([]byte(`{"type":"broadcast","event":`), event)
	m.text = append(append(append(m.text, `,"payload":`...), payload...), '}')
	return m, nil
}

// posted makes a message of a change that an application reports.
func (b *Broadcaster) posted(t Target, name tableName, op ChangeOp, row, old []masking.Field) (*publication, error) {
	m := &publication{b: b, table: b.tables[name], op: op}
	switch {
	case m.table == nil:
		return nil, &fieldError{"table", ErrUnknownTable}
	case row == nil && op != ChangeDelete:
		return nil, &fieldError{"new", errors.New("there is no new row")}
	}
	if err := m.aim(t); err != nil {
		return nil, err
	}
	switch op {
	case ChangeInsert:
		old = nil
	case ChangeDelete:
		row = nil
	}
	m.new, m.old = m.table.row(row), m.table.row(old)
	return m, nil
}

func (t *broadcastTable) row(fields []masking.Field) rowOf {
	return rowOf{fields: fields, owner: t.masks.Owner(fields)}
}

// aim checks the target.
func (m *publication) aim(t Target) error {
	if t.OrgID == "" && t.UserID == "" && t.ScopeKey == "" && t.Party == "" {
		return &fieldError{"organizationId", errNoTarget}
	}
	roles, err := expandRoles(t.Roles, m.b.cfg.Hierarchy)
	if err != nil {
		return &fieldError{"roles", err}
	}
	t.Roles = roles
	switch {
	case t.Party == "" && t.Room == "":
	case t.Party == "":
		return &fieldError{"party", errors.New("a room needs a party")}
	case t.Room == "" && t.UserID == "":
		return &fieldError{"room", errors.New("a party needs a room, or a user")}
	default:
		if m.party = m.b.srv.router.parties[t.Party]; m.party == nil {
			return &fieldError{"party", fmt.Errorf("no party is named %q", t.Party)}
		}
	}
	m.target = t
	return nil
}

// deliver sends a message to everybody it is for and returns how many connections
// took it.
func (b *Broadcaster) deliver(m *publication) int {
	b.counters.published.Add(1)
	n := 0
	if m.table == nil || m.wanted() {
		n = m.toSockets() + m.toRoom()
	}
	b.counters.delivered.Add(int64(n))
	return n
}

// wanted reports whether the table sends what the application reports.
func (m *publication) wanted() bool { return m.table.wants(formOf[m.op]) }

// toSockets sends to broadcast sockets.
func (m *publication) toSockets() (n int) {
	t := &m.target
	route := Route{OrgID: t.OrgID, UserID: t.UserID, ScopeKey: t.ScopeKey}
	switch {
	case t.ScopeKey != "":
		route = Route{ScopeKey: t.ScopeKey}
	case t.OrgID != "" && t.UserID != "":
		route = Route{UserID: t.UserID} // fewer than those of the organisation
	case t.OrgID == "" && m.party != nil:
		return 0 // it is for the room alone
	}
	found := m.b.index.find(route)
	defer m.b.index.giveBack(found)
	for _, s := range *found {
		id := s.id.Load()
		if t.OrgID != "" && (id.OrgID != t.OrgID || t.ScopeKey == "" && s.scope.kind == scopeResource) || !m.admits(id) {
			continue
		}
		if f := m.frame(m.audience(id, false)); f != nil && s.peer.push(f) {
			n++
		}
	}
	return n
}

// admits reports whether an identity may have the message where its scope matches.
func (m *publication) admits(id *gate.Identity) bool {
	return (m.target.UserID == "" || m.target.UserID == id.UserID) && hasRole(id, m.target.Roles) &&
		(m.table == nil || hasRole(id, m.table.RequiredRoles))
}

// toRoom sends to the connections of the target's room, or to the documents of
// its user.
func (m *publication) toRoom() (n int) {
	if m.party == nil || m.target.Room == "" {
		if m.party == nil && !m.documents {
			return 0
		}
		for _, to := range m.b.srv.users.Load().documents(m.target.UserID, m.target.Party) {
			n += m.toMember(to)
		}
		return n
	}
	handle := &Room{srv: m.b.srv, party: m.party, id: roomID{m.party.Name, m.target.Room}}
	handle.visit(func(live *room) {
		for _, to := range live.members {
			n += m.toMember(to)
		}
	})
	return n
}

func (m *publication) toMember(to *member) int {
	id := to.conn.identity()
	if !to.takes(Payload{}) || !m.admits(id) {
		return 0
	}
	if f := m.frame(m.audience(id, to.party.Document != nil)); f == nil || !to.peer.push(f) {
		return 0
	}
	return 1
}

// audience returns what an identity may see of the message.
func (m *publication) audience(id *gate.Identity, custom bool) audience {
	if m.table == nil {
		return audience{custom: custom}
	}
	return m.clear(id, formOf[m.op], custom)
}

// clear returns the audience of an identity for a form of a change.
func (m *publication) clear(id *gate.Identity, as form, custom bool) audience {
	roles := m.table.masks.ClearFor(id.Roles)
	a := audience{form: as, custom: custom}
	if as.hasNew() {
		a.new = roles | m.new.ownedBy(id, m.table)
	}
	if as.hasOld() && m.old.fields != nil {
		a.old = roles | m.old.ownedBy(id, m.table)
	}
	return a
}

func (r *rowOf) ownedBy(id *gate.Identity, t *broadcastTable) masking.Clear {
	owned := t.masks.ClearForOwner()
	switch {
	case owned == 0:
	case r.image != nil && r.image.Owns(id), r.image == nil && r.owner != "" && r.owner == id.UserID:
		return owned
	}
	return 0
}

// frame returns the message for an audience, encoded once; nil if that fails.
func (m *publication) frame(a audience) *frame {
	for i := range m.encoded {
		if m.encoded[i].audience == a {
			return m.encoded[i].frame
		}
	}
	m.b.counters.encodings.Add(1)
	var prefix []byte
	if a.custom {
		prefix = []byte(protocol.CustomPrefix)
	}
	e := encoding{audience: a}
	if text, err := m.encode(a); err != nil {
		m.b.counters.failures.Add(1)
		m.b.srv.log.Error("a change cannot be masked, and is sent to nobody it is for", "table", m.table.Name, "err", err)
	} else {
		e.frame = newFrame(opText, kindCustom, prefix, text)
	}
	m.encoded = append(m.encoded, e)
	return e.frame
}

// appendJSON appends a string as JSON.
func appendJSON(dst []byte, s string) []byte {
	text, _ := json.Marshal(s) // of a string it never fails
	return append(dst, text...)
}
