package persisttest

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
)

// replace begins a new epoch, which must succeed.
func (e *env) replace(k persist.Key, epoch persist.Epoch, snapshot string, dead ...uint64) {
	e.Helper()
	next, err := e.store.Replace(e.ctx, k, epoch, dead, []byte(snapshot))
	require.NoError(e, err)
	require.Equal(e, epoch+1, next)
}

// appendIn appends to a document in that epoch.
func (e *env) appendIn(k persist.Key, epoch persist.Epoch, after persist.Seq, updates ...string) persist.Result {
	e.Helper()
	results, err := e.store.Append(e.ctx, []persist.Append{{Key: k, Epoch: epoch, After: after, Updates: text(updates...)}})
	require.NoError(e, err)
	return results[0]
}

func testReplace(e *env) {
	k, other := key("notes"), key("notes2")
	e.mustAppend(k, 0, "a", "b", "c")
	e.mustAppend(other, 0, "kept")
	e.mustCompact(k, 2, "ab")
	e.replace(k, 0, "imported", 7, 3, 7)
	for range 2 {
		d := e.load(k)
		require.Equal(e, "imported@4", content(d))
		require.Equal(e, uint64(1), d.Epoch)
		require.Equal(e, uint64(3), d.First)
		require.Equal(e, []uint64{3, 7}, d.Dead)
		require.ErrorIs(e, e.append(k, 3, "x").Err, persist.ErrEpoch, "a writer of the old epoch")
		require.ErrorIs(e, e.appendIn(k, 1, 3, "x").Err, persist.ErrConflict)
		require.ErrorIs(e, e.store.Compact(e.ctx, k, 0, 3, []byte("x")), persist.ErrEpoch)
		_, err := e.store.LoadAfter(e.ctx, k, 3)
		require.ErrorIs(e, err, persist.ErrStale)
		e.reopen()
	}
	require.Equal(e, persist.Result{Seq: 6}, e.appendIn(k, 1, 4, "d", "e"))
	require.NoError(e, e.store.Compact(e.ctx, k, 1, 5, []byte("imported d")))
	d := e.load(k)
	require.Equal(e, "imported d@5 e", content(d))
	require.Equal(e, uint64(3), d.First, "compacting does not move it")

	e.replace(k, 1, strings.Repeat("again", 1<<19), 1<<63, 5)
	d = e.load(k)
	require.Equal(e, uint64(7), d.Snapshot.Seq)
	require.Len(e, d.Snapshot.Data, 5<<19)
	require.Equal(e, uint64(6), d.First)
	require.Equal(e, []uint64{3, 5, 7, 1 << 63}, d.Dead, "of all former epochs")
	e.replace(k, 2, "third")
	require.Equal(e, "third@8", content(e.load(k)))
	require.Equal(e, []uint64{3, 5, 7, 1 << 63}, e.load(k).Dead)
	require.Equal(e, "kept", content(e.load(other)))
	require.Zero(e, e.load(other).First)
	require.Nil(e, e.load(other).Dead)
	page, _, err := e.store.List(e.ctx, "main", "notes", "", 1)
	require.NoError(e, err)
	require.Equal(e, persist.Info{
		Key: k, Seq: 8, Epoch: 3, SnapshotSeq: 8, SnapshotBytes: 5, Created: page[0].Created, Updated: page[0].Updated,
	}, page[0])
}

// testReplaceCreates replaces what is not there.
func testReplaceCreates(e *env) {
	k := key("new")
	_, err := e.store.Replace(e.ctx, k, 1, nil, []byte("x"))
	require.ErrorIs(e, err, persist.ErrEpoch)
	require.Empty(e, e.rooms("main", "", 10))
	e.replace(k, 0, "imported", 9)
	_, err = e.store.Replace(e.ctx, k, 0, nil, []byte("twice"))
	require.ErrorIs(e, err, persist.ErrEpoch, "somebody else was faster")
	d := e.load(k)
	require.Equal(e, "imported@1", content(d))
	require.Zero(e, d.First)
	require.Equal(e, []uint64{9}, d.Dead)
	require.ErrorIs(e, e.append(k, 0, "seed").Err, persist.ErrEpoch, "it is not new")
	require.Equal(e, persist.Result{Seq: 2}, e.appendIn(k, 1, 1, "a"))
	e.reopen()
	require.Equal(e, "imported@1 a", content(e.load(k)))
	require.Equal(e, []string{"new"}, e.rooms("main", "", 10))
}

