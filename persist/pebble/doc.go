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
//   - What is in an index changes in one batch with its record: the alarms and
//     deliveries of rooms, tombstones, objects and whose they are.
//   - A state (a snapshot, a version) is written before the batch that names it,
//     and dropped in or after the batch that ceases to. Whoever puts an object and
//     names it, and whoever deletes objects, holds the document's lock; and an
//     object is deleted only once it is durable that nothing names it.
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
//	'm' "next"                       next free number for documents and states
//	'h' party 0 room 0               head: one per document (see head)
//	'd' document                     the head's key: whose number this is
//	'l' document sequence            log row: one update
//	's' document state piece         piece of a snapshot or version, 960 KiB
//	'w' document state               state being written, not yet named
//	'c' document                     client ids of former epochs (see appendDead)
//	'e' document milliseconds id     version (see version)
//	'i' document id                  its milliseconds
//	'q' party 0 room 0               quarantine mark: time, row, reason
//	'z' milliseconds party 0 room 0  index of the tombstones, empty
//
//	'n' name                         object that a head or a version names, empty
//	'o' name                         object that one named until then, milliseconds
//	'p' milliseconds name            index of those, empty
//
//	'v' party 0 room 0 space key     value of a room, in one of its spaces
//	'a' party 0 room 0               alarm of a room, Unix milliseconds
//	't' milliseconds party 0 room 0  index of the alarms, empty
//	'b' party 0 room 0               delivery of a room, Unix milliseconds
//	'u' milliseconds party 0 room 0  index of the deliveries, empty
//	'x' party 0 room 0               quarantine mark of a room's data
//
// Names contain no NUL, so no two heads share a key, and a room's value keys
// begin with what no other room's do, whatever bytes their own part is.
// Documents and states get numbers that are never used again, which keeps the
// keys on the hot path short. Rooms' values carry their names instead, so that
// writing one reads nothing.
//
// The format version is 2. A store of version 1, which had no index of tombstones
// and none of what came with it, is upgraded when it is opened; after that a
// program that knows only version 1 refuses it.
package pebble
