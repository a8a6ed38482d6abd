package pebble

import (
	"encoding/binary"
	"hash/crc32"
)

// recordV1 opens every value but a head: the format of what follows.
const recordV1 = 1

// recordOverhead is what a record adds to its data: format byte and checksum.
const recordOverhead = 1 + sumLen

const sumLen = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// badRecord is what is wrong with something stored. Such an error quarantines
// the document.
type badRecord string

const (
	errChecksum  badRecord = "checksum mismatch"
	errTruncated badRecord = "truncated"
	errUnknown   badRecord = "unknown record format"
	errHead      badRecord = "implausible head"
	errKey       badRecord = "malformed key"
	errMissing   badRecord = "missing"
	errSurplus   badRecord = "should not exist"
	errSize      badRecord = "size differs from the head's"
	errDigest    badRecord = "sha256 differs from the head's"
	errDead      badRecord = "implausible client ids"
	errVersion   badRecord = "implausible version"
)

// Error is the text itself.
func (e badRecord) Error() string { return string(e) }

// sum is the checksum of a value at a key. That the key is part of it is what
// makes a value that turns up under another key fail.
func sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// putRecord fills dst, which is len(data)+recordOverhead long, with the record
// of data at key: 01, data, CRC-32C (little-endian) of key, 01 and data.
func putRecord(dst, key, data []byte) {
	dst[0] = recordV1
	n := 1 + copy(dst[1:], data)
	binary.LittleEndian.PutUint32(dst[n:], sum(key, dst[:n]))
}

func appendRecord(dst, key, data []byte) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, len(data)+recordOverhead)...)
	putRecord(dst[n:], key, data)
	return dst
}

// parseRecord returns the data of the record at key, borrowed from value.
func parseRecord(key, value []byte) ([]byte, error) {
	body, err := checkSum(key, value)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, errTruncated
	}
	if body[0] != recordV1 {
		return nil, errUnknown
	}
	return body[1:], nil
}

// appendSum ends the value dst[from:] at key with its checksum.
func appendSum(dst []byte, from int, key []byte) []byte {
	return binary.LittleEndian.AppendUint32(dst, sum(key, dst[from:]))
}

// checkSum returns value without its checksum.
func checkSum(key, value []byte) ([]byte, error) {
	if len(value) < sumLen {
		return nil, errTruncated
	}
	body := value[:len(value)-sumLen]
	if binary.LittleEndian.Uint32(value[len(body):]) != sum(key, body) {
		return nil, errChecksum
	}
	return body, nil
}