func testReplaceRefused(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a", "b")
	for _, c := range []struct {
		key      persist.Key
		epoch    persist.Epoch
		dead     []uint64
		snapshot string
		want     error
	}{
		{k, 1, nil, "x", persist.ErrEpoch},
		{k, 0, nil, "", persist.ErrInvalid},
		{key("new"), 0, nil, "", persist.ErrInvalid},
		{k, 0, make([]uint64, persist.MaxDeadClients+1), "x", persist.ErrInvalid},
		{persist.Key{}, 0, nil, "x", persist.ErrInvalid},
		{k, 1, nil, strings.Repeat("x", 3<<20), persist.ErrEpoch},
	} {
		_, err := e.store.Replace(e.ctx, c.key, c.epoch, c.dead, []byte(c.snapshot))
		require.ErrorIs(e, err, c.want)
	}
	d := e.load(k)
	require.Equal(e, "a b", content(d))
	require.Zero(e, d.Epoch)
	require.NoError(e, e.store.Delete(e.ctx, k, nil))
	for _, epoch := range []persist.Epoch{0, 1} {
		_, err := e.store.Replace(e.ctx, k, epoch, nil, []byte("x"))
		require.ErrorIs(e, err, persist.ErrDeleted)
	}
	require.Equal(e, []string{"notes"}, e.rooms("main", "", 10))
}

// testReplaceOwnership: the arguments are copied, and what is returned is lent.
func testReplaceOwnership(e *env) {
	k := key("notes")
	dead, snapshot := []uint64{2, 1}, []byte("snap")
	_, err := e.store.Replace(e.ctx, k, 0, dead, snapshot)
	require.NoError(e, err)
	require.Equal(e, []uint64{2, 1}, dead)
	dead[0], snapshot[0] = 77, '#'
	for range 2 {
		d := e.load(k)
		require.Equal(e, "snap@1", content(d))
		require.Equal(e, []uint64{1, 2}, d.Dead)
		d.Dead[0], d.Snapshot.Data[0] = 77, '#'
	}
}

func testDead(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a")
	require.Nil(e, e.load(k).Dead)
	require.ErrorIs(e, e.store.Delete(e.ctx, k, make([]uint64, persist.MaxDeadClients+1)), persist.ErrInvalid)
	require.NoError(e, e.store.Delete(e.ctx, k, []uint64{9, 0, 1<<64 - 1}))
	e.reopen()
	require.NoError(e, e.store.Delete(e.ctx, k, []uint64{5, 9}), "deleting again adds")
	require.NoError(e, e.store.Undelete(e.ctx, k))
	require.Equal(e, []uint64{0, 5, 9, 1<<64 - 1}, e.load(k).Dead)
	many := make([]uint64, 5000)
	for i := range many {
		many[i] = uint64(i) << 20
	}
	e.replace(k, 1, "x", many...)
	e.reopen()
	require.Equal(e, persist.MergeDead(many, []uint64{5, 9, 1<<64 - 1}), e.load(k).Dead)
}

