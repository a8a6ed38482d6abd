package access

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/gate"
)

// maxBatch is how many callers are asked about in one query.
const maxBatch = 10_000

// placed is an ask that the database has to answer.
type placed struct {
	ask    int // its index
	target int
	key    string
}

// manyQuery puts the queries of the targets together. Each has its own callers, none of them included.
func manyQuery(targets []*target) string {
	sql := make([]string, len(targets))
	for i, t := range targets {
		sql[i] = t.many.sql
	}
	return strings.Join(sql, " UNION ALL ")
}

// AuthorizeAll decides on many callers as Authorize would on each, with one query for each 10,000 of them. An error is
// about all of them: nothing is known.
func (r *rows) AuthorizeAll(ctx context.Context, asks []gate.Ask) ([]gate.Verdict, error) {
	verdicts := make([]gate.Verdict, len(asks))
	var open []placed
	for i := range asks {
		at, key, refusal := r.place(&asks[i].Identity, asks[i].Room)
		if refusal != nil {
			verdicts[i].Refusal = refusal
			continue
		}
		open = append(open, placed{i, at, key})
	}
	for len(open) > 0 {
		n := min(len(open), maxBatch)
		if err := r.many(ctx, asks, open[:n], verdicts); err != nil {
			return nil, r.access.unavailable(err)
		}
		open = open[n:]
	}
	return verdicts, nil
}

// many reads the rows of some asks and decides on them.
func (r *rows) many(ctx context.Context, asks []gate.Ask, open []placed, verdicts []gate.Verdict) error {
	ctx, cancel := context.WithTimeout(ctx, r.access.timeout)
	defer cancel()
	result, err := r.access.db.Query(ctx, r.manySQL, r.manyArgs(asks, open)...)
	if err != nil {
		return err
	}
	var (
		found       = make([]row, len(open))
		n           int
		text        string
		read, write bool
	)
	_, err = pgx.ForEachRow(result, []any{&n, &text, &read, &write}, func() error {
		return found[n].see(text, open[n].key, read, write)
	})
	if err != nil {
		return err
	}
	for i, p := range open {
		v := &verdicts[p.ask]
		v.Decision, v.Refusal = r.targets[p.target].decide(&asks[p.ask].Identity, found[i], &r.write)
	}
	return nil
}

// manyArgs returns the parameters: for each target the numbers of its callers, then its values, a list of those that
// differ between callers.
func (r *rows) manyArgs(asks []gate.Ask, open []placed) []any {
	var args []any
	for at, t := range r.targets {
		numbers := []int32{}
		for i, p := range open {
			if p.target == at {
				numbers = append(numbers, int32(i)) // at most maxBatch
			}
		}
		args = append(args, numbers)
		for _, s := range t.many.sources {
			if s.of == fromLiteral {
				args = append(args, s.text)
				continue
			}
			values := make([]*string, len(numbers))
			for i, n := range numbers {
				p := open[n]
				values[i] = s.value(&asks[p.ask].Identity, p.key)
			}
			args = append(args, values)
		}
	}
	return args
}
