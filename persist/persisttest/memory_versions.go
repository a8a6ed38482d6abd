package persisttest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/yserverd/yserverd/persist"
)

type version struct {
	persist.Version
	state []byte
}

// PutVersion implements Store.
func (m *Memory) PutVersion(ctx context.Context, key persist.Key, v persist.Version, state []byte) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.end()
	if err := v.Validate(); err != nil {
		return err
	}
	if len(state) == 0 {
		return fmt.Errorf("%w: empty state", persist.ErrInvalid)
	}
	d, err := m.readable(key)
	if err != nil {
		return err
	}
	if d == nil {
		return persist.ErrNotFound
	}
	if d.versions == nil {
		d.versions = make(map[string]version)
	}
	if _, there := d.versions[v.ID]; there {
		return nil
	}
	v.Created = time.UnixMilli(v.Created.UnixMilli()).UTC()
	v.Bytes = int64(len(state))
	d.versions[v.ID] = version{v, bytes.Clone(state)}
	return nil
}

// versioned returns a document whose versions can be read, nil if there is none.
func (m *Memory) versioned(key persist.Key) (*document, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	d := m.disk.docs[key]
	if d != nil && !d.deleted.IsZero() {
		return nil, persist.ErrDeleted
	}
	return d, nil
}

// Versions implements Store.
func (m *Memory) Versions(ctx context.Context, key persist.Key, cursor string, limit int) (page []persist.Version, next string, err error) {
	if err := m.begin(ctx); err != nil {
		return nil, "", err
	}
	defer m.end()
	d, err := m.versioned(key)
	if err != nil {
		return nil, "", err
	}
	var last persist.Version
	if cursor != "" {
		text, err := hex.DecodeString(cursor)
		var ms int64
		if err == nil {
			_, err = fmt.Sscanf(string(text), "%d %s", &ms, &last.ID)
		}
		if err != nil {
			return nil, "", fmt.Errorf("%w: cursor", persist.ErrInvalid)
		}
		last.Created = time.UnixMilli(ms)
	}
	if d == nil {
		return nil, "", nil
	}
	for _, v := range d.versions {
		if cursor == "" || newestFirst(v.Version, last) > 0 {
			page = append(page, v.Version)
		}
	}
	slices.SortFunc(page, newestFirst)
	if limit = persist.PageLimit(limit); len(page) > limit {
		page = page[:limit]
		end := page[limit-1]
		next = hex.EncodeToString(fmt.Appendf(nil, "%d %s", end.Created.UnixMilli(), end.ID))
	}
	return page, next, nil
}

func newestFirst(a, b persist.Version) int {
	return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID))
}

// Version implements Store.
func (m *Memory) Version(ctx context.Context, key persist.Key, id string) (persist.Version, []byte, error) {
	if err := m.begin(ctx); err != nil {
		return persist.Version{}, nil, err
	}
	defer m.end()
	if err := persist.ValidateVersionID(id); err != nil {
		return persist.Version{}, nil, err
	}
	d, err := m.versioned(key)
	if err != nil {
		return persist.Version{}, nil, err
	}
	if d == nil || d.versions[id].ID == "" {
		return persist.Version{}, nil, persist.ErrNotFound
	}
	v := d.versions[id]
	return v.Version, bytes.Clone(v.state), nil
}

// DeleteVersion implements Store.
func (m *Memory) DeleteVersion(ctx context.Context, key persist.Key, id string) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.end()
	if err := persist.ValidateVersionID(id); err != nil {
		return err
	}
	d, err := m.readable(key)
	if err != nil {
		return err
	}
	if d == nil || d.versions[id].ID == "" {
		return persist.ErrNotFound
	}
	delete(d.versions, id)
	return nil
}
