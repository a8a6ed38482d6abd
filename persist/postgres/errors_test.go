package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/postgres"
)

// refuseSQL makes the server answer what it answers in some trouble, to whoever writes rows.
func refuseSQL(code string) []string {
	return []string{
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trouble' USING ERRCODE = '` + code + `'; END $$`,
		`CREATE TRIGGER refuse BEFORE INSERT ON yserverd.updates FOR EACH STATEMENT EXECUTE FUNCTION refuse()`,
	}
}

// TestServerInTrouble: whatever keeps the server from writing, calls fail with ErrUnavailable, nothing is written, and they
// work again when it does.
func TestServerInTrouble(t *testing.T) {
	for name, code := range map[string]string{
		"disk full": "53100", "out of memory": "53200", "admin shutdown": "57P01", "query canceled": "57014", "i/o error": "58030",
		"forbidden": "42501", "internal error": "XX000", "serialization failure": "40001",
	} {
		t.Run(name, func(t *testing.T) {
			url := pgtest.Database(t)
			s := mustOpen(t, postgres.Options{URL: url})
			defer func() { require.NoError(t, s.Close()) }()
			mustAppend(t, s, notes, 0, "a")
			administer(t, url, refuseSQL(code)...)
			err := tryAppend(t.Context(), s, notes, 1, "b")
			require.ErrorIs(t, err, persist.ErrUnavailable)
			var refused *pgconn.PgError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, code, refused.Code)
			require.Equal(t, err, fmt.Errorf("append: %w", s.Stats().Err))
			administer(t, url, `DROP TRIGGER refuse ON yserverd.updates`)
			require.Len(t, mustLoad(t, s, notes).Tail, 1)
			mustAppend(t, s, notes, 1, "b")
		})
	}
}

// TestDeadlockIsRepeated: what the server has undone is done again by the call itself.
func TestDeadlockIsRepeated(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	administer(t, url, `CREATE SEQUENCE times`,
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('times') < 3 THEN RAISE EXCEPTION 'trouble' USING ERRCODE = '40P01'; END IF; RETURN NULL; END $$`,
		`CREATE TRIGGER refuse BEFORE INSERT ON yserverd.updates FOR EACH STATEMENT EXECUTE FUNCTION refuse()`)
	mustAppend(t, s, notes, 0, "a")
	require.EqualValues(t, 3, value[int64](t, url, `SELECT last_value FROM times`))
	require.Len(t, mustLoad(t, s, notes).Tail, 1)
}

// TestDamagedPageQuarantines overwrites a page on disk that only one document has anything in.
func TestDamagedPageQuarantines(t *testing.T) {
	c := pgtest.New(t)
	url := c.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	mustAppend(t, s, notes, 0, strings.Repeat("a large row goes out of line ", 1000))
	file := value[string](t, url, `SELECT current_setting('data_directory') || '/' || pg_relation_filepath(reltoastrelid)
		FROM pg_class WHERE oid = 'yserverd.updates'::regclass`)
	require.NoError(t, c.Stop())
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, 24), 0)
	require.NoError(t, errors.Join(err, f.Close()))
	require.NoError(t, c.Start())

	require.Eventually(t, func() bool { // connections from before tell that they have ended
		_, err = s.Load(t.Context(), notes)
		return !errors.Is(err, persist.ErrUnavailable)
	}, time.Minute, time.Millisecond)
	require.ErrorIs(t, err, persist.ErrCorrupt)
	require.ErrorContains(t, err, "invalid page")
	require.ErrorIs(t, tryAppend(t.Context(), s, notes, 1, "x"), persist.ErrCorrupt)
	mustAppend(t, s, persist.Key{Party: "main", Room: "other"}, 0, "x")
}

func TestReadOnlyServer(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	mustAppend(t, s, notes, 0, "a")
	require.NoError(t, s.Close())
	s = mustOpen(t, postgres.Options{URL: url + "&default_transaction_read_only=on"})
	defer func() { require.NoError(t, s.Close()) }()
	require.ErrorIs(t, tryAppend(t.Context(), s, notes, 1, "b"), persist.ErrUnavailable)
	require.ErrorIs(t, s.Ping(t.Context()), persist.ErrUnavailable)
	require.Len(t, mustLoad(t, s, notes).Tail, 1, "reading works")
}

func TestTooManyConnections(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	name := value[string](t, url, `SELECT current_database()`)
	defer func() { require.NoError(t, s.Close()) }()
	mustAppend(t, s, notes, 0, "a")
	role := "crowd_" + name
	administer(t, url, `CREATE ROLE `+role+` LOGIN CONNECTION LIMIT 1`, `GRANT USAGE ON SCHEMA yserverd TO `+role,
		`GRANT ALL ON ALL TABLES IN SCHEMA yserverd TO `+role)
	defer administer(t, url, `DROP OWNED BY `+role, `DROP ROLE `+role)
	crowded := strings.Replace(url, "postgres@", role+"@", 1)
	holder, err := pgx.Connect(t.Context(), crowded)
	require.NoError(t, err)
	_, err = postgres.Open(t.Context(), postgres.Options{URL: crowded})
	require.ErrorIs(t, err, persist.ErrUnavailable)
	require.ErrorContains(t, err, "53300")
	require.NoError(t, holder.Close(t.Context()))
	require.Eventually(t, func() bool {
		one, err := postgres.Open(t.Context(), postgres.Options{URL: crowded, MaxConnections: 1})
		if err != nil {
			require.ErrorIs(t, err, persist.ErrUnavailable)
			return false
		}
		require.NoError(t, one.Ping(t.Context()))
		require.NoError(t, one.Close())
		return true
	}, time.Minute, time.Millisecond)
}

// TestTimeoutsGrow: what takes longer for its size alone gets through in the end.
func TestTimeoutsGrow(t *testing.T) {
	url := pgtest.Database(t)
	s, patient := mustOpen(t, postgres.Options{URL: url, StatementTimeout: 250 * time.Millisecond}), mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, errors.Join(s.Close(), patient.Close())) }()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	for name, row := range map[string]struct {
		bytes int
		want  string
		call  func(k persist.Key, value []byte) error
	}{
		"a little":   {1, "no answer in 250ms", func(k persist.Key, v []byte) error { return tryAppend(t.Context(), s, k, 1, string(v)) }},
		"an edit":    {5 << 20, "no answer in 500ms", func(k persist.Key, v []byte) error { return tryAppend(t.Context(), s, k, 1, string(v)) }},
		"a snapshot": {5 << 20, "no answer in 500ms", func(k persist.Key, v []byte) error { return s.Compact(t.Context(), k, 0, 1, v) }},
		"the end of an epoch": {5 << 20, "no answer in 500ms", func(k persist.Key, v []byte) error {
			_, err := s.Replace(t.Context(), k, 0, nil, v)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			k := persist.Key{Party: "p", Room: name}
			mustAppend(t, patient, k, 0, "a")
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), `SELECT FROM yserverd.documents FOR UPDATE`)
			require.NoError(t, err)
			err = row.call(k, make([]byte, row.bytes))
			require.ErrorIs(t, err, persist.ErrUnavailable)
			require.ErrorContains(t, err, row.want)
			require.NoError(t, tx.Rollback(t.Context()))
		})
	}
}

// TestTimeouts: somebody has locked the document. Whose time is over tells which error it is.
func TestTimeouts(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url, StatementTimeout: time.Second})
	defer func() { require.NoError(t, s.Close()) }()
	mustAppend(t, s, notes, 0, "a")
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM yserverd.documents FOR UPDATE`)
	require.NoError(t, err)

	err = tryAppend(t.Context(), s, notes, 1, "b")
	require.ErrorIs(t, err, persist.ErrUnavailable)
	require.ErrorContains(t, err, "no answer in 1s")
	require.False(t, errors.Is(err, context.DeadlineExceeded))
	require.ErrorIs(t, s.Stats().Err, persist.ErrUnavailable)
	require.Len(t, mustLoad(t, s, notes).Tail, 1, "reading does not wait")
	require.NoError(t, s.Stats().Err)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = tryAppend(ctx, s, notes, 1, "b")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.False(t, errors.Is(err, persist.ErrUnavailable))
	require.NoError(t, s.Stats().Err, "a caller who has gone tells nothing")

	require.NoError(t, tx.Rollback(t.Context()))
	require.Eventually(t, func() bool {
		rows, err := s.LoadAfter(t.Context(), notes, 1)
		require.NoError(t, err)
		if len(rows) == 0 {
			err = tryAppend(t.Context(), s, notes, 1, "b")
		}
		return err == nil
	}, time.Minute, time.Millisecond)
	require.Len(t, mustLoad(t, s, notes).Tail, 2)
}

