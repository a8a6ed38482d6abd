package changes

import (
	"context"

	"github.com/jackc/pglogrepl"
)

// ParseLSN reads a position as SQL writes it.
var ParseLSN = pglogrepl.ParseLSN

// Columns of types, without a database that says so.
var (
	Text    = Column{Name: "text"}
	Number  = Column{Name: "number", form: form{shape: shapeNumber}}
	Bool    = Column{Name: "bool", form: form{shape: shapeBool}}
	JSON    = Column{Name: "json", form: form{shape: shapeJSON}}
	Numbers = Column{Name: "numbers", form: form{shape: shapeNumber, array: true, delimiter: ','}}
	JSONs   = Column{Name: "jsons", form: form{shape: shapeJSON, array: true, delimiter: ','}}
	Times   = Column{Name: "times", form: form{shape: shapeTimestampTZ, array: true, delimiter: ';'}}
	Time    = Column{Name: "time", form: form{shape: shapeTimestampTZ}}
)

// Decoder takes messages as a stream does, for tables of schema public.
type Decoder struct{ t *transactions }

// NewDecoder returns one that wants tables, and bounds transactions.
func NewDecoder(limit int, tables ...Table) Decoder {
	return Decoder{newTransactions(tables, limit, func(rel *Relation) error {
		for i := range rel.Columns {
			rel.Columns[i].form = form{shape: shapeOf(rel.Columns[i].Type)}
		}
		return nil
	})}
}

// Take is that of transactions.
func (d Decoder) Take(message []byte) (*Event, error) { return d.t.take(message) }

// Size is what an event counts for.
func (e *Event) Size() int { return e.size }

// Queue is that of a stream, without one.
type Queue struct{ q *queue }

// NewQueue returns one with a bound, in bytes.
func NewQueue(limit int) Queue { return Queue{newQueue(limit)} }

// Gap puts one.
func (q Queue) Gap(at LSN, why Reason, tables ...Table) {
	set := map[Table]bool{}
	for _, t := range tables {
		set[t] = true
	}
	q.q.put(newGap(at, why, set))
}

// Transaction puts one that truncates a table of schema public.
func (q Queue) Transaction(at LSN, size int, table string) {
	rel := &Relation{Table: Table{Schema: "public", Name: table}}
	q.q.put(&Event{LSN: at, Changes: []Change{{Table: rel, Op: Truncate}}, size: size})
}

// Get returns the next event, which is there.
func (q Queue) Get(tb interface{ Fatal(args ...any) }) Event {
	e := q.q.get()
	if e == nil {
		tb.Fatal("nothing is in the queue")
	}
	return *e
}

// Empty reports whether nothing is there.
func (q Queue) Empty() bool { return q.q.get() == nil }

// Figures are those of Stats.
func (q Queue) Figures() (gaps, dropped, size uint64) { return q.q.gaps, q.q.dropped, uint64(q.q.size) }

// SenderTimeout is how long the server keeps a reader of a configuration that it does not hear from.
func SenderTimeout(ctx context.Context, c Config) (string, error) {
	conn, err := dialReplication(ctx, c.withDefaults())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	results, err := conn.Exec(ctx, "SHOW wal_sender_timeout").ReadAll()
	if err != nil {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}
