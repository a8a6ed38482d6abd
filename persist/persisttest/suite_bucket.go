package persisttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/object/objecttest"
)

// OpenBucket is Open for a store that keeps snapshots and versions in a bucket.
type OpenBucket func(tb testing.TB, name string, bucket object.Bucket) Store

// RunBucket tests that the stores that open returns keep package persist's
// contract with their snapshots and versions in a bucket: all of Run, what is
// said of buckets, and what holds when every call of the bucket fails in turn.
func RunBucket(t *testing.T, open OpenBucket) {
	t.Run("all that holds without a bucket", func(t *testing.T) {
		buckets := make(map[string]*objecttest.Memory)
		Run(t, func(tb testing.TB, name string) Store {
			if buckets[name] == nil {
				buckets[name] = new(objecttest.Memory)
			}
			return open(tb, name, buckets[name])
		})
	})
	for _, rule := range []struct {
		name string
		test func(*bucketEnv)
	}{
		{"snapshots and versions are objects", testObjects},
		{"superseded objects are swept when due", testSuperseded},
		{"orphans are swept when due", testOrphans},
		{"purge leaves no object", testPurgeObjects},
		{"an object that is missing or damaged quarantines", testBadObjects},
		{"a bucket that is away quarantines nothing", testBucketAway},
		{"every call of the bucket may fail", testBucketFaults},
		{"sweeping beside writers and readers", testSweepConcurrent},
	} {
		t.Run(rule.name, func(t *testing.T) {
			b := &bucketEnv{memory: new(objecttest.Memory)}
			b.faulty = objecttest.NewFaulty(b.memory, nil)
			b.env = newEnv(t, func(tb testing.TB, name string) Store { return open(tb, name, b.faulty) })
			rule.test(b)
		})
	}
}

// bucketEnv is one store under test and its bucket.
type bucketEnv struct {
	*env
	memory *objecttest.Memory
	faulty *objecttest.Faulty // what the store has of it
}

// everything is due.
func everything() persist.SweepOptions {
	later := time.Now().Add(time.Hour)
	return persist.SweepOptions{TombstonesBefore: later, SupersededBefore: later, OrphansBefore: later}
}

// objects is the objects of a document as text: "epoch-seq" for snapshots, "v" for
// versions.
func (b *bucketEnv) objects(k persist.Key) string {
	b.Helper()
	var words []string
	for _, name := range b.memory.Names() {
		n, err := object.ParseName(name)
		require.NoError(b, err)
		switch {
		case !n.Of(k):
		case n.IsVersion():
			words = append(words, "v")
		default:
			words = append(words, fmt.Sprintf("%d-%d", n.Epoch, n.Seq))
		}
	}
	return strings.Join(words, " ")
}

// objectOf is the name of the only object of a document that is a version, or is
// none.
func (b *bucketEnv) objectOf(k persist.Key, version bool) (found string) {
	b.Helper()
	for _, name := range b.memory.Names() {
		if n, err := object.ParseName(name); err == nil && n.Of(k) && n.IsVersion() == version {
			require.Empty(b, found)
			found = name
		}
	}
	require.NotEmpty(b, found)
	return found
}

func testObjects(b *bucketEnv) {
	k := key("notes")
	b.mustAppend(k, 0, "a", "b", "c")
	b.mustAppend(key("other"), 0, "x")
	require.Empty(b, b.memory.Names(), "rows are no objects")
	b.mustCompact(k, 2, "ab")
	b.putVersion(k, "one", 1, "state")
	b.putVersion(k, "two", 2, "state")
	require.Equal(b, "0-2 v v", b.objects(k))
	stored, err := b.memory.Get(b.ctx, b.objectOf(k, false), 1<<20)
	require.NoError(b, err)
	n, err := object.ParseName(b.objectOf(k, false))
	require.NoError(b, err)
	data, err := object.Decode(stored, n.Sum, 1<<20)
	require.NoError(b, err)
	require.Equal(b, "ab", string(data))
	for range 2 {
		require.Equal(b, "ab@2 c", content(b.load(k)))
		require.Equal(b, "two@2=state one@1=state", b.versions(k))
		page, _, err := b.store.List(b.ctx, "main", "notes", "", 0)
		require.NoError(b, err)
		require.Equal(b, int64(2), page[0].SnapshotBytes, "as given to Compact")
		b.reopen()
	}
	// A snapshot keeps the name that it was given, whatever becomes of the epoch.
	require.NoError(b, b.store.Delete(b.ctx, k, nil))
	require.NoError(b, b.store.Undelete(b.ctx, k))
	b.reopen()
	require.Equal(b, "ab@2 c", content(b.load(k)))
	require.Equal(b, "0-2 v v", b.objects(k))
	b.replace(k, 1, "imported")
	require.Equal(b, "imported@4", content(b.load(k)))
	require.Equal(b, "0-2 2-4 v v", b.objects(k))
	b.mustCompact(key("other"), 1, "x")
	require.Equal(b, "0-1", b.objects(key("other")))
}

