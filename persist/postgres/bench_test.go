package postgres_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/postgres"
)

// updateBytes is the size of an update of one keystroke, with some of its surroundings.
const updateBytes = 64

// documents makes appends to that many documents, one update each, from the documents' first on.
func documents(n int) []persist.Append {
	data := make([]byte, updateBytes)
	_, _ = rand.Read(data)
	items := make([]persist.Append, n)
	for i := range items {
		items[i] = persist.Append{Key: persist.Key{Party: "main", Room: fmt.Sprint("room", i)}, Updates: [][]byte{data}}
	}
	return items
}

func mustAppendAll(tb testing.TB, s *postgres.Store, items []persist.Append) {
	results, err := s.Append(tb.Context(), items)
	if err != nil {
		tb.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			tb.Fatal(r.Err)
		}
		items[i].After = r.Seq
	}
}

// insert is the least that storing rows can cost: as many rows as a call of Append has, in one statement, durable, fenced by
// nothing.
type insert struct {
	conn *pgx.Conn
	ids  []int64
	seqs []int64
	data [][]byte
}

func newInsert(tb testing.TB, url string, items []persist.Append) *insert {
	conn, err := pgx.Connect(tb.Context(), url)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	_, err = conn.Exec(tb.Context(), `CREATE TABLE plain (document_id bigint, seq bigint, data bytea, sum integer,
		created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (document_id, seq))`)
	require.NoError(tb, err)
	p := &insert{conn: conn}
	for i := range items {
		p.ids, p.seqs, p.data = append(p.ids, int64(i)), append(p.seqs, 0), append(p.data, items[i].Updates[0])
	}
	return p
}

func (p *insert) do(tb testing.TB) {
	for i := range p.seqs {
		p.seqs[i]++
	}
	const sql = `INSERT INTO plain SELECT *, 0 FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])`
	if _, err := p.conn.Exec(tb.Context(), sql, p.ids, p.seqs, p.data); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkAppend is one caller with grouped appends: appends/s are documents. The plain insert is what they are held
// against.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range []string{"cache_describe", "cache_statement"} {
		for _, docs := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("mode=%s/docs=%d", mode, docs), func(b *testing.B) {
				s := mustOpen(b, postgres.Options{URL: pgtest.Database(b) + "&default_query_exec_mode=" + mode})
				items := documents(docs)
				mustAppendAll(b, s, items)
				b.ReportAllocs()
				b.SetBytes(int64(docs * updateBytes))
				for b.Loop() {
					mustAppendAll(b, s, items)
				}
				b.ReportMetric(float64(docs*b.N)/b.Elapsed().Seconds(), "appends/s")
				b.StopTimer()
				require.NoError(b, s.Close())
			})
		}
	}
	b.Run("plain/docs=256", func(b *testing.B) {
		p := newInsert(b, pgtest.Database(b), documents(256))
		for b.Loop() {
			p.do(b)
		}
		b.ReportMetric(float64(256*b.N)/b.Elapsed().Seconds(), "appends/s")
	})
}

// TestAppendAgainstInsert logs what the fence costs. Both take turns, so that what else the machine does strikes both.
func TestAppendAgainstInsert(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	items := documents(256)
	p := newInsert(t, url, items)
	var fenced, plain time.Duration
	const rounds = 40
	for round := range rounds {
		begun := time.Now()
		mustAppendAll(t, s, items)
		between := time.Now()
		p.do(t)
		if round >= rounds/4 { // until then caches are filled
			fenced += between.Sub(begun)
			plain += time.Since(between)
		}
	}
	n := float64(256 * rounds * 3 / 4)
	t.Logf("appends of 256 documents: %.0f/s, plain inserts %.0f/s, ratio %.2f",
		n/fenced.Seconds(), n/plain.Seconds(), plain.Seconds()/fenced.Seconds())
	require.Equal(t, uint64(rounds), items[255].After)
}

// BenchmarkLoad is the join of a document whose log has not been folded, and of one that is all snapshot.
func BenchmarkLoad(b *testing.B) {
	const rows = 5000
	s := mustOpen(b, postgres.Options{URL: pgtest.Database(b)})
	defer func() { require.NoError(b, s.Close()) }()
	data := make([]byte, updateBytes)
	tail, folded := persist.Append{Key: persist.Key{Party: "main", Room: "tail"}}, persist.Key{Party: "main", Room: "folded"}
	for range rows {
		tail.Updates = append(tail.Updates, data)
	}
	mustAppendAll(b, s, []persist.Append{tail, {Key: folded, Updates: [][]byte{data}}})
	require.NoError(b, s.Compact(b.Context(), folded, 0, 1, make([]byte, rows*updateBytes)))
	for name, k := range map[string]persist.Key{"tail=5000": tail.Key, "snapshot": folded} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(rows * updateBytes)
			for b.Loop() {
				if _, err := s.Load(b.Context(), k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
