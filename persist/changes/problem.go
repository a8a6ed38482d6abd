package changes

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is something about the database that keeps changes from being read, or some of them.
type Problem struct {
	// Code names the kind of problem.
	Code Code
	// Table is the one concerned; zero if it is the whole.
	Table Table
	// Text says what is wrong and, where SQL helps, which.
	Text string
	// Fatal says that Open fails; otherwise something will be missing.
	Fatal bool
}

// String returns the text with its table.
func (p Problem) String() string {
	if p.Table == (Table{}) {
		return p.Text
	}
	return fmt.Sprintf("table %s: %s", p.Table, p.Text)
}

// Code is a kind of Problem.
type Code string

// The kinds of problems.
const (
	CodeConnect     Code = "connect"          // the database does not answer, or not to this role
	CodeVersion     Code = "version"          // the server is too old
	CodeWAL         Code = "wal_level"        // it is not logical
	CodeRole        Code = "replication"      // the role may not replicate
	CodeSlots       Code = "slots"            // all are taken
	CodeSynchronous Code = "synchronous"      // commits would count us as a standby
	CodePublication Code = "publication"      // it is missing, or does not publish what it should
	CodeTable       Code = "table"            // it is missing, or is nothing that can be published
	CodeIdentity    Code = "replica_identity" // old rows lack columns
)

// ProblemError is what Open fails with when the database is not ready.
type ProblemError struct {
	Problems []Problem // the fatal ones
}

func (e *ProblemError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.String()
	}
	return "the database is not ready for postgres changes: " + strings.Join(texts, "; ")
}

// fatal returns an error with the problems that are, if any.
func fatal(problems []Problem) error {
	problems = slices.DeleteFunc(slices.Clone(problems), func(p Problem) bool { return !p.Fatal })
	if len(problems) == 0 {
		return nil
	}
	return &ProblemError{Problems: problems}
}

// minVersion is the first that publishes partitioned tables as what they are.
const minVersion = 130000

// problems returns what is wrong with the database as a whole and with tables, the publication left aside.
func (s *survey) problems(c Config) []Problem {
	var all []Problem
	add := func(code Code, isFatal bool, format string, args ...any) {
		all = append(all, Problem{Code: code, Text: fmt.Sprintf(format, args...), Fatal: isFatal})
	}
	v := s.server
	if v.version < minVersion {
		add(CodeVersion, true, "the server is PostgreSQL %d, 13 is needed", v.version/10000)
		return all
	}
	if v.walLevel != "logical" {
		add(CodeWAL, true, "wal_level is %s: ALTER SYSTEM SET wal_level = logical, and restart the server", v.walLevel)
	}
	if v.standby && v.version < 160000 {
		add(CodeWAL, true, "the server is a standby: those decode from PostgreSQL 16 on")
	}
	if strings.Contains(v.synchronous, "*") {
		add(CodeSynchronous, false, "synchronous_standby_names has a *: our stream counts as a standby, and commits wait for it")
	}
	for i, t := range c.Tables {
		for _, p := range s.tables[i].problems(c.Needs[t], s.writes()) {
			p.Table = t
			if p.Code == CodeIdentity && p.Text == "" {
				p.Text = fmt.Sprintf("it has no replica identity, so that PostgreSQL would refuse UPDATE and DELETE once it is published: "+
					"give it a primary key, or ALTER TABLE %s REPLICA IDENTITY FULL", t.sql())
			}
			all = append(all, p)
		}
	}
	return all
}

// writes reports whether updates or deletes are published, or will be.
func (s *survey) writes() bool {
	return s.publication == nil || s.publication.update || s.publication.delete
}

// problems returns those of a table. A missing identity has no text.
func (t *tableInfo) problems(needs []string, writes bool) (all []Problem) {
	switch {
	case t.oid == 0:
		return []Problem{{Code: CodeTable, Text: "it does not exist", Fatal: true}}
	case t.kind != "r" && t.kind != "p":
		return []Problem{{Code: CodeTable, Text: "it is no table", Fatal: true}}
	case t.persistence != "p":
		return []Problem{{Code: CodeTable, Text: "it is unlogged or temporary: its changes are not in the log", Fatal: true}}
	case writes && !t.identifies():
		all = append(all, Problem{Code: CodeIdentity, Fatal: true})
	}
	for _, column := range needs {
		switch {
		case !slices.Contains(t.columns, column):
			all = append(all, Problem{Code: CodeTable, Text: fmt.Sprintf("it has no column %q", column), Fatal: true})
		case slices.Contains(t.generated, column):
			all = append(all, Problem{Code: CodeTable, Text: fmt.Sprintf("column %q is generated: it is not sent", column), Fatal: true})
		case writes && t.identity != IdentityFull && t.identifies() && !slices.Contains(t.key, column):
			all = append(all, Problem{Code: CodeIdentity, Text: fmt.Sprintf(
				"column %q is not in the replica identity, so that old rows do not have it: "+
					"REPLICA IDENTITY FULL, or USING INDEX with one that has it", column)})
		}
	}
	return all
}

// lacking returns the tables that should be published and are not, without those that cannot be.
func (s *survey) lacking(c Config) (tables []Table, mayPublish bool) {
	mayPublish = true
	for i, t := range c.Tables {
		info := &s.tables[i]
		if !info.published && fatal(info.problems(nil, s.writes())) == nil {
			tables = append(tables, t)
			mayPublish = mayPublish && info.mayPublish
		}
	}
	return tables, mayPublish
}

// publicationProblems returns what is wrong with the publication as it is.
func (s *survey) publicationProblems(c Config) []Problem {
	var all []Problem
	if lacking, _ := s.lacking(c); len(lacking) > 0 || s.publication == nil {
		all = append(all, Problem{Code: CodePublication, Fatal: true, Text: fmt.Sprintf(
			"publication %s does not have what it should: %s", c.Publication, s.publicationSQL(c, lacking))})
	}
	p := s.publication
	if p == nil {
		return all
	}
	var not []string
	for what, published := range map[string]bool{"insert": p.insert, "update": p.update, "delete": p.delete, "truncate": p.truncate} {
		if !published {
			not = append(not, what)
		}
	}
	if slices.Sort(not); len(not) > 0 {
		all = append(all, Problem{Code: CodePublication, Text: fmt.Sprintf("publication %s does not publish %s",
			c.Publication, strings.Join(not, ", "))})
	}
	for i, t := range c.Tables {
		if s.tables[i].kind == "p" && !p.viaRoot {
			all = append(all, Problem{Code: CodePublication, Table: t, Fatal: true, Text: fmt.Sprintf(
				"it is partitioned, and publication %s names the partitions: ALTER PUBLICATION … SET (publish_via_partition_root = true)",
				c.Publication)})
		}
	}
	return all
}