func testUndelete(e *env) {
	k := key("notes")
	require.ErrorIs(e, e.store.Undelete(e.ctx, k), persist.ErrNotFound)
	e.mustAppend(k, 0, "a", "b", "c")
	require.ErrorIs(e, e.store.Undelete(e.ctx, k), persist.ErrNotFound, "it is not deleted")
	e.mustCompact(k, 2, "ab")
	e.putVersion(k, "v1", 1, "state")
	require.NoError(e, e.store.Delete(e.ctx, k, nil))
	e.reopen()
	require.NoError(e, e.store.Undelete(e.ctx, k))
	require.ErrorIs(e, e.store.Undelete(e.ctx, k), persist.ErrNotFound)
	for range 2 {
		d := e.load(k)
		require.Equal(e, "ab@2 c", content(d))
		require.Equal(e, uint64(1), d.Epoch, "raised")
		require.Zero(e, d.First)
		require.Equal(e, "v1@1=state", e.versions(k))
		require.ErrorIs(e, e.append(k, 3, "x").Err, persist.ErrEpoch, "a writer from before")
		page, _, err := e.store.List(e.ctx, "main", "", "", 0)
		require.NoError(e, err)
		require.True(e, page[0].Deleted.IsZero())
		e.reopen()
	}
	require.Equal(e, persist.Result{Seq: 4}, e.appendIn(k, 1, 3, "d"))
	require.NoError(e, e.store.Compact(e.ctx, k, 1, 4, []byte("abcd")))
	require.Equal(e, "abcd@4", content(e.load(k)))
	// It is out of the way of what purges tombstones.
	stats := e.sweep(persist.SweepOptions{TombstonesBefore: time.Now().Add(time.Hour)})
	require.Zero(e, stats.Purged)
	require.Equal(e, "abcd@4", content(e.load(k)))
}

// fillKey makes everything there can be of a key.
func (e *env) fillKey(k persist.Key) {
	e.Helper()
	e.mustAppend(k, 0, "a", "b", "c")
	e.mustCompact(k, 2, strings.Repeat("ab", 1000))
	e.putVersion(k, "v1", 1, "one")
	e.putVersion(k, "v2", 2, strings.Repeat("two", 1000))
	if rooms, ok := e.store.(Rooms); ok {
		c := persist.RoomChange{Key: k, Alarm: at(time.UnixMilli(1)), Delivery: at(time.UnixMilli(2))}
		for _, space := range spaces {
			c.Puts = append(c.Puts, puts(space, "", "0", "k", "1", "\xff", "2")...)
		}
		require.NoError(e, rooms.ChangeRooms(e.ctx, []persist.RoomChange{c}))
	}
}

// requireNothing checks that there is nothing of a key, by asking for all of it.
func (e *env) requireNothing(k persist.Key) {
	e.Helper()
	d, err := e.store.Load(e.ctx, k)
	require.NoError(e, err)
	require.Zero(e, d)
	require.NotContains(e, e.rooms(k.Party, "", 10), k.Room)
	require.Empty(e, e.versions(k))
	_, _, err = e.store.Version(e.ctx, k, "v1")
	require.ErrorIs(e, err, persist.ErrNotFound)
	if _, ok := e.store.(Rooms); ok {
		for _, space := range spaces {
			require.Empty(e, e.roomText(k, space))
			require.Zero(e, e.size(k, space))
		}
		require.Zero(e, e.alarm(k))
		require.NotContains(e, e.alarms(time.Time{}, 0), k.String()+"@")
		delivery, err := e.data().Delivery(e.ctx, k)
		require.NoError(e, err)
		require.Zero(e, delivery)
		due, err := e.data().Deliveries(e.ctx, time.Time{}, 0)
		require.NoError(e, err)
		for _, d := range due {
			require.NotEqual(e, k, d.Key)
		}
	}
	require.ErrorIs(e, e.store.Purge(e.ctx, k), persist.ErrNotFound)
}

// requireFull checks that nothing of what fillKey made is missing.
func (e *env) requireFull(k persist.Key) {
	e.Helper()
	require.Equal(e, strings.Repeat("ab", 1000)+"@2 c", content(e.load(k)))
	require.Equal(e, "v2@2="+strings.Repeat("two", 1000)+" v1@1=one", e.versions(k))
	if _, ok := e.store.(Rooms); ok {
		for _, space := range spaces {
			require.Equal(e, "=0 k=1 \xff=2", e.roomText(k, space))
		}
		require.Equal(e, int64(1), e.alarm(k).UnixMilli())
	}
}