func testSuperseded(b *bucketEnv) {
	k := key("notes")
	b.mustAppend(k, 0, "a", "b", "c", "d")
	for i, snapshot := range []string{"a", "ab", "abc"} {
		b.mustCompact(k, uint64(i)+1, snapshot)
	}
	b.putVersion(k, "gone", 1, "one")
	b.putVersion(k, "kept", 2, "two")
	require.NoError(b, b.store.DeleteVersion(b.ctx, k, "gone"))
	require.Equal(b, "0-1 0-2 0-3 v v", b.objects(k))
	require.Equal(b, persist.SweepStats{}, b.sweep(persist.SweepOptions{SupersededBefore: time.Now().Add(-time.Hour)}))
	require.Equal(b, "0-1 0-2 0-3 v v", b.objects(k), "a backup may need them")
	b.reopen()
	b.replace(k, 0, "imported")
	due := persist.SweepOptions{SupersededBefore: time.Now().Add(time.Hour), Limit: 2}
	total := 0
	for {
		stats := b.sweep(due)
		require.LessOrEqual(b, stats.Superseded, 2)
		total += stats.Superseded
		if !stats.More {
			break
		}
	}
	require.Equal(b, 4, total)
	for range 2 {
		require.Equal(b, "1-5 v", b.objects(k))
		require.Equal(b, "imported@5", content(b.load(k)))
		require.Equal(b, "kept@2=two", b.versions(k))
		require.Zero(b, b.sweep(due).Superseded)
		b.reopen()
	}
	// A version that comes back under the same name as one that was superseded.
	require.NoError(b, b.store.DeleteVersion(b.ctx, k, "kept"))
	b.putVersion(k, "kept", 2, "two")
	b.sweep(everything())
	require.Equal(b, "kept@2=two", b.versions(k))
	require.Equal(b, "1-5 v", b.objects(k))
}

func testOrphans(b *bucketEnv) {
	k := key("notes")
	b.mustAppend(k, 0, "a", "b", "c")
	b.mustCompact(k, 1, "a")
	b.mustCompact(k, 2, "ab")
	b.putVersion(k, "v", 1, "state")
	named, err := object.ParseName(b.objectOf(k, true))
	require.NoError(b, err)
	uuid, foreign := named.Store, "00000000-0000-4000-8000-000000000000"
	require.NotEqual(b, foreign, uuid)
	stored, sum := object.Encode([]byte("orphan"))
	old := time.Now().Add(-48 * time.Hour)
	put := func(name string, at time.Time) string {
		require.NoError(b, b.memory.Put(b.ctx, name, stored))
		b.memory.Date(name, at)
		return name
	}
	for _, name := range b.memory.Names() {
		b.memory.Date(name, old)
	}
	gone := []string{
		put(object.SnapshotName(uuid, k, 0, 3, sum), old),
		put(object.SnapshotName(uuid, k, 0, 2, sum), old),
		put(object.VersionName(uuid, k, "v", sum), old),
		put(object.VersionName(uuid, key("nobody"), "v", sum), old),
		put(object.SnapshotName(uuid, persist.Key{Party: "~/%", Room: "x"}, 9, 9, sum), old),
	}
	kept := []string{
		put(object.SnapshotName(uuid, k, 0, 4, sum), time.Now()),
		put(object.SnapshotName(foreign, k, 0, 3, sum), old),
		put(object.StorePrefix(uuid)+"README", old),
		put("elsewhere", old),
	}
	require.Zero(b, b.sweep(persist.SweepOptions{}).Orphans)
	require.Zero(b, b.sweep(persist.SweepOptions{OrphansBefore: old.Add(-time.Hour)}).Orphans)
	due := persist.SweepOptions{OrphansBefore: time.Now().Add(-24 * time.Hour), Limit: 2}
	total := 0
	for round := 0; ; round++ {
		require.Less(b, round, 100, "there is always more")
		stats := b.sweep(due)
		require.LessOrEqual(b, stats.Orphans, 2)
		if total += stats.Orphans; !stats.More {
			break
		}
	}
	require.Equal(b, len(gone), total)
	names := b.memory.Names()
	for _, name := range gone {
		require.NotContains(b, names, name)
	}
	for _, name := range kept {
		require.Contains(b, names, name)
	}
	require.Len(b, names, 3+len(kept), "what rows name, and what they named until now")
	require.Equal(b, "ab@2 c", content(b.load(k)))
	require.Equal(b, "v@1=state", b.versions(k))
}

