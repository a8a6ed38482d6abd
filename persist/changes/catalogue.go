package changes

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

// catalogue looks at the database's catalogue, on a connection of its own: the replicating one answers no questions. It is
// safe for concurrent use.
type catalogue struct {
	config *pgx.ConnConfig // static

	mu     sync.Mutex
	conn   *pgx.Conn
	closed bool
	types  map[uint32]typeInfo
}

// typeInfo is a type, below its domains.
type typeInfo struct {
	oid          uint32
	schema, name string
	form         form
}

func openCatalogue(ctx context.Context, c Config) (*catalogue, error) {
	config, err := c.connection()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &catalogue{config: config, conn: conn, types: map[uint32]typeInfo{}}, nil
}

// use calls with the connection, which is made again if it went: servers end those that are idle.
func (c *catalogue) use(ctx context.Context, call func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("the session is over")
	}
	if !c.conn.IsClosed() {
		err := call(ctx, c.conn)
		if err == nil || !c.conn.IsClosed() || ctx.Err() != nil {
			return err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, c.config)
	if err != nil {
		return err
	}
	c.conn = conn
	return call(ctx, conn)
}

// close does not wait for the server.
func (c *catalogue) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	_ = c.conn.Close(ctx) // nothing is left to lose
}

// primarySQL returns the columns of a table's primary key.
const primarySQL = `
SELECT a.attname::text FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = $1 AND i.indisprimary`

// typesSQL returns for each type what lies below its domains: its id, name, and if it is an array the delimiter and the
// element's id, below domains too.
const typesSQL = `
WITH RECURSIVE base AS (
	SELECT t.oid AS asked, t.* FROM pg_catalog.pg_type t WHERE t.oid = ANY ($1)
	UNION ALL
	SELECT b.asked, t.* FROM base b JOIN pg_catalog.pg_type t ON b.typtype = 'd' AND t.oid = b.typbasetype
), element AS (
	SELECT b.asked, t.* FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typelem
	WHERE b.typtype <> 'd' AND b.typcategory = 'A' AND b.typlen = -1
	UNION ALL
	SELECT e.asked, t.* FROM element e JOIN pg_catalog.pg_type t ON e.typtype = 'd' AND t.oid = e.typbasetype
)
SELECT b.asked, b.oid, n.nspname::text, b.typname::text, coalesce(e.oid, 0), coalesce(e.typdelim::text, '')
FROM base b JOIN pg_catalog.pg_namespace n ON n.oid = b.typnamespace
LEFT JOIN element e ON e.asked = b.asked AND e.typtype <> 'd'
WHERE b.typtype <> 'd'`

// detail completes a relation with its primary key and what its types are. A table or type that is gone meanwhile keeps
// what the server's message said.
func (c *catalogue) detail(ctx context.Context, rel *Relation) error {
	return c.use(ctx, func(ctx context.Context, conn *pgx.Conn) error { return c.detailLocked(ctx, conn, rel) })
}

func (c *catalogue) detailLocked(ctx context.Context, conn *pgx.Conn, rel *Relation) error {
	rows, err := conn.Query(ctx, primarySQL, rel.OID)
	if err != nil {
		return err
	}
	primary, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range primary {
		if i := rel.Column(name); i >= 0 {
			rel.Columns[i].Primary = true
		}
	}
	if err := c.loadTypesLocked(ctx, conn, rel); err != nil {
		return err
	}
	for i := range rel.Columns {
		column := &rel.Columns[i]
		if t, ok := c.types[column.Type]; ok {
			column.Type, column.TypeSchema, column.TypeName, column.form = t.oid, t.schema, t.name, t.form
		} else {
			column.form = form{shape: shapeOf(column.Type)}
		}
	}
	return nil
}

// loadTypesLocked looks up the types of a relation that are not known yet.
func (c *catalogue) loadTypesLocked(ctx context.Context, conn *pgx.Conn, rel *Relation) error {
	var missing []uint32
	for _, column := range rel.Columns {
		if _, ok := c.types[column.Type]; !ok {
			missing = append(missing, column.Type)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, typesSQL, missing)
	if err != nil {
		return err
	}
	var (
		asked, element uint32
		t              typeInfo
		delimiter      string
	)
	_, err = pgx.ForEachRow(rows, []any{&asked, &t.oid, &t.schema, &t.name, &element, &delimiter}, func() error {
		t.form = form{shape: shapeOf(t.oid)}
		if element != 0 && len(delimiter) == 1 {
			t.form = form{shape: shapeOf(element), array: true, delimiter: delimiter[0]}
		}
		c.types[asked] = t
		return nil
	})
	if err != nil {
		return fmt.Errorf("look types up: %w", err)
	}
	return nil
}
