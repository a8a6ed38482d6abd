package persisttest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/persist"
)

// model is what a store should hold: plain slices in a map.
type model struct {
	e     *env
	party string
	docs  map[string]*modelDoc
	lines int
}

type modelDoc struct {
	lines   []string // all that was ever appended, or replaced by a snapshot
	snap    int      // how many of them the snapshot covers
	from    int      // how many of them are of former epochs
	first   persist.Seq
	epoch   persist.Epoch
	deleted bool
	dead    []uint64
	state   map[string]string // of versions
}

// content is the lines of this epoch.
func (d *modelDoc) content() []string { return d.lines[d.from:] }

// testModel holds the store against the model through random calls. The store is
// one for all runs, each of which has a party of its own.
func testModel(e *env) {
	runs := 0
	rapid.Check(e.T, func(t *rapid.T) {
		runs++
		m := &model{e: e, party: fmt.Sprintf("party%d", runs), docs: make(map[string]*modelDoc)}
		t.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"compact": m.compact,
			"after":   m.loadAfter,
			"delete":  m.delete,
			"lives":   m.lives,
			"version": m.version,
			"list":    m.list,
			"reopen":  m.reopen,
			"":        m.check,
		})
	})
}

func (m *model) key(room string) persist.Key { return persist.Key{Party: m.party, Room: room} }

func (m *model) draw(t *rapid.T) (string, *modelDoc) {
	room := rapid.SampledFrom([]string{"a", "ab", "b", "b\xff", "c"}).Draw(t, "room")
	if d := m.docs[room]; d != nil {
		return room, d
	}
	return room, &modelDoc{}
}

// near draws a number that is n as a rule.
func near(t *rapid.T, what string, n int) uint64 {
	return uint64(max(n+rapid.SampledFrom([]int{0, 0, 0, 0, 0, -1, 1, -2}).Draw(t, what), 0))
}

func (m *model) append(t *rapid.T) {
	var items []persist.Append
	var want []persist.Result
	for range rapid.IntRange(1, 4).Draw(t, "documents") {
		room, d := m.draw(t)
		a := persist.Append{Key: m.key(room), Epoch: near(t, "epoch", int(d.epoch)), After: near(t, "after", len(d.lines))}
		for range rapid.IntRange(0, 4).Draw(t, "updates") {
			m.lines++
			a.Updates = append(a.Updates, fmt.Appendf(nil, "line %d", m.lines))
		}
		items = append(items, a)
		want = append(want, m.apply(d, a))
	}
	got, err := m.e.store.Append(m.e.ctx, items)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for i := range want {
		require.ErrorIs(t, got[i].Err, want[i].Err)
		require.Equal(t, want[i].Seq, got[i].Seq)
	}
}

// apply is Append as the contract has it.
func (m *model) apply(d *modelDoc, a persist.Append) persist.Result {
	seq := uint64(len(d.lines))
	switch {
	case d.deleted:
		return persist.Result{Err: persist.ErrDeleted}
	case a.Epoch != d.epoch:
		return persist.Result{Seq: seq, Err: persist.ErrEpoch}
	case a.After != seq:
		return persist.Result{Seq: seq, Err: persist.ErrConflict}
	}
	for _, u := range a.Updates {
		d.lines = append(d.lines, string(u))
		m.docs[a.Key.Room] = d
	}
	return persist.Result{Seq: uint64(len(d.lines))}
}

func (m *model) compact(t *rapid.T) {
	room, d := m.draw(t)
	epoch := near(t, "epoch", int(d.epoch))
	upTo := near(t, "up to", rapid.IntRange(min(d.snap+1, len(d.lines)), len(d.lines)).Draw(t, "at"))
	snapshot := "empty"
	if int(upTo) <= len(d.lines) && int(upTo) > d.from {
		snapshot = strings.Join(d.lines[d.from:upTo], "\n")
	}
	err := m.e.store.Compact(m.e.ctx, m.key(room), epoch, upTo, []byte(snapshot))
	switch {
	case d.deleted:
		require.ErrorIs(t, err, persist.ErrDeleted)
	case epoch != d.epoch:
		require.ErrorIs(t, err, persist.ErrEpoch)
	case int(upTo) <= d.snap || int(upTo) > len(d.lines):
		require.ErrorIs(t, err, persist.ErrStale)
	default:
		require.NoError(t, err)
		d.snap = int(upTo)
	}
}

func (m *model) loadAfter(t *rapid.T) {
	room, d := m.draw(t)
	after := near(t, "after", rapid.IntRange(0, len(d.lines)).Draw(t, "at"))
	rows, err := m.e.store.LoadAfter(m.e.ctx, m.key(room), after)
	switch {
	case d.deleted:
		require.ErrorIs(t, err, persist.ErrDeleted)
	case int(after) > len(d.lines):
		require.ErrorIs(t, err, persist.ErrConflict)
	case int(after) < d.snap:
		require.ErrorIs(t, err, persist.ErrStale)
	default:
		require.NoError(t, err)
		require.Equal(t, strings.Join(d.lines[after:], " "), rowsText(rows))
	}
}

