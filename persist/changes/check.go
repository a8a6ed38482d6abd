package changes

import (
	"context"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
)

// Check returns what keeps Open from reading the changes of a configuration, and what will be missing; none if all is
// well. It changes nothing, and takes no slot. An error is one of the configuration itself; a database that does not
// answer is a Problem.
func Check(ctx context.Context, c Config) ([]Problem, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	unreachable := func(err error) ([]Problem, error) {
		return []Problem{{Code: CodeConnect, Text: err.Error(), Fatal: true}}, nil
	}
	catalogue, err := openCatalogue(ctx, c)
	if err != nil {
		return unreachable(err)
	}
	defer catalogue.close()
	s, err := catalogue.survey(ctx, c)
	if err != nil {
		return unreachable(err)
	}
	problems := s.problems(c)
	if s.server.version < minVersion {
		return problems, nil
	}
	if !s.manageable(c) {
		problems = append(problems, s.publicationProblems(c)...)
	}
	if s.server.used >= s.server.slots {
		problems = append(problems, Problem{Code: CodeSlots, Fatal: true, Text: fmt.Sprintf(
			"all %d replication slots are taken: raise max_replication_slots", s.server.slots)})
	}
	if err := replicate(ctx, c); err != nil {
		text := err.Error()
		if !s.server.replication {
			text = fmt.Sprintf("role %s may not replicate: ALTER ROLE … REPLICATION, or what the provider has for it (%v)", s.server.role, err)
		}
		problems = append(problems, Problem{Code: CodeRole, Text: text, Fatal: true})
	}
	return problems, nil
}

// manageable reports whether Open will mend the publication, if there is something to mend.
func (s *survey) manageable(c Config) bool {
	lacking, mayPublish := s.lacking(c)
	switch {
	case s.publication == nil:
		return !c.Unmanaged && mayPublish && s.server.mayCreate
	case len(lacking) == 0:
		return false // the rest is not ours to change
	}
	return !c.Unmanaged && mayPublish && s.publication.mayAlter && s.publication.viaRoot
}

// replicate tries whether the role gets a connection for replication.
func replicate(ctx context.Context, c Config) error {
	conn, err := dialReplication(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is left to lose
	_, err = pglogrepl.IdentifySystem(ctx, conn)
	return err
}

// dialReplication connects for replication. The server watches us as closely as we watch it: what it keeps for a reader
// behind a cut line, it keeps that long.
func dialReplication(ctx context.Context, c Config) (*pgconn.PgConn, error) {
	config, err := c.connection()
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["replication"] = "database"
	config.RuntimeParams["wal_sender_timeout"] = fmt.Sprintf("%dms", c.Silence.Milliseconds())
	return pgconn.ConnectConfig(ctx, &config.Config)
}
