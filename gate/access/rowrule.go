package access

import (
	"slices"

	"github.com/yserverd/yserverd/gate"
)

// Outcome is what a RowRule says of a row and a caller. The zero Outcome shows nothing.
type Outcome uint8

// The outcomes, from least to most: a condition that needs several has the least of theirs.
const (
	Hidden  Outcome = iota // a caller may not know of the row, or not read it
	Unknown                // it hangs on a value that is not known. Withhold the row
	Visible                // a query for the row would find it, and let the caller read it
)

// String returns the outcome's name in lower case.
func (o Outcome) String() string {
	switch o {
	case Hidden:
		return "hidden"
	case Visible:
		return "visible"
	}
	return "unknown"
}

// Column is a column of a table as a Row has it.
type Column struct {
	Name string
	Type uint32 // its OID in pg_type, a domain's own. Zero means that it is not held against the declaration's
}

// Value is a value of a row. The zero Value is the empty text.
type Value struct {
	// Text is as the type's output function writes it in a session with datestyle ISO and with bytea_output and
	// extra_float_digits left alone, in UTF-8. Other forms count as unknown.
	Text    string
	Null    bool // it is NULL
	Unknown bool // it is not known, such as a large value that a change left alone. Text and Null do not count
}

// Row is the image of a row: a value for each of the columns that Rows was given, in their order. Columns behind its end
// are unknown. An image of which only the replica identity is known has everything else marked Unknown, not Null.
type Row []Value

// RowRule decides on images of rows as a query decides on the rows: who passes the table's firewall, its roles and its
// condition of reading. It asks no database, is immutable and may be used from any goroutine.
//
// It is exact: Visible and Hidden are what a gate.Authorizer of the resource says of a room that is the row. Where the
// image does not have what that takes, or has it in a form that only PostgreSQL understands, the outcome is Unknown.
type RowRule struct {
	read     roles
	firewall []rowTest
	record   *rowCondition // nil: none
	columns  []string
	scope    *rowTest // the clause of the caller's organization, nil if there is none
	owner    *rowTest // the clause of the caller itself
}

// Columns returns the names of the columns that the rule reads, sorted. What a change does not have of them makes
// Unknown: for updates and deletes they have to be in the table's replica identity.
func (r *RowRule) Columns() []string { return slices.Clone(r.columns) }

// Decide says whether a caller may see a row. It allocates nothing, and looks at neither the expiry nor the scope of the
// identity. The row is not kept.
func (r *RowRule) Decide(id gate.Identity, row Row) Outcome {
	if !r.read.pass(&id) {
		return Hidden
	}
	outcome := Visible
	for i := range r.firewall {
		if outcome = min(outcome, r.firewall[i].hold(&id, row)); outcome == Hidden {
			return Hidden
		}
	}
	if r.record == nil || isAdmin(&id) {
		return outcome
	}
	return min(outcome, r.record.hold(&id, row))
}

// Scope returns the organization that a row is for, as its column has it, and whether the firewall asks for one at all:
// where it does, an empty one is nobody's (the column is NULL, or unknown). It routes, and does not decide: a caller
// whose OrgID is another spelling of the same value (an upper-case uuid, 07) is not found by it, and goes without.
func (r *RowRule) Scope(row Row) (org string, scoped bool) {
	if r.scope == nil {
		return "", false
	}
	v := row.at(r.scope.column)
	if v.Unknown || v.Null {
		return "", true
	}
	return r.scope.trimmed(v.Text), true
}

// Owns reports whether a caller is for certain the one that the row's firewall names as its owner: a column that equals
// ctx.userId. Without such a clause nobody is. It says nothing about whether the caller may see the row.
func (r *RowRule) Owns(id gate.Identity, row Row) bool {
	return r.owner != nil && r.owner.hold(&id, row) == Visible
}

// at returns the value of a column, which is unknown where the row does not have it.
func (row Row) at(column int) Value {
	if column < 0 || column >= len(row) {
		return Value{Unknown: true}
	}
	return row[column]
}
