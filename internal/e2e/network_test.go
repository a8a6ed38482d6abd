package e2e_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
)

// trouble is something that happens to a line.
type trouble struct {
	name   string
	strike func(*line)
	outage bool          // nothing comes through
	slow   bool          // everything does, in time
	lasts  time.Duration // at least
}

// troubles are all kinds of them. The short form is long enough to be seen by everybody.
func troubles() []trouble {
	lasting := func(short, long int) time.Duration { return time.Duration(roundsOf(short, long)) * time.Millisecond }
	latency := roundsOf(1000, 2000) // in either direction
	return []trouble{
		{"latency", func(l *line) { l.disturb("latency", map[string]int{"latency": latency}) }, false, true, lasting(2000, 30_000)},
		{"reset", func(l *line) { l.disturb("reset_peer", map[string]int{"timeout": 0}) }, true, false, lasting(500, 30_000)},
		{"half-open", func(l *line) { l.disturb("timeout", map[string]int{"timeout": 0}) }, true, false, lasting(500, 60_000)},
		{"bandwidth", func(l *line) { l.disturb("bandwidth", map[string]int{"rate": 1}) }, false, false, lasting(2000, 60_000)},
		{"cut", func(l *line) { l.proxy.Stop() }, true, false, lasting(1000, 60_000)},
	}
}

// The line between the server and PostgreSQL, or the bucket, has every trouble in turn while eight stock clients write in
// four rooms. They go on and see each other's edits. Nobody is told that something is stored which is not in the database
// at that moment, looked at directly and all the time. Without a database the server says that it is not ready, and says
// so no longer when it is back; without a bucket it is ready, for documents do without. Afterwards everything is there
// once, nobody has lost a connection, and there are new snapshots.
func TestNetworkTroubles(t *testing.T) {
	for _, of := range []struct {
		name             string
		make             func(t *testing.T) *depot
		database, bucket bool // what is troubled
	}{
		{"Postgres", func(t *testing.T) *depot { return &depot{database: pgtest.Database(t)} }, true, false},
		{"Postgres and S3", func(t *testing.T) *depot {
			return inBucket(t, &depot{database: pgtest.Database(t)}, s3test.Shared(t))
		}, roundsOf(0, 1) == 1, true},
		{"embedded and S3", func(t *testing.T) *depot { return inBucket(t, &depot{}, s3test.Shared(t)) }, false, true},
	} {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(roundsOf(3, 30))*time.Minute)
			defer cancel()
			d := of.make(t)
			database, objects := overLines(t, d)
			c := newCrew(ctx, t, d)
			if of.database {
				for _, what := range troubles() {
					c.databaseTrouble(database, what)
				}
			}
			if of.bucket {
				for _, what := range troubles() {
					c.bucketTrouble(objects, what)
				}
			}
			requireConnected(ctx, t, c.typists)
			c.s.Kill()
			docs := d.open(ctx, t, c.s)
			defer docs.close()
			c.everythingOnce(docs)
		})
	}
}

// databaseTrouble lets the clients write through a trouble of the line to the database.
func (c *crew) databaseTrouble(l *line, what trouble) {
	t := c.t
	began := time.Now()
	docs := c.d.open(c.ctx, t, c.s)
	defer docs.close()
	reached, w, observed := c.snapshots(docs), c.witness(docs), c.observe()

	stop := c.write()
	c.moment()
	what.strike(l)
	stop()
	before := make([]int, len(c.typists))
	for i := range before {
		before[i] = c.count(i)
	}
	stop = c.write()
	if what.outage {
		awaitReadiness(t, c.s, http.StatusServiceUnavailable)
	}
	time.Sleep(what.lasts)
	stop()
	c.meet()
	if what.outage {
		c.nothingIsSaved(before)
	}
	if what.slow {
		awaitSaved(c.ctx, t, c.typists)
	}
	said := observed()
	l.repair()
	mended := time.Now()

	awaitReadiness(t, c.s, http.StatusOK)
	awaitSaved(c.ctx, t, c.typists)
	c.meet()
	requireConnected(c.ctx, t, c.typists)
	recovered := time.Since(mended)
	c.foldOn(docs, reached)
	seen := w.end()
	c.everythingOnce(docs)
	t.Logf("database, %s, %v, /readyz %v: all was well %v after it: %s",
		what.name, mended.Sub(began).Round(time.Millisecond), said, recovered.Round(time.Millisecond), seen)
}

// bucketTrouble lets the clients write through a trouble of the line to the bucket.
func (c *crew) bucketTrouble(l *line, what trouble) {
	t := c.t
	began := time.Now()
	observed := c.observe()
	stop := c.write()
	c.moment()
	what.strike(l)
	stop()
	without := c.d.stored(t)
	stop = c.write()
	time.Sleep(what.lasts)
	stop()
	c.meet()
	awaitSaved(c.ctx, t, c.typists)
	if what.outage {
		require.Equal(t, without, c.d.stored(t), "snapshots")
	}
	l.repair()
	mended := time.Now()
	c.storeOn(c.d.stored(t))
	requireConnected(c.ctx, t, c.typists)
	said := observed()
	require.Equal(t, said[http.StatusOK], total(said), "/readyz answers otherwise: %v", said)
	t.Logf("bucket, %s, %v: snapshots again %v after it", what.name, mended.Sub(began).Round(time.Millisecond), time.Since(mended).Round(time.Millisecond))
}

func total(counts map[int]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}
