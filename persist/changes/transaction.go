package changes

import (
	"fmt"
)

// transactions makes events of pgoutput's messages. It is owned by the session's reader.
type transactions struct {
	wanted map[Table]bool
	limit  int                   // of a transaction, in bytes
	detail func(*Relation) error // completes a relation with what the server's message lacks

	relations map[uint32]*Relation // nil for those that are not wanted
	open      bool                 // between begin and commit
	changes   []Change
	size      int
	missing   map[Table]bool // nil while the transaction is below the limit
}

func newTransactions(tables []Table, limit int, detail func(*Relation) error) *transactions {
	t := &transactions{wanted: map[Table]bool{}, limit: limit, detail: detail, relations: map[uint32]*Relation{}}
	for _, table := range tables {
		t.wanted[table] = true
	}
	return t
}

// take returns the event that a message completes, if it completes one that says anything. It borrows the message. An
// error is the end of the stream.
func (t *transactions) take(message []byte) (event *Event, err error) {
	r := newReader(message)
	switch kind := r.byte(); kind {
	case msgBegin:
		if t.open {
			return nil, fmt.Errorf("pgoutput: a transaction begins within another")
		}
		t.open = true
		return nil, nil
	case msgCommit:
		return t.commit(r)
	case msgRelation:
		return nil, t.relation(r)
	case msgInsert, msgUpdate, msgDelete:
		return nil, t.change(r, Op(kind))
	case msgTruncate:
		return nil, t.truncate(r)
	}
	return nil, r.err
}

func (t *transactions) relation(r *reader) error {
	rel, err := parseRelation(r)
	if err != nil {
		return err
	}
	if !t.wanted[rel.Table] {
		t.relations[rel.OID] = nil
		return nil
	}
	if err := t.detail(rel); err != nil {
		return fmt.Errorf("look at table %s: %w", rel.Table, err)
	}
	t.relations[rel.OID] = rel
	return nil
}

// lookup returns a relation that was announced, or nil for one that is not wanted.
func (t *transactions) lookup(r *reader) (*Relation, error) {
	oid := r.uint32()
	rel, ok := t.relations[oid]
	switch {
	case r.err != nil:
		return nil, r.err
	case !t.open:
		return nil, fmt.Errorf("pgoutput: a change outside of transactions")
	case !ok:
		return nil, fmt.Errorf("pgoutput: relation %d was not announced", oid)
	}
	return rel, nil
}

func (t *transactions) change(r *reader, op Op) error {
	rel, err := t.lookup(r)
	if err != nil || rel == nil {
		return err
	}
	if t.missing != nil {
		t.missing[rel.Table] = true
		return nil
	}
	c, err := parseChange(r, op, rel)
	if err == nil {
		t.add(c)
	}
	return err
}

func (t *transactions) truncate(r *reader) error {
	n := r.uint32()
	r.take(1)
	for ; n > 0; n-- {
		rel, err := t.lookup(r)
		if err != nil {
			return err
		}
		if rel != nil {
			t.add(Change{Table: rel, Op: Truncate})
		}
	}
	return r.end()
}

// add keeps a change, or only its table once the transaction is too large.
func (t *transactions) add(c Change) {
	if t.missing == nil {
		t.size += c.size()
		if t.size <= t.limit {
			t.changes = append(t.changes, c)
			return
		}
		t.missing = map[Table]bool{}
		for i := range t.changes {
			t.missing[t.changes[i].Table.Table] = true
		}
		t.changes = nil
	}
	t.missing[c.Table.Table] = true
}

func (t *transactions) commit(r *reader) (*Event, error) {
	end, at, err := parseCommit(r)
	if err != nil {
		return nil, err
	}
	if !t.open {
		return nil, fmt.Errorf("pgoutput: a commit outside of transactions")
	}
	e := &Event{LSN: end, Committed: at, Changes: t.changes, size: t.size}
	if t.missing != nil {
		e = newGap(end, TooLarge, t.missing)
	}
	t.open, t.changes, t.size, t.missing = false, nil, 0, nil
	if e.Gap == nil && len(e.Changes) == 0 {
		return nil, nil
	}
	return e, nil
}
