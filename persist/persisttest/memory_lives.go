package persisttest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// Replace implements Store.
func (m *Memory) Replace(ctx context.Context, key persist.Key, epoch persist.Epoch, dead []uint64, snapshot []byte) (persist.Epoch, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.end()
	if len(snapshot) == 0 {
		return 0, fmt.Errorf("%w: empty snapshot", persist.ErrInvalid)
	}
	if err := persist.ValidateDead(dead); err != nil {
		return 0, err
	}
	d, err := m.writable(key, epoch)
	if err != nil {
		return 0, err
	}
	d.updated = time.Now()
	if !d.Exists {
		d.Exists, d.created = true, d.updated
		m.disk.docs[key] = d
	}
	d.Epoch++
	d.First = d.Seq
	d.Seq++
	d.Dead = persist.MergeDead(d.Dead, dead)
	d.Tail = nil
	d.Snapshot = persist.Snapshot{Seq: d.Seq, Data: bytes.Clone(snapshot)}
	return d.Epoch, nil
}

// Delete implements Store.
func (m *Memory) Delete(ctx context.Context, key persist.Key, dead []uint64) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.end()
	if err := persist.ValidateDead(dead); err != nil {
		return err
	}
	d, err := m.find(key)
	switch {
	case err != nil:
		return err
	case d == nil:
		return persist.ErrNotFound
	case d.deleted.IsZero():
		d.deleted = time.Now()
		d.Epoch++
	}
	d.Dead = persist.MergeDead(d.Dead, dead)
	return nil
}

// Undelete implements Store.
func (m *Memory) Undelete(ctx context.Context, key persist.Key) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.end()
	d, err := m.find(key)
	if err != nil {
		return err
	}
	if d == nil || d.deleted.IsZero() {
		return persist.ErrNotFound
	}
	d.deleted = time.Time{}
	return nil
}

// Purge implements Store.
func (m *Memory) Purge(ctx context.Context, key persist.Key) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.end()
	if err := key.Validate(); err != nil {
		return err
	}
	if m.disk.docs[key] == nil && m.disk.rooms[key].nothing() {
		return persist.ErrNotFound
	}
	delete(m.disk.docs, key)
	delete(m.disk.rooms, key)
	return nil
}

// Sweep implements Store. There are no objects to sweep.
func (m *Memory) Sweep(ctx context.Context, o persist.SweepOptions) (stats persist.SweepStats, err error) {
	if err := m.begin(ctx); err != nil {
		return stats, err
	}
	defer m.end()
	var due []persist.Key
	for key, d := range m.disk.docs {
		if !d.deleted.IsZero() && d.quarantined == "" && d.deleted.Before(o.TombstonesBefore) {
			due = append(due, key)
		}
	}
	slices.SortFunc(due, func(a, b persist.Key) int {
		return cmp.Or(m.disk.docs[a].deleted.Compare(m.disk.docs[b].deleted), cmp.Compare(a.String(), b.String()))
	})
	if limit := persist.SweepLimit(o.Limit); len(due) > limit {
		due, stats.More = due[:limit], true
	}
	for _, key := range due {
		delete(m.disk.docs, key)
		delete(m.disk.rooms, key)
		stats.Purged++
	}
	return stats, nil
}
