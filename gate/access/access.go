package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/yserverd/yserverd/gate"
)

const (
	defaultTimeout = 5 * time.Second
	logInterval    = 10 * time.Second // between two lines on a database that is away
)

// Config is what an Access is made of.
type Config struct {
	// Schema declares the resources. Nil means none.
	Schema *Schema
	// DB is where their tables are. Required if there are any, and may be a pool that others use too; not a transaction,
	// which ends with the first error.
	DB Querier
	// Log is told, now and then, that the database does not answer. Nil means nobody.
	Log *slog.Logger
	// HTTP asks webhooks; its redirects and its timeout are not used. Nil means http.DefaultTransport.
	HTTP *http.Client
	// Timeout bounds one query, and the wait for a connection. Zero means 5 s. Whoever makes the DB sets its
	// statement_timeout too: PostgreSQL may take a while to notice that nobody waits.
	Timeout time.Duration
	// Clock tells the time that webhooks are signed with. Nil means time.Now.
	Clock func() time.Time
}

// Access makes the authorizers of a declaration. It is immutable, starts no goroutine and needs no Close.
type Access struct {
	schema    *Schema
	catalogue *catalogue
	db        Querier
	log       *slog.Logger
	logged    rate.Sometimes
	http      *http.Client
	timeout   time.Duration
	clock     func() time.Time
}

// InvalidError is a declaration with mistakes.
type InvalidError struct{ Problems []Problem }

// Error returns the first problem and how many there are.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("access: %s (%d in all)", e.Problems[0], len(e.Problems))
}

func invalid(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &InvalidError{problems}
}

// New checks the resources as Check and CheckDatabase do, and remembers the types of their columns: a table that changes
// wants a new Access. Mistakes are an *InvalidError, any other error means that the database did not answer.
func New(ctx context.Context, c Config) (*Access, error) {
	a := &Access{
		schema: c.Schema, db: c.DB, log: c.Log, logged: rate.Sometimes{First: 1, Interval: logInterval},
		http: webhookClient(c.HTTP), timeout: c.Timeout, clock: c.Clock,
	}
	if a.schema == nil {
		a.schema = &Schema{}
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.timeout == 0 {
		a.timeout = defaultTimeout
	}
	if a.clock == nil {
		a.clock = time.Now
	}
	if err := invalid(Check(a.schema, nil)); err != nil {
		return nil, err
	}
	names := a.schema.tableNames()
	if len(names) > 0 && a.db == nil {
		return nil, errors.New("access: resources need a database")
	}
	b, err := bind(ctx, a.db, a.schema)
	if err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	if err := invalid(b.problems); err != nil {
		return nil, err
	}
	a.catalogue = b.catalogue
	return a, nil
}

// Room returns the authorizer of a party, nil being the rule that has nothing in it. The name is for the paths of
// problems. A rule that the declaration or the database does not fit is an *InvalidError.
//
// What it returns is a gate.AnonymousAuthorizer, and for resources a gate.BatchAuthorizer. It decides on everything but
// a ticket's scope and the expiry of identities.
func (a *Access) Room(name string, r *RoomRule) (gate.Authorizer, error) {
	if r == nil {
		r = &RoomRule{}
	}
	rooms := map[string]*RoomRule{name: r}
	c := &checker{schema: a.schema}
	c.rooms(rooms)
	if err := invalid(c.problems); err != nil {
		return nil, err
	}
	b := &binder{catalogue: a.catalogue, schema: a.schema}
	b.rooms(rooms)
	if err := invalid(b.problems); err != nil {
		return nil, err
	}
	write := newWriteRule(r.Write, a.schema.RoleHierarchy)
	switch {
	case r.Resource != nil:
		return a.resources(write, []ResourceRef{*r.Resource}, nil)
	case r.Pattern != nil:
		return a.pattern(write, r.Pattern)
	case r.Equals != "":
		return &equals{name: r.Equals, write: write}, nil
	case r.Webhook != nil:
		return newWebhook(a, write, r.Webhook), nil
	}
	return &anyone{public: r.Public, write: write}, nil
}

// pattern makes the authorizer of a pattern.
func (a *Access) pattern(write writeRule, p *Pattern) (gate.Authorizer, error) {
	re, err := compilePattern(p.Expr)
	if err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	d := &dispatch{pattern: re, kind: p.KindGroup, id: p.IDGroup, targets: map[string]int{}}
	var refs []ResourceRef
	for _, kind := range sortedKeys(p.Resources) {
		d.targets[kind] = len(refs)
		refs = append(refs, p.Resources[kind])
	}
	return a.resources(write, refs, d)
}

// resources makes the authorizer of resources.
func (a *Access) resources(write writeRule, refs []ResourceRef, d *dispatch) (gate.Authorizer, error) {
	r := &rows{access: a, write: write, dispatch: d}
	base := 0
	for _, ref := range refs {
		table, key := ref.resolve(a.schema)
		t, err := newTarget(targetSpec{table: table, key: key, base: base, catalogue: a.catalogue, schema: a.schema})
		if err != nil {
			return nil, fmt.Errorf("access: %w", err)
		}
		base += 1 + len(t.many.sources)
		r.targets = append(r.targets, t)
		r.anonymous = r.anonymous || t.read.public
	}
	r.manySQL = manyQuery(r.targets)
	return r, nil
}

// unavailable is the error of what could not be decided. The refusal in it is what a caller gets.
func (a *Access) unavailable(err error) error {
	a.logged.Do(func() { a.log.Warn("who may open a room cannot be decided", "error", err) })
	return &unavailableError{gate.RefuseAccessUnavailable(), err}
}

// unavailableError says that nothing is known, to callers and to logs.
type unavailableError struct {
	refusal *gate.Refusal
	cause   error
}

func (e *unavailableError) Error() string   { return e.refusal.Error() + ": " + e.cause.Error() }
func (e *unavailableError) Unwrap() []error { return []error{e.refusal, e.cause} }
