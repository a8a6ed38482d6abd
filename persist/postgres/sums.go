package postgres

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"

	"github.com/yserverd/yserverd/persist"
)

// Everything stored has a sum over what it is and its bytes, so that what is damaged, or has got to another place, is
// noticed. Small things have a CRC-32C, whole states a SHA-256.

// What a sum is of.
const (
	sumUpdate   = 'u'
	sumSnapshot = 's'
	sumVersion  = 'v'
	sumValue    = 'r'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLabel appends what a thing is: each part behind its length, or of a fixed one.
func appendLabel(dst []byte, what byte, k persist.Key, n uint64, name string) []byte {
	dst = append(dst, what)
	for _, part := range []string{k.Party, k.Room, name} {
		dst = binary.AppendUvarint(dst, uint64(len(part)))
		dst = append(dst, part...)
	}
	return binary.BigEndian.AppendUint64(dst, n)
}

// summer makes CRCs without allocating for each.
type summer struct {
	label []byte
	rows  persist.Key // whose rows' label begins with what log is of; the zero key: none's
	log   uint32
}

func (s *summer) crc(what byte, k persist.Key, n uint64, name string, data []byte) int32 {
	s.label = appendLabel(s.label[:0], what, k, n, name)
	return int32(crc32.Update(crc32.Checksum(s.label, castagnoli), castagnoli, data))
}

// update is the sum of a row of a log.
func (s *summer) update(k persist.Key, seq persist.Seq, data []byte) int32 {
	if s.rows != k || k == (persist.Key{}) {
		s.label = appendLabel(s.label[:0], sumUpdate, k, 0, "")
		s.rows, s.log = k, crc32.Checksum(s.label[:len(s.label)-8], castagnoli)
	}
	s.label = binary.BigEndian.AppendUint64(s.label[:0], seq)
	return int32(crc32.Update(crc32.Update(s.log, castagnoli, s.label), castagnoli, data))
}

// value is the sum of a value of a room.
func (s *summer) value(k persist.Key, space persist.Space, name string, data []byte) int32 {
	return s.crc(sumValue, k, uint64(space), name, data)
}

// stateSum is the sum of a snapshot or version that is in the database.
func stateSum(what byte, k persist.Key, n uint64, name string, data []byte) []byte {
	h := sha256.New()
	h.Write(appendLabel(nil, what, k, n, name))
	h.Write(data)
	return h.Sum(nil)
}

func isStateSum(sum []byte, what byte, k persist.Key, n uint64, name string, data []byte) bool {
	return bytes.Equal(sum, stateSum(what, k, n, name, data))
}
