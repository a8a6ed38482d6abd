// Package pebble is the embedded store of documents and of the data of rooms:
// package persist's contract on cockroachdb/pebble, in one directory that one
// process holds.
//
// # Invariants
//
//   - Every acknowledged write has been fsynced (pebble.Sync). Calls that run at
//     the same time share fsyncs; one call is one atomic batch however many
//     documents or rooms it names.
//   - Nothing is read back to a caller before it is durable: a read waits for
//     the commits in flight on its document or room.
//   - Checking a sequence number and writing behind it are one step, under one
//     lock that is never held during an fsync.
//   - Everything stored carries a checksum over its key and its bytes, so a
//     damaged or misplaced record is noticed, and then its document, or the data
//     of its room, is quarantined: its bytes stay, nobody gets them, nobody
//     writes over them. What has not been read since it was damaged is not
//     noticed: putting and dropping values does not read them.
//   - A room's alarm and its place in the index of alarms change in one batch.
//   - Memory does not grow with the number of documents or rooms.
//   - A disk that refuses to write (full, read-only, I/O errors) costs no data
//     and no restart: calls fail with persist.ErrUnavailable, and work again
//     once the disk does.
//
// # Layout
//
// One letter opens each kind of key. Numbers are big-endian, so that keys sort
// as their numbers do; every value ends in a CRC-32C over key and value.
//
//	'm' "format"                     format version, store UUID
//	'm' "next"                       next free number for documents and snapshots
//	'h' party 0 room 0               head: one per document (see head)
//	'd' document                     the head's key: whose number this is
//	'l' document sequence            log row: one update
//	's' document snapshot piece      piece of a snapshot, 960 KiB
//	'w' document snapshot            snapshot being written, not yet switched to
//	'q' party 0 room 0               quarantine mark: time, row, reason
//
//	'v' party 0 room 0 space key     value of a room, in one of its spaces
//	'a' party 0 room 0               alarm of a room, Unix milliseconds
//	't' milliseconds party 0 room 0  index of the alarms, empty
//	'x' party 0 room 0               quarantine mark of a room's data
//
// Names contain no NUL, so no two heads share a key, and a room's value keys
// begin with what no other room's do, whatever bytes their own part is.
// Documents and snapshots get numbers that are never used again, which keeps the
// keys on the hot path short. Rooms' values carry their names instead, so that
// writing one reads nothing.
//
// The format version is 1 with and without the kinds of rooms: a store from
// before them opens as one that has none, and a program from before them does
// not look at them.
package pebble
