package changes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// survey is what the database has of a configuration.
type survey struct {
	server      serverInfo
	publication *publicationInfo // nil if there is none
	tables      []tableInfo      // as Config.Tables
}

type serverInfo struct {
	version     int // as in server_version_num
	role        string
	replication bool // the role may replicate
	walLevel    string
	standby     bool // it is in recovery
	synchronous string
	slots, used int
	mayCreate   bool // publications, as far as the database is concerned
	end         LSN  // of its log
}

type publicationInfo struct {
	all, insert, update, delete, truncate, viaRoot bool
	mayAlter                                       bool
}

type tableInfo struct {
	oid         uint32 // 0 if it is not there
	kind        string // pg_class.relkind: r, p, or what cannot be published
	persistence string // pg_class.relpersistence
	identity    Identity
	key         []string // columns of the replica identity; nil with the full one
	columns     []string
	generated   []string // those that are not sent
	mayPublish  bool
	published   bool
}

// identifies reports whether old rows carry anything: PostgreSQL refuses UPDATE and DELETE of a published table otherwise.
func (t *tableInfo) identifies() bool { return t.identity == IdentityFull || len(t.key) > 0 }

const serverSQL = `
SELECT current_setting('server_version_num')::int, current_user::text,
	(SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
	current_setting('wal_level'), pg_is_in_recovery(), current_setting('synchronous_standby_names'),
	current_setting('max_replication_slots')::int, (SELECT count(*)::int FROM pg_catalog.pg_replication_slots),
	has_database_privilege(current_database(), 'CREATE'),
	CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END::text`

const publicationSQL = `
SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, pg_has_role(pubowner, 'USAGE')
FROM pg_catalog.pg_publication WHERE pubname = $1`

const tablesSQL = `
SELECT coalesce(c.oid, 0), coalesce(c.relkind::text, ''), coalesce(c.relpersistence::text, ''),
	coalesce(c.relreplident::text, ''),
	coalesce((SELECT array_agg(a.attname::text) FROM pg_catalog.pg_index i
		JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
		WHERE i.indrelid = c.oid
			AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)), '{}'),
	coalesce((SELECT array_agg(a.attname::text) FROM pg_catalog.pg_attribute a
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '{}'),
	coalesce((SELECT array_agg(a.attname::text) FROM pg_catalog.pg_attribute a
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> ''), '{}'),
	coalesce(pg_has_role(c.relowner, 'USAGE'), false),
	EXISTS (SELECT FROM pg_catalog.pg_publication_tables p
		WHERE p.pubname = $3 AND p.schemaname = w.schema AND p.tablename = w.name)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(schema, name, n)
LEFT JOIN pg_catalog.pg_namespace ns ON ns.nspname = w.schema
LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = ns.oid AND c.relname = w.name
ORDER BY w.n`

// survey looks at everything that a configuration needs. Of a server that is too old it has that alone.
func (c *catalogue) survey(ctx context.Context, config Config) (*survey, error) {
	var s *survey
	err := c.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		s = &survey{}
		return s.scan(ctx, conn, config)
	})
	return s, err
}

func (s *survey) scan(ctx context.Context, conn *pgx.Conn, config Config) error {
	v := &s.server
	err := conn.QueryRow(ctx, serverSQL).Scan(&v.version, &v.role, &v.replication, &v.walLevel, &v.standby, &v.synchronous,
		&v.slots, &v.used, &v.mayCreate, &v.end)
	if err != nil {
		return fmt.Errorf("look at the server: %w", err)
	}
	if v.version < minVersion {
		return nil
	}
	if err := s.scanPublication(ctx, conn, config.Publication); err != nil {
		return fmt.Errorf("look at publication %s: %w", config.Publication, err)
	}
	if err := s.scanTables(ctx, conn, config); err != nil {
		return fmt.Errorf("look at the tables: %w", err)
	}
	return nil
}

func (s *survey) scanPublication(ctx context.Context, conn *pgx.Conn, name string) error {
	rows, err := conn.Query(ctx, publicationSQL, name)
	if err != nil {
		return err
	}
	var p publicationInfo
	_, err = pgx.ForEachRow(rows, []any{&p.all, &p.insert, &p.update, &p.delete, &p.truncate, &p.viaRoot, &p.mayAlter}, func() error {
		s.publication = &p
		return nil
	})
	return err
}

func (s *survey) scanTables(ctx context.Context, conn *pgx.Conn, config Config) error {
	schemas, names := make([]string, len(config.Tables)), make([]string, len(config.Tables))
	for i, t := range config.Tables {
		schemas[i], names[i] = t.Schema, t.Name
	}
	rows, err := conn.Query(ctx, tablesSQL, schemas, names, config.Publication)
	if err != nil {
		return err
	}
	var t tableInfo
	var identity string
	_, err = pgx.ForEachRow(rows, []any{
		&t.oid, &t.kind, &t.persistence, &identity, &t.key, &t.columns, &t.generated, &t.mayPublish, &t.published,
	}, func() error {
		if identity != "" {
			t.identity = Identity(identity[0])
		}
		table := t
		table.key, table.columns, table.generated = slices.Clone(t.key), slices.Clone(t.columns), slices.Clone(t.generated)
		s.tables = append(s.tables, table)
		return nil
	})
	return err
}

// fingerprint is what a stream relies on and is not told about: which tables are meant, and that they are published. What
// else changes comes in the stream.
func (s *survey) fingerprint() string {
	var b strings.Builder
	if p := s.publication; p != nil {
		fmt.Fprint(&b, p.insert, p.update, p.delete, p.truncate, p.viaRoot)
	}
	for i := range s.tables {
		fmt.Fprint(&b, " ", s.tables[i].oid, " ", s.tables[i].published)
	}
	return b.String()
}
