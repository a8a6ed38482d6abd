package changes

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// duplicateObject is PostgreSQL's code for what is there already: another server was faster.
const duplicateObject = "42710"

// publicationSQL returns the statement that gives the publication what it lacks.
func (s *survey) publicationSQL(c Config, lacking []Table) string {
	names := make([]string, len(lacking))
	for i, t := range lacking {
		names[i] = t.sql()
	}
	name, tables := pgx.Identifier{c.Publication}.Sanitize(), strings.Join(names, ", ")
	switch {
	case s.publication != nil:
		return fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", name, tables)
	case len(lacking) == 0:
		return fmt.Sprintf("CREATE PUBLICATION %s WITH (publish_via_partition_root = true)", name)
	}
	return fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s WITH (publish_via_partition_root = true)", name, tables)
}

// prepare makes the publication what it should be, where that is allowed, and returns what the database has then, and
// what is wrong with it.
func (c *catalogue) prepare(ctx context.Context, config Config) (*survey, []Problem, error) {
	s, err := c.survey(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	problems := s.problems(config)
	if s.server.version < minVersion {
		return s, problems, nil
	}
	lacking, _ := s.lacking(config)
	if config.Unmanaged || len(lacking) == 0 && s.publication != nil {
		return s, append(problems, s.publicationProblems(config)...), nil
	}
	failed := c.exec(ctx, s.publicationSQL(config, lacking))
	var refused *pgconn.PgError
	if failed != nil && !errors.As(failed, &refused) {
		return nil, nil, fmt.Errorf("prepare publication %s: %w", config.Publication, failed)
	}
	if s, err = c.survey(ctx, config); err != nil {
		return nil, nil, err
	}
	problems = append(s.problems(config), s.publicationProblems(config)...)
	if refused != nil && refused.Code != duplicateObject {
		for i := range problems {
			if p := &problems[i]; p.Code == CodePublication && p.Fatal {
				p.Text += " (" + refused.Message + ")"
			}
		}
	}
	return s, problems, nil
}

func (c *catalogue) exec(ctx context.Context, sql string) error {
	return c.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}
