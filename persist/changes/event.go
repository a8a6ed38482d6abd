package changes

import (
	"time"

	"github.com/jackc/pglogrepl"
)

// LSN is a position in the server's write-ahead log, in bytes.
type LSN = pglogrepl.LSN

// Event is a committed transaction, or a gap. It belongs to whoever took it; relations are shared and read only.
type Event struct {
	// LSN is where the transaction's commit ends in the log; for a gap, how far the stream was.
	LSN LSN
	// Committed is the commit's time by the server's clock. Zero for a gap.
	Committed time.Time
	// Changes are those of the configured tables, in the order of their statements. None in a gap.
	Changes []Change
	// Gap says that changes are missing. Nil for a transaction.
	Gap *Gap

	size int // bytes that it takes, about
}

// Gap says that changes of tables are missing between the event before and the one behind.
type Gap struct {
	Tables []Table
	Reason Reason
}

// Reason is why there is a gap.
type Reason string

// The reasons of gaps.
const (
	// Reconnected: the stream was interrupted; what was committed meanwhile is unknown. All tables are meant.
	Reconnected Reason = "reconnected"
	// TooLarge: a transaction took more than Config.MaxTransaction.
	TooLarge Reason = "transaction too large"
	// Behind: events were not taken, and what waited took more than Config.MaxPending.
	Behind Reason = "events not taken"
)

// Op is what was done.
type Op byte

// The operations, as pgoutput's messages name them.
const (
	Insert   Op = 'I'
	Update   Op = 'U'
	Delete   Op = 'D'
	Truncate Op = 'T' // the table is empty now; neither row is there
)

// String returns the operation as SQL names it.
func (o Op) String() string {
	switch o {
	case Insert:
		return "INSERT"
	case Update:
		return "UPDATE"
	case Delete:
		return "DELETE"
	case Truncate:
		return "TRUNCATE"
	}
	return "?"
}

// Change is that of one row, or of the whole table for Truncate.
type Change struct {
	Table *Relation
	Op    Op
	// New is the row of Insert and Update, a value for each column of the relation. Nil otherwise.
	New []Value
	// Old is the row before, of Update and Delete: all of it with the replica identity full, else the identity's columns,
	// and the rest is Unknown. Nil otherwise, and for an Update whose table has no identity.
	Old []Value
}

// Value is one of a row, as text.
type Value struct {
	Text    string // empty if Null or Unknown
	Null    bool
	Unknown bool // the server did not send it
}

// Relation is a table as it was when a change was made. A change of the schema brings another one: what is derived from a
// relation may be kept by its pointer. It is read only.
type Relation struct {
	Table
	OID      uint32
	Identity Identity
	Columns  []Column // those that are published; generated ones are not
}

// Identity is which columns of old rows the table has written to the log, ALTER TABLE … REPLICA IDENTITY.
type Identity byte

// The replica identities, as pg_class.relreplident has them.
const (
	IdentityDefault Identity = 'd' // the primary key, if there is one
	IdentityIndex   Identity = 'i'
	IdentityFull    Identity = 'f'
	IdentityNothing Identity = 'n'
)

// Column is one of a relation.
type Column struct {
	Name string
	// Type is the object id of its type, and what pg_type calls it. A domain is the type below it.
	Type                 uint32
	TypeSchema, TypeName string
	// Key says that it is in the replica identity; with the full one each is.
	Key bool
	// Primary says that it is in the primary key.
	Primary bool

	form form
}

// Column returns the position of a column, or -1.
func (r *Relation) Column(name string) int {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return i
		}
	}
	return -1
}
