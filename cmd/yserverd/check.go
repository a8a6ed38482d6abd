package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/yserver"
)

// checkTimeout is how long a database and a bucket may take to answer a check.
const checkTimeout = 5 * time.Second

// checkCommand looks at a configuration as serve does, and starts nothing.
type checkCommand struct {
	Config  string `short:"c" default:"yserverd.yaml" placeholder:"FILE" help:"Configuration file."`
	Offline bool   `help:"Ask neither the database nor the bucket."`
}

// Run prints every problem and every warning, and a line that counts them. It fails if there is a problem.
func (c *checkCommand) Run(ctx context.Context, m *Main) error {
	cfg, problems := config.Read(c.Config, config.Options{Environ: m.Environ, PartyName: yserver.KebabCase})
	var warnings config.Errors
	var unasked []string
	if cfg != nil {
		warnings = cfg.Warnings
		if c.Offline {
			unasked = backends(cfg)
		} else {
			problems = append(problems, askBackends(ctx, cfg, problems)...)
		}
	}
	problems = problems.Sorted()
	var out strings.Builder
	for _, p := range problems {
		fmt.Fprintln(&out, p)
	}
	for _, w := range warnings {
		fmt.Fprintf(&out, "warning: %s\n", w)
	}
	fmt.Fprintf(&out, "%s: %s, %s", c.Config, countOrNo(len(problems), "problem"), countOrNo(len(warnings), "warning"))
	if len(unasked) > 0 {
		fmt.Fprintf(&out, "; not asked: %s", strings.Join(unasked, ", "))
	}
	fmt.Fprintln(&out)
	if _, err := fmt.Fprint(m.Stdout, out.String()); err != nil {
		return err
	}
	if len(problems) > 0 {
		return &exitError{code: exitConfig} // it has been said
	}
	return nil
}

// backends names what a configuration keeps its data in, if that is elsewhere.
func backends(cfg *config.Config) (names []string) {
	if cfg.DatabaseURL() != "" {
		names = append(names, "the database")
	}
	if cfg.Snapshots.S3.Endpoint != "" {
		names = append(names, "the bucket")
	}
	return names
}

// askBackends asks the databases and the bucket what they say of a configuration. What has a problem already is not
// asked.
func askBackends(ctx context.Context, cfg *config.Config, known config.Errors) (problems config.Errors) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	wrong := func(key string) bool {
		return slices.ContainsFunc(known, func(p config.Problem) bool { return p.Key == key || strings.HasPrefix(p.Key, key+".") })
	}
	key := []string{"database", "url"}
	if cfg.Database.URL == "" {
		key = []string{"store", "url"}
	}
	if !wrong(strings.Join(key, ".")) {
		found, err := askDatabase(ctx, cfg)
		if err != nil {
			found = append(found, cfg.Place(key, "cannot be asked: "+oneLine(err), "start it, or leave it out with --offline"))
		}
		problems = append(problems, slices.DeleteFunc(found, func(p config.Problem) bool { return wrong(p.Key) })...)
	}
	if cfg.Database.URL != "" && cfg.Store.URL != "" && cfg.Database.URL != cfg.Store.URL && !wrong("store.url") {
		if pool, err := connect(ctx, cfg.Store.URL, nil); err != nil {
			problems = append(problems, cfg.Place([]string{"store", "url"}, "cannot be asked: "+oneLine(err), "start it, or leave it out with --offline"))
		} else {
			pool.Close()
		}
	}
	if !wrong("snapshots.s3") {
		if bucket, release, err := openBucket(ctx, cfg.Snapshots.S3); err != nil {
			problems = append(problems, cfg.Place([]string{"snapshots", "s3"}, oneLine(err), "see to it, or leave it out with --offline"))
		} else if bucket != nil {
			release()
		}
	}
	return problems
}

// askDatabase asks the application's database, if there is one.
func askDatabase(ctx context.Context, cfg *config.Config) (config.Errors, error) {
	db, err := openDatabase(ctx, cfg)
	if err != nil || db == nil {
		return nil, err
	}
	defer db.Close()
	return checkGates(ctx, cfg, db)
}

// oneLine returns what an error says on one line.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// countOrNo is count, with "no" for none.
func countOrNo(n int, noun string) string {
	if n == 0 {
		return "no " + noun + "s"
	}
	return count(n, noun)
}

// errSaid reports whether an error has nothing to say that was not said.
func errSaid(err error) (code int, said bool) {
	var exit *exitError
	if errors.As(err, &exit) && exit.err == nil {
		return exit.code, true
	}
	return 0, false
}
