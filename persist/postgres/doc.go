// Package postgres is the store of documents and of the data of rooms in a PostgreSQL database (13 or later): package
// persist's contract in the schema yserverd, which any number of servers may share.
//
// # Invariants
//
//   - Every acknowledged write has been committed with synchronous_commit on; a connection that has it off is refused.
//   - The row of a document in documents is the fence: whoever writes the document locks it and compares sequence number
//     and epoch in the same transaction as it writes. What a statement decides after it has waited, it decides on what those
//     have left who were faster.
//   - A call is one statement, or one batch of them that is one transaction, and one round trip. Nothing on the way of a
//     document is left in a session, so a pooler may hand out connections by transaction.
//   - Rows are locked in one order everywhere (documents by their number, then rooms), so that calls do not deadlock; where
//     the database finds one nevertheless, the call begins again.
//   - Everything stored carries a checksum over what it is and its bytes. What does not verify, or is missing, quarantines
//     its document, or the data of its room: its bytes stay, nobody gets them, nobody writes over them.
//   - An object in a bucket is planned in the table objects before it is put, named by the row that it is for, and
//     remembered there once it is not named any more. It is removed only under the lock of its row in objects.
//
// # Layout
//
//	store         the identity of the store
//	documents     one row for each document: its numbers, marks, and where its snapshot is
//	updates       the rows of the log; those of a long one become pages of many updates while it grows
//	snapshots     the snapshots that are not in a bucket
//	dead_clients  the client ids of former epochs
//	versions      versions, with their states where those are not in a bucket
//	objects       objects that no row names, any more or yet
//	rooms         one row for each room that has data: its times and marks
//	room_values   the values of rooms
//
// Names and keys are bytea and compare by their bytes: SELECT convert_from(room, 'UTF8'), seq FROM yserverd.documents.
// pg_dump and restored copies of it are backups, of all but what is in a bucket.
package postgres
