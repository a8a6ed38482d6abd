package changes

import "github.com/jackc/pglogrepl"

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