// TestManyCreateAtOnce: documents that several calls create at the same moment are created once, and the others are told.
func TestManyCreateAtOnce(t *testing.T) {
	s := open(t)
	const writers, rooms = 6, 30
	stored := make([][]bool, writers)
	var group errgroup.Group
	for w := range writers {
		group.Go(func() error {
			items := documents(rooms)
			for i := range items {
				// Half of them the other way round, and some more than once.
				if w%2 == 0 {
					items[i].Key.Room = fmt.Sprint("room", rooms-1-i)
				}
			}
			items = append(items, items[:5]...)
			results, err := s.Append(context.Background(), items)
			for i, r := range results {
				if r.Err != nil && !errors.Is(r.Err, persist.ErrConflict) {
					return r.Err
				}
				if errors.Is(r.Err, persist.ErrConflict) && r.Seq != 1 {
					return fmt.Errorf("conflict at %d", r.Seq)
				}
				stored[w] = append(stored[w], r.Err == nil && i < rooms)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	total := 0
	for _, all := range stored {
		for _, one := range all {
			if one {
				total++
			}
		}
	}
	require.Equal(t, rooms, total)
	require.Equal(t, uint64(rooms), s.Stats().Appended)
}

func TestTooMuchInOneCall(t *testing.T) {
	s := open(t)
	large := make([]byte, 64<<20)
	a := persist.Append{Key: notes}
	for range 9 {
		a.Updates = append(a.Updates, large)
	}
	_, err := s.Append(t.Context(), []persist.Append{a})
	require.ErrorIs(t, err, persist.ErrInvalid)
	require.False(t, mustLoad(t, s, notes).Exists)
}

func TestCloseWaitsForCalls(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url, MaxConnections: 2})
	outcome := make(chan error, 50)
	for i := range cap(outcome) {
		go func() {
			outcome <- tryAppend(context.Background(), s, persist.Key{Party: "main", Room: fmt.Sprint(i)}, 0, "x")
		}()
	}
	require.NoError(t, s.Close())
	stored := 0
	for range cap(outcome) {
		if err := <-outcome; err != nil {
			require.ErrorIs(t, err, persist.ErrClosed)
		} else {
			stored++
		}
	}
	require.EqualValues(t, stored, value[int64](t, url, `SELECT count(*) FROM yserverd.documents`))
	require.ErrorIs(t, s.Ping(t.Context()), persist.ErrClosed)
}
