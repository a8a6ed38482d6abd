package changes

import "time"

// Messages of pgoutput's protocol version 1, by their first byte. Others say nothing that is needed here.
const (
	msgBegin    = 'B' // final LSN 8, commit time 8, xid 4
	msgCommit   = 'C' // flags 1, commit LSN 8, end LSN 8, commit time 8
	msgRelation = 'R' // oid 4, schema, name, identity 1, columns 2: flags 1, name, type 4, modifier 4
	msgInsert   = 'I' // oid 4, 'N', row
	msgUpdate   = 'U' // oid 4, ['K' or 'O', row], 'N', row
	msgDelete   = 'D' // oid 4, 'K' or 'O', row
	msgTruncate = 'T' // relations 4, flags 1, oid 4 each
)

// Rows of a change. A key row has NULL where it has no value.
const (
	rowNew = 'N'
	rowKey = 'K'
	rowOld = 'O'
)

// Values of a row: columns 2, then for each one of these.
const (
	valueNull      = 'n'
	valueUnchanged = 'u'
	valueText      = 't' // length 4, text
)

// flagKey marks a column of the replica identity.
const flagKey = 1

// valueSize is what a Value takes beside its text, in bytes.
const valueSize = 24

// pgEpoch is where the server's times begin, in microseconds since 1970.
const pgEpoch = 946_684_800_000_000

func pgTime(microseconds uint64) time.Time {
	return time.UnixMicro(int64(microseconds) + pgEpoch).UTC()
}

// parseCommit returns where a commit ends in the log, and its time.
func parseCommit(r *reader) (end LSN, at time.Time, err error) {
	r.take(1 + 8)
	end, at = LSN(r.uint64()), pgTime(r.uint64())
	return end, at, r.end()
}

// parseRelation copies.
func parseRelation(r *reader) (*Relation, error) {
	rel := &Relation{OID: r.uint32()}
	rel.Schema, rel.Name = r.string(), r.string()
	if rel.Schema == "" {
		rel.Schema = "pg_catalog"
	}
	rel.Identity = Identity(r.byte())
	for n := r.uint16(); n > 0 && r.err == nil; n-- {
		c := Column{Key: r.byte()&flagKey != 0, Name: r.string(), Type: r.uint32()}
		r.take(4)
		rel.Columns = append(rel.Columns, c)
	}
	return rel, r.end()
}

// parseChange returns the change of a row of a relation. It copies.
func parseChange(r *reader, op Op, rel *Relation) (Change, error) {
	c := Change{Table: rel, Op: op}
	kind := r.byte()
	if (kind == rowKey || kind == rowOld) && op != Insert {
		c.Old = parseRow(r, rel)
		if kind == rowKey {
			keepKey(rel, c.Old)
		}
		if op == Update {
			kind = r.byte()
		}
	}
	switch {
	case kind == rowNew && op != Delete:
		c.New = parseRow(r, rel)
	case op != Delete || c.Old == nil:
		r.fail("unexpected row")
	}
	if err := r.end(); err != nil {
		return Change{}, err
	}
	if op == Update {
		completeUpdate(&c)
	}
	return c, nil
}

// parseRow makes one string of the row, of which the values are parts.
func parseRow(r *reader, rel *Relation) []Value {
	if n := r.uint16(); r.err == nil && n != len(rel.Columns) {
		r.fail("row of another relation")
	}
	if r.err != nil {
		return nil
	}
	type span struct{ from, to int }
	row := make([]Value, len(rel.Columns))
	spans := make([]span, len(row))
	start := r.rest
	for i := range row {
		switch r.byte() {
		case valueNull:
			row[i].Null = true
		case valueUnchanged:
			row[i].Unknown = true
		case valueText:
			n := r.uint32()
			from := len(start) - len(r.rest)
			if r.take(int(n)); r.err == nil {
				spans[i] = span{from, from + int(n)}
			}
		default:
			r.fail("unknown kind of value")
		}
		if r.err != nil {
			return nil
		}
	}
	text := string(start[:len(start)-len(r.rest)])
	for i, s := range spans {
		row[i].Text = text[s.from:s.to]
	}
	return row
}

// keepKey makes unknown what a key row does not have.
func keepKey(rel *Relation, row []Value) {
	for i := range row {
		if !rel.Columns[i].Key {
			row[i] = Value{Unknown: true}
		}
	}
}

// completeUpdate fills in what the server leaves out since it is the same in the other row: large values that are in the
// old row, and a key that did not change.
func completeUpdate(c *Change) {
	if c.Old != nil {
		for i, v := range c.New {
			if v.Unknown {
				c.New[i] = c.Old[i]
			}
		}
		return
	}
	for i, v := range c.New {
		if !c.Table.Columns[i].Key {
			continue
		}
		if c.Old == nil {
			c.Old = make([]Value, len(c.New))
			for j := range c.Old {
				c.Old[j].Unknown = true
			}
		}
		c.Old[i] = v
	}
}

// size is what a change takes, in bytes, about.
func (c *Change) size() int {
	n := 64 + valueSize*(len(c.New)+len(c.Old))
	for _, row := range [][]Value{c.New, c.Old} {
		for i := range row {
			n += len(row[i].Text)
		}
	}
	return n
}
