package persisttest

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// Memory is a store that forgets everything with the process. It keeps the whole
// contract but durability. It also models a store on a disk: Reopen is what a
// new process would find there.
type Memory struct {
	disk   *disk
	mu     sync.Mutex
	closed bool
}

// disk is what outlives a Memory.
type disk struct {
	mu    sync.Mutex
	docs  map[persist.Key]*document
	rooms map[persist.Key]*roomData
}

type document struct {
	persist.Document
	created, updated, deleted time.Time
	quarantined               string
	versions                  map[string]version
}

var (
	_ Store           = (*Memory)(nil)
	_ Quarantiner     = (*Memory)(nil)
	_ Rooms           = (*Memory)(nil)
	_ RoomQuarantiner = (*Memory)(nil)
)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{disk: &disk{docs: make(map[persist.Key]*document), rooms: make(map[persist.Key]*roomData)}}
}

// Reopen returns a store on what m stored. m should be closed.
func (m *Memory) Reopen() *Memory { return &Memory{disk: m.disk} }

// begin locks the documents unless the call must fail at once.
func (m *Memory) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return persist.ErrClosed
	}
	m.disk.mu.Lock()
	return nil
}

func (m *Memory) end() { m.disk.mu.Unlock() }

// Load implements Store.
func (m *Memory) Load(ctx context.Context, key persist.Key) (persist.Document, error) {
	if err := m.begin(ctx); err != nil {
		return persist.Document{}, err
	}
	defer m.end()
	d, err := m.readable(key)
	if err != nil || d == nil {
		return persist.Document{}, err
	}
	doc := d.Document
	doc.Snapshot.Data = bytes.Clone(doc.Snapshot.Data)
	doc.Tail = cloneRows(doc.Tail)
	doc.Dead = slices.Clone(doc.Dead)
	return doc, nil
}

// LoadAfter implements Store.
func (m *Memory) LoadAfter(ctx context.Context, key persist.Key, after persist.Seq) ([]persist.Update, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.end()
	d, err := m.readable(key)
	if err != nil {
		return nil, err
	}
	if d == nil {
		d = &document{}
	}
	switch {
	case after > d.Seq:
		return nil, persist.ErrConflict
	case after < d.Snapshot.Seq:
		return nil, persist.ErrStale
	}
	return cloneRows(d.Tail[after-d.Snapshot.Seq:]), nil
}

func cloneRows(rows []persist.Update) []persist.Update {
	var clone []persist.Update
	for _, u := range rows {
		clone = append(clone, persist.Update{Seq: u.Seq, Data: append([]byte{}, u.Data...)})
	}
	return clone
}

// Append implements Store.
func (m *Memory) Append(ctx context.Context, items []persist.Append) ([]persist.Result, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.end()
	results := make([]persist.Result, len(items))
	for i, a := range items {
		results[i].Seq, results[i].Err = m.append(a)
	}
	return results, nil
}

func (m *Memory) append(a persist.Append) (persist.Seq, error) {
	d, err := m.writable(a.Key, a.Epoch)
	switch {
	case d == nil:
		return 0, err
	case err == nil && a.After != d.Seq:
		err = persist.ErrConflict
	}
	if err != nil || len(a.Updates) == 0 {
		return d.Seq, err
	}
	if !d.Exists {
		d.Exists = true
		d.created = time.Now()
		m.disk.docs[a.Key] = d
	}
	for _, u := range a.Updates {
		d.Seq++
		d.Tail = append(d.Tail, persist.Update{Seq: d.Seq, Data: bytes.Clone(u)})
	}
	d.updated = time.Now()
	return d.Seq, nil
}

// Compact implements Store.
func (m *Memory) Compact(ctx context.Context, key persist.Key, epoch persist.Epoch, upTo persist.Seq, snapshot []byte) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.end()
	if len(snapshot) == 0 {
		return fmt.Errorf("%w: empty snapshot", persist.ErrInvalid)
	}
	d, err := m.writable(key, epoch)
	if err != nil {
		return err
	}
	if upTo <= d.Snapshot.Seq || upTo > d.Seq {
		return persist.ErrStale
	}
	d.Tail = slices.Clone(d.Tail[upTo-d.Snapshot.Seq:])
	d.Snapshot = persist.Snapshot{Seq: upTo, Data: bytes.Clone(snapshot)}
	d.updated = time.Now()
	return nil
}

// List implements Store.
func (m *Memory) List(ctx context.Context, party, prefix, cursor string, limit int) ([]persist.Info, string, error) {
	if err := m.begin(ctx); err != nil {
		return nil, "", err
	}
	defer m.end()
	if err := persist.ValidateParty(party); err != nil {
		return nil, "", err
	}
	last, err := hex.DecodeString(cursor)
	if err != nil || !strings.HasPrefix(string(last), prefix) && cursor != "" {
		return nil, "", fmt.Errorf("%w: cursor", persist.ErrInvalid)
	}
	var infos []persist.Info
	for key, d := range m.disk.docs {
		if key.Party == party && strings.HasPrefix(key.Room, prefix) && (cursor == "" || key.Room > string(last)) {
			infos = append(infos, d.info(key))
		}
	}
	slices.SortFunc(infos, func(a, b persist.Info) int { return strings.Compare(a.Key.Room, b.Key.Room) })
	if limit = persist.PageLimit(limit); len(infos) > limit {
		infos = infos[:limit]
		return infos, hex.EncodeToString([]byte(infos[limit-1].Key.Room)), nil
	}
	return infos, "", nil
}

// Quarantine implements Quarantiner.
func (m *Memory) Quarantine(ctx context.Context, key persist.Key, reason string) error {
	return m.mark(ctx, key, reason)
}

// Release implements Quarantiner.
func (m *Memory) Release(ctx context.Context, key persist.Key) error {
	return m.mark(ctx, key, "")
}

func (m *Memory) mark(ctx context.Context, key persist.Key, reason string) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.end()
	d := m.disk.docs[key]
	if d == nil {
		return persist.ErrNotFound
	}
	d.quarantined = reason
	return nil
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// find returns nil for a document that does not exist.
func (m *Memory) find(key persist.Key) (*document, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	d := m.disk.docs[key]
	if d != nil && d.quarantined != "" {
		return nil, &persist.CorruptError{Key: key, Reason: d.quarantined}
	}
	return d, nil
}

func (m *Memory) readable(key persist.Key) (*document, error) {
	d, err := m.find(key)
	if d != nil && !d.deleted.IsZero() {
		return nil, persist.ErrDeleted
	}
	return d, err
}

// writable returns a new document for one that does not exist. With ErrEpoch the
// document is returned too.
func (m *Memory) writable(key persist.Key, epoch persist.Epoch) (*document, error) {
	d, err := m.readable(key)
	if err != nil {
		return nil, err
	}
	if d == nil {
		d = &document{}
	}
	if d.Epoch != epoch {
		return d, persist.ErrEpoch
	}
	return d, nil
}

func (d *document) info(key persist.Key) persist.Info {
	info := persist.Info{
		Key: key, Seq: d.Seq, Epoch: d.Epoch,
		SnapshotSeq: d.Snapshot.Seq, SnapshotBytes: int64(len(d.Snapshot.Data)),
		Created: d.created, Updated: d.updated, Deleted: d.deleted, Quarantined: d.quarantined,
	}
	for _, u := range d.Tail {
		info.LogBytes += int64(len(u.Data))
	}
	return info
}