func testPurge(e *env) {
	purged := []persist.Key{key("b"), key("b\x01"), {Party: "main2", Room: "b"}}
	kept := []persist.Key{key("a"), key("b\x01b"), key("bb"), {Party: "mai", Room: "b"}, {Party: "main2", Room: "\xff"}}
	for _, k := range append(purged, kept...) {
		e.fillKey(k)
	}
	require.NoError(e, e.store.Delete(e.ctx, purged[1], []uint64{5}))
	for _, k := range purged {
		require.NoError(e, e.store.Purge(e.ctx, k))
	}
	for range 2 {
		for _, k := range purged {
			e.requireNothing(k)
		}
		for _, k := range kept {
			e.requireFull(k)
		}
		e.reopen()
	}
	// Another life under the same key.
	e.fillKey(purged[1])
	e.requireFull(purged[1])
	d := e.load(purged[1])
	require.Zero(e, d.Epoch)
	require.Nil(e, d.Dead)
}

// testPurgeParts purges keys of which there is only a part.
func testPurgeParts(e *env) {
	k := key("notes")
	e.requireNothing(k)
	e.mustAppend(k, 0, "a")
	require.NoError(e, e.store.Purge(e.ctx, k))
	e.requireNothing(k)
	e.replace(k, 0, "imported", 1)
	require.NoError(e, e.store.Purge(e.ctx, k))
	e.requireNothing(k)
	require.ErrorIs(e, e.store.Purge(e.ctx, persist.Key{}), persist.ErrInvalid)
	if rooms, ok := e.store.(Rooms); ok {
		for _, c := range []persist.RoomChange{
			{Key: k, Puts: puts(state, "a", "")},
			{Key: k, Alarm: at(time.UnixMilli(5))},
			{Key: k, Delivery: at(time.UnixMilli(5))},
		} {
			require.NoError(e, rooms.ChangeRooms(e.ctx, []persist.RoomChange{c}))
			require.NoError(e, e.store.Purge(e.ctx, k))
			e.requireNothing(k)
		}
	}
	if q, ok := e.store.(Quarantiner); ok {
		e.fillKey(k)
		require.NoError(e, q.Quarantine(e.ctx, k, "why"))
		require.NoError(e, e.store.Purge(e.ctx, k))
		e.requireNothing(k)
	}
	if q, ok := e.store.(RoomQuarantiner); ok {
		e.fillKey(k)
		require.NoError(e, q.QuarantineRoom(e.ctx, k, "why"))
		require.NoError(e, e.store.Purge(e.ctx, k))
		e.requireNothing(k)
		e.fillKey(k)
		e.requireFull(k)
	}
}

func (e *env) sweep(o persist.SweepOptions) persist.SweepStats {
	e.Helper()
	stats, err := e.store.Sweep(e.ctx, o)
	require.NoError(e, err)
	return stats
}

func testSweepTombstones(e *env) {
	later := persist.SweepOptions{TombstonesBefore: time.Now().Add(time.Hour)}
	require.Equal(e, persist.SweepStats{}, e.sweep(later))
	gone := []persist.Key{key("a"), key("b"), key("c"), {Party: "other", Room: "a"}, {Party: "other", Room: "b"}}
	for _, k := range gone {
		e.fillKey(k)
		require.NoError(e, e.store.Delete(e.ctx, k, nil))
	}
	e.fillKey(key("kept"))
	require.Zero(e, e.sweep(persist.SweepOptions{}).Purged, "nothing is due")
	require.Zero(e, e.sweep(persist.SweepOptions{TombstonesBefore: time.Now().Add(-time.Hour)}).Purged, "not yet due")
	for _, k := range gone {
		_, err := e.store.Load(e.ctx, k)
		require.ErrorIs(e, err, persist.ErrDeleted)
	}
	e.reopen()
	later.Limit = 2
	left := len(gone)
	for {
		stats := e.sweep(later)
		require.LessOrEqual(e, stats.Purged, 2)
		if left -= stats.Purged; !stats.More {
			break
		}
		require.Positive(e, stats.Purged)
	}
	require.Zero(e, left)
	for range 2 {
		for _, k := range gone {
			e.requireNothing(k)
		}
		e.requireFull(key("kept"))
		e.reopen()
	}
}
