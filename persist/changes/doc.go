// Package changes reads what is committed to tables of PostgreSQL, whoever wrote it, by logical replication: the plugin is
// pgoutput, the slot is temporary. PostgreSQL 13 and newer have what it needs.
//
// Invariants:
//
//   - Transactions come in the order of their commits, each whole in one Event, and those that were rolled back never.
//   - What was committed since Open is in an event, or the tables that it touched are in a Gap behind it. A gap comes once
//     the stream goes on, so whoever reads the tables after a gap, and events from then on, misses nothing.
//   - The database keeps nothing for a reader that is away: the slot goes with its connection, and everything that arrived
//     is confirmed at once, whatever becomes of it here.
//   - The reader never waits for whoever takes its events. Memory is bounded: a transaction, or a backlog, that is larger
//     than its bound becomes a gap.
//   - A value that was not sent is Unknown, never NULL: an unchanged large value, and in an old row everything but the
//     replica identity.
//
// Values are text as PostgreSQL's output functions give it, with DateStyle ISO, TimeZone UTC, IntervalStyle postgres,
// bytea_output hex and extra_float_digits 1. AppendJSON writes them as to_json does, so that a row looks the same as in a
// query.
package changes
