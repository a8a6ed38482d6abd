package identity_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
	"github.com/yserverd/yserverd/internal/pgtest"
)

// TestDatabaseAway: while the database is away everything that needs it is 503, it is not hammered, nobody who is held
// loses anything, and it is found again without a restart.
func TestDatabaseAway(t *testing.T) {
	cluster := pgtest.New(t)
	pool := openPool(t, cluster.Database(t))
	var lines bytes.Buffer
	a := &app{tb: t, pool: pool, db: &counted{Querier: pool}, clock: newClock()}
	a.exec(schema)
	token := a.session("ann", "org_1")
	a.key("k", "ann", "")
	c := a.configure()
	c.Log = slog.New(slog.NewTextHandler(&lines, nil))
	c.APIKeys.Static = []identity.StaticKey{{SHA256: digest("static"), UserID: "svc"}}
	a.started(c)
	held := a.is(withCookie(token), "ann")

	require.NoError(t, cluster.Stop())
	before := a.db.queries.Load()
	for range 300 {
		a.refused(withCookie(token), gate.CodeAuthUnavailable)
		a.refused(withBearer(token), gate.CodeAuthUnavailable)
		a.refused(withKey("k"), gate.CodeAuthUnavailable)
	}
	require.LessOrEqual(t, a.db.queries.Load()-before, int64(1), "no time passes, and nobody asks again")
	_, err := a.auth.Recheck(t.Context(), []gate.Identity{held})
	require.Error(t, err)
	a.is(withKey("static"), "svc") // what needs no database
	a.is(withBearer(minted(t, secret, claims(nil))), "ann")
	a.is(request{cookies: []string{"better-auth.session_token", "forged.x"}}, "")

	require.NoError(t, cluster.Start())
	for deadline := time.Now().Add(time.Minute); ; {
		a.clock.Add(identity.LastBackoff)
		if _, err := a.auth.Authenticate(t.Context(), withCookie(token).caller(), gate.TicketsRefused); err == nil {
			break
		}
		require.True(t, time.Now().Before(deadline), "it is not found again")
	}
	a.is(withKey("k"), "ann")
	require.Equal(t, 1, strings.Count(lines.String(), "cannot be asked"), "one line when it goes, however often it fails: %s", lines.String())
	require.Equal(t, 1, strings.Count(lines.String(), "answers again"))
	require.NotContains(t, lines.String(), token)
}

// fake is a database that tests decide for.
type fake func(ctx context.Context) error

func (f fake) Query(ctx context.Context, _ string, _ ...any) (pgx.Rows, error) { return nil, f(ctx) }

// TestDatabaseAnswers tells a database that is away from a caller who is, and from a value that no row can have.
func TestDatabaseAnswers(t *testing.T) {
	a := newApp(t)
	token := a.session("ann", "")
	var answer atomic.Pointer[fake]
	a.db.Querier = switched{a.db.Querier, &answer}
	a.started(a.configure())
	use := func(f fake) { answer.Store(&f) }

	use(func(context.Context) error { return &pgconn.PgError{Code: "22021"} })
	a.refused(withBearer("odd"), gate.CodeInvalid)
	answer.Store(nil)
	a.is(withBearer(token), "ann") // at once: that was no outage

	ctx, hangUp := context.WithCancel(t.Context())
	use(func(ctx context.Context) error {
		hangUp()
		<-ctx.Done()
		return ctx.Err()
	})
	_, err := a.auth.Authenticate(ctx, withBearer(token).caller(), gate.TicketsRefused)
	requireRefusal(t, gate.CodeAuthUnavailable, err)
	answer.Store(nil)
	a.is(withBearer(token), "ann") // at once: the caller hung up

	for _, failure := range []error{errors.New("connection refused"), &pgconn.PgError{Code: "42P01"}, &pgconn.PgError{Code: "57P03"}, context.DeadlineExceeded} {
		use(func(ctx context.Context) error {
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.LessOrEqual(t, time.Until(deadline), identity.QueryTimeout)
			return failure
		})
		a.refused(withBearer(token), gate.CodeAuthUnavailable)
		answer.Store(nil)
		a.refused(withBearer(token), gate.CodeAuthUnavailable)
		a.clock.Add(identity.LastBackoff)
		a.is(withBearer(token), "ann")
	}
}

// switched is a database unless there is an answer.
type switched struct {
	identity.Querier
	answer *atomic.Pointer[fake]
}

func (s switched) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if f := s.answer.Load(); f != nil {
		return f.Query(ctx, sql, args...)
	}
	return s.Querier.Query(ctx, sql, args...)
}

func TestBreaker(t *testing.T) {
	now := newClock()
	b := identity.NewBreaker(now.Now)
	for range 3 { // many ask while all is well
		probe, ok := b.Enter()
		require.True(t, ok)
		require.False(t, probe)
	}
	require.True(t, b.Leave(false, identity.Failed))
	require.False(t, b.Leave(false, identity.Failed), "who asked together counts once")
	require.False(t, b.Leave(false, identity.Unknown))
	wait := 50 * time.Millisecond
	for range 10 {
		now.Add(wait - 1)
		_, ok := b.Enter()
		require.False(t, ok)
		now.Add(1)
		probe, ok := b.Enter()
		require.True(t, ok)
		require.True(t, probe)
		_, ok = b.Enter()
		require.False(t, ok, "one asks for all")
		require.False(t, b.Leave(true, identity.Failed))
		wait = min(2*wait, identity.LastBackoff)
	}
	now.Add(time.Second)
	_, ok := b.Enter()
	require.True(t, ok)
	require.False(t, b.Leave(true, identity.Unknown)) // it went away: the next one asks
	probe, ok := b.Enter()
	require.True(t, ok)
	require.True(t, b.Leave(probe, identity.Answered))
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if probe, ok := b.Enter(); ok {
				b.Leave(probe, identity.Answered)
			}
		})
	}
	all.Wait()
}
