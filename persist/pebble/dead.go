package pebble

import (
	"context"
	"encoding/binary"
	"slices"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// appendDead encodes client ids, which are ascending, each once: the first, then
// how much each is above the one before, as uvarints.
func appendDead(dst []byte, dead []uint64) []byte {
	before := uint64(0)
	for i, id := range dead {
		if i == 0 {
			dst = binary.AppendUvarint(dst, id)
		} else {
			dst = binary.AppendUvarint(dst, id-before)
		}
		before = id
	}
	return dst
}

// parseDead decodes the record of dead client ids at key. There is at least one.
func parseDead(key, value []byte) ([]uint64, error) {
	data, err := parseRecord(key, value)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, errTruncated
	}
	var dead []uint64
	for d := (uvarints{b: data}); len(d.b) > 0; {
		n := d.next()
		if d.err != nil {
			return nil, d.err
		}
		if len(dead) > 0 {
			before := dead[len(dead)-1]
			if n += before; n <= before {
				return nil, errDead
			}
		}
		dead = append(dead, n)
	}
	return dead, nil
}

// dead reads the document's dead client ids.
func (r *reader) dead(h *head) (dead []uint64, err error) {
	if !h.dead {
		return nil, nil
	}
	key := appendNumberKey(nil, kindDead, h.id)
	r.it.SetBounds(key, append(slices.Clone(key), 0))
	found := r.it.First()
	if err = r.it.Error(); err == nil && !found {
		err = errMissing
	}
	if err == nil {
		var value []byte
		if value, err = r.it.ValueAndErr(); err == nil {
			dead, err = parseDead(key, value)
		}
	}
	if err != nil {
		return nil, r.s.unreadable(r.doc, 0, "dead client ids", err)
	}
	return dead, nil
}

// mergedDead returns the document's dead client ids and those added, nil when that
// is nothing new. The write lock is held.
func (s *Store) mergedDead(ctx context.Context, e *entry, added []uint64) ([]uint64, error) {
	if len(added) == 0 {
		return nil, nil
	}
	if !e.state.dead {
		return persist.MergeDead(nil, added), nil
	}
	// The head is ahead of the record by what is queued.
	if err := s.await(ctx, &s.applied, s.heads.ticket(e.key)); err != nil {
		return nil, err
	}
	key := appendNumberKey(nil, kindDead, e.state.id)
	var dead []uint64
	found, err := s.read(key, func(value []byte) (err error) {
		dead, err = parseDead(key, value)
		return err
	})
	if err == nil && !found {
		err = errMissing
	}
	if err != nil {
		return nil, s.unreadable(e.key, 0, "dead client ids", err)
	}
	merged := persist.MergeDead(dead, added)
	if len(merged) == len(dead) {
		return nil, nil
	}
	return merged, nil
}

// putDead stores what mergedDead returned.
func putDead(b *engine.Batch, h *head, merged []uint64) {
	if merged == nil {
		return
	}
	key := appendNumberKey(nil, kindDead, h.id)
	_ = b.Set(key, appendRecord(nil, key, appendDead(nil, merged)), nil) // never fails on such a batch
	h.dead = true
}