func testPurgeObjects(b *bucketEnv) {
	k, other := key("notes"), key("notes2")
	for _, k := range []persist.Key{k, other} {
		b.fillKey(k)
		b.mustCompact(k, 3, "abc")
		b.putVersion(k, "v3", 3, "three")
		require.NoError(b, b.store.DeleteVersion(b.ctx, k, "v3"))
	}
	orphan, err := object.ParseName(b.memory.Names()[0])
	require.NoError(b, err)
	stored, sum := object.Encode([]byte("orphan"))
	require.NoError(b, b.memory.Put(b.ctx, object.SnapshotName(orphan.Store, k, 7, 7, sum), stored))
	before := b.objects(other)
	require.NoError(b, b.store.Purge(b.ctx, k))
	b.requireNothing(k)
	require.Empty(b, b.objects(k))
	require.Equal(b, before, b.objects(other))

	// Objects alone are something, too.
	require.NoError(b, b.memory.Put(b.ctx, object.SnapshotName(orphan.Store, k, 7, 7, sum), stored))
	require.NoError(b, b.store.Purge(b.ctx, k))
	require.Empty(b, b.objects(k))
	b.requireNothing(k)

	// By way of a tombstone.
	require.NoError(b, b.store.Delete(b.ctx, other, nil))
	b.reopen()
	require.Equal(b, 1, b.sweep(persist.SweepOptions{TombstonesBefore: time.Now().Add(time.Hour)}).Purged)
	b.requireNothing(other)
	require.Empty(b, b.memory.Names())
}

