package yserver_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver"
)

// directory knows callers by their ?token=, and says what they may do. It is a
// real gate with a backend that tests change.
type directory struct {
	mu     sync.Mutex
	lasts  map[string]time.Duration // by user, how long what is said of them holds
	who    map[string]gate.Identity // by token
	now    map[string]gate.Checked  // by user, what a recheck finds; else what was held
	may    map[string]gate.Decision // by user; else to read and write
	out    map[string]*gate.Refusal // by user
	down   error                    // the backend is away
	asked  []int                    // sizes of the batches that were rechecked
	tokens []string                 // see tried
	hold   chan struct{}            // a recheck waits for it
	held   chan struct{}            // a recheck waits
}

func newDirectory() *directory {
	return &directory{
		lasts: map[string]time.Duration{}, who: map[string]gate.Identity{}, now: map[string]gate.Checked{},
		may: map[string]gate.Decision{}, out: map[string]*gate.Refusal{},
	}
}

// set changes what the directory knows.
func (d *directory) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// knows adds a user, whose token is the name.
func (d *directory) knows(name string, opts ...func(*gate.Identity)) {
	d.set(func() {
		id := gate.Identity{UserID: name, OrgID: "org", Method: gate.MethodJWT, Proof: name}
		for _, opt := range opts {
			opt(&id)
		}
		d.who[name] = id
	})
}

func until(at time.Time) func(*gate.Identity) {
	return func(id *gate.Identity) { id.ExpiresAt = at }
}

// briefly is how long access lasts in tests that see it end: it begins when the
// caller is let in, however long that takes.
const briefly = 100 * time.Millisecond

// endLocked returns when what is said of a user now ends.
func (d *directory) endLocked(user string, otherwise time.Time) time.Time {
	if last, ok := d.lasts[user]; ok {
		return time.Now().Add(last)
	}
	return otherwise
}

func by(m gate.Method) func(*gate.Identity) { return func(id *gate.Identity) { id.Method = m } }

func (d *directory) Authenticate(_ context.Context, c *gate.Caller, _ gate.TicketMode) (gate.Identity, error) {
	return d.verify(c.HTTP.URL.Query().Get("token"))
}

func (d *directory) verify(token string) (gate.Identity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id, ok := d.who[token]
	switch {
	case d.down != nil:
		return gate.Identity{}, d.down
	case token == "" || ok:
		id.ExpiresAt = d.endLocked(token, id.ExpiresAt)
		return id, nil
	}
	return gate.Identity{}, gate.RefuseInvalid()
}

func (d *directory) Refresh(_ context.Context, token string, _ gate.TicketMode) (gate.Identity, error) {
	d.set(func() { d.tokens = append(d.tokens, token) })
	return d.verify(token)
}

func (d *directory) Recheck(ctx context.Context, ids []gate.Identity) ([]gate.Checked, error) {
	d.mu.Lock()
	hold, held := d.hold, d.held
	d.asked = append(d.asked, len(ids))
	answers := make([]gate.Checked, 0, len(ids))
	for _, id := range ids {
		answer, ok := d.now[id.UserID]
		if !ok {
			answer.Identity = id
		}
		answer.Identity.ExpiresAt = d.endLocked(id.UserID, answer.Identity.ExpiresAt)
		answers = append(answers, answer)
	}
	err := d.down
	d.mu.Unlock()
	if hold != nil {
		held <- struct{}{}
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return answers, err
}

func (d *directory) batches() (sizes []int) {
	d.set(func() { sizes = append(sizes, d.asked...) })
	return sizes
}

// tried are the tokens that were to be refreshed with.
func (d *directory) tried() (tokens []string) {
	d.set(func() { tokens = append(tokens, d.tokens...) })
	return tokens
}

func (d *directory) Authorize(_ context.Context, id gate.Identity, r *gate.Request) (gate.Decision, error) {
	v := d.decide(id, r.Room)
	if v.Refusal != nil {
		return gate.Decision{}, v.Refusal
	}
	return v.Decision, nil
}

func (d *directory) AuthorizeAll(_ context.Context, asks []gate.Ask) ([]gate.Verdict, error) {
	verdicts := make([]gate.Verdict, 0, len(asks))
	for _, a := range asks {
		verdicts = append(verdicts, d.decide(a.Identity, a.Room))
	}
	return verdicts, nil
}

func (d *directory) decide(id gate.Identity, _ string) gate.Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	decision, ok := d.may[id.UserID]
	if !ok {
		decision.Write = true
	}
	if last, ok := d.lasts["rule of "+id.UserID]; ok {
		decision.Until = time.Now().Add(last)
	}
	return gate.Verdict{Decision: decision, Refusal: d.out[id.UserID]}
}

var errAway = errors.New("the database is away")

// guarded puts the directory before the party.
func guarded(t testing.TB, d *directory) func(*yserver.Config, *yserver.Party) {
	t.Helper()
	g, err := gate.NewGuard(gate.GuardConfig{Authenticator: d, Authorizer: d})
	require.NoError(t, err)
	return func(_ *yserver.Config, p *yserver.Party) { p.Access, p.Guard = nil, g }
}

func withGrace(grace time.Duration) func(*yserver.Config, *yserver.Party) {
	return func(_ *yserver.Config, p *yserver.Party) { p.RefreshGrace = grace }
}

func withRecheck(every time.Duration) func(*yserver.Config, *yserver.Party) {
	return func(c *yserver.Config, _ *yserver.Party) { c.Recheck = every }
}

// messages makes the party one of message rooms.
func messages(m yserver.Message) func(*yserver.Config, *yserver.Party) {
	return func(_ *yserver.Config, p *yserver.Party) { p.Document, p.Message, p.YWebSocket = nil, &m, "" }
}

// far is when credentials expire that do not in a test.
func far() time.Time { return time.Now().Add(time.Hour) }

// expectEnd requires that the server ends the connection with a code and a
// reason.
func (w *wire) expectEnd(code int, reason string) {
	w.t.Helper()
	w.expectClose(code)
	require.Equal(w.t, reason, w.reason)
}

// recheck asks about everybody a filter names.
func (k *kit) recheck(f yserver.RecheckFilter) yserver.RecheckResult {
	k.t.Helper()
	result, err := k.Srv.Recheck(k.t.Context(), f)
	require.NoError(k.t, err)
	return result
}
