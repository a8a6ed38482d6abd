package access

import (
	"context"
	"regexp"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/gate"
)

// rows decides by a row that the room's id names: a BatchAuthorizer.
type rows struct {
	access    *Access
	write     writeRule
	targets   []*target
	dispatch  *dispatch // nil: the id is the key, and there is one target
	manySQL   string    // the query for many callers
	anonymous bool      // a target is open to callers without identity
}

// dispatch finds the target of an id by a pattern.
type dispatch struct {
	pattern *regexp.Regexp
	kind    int            // group
	id      int            // group
	targets map[string]int // by kind
}

// compilePattern compiles an expression that ids match as a whole, whatever flags it sets within. RE2 takes linear time.
func compilePattern(expr string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(expr); err != nil {
		return nil, err // what is no expression by itself must not become one within ours
	}
	return regexp.Compile(`\A(?:` + expr + `)\z`)
}

// find returns the target and the key of a room's id.
func (d *dispatch) find(room string) (at int, key string, ok bool) {
	if len(room) > gate.MaxRoomID {
		return 0, "", false
	}
	m := d.pattern.FindStringSubmatch(room)
	if m == nil {
		return 0, "", false
	}
	at, ok = d.targets[m[d.kind]]
	return at, m[d.id], ok && m[d.id] != ""
}

// Anonymous reports whether some row may be open to callers without identity: a rule of reading names PUBLIC.
func (r *rows) Anonymous() bool { return r.anonymous }

// place does what needs no query: who may not read any row of the room's kind is refused, and so is who can have none.
// On success it returns the target and the key.
func (r *rows) place(id *gate.Identity, room string) (at int, key string, refusal *gate.Refusal) {
	if !id.Authenticated() && !r.anonymous {
		return 0, "", gate.RefuseMissing()
	}
	key = room
	if r.dispatch != nil {
		var ok bool
		if at, key, ok = r.dispatch.find(room); !ok {
			return 0, "", gate.RefuseRoomID()
		}
	}
	t := r.targets[at]
	if refusal := t.admit(id); refusal != nil {
		return 0, "", refusal
	}
	if !t.ready(id, key) {
		_, refusal := t.decide(id, row{}, &r.write)
		return 0, "", refusal
	}
	return at, key, nil
}

// Authorize decides on one caller, with one query at most.
func (r *rows) Authorize(ctx context.Context, id gate.Identity, req *gate.Request) (gate.Decision, error) {
	at, key, refusal := r.place(&id, req.Room)
	if refusal != nil {
		return gate.Decision{}, refusal
	}
	t := r.targets[at]
	found, err := r.one(ctx, t, &id, key)
	if err != nil {
		return gate.Decision{}, r.access.unavailable(err)
	}
	d, refusal := t.decide(&id, found, &r.write)
	if refusal != nil {
		return gate.Decision{}, refusal
	}
	return d, nil
}

// one reads the row of a key, as far as the firewall lets it be seen.
func (r *rows) one(ctx context.Context, t *target, id *gate.Identity, key string) (found row, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.access.timeout)
	defer cancel()
	args := make([]any, len(t.single.sources))
	for i, s := range t.single.sources {
		args[i] = s.value(id, key)
	}
	result, err := r.access.db.Query(ctx, t.single.sql, args...)
	if err != nil {
		return row{}, err
	}
	var (
		text        string
		read, write bool
	)
	_, err = pgx.ForEachRow(result, []any{&text, &read, &write}, func() error {
		return found.see(text, key, read, write)
	})
	return found, err
}