func testBadObjects(b *bucketEnv) {
	for name, spoil := range map[string]func(name string){
		"missing":   func(name string) { require.NoError(b, b.memory.Delete(b.ctx, []string{name})) },
		"emptied":   func(name string) { b.memory.Change(name, func([]byte) []byte { return nil }) },
		"flipped":   func(name string) { b.memory.Change(name, func(d []byte) []byte { d[len(d)/2] ^= 1; return d }) },
		"cut short": func(name string) { b.memory.Change(name, func(d []byte) []byte { return d[:len(d)-1] }) },
		"longer":    func(name string) { b.memory.Change(name, func(d []byte) []byte { return append(d, 0) }) },
	} {
		k := key(name)
		b.mustAppend(k, 0, "a", "b", "c")
		b.mustCompact(k, 2, strings.Repeat("ab", 100))
		b.putVersion(k, "v", 1, strings.Repeat("state", 100))
		snapshot, version := b.objectOf(k, false), b.objectOf(k, true)
		sound, err := b.memory.Get(b.ctx, snapshot, 1<<20)
		require.NoError(b, err)
		spoil(snapshot)
		spoil(version)

		for range 2 {
			_, _, err = b.store.Version(b.ctx, k, "v")
			require.ErrorIs(b, err, persist.ErrCorrupt, name)
			require.ErrorContains(b, err, version)
		}
		rows, err := b.store.LoadAfter(b.ctx, k, 2)
		require.NoError(b, err, "a bad version takes nothing else out of service")
		require.Equal(b, "c", rowsText(rows))
		for range 2 {
			_, err = b.store.Load(b.ctx, k)
			require.ErrorIs(b, err, persist.ErrCorrupt, name)
			require.ErrorContains(b, err, snapshot)
			var corrupt *persist.CorruptError
			require.ErrorAs(b, err, &corrupt)
			require.Equal(b, k, corrupt.Key)
			require.ErrorIs(b, b.append(k, 3, "x").Err, persist.ErrCorrupt)
			require.ErrorIs(b, b.store.Compact(b.ctx, k, 0, 3, []byte("x")), persist.ErrCorrupt)
			page, _, err := b.store.List(b.ctx, "main", name, "", 0)
			require.NoError(b, err)
			require.Contains(b, page[0].Quarantined, snapshot)
			b.reopen()
		}
		q, ok := b.store.(Quarantiner)
		require.True(b, ok, "a store with a bucket has a quarantine")
		require.NoError(b, b.memory.Delete(b.ctx, []string{snapshot}))
		require.NoError(b, b.memory.Put(b.ctx, snapshot, sound))
		require.NoError(b, q.Release(b.ctx, k))
		require.Equal(b, strings.Repeat("ab", 100)+"@2 c", content(b.load(k)))
	}
}

func testBucketAway(b *bucketEnv) {
	k := key("notes")
	b.mustAppend(k, 0, "a", "b", "c")
	b.mustCompact(k, 1, "a")
	b.putVersion(k, "v", 1, "state")
	b.mustAppend(key("rows"), 0, "x")
	before := b.memory.Names()
	for _, err := range []error{persist.ErrUnavailable, ErrInjected} {
		b.faulty.SetPlan(func(objecttest.Call) objecttest.Fault { return objecttest.Fault{Err: err} })
		_, got := b.store.Load(b.ctx, k)
		require.ErrorIs(b, got, err)
		require.ErrorIs(b, b.store.Compact(b.ctx, k, 0, 2, []byte("ab")), err)
		require.ErrorIs(b, b.store.PutVersion(b.ctx, k, versionAt("w", 2), []byte("x")), err)
		_, got = b.store.Replace(b.ctx, k, 0, nil, []byte("x"))
		require.ErrorIs(b, got, err)
		_, got = b.store.Replace(b.ctx, key("new"), 0, nil, []byte("x"))
		require.ErrorIs(b, got, err)
		_, _, got = b.store.Version(b.ctx, k, "v")
		require.ErrorIs(b, got, err)
		_, got = b.store.Sweep(b.ctx, everything())
		require.ErrorIs(b, got, err)

		rows, got := b.store.LoadAfter(b.ctx, k, 1)
		require.NoError(b, got)
		require.Equal(b, "b c", rowsText(rows))
		require.Equal(b, "x", content(b.load(key("rows"))))
		require.Equal(b, persist.Result{Seq: 3}, b.append(k, 3))
		require.Equal(b, []string{"notes", "rows"}, b.rooms("main", "", 10))
		b.faulty.SetPlan(nil)
		for range 2 {
			require.Equal(b, "a@1 b c", content(b.load(k)))
			require.Equal(b, "v@1=state", b.versions(k))
			b.reopen()
		}
		require.Equal(b, before, b.memory.Names())
	}
	// A purge whose objects stay is completed by the next.
	b.faulty.SetPlan(func(objecttest.Call) objecttest.Fault { return objecttest.Fault{Err: persist.ErrUnavailable} })
	require.ErrorIs(b, b.store.Purge(b.ctx, k), persist.ErrUnavailable)
	require.ErrorIs(b, b.store.Purge(b.ctx, k), persist.ErrUnavailable)
	b.faulty.SetPlan(nil)
	b.reopen()
	require.NoError(b, b.store.Purge(b.ctx, k))
	require.Empty(b, b.memory.Names())
	b.requireNothing(k)
}
