// Package proc runs a server of somebody else's as a child process of the tests: PostgreSQL for pgtest, an S3 server for
// s3test.
//
// Invariants:
//
//   - On Linux no child outlives the process of the tests, however that ends: the system signals it.
//   - A Folder belongs to one process. One that a process left behind, since it was killed, is removed by the next that
//     makes a Folder of the same kind.
//   - What a child writes goes into a file, so that neither side waits for the other.
package proc
