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
	flagObject   = 1 << 2
	flagFirst    = 1 << 3
	flagDead     = 1 << 4
	knownFlags   = flagDeleted | flagSnapshot | flagObject | flagFirst | flagDead
)

// maxHeadLen bounds an encoded head: format, flags, 13 uvarints, sha256, sum.
const maxHeadLen = 2 + 13*binary.MaxVarintLen64 + sha256.Size + sumLen

// head is the record of one document: where its parts are and how far it is.
//
//	01 flags id epoch seq logBytes created updated [deleted] [first]
//	[snapSeq place] crc
//
// Numbers are uvarints, times Unix milliseconds. deleted is there with flag 1, the
// snapshot with flag 2, first with flag 8. With flag 16 there is a record of dead
// client ids. A place is that of pieces, or with flag 4 that of an object, whose
// name has the epoch and the sequence number in it:
//
//	snapID bytes sum
//	nameEpoch nameSeq bytes objectBytes sum
type head struct {
	id       uint64 // of the document, never used again
	epoch    persist.Epoch
	seq      persist.Seq
	first    persist.Seq // the last of the former epoch
	logBytes uint64      // of the updates snapSeq+1 to seq
	created  uint64
	updated  uint64
	deleted  uint64 // zero: no tombstone
	dead     bool   // there are dead client ids

	snapSeq   persist.Seq   // zero: no snapshot
	nameEpoch persist.Epoch // in the name of the snapshot's object
	nameSeq   persist.Seq
	snap      place
}

// place is where a state lies: in pieces under a number, or in an object.
type place struct {
	id          uint64            // of the pieces; zero: an object
	bytes       uint64            // of the state
	objectBytes uint64            // of the object; zero: pieces
	sum         [sha256.Size]byte // of the state in pieces, or of the object
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
	if h.snap.objectBytes != 0 {
		flags |= flagObject
	}
	if h.first != 0 {
		flags |= flagFirst
	}
	if h.dead {
		flags |= flagDead
	}
	dst = append(dst, headV1, flags)
	for _, n := range [...]uint64{h.id, h.epoch, h.seq, h.logBytes, h.created, h.updated} {
		dst = binary.AppendUvarint(dst, n)
	}
	if h.deleted != 0 {
		dst = binary.AppendUvarint(dst, h.deleted)
	}
	if h.first != 0 {
		dst = binary.AppendUvarint(dst, h.first)
	}
	if h.snapSeq != 0 {
		dst = binary.AppendUvarint(dst, h.snapSeq)
		if h.snap.objectBytes != 0 {
			dst = binary.AppendUvarint(dst, h.nameEpoch)
			dst = binary.AppendUvarint(dst, h.nameSeq)
		}
		dst = appendPlace(dst, &h.snap)
	}
	return appendSum(dst, start, key)
}

// appendPlace encodes where a state lies.
func appendPlace(dst []byte, p *place) []byte {
	if p.objectBytes == 0 {
		dst = binary.AppendUvarint(dst, p.id)
		dst = binary.AppendUvarint(dst, p.bytes)
	} else {
		dst = binary.AppendUvarint(dst, p.bytes)
		dst = binary.AppendUvarint(dst, p.objectBytes)
	}
	return append(dst, p.sum[:]...)
}

// place decodes where a state lies, in an object or in pieces.
func (d *uvarints) place(inObject bool) (p place) {
	if inObject {
		p.bytes, p.objectBytes = d.next(), d.next()
	} else {
		p.id, p.bytes = d.next(), d.next()
	}
	if d.err == nil && len(d.b) < len(p.sum) {
		d.err = errTruncated
	}
	if d.err != nil {
		return place{}
	}
	d.b = d.b[copy(p.sum[:], d.b):]
	return p
}

// plausible says whether a state can lie there.
func (p *place) plausible() bool {
	return p.bytes != 0 && p.bytes <= maxSnapshotBytes && (p.id == 0) == (p.objectBytes != 0)
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
	if flags&flagFirst != 0 {
		h.first = d.next()
	}
	h.dead = flags&flagDead != 0
	if flags&flagSnapshot != 0 {
		h.snapSeq = d.next()
		if flags&flagObject != 0 {
			h.nameEpoch, h.nameSeq = d.next(), d.next()
		}
		h.snap = d.place(flags&flagObject != 0)
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
	case flags&flagFirst != 0 && (h.first == 0 || h.snapSeq <= h.first):
		return false
	case flags&flagObject != 0 && flags&flagSnapshot == 0:
		return false
	case flags&flagSnapshot != 0 && (h.snapSeq == 0 || !h.snap.plausible()):
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
		SnapshotBytes: int64(h.snap.bytes),
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