func (m *model) delete(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "rarely") != 0 {
		t.Skip("little can be done with what is deleted")
	}
	room, d := m.draw(t)
	dead := m.drawDead(t)
	err := m.e.store.Delete(m.e.ctx, m.key(room), dead)
	if len(d.lines) == 0 {
		require.ErrorIs(t, err, persist.ErrNotFound)
		return
	}
	require.NoError(t, err)
	d.dead = persist.MergeDead(d.dead, dead)
	if !d.deleted {
		d.deleted = true
		d.epoch++
	}
}

func (m *model) drawDead(t *rapid.T) []uint64 {
	return rapid.SliceOfN(rapid.Uint64Range(0, 6), 0, 3).Draw(t, "dead")
}

// lives undeletes, purges and replaces.
func (m *model) lives(t *rapid.T) {
	room, d := m.draw(t)
	switch rapid.IntRange(0, 5).Draw(t, "what") {
	case 0:
		err := m.e.store.Purge(m.e.ctx, m.key(room))
		if m.docs[room] == nil {
			require.ErrorIs(t, err, persist.ErrNotFound)
			return
		}
		require.NoError(t, err)
		delete(m.docs, room)
	case 1, 2:
		m.replace(t, room, d)
	default:
		err := m.e.store.Undelete(m.e.ctx, m.key(room))
		if !d.deleted {
			require.ErrorIs(t, err, persist.ErrNotFound)
			return
		}
		require.NoError(t, err)
		d.deleted = false
	}
}

func (m *model) replace(t *rapid.T, room string, d *modelDoc) {
	epoch, dead := near(t, "epoch", int(d.epoch)), m.drawDead(t)
	m.lines++
	line := fmt.Sprintf("replaced %d", m.lines)
	next, err := m.e.store.Replace(m.e.ctx, m.key(room), epoch, dead, []byte(line))
	switch {
	case d.deleted:
		require.ErrorIs(t, err, persist.ErrDeleted)
	case epoch != d.epoch:
		require.ErrorIs(t, err, persist.ErrEpoch)
	default:
		require.NoError(t, err)
		d.epoch++
		require.Equal(t, d.epoch, next)
		d.from, d.first = len(d.lines), uint64(len(d.lines))
		d.lines = append(d.lines, line)
		d.snap = len(d.lines)
		d.dead = persist.MergeDead(d.dead, dead)
		m.docs[room] = d
	}
}

// version puts and deletes versions.
func (m *model) version(t *rapid.T) {
	room, d := m.draw(t)
	id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
	m.lines++
	state := fmt.Sprintf("state %d", m.lines)
	put := rapid.Bool().Draw(t, "put")
	var err error
	if put {
		err = m.e.store.PutVersion(m.e.ctx, m.key(room), versionAt(id, 1), []byte(state))
	} else {
		err = m.e.store.DeleteVersion(m.e.ctx, m.key(room), id)
	}
	switch {
	case d.deleted:
		require.ErrorIs(t, err, persist.ErrDeleted)
	case m.docs[room] == nil, !put && d.state[id] == "":
		require.ErrorIs(t, err, persist.ErrNotFound)
	default:
		require.NoError(t, err)
		if d.state == nil {
			d.state = make(map[string]string)
		}
		if !put {
			delete(d.state, id)
		} else if d.state[id] == "" {
			d.state[id] = state
		}
	}
}

func (m *model) list(t *rapid.T) {
	prefix := rapid.SampledFrom([]string{"", "a", "b", "b\xff", "x"}).Draw(t, "prefix")
	limit := rapid.IntRange(1, 6).Draw(t, "limit")
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(m.docs)), func(r string) bool { return !strings.HasPrefix(r, prefix) })
	require.ElementsMatch(t, want, m.e.rooms(m.party, prefix, limit))
}

func (m *model) reopen(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "rarely") != 0 {
		t.Skip("opening takes its time")
	}
	m.e.reopen()
}

// check compares everything.
func (m *model) check(t *rapid.T) {
	for room, d := range m.docs {
		got, err := m.e.store.Load(m.e.ctx, m.key(room))
		if d.deleted {
			require.ErrorIs(t, err, persist.ErrDeleted)
			continue
		}
		require.NoError(t, err)
		requireNumbered(t, got)
		require.Equal(t, d.content(), Lines(got))
		require.Equal(t, uint64(d.snap), got.Snapshot.Seq)
		require.Equal(t, d.epoch, got.Epoch)
		require.Equal(t, d.first, got.First)
		require.Equal(t, d.dead, got.Dead)
		m.checkVersions(t, room, d)
	}
}

func (m *model) checkVersions(t *rapid.T, room string, d *modelDoc) {
	page, next, err := m.e.store.Versions(m.e.ctx, m.key(room), "", 0)
	require.NoError(t, err)
	require.Empty(t, next)
	require.Len(t, page, len(d.state))
	for _, v := range page {
		_, state, err := m.e.store.Version(m.e.ctx, m.key(room), v.ID)
		require.NoError(t, err)
		require.Equal(t, d.state[v.ID], string(state))
	}
}
