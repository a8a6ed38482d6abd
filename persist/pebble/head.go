package pebble

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// headV1 opens every head.
const headV1 = 1

const (
	flagDeleted  = 1 << 0
	flagSnapshot = 1 << 1
	knownFlags   = flagDeleted | flagSnapshot
)

// maxHeadLen bounds an encoded head: format, flags, ten uvarints, sha256, sum.
const maxHeadLen = 2 + 10*binary.MaxVarintLen64 + sha256.Size + sumLen

// head is the record of one document: where its parts are and how far it is.
//
//	01 flags id epoch seq logBytes created updated [deleted]
//	[snapSeq snapID snapBytes snapSum] crc
//
// Numbers are uvarints, times Unix milliseconds; deleted with flag 1, the
// snapshot with flag 2.
type head struct {
	id       uint64 // of the document, never used again
	epoch    persist.Epoch
	seq      persist.Seq
	logBytes uint64 // of the updates snapSeq+1 to seq
	created  uint64
	updated  uint64
	deleted  uint64 // zero: no tombstone

	snapSeq   persist.Seq // zero: no snapshot
	snapID    uint64
	snapBytes uint64
	snapSum   [sha256.Size]byte
}

func (h *head) rows() uint64 { return h.seq - h.snapSeq }

// appendHead encodes h as the value at key.
func appendHead(dst, key []byte, h *head) []byte {
	start := len(dst)
	var flags byte
	if h.deleted != 0 {
		flags |= flagDeleted
	}
	if h.snapSeq != 0 {
		flags |= flagSnapshot
	}
	dst = append(dst, headV1, flags)
	for _, n := range [...]uint64{h.id, h.epoch, h.seq, h.logBytes, h.created, h.updated} {
		dst = binary.AppendUvarint(dst, n)
	}
	if h.deleted != 0 {
		dst = binary.AppendUvarint(dst, h.deleted)
	}
	if h.snapSeq != 0 {
		for _, n := range [...]uint64{h.snapSeq, h.snapID, h.snapBytes} {
			dst = binary.AppendUvarint(dst, n)
		}
		dst = append(dst, h.snapSum[:]...)
	}
	return appendSum(dst, start, key)
}

// parseHead decodes the value at key and refuses what no store has written.
func parseHead(key, value []byte) (head, error) {
	body, err := checkSum(key, value)
	if err != nil {
		return head{}, err
	}
	if len(body) < 2 {
		return head{}, errTruncated
	}
	if body[0] != headV1 || body[1]&^knownFlags != 0 {
		return head{}, errUnknown
	}
	flags := body[1]
	var h head
	d := uvarints{b: body[2:]}
	for _, p := range [...]*uint64{&h.id, &h.epoch, &h.seq, &h.logBytes, &h.created, &h.updated} {
		*p = d.next()
	}
	if flags&flagDeleted != 0 {
		h.deleted = d.next()
	}
	if flags&flagSnapshot != 0 {
		for _, p := range [...]*uint64{&h.snapSeq, &h.snapID, &h.snapBytes} {
			*p = d.next()
		}
		if len(d.b) < sha256.Size {
			return head{}, errTruncated
		}
		d.b = d.b[copy(h.snapSum[:], d.b):]
	}
	if d.err != nil {
		return head{}, d.err
	}
	if len(d.b) != 0 || !h.plausible(flags) {
		return head{}, errHead
	}
	return h, nil
}

// plausible says whether h, read with flags, encodes to the same fields again
// and can be the head of a document.
func (h *head) plausible(flags byte) bool {
	switch {
	case h.id == 0, h.seq == 0, h.snapSeq > h.seq:
		return false
	case flags&flagDeleted != 0 && h.deleted == 0:
		return false
	case flags&flagSnapshot != 0 && (h.snapSeq == 0 || h.snapBytes == 0 || h.snapID == 0):
		return false
	}
	return true
}

// info is the head as List shows it.
func (h *head) info(k persist.Key) persist.Info {
	return persist.Info{
		Key:           k,
		Seq:           h.seq,
		Epoch:         h.epoch,
		SnapshotSeq:   h.snapSeq,
		SnapshotBytes: int64(h.snapBytes),
		LogBytes:      int64(h.logBytes),
		Created:       fromMillis(h.created),
		Updated:       fromMillis(h.updated),
		Deleted:       fromMillis(h.deleted),
	}
}

func toMillis(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 1)) }

func fromMillis(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// uvarints reads numbers from b until one is malformed; err then stays.
type uvarints struct {
	b   []byte
	err error
}

func (d *uvarints) next() uint64 {
	if d.err != nil {
		return 0
	}
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.err = errTruncated
		return 0
	}
	d.b = d.b[size:]
	return n
}
