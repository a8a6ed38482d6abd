// Package pgtest runs a private PostgreSQL for tests: a cluster of its own, on a free port of the loopback interface, with
// databases that tests get fresh.
//
// Invariants:
//
//   - A cluster is as durable as one in production (fsync, synchronous_commit and full_page_writes are on), and decodes
//     changes (wal_level is logical).
//   - The process has one shared cluster, which is made when the first test asks for it and goes with Main. A cluster that
//     a test made goes with that test. On Linux none outlives the process, however that ends.
//   - A cluster keeps its address and its data from one start to the next.
//   - Where PostgreSQL is missing a test is skipped with the reason; with YSERVERD_TEST_REQUIRE=1 it fails.
//
// PostgreSQL is looked for in the folder that YSERVERD_TEST_POSTGRES names, on PATH, and where Debian has it. It does not
// run as root: as root it is run as the user postgres.
package pgtest
